"""Adding signals to a panel, as of the date on which each value became known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import check_int, date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._as_of import Clock, Publications, microseconds
from skbatch.panel._check import check_panel
from skbatch.panel._dates import index_by_date, is_datetime, parse_dates
from skbatch.panel._fields import COLUMN_NAMES
from skbatch.panel._foresight import find_foresight
from skbatch.panel._identifiers import id_texts, ids_of
from skbatch.panel._join_report import JoinReport
from skbatch.panel._long import find_ticker_column, ticker_texts
from skbatch.panel._signal_fields import check_new_signals, check_signals, settle_signal
from skbatch.panel._tables import to_pandas

_QUARTERS = re.compile(r"(\d{4})[-/ ]?[Qq]([1-4])")


def join_signals(
    prices: Any,
    signals: Any,
    *,
    known: str | None = None,
    ticker: str | None = None,
    period: str | None = None,
    max_age: str | pd.Timedelta | int | None = "400D",
    lag: int = 0,
    id: str | None = None,
) -> pd.DataFrame:
    """Add signals such as fundamentals to prices, as of the date they became known.

    Parameters
    ----------
    prices : DataFrame or array-like of shape (n_dates, n_tickers)
        Panel of prices, or one with fields (see :func:`check_panel`), signals included.
    signals : DataFrame, or dict of str to DataFrame
        A long table with one row per ticker and publication, all of whose other
        columns become signals; or wide tables by the name of their signal, each with
        dates as its index and tickers as columns. Values are numbers, bools or text,
        which becomes categories. Tables of polars are taken as well.
    known : str, default=None
        Column of a long table with the date on which its values became known: that of
        the publication, not the end of the period that was reported on.
    ticker : str, default=None
        Column of a long table with the tickers. By default, the one named ticker,
        symbol, or as in :func:`read_panel`.
    period : str, default=None
        Column of a long table with the period that the values belong to, as dates,
        numbers, or text such as ``"2024Q1"``. At each date, the latest period of which
        anything is known counts, as it was published last by then. Later restatements
        of earlier periods never replace it. Without it, the latest row counts.
    max_age : str, Timedelta, int or None, default="400D"
        For how long after it became known a value is used; an int counts rows, and
        None sets no limit. Older values are NaN.
    lag : int, default=0
        Rows by which all values are delayed in addition, such as 1 if the dates of
        `known` are those of publications after the close.
    id : str, default=None
        Column of a long table with the ids of companies, for prices that were read by
        them, see :func:`read_panel`. Tickers of the table then do not matter.

    Returns
    -------
    DataFrame of shape (n_dates, n_fields * n_tickers)
        The panel, as :func:`check_panel` returns it, with the signals as its last
        fields, in the order of the columns or of the dict. Tickers without a value
        have NaN.

    Raises
    ------
    PanelError
        If `prices` or the tables are malformed; if the panel already has a signal of
        this name, or the name means prices; if no ticker of a table is in the panel;
        if dates are unclear, or only one of the panel and the table has a time zone.
    ValueError
        If `known` is missing with a long table, or `max_age` or `lag` is invalid.

    Warns
    -----
    PanelWarning
        Once per call: if a table has tickers that the panel lacks, rows without date
        or ticker, several rows for one ticker and date (the last one is used), values
        from before the first price of a ticker; if it ends long before the panel, so
        that its values are too old; or if the rank IC of a signal with the returns of
        the next 1 or 5 rows is significantly beyond 0.07, while genuine ones hardly
        reach 0.05: its dates are then probably too early.

    Notes
    -----
    - No row shows a value before it was known. A date counts as the close of that day,
      which is when forecasts are made. A time of day counts for the next day, unless
      the rows of the panel have times, too: with these, dates count for the next day.
    - Values are not filled. A row of a table replaces the one before with all its
      values, missing ones included. Tables that are updated at different dates are
      joined one after the other.
    - Time zones are converted to that of the panel.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import join_signals
    >>> dates = pd.to_datetime(["2024-05-01", "2024-05-02", "2024-05-03"])
    >>> prices = pd.DataFrame({"AAPL": [169.3, 173.0, 183.4]}, index=dates)
    >>> reports = pd.DataFrame(
    ...     {"ticker": ["AAPL"], "published": ["2024-05-02"], "eps": [1.53]}
    ... )
    >>> join_signals(prices, reports, known="published")
    field       Close   eps
    ticker       AAPL  AAPL
    2024-05-01  169.3   NaN
    2024-05-02  173.0  1.53
    2024-05-03  183.4  1.53
    """
    panel = check_panel(prices, warn_all_nan=False)
    if panel.columns.nlevels == 1:
        panel = pd.concat({"Close": panel}, axis=1, names=COLUMN_NAMES)
    check_int(lag, "lag", 0, "Pass the number of rows to wait, such as 1.")
    clock = Clock.of(panel.index)
    join = _Join(panel, clock, JoinReport(panel, clock), max_age, lag)
    if isinstance(signals, Mapping):
        _check_no_columns(known, ticker, period, id)
        check_new_signals(panel.columns, signals)
        tables = [join.wide(name, table) for name, table in signals.items()]
    else:
        table = _as_table(signals)
        if id is not None:
            table, ticker = _without_tickers(table, ticker, id), id
            join.owners = ids_of(panel, join.tickers)
        tables = join.long(table, known, ticker, period)
    added, infinite = check_signals(pd.concat(tables, axis=1))
    named = {str(table.columns[0][0]): table for table in tables}
    join.report.warn([*infinite, *filter(None, [find_foresight(panel, named)])])
    joined = pd.concat([panel, added], axis=1)
    joined.attrs = dict(panel.attrs)
    return joined


@dataclass
class _Join:
    """Brings tables of signals to the rows and tickers of a panel."""

    panel: pd.DataFrame
    clock: Clock
    report: JoinReport
    max_age: Any
    lag: int

    def __post_init__(self) -> None:
        self.tickers = pd.Index(self.report.tickers, name="ticker")
        self.owners = self.tickers  # by what rows of long tables name them

    def wide(self, name: str, table: Any) -> pd.DataFrame:
        """Read a wide table, one row of which is known at a time."""
        frame, what = _wide_table(name, table, self.clock), repr(name)
        own = self.tickers.get_indexer(frame.columns)
        unknown = list(frame.columns[own < 0])
        self.report.unknown(what, unknown, frame.shape[1] - len(unknown))
        times, visible = self.clock.read(frame.index, f"The index of {what}")
        rows = Publications(times, visible, np.zeros(len(times), dtype=np.intp))
        self.report.missing(what, int(np.isnan(times).sum()), "a date")
        order = rows.in_order()
        twice = rows.repeated(order)
        if len(twice):
            example = date_text(frame.index[twice[0]])
            self.report.repeated(what, len(twice), example)
        values = settle_signal(frame.reindex(columns=self.tickers), name)
        known, owners = np.nonzero(values.notna().to_numpy())
        self.report.early(what, visible[known], owners)
        places, is_old = rows.newest(order, self.clock, self.max_age, self.lag, 1)
        self.report.old(what, visible, is_old[-1])
        return self._spread(name, values, places[:, 0])

    def long(
        self,
        frame: pd.DataFrame,
        known: str | None,
        ticker: str | None,
        period: str | None,
    ) -> list[pd.DataFrame]:
        """Read a long table, all of whose other columns are signals."""
        columns = _find_columns(frame, known, ticker, period)
        names = [name for name in frame.columns if name not in columns]
        check_new_signals(self.panel.columns, names)
        rows = self._publications(frame, *columns)
        order = rows.in_order()
        twice = rows.repeated(order)
        if len(twice):
            example = "{1} on {0}".format(*frame.iloc[twice[0]][columns[:2]])
            self.report.repeated("`signals`", len(twice), date_text(example))
        places, is_old = rows.newest(
            order, self.clock, self.max_age, self.lag, len(self.tickers)
        )
        self.report.old("`signals`", rows.visible, is_old[-1])
        return [
            self._spread(name, settle_signal(frame[[name]], name), places)
            for name in names
        ]

    def _publications(
        self, frame: pd.DataFrame, known: str, ticker: str, period: str | None = None
    ) -> Publications:
        """Read dates, tickers and periods of a long table, and report what is wrong."""
        times, visible = self.clock.read(pd.Index(frame[known]), repr(known))
        owners = self._number_tickers(frame[ticker])
        periods = None
        if period is not None:
            periods, are_dates = _number_periods(frame[period])
            if are_dates and np.mean(times == periods) > 0.5:
                self.report.same_day(repr(known), period)
        rows = Publications(times, visible, owners, periods)
        lacking = frame[ticker].isna() | ~rows.usable & (owners >= 0)
        parts = "a date, ticker or period" if period else "a date or ticker"
        self.report.missing("`signals`", int(lacking.sum()), parts)
        self.report.early("`signals`", visible[rows.usable], owners[rows.usable])
        return rows

    def _number_tickers(self, values: pd.Series) -> np.ndarray:
        """Find the place of tickers in the panel, -1 for unknown ones."""
        codes, found = pd.factorize(values)
        by_id = self.owners is not self.tickers
        names = (id_texts if by_id else ticker_texts)(pd.Series(found))
        places = self.owners.get_indexer(pd.Index(names, dtype=object))
        unknown = sorted(names[places < 0], key=str)
        self.report.unknown("`signals`", unknown, int((places >= 0).sum()))
        return np.append(places, -1)[codes]

    def _spread(
        self, name: str, values: pd.DataFrame, places: np.ndarray
    ) -> pd.DataFrame:
        """Place the rows of a table, or a column's cells, in those of a panel."""
        # `places` is (n_dates,) for wide tables, (n_dates, n_tickers) for long ones.
        columns = pd.MultiIndex.from_product([[name], self.tickers], names=COLUMN_NAMES)
        dtype = values.dtypes.iloc[0]
        is_category = isinstance(dtype, pd.CategoricalDtype)
        if is_category:
            cells = np.column_stack([column.cat.codes for _, column in values.items()])
        elif dtype == np.bool_ and (places >= 0).all():
            cells = values.to_numpy()
        else:
            cells = values.to_numpy(dtype=np.float64)
        cells = cells[:, 0] if places.ndim == 2 else cells
        nothing = np.full_like(cells[:1], -1 if is_category else np.nan)
        spread = np.concatenate([cells, nothing])[places]
        if is_category:
            codes = {
                number: pd.Categorical.from_codes(column, dtype=dtype)
                for number, column in enumerate(spread.T)
            }
            return pd.DataFrame(codes, self.panel.index).set_axis(columns, axis=1)
        return pd.DataFrame(spread, self.panel.index, columns, copy=False)


def _as_table(table: Any) -> pd.DataFrame:
    """Convert signals to a pandas table."""
    frame = to_pandas(table)
    if not isinstance(frame, pd.DataFrame) or not len(frame):
        raise PanelError(
            "`signals` must be a long table, or a dict of wide tables by their names, "
            f"with at least one row. Got {type(table)}. Pass a DataFrame."
        )
    return frame


def _wide_table(name: str, table: Any, clock: Clock) -> pd.DataFrame:
    """Check a wide table, and make its dates the index."""
    frame = _as_table(table)
    if clock.has_dates and not is_datetime(frame.index):
        frame = index_by_date(frame, None, needs_dates=True, is_long=False)
    if frame.columns.nlevels > 1 or not frame.columns.is_unique:
        raise PanelError(
            f"{name!r} must have one column per ticker. Got "
            f"{format_tickers(frame.columns)}. Pass a wide table."
        )
    return frame


def _check_no_columns(*columns: str | None) -> None:
    """Raise if columns of a long table are named beside wide ones."""
    if any(column is not None for column in columns):
        raise ValueError(
            "`known`, `ticker`, `period` and `id` must be columns of a long table. Got "
            "wide tables, whose dates are their index. Leave them out."
        )


def _without_tickers(frame: pd.DataFrame, ticker: str | None, id: str) -> pd.DataFrame:
    """Drop the column of tickers of a table that has ids."""
    if id not in frame.columns:
        raise PanelError(
            f"`id` must be a column of the table. Got {id!r}. Choose from "
            f"{format_tickers(frame.columns, 10)}."
        )
    other = find_ticker_column(frame.drop(columns=[id]), ticker)
    return frame if other is None else frame.drop(columns=[other])


def _find_columns(
    frame: pd.DataFrame, known: str | None, ticker: str | None, period: str | None
) -> list[str]:
    """Find the columns of dates, tickers and periods of a long table."""
    columns = format_tickers(frame.columns, 10)
    if known is None:
        raise ValueError(
            "`known` must be the column with the dates on which values became known. "
            f"Got None, and the columns {columns}. Name it; it is not the end of a "
            "period. Wide tables are passed as a dict, by the names of their signals."
        )
    found = find_ticker_column(frame, None) if ticker is None else ticker
    named = {"known": known, "ticker": found, "period": period}
    for argument, name in named.items():
        if name not in frame.columns and not (argument == "period" and name is None):
            raise PanelError(
                f"`{argument}` must be a column of the table. Got {name!r}. Choose "
                f"from {columns}."
            )
    return [str(name) for name in named.values() if name is not None]


def _number_periods(values: pd.Series) -> tuple[np.ndarray, bool]:
    """Turn periods into numbers of their order: of dates, microseconds."""
    if types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), False
    codes, found = pd.factorize(values)
    matches = [_QUARTERS.fullmatch(str(period).strip()) for period in found]
    if all(matches):
        numbers = [4 * int(match[1]) + int(match[2]) for match in matches if match]
        return np.append(np.asarray(numbers, dtype=float), np.nan)[codes], False
    dates = parse_dates(pd.Index(found, name=values.name))
    if isinstance(dates, pd.PeriodIndex):
        dates = dates.end_time.normalize()
    return np.append(microseconds(pd.DatetimeIndex(dates)), np.nan)[codes], True
