"""Reading panels from files and tables of any usual shape."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from skbatch._messages import format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel._check import check_panel
from skbatch.panel._files import read_table
from skbatch.panel._foresight import find_foresight
from skbatch.panel._signal_fields import panel_signals
from skbatch.panel._spellings import ADJUSTED, canonical_field
from skbatch.panel._tables import arrange_table, to_pandas


def read_panel(
    path_or_frame: str | os.PathLike[str] | Any,
    *,
    field: str | None = None,
    date: str | None = None,
    ticker: str | None = None,
    value: str | None = None,
    id: str | None = None,
) -> pd.DataFrame:
    """Read prices from a file or a table of any usual shape.

    Parameters
    ----------
    path_or_frame : path or DataFrame
        CSV, Parquet or Excel file, or a table (pandas, or what has ``to_pandas()``),
        in one of these shapes:

        - wide: one column per ticker;
        - fields: two column levels, field and ticker, in either order, as yfinance
          gives them and writes them to CSV;
        - long: one row per date and ticker, with a column of tickers and one of
          closes or prices, or several fields;
        - one ticker: columns of fields, and `ticker` is its name;
        - flat: names of field and ticker in one, such as ``Close_AAPL``.

        Fields beside prices and volume are signals.

        Fields, dates and numbers may be written as usual vendors write them.
    field : str, default=None
        Take this field only, such as ``"Close"``.
    date : str, default=None
        Column of the dates. By default, the column named date, datetime, timestamp,
        time, day or the like, the index if it holds dates, or the only column that
        holds dates. Text, figures such as 20240102, times since 1970 and days of a
        spreadsheet are dates.
    ticker : str, default=None
        Column of the tickers in a long table. By default, the column named ticker,
        symbol, asset, security, instrument, name, code, sid or permno. For a table
        of one ticker, its name, such as ``"AAPL"``.
    value : str, default=None
        Column of the prices in a long table. By default, the fields, or the column
        named price, value or last, and the volume. Other columns are ignored.
    id : str, default=None
        Column of a long table that identifies companies whatever their tickers are,
        such as permno or an ISIN. Each becomes a column of the panel with the latest
        of its tickers as its name; if another company had that ticker at some time,
        both have their id in the name, as in ``"ABC=10107"``. ``attrs["ids"]`` holds
        the id of each column.

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
        are unclear; if a date of a ticker comes twice; if two ids have the same ticker
        on a date; if dates or numbers cannot be
        read, or can be read in two ways; and as :func:`check_panel` does.
    ImportError
        If a Parquet file or a table of polars is read without pyarrow.

    Warns
    -----
    PanelWarning
        As :func:`check_panel` does; and if the rank IC of a signal with the returns of
        the next rows is implausibly high, as for a column of future returns.

    Notes
    -----
    Tables with a column "Adj Close", in any vendor's spelling, give adjusted prices,
    see :func:`check_panel`. A column that may adjust prices under an unknown name is
    an error.

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
        frame = read_table(path_or_frame, ticker, id)
        from_file = True
    else:
        frame = to_pandas(path_or_frame)
        from_file = False
    if not isinstance(frame, pd.DataFrame):
        return check_panel(frame)
    frame = arrange_table(
        frame, date=date, ticker=ticker, value=value, id=id, needs_dates=from_file
    )
    panel = _pick_field(frame, field)
    foresight = find_foresight(panel, panel_signals(panel))
    if foresight:
        warn_user(foresight, PanelWarning)
    if id is not None:
        panel.attrs["ids"] = frame.attrs["ids"]
    return panel


def _pick_field(frame: pd.DataFrame, field: str | None) -> pd.DataFrame:
    """Check the panel, and select the field that was asked for."""
    panel = check_panel(frame)
    wide = panel.columns.nlevels == 1
    fields = ["Close"] if wide else list(panel.columns.unique("field"))
    if field is None:
        return panel if wide or len(fields) > 1 else panel.droplevel(0, axis=1)
    name = field if field in fields else canonical_field(field)
    if not wide and name == ADJUSTED:
        # Closes of a panel are adjusted where the table has such.
        names = [canonical_field(name) for pair in frame.columns for name in pair]
        name = "Close" if ADJUSTED in names else name
    if name not in fields:
        raise PanelError(
            f"`field` must be a field of the table. Got {field!r}. Choose from "
            f"{format_tickers(fields)}."
        )
    return panel if wide else pd.DataFrame(panel[name])
