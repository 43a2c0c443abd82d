"""One new day for a fitted model that is loaded from its file."""

from __future__ import annotations

TITLE = "Daily update"
TEXT = (
    "Fit on 5 years, save with joblib, load in the same process, and forecast from "
    "one new row; the median of five. The recomputation starts from all rows, and "
    "must give the same forecasts bit for bit."
)
WAYS = ["pipeline", "system", "system without fallback"]


def cases(quick: bool) -> list[dict]:
    n, rows = (30, 600) if quick else (2000, 1260)
    return [
        {"n_tickers": n, "n_dates": rows, "way": way, "repeats": None if quick else 1}
        for way in WAYS
    ]


def measure(case: dict, inputs: dict) -> dict:
    import joblib
    import numpy as np
    import pandas as pd
    from measured import measured, timed

    from skbatch.feature_extraction import clear_cache

    prices = pd.read_parquet(inputs["wide"])
    fit, forecast, recompute = _ways(case["way"], inputs["threads"])
    model, usage = measured(fit, prices.iloc[:-1])
    path = inputs["forecasts"] + ".joblib"
    joblib.dump(model, path)
    loaded, loading = measured(joblib.load, path)
    new = prices.iloc[[-1]]

    def update():
        clear_cache()
        return forecast(loaded, new)

    seconds = timed(update)
    clear_cache()
    again, recomputing = measured(recompute, loaded, prices)
    return {
        "update s": seconds,
        "load s": loading["seconds"],
        "recompute s": recomputing["seconds"],
        "refit s": usage["seconds"],
        "of a refit %": 100 * seconds / usage["seconds"],
        "equal": bool(np.array_equal(update(), again, equal_nan=True)),
    }


def _ways(way: str, threads: int):
    """Give the fit, the forecast of new rows, and that of all rows."""
    from sklearn.pipeline import make_pipeline

    from skbatch import (
        BatchForecastingSystem,
        BatchXGBoostForecaster,
        SharedFeatureExtractor,
        forward_returns,
    )

    trees = BatchXGBoostForecaster(n_jobs=threads)
    if way == "pipeline":
        pipeline = make_pipeline(SharedFeatureExtractor(), trees)
        return (
            lambda prices: pipeline.fit(prices, forward_returns(prices, 5)),
            lambda model, new: model.predict(new).to_numpy()[-1],
            lambda model, prices: model.predict(prices).to_numpy()[-1],
        )
    options = {} if way == "system" else {"forecaster": trees}
    system = BatchForecastingSystem(5, **options)
    return (
        system.fit,
        lambda model, new: model.forecast(new).expected_returns.to_numpy(),
        lambda model, prices: model.predict(prices).to_numpy()[-1],
    )


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    for row in table:
        if "update s" in row:
            way, took, share = row["way"], row["update s"], row["of a refit %"]
            found.append((f"{way} under 1 s", took < 1, f"{took:.2f} s"))
            text = f"{way} under 2% of a refit"
            found.append((text, share < 2, f"{share:.2f}%"))
            text = f"{way} equals a recomputation"
            found.append((text, row["equal"], "to the bit" if row["equal"] else "no"))
    return found
