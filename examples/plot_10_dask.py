"""
On a Dask cluster
=================

``engine="dask"`` does the work of a batch system on the workers of a Dask cluster:
features are computed there in blocks of dates, and the trees are trained by its
workers on rows that stay where they are. Here the cluster is two workers inside this
process, which shows that the forecasts agree; with 20 tickers they are not faster.
:doc:`/scaling` describes what a cluster costs, and when it is worth it. This needs
``pip install 'skbatch[dask]'``.
"""

# %%
# One machine
# -----------
# Trees draw rows and columns by position, and on a cluster the rows are ordered
# differently. To compare the two engines to the last digits, the first system draws
# nothing and has a bin for every value. The second draws as by default, the third with
# another seed.

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
    """Forecast the next five rows, and keep what it took."""
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
run("one machine, no draws", "local", **exact)
run("one machine", "local")
run("one machine, another seed", "local", random_state=1)

# %%
# The cluster
# -----------
# ``engine="dask"`` finds the client that is active. With a cluster that runs elsewhere,
# ``Client("scheduler:8786")`` is all that changes. Workers that are processes of their
# own (``processes=True``, the default) import the script that starts them, so a script
# has to start them below ``if __name__ == "__main__":``; a notebook need not.

logging.getLogger("distributed").setLevel(logging.WARNING)
with (
    LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster,
    Client(cluster),
):
    run("cluster, no draws", "dask", **exact)
    run("cluster", "dask")

# %%
# The same forecasts
# ------------------
# Without draws, the engines agree to rounding. With the default draws, the cluster
# draws other rows than one machine does, as another seed would, and the differences
# are of the same order of magnitude as between two seeds.

pairs = {
    "cluster, no draws": "one machine, no draws",
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
