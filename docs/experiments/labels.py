"""Compare the defaults: scaled returns and 300 trees, or ranks and half the trees.

Usage::

    python docs/experiments/labels.py PRICES [--step N] [--horizons N …] [--seeds N]

`PRICES` is a file that :func:`skbatch.read_panel` reads. Models are refitted every
`step` rows, from 40% of the rows on, and forecast the rows up to the next fit. Other
shares of rows and inputs for each tree are compared with `--shares 0.3 0.3`, another
number of trees with `--trees 150`, a least skill with `--min-skill 0`, every fifth date
with `--thin 5`, and fewer inputs with `--without market__`, a regular expression that
their names match.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch.forecasting import ReturnTarget
from skbatch.metrics import mean_inference

# The trees that were the default when scaled returns were learned by default.
BEFORE = {
    "n_estimators": 300,
    "learning_rate": 0.03,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "max_bin": 64,
}


def make(model: str, label: Any, seed: int, settings: dict[str, Any]) -> Any:
    """Create a forecaster that learns a label, with the trees of its time."""
    target = ReturnTarget(label=label)
    if model == "ridge":
        return BatchLinearForecaster(target=target)
    trees = BEFORE if label == "scaled" else settings
    forecaster = BatchXGBoostForecaster(target=target, random_state=seed)
    return forecaster.set_params(**trees)


def walk(model: Any, X: pd.DataFrame, y: pd.DataFrame, step: int) -> pd.DataFrame:
    """Forecast the later 60% of the rows, refitting every `step` rows."""
    starts = range(int(len(X) * 0.4), len(X), step)
    parts = [model.fit(X[:a], y[:a]).predict(X[a : a + step]) for a in starts]
    return pd.concat(parts)


def rank_ic(forecasts: pd.DataFrame, returns: pd.DataFrame) -> pd.Series:
    """Compute the rank correlation of each date."""
    known = forecasts.notna() & returns.notna()
    ranks = (table.where(known).rank(axis=1) for table in (forecasts, returns))
    first, second = (table.sub(table.mean(axis=1), axis=0) for table in ranks)
    product = (first * second).mean(axis=1)
    return product / np.sqrt((first**2).mean(axis=1) * (second**2).mean(axis=1))


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prices")
    parser.add_argument("--step", type=int, default=252)
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 5, 21])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--shares", type=float, nargs=2, default=[])
    parser.add_argument("--trees", type=int)
    parser.add_argument("--min-skill", type=float)
    parser.add_argument("--without")
    parser.add_argument("--thin", type=int)
    given = parser.parse_args()
    settings = dict(zip(("subsample", "colsample_bytree"), given.shares, strict=False))
    settings |= {"n_estimators": given.trees} if given.trees else {}
    settings |= {"target__min_skill": given.min_skill}
    settings |= {"target__thin": given.thin} if given.thin else {}
    warnings.simplefilter("ignore")
    panel = read_panel(given.prices)
    close = panel["Close"] if panel.columns.nlevels > 1 else panel
    X = SharedFeatureExtractor().fit_transform(close)
    if given.without:
        X = X.loc[:, ~X.columns.str.contains(given.without)]
    print("| horizon | model | label | R² % | rank IC | t | rank − scaled | t |")
    print("|---" * 8 + "|")
    for horizon in given.horizons:
        y = forward_returns(close, horizon)
        for model in ("trees", "ridge"):
            series: dict[str, pd.Series] = {}
            for label in ("scaled", "rank"):
                n_seeds = given.seeds if model == "trees" else 1
                found = [
                    walk(make(model, label, seed, settings), X, y, given.step)
                    for seed in range(n_seeds)
                ]
                returns = y.loc[found[0].index]
                ics = [rank_ic(forecasts, returns) for forecasts in found]
                series[label] = pd.concat(ics, axis=1).mean(axis=1)
                known = returns.notna() & found[0].notna()
                error, zero = (
                    np.mean([np.nansum((returns - f).where(known) ** 2) for f in fs])
                    for fs in (found, [0 * f for f in found])
                )
                own = mean_inference(series[label], horizon=horizon)
                cells = [f"{100 * (1 - error / zero):+.2f}"]
                cells += [f"{own.mean:+.4f}", f"{own.t_statistic:+.1f}"]
                if label == "rank":
                    gap = series["rank"] - series["scaled"]
                    paired = mean_inference(gap, horizon=horizon)
                    cells += [f"{paired.mean:+.4f}", f"{paired.t_statistic:+.1f}"]
                else:
                    cells += ["", ""]
                print(f"| {horizon} | {model} | {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
