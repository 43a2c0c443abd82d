"""Stacked rows that are written once and read slice by slice."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from skbatch.exceptions import PanelError
from skbatch.panel.engine import CATEGORY

# What stands for a missing input: below whatever a feature can be. Trees see a missing
# input as lower than all others. For NaN, XGBoost would keep four bytes for every input
# instead of one.
LOWEST = np.float32(-1e30)
# XGBoost keeps a bin for each category.
MAX_CATEGORIES = 2**16
# Rows that are filled at once, with as many places of cells in the cache.
GATHERED_ROWS = 512
# Cells that are written to a file at once (4 MiB of float32).
CHUNK_CELLS = 2**20


@dataclass
class Storage:
    """Where rows are kept: in memory as long as they fit, then in temporary files."""

    memory_limit: int | None = 2**24
    folder: str | os.PathLike[str] | None = None
    used: int = field(default=0, compare=False)

    def has_room(self, n_bytes: int) -> bool:
        """Reserve memory for an array, if there is room for it."""
        if self.memory_limit is not None and self.used + n_bytes > self.memory_limit:
            return False
        self.used += n_bytes
        return True

    def release(self, n_bytes: int) -> None:
        """Release reserved memory."""
        self.used -= n_bytes

    def file(self) -> Any:
        """Open a temporary file, which vanishes with its process, however that ends."""
        return tempfile.TemporaryFile(prefix="skbatch-", dir=self.folder)


def numbered(codes: np.ndarray) -> np.ndarray:
    """Turn codes of categories, 0, 1, … or NaN, into numbers from 1 on, and 0."""
    fit = (codes >= 0) & (codes < MAX_CATEGORIES) & (codes % 1 == 0)
    wrong = ~fit & ~np.isnan(codes)
    if wrong.any():
        raise PanelError(
            f"Features whose names end with {CATEGORY!r} must hold codes of categories:"
            f" 0, 1, … below {MAX_CATEGORIES:,}, or NaN. Got {codes[wrong][0]:g}. "
            "Rename the feature if it is a number."
        )
    return np.nan_to_num(codes + 1.0, nan=0.0)


def fill_rows(
    out: np.ndarray,
    values: np.ndarray,
    columns: np.ndarray,
    dates: np.ndarray,
    series: np.ndarray,
) -> None:
    """Fill (date, series) rows with the columns of their series, NaN for column -1."""
    if values.flags.c_contiguous:
        # Places in memory, of a few rows at once, are looked up faster than cells.
        flat, starts = values.reshape(-1), dates * values.shape[1]
        for first in range(0, len(dates), GATHERED_ROWS):
            rows = slice(first, first + GATHERED_ROWS)
            out[rows] = flat.take(starts[rows, None] + columns[series[rows]])
    else:
        for number, column in enumerate(columns.T):
            out[:, number] = values[dates, column[series]]
    for number in np.flatnonzero((columns < 0).any(axis=0)).tolist():
        out[columns[series, number] < 0, number] = np.nan


class RowStore:
    """Inputs of stacked (date, series) rows."""

    # Missing inputs are `LOWEST`; see `chunk` and `with_gaps`. In memory, the order is
    # Fortran's: XGBoost takes it as fast as the other, and each input is filled in one
    # pass.
    _whole: RowStore | None = None

    def __init__(self, n_rows: int, n_inputs: int, storage: Storage) -> None:
        self.shape = n_rows, n_inputs
        self.array: np.ndarray | None = None
        self._file: Any = None
        self._lock = Lock()
        n_bytes = 4 * n_rows * n_inputs
        if storage.has_room(n_bytes):
            weakref.finalize(self, storage.release, n_bytes)
            self.array = np.empty(self.shape, np.float32, order="F")
        else:
            self._file = storage.file()
            weakref.finalize(self, self._file.close)

    @classmethod
    def holding(cls, array: np.ndarray) -> RowStore:
        """Create a store of inputs that are in memory, without gaps."""
        store = cls.__new__(cls)
        store.shape, store.array = (len(array), array.shape[1]), array
        return store

    def __len__(self) -> int:
        return self.shape[0]

    def first(self, n_inputs: int) -> RowStore:
        """View the same rows with their first inputs only."""
        view = copy(self)
        view.shape = len(self), n_inputs
        # Inputs lie one after the other in memory, and rows in a file, which stays open
        # as long as its store lives.
        view.array = None if self.array is None else self.array[:, :n_inputs]
        view._whole = self
        return view

    def map(self, function: Callable[..., Any], *aligned: np.ndarray) -> list[Any]:
        """Compute a function of all rows, or of each part where rows lie in parts."""
        # It is called with the rows and, where other arrays are given, theirs.
        return [function(self, *aligned)]

    @property
    def chunk_rows(self) -> int:
        """Number of rows that are written at once."""
        return max(1, CHUNK_CELLS // max(1, self.shape[1]))

    def space(self, start: int, stop: int) -> np.ndarray:
        """Return an array to fill with some rows, which `put` then stores."""
        if self.array is not None:
            return self.array[start:stop]
        return np.empty((stop - start, self.shape[1]), np.float32)

    def put(self, start: int, rows: np.ndarray) -> None:
        """Store filled rows; raises `MemoryError` if there is no room for them."""
        np.copyto(rows, LOWEST, where=np.isnan(rows))
        if self.array is None:
            try:
                self._file.seek(start * rows.shape[1] * rows.itemsize)
                self._file.write(rows.data)
            except OSError as error:
                raise MemoryError(f"no room for rows on disk ({error})") from error

    def __getitem__(self, place: slice) -> np.ndarray:
        """Read consecutive rows; of rows in memory this is a view."""
        if self.array is not None:
            return self.array[place]
        if self._whole is not None:
            return self._whole[place][:, : self.shape[1]]
        start, stop, _ = place.indices(len(self))
        rows = np.empty((max(0, stop - start), self.shape[1]), np.float32)
        with self._lock:
            self._file.seek(start * self.shape[1] * rows.itemsize)
            self._file.readinto(rows.data)
        return rows


class with_gaps:  # noqa: N801 - used like a function
    """View stored rows with NaN for missing inputs."""

    def __init__(self, store: RowStore | np.ndarray) -> None:
        self.store = store
        self.shape = store.shape

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, place: slice) -> np.ndarray:
        rows = self.store[place]
        if isinstance(self.store, np.ndarray):
            return rows
        return np.where(rows == LOWEST, np.float32(np.nan), rows)

    def map(self, function: Callable[..., Any], *aligned: np.ndarray) -> list[Any]:
        """Compute a function of all rows, or of each part where rows lie in parts."""
        if isinstance(self.store, np.ndarray):
            return [function(self, *aligned)]
        return self.store.map(partial(_of_gaps, function), *aligned)


def _of_gaps(
    function: Callable[..., Any], store: RowStore, *aligned: np.ndarray
) -> Any:
    return function(with_gaps(store), *aligned)
