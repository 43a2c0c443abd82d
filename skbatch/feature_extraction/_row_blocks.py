"""Blocks of rows, so that features never exist all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from skbatch._messages import check_int

_BLOCK_BYTES = 2**26
_LEAST_ROWS = 192


def check_rows(rows: Sequence[int] | np.ndarray | None, n_rows: int) -> np.ndarray:
    """Check that positions are increasing and within a panel; None takes all rows."""
    if rows is None:
        return np.arange(n_rows)
    wanted = np.asarray(rows)
    is_integer = wanted.ndim == 1 and (
        np.issubdtype(wanted.dtype, np.integer) or not wanted.size
    )
    wanted = wanted.astype(np.intp) if is_integer else np.empty(0, np.intp)
    inside = not wanted.size or (wanted[0] >= 0 and wanted[-1] < n_rows)
    if not is_integer or not inside or (np.diff(wanted) <= 0).any():
        raise ValueError(
            f"`rows` must be increasing positions from 0 to {n_rows - 1}. Got "
            f"{rows!r}. Sort them, and turn a mask into positions with "
            "`np.flatnonzero(mask)`."
        )
    return wanted


def default_block_rows(n_columns: int, rows: np.ndarray) -> int:
    """Choose how many rows a block covers, of which only some may be wanted."""
    # Its output stays near 64 MiB, but every block computes its look-back again, so
    # that a block of few rows is not worth its time.
    n_stored = max(_LEAST_ROWS, _BLOCK_BYTES // (4 * n_columns))
    extent = int(rows[-1] - rows[0]) + 1
    most = n_stored * extent // len(rows)
    # Blocks of one size: a last one of few rows would pay a whole look-back.
    n_blocks = -(-extent // most)
    return -(-extent // n_blocks)


def cut_rows(rows: np.ndarray, block_rows: int | None, n_columns: int) -> list[slice]:
    """Split wanted rows into blocks that cover at most `block_rows` rows each."""
    if not len(rows):
        return []
    if block_rows is None:
        block_rows = default_block_rows(n_columns, rows)
    check_int(block_rows, "block_rows", 1, "Pass a number of rows.")
    return list(_cut(rows, block_rows))


def _cut(rows: np.ndarray, block_rows: int) -> Iterator[slice]:
    """Start a block at the next wanted row, as rows in between need no work."""
    start = 0
    while start < len(rows):
        stop = int(np.searchsorted(rows, rows[start] + block_rows))
        yield slice(start, stop)
        start = stop
