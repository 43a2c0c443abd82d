"""Prices as portfolio scripts have them: one table, or one for each ticker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel import read_panel
from skbatch.panel.engine import TABLE_SUFFIXES, panel_tickers


def read_prices(
    data: Any, ticker_to_data: Mapping[str, Any] | None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read prices and their ticker names, as far as they are known."""
    if isinstance(data, Mapping) or (data is None and not ticker_to_data):
        raise ValueError(
            "`data` must be a table of prices or a file. Got "
            f"{'None' if data is None else 'a ' + type(data).__name__}. Pass a dict of "
            "tables, one for each ticker, as `ticker_to_data`."
        )
    given = dict(ticker_to_data or {})
    if data is None:
        return _joined(given), {}
    strange = [t for t, column in given.items() if not isinstance(column, str)]
    if strange:
        raise ValueError(
            "`ticker_to_data` must map tickers to columns of `data`, if there is one. "
            f"Got values that are not names for {format_tickers(strange)}. Pass "
            "data=None to use a table for each ticker."
        )
    panel = read_panel(data)
    lacking = set(given.values()) - set(panel_tickers(panel))
    if lacking:
        raise ValueError(
            "`ticker_to_data` must map tickers to columns of `data`. Got "
            f"{format_tickers(sorted(lacking))}, which it lacks. The columns are "
            f"{format_tickers(panel_tickers(panel), 10)}."
        )
    return panel, given


def _joined(tables: dict[str, Any]) -> pd.DataFrame:
    """Join the prices of tickers side by side, on all of their dates."""
    parts = {ticker: _read_one(ticker, table) for ticker, table in tables.items()}
    if any(part.columns.nlevels > 1 for part in parts.values()):
        parts = {ticker: _with_fields(part) for ticker, part in parts.items()}
    _check_dates({ticker: part.index for ticker, part in parts.items()})
    return read_panel(pd.concat(list(parts.values()), axis=1, sort=True))


def _read_one(ticker: str, table: Any) -> pd.DataFrame:
    """Read the prices of one ticker, and name them by it."""
    if isinstance(table, pd.Series):
        table = table.to_frame("Close")
    elif isinstance(table, pd.DataFrame) and list(table) == [ticker]:
        # Else its name would be taken for that of a column of tickers.
        table = table.set_axis(["Close"], axis=1)
    if isinstance(table, str) and not table.lower().endswith(TABLE_SUFFIXES):
        raise ValueError(
            "`ticker_to_data` must map tickers to their prices, if there is no `data`. "
            f"Got {table!r} for {ticker}. Pass a Series, a table or a file, or `data`."
        )
    try:
        panel = read_panel(table, ticker=_unless_two_levels(ticker, table))
    except PanelError as error:
        raise PanelError(f"Prices of {ticker}: {error}") from error
    found = panel_tickers(panel)
    if len(found) > 1:
        raise PanelError(
            f"Prices of {ticker} must belong to one ticker. Got {len(found)}: "
            f"{format_tickers(found)}. Pass a table of all as `data`."
        )
    return panel.rename(columns={found[0]: ticker}, level=panel.columns.nlevels - 1)


def _unless_two_levels(ticker: str, table: Any) -> str | None:
    columns = getattr(table, "columns", None)
    return None if getattr(columns, "nlevels", 1) > 1 else ticker


def _with_fields(panel: pd.DataFrame) -> pd.DataFrame:
    """Label closes as the field Close."""
    if panel.columns.nlevels > 1:
        return panel
    return pd.concat({"Close": panel}, axis=1, names=["field", "ticker"])


def _check_dates(dates: Mapping[str, pd.Index]) -> None:
    """Reject dates that would make several rows of one day, or cannot be compared."""
    kinds = {
        ticker: "numbers"
        if not isinstance(index, pd.DatetimeIndex)
        else f"dates in {index.tz or 'no time zone'}"
        for ticker, index in dates.items()
    }
    first = next(iter(kinds))
    for ticker, kind in kinds.items():
        if kind != kinds[first]:
            raise PanelError(
                f"Prices must have dates of one kind. Got {kinds[first]} for {first}, "
                f"{kind} for {ticker}. Make them dates without time zone, such as "
                "with `prices.tz_localize(None)`."
            )
    if kinds[first] == "numbers":
        return
    local = [
        pd.DatetimeIndex(i).tz_localize(None).as_unit("ns") for i in dates.values()
    ]
    distinct = pd.DatetimeIndex(
        np.unique(np.concatenate([i.to_numpy() for i in local]))
    )
    daily = all(index.normalize().is_unique for index in local)
    if daily and not distinct.normalize().is_unique:
        raise PanelError(
            "Daily prices of several tickers must have the same time of day. Got "
            f"{', '.join(sorted({str(time) for time in distinct.time})[:5])}, which "
            "would make several rows of one day. Use `prices.index.normalize()`."
        )
