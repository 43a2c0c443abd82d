"""Tickers whose prices end, and the returns that they end with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

Tickers: TypeAlias = Sequence[str] | pd.Index
# Of all tickers, by ticker, or of none.
Final: TypeAlias = float | pd.Series | None
# A ticker without a price in so many last rows is gone, and not only quiet.
QUIET_ROWS = 10


def last_prices(closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each ticker's last close, and whether the ticker is gone."""
    known = np.isfinite(closes)
    last = len(closes) - 1 - known[::-1].argmax(axis=0)
    return last, known.any(axis=0) & (last + QUIET_ROWS < len(closes))


def final_returns(given: Final, tickers: Tickers) -> np.ndarray:
    """Return the final return of each ticker; NaN where none is given."""
    if isinstance(given, pd.Series):
        found = given.reindex(pd.Index(tickers)).to_numpy(dtype=np.float64)
    else:
        found = np.full(len(tickers), np.nan if given is None else float(given))
    if (found < -1).any() or np.isinf(found).any():
        raise ValueError(
            "`delisting_return` must be a simple return of at least -1. Got "
            f"{np.nanmin(found):g}. For example, pass -0.3 for a loss of 30%."
        )
    return found


def with_final_values(
    closes: np.ndarray,
    tickers: Sequence[str] | pd.Index,
    final: float | pd.Series | None,
) -> np.ndarray:
    """Continue the closes of tickers that are gone with what was left of them."""
    if final is None:
        return closes
    last, is_gone = last_prices(closes)
    values = closes[last, np.arange(len(tickers))] * (1 + final_returns(final, tickers))
    beyond = is_gone & (np.arange(len(closes))[:, None] > last)
    return np.where(beyond, values, closes)


def late_labels(
    closes: np.ndarray, ends: np.ndarray, labels: pd.DataFrame, reach: int
) -> tuple[tuple[str, Any, Any], ...]:
    """List tickers with a final return: its first label, and when it was known."""
    last, _ = last_prices(closes)
    tickers = list(labels.columns.unique(-1))
    return tuple(
        (
            tickers[place],
            labels.index[max(0, last[place] + 1 - reach)],
            labels.index[last[place] + QUIET_ROWS],
        )
        for place in np.flatnonzero(np.isfinite(ends[-1]) & ~np.isfinite(closes[-1]))
    )


def mask_late(values: np.ndarray, y: Any) -> None:
    """Remove, in place, final returns that were not known at the last row of `y`."""
    # That a ticker is gone shows later than its last labels end.
    if not isinstance(y, pd.DataFrame) or not len(y):
        return
    names = y.columns.get_level_values(-1)
    for ticker, first, known in y.attrs.get("final_returns", ()):
        if y.index[-1] < known:
            values[np.ix_(y.index >= first, names == ticker)] = np.nan
