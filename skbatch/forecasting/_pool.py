"""One pooled model of tickers whose features never exist all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skbatch.forecasting._base import BaseBatchForecaster
from skbatch.forecasting._conformal import ConformalForecaster
from skbatch.forecasting._decomposition import (
    Decomposition,
    check_dates,
    pooled_parameters,
)
from skbatch.forecasting._fallback import FallbackForecaster
from skbatch.forecasting._stored import StoredInputs
from skbatch.forecasting._tables import check_features, check_labels
from skbatch.forecasting._tasks import Rows, Task, TaskModel, split_tail, thinning

__all__ = [
    "PoolDates",
    "PooledModel",
    "StoredPool",
    "collect_rows",
    "label_dates",
    "owner_of",
    "pool_dates",
    "pooled_learners",
    "train_pool",
]

PoolDates = dict[int, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class PooledModel:
    """What was learned from the tickers of several batches together.

    Forecasters take it as their `pooled_model`, and forecast the tickers that they are
    fitted on with it, instead of training a model of these alone.

    Attributes
    ----------
    models : dict of int to object
        Horizon in rows → trained model.
    shrinkages : dict of int to float
        Horizon in rows → factor of its forecasts.
    """

    models: Mapping[int, Any] = field(repr=False)
    shrinkages: Mapping[int, float]

    def serve(self, tasks: Sequence[Task], strategy: str) -> list[TaskModel]:
        """Give the models of tasks that are not trained themselves.

        Raises
        ------
        ValueError
            If the tasks are not those of a pooled model of these horizons.
        """
        lacking = [t.horizon for t in tasks if t.horizon not in self.models]
        if strategy != "pooled" or lacking:
            raise ValueError(
                "pooled_model must have a model for every horizon, and goes with "
                f"strategy='pooled'. Got horizons {list(self.models)} and "
                f"{strategy!r}. Pass None to train one."
            )
        return [
            TaskModel(
                task,
                self.models[task.horizon],
                self.shrinkages[task.horizon],
                np.ones(1, dtype=bool),
            )
            for task in tasks
        ]

    def __deepcopy__(self, memo: dict[int, Any]) -> PooledModel:
        # Nobody changes it, and `clone` would copy it for every batch.
        return self


class TickerRows(NamedTuple):
    """Rows of some tickers for one horizon; `tail` is None where there is none."""

    train: Rows
    tail: Rows | None


def pooled_learners(forecaster: Any) -> dict[str, Any]:
    """Find the forecasters in a forecaster that could share their pooled models.

    Parameters
    ----------
    forecaster : estimator
        The forecaster that batches are fitted with.

    Returns
    -------
    dict of str to estimator
        Those that learn one model from all tickers, by the prefix of their parameters:
        the forecaster itself, or the first choice and the fallback of a
        :class:`FallbackForecaster`; also inside a forecaster that calibrates around
        one of these and fits it on all rows. Not those of a search: it would judge
        them by returns that they have seen.
    """
    outer = ""
    while isinstance(forecaster, ConformalForecaster) and forecaster.refit:
        forecaster, outer = forecaster.estimator, f"{outer}estimator__"
    parts = {outer: forecaster}
    if isinstance(forecaster, FallbackForecaster):
        names = ("estimator", "fallback")
        parts = {f"{outer}{name}__": getattr(forecaster, name) for name in names}
    return {prefix: part for prefix, part in parts.items() if _trains_in_pools(part)}


def owner_of(learner: Any, name: str) -> type:
    """Find the class from which a learner has a method."""
    return next(kind for kind in type(learner).__mro__ if name in vars(kind))


def _trains_in_pools(part: Any) -> bool:
    """Tell whether a fit of its own would train as :func:`train_pool` does."""
    return (
        hasattr(part, "_fit_model")
        # A subclass may choose or change what it learns from.
        and owner_of(part, "fit") is BaseBatchForecaster
        and issubclass(owner_of(part, "_fit_model"), owner_of(part, "_fit_table"))
        and part.strategy == "pooled"
        and "pooled_model" in pooled_parameters(part)
        and part.pooled_model is None
    )


def label_dates(learner: Any, X: Any, y: Any) -> dict[int, np.ndarray]:
    """Find the dates at which some tickers have targets to learn from.

    Parameters
    ----------
    learner, X, y
        As for :func:`collect_rows`.

    Returns
    -------
    dict of int to ndarray of shape (n_dates,), dtype bool
        Horizon → whether there is one.
    """
    learner._validate_params()
    features = check_features(learner, X, reset=True)
    labels, layout = check_labels(y, features, learner.horizon)
    return Decomposition.of(learner).label_dates(features, labels, layout)


def pool_dates(learner: Any, known: Mapping[int, np.ndarray]) -> PoolDates:
    """Split the dates that a pooled model is trained on from its tail.

    Parameters
    ----------
    learner : estimator
        The forecaster.
    known : dict of int to ndarray of shape (n_dates,), dtype bool
        Horizon → whether any ticker has a label to learn from.

    Returns
    -------
    dict of int to tuple of ndarray
        Horizon → row numbers of the training dates, and of the tail.

    Raises
    ------
    ModelFitError
        If there are too few of them.
    """
    dates = {}
    for horizon, has_labels in known.items():
        labels = np.where(has_labels, 0.0, np.nan)[:, None]
        thin = thinning(learner.thin, horizon)
        dates[horizon] = split_tail(labels, horizon, learner.validation_size, thin)
        check_dates(dates[horizon][0], f"horizon {horizon}")
    return dates


def collect_rows(
    learner: Any, X: Any, y: Any, dates: PoolDates
) -> dict[int, TickerRows]:
    """Stack the rows of some tickers as a pooled model of all of them is trained.

    Parameters
    ----------
    learner : estimator
        Unfitted forecaster with `market_return`; not changed otherwise than by a fit.
    X : DataFrame of shape (n_dates, n_columns)
        Features of the tickers.
    y : DataFrame of shape (n_dates, n_labels)
        Their labels.
    dates : dict of int to tuple of ndarray
        From :func:`pool_dates`.

    Returns
    -------
    dict of int to TickerRows
        Horizon → stacked rows, ordered by date and then by the name of the ticker.
    """
    learner._validate_params()
    features = check_features(learner, X, reset=True)
    labels, layout = check_labels(y, features, learner.horizon)
    stacked = Decomposition.of(learner).stack(features, labels, layout, dates)
    return {
        horizon: TickerRows(train, tail if len(dates[horizon][1]) else None)
        for horizon, (train, tail) in stacked.items()
    }


def train_pool(learner: Any, pool: Mapping[int, TickerRows]) -> PooledModel:
    """Train one model per horizon on stacked rows of all tickers."""
    learner._validate_params()
    learner._start_training()
    decomposition = Decomposition.of(learner)
    trained = {
        horizon: decomposition.train(*rows, horizon, learner._fit_model, _no_step)
        for horizon, rows in pool.items()
    }
    return PooledModel(
        {horizon: model for horizon, (model, _) in trained.items()},
        {horizon: shrinkage for horizon, (_, shrinkage) in trained.items()},
    )


class StoredPool:
    """Stacked rows of tickers, batch after batch, on disk.

    Parameters
    ----------
    folder : Path
        Where files are written.
    names : iterable of str
        All tickers; rows of a date are read in the order of their sorted names, as if
        all of them had been stacked together.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self.ranks = {name: rank for rank, name in enumerate(sorted(names))}
        self.rows: dict[tuple[int, str], StoredInputs] = {}

    def add(self, tickers: Iterable[str], rows: Mapping[int, TickerRows]) -> None:
        """Append the rows of a batch.

        Raises
        ------
        OSError
            If the disk is full.
        """
        ranks = np.array([self.ranks[ticker] for ticker in sorted(tickers)])
        for horizon, parts in rows.items():
            for kind, part in zip(TickerRows._fields, parts, strict=True):
                if part is None:
                    continue
                if (horizon, kind) not in self.rows:
                    path = self.folder / f"{kind}-{horizon}.rows"
                    self.rows[horizon, kind] = StoredInputs(path, len(self.ranks))
                self.rows[horizon, kind].append(part, ranks)

    def pool(self) -> dict[int, TickerRows]:
        """Give the rows of all batches, to be read slice by slice."""
        horizons = dict.fromkeys(horizon for horizon, _ in self.rows)
        stored = {key: inputs.rows() for key, inputs in self.rows.items()}
        return {
            horizon: TickerRows(stored[horizon, "train"], stored.get((horizon, "tail")))
            for horizon in horizons
        }


def _no_step() -> None:
    """Announce nothing."""
