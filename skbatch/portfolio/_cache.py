"""Forecasts that were made before, found again by what they were made from."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Protocol

from skbatch._files import remove_unfinished, write_whole
from skbatch._messages import warn_user
from skbatch.exceptions import PortfolioWarning

__all__ = ["MEMORY", "Cache", "DiskCache", "MemoryCache"]

_SUFFIX = ".forecast.json"


class Cache(Protocol):
    """Keeps texts by keys."""

    def get(self, key: str) -> str | None:
        """Find a text; None if it is not kept."""

    def put(self, key: str, text: str) -> None:
        """Keep a text, in place of the one that was not used for longest."""


class MemoryCache:
    """Keeps texts in this process.

    Texts cannot be changed, so nobody who has one can spoil it for others.

    Parameters
    ----------
    max_entries : int, default=64
        Largest number of texts.
    max_bytes : int, default=64 MiB
        Largest length of all together. A longer one is not kept.
    """

    def __init__(self, max_entries: int = 64, max_bytes: int = 64 << 20) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._texts: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> str | None:
        """Find a text; None if it is not kept."""
        with self._lock:
            if key not in self._texts:
                return None
            self._texts.move_to_end(key)
            return self._texts[key].decode()

    def put(self, key: str, text: str) -> None:
        """Keep a text, in place of the one that was not used for longest."""
        with self._lock:
            self._texts[key] = text.encode()
            self._texts.move_to_end(key)
            while len(self) > self.max_entries or self.n_bytes > self.max_bytes:
                self._texts.popitem(last=False)

    def clear(self) -> None:
        """Forget all texts."""
        with self._lock:
            self._texts.clear()

    @property
    def n_bytes(self) -> int:
        """Length of all texts together."""
        return sum(map(len, self._texts.values()))

    def __len__(self) -> int:
        return len(self._texts)


# Of this process; small beside one fit.
MEMORY = MemoryCache()


class DiskCache:
    """Keeps texts as files of a folder, which several processes may share.

    Parameters
    ----------
    folder : path
        It is made if it is not there. Other files in it are left alone.
    max_entries : int, default=256
        Largest number of files.
    max_bytes : int, default=256 MiB
        Largest size of all together.
    """

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
        """Keep a text, in place of the one that was not used for longest."""
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
        """Say that forecasts are made anew, or will be."""
        warn_user(
            f"The cache in {str(self.folder)!r} could not be {what} ({why}). Nothing "
            "is lost but time; delete the file, or pass another `cache_dir`.",
            PortfolioWarning,
        )


def _delete(path: str, changed: int) -> None:
    """Delete a file unless it was used again since it was listed."""
    with suppress(OSError):
        if os.stat(path).st_mtime_ns == changed:
            os.unlink(path)


def _checksum(text: bytes) -> bytes:
    """Tell damaged files from whole ones."""
    return f"{zlib.crc32(text):08x}".encode()
