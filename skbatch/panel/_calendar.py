"""How many rows of a panel make a year."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skbatch.exceptions import PanelError

__all__ = ["WEEKDAYS_PER_YEAR", "periods_per_year"]

WEEKDAYS_PER_YEAR = 252.0
_DAYS_PER_YEAR = 365.25
# Rows a year by how many days of the week have them. Six is five and one more, with
# the same share of holidays.
_DAILY = {6: 302.0, 7: 365.0}
_SPACED = (52.0, 26.0, 24.0, 12.0, 6.0, 4.0, 2.0, 1.0)
# Wide enough for months and for holidays, narrow enough to tell 26 from 24.
_TOLERANCE = 0.035
# Longer steps, in days and in those that are usual, are holes.
_LONGEST_WEEKEND = 5
_LONGEST_STEP = 1.5
# Rows a year below which some of the trading days must be missing: China has 243.
_FEWEST_DAILY = 215
# Closures around New Year weigh too much in fewer rows.
_ENOUGH_ROWS = 30


def periods_per_year(index: pd.Index) -> float:
    """Tell from the dates of a panel how many rows make a year.

    Parameters
    ----------
    index : Index
        Index of a panel: increasing dates, periods, or numbers.

    Returns
    -------
    float
        365 for rows on seven days of the week, 302 on six, 252 on five or fewer; 52 for
        weekly rows, 26, 24, 12 for monthly ones, 6, 4 for quarterly ones, 2 or 1.
        252 for numbers, which do not tell: those who know better pass their own.

    Raises
    ------
    PanelError
        If there are several rows a day, if rows are missing so often that a year of
        them is not a year, or if there are fewer than two dates.

    Notes
    -----
    A day of the week counts if it has at least half as many rows as the commonest, so
    neither holidays nor a few rows on weekends change the result. Holes in the dates
    are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import periods_per_year
    >>> periods_per_year(pd.date_range("2024-01-01", periods=90, freq="B"))
    252.0
    >>> periods_per_year(pd.date_range("2024-01-01", periods=90, freq="D"))
    365.0
    >>> periods_per_year(pd.date_range("2024-01-01", periods=24, freq="ME"))
    12.0
    """
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        return WEEKDAYS_PER_YEAR
    # Local days: a change of the clocks makes days of 23 hours.
    dates = index.tz_localize(None).normalize()
    steps = np.diff(dates.to_numpy().astype("datetime64[D]")).astype(int)
    if not len(steps):
        raise _unknown("one row at most", "of a longer panel")
    if (steps == 0).mean() > _TOLERANCE:
        raise _unknown("several rows a day", "as 19656 for hours of 252 trading days")
    steps = steps[steps > 0]
    if np.median(steps) < 2:
        return _daily(dates, steps)
    return _spaced(steps)


def _daily(dates: pd.DatetimeIndex, steps: np.ndarray) -> float:
    """Count the days of the week that have rows."""
    rate = _rate(steps)
    if len(dates) >= _ENOUGH_ROWS and rate < _FEWEST_DAILY:
        raise _unknown(
            f"daily rows of which many are missing (about {rate:.0f} a year)", ""
        )
    counts = np.bincount(dates.day_of_week, minlength=7)
    n_days = int((2 * counts >= counts.max()).sum())
    return _DAILY.get(n_days, WEEKDAYS_PER_YEAR)


def _spaced(steps: np.ndarray) -> float:
    """Find the usual number that is nearest to the rate of the rows."""
    rate = _rate(steps)
    nearest = min(_SPACED, key=lambda number: abs(np.log(number / rate)))
    if abs(np.log(nearest / rate)) > _TOLERANCE:
        raise _unknown(f"rows at no usual distance (about {rate:.3g} a year)", "")
    return nearest


def _rate(steps: np.ndarray) -> float:
    """Count the rows of a year, without holes."""
    longest = max(_LONGEST_WEEKEND, _LONGEST_STEP * np.median(steps))
    return float(_DAYS_PER_YEAR / steps[steps <= longest].mean())


def _unknown(found: str, example: str) -> PanelError:
    """Make the error of dates that do not tell."""
    return PanelError(
        "The dates must tell how many rows make a year. Got "
        f"{found}. Pass `periods_per_year`{', ' * bool(example)}{example}."
    )
