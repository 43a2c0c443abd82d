"""``skbatch forecast`` and ``skbatch demo``: prices in, expected returns out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from skbatch.cli._shell import Stages, UserError, shown_to_users
from skbatch.cli._show import Result, report
from skbatch.exceptions import SkbatchWarning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["demo", "forecast"]

# Scoring a second fit takes this many times the held-out rows to train it on.
MIN_TRAINING = 2
READ_ERRORS = (OSError, ValueError, ImportError)

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


def demo(horizon: Horizon = 5, holdout: Holdout = 252) -> None:
    """Forecast 20 real stocks from prices that need no network."""

    def read() -> pd.DataFrame:
        from skbatch.datasets import load_sp500_prices

        return load_sp500_prices()

    with shown_to_users() as stages:
        with stages.stage("start"):
            from skbatch.batch import BatchForecastingSystem
        result = _run(read, BatchForecastingSystem(horizon), holdout, stages)
    report(result, stages.seconds)


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
    horizon: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows to look ahead; 5 is a week of trading days.",
            show_default="5",
        ),
    ] = None,
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
        "horizon": horizon,
        "preset": preset,
        "batch": _given(memory_budget=memory_budget, checkpoint_dir=checkpoint_dir),
        "performance": _given(n_jobs=n_jobs),
    }
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    with shown_to_users() as stages:
        if output is not None:
            _check_output(output, prices)
        system = _make_system(config, options, stages)
        result = _run(read, system, holdout, stages)
        if verbose:
            result.advice = result.performance.recommendations()
        if output is not None:
            _write(result.forecasts, output)
        if performance is not None:
            _write_performance(result.performance, performance)
    report(result, stages.seconds)
    for path in filter(None, (output, performance)):
        print(f"Written to {path}")


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


def _write_performance(performance: Any, path: Path) -> None:
    try:
        performance.to_json(path)
    except OSError as error:
        raise UserError(f"`--performance` must be writable. Got {error}.") from error


def _run(
    read: Callable[[], pd.DataFrame], system: Any, holdout: int, stages: Stages
) -> Result:
    """Go from prices to the forecasts of the last date, and score a second fit."""
    try:
        with stages.stage("read"):
            from skbatch.panel import forward_returns

            panel = read()
            labels = forward_returns(panel, system.horizon)
    except READ_ERRORS as error:
        raise UserError(str(error)) from error
    with stages.stage("fit"):
        system.set_callbacks(stages).fit(panel)
    stages.split("fit", "features", system.performance_.report()["seconds"])
    with stages.stage("forecast"):
        result = system.forecast()
    scores = ""
    if holdout:
        with stages.stage("hold-out"):
            scores = _score(panel, labels, system, holdout)
    return Result(panel, _tabulate(result), scores, result.performance, [])


def _tabulate(result: Any) -> pd.DataFrame:
    """Tabulate forecasts in the order of the panel, horizon by horizon."""
    table = result.to_frame().reset_index()
    if "horizon" not in table:
        table["horizon"] = result.horizon
    table["date"] = result.date
    names = ["ticker", "date", "horizon", "expected_return", "model", "batch", "reason"]
    return table[names]


def _score(panel: pd.DataFrame, labels: pd.DataFrame, system: Any, holdout: int) -> str:
    """Score a second fit on the last rows, which it has not seen, and say it."""
    from sklearn.base import clone

    from skbatch.forecasting import HistoricalMeanForecaster
    from skbatch.metrics import out_of_sample_r2, rank_information_coefficient_series

    several = isinstance(system.horizon_, tuple)
    horizon = max(system.horizon_ if several else (system.horizon_,))
    n_known = int(labels.iloc[: -holdout - horizon].notna().any(axis=1).sum())
    if holdout <= horizon or n_known < MIN_TRAINING * holdout:
        return (
            f"Not scored: {holdout} held-out rows must be more than the horizon, and "
            f"need {MIN_TRAINING} times as many rows to train on. There are {n_known}."
        )
    actual, rows = labels.iloc[-holdout:], panel.iloc[-holdout:]
    second = clone(system).set_params(checkpoint_dir=None)
    with warnings.catch_warnings():
        # The first fit has told what is wrong with the panel.
        warnings.simplefilter("ignore", SkbatchWarning)
        forecasts = second.fit(panel.iloc[:-holdout]).predict(rows)
        mean = clone(second).set_params(forecaster=HistoricalMeanForecaster())
        drifts = mean.fit(panel.iloc[:-holdout]).predict(rows)
    r2 = out_of_sample_r2(actual, forecasts)
    drift = out_of_sample_r2(actual, drifts)
    scores = [
        f"an R² of {100 * r2:+.2f} % against forecasting zero (each ticker's "
        f"historical mean: {100 * drift:+.2f} %)"
    ]
    series = rank_information_coefficient_series(actual, forecasts)
    ranks = cast("pd.Series", series).dropna()
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
