"""What users add to the built-in features: functions, market series and groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import date_text, format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel
from skbatch.panel.engine import (
    GROUPING,
    IN_UNIVERSE,
    SEPARATOR,
    CheckedPanel,
    find_members,
    join_column,
)

_TRIAL_ROWS = 256  # on which functions are tried in `fit`
# Market series may be late by so many of their usual steps, and days.
_LATE_STEPS = 5
_LATE_DAYS = 5

Function = Callable[[pd.DataFrame], pd.DataFrame | pd.Series]

# Under copy-on-write, a shallow copy is safe from its owner's and user's changes.
COPY_ON_WRITE = int(pd.__version__.split(".")[0]) >= 3


def check_lookback(lookback: Any, needed: int) -> int:
    """Check the lookback against what the features need."""
    if lookback is None:
        return needed
    if lookback < needed:
        raise ValueError(
            "`lookback` must be at least what the built-in features need, "
            f"{needed}. Got {lookback}. Raise it, or pass None."
        )
    return int(lookback)


def check_functions(functions: Any) -> dict[str, Function]:
    """Check the user's functions and their names."""
    if functions is None:
        return {}
    if not isinstance(functions, Mapping):
        raise ValueError(
            "`functions` must be a dict of name → function. Got "
            f'{type(functions).__name__}. For example, pass {{"my_feature": function}}.'
        )
    for name, function in functions.items():
        check_name(name, "functions")
        if not callable(function):
            raise ValueError(
                f"`functions[{name!r}]` must be callable. Got {function!r}. Pass a "
                "function of the panel that returns a DataFrame or a Series."
            )
    return dict(functions)


def check_name(name: Any, argument: str) -> None:
    """Raise unless a column can be named so."""
    is_name = isinstance(name, str) and bool(name.strip())
    if not is_name or SEPARATOR in name or name.startswith("_"):
        raise ValueError(
            f"Names in `{argument}` must be non-empty strings without {SEPARATOR!r}, "
            "which separates ticker and feature, and without a leading '_', which "
            f"would read as part of that separator. Got {name!r}. Rename it."
        )
    if name == IN_UNIVERSE or name.endswith(GROUPING):
        raise ValueError(
            f"Names in `{argument}` must not be {IN_UNIVERSE!r} or end with "
            f"{GROUPING!r}, which mark members and groups. Got {name!r}. Rename it."
        )


def call_function(
    name: str, function: Function, panel: pd.DataFrame, tickers: tuple[str, ...]
) -> np.ndarray:
    """Compute a user's feature, and check what the function returned."""
    result = function(panel.copy(deep=not COPY_ON_WRITE))
    if not isinstance(result, (pd.DataFrame, pd.Series)):
        raise PanelError(
            f"`functions[{name!r}]` must return a DataFrame (one column per ticker) or "
            f"a Series. Got {type(result).__name__}. Wrap the values with the panel's "
            "index."
        )
    if not result.index.equals(panel.index):
        raise PanelError(
            f"`functions[{name!r}]` must return one row for each row of the panel. Got "
            f"{len(result)} rows for {len(panel)}, or other dates. Keep the panel's "
            "index, and use NaN where there is no value."
        )
    if isinstance(result, pd.DataFrame):
        result = _arrange_tickers(name, result, tickers)
    try:
        return result.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise PanelError(
            f"`functions[{name!r}]` must return numbers. Got values that are not "
            f"({error}). Convert them."
        ) from error


def function_kinds(
    functions: Mapping[str, Function],
    panel: pd.DataFrame,
    tickers: tuple[str, ...],
    lookback: int,
) -> dict[str, int]:
    """Call each function on the last rows, to see what it returns."""
    rows = panel.iloc[-max(_TRIAL_ROWS, lookback) :]
    return {
        name: call_function(name, function, rows, tickers).ndim
        for name, function in functions.items()
    }


def _arrange_tickers(
    name: str, result: pd.DataFrame, tickers: tuple[str, ...]
) -> pd.DataFrame:
    """Reorder the columns of a function's result like the tickers."""
    if len(result.columns) != len(tickers) or set(result.columns) != set(tickers):
        raise PanelError(
            f"`functions[{name!r}]` must return one column for each of the "
            f"{len(tickers)} tickers. Got {result.shape[1]} columns: "
            f"{format_tickers(result.columns)}. Return a Series for a value that all "
            "tickers share."
        )
    return result[list(tickers)]


def check_market_data(market_data: Any, index: pd.Index) -> pd.DataFrame | None:
    """Check the user's market series, and fill them forward."""
    if market_data is None:
        return None
    if isinstance(market_data, pd.Series):
        market_data = market_data.to_frame()
    if not isinstance(market_data, pd.DataFrame):
        raise ValueError(
            "`market_data` must be a DataFrame or Series with dates as its index. Got "
            f"{type(market_data).__name__}. Convert it with pandas."
        )
    for name in market_data.columns:
        check_name(name, "market_data")
    check_dates(market_data, index, "market_data")
    try:
        return market_data.astype(np.float64).ffill()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`market_data` must hold numbers. Got values that are not ({error}). "
            "Convert or drop them."
        ) from error


def check_dates(table: pd.DataFrame, index: pd.Index, argument: str) -> None:
    """Raise unless a table can be joined to a panel's rows as of their dates."""
    dates = table.index
    if not (dates.is_monotonic_increasing and dates.is_unique) or dates.hasnans:
        raise ValueError(
            f"`{argument}` must have increasing, unique dates. Got unsorted or "
            "repeated ones. Use `.sort_index()`, and keep one row per date."
        )
    if index_kind(dates) != index_kind(index):
        raise ValueError(
            f"`{argument}` must have the same kind of index as the panel. Got "
            f"{index_kind(dates)}, the panel has {index_kind(index)}. Convert one of "
            "them."
        )


def warn_stale(table: Any, last: Any, argument: str = "market_data") -> None:
    """Warn of series that end long before a panel's last row."""
    table = pd.DataFrame(table)
    known = {name: table.index[table[name].notna()] for name in table.columns}
    stale = [name for name, dates in known.items() if _is_late(dates, last)]
    if not stale:
        return
    end = min(known[name][-1] for name in stale)
    warn_user(
        f"`{argument}` must reach the last row of `X`, {date_text(last)}. Got values "
        f"up to {date_text(end)} for {format_tickers(stale)}, which are used for all "
        "later rows. Set newer ones with `set_params`.",
        PanelWarning,
    )


def _is_late(dates: pd.Index, last: Any) -> bool:
    """Check whether a series has missed several of its steps before a date."""
    if len(dates) < 2:
        return False  # a constant, without a usual step
    if isinstance(dates, pd.PeriodIndex):
        dates, last = dates.astype("int64"), last.ordinal
    late, step = last - dates[-1], pd.Series(dates).diff().median()
    if isinstance(dates, pd.DatetimeIndex) and late <= pd.Timedelta(days=_LATE_DAYS):
        return False
    return bool(late > _LATE_STEPS * step)


def index_kind(index: pd.Index) -> str:
    """Name what an index holds, as far as it decides what it compares with."""
    if isinstance(index, pd.DatetimeIndex):
        return "dates without time zone" if index.tz is None else "dates with time zone"
    if isinstance(index, pd.PeriodIndex):
        return f"periods ({index.freqstr})"
    return "numbers"


def warn_short(n_rows: int, longest_window: int, lookback: int) -> None:
    """Warn of a panel that is shorter than the longest window."""
    if n_rows < longest_window:
        warn_user(
            f"`X` must have {longest_window} rows for the longest window, and "
            f"{lookback + 1} rows for the full set of features. Got {n_rows}, so "
            "features with longer windows are NaN. Pass a longer history, or shorter "
            "`windows`.",
            PanelWarning,
        )


def fitted_market_data(
    market_data: Any, index: pd.Index, fitted: tuple[str, ...]
) -> pd.DataFrame | None:
    """Check market series that should be those of the fit beside a panel's rows."""
    table = check_market_data(market_data, index)
    names = () if table is None else tuple(table.columns)
    if names != fitted:
        raise ValueError(
            "`market_data` must have the columns seen in `fit`. Got "
            f"{list(names)}, fitted on {list(fitted)}. Fit again."
        )
    if table is not None:
        warn_stale(market_data, index[-1])
    return table


def with_flat_names(panel: pd.DataFrame) -> pd.DataFrame:
    """Name the columns of a panel with fields ``TICKER__Field``."""
    if panel.columns.nlevels == 1:
        return panel
    flat = [join_column(column[1], column[0]) for column in panel.columns]
    return panel.set_axis(flat, axis=1)


def check_universe(universe: Any, panel: pd.DataFrame) -> np.ndarray | None:
    """Find the members of the user's universe at each date of a panel."""
    if universe is None:
        return None
    members = find_members(panel, universe)
    if isinstance(universe, pd.DataFrame):
        rows = pd.Series(1.0, universe.index, name="all tickers")
        warn_stale(rows, panel.index[-1], "universe")
    return members


def checked_panel(X: Any, warn_all_nan: bool) -> pd.DataFrame:
    """Check a panel unless it is already."""
    if isinstance(X, CheckedPanel):
        return X.frame
    return check_panel(X, warn_all_nan=warn_all_nan)
