"""From a screened panel to fitted batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import joblib
import pandas as pd
from sklearn.base import clone

from skbatch.batch._checkpoint import Checkpoint
from skbatch.batch._features import UniverseFeatures
from skbatch.batch._manager import Batch, SimpleBatchManager
from skbatch.batch._memory import largest_batch
from skbatch.batch._models import models_of_rungs, param_of
from skbatch.batch._run import BatchRun
from skbatch.batch._tasks import Event, Member
from skbatch.feature_extraction._history import panel_digest
from skbatch.forecasting import market_return
from skbatch.forecasting._progress import Progress
from skbatch.panel import forward_returns, panel_tickers

__all__ = ["FittedBatches", "fit_batches"]

# Parameters on which forecasts do not depend.
_HOW_TO_RUN = {"n_jobs", "checkpoint_dir", "memory_budget", "cache_size"}


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
    system: Any, panel: pd.DataFrame, handler: Any, progress: Progress
) -> FittedBatches:
    """Split a panel of healthy tickers into batches, and fit them.

    Parameters
    ----------
    system : BatchForecastingSystem
        Whose parameters tell how.
    panel : DataFrame of shape (n_dates, n_columns)
        Screened panel.
    handler : BatchErrorHandler
        Recovers from failures.
    progress : Progress
        Announces stages and batches.

    Returns
    -------
    FittedBatches
        Fitted forecasters of all batches.
    """
    if not panel.shape[1]:
        return FittedBatches(None, None, [], [], {}, [])
    monitor = system.performance_
    tickers = panel_tickers(panel)
    size = {"n_rows": len(panel), "n_tickers": len(tickers)}
    checkpoint = None
    if system.checkpoint_dir is not None:
        checkpoint = Checkpoint(system.checkpoint_dir, _identity(system, panel))
    with monitor.stage("prepare", **size), progress.task("prepare"):
        extractor = clone(system._part("features")).fit(panel)
        limit = largest_batch(system, panel, extractor)
        if limit is not None:
            # The cache would keep what the limit is meant to avoid.
            extractor.set_params(cache_size=0)
        manager = SimpleBatchManager(limit, system.groups, system.random_state)
        batches = manager.split(panel)
        if checkpoint is not None:
            batches = checkpoint.start(batches)
        forecaster = system._part("forecaster")
        scale = param_of(forecaster, "scale", "auto")
        universe = UniverseFeatures(extractor, panel, scale)
        labels = forward_returns(panel, system.horizon)
        market = None
        if len(tickers) > 1:
            market = market_return(labels, universe.volatility)
    run = BatchRun(
        universe,
        labels,
        models_of_rungs(forecaster, market),
        handler,
        monitor,
        checkpoint,
        system.n_jobs,
        progress,
    )
    monitor.n_batches, monitor.horizon = len(batches), labels.attrs["horizon"]
    monitor.thin = param_of(forecaster, "thin")
    with monitor.stage("fit", **size):
        run.run(batches)
    return FittedBatches(
        extractor, scale, batches, run.members, run.reasons, run.events
    )


def _identity(system: Any, panel: pd.DataFrame) -> Mapping[str, str]:
    """Hash what the forecasts depend on, by name."""
    params = system.get_params(deep=True)
    parts = {name for name in params if f"{name}__" in " ".join(params)}
    identity = {
        name: joblib.hash(value)
        for name, value in params.items()
        if name.rpartition("__")[2] not in _HOW_TO_RUN and name not in parts
    }
    if system.memory_budget is not None and system.max_batch_size is None:
        # A budget is for the machine of the day; the first run's batches are kept.
        identity["memory_budget"] = "given"
    return {"prices": panel_digest(panel).hex(), **identity}
