"""
Run on a Dask cluster
=====================

With ``engine="dask"``, a batch system runs on the workers of a Dask cluster: they
compute features in blocks of dates, and train the trees on rows that stay where they
were computed. Here, the cluster consists of two workers inside this process, to show
that the forecasts agree; with 20 tickers, a cluster is not faster. :doc:`/scaling`
shows what a cluster costs, and when it is worthwhile. This example needs
``pip install 'skbatch[dask]'``.
"""

# %%
# One machine
# -----------
# Trees sample rows and columns by position, and on a cluster the rows are in a
# different order. To compare the two engines to the last digit, the first system
# samples nothing and has a bin for every value. The second uses the default sampling,
# the third another random seed.

import logging
import time

import matplotlib.pyplot as plt
import pandas as pd
from distributed import Client, LocalCluster

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import load_sp500_prices

prices = load_sp500_prices().iloc[-500:]  # two years of 20 real stocks
forecasts, seconds = {}, {}


def run(name, engine, **params):
    """Forecast the next five rows, and record the time."""
    trees = BatchXGBoostForecaster(n_estimators=30, **params)
    system = BatchForecastingSystem(
        5,
        features=SharedFeatureExtractor(["returns", "volatility"]),
        forecaster=FallbackForecaster(trees, BatchLinearForecaster()),
        engine=engine,
    )
    start = time.perf_counter()
    forecasts[name] = system.fit(prices).forecast().expected_returns
    seconds[name] = time.perf_counter() - start


exact = {"subsample": 1.0, "colsample_bytree": 1.0, "max_bin": 2**12}
run("one machine, no sampling", "local", **exact)
run("one machine", "local")
run("one machine, another seed", "local", random_state=1)

# %%
# The cluster
# -----------
# ``engine="dask"`` uses the active client. For a cluster that runs elsewhere, create
# ``Client("scheduler:8786")``; nothing else changes. Workers in processes of their own
# (``processes=True``, the default) import the script that starts them, so start them
# below ``if __name__ == "__main__":`` in a script. In a notebook, this is not
# necessary.

logging.getLogger("distributed").setLevel(logging.WARNING)
with (
    LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster,
    Client(cluster),
):
    run("cluster, no sampling", "dask", **exact)
    run("cluster", "dask")

# %%
# The same forecasts
# ------------------
# Without sampling, the forecasts of both engines are equal up to rounding. With the
# default sampling, the cluster samples other rows than a single machine, as another
# seed would, and the differences are of the same order of magnitude as between two
# seeds.

pairs = {
    "cluster, no sampling": "one machine, no sampling",
    "cluster": "one machine",
    "one machine, another seed": "one machine",
}
gaps = {a: 100 * (forecasts[a] - forecasts[b]).abs().max() for a, b in pairs.items()}
print(pd.Series(seconds, name="seconds").round(1).to_string())
for name, gap in gaps.items():
    print(f"{name} against {pairs[name]}: differs by up to {gap:.4f}%")

fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, (name, base) in zip(axes, pairs.items(), strict=True):
    x = 100 * forecasts[base]
    ax.scatter(x, 100 * forecasts[name], color="#1f6feb", s=18)
    ax.axline((x.mean(), x.mean()), slope=1, color="grey", linewidth=0.8, zorder=0)
    ax.set_xlabel(f"forecast of {base}, %")
    ax.set_ylabel(f"{name}, %")
    ax.set_title(f"largest difference {gaps[name]:.3f}%", loc="left", fontsize=10)
plt.show()
