"""How much memory a run takes, and how large its batches may be.

The formula counts the tables that a run holds at its peak. Its constants were measured
on 50 to 1,000 tickers, one and several batches, closes and OHLCV: see
``docs/experiments``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import clone

from skbatch.batch._models import param_of
from skbatch.batch._usage import available_memory, format_bytes, rss
from skbatch.exceptions import ConfigError, SkbatchWarning
from skbatch.forecasting._pool import pooled_learners
from skbatch.forecasting._tasks import tail_rows, thinning
from skbatch.panel import panel_tickers

__all__ = ["MemoryEstimate", "MemoryModel", "estimate_memory", "largest_batch"]

MIB = 2**20
# Threads, and libraries that are loaded on first use.
FIXED = 10 * MIB
# Temporaries grow with the panel until the blocks that they come in are full: bytes a
# cell, and at most.
TEMPORARY, FULL = 550, 150 * MIB
# And of comparing all tickers while a batch is computed.
ACROSS = 120
# A worker process of joblib with everything loaded.
WORKER = 210 * MIB
# Bytes a cell of the panel: labels and their transforms, per horizon, in a batch; each
# field's series, for one batch, and while the universe is kept for others.
LABELS, FIELD, UNIVERSE = 38, 37, 50
# And every further horizon's labels, targets and forecasts.
HORIZON = 220
# Of a model that batches share, for each of its training rows: labels, their place,
# gradients; beside one byte for every input, and a slice of rows as they are read.
POOLED_ROW, SLICE = 45, 64 * MIB
# Part of what a run takes that is kept in reserve when batches are made for a budget.
RESERVE = 0.2
_UNITS = {"": 1, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True)
class MemoryEstimate:
    """Predicted memory of a run.

    Attributes
    ----------
    peak_bytes : int
        Largest resident memory of the process, and of its workers if there are any.
    before_bytes : int
        What the process has already.
    parts : dict of str to int
        What is added: ``"fixed"``, ``"prices"``, and whichever is more: the
        ``"shared model"`` of all batches, or ``"features"``, ``"training rows"``,
        ``"labels of batches"`` and ``"workers"``.
    batch_size : int
        Largest number of tickers in a batch.
    """

    peak_bytes: int
    before_bytes: int
    parts: dict[str, int]
    batch_size: int

    def __str__(self) -> str:
        parts = ", ".join(
            f"{name} {format_bytes(size)}" for name, size in self.parts.items() if size
        )
        return (
            f"{format_bytes(self.peak_bytes)} at the peak with batches of up to "
            f"{self.batch_size} tickers: {format_bytes(self.before_bytes)} already, "
            f"{parts}"
        )


@dataclass(frozen=True)
class MemoryModel:
    """What the memory of a run depends on.

    Attributes
    ----------
    n_dates, n_tickers, n_fields, n_horizons : int
        Size of the panel and its labels.
    n_own, n_shared : int
        Number of features that each ticker has, and that all share.
    share : float
        Stacked training and tail rows, relative to the rows of the panel.
    pooled_share : float
        Of those the training rows if batches share a model, else 0.
    strategy : str
        Whether models are ``"pooled"``, ``"vector"`` or ``"per_ticker"``.
    n_workers : int
        Batches that run at the same time.
    in_processes : bool
        Whether in processes of their own.
    """

    n_dates: int
    n_tickers: int
    n_fields: int
    n_horizons: int
    n_own: int
    n_shared: int
    share: float
    pooled_share: float
    strategy: str
    n_workers: int
    in_processes: bool

    def parts(self, batch_size: int) -> dict[str, int]:
        """Count the bytes that a run adds, by what they are."""
        size = min(batch_size, self.n_tickers)
        several = size < self.n_tickers
        n_workers = min(self.n_workers, -(-self.n_tickers // size))
        width = self.n_own * size + self.n_shared
        inputs = self.n_own + self.n_shared
        stacked = {"pooled": size * inputs, "vector": width, "per_ticker": inputs}
        cells = self.n_dates * self.n_tickers
        per_field = UNIVERSE - FIELD if several else 0
        # What a worker process reads was written by this one before.
        copies = 2 if self.in_processes and n_workers > 1 else 1
        temporary = TEMPORARY * self.n_dates * size + ACROSS * cells * several
        fixed = FIXED + n_workers * min(FULL, temporary)
        own = self.n_dates * size * (LABELS + HORIZON * (self.n_horizons - 1))
        batch = {
            "features": copies * n_workers * 4 * self.n_dates * width,
            "training rows": int(
                n_workers * 4 * self.n_dates * self.share * stacked[self.strategy]
            ),
            "labels of batches": n_workers * own,
            "workers": n_workers * WORKER if copies > 1 else 0,
        }
        # Either the shared model is trained, or batches are fitted.
        pool = {"shared model": self._pooled(inputs) if several else 0}
        larger = batch if sum(batch.values()) > sum(pool.values()) else pool
        prices = cells * (self.n_fields * FIELD + per_field)
        return {"fixed": fixed, "prices": prices, **larger}

    def _pooled(self, inputs: int) -> int:
        """Count the bytes of training a model that all batches share."""
        rows = int(self.n_dates * self.n_tickers * self.pooled_share)
        return rows * (inputs + POOLED_ROW) + min(SLICE, 4 * rows * inputs)

    def added(self, batch_size: int) -> int:
        """Sum up the bytes that a run adds."""
        return sum(self.parts(batch_size).values())


def estimate_memory(system: Any, panel: pd.DataFrame) -> MemoryEstimate:
    """Predict the memory of a system's `fit` on a checked panel."""
    with warnings.catch_warnings():
        # `fit` will tell.
        warnings.simplefilter("ignore", SkbatchWarning)
        extractor = clone(system._part("features")).fit(panel)
    limit = largest_batch(system, panel, extractor)
    model = _model(system, panel, extractor)
    size = model.n_tickers if limit is None else min(limit, model.n_tickers)
    before = rss()
    return MemoryEstimate(before + model.added(size), before, model.parts(size), size)


def largest_batch(system: Any, panel: pd.DataFrame, extractor: Any) -> int | None:
    """Find the largest batch that the system's parameters allow; None without limit.

    Raises
    ------
    ConfigError
        If the budget cannot be read, or is too small for batches of one ticker.
    """
    if system.memory_budget is None:
        return system.max_batch_size
    before = rss()
    budget = _budget(system.memory_budget, before)
    model = _model(system, panel, extractor)
    allowed = (budget - before) / (1 + RESERVE)
    if model.added(1) > allowed:
        least = before + int(model.added(1) * (1 + RESERVE))
        raise ConfigError(
            f"`memory_budget` must be at least {format_bytes(least)} for {len(panel)} "
            f"rows of {model.n_tickers} tickers, of which the process has "
            f"{format_bytes(before)} already. Got {format_bytes(budget)}. Raise it, or "
            "pass fewer rows, features or workers."
        )
    most = system.max_batch_size or model.n_tickers
    sizes = range(1, min(most, model.n_tickers) + 1)
    # What is needed grows with the size, except where fewer workers are left for it.
    fitting = [size for size in sizes if model.added(size) <= allowed]
    return max(fitting)


def _model(system: Any, panel: pd.DataFrame, extractor: Any) -> MemoryModel:
    """Read what the memory depends on from parameters and panel."""
    tickers = panel_tickers(panel)
    plan = extractor.plan_
    forecaster = system._part("forecaster")
    horizons = np.atleast_1d(system.horizon)
    n_workers = effective_n_jobs(system.n_jobs)
    backend = type(get_active_backend()[0]).__name__
    return MemoryModel(
        len(panel),
        len(tickers),
        panel.shape[1] // len(tickers),
        len(horizons),
        len(plan.ticker_names),
        len(plan.market_names),
        *_shares(len(panel), horizons, forecaster, system.groups is None),
        param_of(forecaster, "strategy", "pooled"),
        n_workers,
        n_workers > 1 and backend != "ThreadingBackend",
    )


def _shares(
    n_dates: int, horizons: np.ndarray, forecaster: Any, shared: bool
) -> tuple[float, float]:
    """Count stacked rows of the largest model, relative to the rows of the panel.

    All of them, and those that a model which batches share is trained on.
    """
    horizon = int(horizons.min())
    span = max(1, n_dates - horizon)
    tail = tail_rows(span, param_of(forecaster, "validation_size", "auto"))
    thin = thinning(param_of(forecaster, "thin", "auto"), horizon)
    train = (span - tail) / thin / n_dates
    pooled = train if shared and pooled_learners(forecaster) else 0.0
    return tail / n_dates + train, pooled


def _budget(given: Any, before: int) -> int:
    """Turn a budget into bytes."""
    if isinstance(given, str) and re.fullmatch(r"\s*(0?\.\d+|1\.0*)\s*", given):
        given = float(given)
    if isinstance(given, str):
        match = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(i?)B?\s*", given, re.IGNORECASE)
        try:
            number = float(match[1]) if match else float("nan")
        except ValueError:
            number = float("nan")
        if match is None or not number > 0:
            raise ConfigError(
                "`memory_budget` must be a size such as '4GiB', bytes, or a fraction "
                f"in (0, 1]. Got {given!r}. Write a number and a unit: KiB, MiB, GiB."
            )
        unit = _UNITS[match[2].upper()]
        return int(number * (2**unit if match[3] else 10 ** (unit // 10 * 3)))
    if not isinstance(given, Integral) and given <= 1:
        return before + int(float(given) * available_memory())
    return int(given)
