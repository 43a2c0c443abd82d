"""How many threads a model may use."""

from __future__ import annotations

import joblib
from joblib.parallel import get_active_backend

__all__ = ["inner_threads"]


def inner_threads(n_jobs: int | None) -> int:
    """Count the threads that one model fit may use, never more than the cores.

    Parameters
    ----------
    n_jobs : int or None
        Threads asked for; None means all cores, or one inside a joblib worker.
        Negative values count from the number of cores, as in joblib.

    Returns
    -------
    int
        At least 1. Inside a worker of a parallel joblib run always 1: the workers
        already fill the cores.

    Raises
    ------
    ValueError
        If `n_jobs` is 0.
    """
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
