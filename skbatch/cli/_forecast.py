"""``skbatch forecast`` and ``skbatch demo``: prices in, expected returns out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skbatch.cli._output import check_output, is_stdout, to_csv, write
from skbatch.cli._shell import (
    Stages,
    UserError,
    log_to_stderr,
    make_console,
    shown_to_users,
)
from skbatch.cli._show import Result, report

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["demo", "forecast"]

READ_ERRORS = (OSError, ValueError, ImportError)

Horizons = Annotated[
    list[int] | None,
    typer.Option(
        "--horizon",
        min=1,
        help="Rows to look ahead; 5 is a week of trading days. "
        "Several: --horizon 5 --horizon 21.",
        show_default="5",
    ),
]
Holdout = Annotated[
    int,
    typer.Option(
        min=0,
        help="Score a second fit on this many last rows, which it has not seen. "
        "0 skips it and saves its time.",
    ),
]


def demo(horizon: Horizons = None, holdout: Holdout = 252) -> None:
    """Forecast 20 real stocks from prices that need no network."""

    def read() -> pd.DataFrame:
        from skbatch.datasets import load_sp500_prices

        return load_sp500_prices()

    with shown_to_users() as stages:
        with stages.stage("start"):
            from skbatch.batch import BatchForecastingSystem
        system = BatchForecastingSystem(_one_or_all(horizon) or 5)
        result = _run(read, system, stages)
        result.scores = _score(result.panel, system, holdout, stages)
    report(result, stages.seconds, make_console())


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
    horizon: Horizons = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="CSV file for the forecasts; - writes them to stdout, "
            "and everything else to stderr."
        ),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Write tickers to the CSV file as they are, also those that a "
            "spreadsheet would run as formulas.",
        ),
    ] = False,
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
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings; see `skbatch config init`."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings for speed or accuracy.")
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option(help="Keep the memory below this, such as 4GiB, or 0.5 of it."),
    ] = None,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(help="Folder in which a killed run finds what it had finished."),
    ] = None,
    n_jobs: Annotated[
        int | None, typer.Option(help="Batches to fit at the same time.")
    ] = None,
    performance: Annotated[
        Path | None, typer.Option(help="JSON file for time and memory.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell about each batch on stderr.")
    ] = False,
) -> None:
    """Forecast the tickers of a file of prices."""

    def read() -> pd.DataFrame:
        from skbatch.panel import read_panel

        return read_panel(prices, field=field, date=date, ticker=ticker, value=value)

    options = {
        "horizon": _one_or_all(horizon),
        "preset": preset,
        "batch": _given(memory_budget=memory_budget, checkpoint_dir=checkpoint_dir),
        "performance": _given(n_jobs=n_jobs),
    }
    if verbose:
        log_to_stderr()
    with shown_to_users() as stages:
        if output is not None:
            check_output(output, prices)
        system = _make_system(config, options, stages)
        result = _run(read, system, stages)
        if verbose:
            result.advice = result.performance.recommendations()
        if output is not None:
            write(to_csv(result.forecasts, raw=raw), output, "--output")
        if performance is not None:
            write(result.performance.to_json() + "\n", performance, "--performance")
        result.scores = _score(result.panel, system, holdout, stages)
    console = make_console(stderr=is_stdout(output))
    report(result, stages.seconds, console)
    for path in (output, performance):
        if path is not None and not is_stdout(path):
            console.print(f"Written to {path}", soft_wrap=True)


def _one_or_all(horizons: list[int] | None) -> int | list[int] | None:
    return horizons[0] if horizons and len(horizons) == 1 else horizons or None


def _given(**options: Any) -> dict[str, Any]:
    """Take the options that were given; numbers and paths as settings have them."""
    given = {name: value for name, value in options.items() if value not in (None, {})}
    budget = given.get("memory_budget", "")
    if budget.replace(".", "", 1).isdigit():
        number = float(budget)
        given["memory_budget"] = number if number <= 1 else int(number)
    if "checkpoint_dir" in given:
        given["checkpoint_dir"] = str(given["checkpoint_dir"])
    return given


def _make_system(config: Path | None, options: dict[str, Any], stages: Stages) -> Any:
    """Make the system of a file of settings, the environment and the options."""
    with stages.stage("start"):
        from skbatch.config import BatchForecastingConfig

        try:
            settings = BatchForecastingConfig.from_file(config, **_given(**options))
        except OSError as error:
            raise UserError(f"`--config` must be readable. Got {error}.") from error
        return settings.to_system()


def _run(read: Callable[[], pd.DataFrame], system: Any, stages: Stages) -> Result:
    """Go from prices to the forecasts of the last date."""
    try:
        with stages.stage("read"):
            from skbatch.panel import forward_returns

            panel = read()
            forward_returns(panel, system.horizon)  # raises if there are none
    except READ_ERRORS as error:
        raise UserError(str(error)) from error
    with stages.stage("fit"):
        system.set_callbacks(stages).fit(panel)
    stages.split("fit", "features", system.performance_.report()["seconds"])
    with stages.stage("forecast"):
        result = system.forecast()
    return Result(panel, _tabulate(result), "", result.performance, [])


def _score(panel: pd.DataFrame, system: Any, holdout: int, stages: Stages) -> str:
    """Score a second fit, once the forecasts are safe."""
    if not holdout:
        return ""
    with stages.stage("hold-out"):
        from skbatch.cli._holdout import score

        return score(panel, system, holdout)


def _tabulate(result: Any) -> pd.DataFrame:
    """Tabulate forecasts in the order of the panel, horizon by horizon."""
    table = result.to_frame().reset_index()
    if "horizon" not in table:
        table["horizon"] = result.horizon
    table["date"] = result.date
    names = ["ticker", "date", "horizon", "expected_return", "model", "batch", "reason"]
    return table[names]
