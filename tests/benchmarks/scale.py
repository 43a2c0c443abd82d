"""Time and memory against the number of tickers, under a memory budget."""

from __future__ import annotations

TITLE = "Scale"
BUDGET = "4GiB"
TEXT = (
    f'`BatchForecastingSystem(memory_budget="{BUDGET}")` with all defaults on 2,520 '
    "dates: screening, features, one pooled model over all tickers, the fallback, and "
    "the forecast of the last date. The exponent is that of the least squares line "
    "through the logarithms of tickers and seconds."
)
GIB = 2**30


def cases(quick: bool) -> list[dict]:
    sizes, rows = (
        ([20, 40], 600) if quick else ([100, 200, 500, 1000, 2000, 5000], 2520)
    )
    return [{"n_tickers": n, "n_dates": rows, "repeats": 1} for n in sizes]


def measure(case: dict, inputs: dict) -> dict:
    import pandas as pd
    from measured import _memory, count_training, measured

    import skbatch.forecasting._xgboost as trees
    from skbatch import BatchForecastingSystem

    prices = pd.read_parquet(inputs["wide"])
    counts = count_training(trees.xgb)
    system = BatchForecastingSystem(5, memory_budget=BUDGET)

    def forecast():
        return system.fit(prices).forecast()

    result, usage = measured(forecast)
    stages = _stages(system)
    return {
        **usage,
        **stages,
        "batches": len(system.fitted_.batches),
        "models": counts["models"],
        "training rows": counts["training rows"],
        "predicted MiB": system.estimate_memory(prices).peak_bytes / 2**20,
        "swap MiB": _memory("VmSwap") / 2**20,
        "forecasts": result.expected_returns.to_numpy(),
        "n forecast": int(result.expected_returns.notna().sum()),
    }


def _stages(system) -> dict[str, float]:
    """Give the wall time of each stage of the last fit."""
    seconds = system.performance_.report().loc["stage", "seconds"]
    return {f"{name} s": float(value) for name, value in seconds.items()}


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    import numpy as np

    done = [row for row in table if "seconds" in row]
    if len(done) < 2:
        return []
    tickers, seconds = (np.log([r[k] for r in done]) for k in ("n_tickers", "seconds"))
    exponent = float(np.polyfit(tickers, seconds, 1)[0])
    ends = float((seconds[-1] - seconds[0]) / (tickers[-1] - tickers[0]))
    peak = max(row["peak MiB"] for row in done)
    swap = max(row["swap MiB"] for row in done)
    one = all(row["models"] == 1 for row in done)
    told = f"{exponent:.2f}, from first to last {ends:.2f}"
    return [
        ("exponent of time in tickers at most 1.05", exponent <= 1.05, told),
        (f"{BUDGET} kept", peak * 2**20 <= 4 * GIB, f"peak {peak:,.0f} MiB"),
        ("no swap", swap == 0, f"{swap:.0f} MiB"),
        ("one model over all tickers", one, "models trained are counted"),
    ]


def plot(axes, table: list[dict]) -> None:
    done = [row for row in table if "seconds" in row]
    x = [row["n_tickers"] for row in done]
    axes.loglog(x, [row["seconds"] for row in done], marker="o", label="seconds")
    if done:
        line = [done[0]["seconds"] * n / x[0] for n in x]
        axes.loglog(x, line, linestyle="--", label="in proportion")
    axes.set_xlabel("tickers")
    axes.set_ylabel("seconds")
    axes.legend()
