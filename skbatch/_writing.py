"""Files that are there whole or not at all, and locks that end with their process."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_UNFINISHED = ".unfinished"


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` once the block has ended well."""
    target = Path(os.path.realpath(path))
    mode = None
    if target.is_file():
        # Raises where the file itself must not be changed, though its folder may. It
        # may be gone meanwhile, as caches drop files.
        with suppress(FileNotFoundError), open(target, "rb+") as old:
            mode = stat.S_IMODE(os.fstat(old.fileno()).st_mode)
    elif target.exists():
        with open(path, "wb") as device:
            yield device
        return
    remove_unfinished(target.parent, target.name)
    file = _open_beside(target)
    try:
        with file:
            if mode is not None:
                os.chmod(file.name, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # an open file cannot be renamed there
            os.replace(file.name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(file.name)
        raise


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all; text as UTF-8."""
    with written_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left in a folder, of one file or of all."""
    any_or_one = ".+" if name is None else re.escape(name)
    pattern = re.compile(rf"\.{any_or_one}\.[0-9a-f]{{8}}{_UNFINISHED}")
    with suppress(OSError):
        for part in [p for p in folder.iterdir() if pattern.fullmatch(p.name)]:
            with suppress(OSError), part.open("rb+") as file:
                if lock(file):
                    if sys.platform == "win32":
                        file.close()  # an open file cannot be removed there
                    part.unlink()


def lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed or its process ends, unless another has."""
    try:
        if sys.platform == "win32":
            file.seek(0)  # a byte is locked, which has to be the same for all
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _open_beside(target: Path) -> IO[bytes]:
    """Open a new file in the same folder, which `remove_unfinished` leaves alone."""
    while True:
        name = f".{target.name}.{secrets.token_hex(4)}{_UNFINISHED}"
        file = target.with_name(name).open("xb")
        try:
            # Until it is locked, it may be taken for what a killed process left.
            if lock(file) and os.fstat(file.fileno()).st_nlink:
                return file
        except OSError:
            return file
        file.close()
