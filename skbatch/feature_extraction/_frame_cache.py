"""A bounded cache of feature frames, shared by all extractors of the process.

Searches fit the same extractor on the same fold again for every candidate; the frame
is then computed once.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

from skbatch._bounded_cache import BoundedCache, clear_all

# A search needs several frames at once, one of each fold and side. If the limit holds
# fewer than this many, they would displace each other before any is found again.
_LEAST_ENTRIES = 4
# Smallest number of bytes, and largest number, of arrays that share their memory.
_LEAST_SHARED, _MOST_SHARED = 2**24, 64
# Columns that are hashed at once: those of several blocks of pandas are copied.
_HASHED_COLUMNS = 256


class CacheInfo(NamedTuple):
    """State of the cache of feature frames."""

    hits: int
    extractions: int
    entries: int
    size: int


class _HeldArray:
    """Values that are handed out without copying what their receivers only read."""

    # scikit-learn makes even read-only views writable, so that whoever is given values
    # must be able to change his own without changing these: pages of memory are copied
    # when they are written to.

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.nbytes = 4 * shape[0] * shape[1]
        self._file = os.memfd_create("skbatch features")
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, self.nbytes)

    def to_fill(self) -> np.ndarray:
        """View the values, to write them."""
        return self._view(mmap.mmap(self._file, self.nbytes))

    def copy(self) -> np.ndarray:
        """Hand out the values."""
        return self._view(mmap.mmap(self._file, self.nbytes, flags=mmap.MAP_PRIVATE))

    def _view(self, memory: mmap.mmap) -> np.ndarray:
        return np.frombuffer(memory, dtype=np.float32).reshape(self.shape)


class _CopiedArray:
    """Values that are copied when they are handed out: small ones, or beyond Linux."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.values = np.empty(shape, dtype=np.float32)
        self.nbytes = self.values.nbytes

    def to_fill(self) -> np.ndarray:
        """View the values, to write them."""
        return self.values

    def copy(self) -> np.ndarray:
        """Hand out the values."""
        return self.values.copy()


def _held(shape: tuple[int, int], limit: int) -> _HeldArray | _CopiedArray:
    """Make room for values. Each large array takes an open file: there are few."""
    if 4 * shape[0] * shape[1] < max(_LEAST_SHARED, limit // _MOST_SHARED):
        return _CopiedArray(shape)
    try:
        return _HeldArray(shape)
    except (AttributeError, OSError):
        return _CopiedArray(shape)


class FeatureCache:
    """Feature values by what they were computed from."""

    def __init__(self) -> None:
        self._held: BoundedCache[_HeldArray | _CopiedArray] = BoundedCache()
        self._lock = Lock()
        self._hits = self._extractions = 0

    def get_or_compute(
        self,
        find_key: Callable[[], str],
        limit: int,
        shape: tuple[int, int],
        compute: Callable[[np.ndarray], None],
    ) -> np.ndarray:
        """Copy the values of a key, or compute them, `shape` of float32."""
        # To hash a large panel takes as long as some of its features.
        is_kept = 0 < limit >= 4 * shape[0] * shape[1] * _LEAST_ENTRIES
        key = find_key() if is_kept else None
        held = self._held.get(key)
        with self._lock:
            self._hits += held is not None
            self._extractions += held is None
        if held is not None:
            return held.copy()
        if key is None:
            values = np.empty(shape, dtype=np.float32)
            compute(values)
            return values
        held = _held(shape, limit)
        compute(held.to_fill())
        self._held.put(key, held, held.nbytes, limit)
        return held.copy()

    def info(self) -> CacheInfo:
        """Count what the cache holds."""
        with self._lock:
            held = self._held
            return CacheInfo(self._hits, self._extractions, len(held), held.size)

    def restart(self) -> None:
        """Restart the counts."""
        with self._lock:
            self._hits = self._extractions = 0


FEATURE_CACHE = FeatureCache()


def cache_info() -> CacheInfo:
    """Count what the cache of feature frames holds.

    Returns
    -------
    CacheInfo
        Hits, extractions, entries and size in bytes, since the process started or
        :func:`clear_cache` was called.

    Examples
    --------
    >>> from skbatch.feature_extraction import cache_info, clear_cache
    >>> clear_cache()
    >>> cache_info()
    CacheInfo(hits=0, extractions=0, entries=0, size=0)
    """
    return FEATURE_CACHE.info()


def clear_cache() -> None:
    """Drop what is kept between fits, to free its memory, and restart the counts.

    These are feature frames, and the quantized matrices of small training sets.
    """
    clear_all()
    FEATURE_CACHE.restart()


def table_key(table: pd.DataFrame) -> str:
    """Hash what a table holds, whatever its order in memory and its index's name."""
    # joblib would pickle each name, which takes longer than hashing the values.
    labels = [
        (pd.util.hash_pandas_object(axis).to_numpy(), type(axis).__name__, axis.dtype)
        for axis in (table.index, table.columns)
    ]
    # Pandas holds columns one after the other, so that this copies nothing.
    starts = range(0, table.shape[1], _HASHED_COLUMNS)
    tables = (table.iloc[:, start : start + _HASHED_COLUMNS] for start in starts)
    parts = [joblib.hash(np.ascontiguousarray(part.to_numpy().T)) for part in tables]
    return str(joblib.hash((parts, labels)))
