"""A walk forward with 12 refits: skbatch, mlforecast, skforecast."""

from __future__ import annotations

import end_to_end

TITLE = "Walk forward"
TEXT = (
    "12 refits on all rows before, 21 rows apart, with the same inputs and trees, on "
    "5 years. After each refit skbatch forecasts the next 21 dates, 5 rows ahead; the "
    "peers forecast 21 steps from the date of the refit. Accuracy is that of the "
    "5-row forecasts from these 12 dates."
)


def cases(quick: bool) -> list[dict]:
    sizes = [20] if quick else [100, 500, 2000]
    n_dates = 700 if quick else 1260
    return [
        {
            "n_tickers": n,
            "n_dates": n_dates,
            "settings": "same",
            "horizon": 5,
            "way": way,
            "peer": peer,
            "repeats": 1 if n > 100 else None,
        }
        for n in sizes
        for way, peer in end_to_end.WAYS.items()
    ]


def measure(case: dict, inputs: dict) -> dict:
    import ways
    import xgboost as xgb
    from measured import count_training, measured

    run = getattr(ways, case["way"] + "_walk")
    run(inputs["small"], inputs["threads"], True)
    counts = count_training(xgb)
    forecasts, usage = measured(run, inputs, inputs["threads"], True)
    return {**usage, **counts, "forecasts": forecasts}


def scores(case: dict, forecasts, inputs: dict) -> dict:
    import pandas as pd
    from ways import N_REFITS, STEP

    from skbatch.metrics import out_of_sample_r2, rank_information_coefficient

    prices = pd.read_parquet(inputs["wide"]).sort_index(axis=1).to_numpy()
    starts = [len(prices) - STEP * number - 1 for number in range(N_REFITS, 0, -1)]
    actual = prices[[s + 5 for s in starts]] / prices[starts] - 1
    return {
        "rank IC": rank_information_coefficient(actual, forecasts),
        "MAE %": 100 * abs(actual - forecasts).mean(),
        "R² %": 100 * out_of_sample_r2(actual, forecasts),
    }


goals = end_to_end.goals
plot = end_to_end.plot
