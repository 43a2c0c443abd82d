"""Tables of any usual shape, arranged as panels are."""

from __future__ import annotations

import string
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._dates import index_by_date, is_datetime
from skbatch.panel._flat import is_single_ticker, split_columns
from skbatch.panel._identifiers import name_by_id
from skbatch.panel._long import find_ticker_column, pivot_long, ticker_texts
from skbatch.panel._numbers import texts_to_numbers
from skbatch.panel._spellings import (
    EXTRA,
    OTHER,
    canonical_fields,
    find_row_numbers,
    has_close,
    is_ticker_name,
)
from skbatch.panel._suspects import check_names

# Spaces, and spaces of no width.
_UNSEEN = string.whitespace + "\xa0\u3000\u200b\u200c\u200d\u2060\ufeff"


def adopt_table(X: Any) -> Any:
    """Convert a table of another library, such as polars, to a panel."""
    # Dates and tickers are found as `read_panel` finds them; other objects come back as
    # they are.
    table = to_pandas(X)
    if table is X or not isinstance(table, pd.DataFrame):
        return X
    return arrange_table(table)


def to_pandas(table: Any) -> Any:
    """Turn a table of another library into one of pandas, leave the rest as it is."""
    if hasattr(table, "collect") and not hasattr(table, "to_pandas"):
        table = table.collect()  # lazy tables of polars
    if not hasattr(table, "to_pandas"):
        return table
    try:
        return table.to_pandas()
    except ImportError as error:
        raise ImportError(
            f"Reading tables of {type(table).__module__.partition('.')[0]} needs "
            'pyarrow. Install it with `pip install "skbatch[parquet]"`.'
        ) from error


def arrange_table(
    frame: pd.DataFrame,
    *,
    date: Hashable | None = None,
    ticker: str | None = None,
    value: str | None = None,
    id: str | None = None,
    needs_dates: bool = False,
) -> pd.DataFrame:
    """Find dates and tickers, and give a table a shape that `check_panel` takes."""
    # `needs_dates` refuses row numbers in place of dates; the rest is as in
    # `read_panel`.
    frame = _strip_names(frame)
    is_long, ids = False, None
    if frame.columns.nlevels == 1:
        _check_unique(frame.columns)
        check_names(frame)
        frame = _drop_row_numbers(_flatten_index(frame))
        if id in frame.columns:
            ids, frame = frame[id], frame.drop(columns=[id])
        if id is None or ids is not None:
            is_long = find_ticker_column(frame, ticker) is not None
    if id is not None and not is_long:
        raise PanelError(
            "`id` must be a column of a long table, beside one of tickers. Got "
            f"{id!r}. The columns are {format_tickers(frame.columns, 10)}. Without "
            "tickers, pass that column as `ticker`."
        )
    frame = index_by_date(frame, date, needs_dates, is_long)
    if frame.columns.nlevels == 1:
        frame = split_columns(_tickers_to_columns(frame, ticker, value, ids))
    if not frame.index.is_monotonic_increasing:
        frame = frame.sort_index(kind="stable")
    return texts_to_numbers(frame, _needed(frame.columns))


def _strip_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Strip names, because some programs pad columns with spaces."""
    columns = frame.columns
    names = columns.tolist()
    stripped: list[Any]
    if columns.nlevels > 1:
        stripped = [tuple(map(_strip, name)) for name in names]
        index = pd.MultiIndex.from_tuples(stripped, names=columns.names)
    else:
        stripped = [_strip(name) for name in names]
        index = pd.Index(stripped, name=columns.name)
    return frame if stripped == names else frame.set_axis(index, axis=1)


def _strip(name: Hashable) -> Hashable:
    """Strip spaces and invisible characters from text."""
    return name.strip(_UNSEEN) if isinstance(name, str) else name


def _needed(columns: pd.Index) -> list[int]:
    """Find the columns that a panel will hold: fields that it lacks may be any text."""
    if columns.nlevels == 1:
        return list(range(len(columns)))
    levels = [canonical_fields(columns.get_level_values(n)) for n in (0, 1)]
    return [
        number
        for number, pair in enumerate(zip(*levels, strict=True))
        if any(field not in (None, EXTRA, OTHER) for field in pair)
    ]


def _check_unique(columns: pd.Index) -> None:
    """Raise if a name comes twice, before columns are chosen by name."""
    if not columns.is_unique:
        twice = columns[columns.duplicated()].unique()
        raise PanelError(
            "Columns (tickers) must be unique. Got duplicates of "
            f"{format_tickers(twice)}. Keep one column of each."
        )


def _flatten_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Move an index that holds tickers to the columns."""
    index = frame.index
    if index.nlevels == 1 and not is_ticker_name(index.name):
        return frame
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    guesses = ["date" if is_datetime(level) else "ticker" for level in levels]
    names = [level.name or guess for level, guess in zip(levels, guesses, strict=True)]
    return frame.reset_index(names=names)


def _drop_row_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop columns of row numbers, which are written for an index without a name."""
    names = [frame.columns[number] for number in find_row_numbers(frame.columns)]
    return frame.drop(columns=[n for n in names if _are_row_numbers(frame[n])])


def _are_row_numbers(values: pd.Series) -> bool:
    """Return whether whole numbers count the rows, from 0 or 1, up or down."""
    if not types.is_integer_dtype(values.dtype) or values.hasnans or values.empty:
        return False
    numbers = values.to_numpy(dtype=np.int64)
    steps = np.diff(numbers)
    return min(numbers[0], numbers[-1]) in (0, 1) and (
        bool((steps == 1).all()) or bool((steps == -1).all())
    )


def _tickers_to_columns(
    frame: pd.DataFrame,
    ticker: str | None,
    value: str | None,
    ids: pd.Series | None = None,
) -> pd.DataFrame:
    """Reshape a flat table for `check_panel`."""
    column = find_ticker_column(frame, ticker)
    if column is not None and ids is not None:
        names = ticker_texts(frame[column])
        names, known = name_by_id(frame.index, names, ids)
        panel = pivot_long(frame.assign(**{str(column): names}), column, value)
        panel.attrs["ids"] = known
        return panel
    if column is not None:
        return pivot_long(frame, column, value)
    if ticker is not None:
        return _name_ticker(frame, ticker, value)
    if is_single_ticker(frame.columns):
        raise PanelError(
            "The table must name its tickers. Got the fields "
            f"{format_tickers(frame.columns)} alone. Name the ticker, such as "
            '`ticker="AAPL"`, or the column of the tickers. If these are tickers, use '
            '`pd.concat({"Close": X}, axis=1)`, with the dates as the index.'
        )
    if value is not None:
        raise PanelError(
            "`value` must be used with a long table. Got no column of tickers. Name it "
            "with `ticker=...`, or leave `value` out."
        )
    return frame


def _name_ticker(frame: pd.DataFrame, ticker: str, value: str | None) -> pd.DataFrame:
    """Convert the table of one ticker to a panel."""
    if find_ticker_column(frame, None) is None:
        if value is not None and value in frame.columns:
            frame = frame[[value]]
        elif has_close(frame.columns) or is_single_ticker(frame.columns):
            return pd.concat({ticker: frame}, axis=1)
        if frame.shape[1] == 1:
            return frame.set_axis([ticker], axis=1)
    raise PanelError(
        "`ticker` must be a column, or the name of the only ticker of the table. Got "
        f"{ticker!r}. The columns are {format_tickers(frame.columns, 10)}."
    )
