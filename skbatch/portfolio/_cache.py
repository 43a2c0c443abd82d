"""Forecasts that were made before, found again by what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import joblib
import numpy as np
import pandas as pd

from skbatch._messages import warn_user
from skbatch._version import __version__
from skbatch._writing import remove_unfinished, write_whole
from skbatch.exceptions import PortfolioWarning
from skbatch.portfolio._expected import PROVENANCE, ExpectedReturns

LIBRARIES = ("numpy", "pandas", "sklearn", "xgboost")
_SUFFIX = ".forecast.json"


class Cache(Protocol):
    """Keeps texts by keys; drops those that were not used for longest."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, text: str) -> None: ...


class MemoryCache:
    """Keeps texts in this process: they cannot be changed by whoever has one."""

    def __init__(self, max_entries: int = 64, max_bytes: int = 64 << 20) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._texts: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> str | None:
        with self._lock:
            if key not in self._texts:
                return None
            self._texts.move_to_end(key)
            return self._texts[key].decode()

    def put(self, key: str, text: str) -> None:
        with self._lock:
            self._texts[key] = text.encode()
            self._texts.move_to_end(key)
            while len(self) > self.max_entries or self.n_bytes > self.max_bytes:
                self._texts.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._texts.clear()

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self._texts.values()))

    def __len__(self) -> int:
        return len(self._texts)


# Of this process; small beside one fit.
MEMORY = MemoryCache()


class DiskCache:
    """Keeps texts as files of a folder, which several processes may share."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        max_entries: int = 256,
        max_bytes: int = 256 << 20,
    ) -> None:
        self.folder = Path(folder)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                f"`cache_dir` must be a folder. Got {str(folder)!r}, which is a "
                "file or in one. Pass another path."
            ) from error

    def get(self, key: str) -> str | None:
        """Find a text; None if it is not kept, or its file is damaged."""
        path = self.folder / f"{key}{_SUFFIX}"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("read", error)
            return None
        checksum, _, text = content.partition(b"\n")
        if checksum != _checksum(text):
            self._warn("read", f"{path.name} is damaged")
            return None
        with suppress(OSError):
            os.utime(path)
        return text.decode()

    def put(self, key: str, text: str) -> None:
        try:
            content = text.encode()
            path = self.folder / f"{key}{_SUFFIX}"
            write_whole(path, _checksum(content) + b"\n" + content)
        except OSError as error:
            self._warn("written", error)
        self._shrink()

    def _shrink(self) -> None:
        """Delete what was not used for longest, until the rest is within bounds."""
        n_bytes = 0
        newest_first = sorted(self._files(_SUFFIX), reverse=True)
        for number, (changed, size, path) in enumerate(newest_first, start=1):
            n_bytes += size
            if number > self.max_entries or n_bytes > self.max_bytes:
                _delete(path, changed)
        remove_unfinished(self.folder)

    def _files(self, suffix: str) -> Iterator[tuple[int, int, str]]:
        """List files with time of last use and size; others may delete meanwhile."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix):
                    with suppress(OSError):
                        status = entry.stat()
                        yield status.st_mtime_ns, status.st_size, entry.path

    def _warn(self, what: str, why: object) -> None:
        """Warn that forecasts are computed again, or will be."""
        warn_user(
            f"The cache in {str(self.folder)!r} could not be {what} ({why}). Nothing "
            "is lost but time; delete the file, or pass another `cache_dir`.",
            PortfolioWarning,
        )


def find_cache(cache: bool, cache_dir: str | os.PathLike[str] | None) -> Cache | None:
    """Find where forecasts are kept; None for nowhere."""
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
    if not cache:
        return None
    return MEMORY if cache_dir is None else DiskCache(cache_dir)


def forecast_key(panel: pd.DataFrame, identity: dict[str, Any]) -> str:
    """Hash all that the forecasts of a panel depend on."""
    # Libraries themselves: distributions of the same one have several names.
    versions = {name: str(import_module(name).__version__) for name in LIBRARIES}
    parts = identity | {"panel": joblib.hash(panel), "skbatch": __version__, **versions}
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def to_text(expected: ExpectedReturns) -> str:
    """Write expected returns as text, from which every number comes back as it was."""
    provenance, interval = expected.provenance, expected.interval
    parts: dict[str, Any] = {
        "returns": _plain(expected.to_series()),
        "horizon": expected.horizon,
        "tickers": list(provenance.index),
        "provenance": {name: list(provenance[name]) for name in PROVENANCE},
        "stale": expected.stale,
    }
    if interval is not None:
        parts["interval"] = {name: _plain(interval[name]) for name in interval}
        parts["intervals of"] = list(interval.index)
    return json.dumps(parts)


def from_text(text: str) -> ExpectedReturns:
    """Read what `to_text` wrote."""
    known = json.loads(text)
    tickers = pd.Index(known["tickers"], name="ticker", dtype=object)
    interval = None
    if "interval" in known:
        index = pd.Index(known["intervals of"], dtype=object)
        interval = pd.DataFrame(known["interval"], index, dtype=np.float64)
    return ExpectedReturns(
        dict(zip(tickers, pd.Series(known["returns"], dtype=np.float64), strict=True)),
        horizon=known["horizon"],
        provenance=pd.DataFrame(known["provenance"], tickers, dtype=object),
        interval=interval,
        stale=known["stale"],
    )


def _plain(values: pd.Series) -> list[float | None]:
    """List numbers for JSON, which has no NaN."""
    return [value if np.isfinite(value) else None for value in values]


def _delete(path: str, changed: int) -> None:
    """Delete a file unless it was used again since it was listed."""
    with suppress(OSError):
        if os.stat(path).st_mtime_ns == changed:
            os.unlink(path)


def _checksum(text: bytes) -> bytes:
    """Return whether a file is damaged."""
    return f"{zlib.crc32(text):08x}".encode()
