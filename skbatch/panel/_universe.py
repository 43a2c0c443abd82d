"""Who belongs to the universe at each date."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch._kernels.rolling import least_count, window_sum
from skbatch._messages import check_int, date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._fields import panel_fields, panel_tickers
from skbatch.panel._signal_fields import panel_signals

Universe = str | pd.DataFrame | Callable[[pd.DataFrame], pd.DataFrame]

_DOLLAR_VOLUME = re.compile(r"dollar_volume_(\d+)")


def liquid(
    *,
    min_price: float | None = None,
    top: int | None = None,
    by: str = "dollar_volume_63",
) -> Liquid:
    """Create a universe of the tickers that are liquid at each date.

    Parameters
    ----------
    min_price : float, default=None
        Smallest close. Note that closes adjusted for later splits and dividends are
        lower than the prices paid at the time.
    top : int, default=None
        Number of tickers that belong, those with the largest traded value; more if
        values are tied. The panel needs volume.
    by : str, default="dollar_volume_63"
        Mean of close times volume over the last 63, or as many as named, rows, of
        which at least half must have both.

    Returns
    -------
    callable
        Takes a checked panel and returns a DataFrame of bool `(n_dates, n_tickers)`,
        for `universe` of :class:`~skbatch.SharedFeatureExtractor` or
        :func:`~skbatch.forward_returns`. It reads each row's own and earlier rows
        only. Tickers without a close do not belong.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import check_panel, liquid
    >>> prices = check_panel(pd.DataFrame({"AAPL": [4.0, 6.0], "MSFT": [9.0, 9.0]}))
    >>> liquid(min_price=5)(prices)
        AAPL  MSFT
    0  False  True
    1   True  True
    """
    match = _DOLLAR_VOLUME.fullmatch(by) if isinstance(by, str) else None
    if match is None or int(match[1]) < 1:
        raise ValueError(
            '`by` must be "dollar_volume_" and a number of rows. Got '
            f'{by!r}. For example, pass "dollar_volume_63".'
        )
    if min_price is not None and not min_price > 0:
        raise ValueError(
            f"`min_price` must be positive. Got {min_price!r}. For example, pass 5.0."
        )
    if top is not None:
        check_int(top, "top", 1, "Pass a number of tickers, such as 500.")
    return Liquid(min_price, top, int(match[1]))


@dataclass(frozen=True)
class Liquid:
    """Finds the tickers of a panel that are liquid; see `liquid`."""

    min_price: float | None
    top: int | None
    window: int

    @property
    def lookback(self) -> int:
        """How many rows before its own it reads."""
        return 0 if self.top is None else self.window - 1

    def __call__(self, panel: pd.DataFrame) -> pd.DataFrame:
        fields = panel_fields(panel)
        close = fields["close"]
        members = np.isfinite(close)
        if self.min_price is not None:
            members &= close >= self.min_price
        if self.top is not None:
            if "volume" not in fields:
                raise PanelError(
                    "`liquid(top=...)` must have volumes to compare. Got a panel "
                    "without. Add the field Volume, or leave `top` out."
                )
            values = np.where(members, self._traded(close * fields["volume"]), np.nan)
            members &= values >= _nth_largest(values, self.top)
        return pd.DataFrame(members, panel.index, pd.Index(panel_tickers(panel)))

    def _traded(self, values: np.ndarray) -> np.ndarray:
        """Average over the window, NaN with less than half of it."""
        known = np.isfinite(values)
        total = window_sum({1: np.where(known, values, 0.0)}, self.window)
        count = window_sum({1: known * 1.0}, self.window)
        return np.where(
            count >= least_count(self.window, 1), total / np.maximum(count, 1), np.nan
        )


def _nth_largest(values: np.ndarray, number: int) -> np.ndarray:
    """Find the value from which on so many tickers of each date belong."""
    if values.shape[1] <= number:
        return np.full((len(values), 1), -np.inf)
    known = np.where(np.isnan(values), -np.inf, values)
    place = values.shape[1] - number
    return np.partition(known, place, axis=1)[:, [place]]


def find_members(panel: pd.DataFrame, universe: Universe) -> np.ndarray:
    """Find who belongs to the universe at each date of a panel."""
    # What is missing is no member.
    tickers = panel_tickers(panel)
    if isinstance(universe, str):
        signals = panel_signals(panel)
        if universe not in signals:
            raise PanelError(
                "`universe` must be a field of the panel, a table, or a function. Got "
                f"{universe!r}; the signals of the panel are "
                f"{format_tickers(signals) or 'none'}."
            )
        return _as_bools(signals[universe])
    if callable(universe):
        table = universe(panel)
        if not isinstance(table, pd.DataFrame) or not table.index.equals(panel.index):
            raise PanelError(
                "`universe` must return a DataFrame with the index of the panel. Got "
                f"{type(table).__name__}. Return one row per date."
            )
    elif isinstance(universe, pd.DataFrame):
        table = _as_of(universe, panel.index)
    else:
        raise PanelError(
            "`universe` must be the name of a field, a DataFrame of bool, or a "
            f"function of the panel. Got {type(universe).__name__}."
        )
    if not set(tickers) & set(table.columns):
        raise PanelError(
            "`universe` must have tickers of the panel as its columns. Got "
            f"{format_tickers(table.columns)}; the panel has {format_tickers(tickers)}."
        )
    return _as_bools(table.reindex(columns=tickers))


def _as_of(table: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Select the latest row at or before each date."""
    dates = table.index
    if not (dates.is_monotonic_increasing and dates.is_unique):
        raise PanelError(
            "`universe` must have increasing dates, each once. Got unsorted or "
            "repeated ones. Use `.sort_index()`, and keep one row per date."
        )
    kinds = [(i.dtype.kind, getattr(i, "tz", None) is None) for i in (dates, index)]
    if kinds[0] != kinds[1]:
        raise PanelError(
            "`universe` must have an index of the kind that the panel has. Got "
            f"{date_text(dates[0])} beside {date_text(index[0])}. Convert one of them."
        )
    # Not `reindex`, which would look for the last value that is not missing.
    rows = dates.searchsorted(index, side="right") - 1
    return table.reset_index(drop=True).reindex(rows).set_axis(index, axis=0)


def _as_bools(table: pd.DataFrame) -> np.ndarray:
    """Read true and false, or 1 and 0; what is missing is false."""
    try:
        values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        values = np.full(table.shape, 2.0)
    if not (np.isnan(values) | (values == 0) | (values == 1)).all():
        raise PanelError(
            "`universe` must hold true or false, or 1 or 0. Got other values. Convert "
            "them with a comparison, such as `table > 0`."
        )
    return values == 1
