"""Batches as tasks of a Dask cluster."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from joblib.parallel import SequentialBackend
from sklearn.base import clone

from skbatch.batch._checkpoint import ROWS
from skbatch.batch._dask_cluster import Cluster, WorkerLostError
from skbatch.batch._dask_trees import tracker_process, train_trees
from skbatch.batch._errors import describe
from skbatch.batch._features import UniverseFeatures
from skbatch.batch._tasks import Outcome, Task
from skbatch.batch._work import attempt_task, labels_of
from skbatch.exceptions import ClusterError, ModelFitError
from skbatch.feature_extraction import BatchRecipe
from skbatch.forecasting import BatchXGBoostForecaster
from skbatch.forecasting._decomposition import Decomposition
from skbatch.forecasting._pool import (
    PoolDates,
    PooledModel,
    StoredPool,
    TickerRows,
    collect_rows,
    label_dates,
    owner_of,
    train_pool,
)
from skbatch.forecasting._tasks import Rows, predict_rows

__all__ = ["DaskEngine"]

# How often a training that lost a worker is begun.
ATTEMPTS = 3


class DaskEngine:
    """Runs the work of a system on a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Client of the cluster.
    universe : UniverseFeatures
        Features of the training rows.
    labels : DataFrame of shape (n_dates, n_labels)
        Labels of all tickers.

    Notes
    -----
    A batch's recipe, the prices of its tickers and what compares them with others, is
    kept in the graph, so that it outlives the worker that holds it; what all tickers
    share is computed once and copied to every worker. Features are computed where they
    are used, and never travel.
    """

    def __init__(
        self, client: Any, universe: UniverseFeatures, labels: pd.DataFrame
    ) -> None:
        self.cluster = Cluster(client)
        self.universe = universe
        self.labels = labels
        # What batches share, by its width: one batch of all tickers needs less.
        self._shared: dict[int, Any] = {}
        self._recipes: dict[tuple[str, ...], tuple[Any, Any]] = {}

    def train(
        self,
        learners: Sequence[tuple[str, Any]],
        batches: Sequence[tuple[str, ...]],
        dates: PoolDates,
    ) -> dict[str, PooledModel]:
        """Train pooled models on the rows of all batches, where these are.

        Parameters
        ----------
        learners : sequence of (str, estimator)
            Unfitted forecasters that are trained on the same rows, by their keys.
        batches : sequence of tuple of str
            Tickers of each batch.
        dates : dict of int to tuple of ndarray
            Training dates and tail of each horizon.

        Returns
        -------
        dict of str to PooledModel
            A model for each key.

        Raises
        ------
        ClusterError
            If every attempt loses a worker, or there is none any more.
        """
        rows = self._stack(learners[0][1], batches, dates)
        return {
            key: self._train_again(learner, rows, batches) for key, learner in learners
        }

    def label_dates(
        self, learner: Any, batches: Sequence[tuple[str, ...]]
    ) -> list[dict[int, np.ndarray]]:
        """Ask every batch at which dates a learner has targets."""
        self._prepare(batches)
        futures = [
            self.cluster.submit(
                _dated,
                *self._recipes[tickers],
                labels_of(self.labels, tickers),
                clone(learner),
            )
            for tickers in batches
        ]
        return self.cluster.gather(futures)

    def outcomes(
        self, tasks: Mapping[int, Task], models: Mapping[Any, Any], handler: Any
    ) -> Iterator[tuple[int, Outcome]]:
        """Run tasks on the cluster, and give each outcome as it comes.

        Parameters
        ----------
        tasks : dict of int to Task
            What to run, by its place.
        models : dict of str to estimator
            Unfitted forecaster of each rung.
        handler : BatchErrorHandler
            Fits them.

        Raises
        ------
        ClusterError
            If there is no worker any more.
        """
        self._prepare([task.batch.tickers for task in tasks.values()])
        held = {
            # With what a model has learned from all: once to each worker.
            rung: self.cluster.hold((models[rung], handler, self.universe.typical))
            for rung in dict.fromkeys(task.rung for task in tasks.values())
        }
        left = {
            self.cluster.submit(
                _fit,
                task,
                *self._recipes[task.batch.tickers],
                labels_of(self.labels, task.batch.tickers),
                held[task.rung],
            ): place
            for place, task in tasks.items()
        }
        while left:
            for future in self.cluster.first_of(list(left)):
                place = left.pop(future)
                yield place, self._outcome(future, models[tasks[place].rung])

    def _outcome(self, future: Any, model: Any) -> Outcome:
        """Fetch what came of a task."""
        from distributed import KilledWorker

        try:
            (packed,) = self.cluster.gather([future])
        except KilledWorker as error:
            return Outcome(stopped="died", error=describe(error))
        return _unpacked(packed, model)

    def _stack(
        self, learner: Any, batches: Sequence[tuple[str, ...]], dates: PoolDates
    ) -> list[Any]:
        """Stack the rows of each batch on a worker."""
        self._prepare(batches)
        return [
            self.cluster.submit(
                _stacked,
                *self._recipes[tickers],
                labels_of(self.labels, tickers),
                clone(learner),
                dates,
            )
            for tickers in batches
        ]

    def _train_again(
        self, learner: Any, rows: list[Any], batches: Sequence[tuple[str, ...]]
    ) -> PooledModel:
        """Train one learner, anew with the workers that are left if one is lost."""
        for _ in range(ATTEMPTS):
            workers = self.cluster.workers()
            try:
                return self._train(learner, rows, batches)
            except Exception as error:
                if not _may_be_loss(error):
                    raise
                self.cluster.check()
                # The same workers would fail in the same way again.
                if not self.cluster.lost(workers):
                    raise
                lost = describe(error)
                self.cluster.client.retry([f for f in rows if f.status == "error"])
        raise ClusterError(
            "Workers must live until a model is trained. Got "
            f"{ATTEMPTS} trainings that lost a worker, the last: {lost}. Look into the "
            "logs of the workers: if their memory did not suffice, start more, or "
            "larger ones."
        )

    def _train(
        self, learner: Any, rows: list[Any], batches: Sequence[tuple[str, ...]]
    ) -> PooledModel:
        """Train one learner on stacked rows."""
        learner = clone(learner)
        learner._start_training()
        owner = owner_of(learner, "_fit_model")
        trees = owner is BatchXGBoostForecaster
        if trees:
            # XGBoost averages a metric over workers; a correlation cannot be.
            apart = learner.early_stopping_rounds is None
        else:
            # A class with its own way to train may not know how to do it in parts.
            apart = "fit_parts" in vars(owner)
        if not apart:
            return self._train_here(learner, rows, batches)
        if trees:
            with tracker_process(self.cluster) as tracker:
                return self._train_apart(learner, rows, partial(self._boost, tracker))
        return self._train_apart(learner, rows, type(learner).fit_parts)

    def _train_apart(
        self, learner: Any, rows: list[Any], train: Callable[[Any, PlacedRows], Any]
    ) -> PooledModel:
        """Train one learner on stacked rows that stay where they are."""
        sizes = self.cluster.gather(
            [self.cluster.submit(_sizes, part) for part in rows]
        )
        models: dict[int, Any] = {}
        shrinkages: dict[int, float] = {}
        for horizon in sizes[0]:
            placed = PlacedRows(
                self.cluster, rows, horizon, [size[horizon] for size in sizes]
            )
            models[horizon] = train(learner, placed)
            judged = placed.tail(_judged, models[horizon]) if placed.has_tail else []
            shrinkages[horizon] = _shrinkage(learner, judged, horizon)
        return PooledModel(models, shrinkages)

    def _boost(
        self, tracker: str, learner: BatchXGBoostForecaster, rows: PlacedRows
    ) -> Any:
        """Train trees on rows that stay where they are."""
        if not rows.n_rows:
            raise ModelFitError("The training rows must have labels. Got none.")
        booster = train_trees(
            self.cluster,
            tracker,
            rows.parts(),
            rows.horizon,
            rows.n_rows,
            learner.booster_params(rows.n_rows),
            learner.n_estimators,
        )
        return learner.booster_model(booster)

    def _train_here(
        self, learner: Any, rows: list[Any], batches: Sequence[tuple[str, ...]]
    ) -> PooledModel:
        """Fetch the rows batch by batch, and train on them in this process."""
        with tempfile.TemporaryDirectory(prefix=ROWS) as folder:
            pool = StoredPool(Path(folder), self.universe.tickers)
            for tickers, part in zip(batches, rows, strict=True):
                pool.add(tickers, *self.cluster.gather([part]))
            return train_pool(learner, pool.pool())

    def _prepare(self, batches: Sequence[tuple[str, ...]]) -> None:
        """Hand the recipes of batches to the cluster."""
        new = [tickers for tickers in batches if tickers not in self._recipes]
        if not new:
            return
        recipes, shared = self.universe.recipes(new)
        width = shared.shape[1]
        if width not in self._shared:
            self._shared[width] = self.cluster.hold(shared)
        for tickers, recipe in zip(new, recipes, strict=True):
            self._recipes[tickers] = self.cluster.hold(recipe), self._shared[width]


class PlacedRows:
    """Stacked rows of one horizon on the workers; a :class:`MappedRows`.

    Parameters
    ----------
    cluster : Cluster
        Where they are.
    rows : list of Future
        Rows of each batch.
    horizon : int
        Which of them.
    sizes : list of tuple of int
        Rows for training, inputs, and rows of the tail, of each batch.
    """

    def __init__(
        self,
        cluster: Cluster,
        rows: list[Any],
        horizon: int,
        sizes: list[tuple[int, int, int]],
    ) -> None:
        self.cluster = cluster
        self.rows = rows
        self.horizon = horizon
        self.sizes = sizes
        self.n_rows = sum(size[0] for size in sizes)
        self.has_tail = any(size[2] for size in sizes)

    def train(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Compute a function of the training rows of each batch."""
        return self._mapped("train", function, args)

    def tail(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Compute a function of the rows of each batch's tail."""
        return self._mapped("tail", function, args)

    def parts(self) -> list[tuple[int, Any]]:
        """Give number and rows of each batch that has training rows."""
        return [
            (number, part)
            for number, (part, size) in enumerate(
                zip(self.rows, self.sizes, strict=True)
            )
            if size[0]
        ]

    def _mapped(self, kind: str, function: Callable[..., Any], args: Any) -> list[Any]:
        """Compute a function of some rows of each batch."""
        # One copy for every worker, and not one in every task.
        held = [self.cluster.hold(argument) for argument in args]
        futures = [
            self.cluster.submit(_on_rows, part, self.horizon, kind, function, *held)
            for part in self.rows
        ]
        return self.cluster.gather(futures)


def _may_be_loss(error: Exception) -> bool:
    """Tell whether an error is one that a lost worker can show as."""
    from distributed import KilledWorker

    return isinstance(error, WorkerLostError | KilledWorker | CancelledError | OSError)


def _stacked(
    recipe: BatchRecipe,
    shared: np.ndarray,
    labels: pd.DataFrame,
    learner: Any,
    dates: PoolDates,
) -> dict[int, TickerRows]:
    """Stack the rows of one batch."""
    return collect_rows(learner, recipe.frame(shared), labels, dates)


def _dated(
    recipe: BatchRecipe, shared: np.ndarray, labels: pd.DataFrame, learner: Any
) -> dict[int, np.ndarray]:
    """Find the dates at which one batch has targets."""
    return label_dates(learner, recipe.frame(shared), labels)


def _sizes(rows: Mapping[int, TickerRows]) -> dict[int, tuple[int, int, int]]:
    return {
        horizon: (*part.train.X.shape, 0 if part.tail is None else len(part.tail.y))
        for horizon, part in rows.items()
    }


def _on_rows(
    rows: Mapping[int, TickerRows],
    horizon: int,
    kind: str,
    function: Callable[..., Any],
    *args: Any,
) -> Any:
    """Compute a function of the rows of one batch."""
    with _own_thread():
        return function(getattr(rows[horizon], kind), *args)


def _own_thread() -> Any:
    """Let models use one thread: Dask runs as many tasks as there are threads."""
    return parallel_config(SequentialBackend(nesting_level=1), n_jobs=1)


def _judged(rows: Rows, model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecast a tail: labels, forecasts and dates."""
    return rows.y, predict_rows(model, rows.X.copy()), rows.dates


def _shrinkage(learner: Any, judged: list[Any], horizon: int) -> float:
    """Find the factor of the forecasts in the tails of all batches."""
    y, forecast, dates = (
        map(np.concatenate, zip(*judged, strict=True)) if judged else [np.empty(0)] * 3
    )
    return Decomposition.of(learner).shrinkage(y, forecast, dates, horizon)


def _fit(
    task: Task,
    recipe: BatchRecipe,
    shared: np.ndarray,
    labels: pd.DataFrame,
    held: tuple[Any, Any, np.ndarray | None],
) -> bytes:
    """Compute features and fit one task on a worker."""
    model, handler, typical = held
    frame = recipe.frame(shared)
    outcome = attempt_task(
        task, frame, labels, clone(model), handler, typical, _own_thread()
    )
    return _packed(outcome, model)


def _packed(outcome: Outcome, model: Any) -> bytes:
    """Pickle an outcome without the pooled models that its forecasters share."""
    import cloudpickle

    names = {id(part): name for name, part in _pooled_parts(model).items()}

    class Packer(cloudpickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return names.get(id(value))

    file = io.BytesIO()
    Packer(file).dump(outcome)
    return file.getvalue()


def _unpacked(packed: bytes, model: Any) -> Outcome:
    """Read an outcome, and let its forecasters share the pooled models at hand."""
    parts = _pooled_parts(model)

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, name: Any) -> Any:
            return parts[name]

    return Unpacker(io.BytesIO(packed)).load()


def _pooled_parts(model: Any) -> dict[tuple[str, int], Any]:
    """Give the pooled models of a forecaster, by parameter and horizon."""
    pooled = {
        name: value
        for name, value in model.get_params(deep=True).items()
        if isinstance(value, PooledModel)
    }
    wholes = {(name, 0): value for name, value in pooled.items()}
    parts = {
        (name, horizon): part
        for name, value in pooled.items()
        for horizon, part in value.models.items()
    }
    return {**wholes, **parts}
