"""The models that a strategy trains: their rows, their tails, their forecasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from skbatch.forecasting._tables import FeatureTable

__all__ = [
    "MappedRows",
    "Rows",
    "Task",
    "TaskModel",
    "predict_rows",
    "predict_task",
    "split_tail",
    "stack_rows",
    "tail_rows",
    "thinning",
]

# Fewer steps of the thinning than this say nothing about a slope or a number of trees.
MIN_TAIL_STEPS = 5
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
    X : ndarray or StoredInputs of shape (n_rows, n_inputs), dtype float32
        Inputs.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets; NaN is missing.
    dates : ndarray of shape (n_rows,), dtype intp
        Date number of each row.
    series : ndarray of shape (n_rows,), dtype intp, or None
        Number of each row's series in its task.
    """

    X: Any
    y: np.ndarray
    dates: np.ndarray
    series: np.ndarray | None = None


class MappedRows(Protocol):
    """Rows in several places, of which functions can be computed.

    Attributes
    ----------
    n_rows : int
        Number of training rows in all places.
    has_tail : bool
        Whether there are rows of a tail.
    """

    n_rows: int
    has_tail: bool

    def train(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Compute a function of the training rows of each place."""

    def tail(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Compute a function of the rows of each place's tail."""


def thinning(thin: int | Literal["auto"], horizon: int) -> int:
    """Resolve the step between training dates: half the horizon by default."""
    return -(-horizon // 2) if thin == "auto" else thin


def split_tail(
    target: np.ndarray, horizon: int, size: float | Literal["auto"], thin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split off the latest dates, and purge labels that reach into them.

    Parameters
    ----------
    target : ndarray of shape (n_dates, n_outputs)
        Labels of a task; NaN is missing.
    horizon : int
        Rows that a label looks ahead.
    size : int, float or "auto"
        Rows or share of the rows of the tail; ``"auto"`` is a fifth, at most 504.
    thin : int
        Step between the dates trained on, counted from the first.

    Returns
    -------
    train, tail : ndarray, dtype intp
        Row numbers of dates with labels. The label of every training date is known at
        the first date of the tail. The tail has every date, so that what is found
        there does not depend on where the thinning happens to begin. It is empty
        when it, or what is left, would have fewer than five training steps.
    """
    dates = np.flatnonzero(np.isfinite(target).any(axis=1))
    train, tail = dates, dates[:0]
    if len(dates):
        first, last = int(dates[0]), int(dates[-1])
        late = dates[dates > last - tail_rows(last - first + 1, size)]
        early = dates[dates + horizon <= late[0]] if len(late) else tail
        if min(len(late), len(early)) >= MIN_TAIL_STEPS * thin:
            train, tail = early, late
    # Counted from the first date: a new day leaves the choice as it is. Counted from
    # the last one, every day would train on other rows, and rank tickers anew.
    return train[::thin], tail


def tail_rows(span: int, size: float | Literal["auto"]) -> int:
    """Resolve the number of rows of the tail of `span` rows."""
    if size == "auto":
        return min(span // 5, MAX_AUTO_TAIL)
    return int(size) if isinstance(size, Integral) else int(span * size)


def stack_rows(
    task: Task, features: FeatureTable, target: np.ndarray, dates: np.ndarray
) -> Rows:
    """Stack the rows of a task that have a known label."""
    labels = target[dates][:, task.outputs]
    rows, series = np.nonzero(np.isfinite(labels).any(axis=2))
    y = labels[rows, series]
    X = features.stack(task.columns, dates[rows], series)
    return Rows(X, y[:, 0] if y.shape[1] == 1 else y, dates[rows], series)


def predict_rows(model: Any, X: Any) -> np.ndarray:
    """Forecast stacked rows, slice by slice."""
    size = max(1, MAX_CELLS // max(1, X.shape[1]))
    starts = range(0, max(1, len(X)), size)
    parts = [model.predict(X[start : start + size]) for start in starts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
