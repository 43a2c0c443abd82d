"""The Dask engine beside this machine alone, and what each worker takes."""

from __future__ import annotations

TITLE = "Dask"
TEXT = (
    '`engine="dask"` on a LocalCluster with one process of one thread per core, '
    'beside `engine="local"` with as many threads; all defaults, fit and forecast. On '
    "one machine a cluster can gain nothing: the difference is the cost of "
    "scheduling, of copying, and of the histograms that XGBoost's workers exchange. "
    "Memory is that of the largest worker and of the client."
)


def cases(quick: bool) -> list[dict]:
    sizes, rows = ([20], 600) if quick else ([200, 1000], 2520)
    return [
        {"n_tickers": n, "n_dates": rows, "way": way, "repeats": 1}
        for n in sizes
        for way in ("local", "dask")
    ]


def measure(case: dict, inputs: dict) -> dict:
    import pandas as pd
    from measured import measured

    from skbatch import BatchForecastingSystem

    prices = pd.read_parquet(inputs["wide"])
    system = BatchForecastingSystem(5, engine=case["way"])

    def forecast():
        return system.fit(prices).forecast()

    if case["way"] == "local":
        result, usage = measured(forecast)
        return _told(system, result, usage)
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=inputs["threads"], threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        BatchForecastingSystem(5, engine="dask").fit(
            pd.read_parquet(inputs["small"]["wide"])
        )
        before = client.run(_peak)
        result, usage = measured(forecast)
        after = client.run(_peak)
        workers = {
            "worker peak MiB": max(after.values()),
            "worker added MiB": max(after[w] - before[w] for w in after),
        }
        return _told(system, result, {**usage, **workers})


def _told(system, result, usage: dict) -> dict:
    stages = _stages(system)
    return {
        **usage,
        **stages,
        "batches": len(system.fitted_.batches),
        "forecasts": result.expected_returns.to_numpy(),
    }


def _peak() -> float:
    """Read the largest memory of a worker so far, in MiB."""
    import re
    from pathlib import Path

    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def _stages(system) -> dict[str, float]:
    """Give the wall time of each stage of the last fit."""
    seconds = system.performance_.report().loc["stage", "seconds"]
    return {f"{name} s": float(value) for name, value in seconds.items()}


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    for row in table:
        if row["way"] == "dask" and "correlation" in row:
            text = f"{row['n_tickers']} tickers: forecasts as on one machine"
            told = f"correlation {row['correlation']:.3f}; rows are drawn by place"
            found.append((text, row["correlation"] > 0.95, told))
    return found
