"""Where panels are cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch._messages import check_int
from skbatch.exceptions import PanelError

# Five rows in a row have every weekday among them.
N_BEFORE = 4
# Three month ends in a row have a quarter's end among them.
N_MONTH_ENDS = 3


@dataclass(frozen=True)
class Cut:
    """Where a panel is cut, as row numbers."""

    fitted: int
    last: int
    others: tuple[int, ...] = ()


def draw_cuts(index: pd.Index, horizon: int, n_cuts: int, seed: int) -> list[Cut]:
    """Draw rows in the later half that leave room for the garbage."""
    n_dates = len(index)
    check_int(n_cuts, "n_cuts", 1, "Pass 3.")
    least = 8 * horizon + 16
    if n_dates < least:
        raise PanelError(
            "`prices` must have enough rows to fit before a cut and to garble after "
            f"it: at least {least}. Got {n_dates}. Pass a longer history."
        )
    rng = np.random.default_rng(seed)
    rows = np.arange(n_dates // 2, n_dates - 2 * horizon - 2)
    rows = rng.choice(rows, size=min(n_cuts, len(rows)), replace=False)
    # Transformers without history need some new rows before they give values.
    back = rng.integers(n_dates // 8, n_dates // 4, size=len(rows))
    return [
        Cut(int(row - step), int(row), _find_others(index, int(row)))
        for row, step in zip(rows, back, strict=True)
    ]


def _find_others(index: pd.Index, last: int) -> tuple[int, ...]:
    """Choose the rows just before a cut and the month ends nearest to it."""
    before = range(last - N_BEFORE, last)
    ends = _month_ends(index)
    nearest = ends[np.argsort(np.abs(ends - last), kind="stable")[:N_MONTH_ENDS]]
    return tuple(sorted({*before, *nearest.tolist()} - {last}))


def _month_ends(index: pd.Index) -> np.ndarray:
    """Return the last row of each month; none without dates."""
    if not isinstance(index, pd.DatetimeIndex):
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.diff(index.month))
