"""The pooled batch beside one ticker at a time, with the accuracy of both."""

from __future__ import annotations

import os

from report import scale_by_tickers

TITLE = "Batch against individual"
TEXT = (
    "`compare_batch_vs_individual`: features, fit and forecasts of the last 252 rows "
    "with the same XGBoost settings, both ways in turn in one process of one thread, "
    "because models of one ticker are too small for more. MiB are added to what the "
    "process held before."
)
N_DATES = 1512
GOALS = {10: 0.80, 50: 0.95, 500: 0.98}


def cases(quick: bool) -> list[dict]:
    sizes = [5, 10] if quick else [10, 25, 50, 100, 500]
    n_dates = 700 if quick else N_DATES
    # The largest takes many minutes, and varies the less for it.
    return [
        {"n_tickers": n, "n_dates": n_dates, "repeats": 1 if n > 100 else None}
        for n in sizes
    ]


def measure(case: dict, inputs: dict) -> dict:
    import pandas as pd

    from skbatch import BatchXGBoostForecaster, compare_batch_vs_individual

    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
    prices = pd.read_parquet(inputs["wide"])
    forecaster = BatchXGBoostForecaster(n_jobs=1)
    comparison = compare_batch_vs_individual(prices, forecaster=forecaster)
    row = {"time saved %": 100 * comparison.time_saved}
    columns = {
        "seconds": ("s", 1),
        "peak_bytes": ("MiB", 2**-20),
        "rank_ic": ("rank IC", 1),
        "mae": ("MAE %", 100),
        "r2": ("R² %", 100),
    }
    for column, (name, unit) in columns.items():
        for way in ("batch", "individual"):
            row[f"{way} {name}"] = unit * float(comparison.table.loc[way, column])
    return {**row, "failed individually": len(comparison.failures)}


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    for row in table:
        goal = GOALS.get(row["n_tickers"])
        if goal is not None and "time saved %" in row:
            saved = row["time saved %"]
            text = f"{100 * goal:.0f}% less time at {row['n_tickers']} tickers"
            found.append((text, saved >= 100 * goal, f"{saved:.1f}%"))
    for score, better in (("rank IC", 1), ("MAE %", -1), ("R² %", 1)):
        rows = [row for row in table if f"batch {score}" in row]
        worse = [
            row["n_tickers"]
            for row in rows
            if better * (row[f"batch {score}"] - row[f"individual {score}"]) < 0
        ]
        told = f"worse at {worse} tickers" if worse else "nowhere worse"
        if rows:
            found.append((f"{score.removesuffix(' %')} not worse", not worse, told))
    return found


def plot(axes, table: list[dict]) -> None:
    rows = [row for row in table if "time saved %" in row]
    tickers = [row["n_tickers"] for row in rows]
    for way in ("individual", "batch"):
        axes.plot(tickers, [row[f"{way} s"] for row in rows], "o-", label=way)
    scale_by_tickers(axes, table)
    axes.legend()
