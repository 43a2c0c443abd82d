"""
On a Dask cluster
=================

``engine="dask"`` does the work of a batch system on the workers of a Dask cluster:
batches of tickers and their features are tasks, and the trees are trained by
``xgboost.dask`` on rows that stay where they are. Here the cluster is two processes of
this machine, which shows that the forecasts are the same, not that it is faster: with
20 tickers it is slower. :doc:`/scaling` says what it costs, and from which size on it
is worth it.
"""

# %%
# The same system twice
# ---------------------
# Trees draw rows by their place, and the rows lie elsewhere on a cluster. So that the
# two engines can be compared to the last digits, these draw no rows or columns, and
# have a bin for every value. Everything else is the default.

import time

import matplotlib.pyplot as plt
import pandas as pd
from distributed import Client, LocalCluster

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)
from skbatch.datasets import load_sp500_prices


def forecast(prices, engine, **params):
    """Fit a system, and tell what it forecasts and how long that took."""
    trees = BatchXGBoostForecaster(n_estimators=100, **params)
    forecaster = FallbackForecaster(trees, BatchLinearForecaster())
    system = BatchForecastingSystem(5, forecaster=forecaster, engine=engine)
    start = time.perf_counter()
    result = system.fit(prices).forecast()
    seconds = time.perf_counter() - start
    return result.expected_returns, len(system.fitted_.batches), seconds


# %%
# Run it
# ------
# Each worker is a new process that imports this script. Without the guard
# ``if __name__ == "__main__":`` each would start a cluster of its own. A notebook needs
# no guard, and with a cluster that runs elsewhere, ``Client("scheduler:8786")`` is all
# that changes.
#
# Four batches are made for two workers, and one where there is no cluster. Compare the
# two differences in the table: without draws, that of the engines is rounding. With
# the default draws it is of the size that another seed makes, which is the measure of
# what it means.

EXACT = {"subsample": 1.0, "colsample_bytree": 1.0, "max_bin": 2**14}

if __name__ == "__main__":
    prices = load_sp500_prices().iloc[-1000:]  # four years of 20 real stocks
    runs = {
        "local": forecast(prices, "local", **EXACT),
        "local, with draws": forecast(prices, "local"),
        "local, another seed": forecast(prices, "local", random_state=1),
    }
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        runs["dask"] = forecast(prices, "dask", **EXACT)
        runs["dask, with draws"] = forecast(prices, "dask")

    forecasts = pd.DataFrame({name: run[0] for name, run in runs.items()})
    base = {name: "local, with draws" if "," in name else "local" for name in runs}
    gaps = {
        name: (forecasts[name] - forecasts[base[name]]).abs().max() for name in runs
    }
    table = pd.DataFrame(
        {
            "batches": {name: run[1] for name, run in runs.items()},
            "seconds": {name: round(run[2], 1) for name, run in runs.items()},
            "largest difference, %": {
                name: f"{100 * gap:.1e}" for name, gap in gaps.items()
            },
            "from": base,
        }
    )
    print(table.to_string())

    fig, axes = plt.subplots(1, 2, figsize=(9, 4.3), layout="constrained")
    for ax, there in zip(axes, ["dask", "dask, with draws"], strict=True):
        here = base[there]
        ax.axline((0, 0), slope=1, color="grey", linewidth=0.8)
        ax.scatter(100 * forecasts[here], 100 * forecasts[there], color="#1f6feb", s=18)
        ax.set_xlabel(f"{here}, %")
        ax.set_ylabel(f"{there}, %")
    axes[0].set_title("Without draws", loc="left")
    axes[1].set_title("With draws", loc="left")
    plt.show()
