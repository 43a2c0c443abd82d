"""One task, in whichever process runs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pandas as pd

from skbatch.batch._errors import BatchErrorHandler, describe
from skbatch.batch._tasks import Outcome, Task
from skbatch.batch._usage import measure

__all__ = ["attempt_task", "labels_of"]


def attempt_task(
    task: Task,
    X: pd.DataFrame,
    y: pd.DataFrame,
    model: Any,
    handler: BatchErrorHandler,
    typical: np.ndarray | None,
    context: AbstractContextManager[Any] | None = None,
) -> Outcome:
    """Fit one task, and measure what it takes.

    Parameters
    ----------
    task : Task
        The task.
    X : DataFrame of shape (n_dates, n_columns)
        Features of its tickers.
    y : DataFrame of shape (n_dates, n_labels)
        Their labels.
    model : estimator
        Unfitted forecaster.
    handler : BatchErrorHandler
        Fits it.
    typical : ndarray of shape (n_dates,) or None
        Typical volatility of all tickers.
    context : context manager, default=None
        Entered while the task runs.

    Returns
    -------
    Outcome
        Also where memory did not suffice.
    """
    with measure() as usage:
        try:
            with context or nullcontext():
                outcome = handler.attempt(task, X, y, model, typical)
        except MemoryError as error:
            outcome = Outcome(stopped="memory", error=describe(error))
    outcome.usage = usage
    return outcome


def labels_of(labels: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    """Take the labels of some tickers."""
    columns = labels.columns.get_level_values(-1)
    if columns.nunique() == len(tickers):
        return labels
    own = labels.loc[:, columns.isin(tickers)]
    own.attrs.update(labels.attrs)
    return own
