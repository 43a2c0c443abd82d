"""A Dask cluster whose work is waited for only as long as somebody can do it."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from skbatch._messages import describe_error
from skbatch.exceptions import ClusterError, ConfigError

# Seconds until a cluster must have a worker when a fit begins, and must have noticed
# that one is gone.
PATIENCE = 5.0
# Seconds without any worker after which a fit gives up. Nodes that are replaced need
# a minute or two.
NO_WORKERS = 120.0
# How often a task that lost a worker is started.
ATTEMPTS = 3
# Seconds between two checks of the workers.
POLL = 0.5

T = TypeVar("T")


class WorkerLostError(RuntimeError):
    """A worker without which something cannot be done is gone."""


def find_client() -> Any:
    """Return the client of the Dask cluster in use."""
    try:
        import distributed
        import xgboost.dask  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"engine='dask' must have Dask installed. Got {error}. Install it with "
            "`pip install 'skbatch[dask]'`."
        ) from error
    try:
        client = distributed.default_client()
    except ValueError as error:
        raise ConfigError(
            "engine='dask' must have a Dask client. Got none. Start one first, as in "
            "`client = distributed.Client(n_workers=2)`, or pass engine='local'."
        ) from error
    try:
        # An adaptive cluster starts with no workers.
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


class Cluster:
    """Hands work to a cluster, and waits for it as long as there are workers."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Submit a task that is not shared with other runs."""
        with _large_graphs():
            return self.client.submit(function, *args, pure=False, **options)

    def hold(self, value: Any, *, everywhere: bool = False) -> Any:
        """Send a value once; each worker that needs it fetches one copy."""
        future = self.submit(_identity, value)
        if everywhere:
            self.all_of([future])
            self._wait_for(lambda: self.client.replicate([future], asynchronous=True))
        return future

    def again(self, run: Callable[[], T], futures: Sequence[Any]) -> T:
        """Run something, and again with the workers that are left if one is lost."""
        for _ in range(ATTEMPTS):
            workers = self.workers()
            try:
                return run()
            except Exception as error:
                if not _may_be_loss(error):
                    raise
                self.check()
                # The same workers would fail in the same way again.
                if not self.lost(workers):
                    raise
                lost = describe_error(error)
                self.client.retry([f for f in futures if f.status == "error"])
        raise ClusterError(
            "Workers must stay alive until a model is trained. Got "
            f"{ATTEMPTS} trainings that lost a worker, the last: {lost}. Check the "
            "logs of the workers: if they ran out of memory, start more or "
            "larger ones."
        )

    def gather(
        self, futures: Sequence[Any], needed: frozenset[str] | set[str] = frozenset()
    ) -> list[Any]:
        """Return the results of futures."""

        async def gathered() -> list[Any]:
            # Dask's own wait fills the log when it is abandoned.
            while not _settled(futures):
                await asyncio.sleep(POLL / 10)
            return await self.client.gather(list(futures), asynchronous=True)

        return self._wait_for(gathered, needed)

    def all_of(self, futures: Sequence[Any]) -> None:
        """Wait for all of the futures, whether they succeed or fail."""
        from distributed import wait

        self._wait_for(lambda: wait(futures))

    def first_of(self, futures: Sequence[Any]) -> set[Any]:
        """Wait for at least one of the futures, whether it succeeds or fails."""
        from distributed import wait

        waited = self._wait_for(lambda: wait(futures, return_when="FIRST_COMPLETED"))
        return waited.done

    def check(self) -> None:
        """Raise an error if there is no worker, and none comes."""
        self._wait_for(self._any_worker)

    def lost(self, workers: set[str]) -> set[str]:
        """Return which of the workers are gone, once the cluster knows."""
        deadline = time.monotonic() + PATIENCE
        while True:
            known = self.client.sync(self._workers)
            gone = workers - (workers if known is None else known)
            if gone or time.monotonic() > deadline:
                return gone
            time.sleep(0.1)

    def workers(self) -> set[str]:
        """Return the addresses of the workers; none without an answering scheduler."""
        return self.client.sync(self._workers) or set()

    def ask_workers(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """Ask the workers between their tasks; some may not answer."""
        try:
            return self.client.run(function, *args, on_error="ignore")
        except (OSError, CancelledError):
            return {}

    def try_on_scheduler(self, function: Callable[..., Any], *args: Any) -> None:
        """Run something in the scheduler's process, if there still is one."""
        with suppress(OSError, CancelledError):
            self.client.run_on_scheduler(function, *args)

    def cancel(self, futures: list[Any]) -> None:
        """Cancel unfinished tasks, if the scheduler can still be reached."""
        with suppress(OSError, CancelledError):
            self.client.cancel(futures)

    def restart(self, workers: list[str]) -> None:
        """Restart workers that hang."""
        try:
            self.client.restart_workers(workers, timeout=60, raise_for_error=False)
        except ValueError as error:
            raise ClusterError(
                "The cluster must be able to restart workers that hang. Got "
                f"{', '.join(workers)}, stuck in a training that has lost a worker, "
                f"and {error}. Restart them yourself, or start workers with a nanny."
            ) from error

    def _wait_for(
        self,
        start: Callable[[], Awaitable[Any]],
        needed: frozenset[str] | set[str] = frozenset(),
    ) -> Any:
        """Wait in the client's loop, and look after the workers meanwhile."""
        return self.client.sync(self._watched, start, needed)

    async def _watched(
        self, start: Callable[[], Awaitable[Any]], needed: frozenset[str] | set[str]
    ) -> Any:
        """Wait for something that only workers can do."""
        waiting = asyncio.ensure_future(start())
        seen = time.monotonic()
        try:
            while not (await asyncio.wait({waiting}, timeout=POLL))[0]:
                known = await self._workers()
                if known and not needed <= known:
                    gone = ", ".join(sorted(needed - known))
                    raise WorkerLostError(f"{gone} went away")
                if known:
                    seen = time.monotonic()
                elif time.monotonic() - seen > NO_WORKERS:
                    raise _no_workers()
            return waiting.result()
        except (CancelledError, asyncio.CancelledError, OSError) as error:
            # When a scheduler is lost, a new one does not know what it knew.
            if await self._workers():
                raise
            raise _no_workers() from error
        finally:
            waiting.cancel()

    async def _any_worker(self) -> None:
        while not await self._workers():
            await asyncio.sleep(POLL)

    async def _workers(self) -> set[str] | None:
        """Ask the scheduler for its workers; None if it does not answer."""
        try:
            return set(await asyncio.wait_for(self.client.scheduler.ncores(), PATIENCE))
        except (OSError, AttributeError):
            # A client that is closed has no scheduler at all.
            return None


def _may_be_loss(error: Exception) -> bool:
    """Whether an error is one that a lost worker can show as."""
    from distributed import KilledWorker

    return isinstance(error, WorkerLostError | KilledWorker | CancelledError | OSError)


def _settled(futures: Sequence[Any]) -> bool:
    """Return whether all futures are done, or one of them has failed."""
    states = {future.status for future in futures}
    return "pending" not in states or bool(states & {"error", "canceled", "lost"})


def _no_workers() -> ClusterError:
    return ClusterError(
        "engine='dask' must have a cluster with workers until `fit` ends. Got no "
        f"worker for {NO_WORKERS:.0f} s, or no answer from the scheduler. Check the "
        "logs of the workers, restart the cluster, and call `fit` again; with a "
        "`checkpoint_dir` it resumes where it stopped."
    )


@contextmanager
def _large_graphs() -> Iterator[None]:
    """Send panels in the graph without Dask's warning that they are large."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        yield


def _identity(value: Any) -> Any:
    return value
