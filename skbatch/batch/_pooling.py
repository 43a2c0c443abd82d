"""Models that all batches share, trained on rows that never exist all at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbatch.batch._checkpoint import ROWS, Checkpoint
from skbatch.batch._errors import FAILURES, describe
from skbatch.batch._features import UniverseFeatures
from skbatch.batch._manager import Batch
from skbatch.batch._tasks import Event
from skbatch.batch._work import labels_of
from skbatch.exceptions import CheckpointError
from skbatch.forecasting._decomposition import DECOMPOSITION_CONSTRAINTS, given_return
from skbatch.forecasting._pool import (
    PoolDates,
    PooledModel,
    StoredPool,
    collect_rows,
    label_dates,
    pool_dates,
    pooled_learners,
    train_pool,
)

__all__ = ["SharedModels"]

_FAILURES = (*FAILURES, MemoryError, OSError)


@dataclass
class SharedModels:
    """Pooled models of several batches, each one model of all their tickers.

    Attributes
    ----------
    universe : UniverseFeatures
        Features of the training rows.
    labels : DataFrame of shape (n_dates, n_labels)
        Labels of all tickers.
    batches : list of Batch
        The batches.
    checkpoint : Checkpoint or None
        Where trained models are kept.
    engine : DaskEngine or None
        Who stacks rows and trains; None is this process.
    events : list of Event
        Why batches have models of their own after all.
    """

    universe: UniverseFeatures
    labels: pd.DataFrame
    batches: Sequence[Batch]
    checkpoint: Checkpoint | None
    engine: Any = None
    events: list[Event] = field(default_factory=list)

    def learners(self, forecaster: Any) -> dict[str, Any]:
        """Find whose models can be shared, by the prefix of their parameters."""
        return pooled_learners(forecaster) if len(self.batches) > 1 else {}

    def give(self, forecaster: Any) -> Any:
        """Train the pooled models of a forecaster, and give it them.

        Parameters
        ----------
        forecaster : estimator
            Unfitted, with its `market_return`.

        Returns
        -------
        estimator
            With its `pooled_model`; as it was, if it has no model that batches could
            share, or that could not be trained.
        """
        learners = self.learners(forecaster)
        if not learners:
            return forecaster
        models = self._restore()
        if models is None:
            try:
                models = self._train(learners)
            except _FAILURES as error:
                tickers = tuple(self.universe.tickers)
                self.events.append(
                    Event("all", "a model per batch", tickers, describe(error))
                )
                return forecaster
            self._keep(models)
        if self.checkpoint is not None:
            self.checkpoint.shares = True
        params = {f"{prefix}pooled_model": models[prefix] for prefix in learners}
        return clone(forecaster).set_params(**params)

    def _train(self, learners: Mapping[str, Any]) -> dict[str, PooledModel]:
        """Train the learners, those together that need the same rows."""
        models: dict[str, PooledModel] = {}
        for learner in learners.values():
            learner._validate_params()
        for group in _learners_by_rows(learners):
            learner = group[0][1]
            dates = pool_dates(learner, self._label_dates(learner))
            if self.engine is not None:
                models |= self.engine.train(group, self._tickers, dates)
            else:
                models |= self._train_here(group, dates)
        return models

    def _train_here(
        self, group: list[tuple[str, Any]], dates: PoolDates
    ) -> dict[str, PooledModel]:
        """Stack the rows of all batches on disk, and train on them."""
        place = self.checkpoint.folder if self.checkpoint else None
        with tempfile.TemporaryDirectory(prefix=ROWS, dir=place) as folder:
            pool = StoredPool(Path(folder), self.universe.tickers)
            for batch, frame in self._frames():
                labels = labels_of(self.labels, batch.tickers)
                rows = collect_rows(clone(group[0][1]), frame, labels, dates)
                pool.add(batch.tickers, rows)
                del frame, rows
            stored = pool.pool()
            return {key: train_pool(clone(learner), stored) for key, learner in group}

    def _frames(self) -> Iterator[tuple[Batch, pd.DataFrame]]:
        """Give each batch with its features."""
        frames = self.universe.frames(self._tickers)
        for batch in self.batches:
            yield batch, next(frames)

    @property
    def _tickers(self) -> list[tuple[str, ...]]:
        """Tickers of each batch."""
        return [batch.tickers for batch in self.batches]

    def _label_dates(self, learner: Any) -> dict[int, np.ndarray]:
        """Find the dates at which a learner has targets, by horizon."""
        volatility = self.universe.volatility
        if volatility is not None and learner.scale == self.universe.scale:
            # A volatility is a feature: whoever has one is observed and has a unit.
            return self._dates_with(learner, volatility > 0)
        if self.engine is not None:
            found = self.engine.label_dates(learner, self._tickers)
        else:
            found = [
                label_dates(clone(learner), X, labels_of(self.labels, batch.tickers))
                for batch, X in self._frames()
            ]
        return {
            horizon: np.logical_or.reduce([dates[horizon] for dates in found])
            for horizon in found[0]
        }

    def _dates_with(self, learner: Any, scaled: np.ndarray) -> dict[int, np.ndarray]:
        """Find the dates on which a ticker has label, unit and market."""
        market, known = learner.market_return, {}
        horizons = np.atleast_1d(self.labels.attrs["horizon"]).tolist()
        several = isinstance(self.labels.columns, pd.MultiIndex)
        for horizon in horizons:
            labels = self.labels[horizon] if several else self.labels
            cells = np.isfinite(labels[self.universe.tickers].to_numpy()) & scaled
            dates = cells.any(axis=1)
            if market is not None:
                returns = given_return(market, horizons, horizon, labels.index)
                if learner.relative:
                    dates &= np.isfinite(returns)
            dates[max(0, len(dates) - horizon) :] = False
            known[horizon] = dates
        return known

    def _restore(self) -> dict[str, PooledModel] | None:
        """Give the models of the run that goes on."""
        return self.checkpoint.load_shared() if self.checkpoint else None

    def _keep(self, models: dict[str, PooledModel]) -> None:
        """Keep trained models; a full disk does not stop the run."""
        if self.checkpoint is None:
            return
        try:
            self.checkpoint.save_shared(models)
        except (OSError, CheckpointError) as error:
            self.events.append(self.checkpoint.give_up("all", error))


def _learners_by_rows(learners: Mapping[str, Any]) -> list[list[tuple[str, Any]]]:
    """Group learners that are trained on the same rows."""
    groups: list[list[tuple[str, Any]]] = []
    for prefix, learner in learners.items():
        for group in groups:
            if _same_rows(learner, group[0][1]):
                group.append((prefix, learner))
                break
        else:
            groups.append([(prefix, learner)])
    return groups


def _same_rows(one: Any, other: Any) -> bool:
    """Tell whether two learners stack the same rows."""
    pairs = [
        (getattr(one, name), getattr(other, name))
        for name in (*DECOMPOSITION_CONSTRAINTS, "horizon")
    ]
    return all(a is b or (np.isscalar(a) and a == b) for a, b in pairs)
