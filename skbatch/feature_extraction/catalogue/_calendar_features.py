"""The calendar date of the row, known in advance; only with a DatetimeIndex."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skbatch.feature_extraction._context import Universe
from skbatch.feature_extraction._registry import feature

_NEEDS = ("dates",)


def _dates(universe: Universe) -> pd.DatetimeIndex:
    assert universe.dates is not None
    return pd.DatetimeIndex(universe.dates[universe.rows])


@feature("calendar", scope="market", needs=_NEEDS, lookback=lambda _: 0)
def day_of_week(universe: Universe) -> np.ndarray:
    """Day of the week, from 0 (Monday) to 6 (Sunday).

    References
    ----------
    French, K. R. (1980). Stock returns and the weekend effect. Journal of Financial
    Economics, 8(1), 55–69. https://doi.org/10.1016/0304-405X(80)90021-5
    """
    return _dates(universe).day_of_week.to_numpy()


@feature("calendar", scope="market", needs=_NEEDS, lookback=lambda _: 0)
def day_of_month(universe: Universe) -> np.ndarray:
    """Day of the month, from 1 to 31."""
    return _dates(universe).day.to_numpy()


@feature("calendar", scope="market", needs=_NEEDS, lookback=lambda _: 0)
def days_to_month_end(universe: Universe) -> np.ndarray:
    """Calendar days left in the month, from 30 to 0.

    References
    ----------
    Lakonishok, J. and Smidt, S. (1988). Are seasonal anomalies real? A ninety-year
    perspective. The Review of Financial Studies, 1(4), 403–425.
    https://doi.org/10.1093/rfs/1.4.403
    """
    dates = _dates(universe)
    return (dates.days_in_month - dates.day).to_numpy()


@feature("calendar", scope="market", needs=_NEEDS, lookback=lambda _: 0)
def month(universe: Universe) -> np.ndarray:
    """Month of the year, from 1 to 12.

    References
    ----------
    Heston, S. L. and Sadka, R. (2008). Seasonality in the cross-section of stock
    returns. Journal of Financial Economics, 87(2), 418–445.
    https://doi.org/10.1016/j.jfineco.2007.02.003
    """
    return _dates(universe).month.to_numpy()


@feature("calendar", scope="market", needs=_NEEDS, lookback=lambda _: 1)
def days_since_last_row(universe: Universe) -> np.ndarray:
    """Days since the row before: 1 on most days, 3 after a weekend.

    By the clock of the dates' time zone, so that a weekend on which the clocks change
    is as long as others.
    """
    assert universe.dates is not None
    dates = universe.dates.tz_localize(None)
    days = (dates[1:] - dates[:-1]) / pd.Timedelta(days=1)
    return np.concatenate([[np.nan], days.to_numpy()])[universe.rows]
