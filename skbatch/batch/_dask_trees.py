"""Boosted trees trained on rows that lie on several workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb
from xgboost.collective import CommunicatorContext
from xgboost.core import XGBoostError

from skbatch.batch._dask_cluster import Cluster, WorkerLostError
from skbatch.forecasting.engine import (
    BIN_ROWS,
    bin_limits,
    feature_types,
    loss_gradient,
)

# Seconds that workers have to leave a training that lost one of them.
LEAVE = 10.0

# Trainings in this process, which is a worker, and the worker's address.
_running: set[tuple[str, str]] = set()
# Processes that introduce workers to each other, in the process of the scheduler. They
# are apart because XGBoost ends the process of its tracker when a worker dies while
# they talk; and they end with the one that started them.
_trackers: dict[str, Popen[str]] = {}
_TRACKER = """
import json, sys
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker
trackers = []
for line in sys.stdin:
    n_workers, host = line.split()
    try:
        tracker = RabitTracker(n_workers=int(n_workers), host_ip=host, sortby="task")
    except XGBoostError:
        # The scheduler is known under an address that is not this machine's own.
        tracker = RabitTracker(n_workers=int(n_workers), host_ip=None, sortby="task")
    tracker.start()
    trackers.append(tracker)
    print(json.dumps(tracker.worker_args()), flush=True)
"""


class Part(NamedTuple):
    """Rows on a worker: their number, inputs (in the graph), labels and weights."""

    number: int
    X: Any
    y: Any
    weight: Any


def train_trees(
    cluster: Cluster,
    inputs: Sequence[Any],
    targets: Sequence[tuple[np.ndarray, np.ndarray]],
    params: Mapping[str, Any],
    n_estimators: int,
    categories: Mapping[int, int],
) -> xgb.Booster:
    """Train trees where the rows are, until that is done or a worker is gone."""
    from distributed.comm import get_address_host

    parts = [
        Part(number, X, *target)
        for number, (X, target) in enumerate(zip(inputs, targets, strict=True))
    ]
    reference = _reference(cluster, parts, params["max_bin"])
    # A category has a bin if it is not above the highest one of these.
    for number, code in categories.items():
        reference[:, number] = code
    types = feature_types(reference.shape[1], categories)
    host = get_address_host(cluster.client.scheduler.address)
    with _alone(cluster), _tracker_process(cluster) as tracker:
        placed = _placed(cluster, parts)
        key = uuid.uuid4().hex
        try:
            address = cluster.client.run_on_scheduler(
                _introduce, tracker, len(placed), host
            )
            args = key, address, dict(params), n_estimators, reference, types
            return _train_placed(cluster, placed, args)
        except BaseException as error:
            cluster.try_on_scheduler(_stop_tracker, tracker)
            _wait_until_left(cluster, key)
            if isinstance(error, XGBoostError) and (gone := cluster.lost(set(placed))):
                # This is how the loss appears to the other workers.
                raise WorkerLostError(f"{', '.join(sorted(gone))} went away") from error
            raise


def _train_placed(
    cluster: Cluster, placed: Mapping[str, list[Part]], args: tuple[Any, ...]
) -> xgb.Booster:
    """Train on each worker the rows that it holds, all together."""
    futures = {
        worker: cluster.submit(
            _train_part,
            rank,
            [part.number for part in own],
            [part.X for part in own],
            [part.y for part in own],
            [part.weight for part in own],
            *args,
            workers=[worker],
            # No other worker can take the place of one that is lost.
            allow_other_workers=False,
        )
        for rank, (worker, own) in enumerate(placed.items())
    }
    try:
        return cluster.gather(list(futures.values()), needed=set(futures))[0]
    finally:
        cluster.cancel(list(futures.values()))


def _placed(cluster: Cluster, parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Find the worker that holds each part."""
    futures = [part.X for part in parts]
    cluster.all_of(futures)
    holders = cluster.client.who_has(futures)
    placed: dict[str, list[Part]] = {}
    for part in parts:
        holding = holders.get(part.X.key)
        if not holding:
            raise WorkerLostError("A worker was lost with rows to train on")
        placed.setdefault(min(holding), []).append(part)
    return dict(sorted(placed.items()))


def _reference(cluster: Cluster, parts: Sequence[Part], max_bin: int) -> np.ndarray:
    """Cut the bins of each input, `(max_bin, n_inputs)`."""
    # Bins that each worker cuts from its own rows would depend on how many there are.
    share = BIN_ROWS / sum(len(part.y) for part in parts)
    futures = [cluster.submit(_bin_rows, part.X, part.number, share) for part in parts]
    return bin_limits(np.concatenate(cluster.gather(futures)), max_bin)


def _bin_rows(X: np.ndarray, number: int, share: float) -> np.ndarray:
    """Draw the rows of a part by which bins are cut."""
    if share >= 1:
        return X
    return X[np.random.default_rng(number).random(len(X)) < share]


@contextmanager
def _alone(cluster: Cluster) -> Iterator[None]:
    """Let no other training begin: two that wait for each other's workers never end."""
    from distributed import Semaphore

    turn = Semaphore(1, "skbatch-train-trees")
    while not turn.acquire(timeout=5):
        cluster.check()
    try:
        yield
    finally:
        turn.release()


@contextmanager
def _tracker_process(cluster: Cluster) -> Iterator[str]:
    """Run a process beside the scheduler's that introduces workers; give its key."""
    key = uuid.uuid4().hex
    try:
        cluster.client.run_on_scheduler(_start_tracker, key)
        yield key
    finally:
        cluster.try_on_scheduler(_stop_tracker, key)


def _start_tracker(key: str) -> None:
    """Start the process, which takes a second to be ready."""
    _trackers[key] = Popen(
        [sys.executable, "-c", _TRACKER],
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        text=True,
    )


async def _introduce(key: str, n_workers: int, host: str) -> dict[str, Any]:
    """Ask the tracker where the workers of a training meet."""

    def ask() -> str:
        tracker = _trackers[key]
        print(n_workers, host, file=tracker.stdin, flush=True)
        return tracker.stdout.readline() if tracker.stdout else ""

    told = await asyncio.get_running_loop().run_in_executor(None, ask)
    if not told:
        raise XGBoostError(f"XGBoost's tracker could not be started at {host}")
    return json.loads(told)


def _stop_tracker(key: str) -> None:
    """Stop the process; whoever still waits for others sees the connection close."""
    if key in _trackers:
        with _trackers.pop(key) as tracker:
            tracker.kill()


def _wait_until_left(cluster: Cluster, key: str) -> None:
    """Wait until no worker is in a training, and restart those that cannot leave."""
    deadline = time.monotonic() + LEAVE
    while held := [w for w, held in cluster.ask_workers(_runs, key).items() if held]:
        if time.monotonic() > deadline:
            cluster.restart(held)
            return
        time.sleep(0.2)


def _runs(key: str, dask_worker: Any) -> bool:
    return (key, dask_worker.address) in _running


def _train_part(
    rank: int,
    numbers: list[int],
    inputs: list[np.ndarray],
    targets: list[np.ndarray],
    weights: list[np.ndarray],
    key: str,
    address: dict[str, Any],
    params: dict[str, Any],
    n_estimators: int,
    reference: np.ndarray,
    types: list[str] | None,
) -> xgb.Booster | None:
    """Train on the rows of one worker, together with the others."""
    from distributed import get_worker

    worker = get_worker()
    # Workers that are threads of one process may share the arguments.
    params = {**params, "nthread": worker.state.nthreads}
    options = {name: params[name] for name in ("max_bin", "nthread")}
    bins = xgb.QuantileDMatrix(reference, feature_types=types, **options)
    rows = _PartIterator(inputs, targets, weights, types)
    matrix = xgb.QuantileDMatrix(rows, ref=bins, **options)
    objective = None
    if params["subsample"] < 1:
        share = params.pop("subsample")
        objective = _drawn_loss(targets, weights, numbers, share, params)
    _running.add((key, worker.address))
    try:
        # Numbers of the same length, since XGBoost sorts them as text.
        with CommunicatorContext(**address, dmlc_task_id=f"{rank:08d}"):
            booster = xgb.train(
                params, matrix, n_estimators, obj=objective, verbose_eval=False
            )
    finally:
        _running.discard((key, worker.address))
    return booster if rank == 0 else None


class _PartIterator(xgb.DataIter):
    """Pass parts of the rows to XGBoost, one after the other."""

    def __init__(
        self,
        inputs: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        weights: Sequence[np.ndarray],
        types: list[str] | None,
    ) -> None:
        super().__init__()
        self.types = types
        self.parts = list(zip(inputs, targets, weights, strict=True))
        self.place = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Pass the next part; False after the last one."""
        if self.place >= len(self.parts):
            return False
        X, y, weight = self.parts[self.place]
        input_data(data=X, label=y, weight=weight, feature_types=self.types)
        self.place += 1
        return True

    def reset(self) -> None:
        """Begin anew: XGBoost reads everything several times."""
        self.place = 0


def _drawn_loss(
    targets: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    numbers: Sequence[int],
    share: float,
    params: Mapping[str, Any],
) -> Callable[[np.ndarray, xgb.DMatrix], tuple[np.ndarray, np.ndarray]]:
    """Loss of rows that are drawn anew for each tree."""
    y = np.concatenate(targets).astype(np.float32)
    draws = [np.random.default_rng([params["seed"], number]) for number in numbers]

    def objective(
        forecast: np.ndarray, _: xgb.DMatrix
    ) -> tuple[np.ndarray, np.ndarray]:
        drawn = [
            (draw.random(len(part), np.float32) < share) * part
            for draw, part in zip(draws, weights, strict=True)
        ]
        weight = np.concatenate(drawn).astype(np.float32)
        return loss_gradient(forecast - y, weight, params)

    return objective
