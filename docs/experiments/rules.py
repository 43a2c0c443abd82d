"""Compare the default trees with ridge regression and rules of one line.

Usage::

    python docs/experiments/rules.py PRICES [--step N] [--horizons N …] [--seeds N]

`PRICES` is a file that :func:`skbatch.read_panel` reads. Models are refitted every
`step` rows, from 40% of the rows on, and forecast the rows up to the next fit. Rules
rank by the loss over the last row (reversal), by the return over 252 rows without the
last 21 (momentum), and by the mean return up to the date.
"""

from __future__ import annotations

import argparse
import warnings

import pandas as pd
from labels import rank_ic, walk

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch.metrics import mean_inference


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prices")
    parser.add_argument("--step", type=int, default=252)
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 5, 21])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    panel = read_panel(given.prices)
    close = panel["Close"] if panel.columns.nlevels > 1 else panel
    X = SharedFeatureExtractor().fit_transform(close)
    rules = {
        "reversal": -close.pct_change(fill_method=None),
        "momentum": close.shift(21) / close.shift(252) - 1,
        "mean": close.pct_change(fill_method=None).expanding(63).mean(),
    }
    print("| horizon | default | ridge | reversal | momentum | mean | gap | t |")
    print("|---" * 8 + "|")
    for horizon in given.horizons:
        y = forward_returns(close, horizon)
        models = [BatchXGBoostForecaster(random_state=n) for n in range(given.seeds)]
        walks = [walk(model, X, y, given.step) for model in models]
        tables = {"ridge": walk(BatchLinearForecaster(), X, y, given.step), **rules}
        dates = walks[0].index
        series = {n: rank_ic(t.loc[dates], y.loc[dates]) for n, t in tables.items()}
        seeds = [rank_ic(forecasts, y.loc[dates]) for forecasts in walks]
        default = pd.concat(seeds, axis=1).mean(axis=1)
        best = max(series.values(), key=lambda ics: ics.mean())
        gap = mean_inference(default - best, horizon=horizon)
        cells = [f"{ics.mean():+.4f}" for ics in (default, *series.values())]
        cells += [f"{gap.mean:+.4f}", f"{gap.t_statistic:+.1f}"]
        print(f"| {horizon} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
