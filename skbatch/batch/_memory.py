"""How much memory a run takes, and how it is kept within a budget.

The peak is plain arithmetic: what the process has, what it holds of the panel, one
block of features, the stacked rows, and XGBoost's quantized matrix. The constants were
measured on 50 to 5,000 tickers: see ``docs/experiments``.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import clone

from skbatch._messages import count
from skbatch.batch._usage import available_memory, format_bytes, rss
from skbatch.exceptions import ConfigError
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting.engine import (
    BIN_BYTES,
    BIN_ROWS,
    Storage,
    tail_rows,
    target_of,
    thinning,
    working_parts,
)
from skbatch.panel.engine import CheckedPanel, panel_fields, panel_tickers

# Text that is a size: more than zero, and a unit.
SIZE = r"(?ai)\s*(?=.*[1-9])(\d+\.?\d*|\.\d+)\s*([KMGT]?)(i?)B?\s*"
MIB = 2**20
# Libraries that are loaded on first use, threads, and small tables.
BASE = 12 * MIB
# A worker process of joblib with everything loaded.
WORKER = 210 * MIB
# Bytes for each cell of a field of the panel: copies, and what features start from.
PER_PRICE = 30
# Bytes for each cell of the labels: labels, their transform and their scale.
PER_LABEL = 15
# And every further horizon's labels, targets and forecasts.
PER_FURTHER_LABEL = 60
# Temporaries of features: bytes for each cell of a small panel, of a larger one beyond
# a first part, and what all threads together have at most. The process keeps a share
# of them as fragments.
SMALL_TEMPORARY, FIRST_TEMPORARY, TEMPORARY = 280, 30 * MIB, 75
MOST_TEMPORARY, KEPT_TEMPORARY = 80 * MIB, 0.7
# The C library keeps what has been freed of smaller arrays.
MOST_KEPT = 2**25
# Bytes for each cell of the rows from which bins are cut.
PER_BIN_ROW = 5
# Bytes for each stacked row (its place, label and date), and for each that trains
# (gradients, forecasts, and the leaf that it is in).
PER_ROW, PER_TRAINED_ROW = 40, 60
# Stacked rows that do not go to a file pass through a buffer of this size.
BUFFER = 8 * MIB
# Writing rows to a file and reading them again costs next to nothing, because the
# system keeps them in memory that nobody else needs.
DEFAULT_ROWS_LIMIT = 16 * MIB
DEFAULT_BLOCK = 64 * MIB
LEAST_BLOCK_ROWS = 192
# Part of what a run takes that is kept in reserve for a budget.
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
        What is added: ``"base"``, ``"panel"``, ``"block"`` of features, ``"rows"``,
        the ``"quantized matrix"``, and ``"workers"``.
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
class MemoryPlan:
    """How a run is kept within its budget."""

    n_dates: int
    n_tickers: int
    n_fields: int
    n_horizons: int
    n_own: int  # features of each ticker
    n_shared: int
    n_train: int  # dates of all horizons together, as of the tail
    n_tail: int
    strategy: str
    splits: bool  # whether tickers may be fitted in batches
    n_workers: int
    in_processes: bool
    batch_size: int
    rows_limit: int = DEFAULT_ROWS_LIMIT  # bytes in memory; more rows go to a file
    block_rows: int | None = None  # None leaves it to the extractor

    @property
    def storage(self) -> Storage:
        """Where stacked rows are kept."""
        return Storage(memory_limit=self.rows_limit)

    @property
    def added(self) -> int:
        """Bytes that the run adds."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Count the bytes that a run adds, by what they are."""
        cells = self.n_dates * self.n_tickers
        width = self.n_own * self.n_tickers + self.n_shared
        block_rows = self.block_rows or max(
            LEAST_BLOCK_ROWS, DEFAULT_BLOCK // (4 * width)
        )
        wanted = min(self.n_train + self.n_tail, self.n_dates, block_rows)
        temporary = min(
            SMALL_TEMPORARY * cells,
            FIRST_TEMPORARY + TEMPORARY * cells,
            MOST_TEMPORARY,
        )
        block = 4 * wanted * width
        workers = min(self.n_workers, -(-self.n_tickers // self.batch_size))
        rows, matrix = self._rows_and_matrix(workers)
        labels = PER_LABEL + PER_FURTHER_LABEL * (self.n_horizons - 1)
        panel = cells * (self.n_fields * PER_PRICE + labels)
        # A block of features is gone before the rows are quantized, but a small one
        # leaves its memory to the process.
        is_freed = block > MOST_KEPT
        block += temporary
        if is_freed:
            matrix += int(KEPT_TEMPORARY * temporary)
            block, matrix = (block, 0) if block > matrix else (0, matrix)
        return {
            "base": BASE,
            "panel": panel,
            "rows": rows,
            "block": block,
            "quantized matrix": matrix,
            "workers": workers * WORKER if self.in_processes and workers > 1 else 0,
        }

    def _rows_and_matrix(self, workers: int) -> tuple[int, int]:
        """Count the bytes of stacked rows, and of what XGBoost makes of them."""
        inputs = self.n_own + self.n_shared
        n_dates = self.n_train + self.n_tail
        if not self.splits:
            rows = n_dates * self.n_tickers
            train = self.n_train * self.n_tickers
            matrix = train * (BIN_BYTES * inputs + PER_TRAINED_ROW)
            matrix += PER_BIN_ROW * min(BIN_ROWS, train) * inputs
            kept = 4 * rows * inputs
            if kept > self.rows_limit:
                # Trees read the training rows slice by slice.
                kept = min(4 * train * inputs, BUFFER)
            return kept + PER_ROW * rows, matrix
        size = min(self.batch_size, self.n_tickers)
        width = self.n_own * size + self.n_shared
        whole = 4 * self.n_dates * (self.n_own * self.n_tickers + self.n_shared)
        batch = 0
        if size < self.n_tickers:
            batch = 4 * self.n_dates * width
            if whole > self.rows_limit:  # it may go to a file
                whole = min(whole, BUFFER)
        stacked = {"vector": width, "per_ticker": inputs, "pooled": size * inputs}
        rows = 4 * n_dates * stacked[self.strategy]
        copies = 2 if self.in_processes and workers > 1 else 1
        return whole + workers * (copies * batch + rows), workers * rows // 2


def estimate_memory(system: Any, panel: pd.DataFrame) -> MemoryEstimate:
    """Predict the memory of a system's `fit` on a checked panel."""
    extractor = clone(system._part("features")).fit(CheckedPanel(panel))
    plan = plan_memory(system, panel, extractor)
    before = rss()
    size = plan.batch_size if plan.splits else plan.n_tickers
    return MemoryEstimate(before + plan.added, before, plan.parts(), size)


def plan_memory(system: Any, panel: pd.DataFrame, extractor: Any) -> MemoryPlan:
    """Choose blocks, batches and the place of rows by the system's parameters."""
    plan = _unlimited(system, panel, extractor)
    if system.memory_budget is None:
        return plan
    before = rss()
    budget = _budget(system.memory_budget, before)
    allowed = (budget - before) / (1 + RESERVE)
    choices = [plan, replace(plan, rows_limit=0)]
    choices += [replace(plan, rows_limit=0, block_rows=n) for n in (128, 64, 32)]
    if plan.splits:
        sizes = range(plan.batch_size, 0, -1)
        choices += [replace(choices[-1], batch_size=size) for size in sizes]
    for choice in choices:
        if choice.added <= allowed:
            return choice
    least = before + int(choices[-1].added * (1 + RESERVE))
    raise ConfigError(
        f"`memory_budget` must be at least {format_bytes(least)} for {len(panel)} "
        f"rows of {count(plan.n_tickers)}, including {format_bytes(before)} that the "
        f"process already uses. Got {format_bytes(budget)}. Raise it, or pass fewer "
        "rows, features or workers."
    )


def _unlimited(system: Any, panel: pd.DataFrame, extractor: Any) -> MemoryPlan:
    """Read what the memory depends on from parameters and panel."""
    tickers = panel_tickers(panel)
    forecaster = system._part("forecaster")
    target = target_of(forecaster) or ReturnTarget()
    parts = working_parts(forecaster)
    strategies = [str(part.strategy) for part in parts if hasattr(part, "strategy")]
    horizons = np.atleast_1d(system.horizon).tolist()
    n_prices = int(np.isfinite(panel_fields(panel)["close"]).sum())
    n_train = n_tail = 0
    for horizon in horizons:
        span = max(1, len(panel) - horizon - system.delay)
        tail = tail_rows(span, target.validation_size)
        n_tail += tail
        n_labels = n_prices - len(tickers) * (horizon + system.delay)
        n_train += -(-(span - tail) // thinning(target.thin, horizon, n_labels))
    rows = 4 * (n_train + n_tail) * len(tickers)
    rows *= len(extractor.plan_.ticker_names) + len(extractor.plan_.market_names)
    has_disk = shutil.disk_usage(tempfile.gettempdir()).free > 2 * rows
    n_workers = effective_n_jobs(system.n_jobs)
    backend = type(get_active_backend()[0]).__name__
    splits = getattr(forecaster, "splits_by_ticker", True) or system.groups is not None
    return MemoryPlan(
        len(panel),
        len(tickers),
        panel.shape[1] // len(tickers),
        len(horizons),
        len(extractor.plan_.ticker_names),
        len(extractor.plan_.market_names),
        n_train,
        n_tail,
        next(iter(strategies), "pooled"),
        splits,
        n_workers,
        n_workers > 1 and backend != "ThreadingBackend",
        min(system.max_batch_size or len(tickers), len(tickers)),
        DEFAULT_ROWS_LIMIT if has_disk else max(DEFAULT_ROWS_LIMIT, rows),
    )


def _budget(given: Any, before: int) -> int:
    """Turn a budget into bytes."""
    if isinstance(given, str) and re.fullmatch(r"\s*(0?\.\d+|1\.0*)\s*", given):
        given = float(given)
    if isinstance(given, str) and (match := re.fullmatch(SIZE, given)):
        unit = _UNITS[match[2].upper()]
        scale = 2**unit if match[3] else 10 ** (unit // 10 * 3)
        return int(float(match[1]) * scale)
    if not isinstance(given, Integral) and given <= 1:
        return before + int(float(given) * available_memory())
    return int(given)
