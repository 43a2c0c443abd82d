"""Time the pooled batch against one ticker at a time, with the accuracy of both.

Usage::

    python tests/benchmarks/batch_vs_individual.py PRICES.parquet

Both ways extract features, fit the same XGBoost settings on all rows but the last
year, and forecast that year. They run in turn in one process; the medians of a few
repetitions and the ratio of each pair are reported.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch.exceptions import SkbatchWarning
from skbatch.metrics import out_of_sample_r2, rank_information_coefficient

HELD_OUT = 252


def forecast(prices: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Fit on all rows but the last year, forecast the last year."""
    y = forward_returns(prices, horizon)
    model = make_pipeline(
        SharedFeatureExtractor(cache_size=0), BatchXGBoostForecaster()
    )
    model.fit(prices.iloc[:-HELD_OUT], y.iloc[:-HELD_OUT])
    return model.predict(prices.iloc[-HELD_OUT:])


def individually(prices: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Do the same for one ticker after another."""
    return pd.concat([forecast(prices[[t]], horizon) for t in prices], axis=1)


def timed(function, prices: pd.DataFrame, horizon: int) -> tuple[float, pd.DataFrame]:
    """Run one way and measure its wall time."""
    start = time.perf_counter()
    result = function(prices, horizon)
    return time.perf_counter() - start, result


def compare(prices: pd.DataFrame, horizon: int, repeats: int) -> dict[str, float]:
    """Run both ways in turn and score their forecasts."""
    pairs = []
    for _ in range(repeats):
        batch_time, batch = timed(forecast, prices, horizon)
        single_time, single = timed(individually, prices, horizon)
        pairs.append((batch_time, single_time))
    times = np.array(pairs)
    y = forward_returns(prices, horizon).loc[batch.index]
    return {
        "tickers": prices.shape[1],
        "batch s": np.median(times[:, 0]),
        "individual s": np.median(times[:, 1]),
        "time saved %": 100 * (1 - np.median(times[:, 0] / times[:, 1])),
        "rank IC batch": rank_information_coefficient(y, batch),
        "rank IC individual": rank_information_coefficient(y, single),
        "R² batch %": 100 * out_of_sample_r2(y, batch),
        "R² individual %": 100 * out_of_sample_r2(y, single),
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prices", type=Path, help="panel of daily prices")
    parser.add_argument("--tickers", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--horizon", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    prices = read_panel(arguments.prices, field="Close")
    complete = prices.loc[:, prices.notna().all()]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkbatchWarning)
        for n_tickers in arguments.tickers:
            chosen = complete.sample(n_tickers, axis=1, random_state=0)
            rows.append(compare(chosen, arguments.horizon, arguments.repeats))
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
