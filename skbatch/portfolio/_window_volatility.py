"""How volatile tickers were over many windows of the past, to recognize covariances."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skbatch.panel.engine import panel_fields, panel_tickers

BLOCK = 63  # rows of a quarter
YEAR = 4  # blocks
SHORTEST = 20  # rows needed to estimate a volatility


def window_volatility(panel: pd.DataFrame) -> pd.DataFrame:
    """Measure the standard deviation of one row's return over windows of the past."""
    closes = panel_fields(panel)["close"]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = closes[1:] / closes[:-1] - 1.0
    known = np.isfinite(returns)
    # Less the mean of all, so that differences of sums keep their digits.
    count = np.maximum(known.sum(axis=0), 1)
    returns = np.where(known, returns - np.nansum(returns, axis=0) / count, 0.0)
    ends = np.append(np.arange(len(returns), 0, -BLOCK), 0)
    sums = [_sum_until(part, ends) for part in (known, returns, returns**2)]
    rows = {}
    for late, early in _windows(len(ends) - 1):
        n, total, squares = (part[late] - part[early] for part in sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (squares - total**2 / n) / (n - 1)
        # A constant price carries no information on the size of a covariance.
        usable = (n >= SHORTEST) & (variance > 1e-16)
        rows[late, early] = np.sqrt(np.where(usable, variance, np.nan))
    return pd.DataFrame(np.array(list(rows.values())), columns=panel_tickers(panel))


def _sum_until(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sum what lies before each of some rows."""
    total = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    return total[rows]


def _windows(n_blocks: int) -> list[tuple[int, int]]:
    """List pairs of block ends, counted from the last one: the last year first."""
    last = [(0, min(n, n_blocks)) for n in (YEAR, 1, 2, 8, 12, 20, 40, n_blocks)]
    past = [(i, i + n) for n in (1, YEAR) for i in range(n_blocks - n + 1)]
    return list(dict.fromkeys(last + past))
