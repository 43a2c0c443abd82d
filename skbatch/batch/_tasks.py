"""What is run, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from skbatch.batch._manager import Batch
from skbatch.batch._usage import Usage

__all__ = [
    "NO_FORECAST",
    "NO_USAGE",
    "RUNGS",
    "Event",
    "Member",
    "Outcome",
    "Rung",
    "Task",
]

Rung = Literal["model", "simpler model", "historical mean"]
# What serves a ticker when the rung before it cannot.
RUNGS: tuple[Rung, ...] = ("model", "simpler model", "historical mean")
NO_FORECAST = "no forecast"  # the step after the last rung
NO_USAGE = Usage(0.0, 0.0, 0, 0)


@dataclass(frozen=True)
class Task:
    """A batch, or what is left of it, to be fitted.

    Attributes
    ----------
    batch : Batch
        The tickers, under the number and name of the batch that they came from.
    rung : str
        Which forecaster is fitted.
    isolated : bool
        Whether it runs in a process of its own, because one died of it.
    """

    batch: Batch
    rung: Rung = "model"
    isolated: bool = False


@dataclass(frozen=True)
class Member:
    """A fitted forecaster and the tickers that it serves."""

    batch: str
    rung: Rung
    tickers: tuple[str, ...]
    forecaster: Any


@dataclass
class Outcome:
    """What came of a task.

    Attributes
    ----------
    members : list of Member
        Fitted forecasters.
    offenders : dict of str to str
        Ticker → class and message of the error because of which it has none.
    stopped : {"memory", "died"} or None
        Why the task was not finished at all.
    error : str
        Class and message of that.
    usage : Usage
        Time and memory.
    n_attempts : int
        How many fits it took.
    """

    members: list[Member] = field(default_factory=list)
    offenders: dict[str, str] = field(default_factory=dict)
    stopped: Literal["memory", "died"] | None = None
    error: str = ""
    usage: Usage = NO_USAGE
    n_attempts: int = 1


@dataclass(frozen=True)
class Event:
    """A step of recovery.

    Attributes
    ----------
    batch : str
        Name of the batch.
    step : str
        What was done.
    tickers : tuple of str
        With which tickers.
    error : str
        Class and message of the error that made it necessary.
    """

    batch: str
    step: str
    tickers: tuple[str, ...]
    error: str
