"""``skbatch forecast``, ``fit`` and ``demo``: prices in, expected returns out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from skbatch.cli import _options as options
from skbatch.cli._content import check_report
from skbatch.cli._job import (
    Source,
    fit_system,
    forecast_with,
    given,
    make_system,
    one_or_all,
    read_prices,
    settings_of,
)
from skbatch.cli._output import (
    check_output,
    check_place,
    check_tickers,
    is_stdout,
    write,
    write_forecasts,
)
from skbatch.cli._run_report import write_report
from skbatch.cli._shell import (
    Stages,
    UserError,
    log_to_stderr,
    make_console,
    shown_to_users,
)
from skbatch.cli._show import (
    Result,
    panel_line,
    print_json,
    print_parts,
    print_written,
    report,
    timing_table,
)

if TYPE_CHECKING:
    import pandas as pd


def demo(
    horizon: options.Horizons = None,
    holdout: options.Holdout = 252,
    json: options.Json = False,
) -> None:
    """Forecast 20 real stocks from sample prices, without a network connection."""

    def read() -> pd.DataFrame:
        from skbatch.datasets import load_sp500_prices

        return load_sp500_prices()

    with shown_to_users() as stages:
        with stages.stage("start"):
            from skbatch.batch import BatchForecastingSystem
        system = BatchForecastingSystem(one_or_all(horizon) or 5)
        panel = fit_system(read, system, stages)
        result = forecast_with(system, panel, None, stages)
        _score(result, system, holdout, stages)
    _show(result, stages, make_console(), as_json=json)


def fit(
    prices: options.Prices,
    model: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Save the fitted model to this file.",
            show_default=False,
        ),
    ],
    horizon: options.Horizons = None,
    delay: options.Delay = None,
    field: options.Field = None,
    date: options.Date = None,
    ticker: options.Ticker = None,
    value: options.Value = None,
    id: options.Id = None,
    config: options.Config = None,
    memory_budget: options.MemoryBudget = None,
    checkpoint_dir: options.CheckpointDir = None,
    n_jobs: options.Jobs = None,
    delisting_return: options.DelistingReturn = None,
    performance: options.Performance = None,
    verbose: options.Verbose = False,
) -> None:
    """Fit a model to a price file and save it to forecast later rows."""
    settings = settings_of(
        horizon, delay, memory_budget, checkpoint_dir, n_jobs, delisting_return
    )
    if verbose:
        log_to_stderr()
    with shown_to_users() as stages:
        from skbatch.cli._model import check_model, save

        check_model(model)
        if performance is not None:
            check_place("--performance", performance, prices)
        system = make_system(config, settings, stages)
        panel = fit_system(
            Source(prices, field, date, ticker, value, id).read, system, stages
        )
        with stages.stage("write"):
            save(system, model)
        if performance is not None:
            text = system.performance_.to_json()
            write(f"{text}\n".encode(), performance, "--performance")
    console = make_console()
    print_parts(console, panel_line(panel), timing_table(stages.seconds))
    print_written(console, model, performance)


def forecast(
    prices: options.Prices,
    horizon: options.Horizons = None,
    delay: options.Delay = None,
    coverage: options.Coverages = None,
    tickers: options.Tickers = None,
    output: options.Output = None,
    raw: options.Raw = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write all forecasts, with plots, to this HTML file."
        ),
    ] = None,
    json: options.Json = False,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Forecast with a model that `skbatch fit` saved; PRICES must continue "
            "the rows it was fitted on.",
        ),
    ] = None,
    field: options.Field = None,
    date: options.Date = None,
    ticker: options.Ticker = None,
    value: options.Value = None,
    id: options.Id = None,
    holdout: options.Holdout = 252,
    config: options.Config = None,
    memory_budget: options.MemoryBudget = None,
    checkpoint_dir: options.CheckpointDir = None,
    n_jobs: options.Jobs = None,
    delisting_return: options.DelistingReturn = None,
    performance: options.Performance = None,
    verbose: options.Verbose = False,
) -> None:
    """Forecast the return of every ticker in a price file."""
    settings = settings_of(
        horizon, delay, memory_budget, checkpoint_dir, n_jobs, delisting_return
    )
    if verbose:
        log_to_stderr()
    with shown_to_users() as stages:
        shares = _check_coverages(coverage)
        if output is not None:
            check_output(output, prices, as_json=json)
        if report is not None:
            check_report(report, prices)
        if performance is not None:
            check_place("--performance", performance, prices)
        source = Source(prices, field, date, ticker, value, id)
        if model is None:
            system = make_system(config, {**settings, "coverage": shares}, stages)
            panel = fit_system(source.read, system, stages)
            result = forecast_with(system, panel, None, stages)
        else:
            holdout = 0
            _refuse_settings(config=config, **settings)
            result = _forecast_by_model(model, source, shares, stages)
        if tickers:
            result.forecasts = check_tickers(tickers, result.forecasts)
        if verbose:
            result.advice = result.performance.recommendations()
        if output is not None:
            write_forecasts(result.forecasts, output, raw=raw)
        if performance is not None:
            text = result.performance.to_json()
            write(f"{text}\n".encode(), performance, "--performance")
        if holdout:
            _score(result, system, holdout, stages)
        if report is not None:
            write_report(result, report)
    console = make_console(stderr=is_stdout(output))
    _show(result, stages, console, as_json=json)
    if not json:
        print_written(console, output, performance, report)


def _check_coverages(coverage: list[float] | None) -> Any:
    """Raise unless each is a share, given once."""
    shares = coverage or []
    for share in shares:
        if not 0 < share < 1 or shares.count(share) > 1:
            raise UserError(
                "`--coverage` must be between 0 and 1, and each value given once. Got "
                f"{', '.join(map(str, shares))}. For 90%, pass --coverage 0.9."
            )
    return one_or_all(shares)


def _refuse_settings(**settings: Any) -> None:
    """Raise if a setting was given that the model already has from its fit."""
    found: dict[str, Any] = {}
    for key, value in given(**settings).items():
        found |= value if isinstance(value, dict) else {key: value}
    for name, value in found.items():
        option = f"--{name.replace('_', '-')}"
        raise UserError(
            f"`{option}` must be left out with --model, whose settings are those of "
            f"its fit. Got {value}. Pass {option} to `skbatch fit`."
        )


def _forecast_by_model(
    model: Path, source: Source, coverage: Any, stages: Stages
) -> Result:
    """Forecast from the last row of a file with a model that was fitted before."""
    from skbatch.cli._model import load, refuse_gaps, rows_after

    with stages.stage("start"):
        system = load(model)
        if coverage is not None:
            system.set_params(coverage=coverage)
    panel = read_prices(source.read, stages)
    with refuse_gaps():
        return forecast_with(system, panel, rows_after(system, panel), stages)


def _score(result: Result, system: Any, holdout: int, stages: Stages) -> None:
    """Score a second fit, once the forecasts are safe."""
    if holdout:
        with stages.stage("hold-out"):
            from skbatch.cli._holdout import describe, score

            result.scores = score(result.panel, system, holdout)
            result.scores_text = describe(result.scores)


def _show(result: Result, stages: Stages, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(result, stages.seconds)
    else:
        report(result, stages.seconds, console)
