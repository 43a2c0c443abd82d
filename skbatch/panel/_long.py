"""Long tables: one row per date and ticker."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pandas as pd
from pandas.api import types

from skbatch._messages import count, date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._fields import hold_fields
from skbatch.panel._numbers import is_number_text, is_text, texts_to_numbers
from skbatch.panel._spellings import (
    ADJUSTED,
    FIELDS,
    PRICE,
    canonical_field,
    has_close,
    is_date_name,
    is_date_part,
    is_ticker_name,
)

# Text with more values, or as many as tickers, names these.
_MOST_CATEGORIES = 64
_BY_ID = " Name a column that identifies companies, such as permno, with `id=...`."


def find_ticker_column(frame: pd.DataFrame, ticker: Hashable | None) -> Hashable | None:
    """Find the column of tickers, None if the table is not long."""
    if ticker is not None:
        return ticker if ticker in frame.columns else None
    # NAME and CODE are tickers, too: a column of decimal numbers holds prices.
    found = [
        column
        for column in frame.columns
        if is_ticker_name(column) and not types.is_float_dtype(frame[column].dtype)
    ]
    return pick_one(found or _maybe_tickers(frame), "tickers", "ticker")


def _maybe_tickers(frame: pd.DataFrame) -> list[Hashable]:
    """Find columns of text under names that are tickers themselves, such as COIN."""
    return [
        column
        for column in frame.columns
        if is_ticker_name(column, maybe=True)
        and is_text(frame[column].dtype)
        and not any(map(is_number_text, frame[column].dropna().iloc[:1]))
    ]


def pick_one(found: Sequence[Hashable], what: str, argument: str) -> Hashable | None:
    """Return the only candidate for a column, None if there is none."""
    if len(found) > 1:
        raise PanelError(
            f"One column must hold the {what}. Got {format_tickers(map(repr, found))}. "
            f"Name the right one with `{argument}=...`."
            f"{_BY_ID if argument == 'ticker' else ''}"
        )
    return found[0] if found else None


def pivot_long(
    frame: pd.DataFrame, ticker: Hashable, value: Hashable | None
) -> pd.DataFrame:
    """Turn a long table, dates in its index, into a panel with tickers as columns."""
    names = [name for name in frame.columns if name != ticker]
    columns = [value] if value is not None else _value_columns(frame[names])
    signals = [] if value is not None else _signal_columns(frame, ticker, columns)
    if columns[0] not in names:
        raise PanelError(
            f"`value` must be a column of the table. Got {value!r}. Choose from "
            f"{format_tickers(names, 10)}."
        )
    tickers = ticker_texts(frame[ticker])
    _check_keys(frame.index, tickers)
    values = frame[columns]
    values = texts_to_numbers(values, range(len(columns)))
    keys = pd.MultiIndex.from_arrays([frame.index, tickers])
    # Not pivot_table, which would average prices. Sorts dates and tickers.
    wide = pd.DataFrame(values.set_axis(keys, axis=0).unstack())  # noqa: PD010
    if signals:
        return _with_signals(wide, frame[signals], keys)
    return wide.droplevel(0, axis=1) if len(columns) == 1 else wide


def _value_columns(frame: pd.DataFrame) -> list[Hashable]:
    """Choose the columns that become the values of the panel."""
    names: list[Hashable] = [
        name for name in frame.columns if _holds_numbers(frame[name])
    ]
    held = hold_fields(names)
    prices = [name for name in names if canonical_field(name) == PRICE]
    if not has_close(names):
        found = pick_one(prices, "prices", "value")
        if found is None:
            raise PanelError(
                "A long table must hold prices in a column such as close or price. Got "
                f"{format_tickers(frame.columns, 10)}. Name the column with "
                "`value=...`."
            )
        fields = [n for n in names if held[n] in FIELDS]
        return fields if len(fields) > 1 else [found]
    fields = [n for n in names if held[n] in (*FIELDS, ADJUSTED)]
    if prices:
        closes = [n for n in fields if held[n] in ("Close", ADJUSTED)]
        pick_one([*closes, *prices], "prices", "value")
    return fields


def _with_signals(
    wide: pd.DataFrame, signals: pd.DataFrame, keys: pd.MultiIndex
) -> pd.DataFrame:
    """Join the signals of a long table to its prices."""
    if len(wide.columns.unique(0)) == 1:
        wide = pd.concat({"Close": wide.droplevel(0, axis=1)}, axis=1)
    # Beside names that are unknown, neither letters nor prices are sure to be fields.
    held = hold_fields(wide.columns.unique(0))
    wide = wide.rename(columns={n: f for n, f in held.items() if f}, level=0)
    parts = {}
    for name, column in signals.items():
        values = column.astype(object) if is_text(column.dtype) else column
        parts[name] = pd.DataFrame(values.set_axis(keys).unstack())  # noqa: PD010
    return pd.concat([wide, pd.concat(parts, axis=1)], axis=1)


def _signal_columns(
    frame: pd.DataFrame, ticker: Hashable, columns: Sequence[Hashable]
) -> list[Hashable]:
    """Find the columns beside prices that are signals: numbers, bools, categories."""
    most = min(_MOST_CATEGORIES, frame[ticker].nunique() - 1)
    names = [name for name in frame.columns if name != ticker]
    held = hold_fields([name for name in names if _may_be_signal(frame[name], most)])
    return [
        name
        for name, field in held.items()
        if field is None and name not in columns and canonical_field(name) != PRICE
    ]


def _may_be_signal(values: pd.Series, most: int) -> bool:
    """Return whether a column holds values of tickers, not their dates and names."""
    name = values.name
    if is_date_part(name) or is_date_name(name) or is_ticker_name(name, maybe=True):
        return False
    if types.is_bool_dtype(values.dtype) or types.is_numeric_dtype(values.dtype):
        return not types.is_complex_dtype(values.dtype)
    if not is_text(values.dtype):
        return False
    # Names and descriptions of tickers have many values, sectors and ratings have few.
    found = values.dropna().unique()
    return 0 < len(found) <= most and not any(map(is_number_text, found))


def _holds_numbers(values: pd.Series) -> bool:
    """Return whether a column may hold prices, texts by the first of them."""
    if is_text(values.dtype):
        first = values.dropna().iloc[:1]
        return canonical_field(values.name) is not None or all(
            map(is_number_text, first)
        )
    return types.is_numeric_dtype(values.dtype) and not types.is_bool_dtype(
        values.dtype
    )


def ticker_texts(tickers: pd.Series) -> pd.Series:
    """Convert tickers to text where they are categories or whole numbers."""
    if isinstance(tickers.dtype, pd.CategoricalDtype):
        return tickers.astype(tickers.cat.categories.dtype)
    if types.is_integer_dtype(tickers.dtype):
        # Before pandas 3, the text of a missing one is "<NA>".
        return tickers.astype(str).where(tickers.notna())
    if is_text(tickers.dtype):
        # Programs with columns of a fixed width fill up tickers with spaces.
        return tickers.map(str.strip, na_action="ignore")
    return tickers


def _check_keys(dates: pd.Index, tickers: pd.Series) -> None:
    """Raise unless every row has a date and a ticker of its own."""
    missing = dates.isna() | tickers.isna().to_numpy()
    if missing.any():
        raise PanelError(
            "Every row of a long table must have a date and a ticker. Got "
            f"{count(missing.sum(), 'row')} without one of them. Drop the rows, or "
            "correct the file."
        )
    keys = pd.MultiIndex.from_arrays([dates, tickers])
    if not keys.is_unique:
        twice = keys[keys.duplicated()].unique()
        named = (f"{name} on {date_text(date)}" for date, name in twice)
        columns = [dates.name or "date", tickers.name]
        raise PanelError(
            "A long table must hold every date of a ticker once. Got duplicates of "
            f"{format_tickers(named)}. Keep the last row of each with "
            f'`X.drop_duplicates({columns!r}, keep="last")`.'
        )
