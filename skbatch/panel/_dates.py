"""Dates of tables as people store them: text, whole numbers, local times."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterable

import pandas as pd
from pandas.api import types

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._long import pick_one

_DATES = {"date", "datetime", "timestamp", "time", "day"}
_DATE = re.compile(r"\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}\s*$)")
_DAY_MONTH = r"^\s*(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?!\d)"
_OFFSET = r"(?<=:\d\d)(?:\.\d+)?([+-]\d\d:?\d\d)\s*$"


def is_datetime(values: pd.Index | pd.Series) -> bool:
    """Tell whether values are dates already."""
    return types.is_datetime64_any_dtype(values.dtype)


def is_date_text(value: object) -> bool:
    """Tell whether text is a date written in figures."""
    return isinstance(value, str) and _DATE.match(value) is not None


def index_by_date(
    frame: pd.DataFrame, date: Hashable | None, needs_dates: bool
) -> pd.DataFrame:
    """Make dates the index; without any, keep row numbers where they are allowed."""
    column = _find_date_column(frame, date)
    if column is not None:
        name = column[0] if isinstance(column, tuple) else column
        index = pd.Index(frame[column], name=name)
        frame = frame.drop(columns=[column])
    elif types.is_numeric_dtype(frame.index.dtype) and not needs_dates:
        return frame
    else:
        index = frame.index
    return frame.set_axis(parse_dates(index), axis=0)


def _find_date_column(frame: pd.DataFrame, date: Hashable | None) -> Hashable | None:
    """Find the column of dates, None if they are the index."""
    if date is not None:
        if date in frame.columns or date == frame.index.name:
            return date if date in frame.columns else None
        raise PanelError(
            f"`date` must be a column of the table. Got {date!r}. The columns are "
            f"{format_tickers(frame.columns, 10)}."
        )
    if isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex)):
        return None
    # TIME and DAY are tickers, too: a column of decimal numbers holds prices.
    found = [
        column
        for column in frame.columns
        if _is_date_name(column) and not types.is_float_dtype(frame[column].dtype)
    ]
    first = frame.columns[0] if frame.size else None
    if not found and first is not None and _holds_dates(frame[first]):
        return first
    return pick_one(found, "dates", "date")


def _is_date_name(column: Hashable) -> bool:
    """Tell whether a column is named like dates; in two levels, one is empty."""
    names = column if isinstance(column, tuple) else (column,)
    parts = [str(name).strip().lower() for name in names]
    return parts[0] in _DATES and not any(parts[1:])


def _holds_dates(values: pd.Series) -> bool:
    """Tell by the first value whether a column holds dates."""
    return is_datetime(values) or is_date_text(values.iloc[0])


def parse_dates(values: pd.Index) -> pd.Index:
    """Turn an index of anything that means dates into one of dates.

    Raises where a date can be read in two ways.
    """
    if isinstance(values, (pd.DatetimeIndex, pd.PeriodIndex)):
        return values
    if types.is_integer_dtype(values.dtype):
        if not all(19000101 <= value <= 22001231 for value in values):
            raise _not_dates(values)
        values = values.astype(str)
    elif types.is_numeric_dtype(values.dtype):
        raise _not_dates(values)
    texts = [value for value in values.unique() if isinstance(value, str)]
    if _has_several_offsets(texts):
        # Daylight saving changes the offset. The local time keeps the trading day.
        values = values.str.replace(_OFFSET, "", regex=True)
    day_first = _day_first(texts)
    try:
        with warnings.catch_warnings():
            # pandas warns where it begins to guess: 10:00 would become today.
            warnings.simplefilter("error")
            return pd.DatetimeIndex(pd.to_datetime(values, dayfirst=day_first))
    except (ValueError, TypeError, Warning) as error:
        raise _not_dates(values) from error


def _has_several_offsets(texts: Iterable[str]) -> bool:
    """Tell whether times carry different offsets from universal time."""
    offsets = (re.search(_OFFSET, text) for text in texts)
    return len({match.group(1) for match in offsets if match}) > 1


def _day_first(texts: list[str]) -> bool:
    """Find out whether 03/04/2020 is the third of April, from the other dates."""
    matches = [re.match(_DAY_MONTH, text) for text in texts]
    parts = [match.groups() for match in matches if match]
    if not parts:
        return False
    first = max(int(part[0]) for part in parts)
    second = max(int(part[1]) for part in parts)
    short = any(len(part[2]) == 2 for part in parts)
    if short or (first <= 12 and second <= 12) or (first > 12 and second > 12):
        raise PanelError(
            "Dates must have one meaning only. Got dates such as "
            f"{texts[0]!r}, whose day, month and year cannot be told apart. Write "
            "them as YYYY-MM-DD, or convert them with `pd.to_datetime`."
        )
    return first > 12


def _not_dates(values: pd.Index) -> PanelError:
    """Say what was found instead of dates."""
    name = "The index" if values.name is None else f"Column {values.name!r}"
    example = values[:1].tolist()[0]
    return PanelError(
        f"{name} must hold dates. Got values such as {example!r}. Name the column of "
        "the dates with `date`, or convert them with `pd.to_datetime`."
    )
