"""Inputs that are categories: numbers from 1 on, 0 where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from skbatch._kernels.threads import slices
from skbatch.forecasting._feature_table import Rows
from skbatch.forecasting._row_store import RowStore, with_gaps
from skbatch.forecasting._training import MAX_CELLS

# Number of an input → which of its categories, by number, training rows have.
Seen = dict[int, np.ndarray]


def seen_categories(rows: Rows) -> Seen:
    """Find which categories rows have."""
    if not rows.categories:
        return {}
    parts = rows.X.map(partial(_seen_here, rows.categories))
    return {
        number: np.bincount(np.concatenate(found)) > 0
        for number, *found in zip(rows.categories, *parts, strict=True)
    }


def _seen_here(numbers: tuple[int, ...], rows: RowStore) -> list[np.ndarray]:
    """List the categories of each input in stored rows, read slice by slice."""
    size = max(1, MAX_CELLS // max(1, rows.shape[1]))
    parts = (rows[place] for place in slices(len(rows), size))
    found = [[np.unique(part[:, n]) for n in numbers] for part in parts]
    return [np.concatenate(each).astype(np.intp) for each in zip(*found, strict=True)]


def highest(seen: Seen) -> dict[int, int]:
    """Find the highest category of each input."""
    return {number: len(known) - 1 for number, known in seen.items()}


def known_only(X: np.ndarray, seen: Seen) -> np.ndarray:
    """Replace, in a copy if there are any, categories that training rows lacked."""
    copied = False
    for number, known in seen.items():
        codes = X[:, number].astype(np.intp)
        strange = ~known[np.minimum(codes, len(known) - 1)] | (codes >= len(known))
        if strange.any() and codes[strange].any():
            X = X if copied else X.copy(order="K")
            X[strange, number] = 0.0
            copied = True
    return X


def indicators(X: np.ndarray, seen: Seen) -> np.ndarray:
    """Replace categories by a column of 0 and 1 for each one, after other inputs."""
    if not seen:
        return X
    parts = [np.delete(X, list(seen), axis=1)]
    parts += [bearers(X[:, number], known) for number, known in seen.items()]
    return np.hstack(parts, dtype=X.dtype)


def bearers(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mark by 0 and 1 who has each known category, `(n_rows, n_levels)`."""
    # A row with no category, or one that training rows lacked, is missing in all.
    bears = numbers[:, None] == 1.0 + np.flatnonzero(known[1:])
    return np.where(bears.any(axis=1, keepdims=True), bears, np.nan)


def n_levels(known: np.ndarray) -> int:
    """Count the categories of an input that training rows have."""
    return int(known[1:].sum())


class with_indicators:  # noqa: N801 - used like a function
    """View stored rows with indicators in place of categories."""

    def __init__(self, rows: with_gaps, seen: Seen) -> None:
        self.rows, self.seen = rows, seen
        n_more = sum(n_levels(known) - 1 for known in seen.values())
        self.shape = len(rows), rows.shape[1] + n_more

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: slice) -> np.ndarray:
        return indicators(self.rows[place], self.seen)

    def map(self, function: Callable[..., Any], *aligned: np.ndarray) -> list[Any]:
        """Compute a function of all rows, or of each part where rows lie in parts."""
        return self.rows.map(partial(_of_indicators, function, self.seen), *aligned)


def _of_indicators(
    function: Callable[..., Any], seen: Seen, rows: with_gaps, *aligned: np.ndarray
) -> Any:
    return function(with_indicators(rows, seen), *aligned)
