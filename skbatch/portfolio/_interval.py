"""Intervals of returns in the forms that users have, and the deviations behind them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from skbatch.exceptions import PortfolioError

# What intervals that do not say it are taken to cover, as those of `predict_interval`:
# other coverages change a width by less than the comparison of sizes lets pass.
COVERAGE = 0.9


def read_interval(interval: Any) -> pd.DataFrame:
    """Read the last bounds of the returns over a horizon, by ticker."""
    if isinstance(interval, tuple):
        lower, upper = (_last(bound) for bound in interval)
        known = interval[0].attrs
    elif isinstance(interval, pd.DataFrame) and {"lower", "upper"} <= set(interval):
        lower, upper, known = interval["lower"], interval["upper"], interval.attrs
    else:
        raise PortfolioError(
            "`interval` must be a DataFrame with the columns lower and upper, or a "
            f"PredictionInterval. Got a {type(interval).__name__}. Pass what "
            "predict_interval returns."
        )
    table = pd.DataFrame({"lower": lower, "upper": upper}, dtype=np.float64)
    table.attrs = {
        name: known[name] for name in ("coverage", "horizon") if name in known
    }
    return table


def interval_deviations(interval: pd.DataFrame, coverage: float) -> pd.Series:
    """Return the standard deviations of normal variables that have such intervals."""
    z = norm.ppf((1.0 + coverage) / 2.0)
    return (interval["upper"] - interval["lower"]) / (2.0 * z)


def row_deviations(expected: Any) -> pd.Series | None:
    """Return the standard deviation of a row's return by the intervals, if any."""
    interval, horizon = expected.interval, expected.horizon
    if interval is None or horizon is None:
        return None
    coverage = interval.attrs.get("coverage", COVERAGE)
    deviations = interval_deviations(interval, coverage)
    # Not every model behind a forecast is calibrated.
    return deviations / math.sqrt(horizon) if deviations.notna().any() else None


def _last(bound: Any) -> pd.Series:
    """Return the last row of a table of bounds, by ticker."""
    if not isinstance(bound, pd.DataFrame) or bound.columns.nlevels > 1:
        raise PortfolioError(
            "`interval` must have a table of one horizon for each bound, with tickers "
            f"as columns. Got a {type(bound).__name__}. Pass tables of one horizon."
        )
    return bound.iloc[-1]
