"""Steps between consecutive rows: which are usual, and which skip rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

# A step of a fitted panel is a gap if it skips more dates than any exchange holiday
# does, and is long for the panel, too.
_LONG_HOLIDAY = 10
_LONG_STEP = 5
_YEARS_DAYS = 1500  # in which holidays are looked for
_LONG_NUMBER = 15  # for numbers and periods, which do not show weekends
_DAY = timedelta(days=1)
_YEARS = 3  # that are looked back on for holidays
_LEAST_DAYS = 372  # of history, so that every holiday was seen once


@dataclass(frozen=True)
class Steps:
    """Lengths of the steps of the fitted rows."""

    row_step: int
    weekdays: tuple[bool, ...]
    is_daily: bool
    typical: float
    common: float
    largest: float
    limit: float

    @classmethod
    def of(cls, index: pd.Index, n_recent: int) -> Steps:
        """Measure the steps of an index; the last `n_recent` rows show the weekdays."""
        row_step = index.step if isinstance(index, pd.RangeIndex) else 0
        weekdays: tuple[bool, ...] = (False,) * 7
        is_daily = True
        if isinstance(index, pd.DatetimeIndex):
            month_ago = index.searchsorted(index[-1] - pd.Timedelta(days=31))
            recent = index[min(month_ago, max(0, len(index) - n_recent)) :]
            known = set(recent.day_of_week)
            weekdays = tuple(weekday in known for weekday in range(7))
            is_daily = bool(recent.normalize().is_unique)
        lengths = _lengths(index, row_step, weekdays)
        counts = row_step or any(weekdays)
        if not len(lengths):
            most = (0.0, float(_LONG_HOLIDAY)) if counts else (np.inf, np.inf)
            return cls(row_step, weekdays, is_daily, 0.0, most[0], *most)
        typical = float(np.median(lengths))
        limit = _LONG_NUMBER * typical
        if counts:
            limit = max(_LONG_HOLIDAY, _LONG_STEP * (typical + 1))
        usual = lengths[lengths <= limit]
        common = float(np.quantile(usual, 0.9, method="lower"))
        largest = float(usual.max())
        return cls(row_step, weekdays, is_daily, typical, common, largest, limit)

    def lengths(self, index: pd.Index) -> np.ndarray:
        """Measure the steps of other rows, `(n_rows - 1,)`."""
        return _lengths(index, self.row_step, self.weekdays)

    def thinned(self, lengths: np.ndarray) -> np.ndarray:
        """Return which of new rows' steps skip rows."""
        rare, long = lengths > self.largest, lengths > self.common
        is_hole = lengths > self.limit
        if 2 * rare.sum() > len(lengths):
            is_hole |= rare
        if 2 * long.sum() > len(lengths) and long.sum() > 2:
            is_hole |= long
        return is_hole

    def missed_days(self, fitted: pd.Index, seam: pd.Index) -> list[date]:
        """List days between two rows, not far apart, that are no usual holidays."""
        is_dense = self.is_daily and any(self.weekdays) and not self.typical
        if not is_dense or not self.lengths(seam)[0]:
            return []
        recent = fitted[fitted.searchsorted(seam[0] - pd.Timedelta(days=_YEARS_DAYS)) :]
        days = pd.date_range(*pd.DatetimeIndex(seam).tz_localize(None).normalize())
        trading = [day for day, known in enumerate(self.weekdays) if known]
        skipped = [day.date() for day in days[1:-1] if day.day_of_week in trading]
        return missed_days(skipped, set(pd.DatetimeIndex(recent).date), trading)

    def missing(self, before: pd.Index, after: pd.Index) -> pd.Index | None:
        """List the rows skipped between two rows; None if they are not known."""
        if self.row_step:
            end = int(np.ceil(after[0]))
            return pd.RangeIndex(before[0] + self.row_step, end, self.row_step)
        if not isinstance(before, pd.DatetimeIndex) or not self.is_daily:
            return None
        ends = _days(before.append(after))
        between = np.arange(ends[0] + np.timedelta64(1, "D"), ends[1])
        between = between[np.is_busday(between, list(self.weekdays))]
        every = int(self.typical) + 1
        missing = pd.DatetimeIndex(between[every - 1 :: every])
        if before.tz is not None:
            missing = missing.tz_localize(
                before.tz, nonexistent="shift_forward", ambiguous=True
            )
        return missing.as_unit(before.unit)

    def fillers(self, before: pd.Index, after: pd.Index, n_most: int) -> pd.Index:
        """Name missing rows between two rows, the last `n_most` of them."""
        missing = self.missing(before, after)
        if missing is not None and len(missing):
            return missing[-n_most:]
        if isinstance(before, pd.DatetimeIndex):
            return pd.date_range(before[0], after[0], periods=n_most + 2)[1:-1].as_unit(
                before.unit
            )
        if isinstance(before, pd.PeriodIndex):
            n_between = (after.astype("int64")[0] - before.astype("int64")[0]) - 1
            return pd.period_range(end=after[0] - 1, periods=min(n_between, n_most))
        return pd.Index(np.linspace(before[0], after[0], n_most + 2)[1:-1])


def _days(index: pd.Index) -> np.ndarray:
    """Select the days of dates."""
    return pd.DatetimeIndex(index).tz_localize(None).to_numpy().astype("datetime64[D]")


def _lengths(index: pd.Index, row_step: int, weekdays: tuple[bool, ...]) -> np.ndarray:
    """Measure steps: weekday dates or rows skipped, else differences."""
    if isinstance(index, pd.DatetimeIndex):
        days = _days(index)
        first = days[:-1] + np.timedelta64(1, "D")
        later = np.maximum(days[1:], first)
        return np.busday_count(first, later, list(weekdays)).astype(float)
    if isinstance(index, pd.PeriodIndex):
        return np.diff(index.astype("int64").to_numpy()).astype(float)
    gaps = np.diff(index.to_numpy(dtype=np.float64))
    return np.ceil(gaps / row_step) - 1 if row_step else gaps


def missed_days(
    skipped: Collection[date],
    known: Set[date],
    trading: Collection[int],  # weekdays on which there are rows, 0 for Monday
) -> list[date]:
    """Find the skipped days that were no holidays in the years before."""
    # A holiday is a day that had no row in at least two of the last three years, or in
    # the only one that is known: at the same date, with the days next to it if that
    # fell on a weekend; at the same weekday counted from the start or end of the
    # month; or at the same distance from Easter.
    first = min(known)

    def is_closed(day: date) -> bool:
        return day.weekday() in trading and day not in known

    def is_holiday(day: date) -> bool:
        years = [
            n for n in range(1, _YEARS + 1) if day - n * _LEAST_DAYS * _DAY > first
        ]
        by_rule = zip(
            *(_same_days(day, day.year - n, trading) for n in years), strict=True
        )
        counts = [
            sum(any(map(is_closed, days)) for days in rule_days)
            for rule_days in by_rule
        ]
        return not years or max(counts) >= min(2, len(years))

    return [day for day in skipped if not is_holiday(day)]


def _same_days(day: date, year: int, trading: Collection[int]) -> Iterator[list[date]]:
    """List what a day would be in another year, by each rule for holidays."""
    yield [
        seen
        for fixed in _observed_for(day, trading)
        for seen in _observed(_in_year(fixed, year + fixed.year - day.year), trading)
    ]
    start, end = date(year, day.month, 1), _month_end(year, day.month)
    since = start + (day.weekday() - start.weekday()) % 7 * _DAY
    nth = since + (day.day - 1) // 7 * 7 * _DAY
    until = end - (end.weekday() - day.weekday()) % 7 * _DAY
    from_end = (_month_end(day.year, day.month) - day).days // 7
    last = until - from_end * 7 * _DAY
    yield [nth] if nth.month == day.month else []
    yield [last] if last.month == day.month else []
    yield [_easter(year) + (day - _easter(day.year))]


def _observed(holiday: date, trading: Collection[int]) -> list[date]:
    """List the days on which a date may be observed."""
    if holiday.weekday() in trading:
        return [holiday]
    near = [holiday + n * _DAY for n in (-1, 1, 2)]
    return [day for day in near if day.weekday() in trading]


def _observed_for(day: date, trading: Collection[int]) -> list[date]:
    """List the dates that may be observed on a day."""
    near = [day - n * _DAY for n in (-1, 1, 2)]
    return [day, *(other for other in near if other.weekday() not in trading)]


def _in_year(day: date, year: int) -> date:
    """Return the same date of another year, 28 February for the 29th."""
    return day.replace(
        year=year, day=28 if (day.month, day.day) == (2, 29) else day.day
    )


def _month_end(year: int, month: int) -> date:
    return (pd.Timestamp(year, month, 1) + pd.offsets.MonthEnd()).date()


def _easter(year: int) -> date:
    return (pd.Timestamp(year, 1, 1) + pd.offsets.Easter()).date()
