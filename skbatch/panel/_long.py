"""Long tables: one row per date and ticker."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pandas as pd
from pandas.api import types

from skbatch._messages import date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._fields import ADJUSTED, FIELDS, canonical_field, has_close

_TICKERS = {
    "ticker",
    "tickers",
    "symbol",
    "symbols",
    "asset",
    "security",
    "instrument",
    "name",
    "code",
    "sid",
    "permno",
}
_VALUES = {"price", "prices", "value", "values", "last"}


def is_ticker_name(name: Hashable) -> bool:
    """Tell whether a column of this name usually holds tickers."""
    return isinstance(name, str) and name.strip().lower() in _TICKERS


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
    return pick_one(found, "tickers", "ticker")


def pick_one(found: Sequence[Hashable], what: str, argument: str) -> Hashable | None:
    """Return the only candidate for a column, None if there is none."""
    if len(found) > 1:
        raise PanelError(
            f"One column must hold the {what}. Got {format_tickers(map(repr, found))}. "
            f"Name the right one with `{argument}=...`."
        )
    return found[0] if found else None


def pivot_long(
    frame: pd.DataFrame, ticker: Hashable, value: Hashable | None
) -> pd.DataFrame:
    """Turn a long table, dates in its index, into a panel with tickers as columns."""
    columns = _value_columns([name for name in frame.columns if name != ticker], value)
    tickers = _text(frame[ticker])
    _check_keys(frame.index, tickers)
    keys = pd.MultiIndex.from_arrays([frame.index, tickers])
    # Not pivot_table, which would average prices. Sorts dates and tickers.
    wide = pd.DataFrame(frame[columns].set_axis(keys, axis=0).unstack())  # noqa: PD010
    return wide.droplevel(0, axis=1) if len(columns) == 1 else wide


def _value_columns(names: list[Hashable], value: Hashable | None) -> list[Hashable]:
    """Choose the columns that become the values of the panel."""
    if value is not None:
        if value not in names:
            raise PanelError(
                f"`value` must be a column of the table. Got {value!r}. The columns "
                f"are {format_tickers(names, 10)}."
            )
        return [value]
    prices = [n for n in names if isinstance(n, str) and n.strip().lower() in _VALUES]
    if not has_close(names):
        found = pick_one(prices, "prices", "value")
        if found is None:
            raise PanelError(
                "A long table must hold prices in a column such as close or price. Got "
                f"{format_tickers(names, 10)}. Name the column with `value=...`."
            )
        return [found]
    fields = [n for n in names if canonical_field(n) in (*FIELDS, ADJUSTED)]
    if prices:
        closes = [n for n in fields if has_close([n])]
        pick_one([*closes, *prices], "prices", "value")
    return fields


def _text(tickers: pd.Series) -> pd.Series:
    """Make tickers text where they are categories or whole numbers."""
    if isinstance(tickers.dtype, pd.CategoricalDtype):
        return tickers.astype(tickers.cat.categories.dtype)
    if types.is_integer_dtype(tickers.dtype):
        return tickers.astype(str)
    return tickers


def _check_keys(dates: pd.Index, tickers: pd.Series) -> None:
    """Raise unless every row has a date and a ticker of its own."""
    missing = dates.isna() | tickers.isna().to_numpy()
    if missing.any():
        raise PanelError(
            "Every row of a long table must have a date and a ticker. Got "
            f"{missing.sum()} row(s) without. Drop them, or correct the file."
        )
    keys = pd.MultiIndex.from_arrays([dates, tickers])
    if not keys.is_unique:
        twice = keys[keys.duplicated()].unique()
        named = (f"{name} on {date_text(date)}" for date, name in twice)
        raise PanelError(
            "A long table must hold every date of a ticker once. Got duplicates of "
            f"{format_tickers(named)}. Keep one row of each with `drop_duplicates`."
        )
