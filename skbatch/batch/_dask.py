"""Rows of features, and batches, as tasks of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from joblib import parallel_config
from joblib.parallel import SequentialBackend
from sklearn.base import clone

from skbatch._messages import describe_error
from skbatch.batch._batch_task import Outcome, Task, labels_of, run_task
from skbatch.batch._dask_cluster import Cluster, find_client
from skbatch.batch._dask_trees import train_trees
from skbatch.forecasting.engine import (
    FeatureStream,
    FeatureTable,
    RowStore,
    Storage,
    Universe,
)
from skbatch.panel.engine import PanelColumns

# Dates whose rows one task computes. Not by the number of workers: XGBoost's rows are
# drawn part by part, so that forecasts would depend on them.
BLOCK_DATES = 128


class DaskEngine:
    """Runs the work of a system on a Dask cluster."""

    # The panel is copied to every worker once. It is part of the graph, so that what is
    # computed from it outlives the worker that holds it.

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @classmethod
    def of_client(cls) -> DaskEngine:
        """Use the cluster of the current Dask client."""
        return cls(Cluster(find_client()))

    def stream(self, stream: FeatureStream) -> PlacedStream:
        """Return a stream whose rows are stacked on the workers."""
        held = stream.rows(0, stream.n_dates)
        assert isinstance(held, FeatureStream)
        held.make_universe, held.storage = None, Storage(memory_limit=None)
        placed = PlacedStream.__new__(PlacedStream)
        placed.__dict__.update(stream.__dict__)
        placed.cluster = self.cluster
        placed.held = self.cluster.hold(held, everywhere=True)
        placed.kept, placed.offset = np.arange(stream.n_columns), -stream._start
        return placed

    def outcomes(
        self,
        tasks: Mapping[int, Task],
        features: PlacedStream,
        labels: pd.DataFrame,
        forecaster: Any,
        handler: Any,
    ) -> Iterator[tuple[int, Outcome]]:
        """Run tasks on the cluster, and give each outcome as it comes."""
        if len(tasks) == 1 and not getattr(forecaster, "splits_by_ticker", True):
            for place, task in tasks.items():
                tickers = task.batch.tickers
                own = features
                if set(tickers) != set(features.columns.tickers):
                    own = features.select(tickers)
                model = clone(forecaster)
                own_labels = labels_of(labels, tickers)
                yield place, run_task(task, own, own_labels, model, handler)
            return
        batches = [task.batch.tickers for task in tasks.values()]
        held = self.cluster.hold((forecaster, handler, features.universe))
        left = {
            self.cluster.submit(_fit, task, part, labels_of(labels, batch), held): place
            for (place, task), batch, part in zip(
                tasks.items(), batches, features.split(batches), strict=True
            )
        }
        while left:
            for future in self.cluster.first_of(list(left)):
                yield left.pop(future), self._outcome(future)

    def _outcome(self, future: Any) -> Outcome:
        """Fetch what came of a task."""
        from distributed import KilledWorker

        try:
            (outcome,) = self.cluster.gather([future])
        except KilledWorker as error:
            return Outcome(stopped="died", error=describe_error(error))
        return outcome


class PlacedStream(FeatureStream):
    """Features whose rows are computed, and stay, on workers."""

    cluster: Cluster
    held: Any
    kept: np.ndarray
    offset: int

    def select(
        self, tickers: Collection[str], universe: Universe | None = None
    ) -> PlacedStream:
        """Select the columns of some tickers, and those that all share."""
        part = PlacedStream.__new__(PlacedStream)
        part.__dict__.update(super().select(tickers, universe).__dict__)
        part.cluster, part.held = self.cluster, self.held
        part.kept = self.kept[self.columns.kept(tickers)]
        part.offset = self.offset + self._start
        return part

    def __reduce__(self) -> tuple[Any, ...]:
        # In a process that has no client, features are computed there.
        state = {**self.__getstate__(), "cluster": None, "held": None}
        return object.__new__, (FeatureStream,), state

    def observed(self, tickers: Sequence[str | None]) -> np.ndarray:
        """Where each ticker has a finite feature of its own, `(n_dates, n_labels)`."""
        own = self._placed(self.series_columns(tickers))
        dates = self._rows(np.arange(self.n_dates))
        futures = [
            self.cluster.submit(_observed, self.held, dates[part], own)
            for part in _blocks(dates)
        ]
        return np.concatenate(self.cluster.gather(futures))

    def stack(
        self,
        columns: np.ndarray,
        dates: np.ndarray,
        series: np.ndarray,
        n_first: int,
        *,
        keep: bool,
    ) -> tuple[RowStore, RowStore]:
        """Stack (date, series) rows on the workers, as a stream does here."""
        key = columns.tobytes(), dates.tobytes(), series.tobytes(), n_first
        if key not in self._stores:
            columns, rows = self._placed(columns), self._rows(dates)
            stores = [
                self._stack(columns, rows[part], series[part])
                for part in (slice(n_first), slice(n_first, None))
            ]
            if not keep:
                return stores[0], stores[1]
            self._stores[key] = stores[0], stores[1]
        return self._stores[key]

    def _stack(
        self, columns: np.ndarray, rows: np.ndarray, series: np.ndarray
    ) -> PlacedRows:
        """Stack the rows of one store."""
        places = _blocks(rows)
        parts = [
            self.cluster.submit(_stacked, self.held, columns, rows[part], series[part])
            for part in places
        ]
        return PlacedRows(self.cluster, parts, places, columns.shape[1], self.storage)

    def split(self, batches: Sequence[Sequence[str]]) -> list[Any]:
        """Gather the features of each batch on a worker; all are computed once."""
        dates = self._rows(np.arange(self.n_dates))
        kept = [self.columns.kept(batch) for batch in batches]
        columns = [self.kept[numbers] for numbers in kept]
        blocks = [
            self.cluster.submit(_cut, self.held, dates[part], columns)
            for part in _blocks(dates)
        ]
        return [
            self.cluster.submit(
                _table,
                [self.cluster.submit(itemgetter(number), block) for block in blocks],
                self.names[names],
                self.index,
            )
            for number, names in enumerate(kept)
        ]

    def _placed(self, columns: np.ndarray) -> np.ndarray:
        """Find columns of this stream, or -1, among those of the workers'."""
        return np.where(columns < 0, -1, self.kept[columns])

    def _rows(self, dates: np.ndarray) -> np.ndarray:
        """Find rows of this stream among those of the workers'."""
        return np.asarray(dates) + self._start + self.offset


class PlacedRows(RowStore):
    """Inputs of stacked rows that lie on workers, part by part."""

    def __init__(
        self,
        cluster: Cluster,
        parts: list[Any],
        places: list[slice],
        n_inputs: int,
        storage: Storage,
    ) -> None:
        self.cluster, self.parts, self.places = cluster, parts, places
        self.shape = places[-1].stop if places else 0, n_inputs
        self.storage = storage

    def first(self, n_inputs: int) -> PlacedRows:
        """View the same rows with their first inputs only."""
        parts = [self.cluster.submit(_first, part, n_inputs) for part in self.parts]
        return PlacedRows(self.cluster, parts, self.places, n_inputs, self.storage)

    def map(self, function: Callable[..., Any], *aligned: np.ndarray) -> list[Any]:
        """Compute a function of each part, and of its rows of other arrays."""
        # One copy for every worker, and not one in every task.
        held = self.cluster.hold(function)

        def computed() -> list[Any]:
            futures = [
                self.cluster.submit(_on_part, part, held, [a[place] for a in aligned])
                for part, place in zip(self.parts, self.places, strict=True)
            ]
            return self.cluster.gather(futures)

        return self.cluster.again(computed, self.parts)

    def boost(
        self,
        y: np.ndarray,
        params: Mapping[str, Any],
        n_estimators: int,
        weight: np.ndarray | None,
        categories: Mapping[int, int],
    ) -> xgb.Booster:
        """Train trees on the rows where they are."""
        # Inputs that are categories have the number of the highest one.
        weight = np.ones(len(y), np.float32) if weight is None else weight

        def trained() -> xgb.Booster:
            targets = [(y[place], weight[place]) for place in self.places]
            return train_trees(
                self.cluster, self.parts, targets, params, n_estimators, categories
            )

        return self.cluster.again(trained, self.parts)

    @cached_property
    def fetched(self) -> RowStore:
        """The same rows in this process, for what cannot be done in parts."""
        store = RowStore(*self.shape, self.storage)
        for part, place in zip(self.parts, self.places, strict=True):
            (rows,) = self.cluster.again(partial(self.cluster.gather, [part]), [part])
            space = store.space(place.start, place.stop)
            space[:] = rows
            store.put(place.start, space)
        return store

    @property
    def array(self) -> np.ndarray | None:  # type: ignore[override]
        """Fetched inputs, if they are in memory."""
        return self.fetched.array

    def __getitem__(self, place: slice) -> np.ndarray:
        return self.fetched[place]


def _blocks(dates: np.ndarray) -> list[slice]:
    """Split rows, in the order of their dates, where a block of dates ends."""
    ends = np.flatnonzero(np.diff(dates // BLOCK_DATES)) + 1
    bounds = [0, *ends.tolist(), len(dates)] if len(dates) else []
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _stacked(
    stream: FeatureStream, columns: np.ndarray, dates: np.ndarray, series: np.ndarray
) -> np.ndarray | None:
    """Compute the rows of one part, without gaps."""
    store, _ = stream.stack(  # noqa: PD013 - no frame
        columns, dates, series, len(dates), keep=False
    )
    return store.array


def _first(rows: np.ndarray, n_inputs: int) -> np.ndarray:
    return rows[:, :n_inputs]


def _observed(stream: FeatureStream, dates: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Find where labels have a finite feature of their own."""
    return np.concatenate([t.observed_here(own) for _, t in stream.tables(dates)])


def _cut(
    stream: FeatureStream, dates: np.ndarray, columns: list[np.ndarray]
) -> list[np.ndarray]:
    """Compute the columns of each batch at some dates."""
    values = np.concatenate([table.values for _, table in stream.tables(dates)])
    return [values[:, numbers] for numbers in columns]


def _table(
    blocks: list[np.ndarray], names: np.ndarray, index: pd.Index
) -> FeatureTable:
    """Combine the features of one batch."""
    values = np.concatenate(blocks)
    return FeatureTable(values, PanelColumns.parse(names), index, names)


def _on_part(
    rows: np.ndarray, function: Callable[..., Any], aligned: list[np.ndarray]
) -> Any:
    """Compute a function of the rows of one part."""
    # What came from another worker cannot be written to.
    rows = rows if rows.flags.writeable else rows.copy(order="F")
    with _own_thread():
        return function(RowStore.holding(rows), *aligned)


def _own_thread() -> AbstractContextManager[Any]:
    """Let models use one thread: Dask runs as many tasks as there are threads."""
    return parallel_config(SequentialBackend(nesting_level=1), n_jobs=1)


def _fit(
    task: Task,
    features: FeatureTable,
    labels: pd.DataFrame,
    held: tuple[Any, Any, Universe | None],
) -> Outcome:
    """Fit one task on a worker."""
    forecaster, handler, features.universe = held
    model = clone(forecaster)
    return run_task(task, features, labels, model, handler, _own_thread())
