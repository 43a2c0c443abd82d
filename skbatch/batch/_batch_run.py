"""Running batches: here, or in joblib's workers, until every ticker is settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from joblib import cpu_count, effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from skbatch._messages import describe_error
from skbatch._progress import Progress, announced
from skbatch.batch._batch_task import (
    NO_FORECAST,
    NO_USAGE,
    SIMPLER,
    Event,
    Member,
    Outcome,
    Task,
    labels_of,
    run_task,
)
from skbatch.batch._checkpoint import Checkpoint
from skbatch.batch._errors import NO_LABELS, BatchErrorHandler
from skbatch.batch._manager import Batch
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.batch._panel_features import split_features
from skbatch.exceptions import CheckpointError
from skbatch.forecasting.engine import (
    FeatureBlocks,
    FeatureStream,
    Reason,
    fitted_provenance,
)

# Backends of this machine, where one task can have all cores.
_LOCAL = (
    "LokyBackend",
    "MultiprocessingBackend",
    "SequentialBackend",
    "ThreadingBackend",
)


@dataclass
class BatchRun:
    """One fit of all batches."""

    features: FeatureStream
    labels: pd.DataFrame
    forecaster: Any
    handler: BatchErrorHandler
    monitor: BatchPerformanceMonitor
    checkpoint: Checkpoint | None
    n_jobs: int | None
    progress: Progress
    engine: Any = None
    members: list[Member] = field(default_factory=list)
    reasons: dict[str, list[Reason]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def run(self, batches: Sequence[Batch]) -> BatchRun:
        """Fit all batches, and what is left of those that fail."""
        queue = [Task(batch) for batch in batches]
        done: list[tuple[int, int, Member]] = []
        while queue:
            following: dict[int, list[Task]] = {}
            for place, outcome in self._outcomes(queue):
                task = queue[place]
                tasks, events = self.handler.next_tasks(task, outcome)
                following[place] = tasks
                self._note(task, outcome, events)
                done += [(task.batch.number, len(done), m) for m in outcome.members]
            # In the order of the tasks, whichever finished first.
            queue = [t for place in sorted(following) for t in following[place]]
        self.members = [m for _, _, m in sorted(done, key=lambda entry: entry[:2])]
        return self

    def _outcomes(self, tasks: list[Task]) -> Iterator[tuple[int, Outcome]]:
        """Run tasks, and give the place and outcome of each as it finishes."""
        waiting: dict[int, Task] = {}
        for place, task in enumerate(tasks):
            outcome = self.checkpoint.load(task) if self.checkpoint else None
            if outcome is None:
                waiting[place] = task
            else:
                outcome.usage = NO_USAGE
                yield place, outcome
        if not waiting:
            return
        with self.progress.round(
            "recover" if self.events else "batches", len(waiting)
        ) as context:
            yield from self._run_waiting(waiting, context)

    def _run_waiting(
        self, waiting: dict[int, Task], context: Any
    ) -> Iterator[tuple[int, Outcome]]:
        """Run tasks together, and those that may take their process along alone."""
        together = {p: t for p, t in waiting.items() if not t.isolated}
        alone = [{p: t} for p, t in waiting.items() if t.isolated]
        for group in [together, *alone]:
            isolated = group is not together
            for place, outcome in self._dispatch(group, context, isolated=isolated):
                self._save(group[place], outcome)
                yield place, outcome

    def _dispatch(
        self, tasks: dict[int, Task], context: Any, *, isolated: bool
    ) -> Iterator[tuple[int, Outcome]]:
        """Pass tasks to joblib; those that die with a worker are returned as such."""
        left = dict(tasks)
        if not left:
            return
        if self.engine is not None and not isolated:
            yield from self.engine.outcomes(
                tasks, self.features, self.labels, self.forecaster, self.handler
            )
            return
        try:
            with self._workers(len(tasks), isolated) as workers:
                for place, outcome in workers(self._calls(tasks, context)):
                    del left[place]
                    yield place, outcome
        except (BrokenProcessPool, MemoryError) as error:
            stopped = Outcome(stopped="died", error=describe_error(error))
            yield from ((place, stopped) for place in left)

    @contextmanager
    def _workers(self, n_tasks: int, isolated: bool) -> Iterator[Parallel]:
        """Start as many workers as there are tasks for, within the cores."""
        options: dict[str, Any] = {"n_jobs": self.n_jobs}
        if isolated:
            # With one job, joblib would run the task in this very process.
            options = {"n_jobs": 2, "backend": "loky"}
        elif n_tasks == 1 and get_active_backend()[0].__class__.__name__ in _LOCAL:
            # A single task had better use all cores itself.
            options = {"n_jobs": 1}
        n_workers = effective_n_jobs(options["n_jobs"])
        with ExitStack() as stack:
            if n_workers > 1:
                # Worker processes are limited by joblib, threads are not.
                limit = max(1, cpu_count() // n_workers)
                stack.enter_context(threadpool_limits(limit))
            backend = get_active_backend()[0]
            lazily = getattr(backend, "supports_return_generator", True)
            yield Parallel(
                **options,
                return_as="generator_unordered" if lazily or isolated else "list",
                pre_dispatch="n_jobs",
                batch_size=1,
            )

    def _calls(self, tasks: dict[int, Task], context: Any) -> Iterator[Any]:
        """Prepare each task when a worker is free for it."""
        parts = self._features(list(tasks.values()))
        for place, task in tasks.items():
            features = next(parts)
            model = clone(self.forecaster)
            own_context = context.subcontext(task_name=task.batch.name)
            if isinstance(features, MemoryError):
                yield delayed(_out_of_memory)(place, features)
                continue
            labels = labels_of(self.labels, task.batch.tickers)
            yield delayed(_fit_task)(
                place,
                task,
                features,
                labels,
                model,
                self.handler,
                self.progress.estimator,
                own_context,
            )
            del features, labels

    def _features(self, tasks: list[Task]) -> Iterator[FeatureBlocks | MemoryError]:
        """Return the features of each task; where memory is short, the error."""
        batches = [task.batch.tickers for task in tasks]
        if self.events:
            # What is left of batches that failed is computed again, and on its own.
            for batch in batches:
                yield next(split_features(self.features.select(batch), [batch]))
            return
        try:
            yield from split_features(self.features, batches)
        except MemoryError as error:
            yield from [error] * len(batches)

    def _save(self, task: Task, outcome: Outcome) -> None:
        """Keep the outcome of a finished task; a full disk does not stop the run."""
        if self.checkpoint is None or outcome.stopped or self.checkpoint.failed:
            return
        try:
            self.checkpoint.save(task, outcome)
        except (OSError, CheckpointError) as error:
            self.events.append(self.checkpoint.give_up(task.batch.name, error))

    def _note(self, task: Task, outcome: Outcome, events: list[Event]) -> None:
        """Record what happened, also in the monitor."""
        self.events += events
        failed = dict(outcome.offenders)
        if outcome.stopped and events and events[0].step in (SIMPLER, NO_FORECAST):
            failed = dict.fromkeys(task.batch.tickers, outcome.error)
        for ticker, error in failed.items():
            reason = Reason("fit_failed", task.rung, (("error", error),))
            if error == NO_LABELS:
                reason = Reason("no_labels")
            self.reasons.setdefault(ticker, []).append(reason)
        self.monitor.record_batch(
            task.batch.name
            if task.rung == "model"
            else f"{task.batch.name}, {task.rung}",
            len(task.batch.tickers),
            len(self.labels),
            outcome.usage,
            n_fallback=sum(map(_count_fallback, outcome.members)),
            n_failed=len(failed) if any(e.step == NO_FORECAST for e in events) else 0,
            events=[f"{event.step}: {event.error}" for event in events],
        )


def _count_fallback(member: Member) -> int:
    """Count the tickers that another model than the first choice serves."""
    if member.rung != "model":
        return len(member.tickers)
    provenance = fitted_provenance(member.forecaster)
    if provenance is None:
        return 0
    others = provenance.index[provenance["reason"] != ""]
    return int(others.get_level_values(-1).nunique())


def _fit_task(
    place: int,
    task: Task,
    features: FeatureBlocks,
    labels: pd.DataFrame,
    model: Any,
    handler: BatchErrorHandler,
    estimator: Any,
    context: Any,
) -> tuple[int, Outcome]:
    """Fit one task, in whichever process joblib chose."""
    task_context = announced(estimator, context, model)
    return place, run_task(task, features, labels, model, handler, task_context)


def _out_of_memory(place: int, error: MemoryError) -> tuple[int, Outcome]:
    """Return the outcome of a task whose features do not fit into memory."""
    return place, Outcome(stopped="memory", error=describe_error(error))
