"""Time the pooled batch against one ticker at a time, with the accuracy of both.

Usage::

    python tests/benchmarks/batch_vs_individual.py PRICES.parquet

Both ways extract features, fit the same XGBoost settings on all rows but the last
year, and forecast that year. They run in turn in one process; the times are those of
the repetition whose ratio is the median.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd

from skbatch import BatchXGBoostForecaster, read_panel
from skbatch.batch import compare_batch_vs_individual
from skbatch.exceptions import SkbatchWarning


def compare(prices: pd.DataFrame, horizon: int, repeats: int) -> dict[str, float]:
    """Run both ways, and tabulate what they take and find."""
    comparison = compare_batch_vs_individual(
        prices, horizon=horizon, forecaster=BatchXGBoostForecaster(), repeats=repeats
    )
    batch, single = (comparison.table.loc[way] for way in ("batch", "individual"))
    return {
        "tickers": comparison.n_tickers,
        "batch s": batch["seconds"],
        "individual s": single["seconds"],
        "time saved %": 100 * comparison.time_saved,
        "batch MiB": batch["peak_bytes"] / 2**20,
        "individual MiB": single["peak_bytes"] / 2**20,
        "rank IC batch": batch["rank_ic"],
        "rank IC individual": single["rank_ic"],
        "R² batch %": 100 * batch["r2"],
        "R² individual %": 100 * single["r2"],
        "failed individually": len(comparison.failures),
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
