"""Batches as tasks of a Dask cluster."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from joblib.parallel import SequentialBackend
from sklearn.base import clone
from xgboost.core import XGBoostError

from skbatch.batch._checkpoint import ROWS
from skbatch.batch._errors import describe
from skbatch.batch._features import UniverseFeatures
from skbatch.batch._tasks import Outcome, Task
from skbatch.batch._work import attempt_task, labels_of
from skbatch.exceptions import ConfigError, ModelFitError
from skbatch.feature_extraction import BatchRecipe
from skbatch.forecasting import BatchXGBoostForecaster
from skbatch.forecasting._booster import without_gaps
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

__all__ = ["DaskEngine", "find_client"]

# How often a training that lost a worker is begun anew.
ATTEMPTS = 3
# Seconds until the cluster must have noticed that a worker is gone.
PATIENCE = 5.0


def find_client() -> Any:
    """Give the client of the Dask cluster in use.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ConfigError
        If no client has been started, or its cluster has no worker.
    """
    try:
        import distributed
        import xgboost.dask  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"engine='dask' must have Dask. Got {error}. Install it with "
            "`pip install 'skbatch[dask]'`."
        ) from error
    try:
        client = distributed.default_client()
    except ValueError as error:
        raise ConfigError(
            "engine='dask' must have a Dask client. Got none. Start one before, as in "
            "`client = distributed.Client(n_workers=2)`, or pass engine='local'."
        ) from error
    try:
        # A cluster that adapts to its work starts with none.
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise ConfigError(
            "engine='dask' must have a cluster with workers. Got none within "
            f"{PATIENCE:.0f} s. Start some, as in `cluster.scale(2)`, or pass "
            "engine='local'."
        ) from error
    _leave_room(distributed)
    return client


def _leave_room(distributed: Any) -> None:
    """Let other tasks run where this one, such as a search's fold, waits for them."""
    from distributed.threadpoolexecutor import thread_state

    try:
        distributed.get_worker()
    except ValueError:
        return
    if getattr(thread_state, "proceed", False):
        distributed.secede()


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
        self.client = client
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
        ModelFitError
            If every attempt loses a worker.
        """
        for _ in range(ATTEMPTS):
            workers = set(self.client.nthreads())
            try:
                rows = self._stack(learners[0][1], batches, dates)
                return {
                    key: self._train(learner, rows, batches)
                    for key, learner in learners
                }
            except Exception as error:
                # The same workers would fail in the same way again.
                if not (_may_be_loss(error) and self._has_lost(workers)):
                    raise
                lost = describe(error)
                self.client.wait_for_workers(1)
        raise ModelFitError(f"{ATTEMPTS} trainings lost a worker, the last: {lost}")

    def label_dates(
        self, learner: Any, batches: Sequence[tuple[str, ...]]
    ) -> list[dict[int, np.ndarray]]:
        """Ask every batch at which dates a learner has targets."""
        self._prepare(batches)
        futures = [
            self.submit(
                _dated,
                *self._recipes[tickers],
                labels_of(self.labels, tickers),
                clone(learner),
            )
            for tickers in batches
        ]
        return self.client.gather(futures)

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
        """
        from distributed import KilledWorker, as_completed

        self._prepare([task.batch.tickers for task in tasks.values()])
        futures = {
            self.submit(
                _fit,
                task,
                *self._recipes[task.batch.tickers],
                labels_of(self.labels, task.batch.tickers),
                clone(models[task.rung]),
                handler,
                self.universe.typical,
            ): place
            for place, task in tasks.items()
        }
        for future in as_completed(list(futures)):
            place = futures.pop(future)
            try:
                outcome = future.result()
            except KilledWorker as error:
                outcome = Outcome(stopped="died", error=describe(error))
            yield place, outcome

    def _has_lost(self, workers: set[str]) -> bool:
        """Tell whether one of the workers is gone, once the cluster knows."""
        deadline = time.monotonic() + PATIENCE
        while workers <= set(self.client.nthreads()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _stack(
        self, learner: Any, batches: Sequence[tuple[str, ...]], dates: PoolDates
    ) -> list[Any]:
        """Stack the rows of each batch on a worker."""
        self._prepare(batches)
        return [
            self.submit(
                _stacked,
                *self._recipes[tickers],
                labels_of(self.labels, tickers),
                clone(learner),
                dates,
            )
            for tickers in batches
        ]

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
        sizes = self.client.gather([self.submit(_sizes, part) for part in rows])
        models: dict[int, Any] = {}
        shrinkages: dict[int, float] = {}
        for horizon in sizes[0]:
            placed = PlacedRows(self, rows, horizon, [size[horizon] for size in sizes])
            models[horizon] = (
                self._boost(learner, placed) if trees else learner.fit_parts(placed)
            )
            judged = placed.tail(_judged, models[horizon]) if placed.has_tail else []
            shrinkages[horizon] = _shrinkage(learner, judged, horizon)
        return PooledModel(models, shrinkages)

    def _boost(self, learner: BatchXGBoostForecaster, rows: PlacedRows) -> Any:
        """Train trees on rows that stay where they are."""
        import dask.array as da
        import xgboost.dask as dxgb

        if not rows.n_rows:
            raise ModelFitError("The training rows must have labels. Got none.")
        X, y = (
            da.concatenate(
                [
                    da.from_delayed(future, shape[:ndim], np.float32)
                    for future, shape in rows.arrays(take)
                ]
            )
            for take, ndim in ((_inputs, 2), (_targets, 1))
        )
        matrix = dxgb.DaskQuantileDMatrix(self.client, X, y, max_bin=learner.max_bin)
        params = learner.booster_params(rows.n_rows)
        # Each worker uses the threads that it has.
        params.pop("nthread")
        trained = dxgb.train(
            self.client, params, matrix, learner.n_estimators, verbose_eval=False
        )
        return learner.booster_model(trained["booster"])

    def _train_here(
        self, learner: Any, rows: list[Any], batches: Sequence[tuple[str, ...]]
    ) -> PooledModel:
        """Fetch the rows batch by batch, and train on them in this process."""
        with tempfile.TemporaryDirectory(prefix=ROWS) as folder:
            pool = StoredPool(Path(folder), self.universe.tickers)
            for tickers, part in zip(batches, rows, strict=True):
                pool.add(tickers, part.result())
            return train_pool(learner, pool.pool())

    def _prepare(self, batches: Sequence[tuple[str, ...]]) -> None:
        """Hand the recipes of batches to the cluster."""
        new = [tickers for tickers in batches if tickers not in self._recipes]
        if not new:
            return
        recipes, shared = self.universe.recipes(new)
        width = shared.shape[1]
        if width not in self._shared:
            self._shared[width] = self.submit(_identity, shared)
        for tickers, recipe in zip(new, recipes, strict=True):
            held = self.submit(_identity, recipe)
            self._recipes[tickers] = held, self._shared[width]

    def submit(self, function: Any, *args: Any) -> Any:
        """Submit a task that is not shared with other runs."""
        with _large_graphs():
            return self.client.submit(function, *args, pure=False)


class PlacedRows:
    """Stacked rows of one horizon on the workers; a :class:`MappedRows`.

    Parameters
    ----------
    engine : DaskEngine
        Submits functions.
    rows : list of Future
        Rows of each batch.
    horizon : int
        Which of them.
    sizes : list of tuple of int
        Rows for training, inputs, and rows of the tail, of each batch.
    """

    def __init__(
        self,
        engine: DaskEngine,
        rows: list[Any],
        horizon: int,
        sizes: list[tuple[int, int, int]],
    ) -> None:
        self.engine = engine
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

    def arrays(self, function: Callable[..., Any]) -> list[tuple[Any, tuple[int, int]]]:
        """Give arrays on the workers with their shapes, without empty ones."""
        return [
            (
                self.engine.submit(_on_rows, part, self.horizon, "train", function),
                size[:2],
            )
            for part, size in zip(self.rows, self.sizes, strict=True)
            if size[0]
        ]

    def _mapped(self, kind: str, function: Callable[..., Any], args: Any) -> list[Any]:
        """Compute a function of some rows of each batch."""
        # One copy for every worker, and not one in every task.
        held = [self.engine.submit(_identity, argument) for argument in args]
        futures = [
            self.engine.submit(_on_rows, part, self.horizon, kind, function, *held)
            for part in self.rows
        ]
        return self.engine.client.gather(futures)


@contextmanager
def _large_graphs() -> Iterator[None]:
    """Send recipes in the graph without being told that they are large."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        yield


def _may_be_loss(error: Exception) -> bool:
    """Tell whether an error is one that a lost worker can show as."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    if isinstance(error, ValueError | RuntimeError):
        # XGBoost's own check of who has which rows.
        return "worker" in str(error) or isinstance(error, XGBoostError)
    return isinstance(error, KilledWorker | CancelledError | OSError)


def _identity(value: Any) -> Any:
    return value


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


def _inputs(rows: Rows) -> np.ndarray:
    # A copy: other learners know missing inputs by NaN, and share the rows.
    return without_gaps(rows.X.copy())


def _targets(rows: Rows) -> np.ndarray:
    return rows.y.astype(np.float32)


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
    model: Any,
    handler: Any,
    typical: np.ndarray | None,
) -> Outcome:
    """Compute features and fit one task on a worker."""
    frame = recipe.frame(shared)
    return attempt_task(task, frame, labels, model, handler, typical, _own_thread())
