"""Reading panels from files and tables of any usual shape."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._check import check_panel
from skbatch.panel._dates import index_by_date, is_datetime
from skbatch.panel._fields import ADJUSTED, canonical_field, has_close, is_single_ticker
from skbatch.panel._files import read_table
from skbatch.panel._long import find_ticker_column, is_ticker_name, pivot_long

__all__ = ["read_panel"]

# Wrong prices are rare; of returns, about half are not positive.
MAX_NOT_POSITIVE = 0.2
MIN_CELLS = 100  # fewer values do not tell the one from the other
_UNNAMED = {"", "Unnamed: 0", "index"}


def read_panel(
    path_or_frame: str | os.PathLike[str] | Any,
    *,
    field: str | None = None,
    date: str | None = None,
    ticker: str | None = None,
    value: str | None = None,
) -> pd.DataFrame:
    """Read prices from a file or a table of any usual shape.

    Parameters
    ----------
    path_or_frame : path or DataFrame
        CSV or Parquet file, or a table (pandas, or anything with ``to_pandas()``),
        in one of these shapes:

        - wide: one column per ticker;
        - fields: two column levels, field and ticker, in either order, as yfinance
          gives them and writes them to CSV;
        - long: one row per date and ticker, with a column of tickers and one of
          closes or prices, or several fields;
        - one ticker: columns of fields, and `ticker` says whose they are.
    field : str, default=None
        Take this field only, such as ``"Close"``.
    date : str, default=None
        Column of the dates. By default, the column named date, datetime, timestamp,
        time or day, or the first column if it holds dates, or the index.
    ticker : str, default=None
        Column of the tickers in a long table. By default, the column named ticker,
        symbol, asset, security, instrument, name, code, sid or permno. For a table
        of one ticker, its name, such as ``"AAPL"``.
    value : str, default=None
        Column of the prices in a long table. By default, the fields, or the column
        named price, value or last. Other columns are ignored.

    Returns
    -------
    DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Panel as :func:`check_panel` returns it, sorted by date; a wide one if there
        is no field but Close. The tickers of long tables are sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PanelError
        If the file has another extension; if the columns of dates, tickers or prices
        are unclear; if a date of a ticker comes twice; if dates cannot be read, or
        can be read in two ways, or a fifth of the values of a table of closes are
        not positive, as in a table of returns; and as :func:`check_panel` does.
    ImportError
        If a Parquet file is read without pyarrow.

    Warns
    -----
    PanelWarning
        As :func:`check_panel` does.

    Notes
    -----
    Tables with a column "Adj Close" give adjusted prices, see :func:`check_panel`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import read_panel
    >>> table = pd.DataFrame({
    ...     "date": ["2024-01-03", "2024-01-02", "2024-01-02"],
    ...     "symbol": ["A", "A", "B"],
    ...     "close": [2.0, 1.0, 5.0],
    ... })
    >>> read_panel(table)
    symbol        A    B
    date
    2024-01-02  1.0  5.0
    2024-01-03  2.0  NaN
    """
    if isinstance(path_or_frame, (str, os.PathLike)):
        frame = read_table(path_or_frame, ticker)
        from_file = True
    else:
        frame = getattr(path_or_frame, "to_pandas", lambda: path_or_frame)()
        from_file = False
    if not isinstance(frame, pd.DataFrame):
        return check_panel(frame)
    if frame.columns.nlevels == 1:
        _check_unique(frame.columns)
        frame = _drop_row_numbers(_flatten_index(frame))
    frame = index_by_date(frame, date, needs_dates=from_file)
    if frame.columns.nlevels == 1:
        frame = _tickers_to_columns(frame, ticker, value)
    if not frame.index.is_monotonic_increasing:
        frame = frame.sort_index(kind="stable")
    return _pick_field(frame, field)


def _check_unique(columns: pd.Index) -> None:
    """Raise if a name comes twice, before columns are chosen by name."""
    if not columns.is_unique:
        twice = columns[columns.duplicated()].unique()
        raise PanelError(
            "Columns (tickers) must be unique. Got duplicates of "
            f"{format_tickers(twice)}. Keep one column of each."
        )


def _flatten_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Make columns of an index that holds tickers."""
    index = frame.index
    if index.nlevels == 1 and not is_ticker_name(index.name):
        return frame
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    guesses = ["date" if is_datetime(level) else "ticker" for level in levels]
    names = [level.name or guess for level, guess in zip(levels, guesses, strict=True)]
    return frame.reset_index(names=names)


def _drop_row_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop a column of row numbers, which `to_csv` writes for an index."""
    numbers = [
        column
        for column in frame.columns[:1]
        if column in _UNNAMED
        and types.is_integer_dtype(frame[column].dtype)
        and np.array_equal(frame[column], np.arange(len(frame)))
    ]
    return frame.drop(columns=numbers)


def _tickers_to_columns(
    frame: pd.DataFrame, ticker: str | None, value: str | None
) -> pd.DataFrame:
    """Bring a flat table into a shape that `check_panel` takes."""
    column = find_ticker_column(frame, ticker)
    if column is not None:
        return pivot_long(frame, column, value)
    if ticker is not None:
        return _name_ticker(frame, ticker, value)
    if is_single_ticker(frame.columns):
        raise PanelError(
            "The table must say which tickers it holds. Got the fields "
            f"{format_tickers(frame.columns)} alone. Name the ticker, such as "
            '`ticker="AAPL"`, or the column of the tickers.'
        )
    if value is not None:
        raise PanelError(
            "`value` must be used with a long table. Got no column of tickers. Name it "
            "with `ticker=...`, or leave `value` out."
        )
    return frame


def _name_ticker(frame: pd.DataFrame, ticker: str, value: str | None) -> pd.DataFrame:
    """Make a panel of the table of one ticker."""
    if find_ticker_column(frame, None) is None:
        if value is not None and value in frame.columns:
            frame = frame[[value]]
        elif has_close(frame.columns):
            return pd.concat({ticker: frame}, axis=1)
        if frame.shape[1] == 1:
            return frame.set_axis([ticker], axis=1)
    raise PanelError(
        "`ticker` must be a column, or the name of the only ticker of the table. Got "
        f"{ticker!r}. The columns are {format_tickers(frame.columns, 10)}."
    )


def _pick_field(frame: pd.DataFrame, field: str | None) -> pd.DataFrame:
    """Check the panel, and select the field that was asked for."""
    panel = check_panel(frame)
    _check_prices(frame, panel)
    wide = panel.columns.nlevels == 1
    fields = ["Close"] if wide else list(panel.columns.unique("field"))
    if field is None:
        return panel if wide or len(fields) > 1 else panel.droplevel(0, axis=1)
    name = canonical_field(field)
    if not wide and name == ADJUSTED and _has_adjusted(frame.columns):
        name = "Close"
    if name not in fields:
        raise PanelError(
            f"`field` must be a field of the table. Got {field!r}. The fields are "
            f"{format_tickers(fields)}."
        )
    return panel if wide else pd.DataFrame(panel[name])


def _check_prices(frame: pd.DataFrame, panel: pd.DataFrame) -> None:
    """Refuse a table of returns: a good part of it is not positive."""
    if panel.columns.nlevels > 1 or panel.size < MIN_CELLS:
        return
    lost = 1 - panel.notna().sum().sum() / max(1, frame.notna().sum().sum())
    if lost > MAX_NOT_POSITIVE:
        raise PanelError(
            f"Prices must be positive. Got {100 * lost:.0f} % of values that are "
            "not, as in a table of returns. Pass the prices themselves."
        )


def _has_adjusted(columns: pd.Index) -> bool:
    """Tell whether a table has adjusted closes beside its tickers."""
    names = [name for pair in columns for name in pair]
    return ADJUSTED in map(canonical_field, names)
