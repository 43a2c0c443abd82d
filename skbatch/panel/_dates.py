"""Dates of tables as people store them: text, whole numbers, local times."""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.tseries.api import guess_datetime_format

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._long import pick_one
from skbatch.panel._spellings import is_date_name

_MONTH = r"[^\W\d_]{3,9}"
_DATE = re.compile(
    r"\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}\s*$|\d{4}[-/]\d\d\s*$|\d{8}[ T]\d{4,6}"
    rf"|\d{{1,2}}[-. ]{{1,2}}{_MONTH}\.?[-, ]+\d{{2,4}}"
    rf"|{_MONTH}\.? \d{{1,2}},? \d{{4}})"
)
_DAY_MONTH = r"^\s*(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?!\d)"
_SHORT_YEAR = re.compile(r"\d{1,2}-[A-Za-z]{3}-\d\d")
_OFFSET = r"(?<=:\d\d)(?:\.\d+)?([+-]\d\d:?\d\d)\s*$"

# Digits of figures such as 202401021630, least and largest value.
_FIGURES = {
    "%Y%m": (190001, 220012),
    "%Y%m%d": (19000101, 22001231),
    "%Y%m%d%H": (1900010100, 2200123123),
    "%Y%m%d%H%M": (190001010000, 220012312359),
    "%Y%m%d%H%M%S": (19000101000000, 22001231235959),
}
_EPOCHS: dict[Any, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_FIRST_SECOND, _LAST_SECOND = 1e8, 7.3e9  # 1973 to 2201
# 1980 to 2105 in days of a spreadsheet. Days since 1970 are fewer until 2050.
_FIRST_DAY, _LAST_DAY = 29_221, 75_000
_DAY_ZERO = "1899-12-30"
# Prices, too, may be round and rise for some rows.
_ENOUGH_ROWS = 5
_ROWS_OF_NUMBERS = 30


def is_datetime(values: pd.Index | pd.Series) -> bool:
    """Return whether values are dates already."""
    return types.is_datetime64_any_dtype(values.dtype) or isinstance(
        values.dtype, pd.PeriodDtype
    )


def is_date_text(value: object) -> bool:
    """Return whether text is a date written in figures, or with the name of a month."""
    return isinstance(value, str) and _DATE.match(value) is not None


def index_by_date(
    frame: pd.DataFrame, date: Hashable | None, needs_dates: bool, is_long: bool
) -> pd.DataFrame:
    """Set dates as the index; without any, keep row numbers where they are allowed."""
    column = _find_date_column(frame, date, is_long)
    if column is not None:
        name = column[0] if isinstance(column, tuple) else column
        index = pd.Index(frame[column], name=name)
        frame = frame.drop(columns=[column])
    elif types.is_numeric_dtype(frame.index.dtype) and not needs_dates:
        dates = None
        if not isinstance(frame.index, pd.RangeIndex):
            dates = numbers_to_dates(frame.index.to_numpy(), sure=True)
        if dates is None and is_long:
            raise PanelError(
                "A long table must hold dates. Got the columns "
                f"{format_tickers(frame.columns, 10)}. Name the column of dates with "
                "`date=...`."
            )
        return frame if dates is None else frame.set_axis(dates, axis=0)
    else:
        index = frame.index
    return frame.set_axis(parse_dates(index), axis=0)


def _find_date_column(
    frame: pd.DataFrame, date: Hashable | None, is_long: bool
) -> Hashable | None:
    """Find the column of dates, None if they are the index."""
    if date is not None:
        if date in frame.columns or date == frame.index.name:
            return date if date in frame.columns else None
        raise PanelError(
            f"`date` must be a column of the table. Got {date!r}. Choose from "
            f"{format_tickers(frame.columns, 10)}."
        )
    if isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex)) or frame.empty:
        return None
    columns = {c: _flat_name(c) for c in frame.columns if _flat_name(c) is not None}
    named = [c for c, name in columns.items() if is_date_name(name)]
    # TIME and DAY are tickers, too: a column of decimal numbers holds prices.
    named = [
        c
        for c in named
        if not types.is_float_dtype(frame[c].dtype) or _holds_dates(frame[c])
    ]
    if named:
        readable = [c for c in named if _holds_dates(frame[c])]
        return pick_one(readable or named, "dates", "date")
    first = frame.columns[0]
    if first in columns and _holds_dates(frame[first], numbers=False):
        return first
    if is_date_text(frame.index[0]):
        return None
    found = [
        c
        for c, name in columns.items()
        if is_date_name(name, maybe=True) and _holds_dates(frame[c])
    ]
    found = found or [c for c in columns if _holds_dates(frame[c], True, not is_long)]
    return pick_one(found, "dates", "date")


def _flat_name(column: Hashable) -> str | None:
    """Get the name of a column that has one; in two levels, the other is empty."""
    names = column if isinstance(column, tuple) else (column,)
    alone = isinstance(names[0], str) and not any(names[1:])
    return str(names[0]) if alone else None


def _holds_dates(
    values: pd.Series, sure: bool = False, rising: bool = True, *, numbers: bool = True
) -> bool:
    """Return whether a column holds dates, texts by the first of them."""
    if is_datetime(values):
        return True
    known = values.dropna()
    if known.empty or types.is_bool_dtype(values.dtype):
        return False
    if types.is_numeric_dtype(values.dtype):
        figures = values.to_numpy(dtype=np.float64, na_value=np.nan)
        dates = numbers_to_dates(figures, sure=sure, rising=rising) if numbers else None
        return dates is not None
    first = known.iloc[0]
    if isinstance(first, str) and first.strip().isdigit():
        figures = pd.to_numeric(known, errors="coerce").to_numpy(dtype=np.float64)
        return numbers_to_dates(figures, sure=sure, rising=rising) is not None
    return isinstance(first, datetime.date) or is_date_text(first)


def parse_dates(values: pd.Index) -> pd.Index:
    """Turn an index of anything that means dates into one of dates."""
    if isinstance(values, (pd.DatetimeIndex, pd.PeriodIndex)):
        return values
    texts = [value for value in values.unique() if isinstance(value, str)]
    figures = values
    if texts and all(text.strip().isdigit() for text in texts):
        figures = pd.Index(pd.to_numeric(values.to_series()))
    if types.is_numeric_dtype(figures.dtype):
        dates = None
        if not types.is_bool_dtype(figures.dtype):
            numbers = figures.to_numpy(dtype=np.float64, na_value=np.nan)
            dates = numbers_to_dates(numbers)
        if dates is None:
            raise _not_dates(values)
        return dates.rename(values.name)
    if _has_several_offsets(texts):
        # Daylight saving changes the offset. The local time keeps the trading day.
        values = values.str.replace(_OFFSET, "", regex=True)
        texts = list(values[:1])
    day_first = _day_first(texts, values.name)
    form = _find_format(texts[0].strip(), day_first) if texts else None
    if texts and form is None:
        raise _not_dates(values)
    try:
        values = values.str.strip() if texts else values
        return pd.DatetimeIndex(pd.to_datetime(values, format=form))
    except (ValueError, TypeError, AttributeError) as error:
        raise _not_dates(values) from error


def _find_format(text: str, day_first: bool) -> str | None:
    """Find the format of a date; without one, pandas would take 10:00 for today."""
    if _SHORT_YEAR.fullmatch(text):
        return "%d-%b-%y"
    return guess_datetime_format(text, dayfirst=day_first)


def _has_several_offsets(texts: Iterable[str]) -> bool:
    """Return whether times carry different offsets from universal time."""
    offsets = (re.search(_OFFSET, text) for text in texts)
    return len({match.group(1) for match in offsets if match}) > 1


def _day_first(texts: list[str], name: Hashable) -> bool:
    """Find out whether 03/04/2020 is the third of April, from the other dates."""
    matches = [re.match(_DAY_MONTH, text) for text in texts]
    parts = [match.groups() for match in matches if match]
    if not parts:
        return False
    first = max(int(part[0]) for part in parts)
    second = max(int(part[1]) for part in parts)
    short = any(len(part[2]) == 2 for part in parts)
    if short or (first <= 12 and second <= 12) or (first > 12 and second > 12):
        column = "X.index" if name is None else f"X[{name!r}]"
        year = "%y" if short else "%Y"
        separator = next(sign for sign in texts[0] if not sign.isdigit())
        day, month = (
            separator.join([*two, year]) for two in (["%d", "%m"], ["%m", "%d"])
        )
        raise PanelError(
            "Dates must have one meaning only. Got dates such as "
            f"{texts[0]!r}, whose day, month and year are ambiguous. Write "
            f"them as YYYY-MM-DD, or use `pd.to_datetime({column}, "
            f'format="{day}")` if the day comes first, `format="{month}"` if the '
            "month does."
        )
    return first > 12


def _not_dates(values: pd.Index) -> PanelError:
    """Describe what was found instead of dates."""
    name = "The index" if values.name is None else f"Column {values.name!r}"
    example = next(
        (
            v
            for v in values
            if pd.notna(v) and not (isinstance(v, str) and is_date_text(v))
        ),
        values[0],
    )
    return PanelError(
        f"{name} must hold dates. Got values such as {example!r}. Name the column of "
        "the dates with `date=...`, or write them as YYYY-MM-DD."
    )


def may_be_date(value: float) -> bool:
    """Return whether one number may be a date, before all are looked at."""
    if not np.isfinite(value) or value % 1:
        return False
    figures = any(low <= value <= high for low, high in _FIGURES.values())
    return figures or _FIRST_DAY <= value <= _LAST_DAY or value >= _FIRST_SECOND


def numbers_to_dates(
    values: np.ndarray, *, sure: bool = False, rising: bool = True
) -> pd.DatetimeIndex | None:
    """Read numbers as dates, None if they are none."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    if not len(known) or (sure and len(known) < len(numbers)):
        return None
    whole = bool((known % 1 == 0).all())
    if sure and not (whole and (not rising or _is_rising(known))):
        return None
    for form, (low, high) in _FIGURES.items():
        if whole and low <= known.min() and known.max() <= high:
            texts = pd.Series(numbers).map("{:.0f}".format, na_action="ignore")
            dates = pd.to_datetime(texts, format=form, errors="coerce")
            if dates.notna().sum() == len(known) and (not sure or len(known) > 1):
                return pd.DatetimeIndex(dates)
    return _since_epoch(values, known, sure, rising)


def counts_rows(values: np.ndarray) -> bool:
    """Return whether numbers change as rows, days or years do, and no prices."""
    # Whole steps in one direction, fractions of years, or figures that begin with the
    # day or month, as 31122024.
    if len(values) < _ROWS_OF_NUMBERS or not np.isfinite(values).all():
        return False
    if _is_rising(values):
        steps = np.diff(values)
        # An index of cash may rise as well, but hardly by a day's part of a year.
        years = values.min() >= 1900 and values.max() <= 2200
        daily = 1 / 400 <= abs(steps.mean()) <= 1 / 200
        return bool((steps == np.rint(steps)).all() or (years and daily))
    days, years = np.divmod(values, 10_000)
    parts = np.sort(np.divmod(days, 100), axis=0)
    return bool(
        (values == np.rint(values)).all()
        and ((years >= 1900) & (years <= 2200)).all()
        and ((parts[0] >= 1) & (parts[0] <= 12) & (parts[1] <= 31)).all()
    )


def _is_rising(values: np.ndarray) -> bool:
    """Return whether values change in one direction only."""
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


def _since_epoch(
    values: np.ndarray, known: np.ndarray, sure: bool, rising: bool
) -> pd.DatetimeIndex | None:
    """Read seconds since 1970, parts of them, or days of a spreadsheet."""
    if sure and len(known) < _ENOUGH_ROWS:
        return None
    for unit, scale in _EPOCHS.items():
        if _FIRST_SECOND * scale <= known.min() and known.max() <= _LAST_SECOND * scale:
            if sure and (known % (60 * scale)).any():
                return None
            return pd.DatetimeIndex(pd.to_datetime(pd.Series(values), unit=unit))
    if known.min() >= _FIRST_DAY and known.max() <= _LAST_DAY:
        if sure and (not rising or np.abs(np.diff(known)).max() > 31):
            return None
        days = pd.to_timedelta(pd.Series(values), unit="D")
        return pd.DatetimeIndex((pd.Timestamp(_DAY_ZERO) + days).dt.round("s"))
    return None
