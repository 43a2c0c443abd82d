"""Walk forward with and without a real signal: implied volatility of 20 US stocks.

Usage::

    python docs/experiments/implied_volatility.py IMPLIED.parquet [--prices PRICES]
        [--horizons H ...] [--first-year YEAR]

`IMPLIED` is a table of annual implied volatilities, dates × tickers; prices are by
default those of `load_sp500_prices`. The default forecaster is refitted at the start of
each year on all rows before. The table has the rank IC with its standard error over
dates whose labels do not overlap, the R² against forecasting zero, width and coverage
of the 90% interval, and the QLIKE of the expected volatility: the mean of
r − log r − 1, with r the realized variance of the rows that follow over the expected.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from skbatch import (
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch.datasets import load_sp500_prices
from skbatch.forecasting._label_layout import check_features
from skbatch.metrics import interval_coverage, interval_width
from skbatch.panel import join_signals

# By name, whether it is a signal, and an input of the expected volatility by its name.
WAYS = {
    "without": None,
    "as a signal": "from_options",
    "in the volatility, too": "implied_volatility",
}


def yearly(
    prices: pd.DataFrame, implied: pd.DataFrame, horizon: int, way: str, first: int
) -> pd.DataFrame:
    """Forecast each year from a fit at its start, what and how surely."""
    name = WAYS[way]
    panel = join_signals(prices, {name: implied}) if name else prices
    X = SharedFeatureExtractor().fit_transform(panel)
    y = forward_returns(prices, horizon)
    parts = []
    for year in range(first, X.index[-1].year + 1):
        past, new = X[X.index.year < year], X[X.index.year == year]
        model = FallbackForecaster(BatchXGBoostForecaster()).fit(
            past, y.loc[past.index]
        )
        lower, upper = model.predict_interval(new, coverage=0.9)
        layout, scale = model.layout_, model.calibration_.scale
        features = check_features(model, new, reset=False)
        volatility = layout.wrap(scale.matrix(features, layout), new.index)
        tables = {
            "forecast": model.predict(new),
            "lower": lower,
            "upper": upper,
            "volatility": volatility / np.sqrt(horizon),
        }
        parts.append(pd.concat(tables, axis=1))
    return pd.concat(parts)


def daily_ic(forecasts: pd.DataFrame, labels: pd.DataFrame) -> pd.Series:
    """Rank correlation of each date."""
    return forecasts.rank(axis=1).corrwith(labels.rank(axis=1), axis=1).dropna()


def mean_error(values: pd.Series, horizon: int) -> str:
    """Mean, and its standard error over dates whose labels do not overlap."""
    apart = values.iloc[::horizon]
    return f"{values.mean():+.4f} ± {apart.std() / np.sqrt(len(apart)):.4f}"


def qlike(realized: pd.DataFrame, variance: pd.DataFrame) -> pd.Series:
    """QLIKE of each date."""
    ratio = realized / variance
    return (ratio - np.log(ratio) - 1).mean(axis=1).dropna()


def rows_of(
    prices: pd.DataFrame, implied: pd.DataFrame, horizon: int, first: int
) -> Iterator[dict[str, Any]]:
    """Score each way, and its difference from the first, date by date."""
    labels = forward_returns(prices, horizon)
    squares = np.log(prices).diff() ** 2
    realized = squares.rolling(horizon).mean().shift(-horizon)
    realized = realized.where(realized > 1e-10)
    before: tuple[pd.Series, pd.Series] | None = None
    for way in WAYS:
        found = yearly(prices, implied, horizon, way, first)
        actual, forecasts = labels.loc[found.index], found["forecast"]
        ics = daily_ic(forecasts, actual)
        loss = qlike(realized.loc[found.index], found["volatility"] ** 2)
        known = actual.notna()
        miss = ((actual - forecasts) ** 2).where(known).sum().sum()
        total = (actual**2).where(known).sum().sum()
        lower, upper = found["lower"], found["upper"]
        better = (pd.Series(0.0, ics.index), pd.Series(0.0, loss.index))
        if before is not None:
            better = (ics - before[0]).dropna(), (loss - before[1]).dropna()
        before = before or (ics, loss)
        yield {
            "horizon": horizon,
            "way": way,
            "rank IC": mean_error(ics, horizon),
            "difference": mean_error(better[0], horizon),
            "R² zero %": f"{100 * (1 - miss / total):+.2f}",
            "coverage %": f"{100 * interval_coverage(actual, lower, upper):.1f}",
            "width %": f"{100 * interval_width(lower, upper):.2f}",
            "QLIKE": f"{loss.mean():.4f}",
            "its difference": mean_error(better[1], horizon),
        }


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("implied")
    parser.add_argument("--prices")
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 5, 21])
    parser.add_argument("--first-year", type=int, default=2013)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    implied = pd.read_parquet(given.implied)
    prices = read_panel(given.prices) if given.prices else load_sp500_prices()
    prices = prices.loc[implied.index[0] : implied.index[-1]]
    for horizon in given.horizons:
        for row in rows_of(prices, implied, horizon, given.first_year):
            print("|", " | ".join(map(str, row.values())), "|", flush=True)


if __name__ == "__main__":
    main()
