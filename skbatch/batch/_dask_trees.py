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
from typing import Any

import numpy as np
import xgboost as xgb
from xgboost.collective import CommunicatorContext
from xgboost.core import XGBoostError

from skbatch.batch._dask_cluster import Cluster, WorkerLostError
from skbatch.forecasting._booster import without_gaps
from skbatch.forecasting._tasks import Rows

__all__ = ["tracker_process", "train_trees"]

# Rows by which bins are cut, drawn from those of all workers: bins cut by each worker
# from its own rows would depend on how many workers there are.
BIN_ROWS = 2**16
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

Part = tuple[int, Any]


def train_trees(
    cluster: Cluster,
    tracker: str,
    parts: Sequence[Part],
    horizon: int,
    n_rows: int,
    params: Mapping[str, Any],
    n_estimators: int,
) -> xgb.Booster:
    """Train trees where the rows are, until that is done or a worker is gone.

    Parameters
    ----------
    cluster : Cluster
        The workers.
    tracker : str
        Key of the process that introduces them, see :func:`tracker_process`. It is
        stopped if the training fails.
    parts : sequence of (int, Future)
        Number and stacked rows of each batch that has any.
    horizon : int
        Which of their rows.
    n_rows : int
        Number of these rows of all batches.
    params : dict
        XGBoost's parameters.
    n_estimators : int
        Number of trees.

    Returns
    -------
    Booster
        Rows are drawn, and bins cut, by the batch that a row belongs to. So the trees
        do not depend on which worker holds which rows, but for the order of sums.

    Raises
    ------
    WorkerLostError
        If a worker that took part is gone. The others have left the training by then.
    """
    from distributed.comm import get_address_host

    reference = _reference(cluster, parts, horizon, n_rows, params["max_bin"])
    with _alone(cluster):
        placed = _placed(cluster, parts)
        host = get_address_host(cluster.client.scheduler.address)
        key = uuid.uuid4().hex
        try:
            address = cluster.client.run_on_scheduler(
                _introduce, tracker, len(placed), host
            )
            args = key, address, horizon, dict(params), n_estimators, reference
            return _train_placed(cluster, placed, args)
        except BaseException as error:
            cluster.try_on_scheduler(_stop_tracker, tracker)
            _wait_until_left(cluster, key)
            if isinstance(error, XGBoostError) and (gone := cluster.lost(set(placed))):
                # So it looks to the others.
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
            [number for number, _ in own],
            [future for _, future in own],
            *args,
            workers=[worker],
            # Nobody else can take the place of a worker that is gone.
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
    futures = [future for _, future in parts]
    cluster.all_of(futures)
    holders = cluster.client.who_has(futures)
    placed: dict[str, list[Part]] = {}
    for number, future in parts:
        holding = holders.get(future.key)
        if not holding:
            raise WorkerLostError("A worker went away with rows to train on")
        placed.setdefault(min(holding), []).append((number, future))
    return dict(sorted(placed.items()))


def _reference(
    cluster: Cluster, parts: Sequence[Part], horizon: int, n_rows: int, max_bin: int
) -> np.ndarray:
    """Give rows `(n_bins, n_inputs)` that are quantiles of each input."""
    share = BIN_ROWS / n_rows
    futures = [
        cluster.submit(_bin_rows, part, horizon, number, share)
        for number, part in parts
    ]
    X = np.concatenate(cluster.gather(futures))
    X.sort(axis=0)
    places = np.linspace(0, len(X) - 1, max_bin).round().astype(np.intp)
    cuts = [np.unique(values) for values in X.T]
    cuts = [
        distinct if len(distinct) <= max_bin else values[places]
        for distinct, values in zip(cuts, X.T, strict=True)
    ]
    n_rows = max(map(len, cuts))
    return np.column_stack([np.pad(c, (0, n_rows - len(c)), "edge") for c in cuts])


def _bin_rows(
    part: Mapping[int, Any], horizon: int, number: int, share: float
) -> np.ndarray:
    """Draw the rows of a batch by which bins are cut."""
    X = part[horizon].train.X
    if share < 1:
        X = X[np.random.default_rng(number).random(len(X)) < share]
    # A copy: other learners know missing inputs by NaN, and share the rows.
    return without_gaps(np.array(X, np.float32))


@contextmanager
def _alone(cluster: Cluster) -> Iterator[None]:
    """Let no other training begin: two that wait for each other's workers never end.

    A semaphore, since its lease ends with the process that holds it.
    """
    from distributed import Semaphore

    turn = Semaphore(1, "skbatch-train-trees")
    while not turn.acquire(timeout=5):
        cluster.check()
    try:
        yield
    finally:
        turn.release()


@contextmanager
def tracker_process(cluster: Cluster) -> Iterator[str]:
    """Run a process beside the scheduler's that introduces workers to each other.

    Parameters
    ----------
    cluster : Cluster
        The workers, and the scheduler.

    Yields
    ------
    str
        Its key, for :func:`train_trees`.
    """
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
    """Ask the process where workers of a training are to meet."""

    def ask() -> str:
        tracker = _trackers[key]
        print(n_workers, host, file=tracker.stdin, flush=True)
        return tracker.stdout.readline() if tracker.stdout else ""

    told = await asyncio.get_running_loop().run_in_executor(None, ask)
    if not told:
        raise XGBoostError(f"XGBoost's tracker does not start at {host}")
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
    parts: list[Mapping[int, Any]],
    key: str,
    address: dict[str, Any],
    horizon: int,
    params: dict[str, Any],
    n_estimators: int,
    reference: np.ndarray,
) -> xgb.Booster | None:
    """Train on the rows of one worker, together with the others."""
    from distributed import get_worker

    worker = get_worker()
    params["nthread"] = worker.state.nthreads
    rows = [part[horizon].train for part in parts]
    matrix = _matrix(rows, reference, params)
    objective = None
    if params["subsample"] < 1:
        share = params.pop("subsample")
        objective = _drawn_squared_error(rows, numbers, share, params["seed"])
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


def _matrix(
    rows: Sequence[Rows], reference: np.ndarray, params: Mapping[str, Any]
) -> xgb.QuantileDMatrix:
    """Quantise the rows of one worker by the bins of all."""
    options = {name: params[name] for name in ("max_bin", "nthread")}
    bins = xgb.QuantileDMatrix(reference, **options)
    return xgb.QuantileDMatrix(_PartIterator(rows), ref=bins, **options)


class _PartIterator(xgb.DataIter):
    """Hand the rows of batches to XGBoost, one batch after the other."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        super().__init__()
        self.parts = parts
        self.place = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand over the next batch; False after the last one."""
        if self.place >= len(self.parts):
            return False
        part = self.parts[self.place]
        # A copy: other learners know missing inputs by NaN, and share the rows.
        input_data(data=without_gaps(part.X.copy()), label=part.y)
        self.place += 1
        return True

    def reset(self) -> None:
        """Begin anew: XGBoost reads everything several times."""
        self.place = 0


def _drawn_squared_error(
    parts: Sequence[Rows], numbers: Sequence[int], share: float, seed: int
) -> Callable[[np.ndarray, xgb.DMatrix], tuple[np.ndarray, np.ndarray]]:
    """Squared error of rows that are drawn anew for each tree.

    XGBoost draws by a row's place on its worker, this by its place in its batch.
    """
    y = np.concatenate([part.y for part in parts]).astype(np.float32)
    draws = [np.random.default_rng([seed, number]) for number in numbers]

    def objective(
        forecast: np.ndarray, _: xgb.DMatrix
    ) -> tuple[np.ndarray, np.ndarray]:
        drawn = [
            draw.random(len(part.y), np.float32) < share
            for draw, part in zip(draws, parts, strict=True)
        ]
        hessian = np.concatenate(drawn).astype(np.float32)
        return (forecast - y) * hessian, hessian

    return objective
