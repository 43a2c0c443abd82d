"""Small synthetic feature frames and labels to try forecasters on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from skbatch.forecasting.engine import horizon_parameters
from skbatch.panel.engine import MARKET, join_column

N_DATES = 160
TICKERS = ("AAA", "BBB", "CCC", "DDD", "EEE")
FEATURES = ("log_return_5", "volatility_63", "sma_gap_21")
DEFAULT_HORIZON = 3


@dataclass(frozen=True)
class Case:
    """A feature frame, its labels, and what is known of them."""

    X: pd.DataFrame
    y: pd.DataFrame
    horizons: tuple[int, ...]
    delay: int = 0

    @property
    def known(self) -> np.ndarray:
        """Mark the labels that end within the rows, `(n_dates, n_labels)`."""
        left = np.arange(len(self.y))[::-1, None]
        return left >= np.asarray(self.horizons) + self.delay

    def delayed(self, delay: int) -> Case:
        """Return the case with labels that are recorded to start later."""
        case = replace(self.with_labels(self.y), delay=delay)
        case.y.attrs["delay"] = delay
        return case

    def with_labels(self, values: Any) -> Case:
        """Return a case with other labels in the same table."""
        y = pd.DataFrame(np.asarray(values), self.y.index, self.y.columns)
        y.attrs.update(self.y.attrs)
        return replace(self, y=y)

    def own_columns(self, ticker: str) -> list[str]:
        """Name the features of one ticker."""
        return [join_column(ticker, feature) for feature in FEATURES]


def make_case(forecaster: BaseEstimator, *, several_horizons: bool = False) -> Case:
    """Create features and labels that suit a forecaster's own horizon."""
    rng = np.random.default_rng(0)
    dates = pd.date_range("2020-01-01", periods=N_DATES, freq="B")
    size = (N_DATES, len(TICKERS))
    signal, noise = rng.normal(size=size), rng.normal(size=size)
    volatility = 0.01 * np.exp(0.2 * rng.normal(size=size))
    gap = 0.05 * rng.normal(size=size)
    X = _feature_frame(dates, (0.02 * signal, volatility, gap), rng)
    horizon = min(fixed_horizons(forecaster), default=DEFAULT_HORIZON)
    horizons = (horizon, horizon + 2) if several_horizons else (horizon,)
    labels = [
        np.sqrt(step) * volatility * (0.3 * signal + noise) + 0.001 * step
        for step in horizons
    ]
    values = np.hstack(labels)
    values[rng.random(values.shape) < 0.05] = np.nan
    X.loc[X.index[:30], [join_column(TICKERS[-1], name) for name in FEATURES]] = np.nan
    values[:30, len(TICKERS) - 1 :: len(TICKERS)] = np.nan
    columns = pd.Index(TICKERS)
    if several_horizons:
        columns = pd.MultiIndex.from_product(
            [horizons, TICKERS], names=["horizon", "ticker"]
        )
    y = pd.DataFrame(values, dates, columns)
    y.attrs["horizon"] = horizons if several_horizons else horizon
    return Case(X, y, tuple(np.repeat(horizons, len(TICKERS)).tolist()))


def fit(forecaster: BaseEstimator, case: Case) -> BaseEstimator:
    """Fit a clone of the forecaster."""
    return clone(forecaster).fit(case.X, case.y)


def fixed_horizons(forecaster: BaseEstimator) -> set[int]:
    """Find the horizons that a forecaster, or one inside it, is set to."""
    return {*horizon_parameters(forecaster).values()} - {"auto"}


def _feature_frame(
    dates: pd.Index, tables: tuple[np.ndarray, ...], rng: np.random.Generator
) -> pd.DataFrame:
    """Lay features side by side, then two columns of the market."""
    names = [join_column(ticker, name) for name in FEATURES for ticker in TICKERS]
    names += [join_column(MARKET, name) for name in ("return_21", "volatility_21")]
    market = 0.01 * rng.normal(size=(len(dates), 2))
    values = np.hstack([*tables, market]).astype(np.float32)
    return pd.DataFrame(values, dates, names)
