"""The models that a strategy trains: their rows, their tails, their forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np

from skbatch.forecasting._tables import FeatureTable

__all__ = [
    "Rows",
    "Task",
    "TaskModel",
    "predict_task",
    "split_tail",
    "stack_rows",
    "thinned",
    "thinning",
]

# Fewer dates than this say nothing about a slope or a number of trees.
MIN_TAIL_DATES = 5
# "auto" tails: two years of trading days are enough, and older models cost more.
MAX_AUTO_TAIL = 504
# Stack at most this many cells at once when forecasting (64 MiB of float32).
MAX_CELLS = 2**24


@dataclass(frozen=True)
class Task:
    """One model to train: which columns are its inputs, which labels its targets.

    Attributes
    ----------
    name : str
        What the task is called in progress bars and messages.
    columns : ndarray of shape (n_series, n_inputs), dtype intp
        Feature columns of each series.
    outputs : ndarray of shape (n_series, n_outputs), dtype intp
        Label columns of each series.
    horizon : int
        The longest horizon among the outputs, in rows.
    """

    name: str
    columns: np.ndarray
    outputs: np.ndarray
    horizon: int


@dataclass
class TaskModel:
    """A trained task and the factor its forecasts are multiplied with.

    Attributes
    ----------
    task : Task
        What was trained.
    model : object
        Its `predict` takes stacked inputs.
    shrinkage : float
        Factor in (0, 1] of the model's forecasts.
    trained : ndarray of shape (n_outputs,), dtype bool
        Outputs that had a label in training. What a model says about the others is
        made up.
    """

    task: Task
    model: Any
    shrinkage: float
    trained: np.ndarray


class Rows(NamedTuple):
    """Stacked (date, series) rows with a known label.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_inputs), dtype float32
        Inputs.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets; NaN is missing.
    dates : ndarray of shape (n_rows,), dtype intp
        Date number of each row.
    """

    X: np.ndarray
    y: np.ndarray
    dates: np.ndarray


def thinned(
    target: np.ndarray, thin: int | Literal["auto"], horizon: int
) -> np.ndarray:
    """List the dates to train on: those with labels, thinned back from the latest."""
    known = np.isfinite(target).any(axis=1)
    return np.flatnonzero(known)[::-1][:: thinning(thin, horizon)][::-1]


def thinning(thin: int | Literal["auto"], horizon: int) -> int:
    """Resolve the step between training dates: half the horizon by default."""
    return -(-horizon // 2) if thin == "auto" else thin


def split_tail(
    dates: np.ndarray, horizon: int, size: float | Literal["auto"]
) -> tuple[np.ndarray, np.ndarray]:
    """Split off the latest dates, and purge labels that reach into them.

    Parameters
    ----------
    dates : ndarray of shape (n,), dtype intp
        Row numbers of the dates to train on, increasing.
    horizon : int
        Rows that a label looks ahead.
    size : int, float or "auto"
        Rows or share of the rows of the tail; ``"auto"`` is a fifth, at most 504.

    Returns
    -------
    train, tail : ndarray, dtype intp
        The label of every training date is known at the first date of the tail. The
        tail is empty when it, or what is left, would have fewer than five dates.
    """
    if len(dates) < 2:
        return dates, dates[:0]
    span = int(dates[-1] - dates[0]) + 1
    if size == "auto":
        n_rows = min(span // 5, MAX_AUTO_TAIL)
    else:
        n_rows = int(size) if isinstance(size, Integral) else int(span * size)
    tail = dates[dates > dates[-1] - n_rows]
    if len(tail) < MIN_TAIL_DATES:
        return dates, dates[:0]
    train = dates[dates + horizon <= tail[0]]
    return (train, tail) if len(train) >= MIN_TAIL_DATES else (dates, dates[:0])


def stack_rows(
    task: Task, features: FeatureTable, target: np.ndarray, dates: np.ndarray
) -> Rows:
    """Stack the rows of a task that have a known label."""
    labels = target[dates][:, task.outputs]
    rows, series = np.nonzero(np.isfinite(labels).any(axis=2))
    y = labels[rows, series]
    X = features.stack(task.columns, dates[rows], series)
    return Rows(X, y[:, 0] if y.shape[1] == 1 else y, dates[rows])


def predict_task(
    fitted: TaskModel, features: FeatureTable, usable: np.ndarray, relative: np.ndarray
) -> None:
    """Write one model's forecasts into `relative`, block by block of dates."""
    task = fitted.task
    n_series, n_inputs = task.columns.shape
    block = max(1, MAX_CELLS // max(1, n_series * n_inputs))
    for start in range(0, features.n_dates, block):
        part = usable[start : start + block][:, task.outputs]
        dates, series = np.nonzero(part.any(axis=2))
        if not len(dates):
            continue
        X = features.stack(task.columns, dates + start, series)
        forecast = fitted.model.predict(X).reshape(len(dates), -1)
        forecast[:, ~fitted.trained] = np.nan
        cells = (dates + start)[:, None], task.outputs[series]
        relative[cells] = forecast * fitted.shrinkage
