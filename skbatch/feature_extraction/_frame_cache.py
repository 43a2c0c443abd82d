"""A bounded cache of feature frames, shared by all extractors of the process.

Searches fit the same extractor on the same fold again for every candidate; the frame
is then computed once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

__all__ = ["FEATURE_CACHE", "CacheInfo", "cache_info", "clear_cache", "table_key"]

# A search needs several frames at once, one of each fold and side. If the limit holds
# fewer than this many, they would displace each other before any is found again.
_LEAST_ENTRIES = 4


class CacheInfo(NamedTuple):
    """State of the cache of feature frames."""

    hits: int
    extractions: int
    entries: int
    size: int


class FeatureCache:
    """Feature values by what they were computed from; the least used leave first."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._size = self._hits = self._extractions = 0

    def get_or_compute(
        self, key: str | None, limit: int, compute: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Copy the values of a key, or compute them."""
        # scikit-learn makes even read-only views writable, so that only copies keep
        # the cache from being changed.
        with self._lock:
            held = None if key is None else self._values.get(key)
            if key is not None and held is not None:
                self._hits += 1
                self._values.move_to_end(key)
            else:
                self._extractions += 1
        if held is not None:
            return held.copy()
        values = compute()
        if key is not None and values.nbytes * _LEAST_ENTRIES <= limit:
            self._put(key, values.copy(), limit)
        return values

    def _put(self, key: str, values: np.ndarray, limit: int) -> None:
        """Hold values, dropping the least recently used ones beyond the limit."""
        with self._lock:
            if key not in self._values:
                self._values[key] = values
                self._size += values.nbytes
            while self._size > limit:
                self._size -= self._values.popitem(last=False)[1].nbytes

    def info(self) -> CacheInfo:
        """Count what the cache holds."""
        with self._lock:
            return CacheInfo(
                self._hits, self._extractions, len(self._values), self._size
            )

    def clear(self) -> None:
        """Drop all values and restart the counts."""
        with self._lock:
            self._values.clear()
            self._size = self._hits = self._extractions = 0


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
    """Drop all cached feature frames, to free their memory."""
    FEATURE_CACHE.clear()


def table_key(table: pd.DataFrame) -> str:
    """Hash what a table holds, whatever its order in memory and its index's name."""
    index = pd.util.hash_pandas_object(table.index).to_numpy()
    values = np.ascontiguousarray(table.to_numpy())
    kind = type(table.index).__name__, str(table.index.dtype)
    return str(joblib.hash((values, table.columns.to_list(), index, kind)))
