"""From a screened panel to fitted batches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
import xgboost
from sklearn.base import clone

from skbatch._progress import Progress
from skbatch.batch._checkpoint import Checkpoint
from skbatch.batch._dask import DaskEngine
from skbatch.batch._dask_cluster import find_client
from skbatch.batch._features import UniverseFeatures
from skbatch.batch._manager import Batch, SimpleBatchManager
from skbatch.batch._memory import largest_batch
from skbatch.batch._models import models_of_rungs, param_of
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.batch._parts import PARTS
from skbatch.batch._pooling import SharedModels
from skbatch.batch._portfolio import Portfolio
from skbatch.batch._run import BatchRun
from skbatch.batch._tasks import Event, Member
from skbatch.exceptions import BatchWarning
from skbatch.feature_extraction._history import panel_digest
from skbatch.forecasting import market_return
from skbatch.forecasting._pool import pooled_learners
from skbatch.panel import forward_returns, panel_tickers

__all__ = ["FittedBatches", "fit_batches"]

# Parameters on which forecasts do not depend.
_HOW_TO_RUN = {"n_jobs", "engine", "checkpoint_dir", "memory_budget", "cache_size"}
# Batches of a cluster: enough that small portfolios keep some workers busy, too, and
# small enough that none waits long for the last. Not by the number of workers, since
# what goes wrong in a batch is answered within it: forecasts would depend on them.
CLUSTER_BATCHES = 8
CLUSTER_BATCH_SIZE = 50


@dataclass
class FittedBatches:
    """What a system knows after `fit`.

    Attributes
    ----------
    extractor : SharedFeatureExtractor or None
        Fitted; None if there was no ticker to fit on.
    scale : str or None
        Feature that forecasters scale labels by.
    batches : list of Batch
        The batches.
    members : list of Member
        Fitted forecasters.
    reasons : dict of str to list of str
        Ticker → why forecasters could not serve it.
    events : list of Event
        Steps of recovery.
    """

    extractor: Any
    scale: str | None
    batches: list[Batch]
    members: list[Member]
    reasons: dict[str, list[str]]
    events: list[Event]


def fit_batches(
    system: Any,
    portfolio: Portfolio,
    panel: pd.DataFrame,
    monitor: BatchPerformanceMonitor,
    progress: Progress,
) -> FittedBatches:
    """Split a panel of healthy tickers into batches, and fit them.

    Parameters
    ----------
    system : BatchForecastingSystem
        Whose parameters tell how.
    portfolio : Portfolio
        All tickers, and who handles errors.
    panel : DataFrame of shape (n_dates, n_columns)
        Panel of the healthy ones.
    monitor : BatchPerformanceMonitor
        Measures stages and batches.
    progress : Progress
        Announces stages and batches.

    Returns
    -------
    FittedBatches
        Fitted forecasters of all batches.
    """
    if not panel.shape[1]:
        return FittedBatches(None, None, [], [], {}, [])
    size = {"n_rows": len(panel), "n_tickers": len(panel_tickers(panel))}
    client = find_client() if system.engine == "dask" else None
    checkpoint = None
    if system.checkpoint_dir is not None:
        checkpoint = Checkpoint(system.checkpoint_dir, _identity(system, panel))
    forecaster = system._part("forecaster")
    with monitor.stage("prepare", **size), progress.task("prepare"):
        extractor = clone(system._part("features"))
        if hasattr(extractor, "set_output"):
            extractor.set_output(transform="default")
        extractor.fit(panel)
        scale = param_of(forecaster, "scale", "auto")
        universe = UniverseFeatures(extractor, panel, scale)
        batches = _split(system, portfolio, universe)
        checkpoint, batches = _resumed(checkpoint, batches)
        labels = forward_returns(panel, system.horizon)
        market = None
        if size["n_tickers"] > 1:
            market = market_return(labels, universe.volatility)
    monitor.n_batches, monitor.horizon = len(batches), labels.attrs["horizon"]
    monitor.thin = param_of(forecaster, "thin")
    engine = None if client is None else DaskEngine(client, universe, labels)
    models = models_of_rungs(forecaster, market)
    shared = SharedModels(universe, labels, batches, checkpoint, engine)
    if system.groups is None and shared.learners(models["model"]):
        with monitor.stage("pool", **size), progress.task("pool"):
            models["model"] = shared.give(models["model"])
    run = BatchRun(
        universe,
        labels,
        models,
        portfolio.handler,
        monitor,
        checkpoint,
        system.n_jobs,
        progress,
        engine,
        events=shared.events,
    )
    with monitor.stage("fit", **size):
        run.run(batches)
    return FittedBatches(
        extractor, scale, batches, run.members, run.reasons, run.events
    )


def _split(
    system: Any, portfolio: Portfolio, universe: UniverseFeatures
) -> list[Batch]:
    """Split the tickers as parameters, memory and engine ask for."""
    panel, extractor = universe.panel, universe.extractor
    tickers = panel_tickers(panel)
    limit = largest_batch(system, panel, extractor)
    if limit is not None:
        # The cache would keep what the limit is meant to avoid.
        extractor.set_params(cache_size=0)
    forecaster = system._part("forecaster")
    alone = param_of(forecaster, "strategy") == "per_ticker"
    shared = system.groups is None and pooled_learners(forecaster)
    if system.engine == "dask" and (alone or shared):
        # Forecasts do not depend on the batches, so there may be some for all workers.
        share = min(CLUSTER_BATCH_SIZE, -(-len(tickers) // CLUSTER_BATCHES))
        limit = share if limit is None else min(limit, share)
    groups = _groups_of(system.groups, tickers, portfolio)
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
        warnings.warn(
            f"`checkpoint_dir` must be writable. Got {error}, so this run goes "
            "on without checkpoints. Make room there before the next one.",
            BatchWarning,
            stacklevel=3,
        )
        return None, batches


def _groups_of(groups: Any, tickers: list[str], portfolio: Portfolio) -> Any:
    """Leave a table out that names quarantined tickers only: it is not at fault."""
    if groups is None or isinstance(groups, str) or set(tickers) & set(groups.keys()):
        return groups
    return None if set(portfolio.tickers) & set(groups.keys()) else groups


def _identity(system: Any, panel: pd.DataFrame) -> Mapping[str, str]:
    """Hash what the forecasts depend on, by name."""
    params = {**system.get_params(deep=True), "horizon": np.ravel(system.horizon)}
    parts = {name: system._part(name) for name in PARTS}
    identity = {
        name: _fingerprint(value)
        for name, value in {**params, **parts}.items()
        if name.rpartition("__")[2] not in _HOW_TO_RUN
    }
    if system.memory_budget is not None and system.max_batch_size is None:
        # A budget is for the machine of the day; the first run's batches are kept.
        identity["memory_budget"] = "given"
    # Trees of the same settings differ between releases.
    identity["xgboost"] = xgboost.__version__
    return {"prices": panel_digest(panel).hex(), **identity}


def _fingerprint(value: Any) -> str:
    """Hash a parameter: of a part its class, of a function its code."""
    if hasattr(value, "get_params"):
        return f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Mapping):
        return joblib.hash({key: _fingerprint(item) for key, item in value.items()})
    code = getattr(value, "__code__", None)
    if code is not None:
        # Without line numbers, and where the file lies.
        held = [getattr(c, "cell_contents", None) for c in value.__closure__ or ()]
        constants = [c for c in code.co_consts if not hasattr(c, "co_code")]
        nested = [c.co_code for c in code.co_consts if hasattr(c, "co_code")]
        parts = code.co_code, code.co_names, constants, nested, value.__defaults__, held
        return joblib.hash(parts)
    return joblib.hash(value)
