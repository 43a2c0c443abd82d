"""How well defaults rank and size real returns: skbatch, mlforecast, skforecast."""

from __future__ import annotations

from end_to_end import WAYS

TITLE = "Accuracy"
TEXT = (
    "A walk-forward over the last 201 dates of 5 years, refitted on all rows before "
    "at every 63rd date, with forecasts of 5 rows from every date. Each package has "
    "its defaults, as in [end to end](#end-to-end). Prices are real, because "
    "synthetic ones reward whatever was put into them. Standard errors are "
    "Newey–West's and allow for overlapping returns. R² is against forecasting zero."
)


def cases(quick: bool) -> list[dict]:
    n_dates = 700 if quick else 1260
    return [
        {"n_tickers": n, "n_dates": n_dates, "way": way, "peer": peer, "repeats": 1}
        for n in ([20] if quick else [100, 400])
        for way, peer in WAYS.items()
    ]


def measure(case: dict, inputs: dict) -> dict:
    import ways
    from measured import measured

    run = getattr(ways, case["way"] + "_origins")
    forecasts, usage = measured(run, inputs, inputs["threads"])
    return {**usage, "forecasts": forecasts}


def scores(case: dict, forecasts, inputs: dict) -> dict:
    import numpy as np
    import pandas as pd
    from settings import HORIZON
    from ways import N_ORIGINS

    from skbatch.metrics import (
        mean_inference,
        out_of_sample_r2,
        rank_information_coefficient_series,
    )

    prices = pd.read_parquet(inputs["wide"]).sort_index(axis=1).to_numpy()
    origins = len(prices) - HORIZON - N_ORIGINS + np.arange(N_ORIGINS)
    actual = prices[origins + HORIZON] / prices[origins] - 1
    daily = rank_information_coefficient_series(actual, forecasts)
    found = mean_inference(daily, horizon=HORIZON)
    saved = 1e4 * (actual**2 - (actual - forecasts) ** 2).mean(axis=1)
    errors = mean_inference(saved, horizon=HORIZON)
    return {
        "rank IC": found.mean,
        "± rank IC": found.standard_error,
        "R² %": 100 * out_of_sample_r2(actual, forecasts),
        "t of R²": errors.t_statistic,
        "MAE %": 100 * abs(actual - forecasts).mean(),
    }


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    rows = {(row["n_tickers"], row["way"]): row for row in table if "rank IC" in row}
    found = []
    for (n, peer), other in rows.items():
        own = rows.get((n, "skbatch"))
        if own is not None and peer != "skbatch":
            is_above = own["R² %"] > other["R² %"]
            told = f"{own['R² %']:.2f} against {other['R² %']:.2f}%"
            found.append((f"R² above that of {peer}, {n} tickers", is_above, told))
    return found
