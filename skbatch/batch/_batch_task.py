"""What is run, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from skbatch._messages import describe_error
from skbatch.batch._manager import Batch
from skbatch.batch._usage import Usage, measure
from skbatch.forecasting.engine import FeatureBlocks
from skbatch.panel.engine import KeptWhole, are_among

Rung = Literal["model", "simpler model"]
SIMPLER: Rung = "simpler model"
NO_FORECAST = "no forecast"  # the step after the simpler model
NO_USAGE = Usage(0.0, 0.0, 0, 0)


@dataclass(frozen=True)
class Task:
    """A batch, or what is left of it, to be fitted."""

    batch: Batch
    rung: Rung = "model"
    isolated: bool = False
    error: str = ""


@dataclass(frozen=True)
class Member:
    """A fitted forecaster and the tickers that it serves."""

    batch: str
    rung: Rung
    tickers: tuple[str, ...]
    forecaster: Any


@dataclass
class Outcome:
    """What came of a task."""

    members: list[Member] = field(default_factory=list)
    # Ticker → class and message of the error because of which it has none.
    offenders: dict[str, str] = field(default_factory=dict)
    stopped: Literal["memory", "died"] | None = None
    error: str = ""
    usage: Usage = NO_USAGE
    n_attempts: int = 1


@dataclass(frozen=True)
class Event:
    """A step of recovery."""

    batch: str
    step: str
    tickers: tuple[str, ...]
    error: str


@dataclass(frozen=True)
class LabelWeights(KeptWhole):
    """How much each label counts; goes with the labels, in their `attrs`."""

    table: pd.DataFrame


def weights_of(labels: pd.DataFrame) -> pd.DataFrame | None:
    """Return the weights that go with labels; None if all count alike."""
    weights = labels.attrs.get("sample_weight")
    return weights.table if isinstance(weights, LabelWeights) else None


def run_task(
    task: Task,
    features: FeatureBlocks,
    labels: pd.DataFrame,
    forecaster: Any,
    handler: Any,
    context: AbstractContextManager[Any] | None = None,
) -> Outcome:
    """Fit one task, in whichever process, and measure what it takes."""
    with measure() as usage:
        try:
            with context or nullcontext():
                outcome = handler.fit_task(task, features, labels, forecaster)
        except MemoryError as error:
            outcome = Outcome(stopped="memory", error=describe_error(error))
    outcome.usage = usage
    return outcome


def labels_of(labels: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    """Select the labels of some tickers."""
    columns = labels.columns.get_level_values(-1)
    if columns.nunique() == len(tickers):
        return labels
    own = labels.loc[:, are_among(columns, tickers)]
    own.attrs.update(labels.attrs)
    return own
