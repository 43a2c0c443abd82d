"""The command line: prices in, a table of expected returns out.

Only typer and rich are imported at the top; pandas and the models are imported by the
commands, so that ``skbatch --help`` answers at once.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from skbatch import __version__
from skbatch.exceptions import PanelError, SkbatchWarning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["app"]

PIPE_WIDTH = 100
# A longer table is cut to the highest and the lowest forecasts.
MAX_ROWS, CUT_ROWS = 30, 10
# Scoring a second fit takes this many times the held-out rows to train it on.
MIN_TRAINING = 2
READ_ERRORS = (OSError, ValueError, ImportError)

app = typer.Typer(
    help="Forecast the returns of a whole portfolio at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Horizon = Annotated[
    int, typer.Option(min=1, help="Rows to look ahead; 5 is a week of trading days.")
]
Holdout = Annotated[
    int,
    typer.Option(
        min=0,
        help="Score a second fit on this many last rows, which it has not seen. "
        "0 skips it and saves its time.",
    ),
]


class UserError(Exception):
    """What the user can mend; shown as one line, without a traceback."""


@dataclass
class Stages:
    """Time the stages of a run, and show the one that is under way.

    As a callback of scikit-learn's protocol it also shows the steps of a fit.
    scikit-learn's own ``ProgressBar`` draws a line per nested task, named by classes
    and numbers, on stdout, and leaves them there. Whoever waits for a table wants one
    line of plain words that is gone when the table comes.
    """

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = ""
    max_propagation_depth: int | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        self.current = name
        self._show(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing; the protocol asks for it."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing; the protocol asks for it."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Start a bar for a task that counts its steps."""
        if context.parent is not None and (context.max_subtasks or 0) > 1:
            text = f"{self.current}: {context.estimator_name}"
            self._show(text, context.max_subtasks)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Count a step."""
        if self.progress is not None and context.task_name == "step":
            self.progress.advance(self.progress.task_ids[0])

    def _show(self, text: str, total: int | None = None) -> None:
        if self.progress is not None:
            for task in self.progress.task_ids:
                self.progress.remove_task(task)
            self.progress.add_task(text, total=total)


@dataclass
class Result:
    """What a run found."""

    panel: pd.DataFrame
    forecasts: pd.DataFrame
    scores: str


@app.callback(invoke_without_command=True)
def skbatch(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.")
    ] = False,
) -> None:
    """Forecast the returns of a whole portfolio at once."""
    if version:
        print(f"skbatch {__version__}")
        raise typer.Exit


@app.command()
def demo(horizon: Horizon = 5, holdout: Holdout = 252) -> None:
    """Forecast 20 real stocks from prices that need no network."""

    def read() -> pd.DataFrame:
        from skbatch.datasets import load_sp500_prices

        return load_sp500_prices()

    with _shown_to_users() as stages:
        result = _run(read, horizon, holdout, stages)
    _report(result, stages.seconds)


@app.command()
def forecast(
    prices: Annotated[
        Path,
        typer.Argument(
            metavar="PRICES",
            help="CSV or Parquet file: wide (a column per ticker), long (a row per "
            "date and ticker), or as yfinance writes it.",
            show_default=False,
        ),
    ],
    horizon: Horizon = 5,
    output: Annotated[
        Path | None, typer.Option(help="CSV file for the forecasts.")
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="Use this field only, such as Close.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="Column of the dates.")] = None,
    ticker: Annotated[
        str | None,
        typer.Option(help="Column of the tickers; for a file of one ticker, its name."),
    ] = None,
    value: Annotated[
        str | None, typer.Option(help="Column of the prices in a long file.")
    ] = None,
    holdout: Holdout = 252,
) -> None:
    """Forecast the tickers of a file of prices."""

    def read() -> pd.DataFrame:
        from skbatch.panel import read_panel

        return read_panel(prices, field=field, date=date, ticker=ticker, value=value)

    with _shown_to_users() as stages:
        if output is not None:
            _check_output(output, prices)
        result = _run(read, horizon, holdout, stages)
        if output is not None:
            _write(result.forecasts, output)
    _report(result, stages.seconds)
    if output is not None:
        print(f"Written to {output}")


@contextmanager
def _shown_to_users() -> Iterator[Stages]:
    """Show stages on a terminal, warnings and errors of the user's data in a line."""
    try:
        with _one_line_warnings(), _progress() as progress:
            yield Stages(progress)
    except (UserError, PanelError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        raise typer.Exit(2) from error


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Draw a bar on stderr, as long as someone is there to see it."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Show the package's warnings as one line each, and others as ever."""
    with warnings.catch_warnings():
        seen = set()
        show_others = warnings.showwarning

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
                show_others(message, category, filename, lineno, file, line)
            elif text not in seen:
                print(text, file=sys.stderr)
                seen.add(text)

        warnings.simplefilter("always", SkbatchWarning)
        warnings.showwarning = show
        yield


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _check_output(output: Path, prices: Path) -> None:
    """Raise before the work is done if its result cannot be written."""
    if output.suffix.lower() != ".csv":
        raise UserError(
            f"`--output` must end in .csv. Got '{output}'. Choose another name."
        )
    if not output.parent.is_dir():
        raise UserError(
            "`--output` must be in an existing folder. Got "
            f"'{output.parent}'. Make it first."
        )
    if output.exists() and prices.exists() and output.samefile(prices):
        raise UserError(
            "`--output` must not be the file of prices. "
            f"Got '{output}' for both. Choose another name."
        )


def _write(forecasts: pd.DataFrame, output: Path) -> None:
    try:
        forecasts.to_csv(output, index=False)
    except OSError as error:
        raise UserError(f"`--output` must be writable. Got {error}.") from error


def _run(
    read: Callable[[], pd.DataFrame], horizon: int, holdout: int, stages: Stages
) -> Result:
    """Go from prices to the forecasts of the last date, and score a second fit."""
    with stages.stage("start"):
        import skbatch.forecasting
        import skbatch.metrics  # noqa: F401
        from skbatch.feature_extraction import SharedFeatureExtractor
        from skbatch.panel import forward_returns
    try:
        with stages.stage("read"):
            panel = read()
            labels = forward_returns(panel, horizon)
    except READ_ERRORS as error:
        raise UserError(str(error)) from error
    with stages.stage("features"):
        features = SharedFeatureExtractor().fit_transform(panel)
    with stages.stage("fit"):
        model = _forecaster(stages).fit(features, labels)
    with stages.stage("forecast"):
        forecasts = _tabulate(model, features.iloc[[-1]])
    scores = ""
    if holdout:
        with stages.stage("hold-out"):
            scores = _score(features, labels, horizon, holdout, stages)
    return Result(panel, forecasts, scores)


def _forecaster(stages: Stages) -> Any:
    from skbatch.forecasting import (
        BatchLinearForecaster,
        BatchXGBoostForecaster,
        FallbackForecaster,
    )

    model = FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
    return model.set_callbacks(stages)


def _tabulate(model: Any, features: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the forecasts of one date, in the order of the panel."""
    import pandas as pd

    forecasts = model.predict(features).iloc[0]
    return pd.DataFrame(
        {
            "ticker": forecasts.index,
            "date": features.index[-1],
            "horizon": model.horizon_,
            "expected_return": forecasts.to_numpy(),
            "model": model.provenance_["model"].to_numpy(),
            "reason": model.provenance_["reason"].to_numpy(),
        }
    )


def _score(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    horizon: int,
    holdout: int,
    stages: Stages,
) -> str:
    """Score a second fit on the last rows, which it has not seen, and say it."""
    from skbatch.forecasting import HistoricalMeanForecaster
    from skbatch.metrics import out_of_sample_r2, rank_information_coefficient_series

    n_known = int(labels.iloc[: -holdout - horizon].notna().any(axis=1).sum())
    if holdout <= horizon or n_known < MIN_TRAINING * holdout:
        return (
            f"Not scored: {holdout} held-out rows must be more than the horizon, and "
            f"need {MIN_TRAINING} times as many rows to train on. There are {n_known}."
        )
    with warnings.catch_warnings():
        # The first fit has told what is wrong with the panel.
        warnings.simplefilter("ignore", SkbatchWarning)
        model = _forecaster(stages)
        model.fit(features.iloc[:-holdout], labels.iloc[:-holdout])
        mean = HistoricalMeanForecaster()
        mean.fit(features.iloc[:-holdout], labels.iloc[:-holdout])
    actual = labels.iloc[-holdout:]
    forecasts = model.predict(features.iloc[-holdout:])
    r2 = out_of_sample_r2(actual, forecasts)
    drift = out_of_sample_r2(actual, mean.predict(features.iloc[-holdout:]))
    scores = [
        f"an R² of {100 * r2:+.2f} % against forecasting zero (each ticker's "
        f"historical mean: {100 * drift:+.2f} %)"
    ]
    ranks = rank_information_coefficient_series(actual, forecasts).dropna()
    if len(ranks) > horizon:
        # Labels overlap: only every horizon-th date brings something new.
        error = ranks.std() / (len(ranks) / horizon) ** 0.5
        scores.insert(
            0, f"a rank IC of {ranks.mean():+.3f} (standard error {error:.3f})"
        )
    return (
        f"Held out: a second fit without the last {holdout} rows, scored on them, has "
        f"{' and '.join(scores)}. Returns are mostly noise: a rank IC within two "
        "standard errors of 0 is what chance gives, an R² below 0 is worse than "
        "forecasting nothing, and one that the mean reaches is the market's drift."
    )


def _report(result: Result, seconds: dict[str, float]) -> None:
    """Print forecasts, timings and facts."""
    from skbatch.panel import panel_fields, panel_tickers

    # A pipe has no width of its own: without one, lines would break anywhere.
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    forecasts, panel = result.forecasts, result.panel
    first, last = (_date_text(date) for date in panel.index[[0, -1]])
    n_rows = forecasts["horizon"][0]
    parts = [
        f"Expected returns from {last} over the next {n_rows} rows",
        _forecast_table(forecasts),
        f"{len(panel_tickers(panel))} tickers, {len(panel)} rows from {first} to "
        f"{last}, fields: {', '.join(panel_fields(panel))}",
        _timing_table(seconds),
        result.scores,
    ]
    for part in filter(None, parts):
        console.print(part)
        console.line()


def _date_text(date: Any) -> str:
    """Write a date without the time if it has none."""
    return str(date).removesuffix(" 00:00:00")


def _forecast_table(forecasts: pd.DataFrame) -> Table:
    """Lay out forecasts from the highest to the lowest, then those without one."""
    known = forecasts.dropna(subset="expected_return")
    known = known.sort_values("expected_return", ascending=False, kind="stable")
    unknown = forecasts[forecasts["expected_return"].isna()]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("ticker", no_wrap=True)
    table.add_column("expected return", justify="right", no_wrap=True)
    table.add_column("model", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for part in (known, unknown):
        cut = len(forecasts) > MAX_ROWS and len(part) > 2 * CUT_ROWS
        for number, row in enumerate(part.to_dict("records")):
            if not cut or number < CUT_ROWS or number >= len(part) - CUT_ROWS:
                value = row["expected_return"]
                percent = f"{100 * value:+.3f} %" if part is known else "NaN"
                reason = row["reason"] or "primary model"
                table.add_row(row["ticker"], percent, row["model"], reason)
            elif number == CUT_ROWS:
                table.add_row(f"... {len(part) - 2 * CUT_ROWS} more")
    return table


def _timing_table(seconds: dict[str, float]) -> Table:
    """Lay out how long each stage took."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, duration in {**seconds, "total": sum(seconds.values())}.items():
        table.add_row(stage, f"{duration:.2f}")
    return table
