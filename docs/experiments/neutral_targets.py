"""Compare targets relative to the market, to beta × the market and to group means.

Usage::

    OMP_NUM_THREADS=1 python docs/experiments/neutral_targets.py PRICES [GROUPS]

`PRICES` is a file that :func:`skbatch.read_panel` reads, `GROUPS` a CSV file of tickers
and their groups in its first two columns. Models are refitted every 252 rows. Forecasts
and returns are scored as they are, and as what remains of both beyond beta or groups.
"""

from __future__ import annotations

import argparse
import warnings

import pandas as pd
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    read_panel,
    walk_forward,
)
from skbatch.forecasting import ReturnTarget
from skbatch.metrics import (
    mean_inference,
    rank_information_coefficient_series,
    residual_forecasts,
)

HORIZON, REFIT, FIRST = 5, 252, 504


def rolling_beta(closes: pd.DataFrame) -> pd.DataFrame:
    """Regress the last 252 returns of each ticker on their mean over tickers."""
    returns = closes.pct_change(fill_method=None)
    market = returns.mean(axis=1)
    spread = market.rolling(252, min_periods=126).var()
    return returns.rolling(252, min_periods=126).cov(market).div(spread, axis=0)


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prices")
    parser.add_argument("groups", nargs="?")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    panel = read_panel(given.prices)
    closes = panel if panel.columns.nlevels == 1 else panel["Close"]
    groups = None
    if given.groups:
        known = pd.read_csv(given.groups, index_col=0).iloc[:, 0]
        groups = {ticker: known.get(ticker, "other") for ticker in closes}
    beta = rolling_beta(closes)
    for relative in (True, "beta", *(["group"] if groups else [])):
        model = make_pipeline(
            SharedFeatureExtractor(groups=groups),
            BatchXGBoostForecaster(target=ReturnTarget(relative)),
        )
        walk = walk_forward(
            model,
            panel,
            horizon=HORIZON,
            min_train=FIRST,
            refit_every=REFIT,
            benchmarks={},
        )
        dates = walk.forecasts.index
        parts = {"plain": {}, "beta": {"beta": beta.loc[dates]}}
        if groups:
            inside = {
                name: pd.DataFrame(
                    [[float(groups[ticker] == name) for ticker in closes]] * len(dates),
                    dates,
                    closes.columns,
                )
                for name in sorted(set(groups.values()))[1:]
            }
            parts["groups"] = inside
        for name, exposures in parts.items():
            tables = walk.returns, walk.forecasts
            if exposures:
                tables = tuple(residual_forecasts(t, exposures) for t in tables)
            found = mean_inference(
                rank_information_coefficient_series(*tables), horizon=HORIZON
            )
            cells = f"{relative} | {name} | {found.mean:.4f}"
            print(f"| {cells} | {found.standard_error:.4f} |", flush=True)


if __name__ == "__main__":
    main()
