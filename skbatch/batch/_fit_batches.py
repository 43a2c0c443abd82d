"""From a screened panel to fitted batches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbatch._messages import warn_user
from skbatch._progress import Progress
from skbatch.batch._batch_run import BatchRun
from skbatch.batch._batch_task import Event, LabelWeights, Member
from skbatch.batch._checkpoint import Checkpoint
from skbatch.batch._identity import run_identity
from skbatch.batch._manager import Batch, SimpleBatchManager
from skbatch.batch._memory import MemoryPlan, plan_memory
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.batch._panel_features import stream_of
from skbatch.batch._system_tickers import SystemTickers
from skbatch.exceptions import BatchWarning
from skbatch.feature_extraction.engine import are_one_block
from skbatch.forecasting import Reason, ReturnTarget
from skbatch.forecasting.engine import FeatureTable, target_of, thinning
from skbatch.panel import forward_returns
from skbatch.panel.engine import CheckedPanel, panel_tickers

# Batches of a cluster: enough that small portfolios keep some workers busy, too, and
# small enough that none waits long for the last. Not by the number of workers, since
# what goes wrong in a batch is answered within it: forecasts would depend on them.
CLUSTER_BATCHES = 8
CLUSTER_BATCH_SIZE = 50


@dataclass
class FittedBatches:
    """What a system knows after `fit`."""

    extractor: Any
    scale: str | None
    batches: list[Batch]
    members: list[Member]
    reasons: dict[str, list[Reason]]
    events: list[Event]

    def event_table(self) -> pd.DataFrame:
        """Tabulate the steps of recovery."""
        columns = list(Event.__annotations__)
        return pd.DataFrame(list(map(vars, self.events)), columns=columns)


def fit_batches(
    system: Any,
    tickers: SystemTickers,
    panel: pd.DataFrame,
    monitor: BatchPerformanceMonitor,
    progress: Progress,
    weights: LabelWeights | None = None,
) -> tuple[FittedBatches, FeatureTable | None]:
    """Fit the forecaster of a system on a panel of healthy tickers."""
    # Features of the last date are also returned if they are in memory.
    if not panel.shape[1]:
        return FittedBatches(None, None, [], [], {}, []), None
    engine: Any = None
    opened: AbstractContextManager[Checkpoint | None] = nullcontext()
    if system.engine == "dask":
        from skbatch.batch._dask import DaskEngine

        engine = DaskEngine.of_client()
    if system.checkpoint_dir is not None:
        identity = run_identity(system, panel, weights)
        opened = Checkpoint(system.checkpoint_dir, identity)
    forecaster = system._part("forecaster")
    target = target_of(forecaster) or ReturnTarget()
    size = {"n_rows": len(panel), "n_tickers": len(panel_tickers(panel))}
    with opened as checkpoint:
        with monitor.stage("prepare", **size), progress.task("prepare"):
            extractor = clone(system._part("features"))
            if hasattr(extractor, "set_output"):
                extractor.set_output(transform="default")
            extractor.fit(CheckedPanel(panel))
            plan = plan_memory(system, panel, extractor)
            labels = _labels(system, panel, extractor, weights)
            stream = stream_of(
                extractor,
                panel,
                target.scale,
                labels,
                plan.storage,
                plan.block_rows,
                monitor.stage,
            )
            # A frame no larger than a block is read again and again, here and by
            # searches. If not even that fits, it is the batches that are made smaller.
            at_once = engine is None and system.memory_budget is None
            if at_once and are_one_block(extractor, len(panel)):
                with suppress(MemoryError):
                    stream.load()
            batches = _split(system, tickers, panel, plan)
            checkpoint, batches = _resumed(checkpoint, batches)
            if engine is not None:
                stream = engine.stream(stream)
            if len(batches) > 1:
                stream.known_of_all()
        monitor.n_batches, monitor.horizon = len(batches), tickers.horizon
        horizons = np.atleast_1d(tickers.horizon)
        n_labels = int(labels.count().sum()) // len(horizons)
        monitor.thin = thinning(target.thin, int(max(horizons)), n_labels)
        parts = tickers.handler, monitor, checkpoint, system.n_jobs, progress, engine
        run = BatchRun(stream, labels, forecaster, *parts)
        with monitor.stage("fit", **size):
            run.run(batches)
    known = run.members, run.reasons, run.events
    fitted = FittedBatches(extractor, target.scale, batches, *known)
    return fitted, stream.last() if at_once and stream.is_loaded else None


def _labels(
    system: Any, panel: pd.DataFrame, extractor: Any, weights: LabelWeights | None
) -> pd.DataFrame:
    """Make the labels that a system learns, with their weights in `attrs`."""
    labels = forward_returns(
        CheckedPanel(panel),
        system.horizon,
        system.delay,
        universe=getattr(extractor, "universe", None),
        delisting_return=system.delisting_return,
    )
    if weights is not None:
        labels.attrs["sample_weight"] = weights
    return labels


def _split(
    system: Any, tickers: SystemTickers, panel: pd.DataFrame, plan: MemoryPlan
) -> list[Batch]:
    """Split the tickers, where models of some of them are asked for."""
    names = panel_tickers(panel)
    splits = system.groups is not None or plan.splits
    limit = plan.batch_size if splits else None
    if system.engine == "dask" and plan.strategy == "per_ticker":
        share = min(CLUSTER_BATCH_SIZE, -(-len(names) // CLUSTER_BATCHES))
        limit = min(plan.batch_size, share)
    groups = _groups_of(system.groups, names, tickers)
    return SimpleBatchManager(limit, groups, system.random_state).split(panel)


def _resumed(
    checkpoint: Checkpoint | None, batches: list[Batch]
) -> tuple[Checkpoint | None, list[Batch]]:
    """Begin a checkpoint, or go on with its batches; none if there is no disk."""
    if checkpoint is None:
        return None, batches
    try:
        return checkpoint, checkpoint.start(batches)
    except OSError as error:
        warn_user(
            f"`checkpoint_dir` must be writable. Got {error}, so this run continues "
            "without checkpoints. Free disk space before the next run.",
            BatchWarning,
        )
        return None, batches


def _groups_of(groups: Any, names: list[str], tickers: SystemTickers) -> Any:
    """Omit a table that names only quarantined tickers: it is not at fault."""
    if groups is None or isinstance(groups, str) or set(names) & set(groups.keys()):
        return groups
    return None if set(tickers.tickers) & set(groups.keys()) else groups
