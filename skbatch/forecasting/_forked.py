"""Processes that were forked after XGBoost has run: its threads are lost in them."""

from __future__ import annotations

import os

from skbatch._kernels.threads import inner_threads

_STATE = {"ran": False, "forked": False}


def _note_fork() -> None:
    _STATE["forked"] = _STATE["forked"] or _STATE["ran"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def prediction_threads(n_jobs: int | None) -> int:
    """Count the threads to predict with: one where others would wait forever."""
    _STATE["ran"] = True
    return 1 if _STATE["forked"] else inner_threads(n_jobs)


def check_training_process() -> None:
    """Raise where training would wait forever for threads that were not forked."""
    _STATE["ran"] = True
    if _STATE["forked"]:
        raise RuntimeError(
            "XGBoost must train in a process of its own. Got one that was forked after "
            "XGBoost had run, where it would wait forever. Start processes by 'spawn' "
            "or 'forkserver', use joblib's backend 'loky', or train before forking."
        )
