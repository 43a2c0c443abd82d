"""Progress of a fit, reported through scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self


@contextmanager
def announced(estimator: Any, context: Any, child: Any = None) -> Iterator[None]:
    """Announce a task, and hand the callbacks to the estimator that is fitted in it."""
    with ExitStack() as stack:
        if child is not None:
            # First, so that a task that the child announces itself begins only once.
            stack.enter_context(context.propagate_callback_context(child))
        context.call_on_fit_task_begin(estimator=estimator)
        try:
            yield
        finally:
            context.call_on_fit_task_end(estimator=estimator)


class Progress:
    """Report the tasks of one fit, and the steps of each task."""

    def __init__(self, estimator: Any, n_tasks: int | None) -> None:
        self.estimator = estimator
        self.context = estimator._init_callback_context(max_subtasks=n_tasks)

    def __enter__(self) -> Self:
        self.context.call_on_fit_task_begin(estimator=self.estimator)
        return self

    def __exit__(self, *error: object) -> None:
        self.context.call_on_fit_task_end(estimator=self.estimator)

    @contextmanager
    def task(self, name: str, n_steps: int = 0) -> Iterator[Callable[[], None]]:
        """Announce a task; the function that is given counts one finished step."""
        context = self.context.subcontext(task_name=name, max_subtasks=n_steps)

        def step() -> None:
            if n_steps:
                with announced(self.estimator, context.subcontext(task_name="step")):
                    pass

        with announced(self.estimator, context):
            yield step

    @contextmanager
    def round(self, name: str, n_tasks: int) -> Iterator[Any]:
        """Announce a task made of others, and give its context for them."""
        context = self.context.subcontext(
            task_name=name, max_subtasks=n_tasks, sequential_subtasks=True
        )
        with announced(self.estimator, context):
            yield context

    @contextmanager
    def estimator_task(self, name: str, child: Any) -> Iterator[None]:
        """Announce the fit of a child estimator and hand the callbacks to it."""
        with announced(self.estimator, self.context.subcontext(task_name=name), child):
            yield
