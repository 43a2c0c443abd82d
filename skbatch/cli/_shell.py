"""What all commands share: one-line errors and warnings, and progress on stderr."""

from __future__ import annotations

import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from skbatch._messages import printable
from skbatch.exceptions import CheckpointError, ConfigError, PanelError, SkbatchWarning

PIPE_WIDTH = 100
# What messages of the Python API say → what the command line says.
_NAMES = [
    (r" See (screening|provenance|events)_( for reasons)?\.", ""),
    (r", or, if these are simple returns, `\(1 \+ X\)\.cumprod\(\)`", ""),
    (r"replace it by `X\.replace.*?`", "leave the cell empty"),
    (r"use `X\.rename.*?`", "name the column Adj Close"),
    (r"use `pd\.concat.*?`.*?\.", "write their field in a row above."),
    (r" (?:with|by) `X\.[^`]*`", " in the file"),
    (r"For the first, use `read_panel.*", "Write a decimal point, and no other marks."),
    (r"`read_panel\(X, (date)='(.*?)'\)`", r"`--\1 '\2'`"),
    (r"`(field|date|ticker|value|id)=(.*?)`", r"`--\1 \2`"),
    (r"`(field|date|ticker|value|id|horizon|delay)`", r"`--\1`"),
    (r"`min_train`", "`--train`"),
    (r"`(memory|checkpoint|n)_(budget|dir|jobs)`", r"`--\1-\2`"),
    (r"`estimator` must be an instance", "MODULE:NAME must be a pipeline"),
    (r"`estimator`", "MODULE:NAME"),
    (r", or read it with pandas and pass the table", ""),
    (r"shorter `windows`", "set shorter features.windows in a settings file"),
    (r"\bmin_train=", "--train "),
    (r"`(X|X\.columns|X\.index|prices|path_or_frame)`", "PRICES"),
]
# How messages name settings that came from an option.
_OPTION = re.compile(r"(?:^|argument: )`(?:\w+\.)?(\w+)`")
# Tasks whose parts are counted → what these parts are.
_COUNTED = {"walk forward": "fits", "batches": "batches", "recover": "recover"}
# Exit code of a run that ended well, but whose check failed; 2 is for user errors.
NOT_OK = 3


class UserError(Exception):
    """An error that the user can correct; shown on one line, without a traceback."""


@dataclass
class Stages:
    """Time the stages of a run, and show the one that is under way."""

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = ""
    counted: str = ""
    max_propagation_depth: int | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        self.current = name
        self._show(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def split(self, name: str, part: str, seconds: Any) -> None:
        """List a part of a stage separately, as the system has measured it."""
        taken = float(seconds.get(("stage", part), 0.0))
        whole = self.seconds.pop(name)
        self.seconds |= {part: taken, name: max(0.0, whole - taken)}

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing; the protocol asks for it."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing; the protocol asks for it."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Start a bar for a task that counts fits or batches, or else its steps."""
        if (context.max_subtasks or 0) < 2 or self.counted:
            return
        if context.task_name in _COUNTED:
            self.counted = context.task_name
            text = f"{context.max_subtasks} {_COUNTED[context.task_name]}"
        elif context.parent is None:
            return
        else:
            text = context.estimator_name
        self._show(f"{self.current}: {text}", context.max_subtasks)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Count a batch or a step."""
        if self.counted == context.task_name:
            self.counted = ""
        over = context.parent is not None and context.parent.task_name == self.counted
        steps = not self.counted and context.task_name == "step"
        if self.progress is not None and (over or steps):
            self.progress.advance(self.progress.task_ids[0])

    def __getstate__(self) -> dict[str, Any]:
        # A worker process has no terminal of its own.
        return {**vars(self), "progress": None}

    def _show(self, text: str, total: int | None = None) -> None:
        if self.progress is not None:
            for task in self.progress.task_ids:
                self.progress.remove_task(task)
            self.progress.add_task(printable(text), total=total)


@contextmanager
def shown_to_users() -> Iterator[Stages]:
    """Show stages on a terminal, and warnings and user errors on one line each."""
    with errors_to_users(), _one_line_warnings(), _progress() as progress:
        yield Stages(progress)


@contextmanager
def errors_to_users() -> Iterator[None]:
    """Show user errors without a traceback, and exit with status 2."""
    try:
        yield
    except (UserError, PanelError, CheckpointError) as error:
        print_error(f"error: {_one_line(error)}")
        raise typer.Exit(2) from error
    except ConfigError as error:
        # One line for each problem.
        print_error(f"error: {_OPTION.sub(_option, str(error))}")
        raise typer.Exit(2) from error


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Draw a bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Show the package's warnings on one line each, and others as usual."""
    with warnings.catch_warnings():
        seen = set()

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            text = f"warning: {_one_line(message)}"
            if not issubclass(category, SkbatchWarning):
                others = warnings.formatwarning(
                    message, category, filename, lineno, line
                )
                print_error(others.rstrip("\n"))
            elif text not in seen:
                print_error(text)
                seen.add(text)

        warnings.simplefilter("always", SkbatchWarning)
        warnings.showwarning = show
        yield


def _one_line(message: object) -> str:
    """Rewrite a message on one line, in the words of the command line."""
    text = " ".join(str(message).split())
    for pattern, name in _NAMES:
        text = re.sub(pattern, name, text)
    return text


def _option(found: re.Match[str]) -> str:
    """Name the option that a setting was given by."""
    return f"`--{found[1].replace('_', '-')}`"


def file_error(error: OSError) -> str:
    """Name a file and what is wrong with it, without the number of the error."""
    return f"'{error.filename}' ({error.strerror})" if error.filename else str(error)


def unwritable(subject: str, path: Path, error: OSError) -> UserError:
    """Create the error for a file that cannot be written."""
    # The error may name the temporary file, which means nothing to the user.
    return UserError(
        f"{subject} must be writable. Got '{path}' ({error.strerror or error}). Choose "
        "another file or folder."
    )


def print_error(text: str) -> None:
    """Print to stderr, with control characters escaped."""
    print(printable(text), file=sys.stderr)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Log each batch to stderr when it ends."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _PlainConsole(Console):
    """A console on which tickers and reasons are text and nothing else."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def make_console(*, stderr: bool = False) -> Console:
    """Create the console for results, on stdout unless that has the forecasts."""
    # A pipe has no width: without a fixed one, rich would assume 80 columns.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else PIPE_WIDTH
    return _PlainConsole(
        stderr=stderr, width=width, markup=False, emoji=False, highlight=False
    )
