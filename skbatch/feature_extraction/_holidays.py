"""Days without a row: holidays, as in the years before, or rows that are missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from datetime import date, timedelta

import pandas as pd

_DAY = timedelta(days=1)
_YEARS = 3  # that are looked back on
_LEAST_DAYS = 372  # of history, so that every holiday was seen once


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
