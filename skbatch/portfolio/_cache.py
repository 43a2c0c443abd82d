"""Forecasts that were made before, found again by what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from threading import Lock
from typing import Any

import joblib
import numpy as np
import pandas as pd

from skbatch._version import __version__
from skbatch.portfolio._expected import ExpectedReturns

LIBRARIES = ("numpy", "pandas", "sklearn", "xgboost")
# Of a process; small beside one fit.
MAX_ENTRIES = 64
# Of a folder.
LIMITS = {"items_limit": 256, "bytes_limit": 256 << 20}
# As bytes, so that changes to a returned forecast do not reach the cache.
MEMORY: OrderedDict[str, bytes] = OrderedDict()
_LOCK = Lock()


def open_folder(
    cache: bool, cache_dir: str | os.PathLike[str] | None
) -> joblib.Memory | None:
    """Open the folder in which forecasts are kept, None for this process alone."""
    if not isinstance(cache, bool | np.bool_):
        raise ValueError(
            f"`cache` must be True or False. Got {cache!r}. Pass a folder as "
            "`cache_dir`."
        )
    if not cache and cache_dir is not None:
        raise ValueError(
            f"`cache_dir` must be None with cache=False. Got {cache_dir!r}. Leave one "
            "of them out."
        )
    if cache_dir is None:
        return None
    try:
        os.makedirs(cache_dir, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"`cache_dir` must be a folder. Got {str(cache_dir)!r}, which is a "
            "file or in one. Pass another path."
        ) from error
    return joblib.Memory(os.fspath(cache_dir), verbose=0)


def recall(
    key: str, make: Callable[[], ExpectedReturns], folder: joblib.Memory | None
) -> ExpectedReturns:
    """Find what was made before, or make and keep it; drop what is used least."""
    if folder is not None:
        found: ExpectedReturns = folder.cache(_made, ignore=["make"])(key, make)
        folder.reduce_size(**LIMITS)
        return found
    with _LOCK:
        known = MEMORY.pop(key, None)
    known = pickle.dumps(make()) if known is None else known
    with _LOCK:
        MEMORY[key] = known
        while len(MEMORY) > MAX_ENTRIES:
            MEMORY.popitem(last=False)
    expected: ExpectedReturns = pickle.loads(known)
    return expected


def _made(key: str, make: Callable[[], ExpectedReturns]) -> ExpectedReturns:
    return make()


def forecast_key(panel: pd.DataFrame, identity: dict[str, Any]) -> str:
    """Hash all that the forecasts of a panel depend on."""
    # Libraries themselves: distributions of the same one have several names.
    versions = {name: str(import_module(name).__version__) for name in LIBRARIES}
    parts = identity | {"panel": joblib.hash(panel), "skbatch": __version__, **versions}
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
