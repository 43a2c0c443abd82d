"""A bounded cache of feature frames, shared by all extractors of the process.

Searches fit the same extractor on the same fold again for every candidate; the frame
is then computed once.
"""

from __future__ import annotations

import builtins
import dis
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from threading import Lock
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pandas as pd

from skbatch.feature_extraction._inputs import COPY_ON_WRITE

__all__ = ["CacheInfo", "FeatureCache", "cache_info", "clear_cache", "function_key"]


_GLOBAL_OPERATIONS = {
    "LOAD_GLOBAL",
    "LOAD_NAME",
    "LOAD_FROM_DICT_OR_GLOBALS",
    "STORE_GLOBAL",
    "DELETE_GLOBAL",
}
# The others can reach globals, or files, by names that the code does not show.
_SAFE_BUILTINS = set(dir(builtins)) - {
    *("eval", "exec", "globals", "locals", "vars", "open", "__import__", "compile")
}


class CacheInfo(NamedTuple):
    """State of the cache of feature frames.

    Attributes
    ----------
    hits : int
        How often a frame was found.
    extractions : int
        How often one had to be computed.
    entries : int
        Number of frames held.
    size : int
        Their size in bytes.
    """

    hits: int
    extractions: int
    entries: int
    size: int


class FeatureCache:
    """Feature frames by what they were computed from; the least used leave first."""

    def __init__(self) -> None:
        self._frames: OrderedDict[Hashable, pd.DataFrame] = OrderedDict()
        self._lock = Lock()
        self._size = self._hits = self._extractions = 0

    def get_or_compute(
        self, key: Hashable | None, limit: int, compute: Callable[[], pd.DataFrame]
    ) -> pd.DataFrame:
        """Give the frame of a key, computing it if it is not there.

        Parameters
        ----------
        key : hashable or None
            Identifies the content; None for what cannot be identified.
        limit : int
            Size in bytes that the cache must not exceed; 0 bypasses it.
        compute : callable
            Computes the frame.

        Returns
        -------
        DataFrame
            A frame that the caller may change without changing the cache.
        """
        if key is None or limit <= 0:
            with self._lock:
                self._extractions += 1
            return compute()
        with self._lock:
            frame = self._frames.get(key)
            if frame is not None:
                self._hits += 1
                self._frames.move_to_end(key)
        if frame is None:
            frame = compute()
            self._put(key, frame, limit)
        return _protect(frame)

    def _put(self, key: Hashable, frame: pd.DataFrame, limit: int) -> None:
        """Hold a frame, dropping the least recently used ones beyond the limit."""
        size = _size(frame)
        with self._lock:
            self._extractions += 1
            if key in self._frames:
                return
            while self._frames and self._size + size > limit:
                self._size -= _size(self._frames.popitem(last=False)[1])
            if size <= limit:
                self._frames[key] = frame
                self._size += size

    def info(self) -> CacheInfo:
        """Tell what the cache holds."""
        with self._lock:
            return CacheInfo(
                self._hits, self._extractions, len(self._frames), self._size
            )

    def clear(self) -> None:
        """Drop all frames and restart the counts."""
        with self._lock:
            self._frames.clear()
            self._size = self._hits = self._extractions = 0


def _protect(frame: pd.DataFrame) -> pd.DataFrame:
    """Copy a frame lazily where pandas does, and in its order of memory elsewhere."""
    if COPY_ON_WRITE:
        return frame.copy(deep=False)
    return pd.DataFrame(frame.to_numpy().copy(), copy=False)


def _size(frame: pd.DataFrame) -> int:
    """Measure the values in bytes; cached frames have no names of columns."""
    return frame.shape[0] * frame.shape[1] * 4


FEATURE_CACHE = FeatureCache()


def cache_info() -> CacheInfo:
    """Tell what the cache of feature frames holds.

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
    """Drop all cached feature frames, to give back their memory."""
    FEATURE_CACHE.clear()


def function_key(functions: Mapping[str, Any]) -> Hashable | None:
    """Identify functions, None if one may change without becoming another object.

    A plain function is itself its key, as long as what it holds in defaults and
    closure cannot change, and it reads no globals but modules.
    """
    keys = []
    for name, function in functions.items():
        if not isinstance(function, FunctionType) or function.__dict__:
            return None
        held, modules = _held_values(function), _global_modules(function)
        if held is None or modules is None or not all(map(_is_constant, held)):
            return None
        keys.append((name, function, tuple(map(repr, held)), modules))
    return tuple(keys)


def _held_values(function: FunctionType) -> tuple[object, ...] | None:
    """List what closure and defaults hold; None if a cell is still empty."""
    try:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:
        return None
    defaults = (function.__kwdefaults__ or {}).values()
    return (*cells, *(function.__defaults__ or ()), *defaults)


def _global_modules(function: FunctionType) -> tuple[Hashable, ...] | None:
    """List the modules that a function reads; None if it reads other globals."""
    modules = []
    for name in sorted(_global_names(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            modules.append((name, value))
        elif name in function.__globals__ or name not in _SAFE_BUILTINS:
            return None
    return tuple(modules)


def _global_names(code: CodeType) -> set[str]:
    """Collect the globals that code, and the code nested in it, refers to."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in _GLOBAL_OPERATIONS
    }
    nested = (value for value in code.co_consts if isinstance(value, CodeType))
    return names.union(*map(_global_names, nested))


def _is_constant(value: object) -> bool:
    """Tell whether a value can never change."""
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return value is None or type(value) in (bool, int, float, str, bytes)
