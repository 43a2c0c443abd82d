"""Panels whose future is garbage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

REMOVED = "removed"


def _rescaled(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return future * rng.uniform(0.5, 2.0, size=future.shape)


def _huge(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(1e3, 1e6, size=future.shape)


def _constant(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ones_like(future)


def _reversed(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return future[::-1].copy()


def _shuffled(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return future[rng.permutation(len(future))]


def _missing(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # At least one column goes and, where there are several, at least one stays.
    n_columns = future.shape[1]
    gone = rng.permutation(n_columns)[: max(1, n_columns // 2)]
    garbage = future.copy()
    garbage[:, gone] = np.nan
    return garbage


_GARBAGE: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "rescaled": _rescaled,
    "reversed": _reversed,
    "shuffled": _shuffled,
    "missing": _missing,
    "huge": _huge,
    "constant": _constant,
}
# Garbage that looks like prices: no estimator has a reason to refuse it.
ORDERLY = frozenset({"rescaled", "reversed", "shuffled", REMOVED})
KINDS = (*_GARBAGE, REMOVED)


def garble(
    panel: pd.DataFrame, last: int, kind: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Replace all values after a row by garbage."""
    if kind == REMOVED:
        return panel.iloc[: last + 1]
    garbled = own_copy(panel)
    use, values = _numbers(garbled)
    values[last + 1 :] = _GARBAGE[kind](values[last + 1 :], rng)
    return _with_numbers(_redrawn(garbled, last + 1, rng), use, values)


def make_gaps(panel: pd.DataFrame, first: int, last: int, seed: int) -> pd.DataFrame:
    """Mask the prices of about half of the tickers on some rows."""
    columns = panel.columns.get_level_values(-1)
    tickers = columns.unique()
    gone = np.random.default_rng(seed).permutation(tickers)[: len(tickers) // 2]
    use, values = _numbers(panel)
    values[first : last + 1, columns[use].isin(gone)] = np.nan
    return _with_numbers(panel, use, values)


def own_copy(panel: pd.DataFrame) -> pd.DataFrame:
    """Copy a panel into the memory order that garbled panels have."""
    return _with_numbers(panel, *_numbers(panel))


def _numbers(panel: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Find the columns of numbers, neither masks nor categories, and copy them."""
    use = np.asarray(panel.dtypes == np.float64)
    part = panel if use.all() else panel.loc[:, use]
    return use, part.to_numpy(dtype=np.float64, copy=True)


def _with_numbers(
    panel: pd.DataFrame, use: np.ndarray, values: np.ndarray
) -> pd.DataFrame:
    """Create a panel with other numbers."""
    frame = pd.DataFrame(values, panel.index, panel.columns[use])
    if not use.all():
        frame = pd.concat([frame, panel.loc[:, ~use]], axis=1)[panel.columns]
    frame.attrs.update(panel.attrs)
    return frame


def _redrawn(panel: pd.DataFrame, start: int, rng: np.random.Generator) -> pd.DataFrame:
    """Replace masks and categories from a row on by those of other rows."""
    use = np.asarray(panel.dtypes == np.float64)
    if use.all():
        return panel
    others = panel.loc[:, ~use]
    drawn = others.iloc[rng.integers(len(others), size=len(others) - start)]
    drawn = drawn.set_axis(others.index[start:], axis=0)
    others = pd.concat([others.iloc[:start], drawn])
    return pd.concat([panel.loc[:, use], others], axis=1)[panel.columns]
