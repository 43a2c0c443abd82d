"""Training and forecasting on a GPU beside the CPU, where there is one."""

from __future__ import annotations

TITLE = "GPU"
TEXT = (
    '`device="cuda"` beside `device="cpu"` on the same features: fit, and forecasts of '
    "the last 252 rows. The correlation is that of both devices' forecasts."
)


def cases(quick: bool) -> list[dict]:
    sizes = [(20, 600)] if quick else [(100, 2520), (500, 2520)]
    return [{"n_tickers": n, "n_dates": rows} for n, rows in sizes]


def measure(case: dict, inputs: dict) -> dict:
    import numpy as np
    import pandas as pd
    from measured import measured

    from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor, forward_returns

    if not has_gpu():
        return {"GPU": "none on this machine"}
    prices = pd.read_parquet(inputs["wide"])
    labels = forward_returns(prices, 5)
    X = SharedFeatureExtractor().fit_transform(prices)
    row, forecasts = {}, {}
    for device in ("cpu", "cuda"):
        model = BatchXGBoostForecaster(device=device, n_jobs=inputs["threads"])
        model.fit(X.iloc[:400], labels.iloc[:400])  # starts the device
        _, fitting = measured(model.fit, X.iloc[:-252], labels.iloc[:-252])
        forecasts[device], predicting = measured(model.predict, X.iloc[-252:])
        row[f"{device} fit s"] = fitting["seconds"]
        row[f"{device} predict s"] = predicting["seconds"]
    pairs = np.stack([table.to_numpy().ravel() for table in forecasts.values()])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    row["correlation"] = float(np.corrcoef(pairs)[0, 1])
    row["times as fast"] = row["cpu fit s"] / row["cuda fit s"]
    return row


def has_gpu() -> bool:
    """Tell whether XGBoost trains on a GPU here; it falls back to the CPU if not."""
    import json

    import numpy as np
    import xgboost as xgb

    if not xgb.build_info().get("USE_CUDA"):
        return False
    data = xgb.DMatrix(np.arange(8.0).reshape(-1, 1), np.arange(8.0))
    try:
        with xgb.config_context(verbosity=0):
            booster = xgb.train({"device": "cuda"}, data, 1)
    except xgb.core.XGBoostError:
        return False
    config = json.loads(booster.save_config())
    return config["learner"]["generic_param"]["device"].startswith("cuda")


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    return [
        (
            f"the same forecasts on both devices, {row['n_tickers']} tickers",
            row["correlation"] > 0.99,
            f"correlation {row['correlation']:.4f}, fit {row['times as fast']:.1f} "
            "times as fast",
        )
        for row in table
        if "correlation" in row
    ]
