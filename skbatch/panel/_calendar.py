"""How many rows of a panel make a year, and which tickers trade on which days."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._fields import panel_fields, panel_tickers

WEEKDAYS_PER_YEAR = 252.0
_DAYS_PER_YEAR = 365.25
# Rows a year by how many days of the week have them. Six is five and one more, with
# the same share of holidays.
_DAILY = {6: 302.0, 7: 365.0}
_STEPS = {
    52.0: "a week",
    26.0: "two weeks",
    24.0: "half a month",
    12.0: "a month",
    6.0: "two months",
    4.0: "a quarter",
    2.0: "half a year",
    1.0: "a year",
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SPACED = (52.0, 26.0, 24.0, 12.0, 6.0, 4.0, 2.0, 1.0)
# Wide enough for months and for holidays, narrow enough to separate 26 from 24.
_TOLERANCE = 0.035
# Longer steps, in days and in those that are usual, are holes.
_LONGEST_WEEKEND = 5
_LONGEST_STEP = 1.5
# Rows a year below which some of the trading days must be missing: China has 243.
_FEWEST_DAILY = 215
# Closures around New Year weigh too much in fewer rows.
_ENOUGH_ROWS = 30
# A ticker is closed on a day of the week that has a tenth as many rows as others, and
# on less than a fifth as many of them a value as on its best day. Gaps, holidays and
# special sessions are none of that, and so never split tickers that trade together.
_LEAST_ROWS, _CLOSED, _ENOUGH_VALUES = 0.1, 0.2, 60


def periods_per_year(index: pd.Index) -> float:
    """Return how many rows of a panel make a year, judged by its dates.

    Parameters
    ----------
    index : Index
        Index of a panel: increasing dates, periods, or numbers.

    Returns
    -------
    float
        365 for rows on seven days of the week, 302 on six, 252 on five or fewer; 52 for
        weekly rows, 26, 24, 12 for monthly ones, 6, 4 for quarterly ones, 2 or 1.
        252 for numbers, which do not show it: pass your own if you know better.

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


def rows_per_year(index: pd.Index) -> float:
    """Return the rows in a year; NaN if the dates do not show it."""
    try:
        return periods_per_year(index)
    except PanelError:
        return float("nan")


def describe_rows(horizon: Any, spacing: float | pd.Index) -> str:
    """Write a horizon in rows, and what a row is where it is no day."""
    if isinstance(spacing, pd.Index):
        spacing = rows_per_year(spacing)
    step = _STEPS.get(spacing)
    text = f"{horizon} row" if horizon == 1 else f"{horizon} rows"
    return f"{text} of {step} each" if step else text


def mixed_calendars(panel: pd.DataFrame) -> str | None:
    """Describe the tickers that trade on other days of the week than the rest."""
    # None without dates, with several rows a day, or if all tickers share one calendar.
    closes = panel_fields(panel)["close"]
    known = ~np.isnan(closes)
    known[1:] &= ~_carried(closes)
    numbers = number_calendars(panel.index, known)
    if not numbers.any():
        return None
    days = pd.DatetimeIndex(panel.index).tz_localize(None).normalize()
    if days.has_duplicates:
        return None
    tickers = np.array(panel_tickers(panel), dtype=object)
    sizes = np.bincount(numbers)
    groups = {
        _days_of(panel.index, known[:, numbers == number]): tickers[numbers == number]
        for number in np.argsort(-sizes, kind="stable")
    }
    fewest = min(groups, key=int.bit_count)
    return (
        f"Tickers should share one calendar. Got {_name_groups(groups, len(tickers))}, "
        "whose returns over the same rows cover different days. Forecast each group in "
        "a panel of its own, or keep only the days on which "
        f"{groups[fewest][0]} trades."
    )


def _carried(closes: np.ndarray) -> np.ndarray:
    """Find prices carried forward, as over weekends, of tickers that move often."""
    moves = np.isfinite(closes[1:] - closes[:-1]) & (closes[1:] != closes[:-1])
    often = moves.sum(axis=0) >= _ENOUGH_VALUES
    return np.asarray(often & (closes[1:] == closes[:-1]))


def number_calendars(index: pd.Index, known: np.ndarray) -> np.ndarray:
    """Group tickers by the days of the week on which they do not trade."""
    # Days count from a ticker's first value to its last. One with fewer than 60 values
    # counts with the most.
    together = np.zeros(known.shape[1], dtype=np.intp)
    if not isinstance(index, pd.DatetimeIndex) or not known.size:
        return together
    is_day = index.day_of_week.to_numpy() == np.arange(7)[:, None]
    counts = np.stack([known[rows].sum(axis=0) for rows in is_day])
    enough = counts.sum(axis=0) >= _ENOUGH_VALUES
    if not enough.any():
        return together
    before = np.concatenate([np.zeros((7, 1), int), is_day.cumsum(axis=1)], axis=1)
    stop = len(known) - known[::-1].argmax(axis=0)
    rows = before[:, stop] - before[:, known.argmax(axis=0)]
    rate = counts / np.maximum(rows, 1)
    closed = (rows >= _LEAST_ROWS * rows.max(axis=0)) & (
        rate < _CLOSED * rate.max(axis=0)
    )
    codes = (1 << np.arange(7)) @ closed
    most = np.bincount(codes[enough]).argmax()
    return np.unique(np.where(enough, codes, most), return_inverse=True)[1]


def _days_of(index: pd.Index, known: np.ndarray) -> int:
    """Return the days of the week on which tickers trade, one bit for each."""
    day = pd.DatetimeIndex(index).day_of_week.to_numpy()
    counts = np.bincount(day, weights=known.sum(axis=1), minlength=7)
    return int((1 << np.arange(7)) @ (counts >= _CLOSED * counts.max()))


def _name_groups(groups: dict[int, np.ndarray], n_tickers: int) -> str:
    """List calendars with the number of their tickers and the first of these."""
    texts: list[str] = []
    for code, tickers in groups.items():
        total = "" if texts else f" of {n_tickers} tickers"
        noun = "one" if texts else "calendar"
        texts.append(
            f"{len(tickers)}{total} with a {_name_calendar(code)} {noun} "
            f"({format_tickers(tickers)})"
        )
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def _name_calendar(code: int) -> str:
    """Name the days of a calendar by their number, unusual ones by their names."""
    name = f"{code.bit_count()}-day"
    if code in (0b11111, 0b1111111):
        return name
    days = [day for number, day in enumerate(_DAYS) if code >> number & 1]
    return f"{name} ({', '.join(days)})"


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
    """Create the error for dates that do not show the rows in a year."""
    return PanelError(
        "The dates must show how many rows make a year. Got "
        f"{found}. Pass `periods_per_year`{', ' * bool(example)}{example}."
    )
