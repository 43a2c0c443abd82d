"""Time and memory that a piece of work takes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

import psutil

_INTERVAL = 0.005  # seconds; a look at the memory takes about 15 µs
# Files of a control group: limit, usage, and the cached files in it.
_CGROUP_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@dataclass(unsafe_hash=True)  # so that "nothing used" may be a field's default
class Usage:
    """What a piece of work took."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    start_bytes: int = 0
    peak_bytes: int = 0


def format_bytes(size: float) -> str:
    """Write a number of bytes for people: ``"512 MiB"``, ``"1.5 GiB"``."""
    mib = size / 2**20
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def rss() -> int:
    """Measure the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def available_memory() -> int:
    """Measure the memory that this process can still take."""
    return max(0, min([psutil.virtual_memory().available, *_cgroup_room()]))


@contextmanager
def measure() -> Iterator[Usage]:
    """Measure time and memory of the process within a ``with`` statement."""
    # A thread that all measurements share looks at the memory every 5 ms. Measurements
    # may be nested, and run in several threads.
    usage = Usage()
    record = _peak_on_record()
    usage.start_bytes = usage.peak_bytes = rss()
    start, cpu_start = time.perf_counter(), time.process_time()
    _SAMPLER.add(usage)
    try:
        yield usage
    finally:
        _SAMPLER.remove(usage)
        usage.seconds = time.perf_counter() - start
        usage.cpu_seconds = time.process_time() - cpu_start
        usage.peak_bytes = max(usage.peak_bytes, rss())
        # A new record of the process was set in this block, maybe between two samples.
        if _peak_on_record() > record:
            usage.peak_bytes = max(usage.peak_bytes, _peak_on_record())


class _Sampler:
    """Sample memory for all measurements of its peak."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watching: dict[int, Usage] = {}
        self._thread: Thread | None = None

    def add(self, usage: Usage) -> None:
        """Start updating the peak of a measurement."""
        with self._lock:
            self._watching[id(usage)] = usage
            if self._thread is None:
                self._thread = Thread(target=self._run, name="skbatch", daemon=True)
                self._thread.start()

    def remove(self, usage: Usage) -> None:
        """Stop updating a measurement."""
        with self._lock:
            self._watching.pop(id(usage), None)

    def _run(self) -> None:
        """Sample until no measurement is left."""
        while True:
            with self._lock:
                if not self._watching:
                    self._thread = None
                    return
                now = rss()
                for usage in self._watching.values():
                    usage.peak_bytes = max(usage.peak_bytes, now)
            time.sleep(_INTERVAL)


_SAMPLER = _Sampler()


def _forget_parent() -> None:
    """Start anew in a forked process, which has the lock but not the thread."""
    global _SAMPLER
    _SAMPLER = _Sampler()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def _peak_on_record() -> int:
    """Look up the largest resident memory since the process began; 0 if unknown."""
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))  # Windows
    found = re.search(rb"VmHWM:\s*(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def _cgroup_room(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> Iterator[int]:
    """Return the memory that each control group of this process leaves."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, base = (1, root / "memory") if controllers else (2, root)
        folder = base / path.lstrip("/")
        for group in [folder, *folder.parents]:
            if group.is_relative_to(base):
                yield from _room(group, *_CGROUP_FILES[version])


def _room(group: Path, limit: str, usage: str, cached: str) -> Iterator[int]:
    """Return the memory that one control group leaves, if it has a limit."""
    try:
        left = int((group / limit).read_text()) - int((group / usage).read_text())
        statistics = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no such group, or "max"
        return
    # Cached files count as used, but make room when it is needed.
    counts = dict(line.split() for line in statistics)
    yield left + int(counts.get(cached, 0))
