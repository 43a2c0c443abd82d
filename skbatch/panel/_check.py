"""The one place where panels are checked."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import count, date_text, format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel._calendar import mixed_calendars
from skbatch.panel._columns import MARKET
from skbatch.panel._fields import adjust_prices, arrange_fields, count_prices
from skbatch.panel._flat import split_columns
from skbatch.panel._long import find_ticker_column
from skbatch.panel._numbers import describe_cell, is_text
from skbatch.panel._signal_fields import check_signals
from skbatch.panel._spellings import ADJUSTED
from skbatch.panel._suspects import (
    check_days,
    check_names,
    check_no_index,
    check_no_returns,
)
from skbatch.panel._tables import adopt_table


@dataclass(frozen=True)
class CheckedPanel:
    """A panel as :func:`~skbatch.check_panel` returned it."""

    # The extractor and `forward_returns` take it in place of a DataFrame, and do not
    # check the same table again.
    frame: pd.DataFrame


PanelLike: TypeAlias = (
    pd.DataFrame | CheckedPanel | np.ndarray | Sequence[Sequence[float]]
)


@dataclass(frozen=True)
class InspectedPanel:
    """A panel with what was wrong with it, for those who judge single tickers."""

    values: pd.DataFrame  # all prices and volumes, "Adj Close" beside the others
    invalid: pd.DataFrame  # which of them can be no price or volume
    panel: pd.DataFrame  # what `check_panel` returns
    problems: list[str]  # of the table as a whole

    def marked(self) -> pd.DataFrame:
        """Return the panel with 0 in place of the values that the check dropped."""
        invalid = self.invalid
        if invalid.columns.nlevels > 1 and ADJUSTED in invalid.columns.unique("field"):
            invalid = invalid.copy()
            invalid["Close"] |= invalid.pop(ADJUSTED)
        if not invalid.to_numpy().any():
            return self.panel
        n_prices = count_prices(self.panel.columns)
        prices = self.panel.iloc[:, :n_prices]
        values = np.where(invalid[prices.columns], 0.0, prices.to_numpy())
        marked = _like(prices, values)
        if n_prices == self.panel.shape[1]:
            return marked
        return pd.concat([marked, self.panel.iloc[:, n_prices:]], axis=1)


def check_panel(
    X: object, *, min_dates: int = 1, warn_all_nan: bool = True
) -> pd.DataFrame:
    """Check a panel of prices and bring it into its canonical form.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_dates, n_columns)
        Prices: one column per ticker (closes), or two column levels, field and
        ticker, in either order, or flat names of both, such as ``Close_AAPL``. Fields
        are Open, High, Low, Close, Adj Close and Volume in any vendor's spelling;
        any other field is a signal, but for dividends, splits and the like, which are
        dropped. The rows are in the order of time. An array gets the
        tickers ``x0``, ``x1``, ... A table of another library, such as polars, is
        arranged as :func:`read_panel` does.
    min_dates : int, default=1
        Least number of rows.
    warn_all_nan : bool, default=True
        Whether to warn of tickers without any price, and of tickers that trade on
        different days of the week.

    Returns
    -------
    DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Panel of float64. With fields, the columns are a MultiIndex (field, ticker),
        field by field in the order Open, High, Low, Close, Volume, as far as they
        are there, then the signals under their own names, in the order of ``X``.
        Signals are float64, bool, or categories, one set for all tickers. Where ``X``
        is canonical already, it is returned itself; it is never modified.

    Raises
    ------
    PanelError
        If ``X`` is not a table, has no rows or columns or fewer rows than
        `min_dates`; if its index is unsorted, has duplicates or missing dates, or
        holds neither dates nor numbers; if tickers are duplicated, not strings,
        empty, or named "market"; if values are not numbers; if a ticker has no Close;
        if a signal's values are no numbers, bools or categories, or its name is not
        text or has ``__``; if fields, dates or row numbers stand where tickers should;
        if a column may be
        an adjusted close and cannot be identified; if days of a daily table have two
        rows; if time stamps differ among tickers; if the values are returns or price
        relatives.

    Warns
    -----
    PanelWarning
        Once per call: if prices are not positive or not finite, or volumes negative
        or not finite, or signals infinite, which are treated as missing; if tickers
        have no price at all; if some trade on other days of the week than the rest.

    Notes
    -----
    If there is an "Adj Close", then every price is multiplied by Adj Close / Close,
    so that returns include dividends and splits, and "Adj Close" is dropped. Volume
    stays as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import check_panel
    >>> prices = pd.DataFrame({("AAPL", "close"): [3, 4], ("AAPL", "open"): [2, 4]})
    >>> check_panel(prices)
    field  Open Close
    ticker AAPL  AAPL
    0       2.0   3.0
    1       4.0   4.0
    """
    arranged = _arrange(X, min_dates)
    prices, invalid = _sound_prices(arranged.prices)
    problems = arranged.problems + _find_invalid(arranged.prices, invalid)
    if warn_all_nan:
        problems += _find_all_nan(prices)
        if mixed := mixed_calendars(prices):
            problems.append(mixed)
    if problems:
        warn_user(" ".join(problems), PanelWarning)
    return arranged.with_prices(prices)


def inspect_panel(X: object) -> InspectedPanel:
    """Check a panel without a warning about single tickers."""
    if isinstance(X, CheckedPanel):
        prices = X.frame.iloc[:, : count_prices(X.frame.columns)]
        sound = _like(prices, np.zeros(prices.shape, dtype=bool))
        return InspectedPanel(prices, sound, X.frame, [])
    arranged = _arrange(X)
    values = arranged.prices
    prices, mask = _sound_prices(values)
    mixed = mixed_calendars(prices)
    problems = arranged.problems + ([mixed] if mixed else [])
    panel, invalid = arranged.with_prices(prices), _like(values, mask)
    return InspectedPanel(values, invalid, panel, problems)


def inspect_marked(marked: pd.DataFrame) -> InspectedPanel:
    """Find again what the check of a panel dropped, and check nothing else."""
    n_prices = count_prices(marked.columns)
    values, signals = marked.iloc[:, :n_prices], marked.iloc[:, n_prices:]
    panel, mask = _sound_prices(values)
    if signals.shape[1]:
        panel = pd.concat([panel, signals], axis=1)
    return InspectedPanel(values, _like(values, mask), panel, [])


@dataclass(frozen=True)
class _Arranged:
    """A table in the form of panels, before values that cannot be are dropped."""

    prices: pd.DataFrame
    signals: pd.DataFrame | None
    problems: list[str]
    given: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None

    def with_prices(self, prices: pd.DataFrame) -> pd.DataFrame:
        """Join prices and signals; what is as it was given is returned itself."""
        if self.signals is None or self.given is None:
            return prices
        whole, first, last = self.given
        if prices is first and self.signals is last:
            return whole
        panel = pd.concat([prices, self.signals], axis=1)
        panel.attrs = dict(prices.attrs)
        return panel


def _arrange(X: object, min_dates: int = 1) -> _Arranged:
    """Check the form of a table, order its columns, and convert it."""
    named = not isinstance(X, (np.ndarray, Sequence))
    frame = _as_frame(X)
    if frame.columns.nlevels == 1:
        _check_not_long(frame)
    _check_index(frame.index)
    if len(frame) < min_dates:
        raise PanelError(
            f"`X` must have at least {min_dates} dates. Got n_samples = {len(frame)} "
            f"({count(len(frame), 'sample')}). Pass a longer history."
        )
    if frame.columns.nlevels == 1:
        check_names(frame)
        frame = split_columns(frame)
    wide = frame.columns.nlevels == 1
    problems: list[str] = []
    if not wide:
        frame, problems = arrange_fields(frame)
    _check_tickers(frame.columns if wide else frame.columns.unique("ticker"))
    n_prices = count_prices(frame.columns)
    given = signals = None
    prices = frame
    if n_prices < frame.shape[1]:
        prices, signals = frame.iloc[:, :n_prices], frame.iloc[:, n_prices:]
        given = frame, prices, signals
        signals, infinite = check_signals(signals)
        problems += infinite
    prices = _as_float(prices)
    values = prices.to_numpy()
    if wide:
        check_no_index(prices, values)
    check_days(prices)
    if named:
        check_no_returns(values if wide else _closes(prices.columns, values))
    return _Arranged(prices, signals, problems, given)


def _check_not_long(frame: pd.DataFrame) -> None:
    """Raise if a column names the tickers, as in long tables."""
    if not any(map(is_text, frame.dtypes.unique())):
        return
    column = find_ticker_column(frame, None)
    if column is not None and is_text(frame[column].dtype):
        raise PanelError(
            f"`X` must have a column for each ticker. Got the tickers in {column!r}, "
            "as in a long table. Read it with `read_panel(X)`."
        )


def _closes(columns: pd.Index, values: np.ndarray) -> np.ndarray:
    """Get a view of the closes, which stand side by side."""
    places = np.flatnonzero(columns.get_level_values("field") == "Close")
    return values[:, places[0] : places[-1] + 1]


def _as_frame(X: object) -> pd.DataFrame:
    """Convert the input to a table, or raise if it cannot be one."""
    if isinstance(X, pd.Series):
        if isinstance(X.name, pd.Timestamp):  # one row of a table
            advice = "Select a row with two brackets, as in `X.iloc[[-1]]`."
        elif X.index.nlevels > 1:
            advice = "Turn it into a table with `.unstack()`."
        else:
            advice = 'Turn it into a table with `.to_frame("TICKER")`.'
        raise PanelError(
            "`X` must be a table with one column per ticker. Got a Series. " + advice
        )
    X = adopt_table(X)
    if not isinstance(X, pd.DataFrame):
        X = _frame_from_array(X)
    if not len(X):
        raise PanelError(
            f"`X` must have at least one date. Got 0 samples (shape={X.shape}). "
            "Check the selection of dates."
        )
    if not X.shape[1]:
        raise PanelError(
            f"`X` must have tickers. Got 0 feature(s) (shape={X.shape}) while a "
            "minimum of 1 is required. Check the selection of tickers."
        )
    return X


def _frame_from_array(X: object) -> pd.DataFrame:
    """Wrap an array-like without copying it; tickers are x0, x1, ..."""
    if hasattr(X, "toarray"):
        raise PanelError(
            "`X` must be dense. Got a sparse matrix. Convert it with `X.toarray()`."
        )
    if hasattr(X, "columns") and not isinstance(X, np.ndarray):
        raise PanelError(
            f"`X` must be a table of pandas or polars, or an array. Got {type(X)}. "
            "Convert it to pandas."
        )
    array = np.asarray(X)
    if array.ndim != 2:
        raise PanelError(
            f"`X` must be 2-dimensional (n_dates, n_tickers). Got "
            f"{count(array.ndim, 'dimension')}. Reshape your data with "
            "`X.reshape(-1, 1)` if it holds one ticker, or `X.reshape(1, -1)` if it "
            "holds one date."
        )
    tickers = [f"x{number}" for number in range(array.shape[1])]
    return pd.DataFrame(array, columns=tickers, copy=False)


def _check_index(index: pd.Index) -> None:
    """Raise unless the index increases strictly and holds dates or numbers."""
    if index.nlevels > 1:
        raise PanelError(
            "`X.index` must have one level, the dates. Got a MultiIndex. Read a long "
            "table with `read_panel(X.reset_index())`."
        )
    dates = isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex))
    if not dates and not types.is_numeric_dtype(index.dtype):
        raise PanelError(
            f"`X.index` must hold dates or numbers. Got {index.inferred_type} such as "
            f"{index[0]!r}. Read the table with `read_panel(X)`, which finds dates."
        )
    if index.hasnans:
        raise PanelError(
            "`X.index` must have no missing dates. Got one at row "
            f"{np.flatnonzero(index.isna())[0]}. "
            "Drop these rows with `X.loc[X.index.notna()]`."
        )
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        raise PanelError(
            f"`X.index` must hold every date once. Got duplicates of "
            f"{format_tickers(map(date_text, twice))}. Keep the last row of each with "
            '`X.loc[~X.index.duplicated(keep="last")]`.'
        )
    if not index.is_monotonic_increasing:
        late = next(i for i in range(1, len(index)) if index[i] < index[i - 1])
        raise PanelError(
            "`X.index` must be sorted from the oldest date to the newest. Got "
            f"{date_text(index[late])} after {date_text(index[late - 1])}. Sort it "
            "with `X.sort_index()`."
        )


def _check_tickers(tickers: pd.Index) -> None:
    """Raise unless the tickers are unique strings that features can be named by."""
    names = tickers.tolist()
    strange = [ticker for ticker in names if not isinstance(ticker, str)]
    if strange:
        raise PanelError(
            f"Tickers must be strings. Got {format_tickers(map(repr, strange))}. "
            "Convert them with `X.columns = [str(name) for name in X.columns]`, or "
            "rename them."
        )
    if not tickers.is_unique:
        twice = tickers[tickers.duplicated()].unique()
        raise PanelError(
            f"Tickers must be unique. Got duplicates of {format_tickers(twice)}. Keep "
            "the first of each with `X.loc[:, ~X.columns.duplicated()]`."
        )
    reserved = [ticker for ticker in names if ticker == MARKET or not ticker.strip()]
    if reserved:
        raise PanelError(
            f'Tickers must be neither empty nor "{MARKET}", which names the features '
            f"shared by all. Got {reserved[0]!r}. Rename or drop this column."
        )


def _as_float(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert to float64, not copying what is float64 already."""
    dtypes = frame.dtypes.to_numpy()
    if all(dtype == np.float64 for dtype in dtypes):
        return frame
    _check_dtypes(frame)
    if any(map(types.is_object_dtype, dtypes)):
        frame = _check_objects(frame)
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return _like(frame, values)


def _check_dtypes(frame: pd.DataFrame) -> None:
    """Raise if the type of a column shows that it holds no real numbers."""
    for number, dtype in enumerate(frame.dtypes):
        if types.is_complex_dtype(dtype):
            raise PanelError(
                "`X` must hold real numbers. Complex data not supported. Pass `X.real`."
            )
        if types.is_bool_dtype(dtype) or not (
            types.is_numeric_dtype(dtype) or types.is_object_dtype(dtype)
        ):
            rows = np.flatnonzero(frame.iloc[:, number].notna())
            raise _not_a_number(frame, int(rows[0]) if len(rows) else 0, number)


def _check_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert columns of Python objects if all of them are numbers or missing."""
    values = frame.to_numpy(dtype=object)
    values = np.where(pd.isna(values), np.nan, values)
    for number, cells in enumerate(values.T):
        for row, cell in enumerate(cells):
            if isinstance(cell, (str, bytes, bool, np.bool_, datetime.date)):
                raise _not_a_number(frame, row, number)
    try:
        values = values.astype(np.float64)
    except TypeError as error:
        message = f"`X` must hold numbers. {error}. Convert or drop such values."
        raise TypeError(message) from error
    return _like(frame, values)


def _not_a_number(frame: pd.DataFrame, row: int, column: int) -> PanelError:
    """Name the first cell that is no number, and what reads or drops it."""
    dtype, name = frame.dtypes.iloc[column], frame.columns[column]
    cell = frame.iloc[row, column]
    advice = f"Drop the column with `X.drop(columns={[name]!r})`."
    if isinstance(cell, (datetime.date, pd.Period)):
        advice = (
            f"Set its dates as the index with `read_panel(X, date={name!r})`, or drop "
            f"it with `X.drop(columns={[name]!r})`."
        )
    elif is_text(dtype) and not isinstance(cell, (bool, np.bool_)):
        advice = (
            "Read the table with `read_panel(X)`, which understands separators, "
            "currency signs and marks for missing prices."
        )
    return PanelError(
        f"`X` must hold numbers. Got {describe_cell(frame, row, column)}. {advice}"
    )


def _sound_prices(frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Drop and mark values that can be no price or volume, and adjust the prices."""
    values = frame.to_numpy()
    valid = values > 0
    if frame.columns.nlevels > 1:
        is_volume = np.asarray(frame.columns.get_level_values("field") == "Volume")
        valid |= (values == 0) & is_volume
    valid &= values < np.inf
    invalid = ~(valid | np.isnan(values))
    if invalid.any():
        frame = _like(frame, np.where(invalid, np.nan, values))
    return adjust_prices(frame) if frame.columns.nlevels > 1 else frame, invalid


def _find_invalid(frame: pd.DataFrame, invalid: np.ndarray) -> list[str]:
    """Warn of values that cannot be a price or volume."""
    if not invalid.any():
        return []
    columns = frame.columns[np.flatnonzero(invalid.any(axis=0))]
    tickers = columns.get_level_values(-1).unique()
    row, column = (int(n) for n in np.argwhere(invalid)[0])
    return [
        "Prices must be positive and finite, volumes not negative and finite. Got "
        f"{count(int(invalid.sum()), 'other value')} in {format_tickers(tickers)}, "
        f"treated as missing; the first is {describe_cell(frame, row, column)}. "
        "Correct them at the source, or set them to NaN yourself."
    ]


def _find_all_nan(frame: pd.DataFrame) -> list[str]:
    """Warn of tickers that have no close at all."""
    closes = frame if frame.columns.nlevels == 1 else frame["Close"]
    empty = closes.columns[np.isnan(closes.to_numpy()).all(axis=0)]
    if not len(empty):
        return []
    return [
        f"Tickers must have prices. Got none at all for {format_tickers(empty)}, which "
        "cannot be forecast. Drop them, or check their download."
    ]


def _like(frame: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """Return values as a table with the labels and attributes of another."""
    out = pd.DataFrame(values, index=frame.index, columns=frame.columns, copy=False)
    out.attrs = dict(frame.attrs)
    return out
