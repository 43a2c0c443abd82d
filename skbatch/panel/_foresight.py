"""Signals that know more of the returns to come than any honest one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skbatch._kernels.cross_section import centred_rank
from skbatch._messages import format_tickers
from skbatch.panel._fields import panel_fields

_HORIZONS = (1, 5)
_DATES = 500
_LEAST_DATES, _LEAST_TICKERS = 60, 10
# Genuine signals have mean rank ICs up to .05. On simulated panels of 20 to 300
# tickers, two standard errors less were at most .07, whereas a signal that correlates
# by .1 with the next week's return stays above with 100 tickers, and mostly with 50.
_LEAST_IC, _ERRORS = 0.07, 2.0


def find_foresight(panel: pd.DataFrame, signals: Mapping[str, pd.DataFrame]) -> str:
    """Describe signals with an implausibly high rank IC; empty if there are none."""
    if not signals:
        return ""
    closes = panel_fields(panel)["close"]
    if closes.shape[1] < _LEAST_TICKERS:
        return ""
    found: list[str] = []
    for name, table in signals.items():
        if (table.dtypes == np.float64).all():
            ics = [_least_ic(table.to_numpy(), closes, h) for h in _HORIZONS]
            if max(ics) > _LEAST_IC:
                found.append(f"{name} ({max(ics):.2f})")
    if not found:
        return ""
    return (
        "Signals must not contain future returns. Got implausible rank ICs with the "
        f"next 1 or 5 rows, significantly beyond {_LEAST_IC:g}, in "
        f"{format_tickers(found)}; genuine signals hardly reach 0.05. Check that their "
        "dates are those on which the values became known."
    )


def _least_ic(signal: np.ndarray, closes: np.ndarray, horizon: int) -> float:
    """Bound the size of the mean rank IC from below, by two standard errors."""
    if len(closes) < _LEAST_DATES + horizon:
        return 0.0
    rows = np.unique(np.linspace(0, len(closes) - 1 - horizon, _DATES).astype(int))
    with np.errstate(invalid="ignore", divide="ignore"):
        later = closes[rows + horizon] / closes[rows] - 1
    both = np.isfinite(signal[rows]) & np.isfinite(later)
    use = both.sum(axis=1) >= _LEAST_TICKERS
    if use.sum() < _LEAST_DATES:
        return 0.0
    ranks = [
        np.nan_to_num(centred_rank(np.where(both, values, np.nan)[use]))
        for values in (signal[rows], later)
    ]
    norms = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    ics = (ranks[0] * ranks[1]).sum(axis=1) / np.where(norms > 0, norms, np.inf)
    # Returns of dates that are near overlap, so that their means vary less than dates.
    width = -(-horizon * len(rows) // max(1, rows[-1] - rows[0]))
    n_blocks = len(ics) // max(1, width)
    means = ics[: n_blocks * width].reshape(n_blocks, width).mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(n_blocks)
    return float(abs(ics.mean()) - _ERRORS * error)
