"""How many threads a computation may use, and the use of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import joblib
from joblib.parallel import get_active_backend

Item = TypeVar("Item")


def inner_threads(n_jobs: int | None) -> int:
    """Count the threads that one computation may use, never more than the cores."""
    if n_jobs == 0:
        raise ValueError(
            "n_jobs must not be 0. Got 0. Pass None for all cores, or a number."
        )
    backend, _ = get_active_backend()
    if backend.nesting_level:
        return 1
    cores = joblib.cpu_count()
    if n_jobs is None:
        return cores
    wanted = cores + 1 + n_jobs if n_jobs < 0 else n_jobs
    return max(1, min(wanted, cores))


def for_each(
    function: Callable[[Item], object], items: Iterable[Item], n_jobs: int | None = None
) -> None:
    """Call a function with each item, in as many threads as it may use."""
    items = list(items)
    n_threads = min(inner_threads(n_jobs), len(items))
    if n_threads < 2:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(function, items):
            pass


def slices(number: int, size: int) -> Iterator[slice]:
    """Split so many rows or columns into slices of at most a size."""
    for start in range(0, number, size):
        yield slice(start, min(start + size, number))
