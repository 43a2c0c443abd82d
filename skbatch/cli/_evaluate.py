"""``skbatch evaluate``: backtest the forecasts against simple benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from skbatch._messages import count, format_tickers
from skbatch.cli import _options as options
from skbatch.cli._content import check_report, make_table, print_as_json, records
from skbatch.cli._holdings import read_groups
from skbatch.cli._job import Source, make_system, read_prices, settings_of
from skbatch.cli._shell import (
    Stages,
    UserError,
    make_console,
    shown_to_users,
    unwritable,
)
from skbatch.cli._show import panel_line, print_parts, print_written, timing_table

if TYPE_CHECKING:
    import pandas as pd

    from skbatch.model_selection import WalkForwardResult

# Column of the scorecard → its title, and how its numbers are written.
SCORES = {
    "rank_ic": ("rank IC", "{:+.3f}"),
    "rank_ic_t": ("t", "{:+.1f}"),
    "r2_zero": ("R²", "{:+.2%}"),
    "spread": ("spread", "{:+.2%}"),
}
LEGEND = (
    "rank IC: mean rank correlation between forecasts and returns; t: its Newey–West "
    "t-statistic. R²: reduction in squared error compared with forecasting zero. "
    "spread: return of the fifth of tickers with the highest forecasts minus that of "
    "the fifth with the lowest. All are measured over the horizon, before costs."
)


def evaluate(
    prices: options.Prices,
    horizon: options.Horizons = None,
    delay: options.Delay = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the full report, with plots, to this HTML file."
        ),
    ] = None,
    json: options.Json = False,
    refit: Annotated[
        int,
        typer.Option(
            metavar="ROWS", min=1, help="Rows between refits; 63 is a quarter."
        ),
    ] = 63,
    train: Annotated[
        int,
        typer.Option(
            metavar="ROWS", min=2, help="Rows to train on before the first forecast."
        ),
    ] = 504,
    trials: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            min=1,
            help="How many configurations you have tried on these prices, including "
            "this one. The more you tried, the stricter the tests.",
        ),
    ] = 1,
    cost: Annotated[
        float,
        typer.Option(
            metavar="POINTS",
            min=0.0,
            help="Transaction cost in the report, in basis points of the traded value.",
        ),
    ] = 10.0,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV or Excel file with a ticker column and a group or sector column; "
            "the report then shows the scores of each group.",
        ),
    ] = None,
    field: options.Field = None,
    date: options.Date = None,
    ticker: options.Ticker = None,
    value: options.Value = None,
    id: options.Id = None,
    config: options.Config = None,
    memory_budget: options.MemoryBudget = None,
    n_jobs: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            help="Number of refits to run in parallel; -1 uses every core.",
        ),
    ] = None,
    delisting_return: options.DelistingReturn = None,
) -> None:
    """Backtest the forecasts against simple benchmarks.

    Walks forward through the file: trains on the rows up to a date, forecasts the rows
    that follow, and trains again after every --refit rows.
    """
    settings = settings_of(
        horizon, delay, memory_budget, delisting_return=delisting_return
    )
    with shown_to_users() as stages:
        if report is not None:
            check_report(report, prices)
        known = None if groups is None else read_groups(groups)
        system = make_system(config, settings, stages)
        panel = read_prices(Source(prices, field, date, ticker, value, id).read, stages)
        if known is not None:
            _check_groups(known, panel)
        schedule = {
            "refit_every": refit,
            "min_train": train,
            "n_trials": trials,
            "n_jobs": n_jobs,
        }
        result = _walk(system, panel, schedule, stages)
        with stages.stage("score"):
            summary = result.summary()
        if report is not None:
            with stages.stage("report"):
                _write(result, report, cost, known)
    if json:
        print_as_json(_content(result, summary, stages))
        return
    console = make_console()
    parts = summary, *_tables(result), LEGEND, panel_line(panel)
    print_parts(console, *parts, timing_table(stages.seconds))
    print_written(console, report)


def _check_groups(groups: pd.Series, panel: pd.DataFrame) -> None:
    """Raise before the work is done if no ticker has a group."""
    from skbatch.panel.engine import panel_tickers

    tickers = panel_tickers(panel)
    if not groups.index.isin(tickers).any():
        raise UserError(
            "`--groups` must list tickers of the price file. Got "
            f"{format_tickers(groups.index) or 'none with a group'}; the price file "
            f"has {format_tickers(tickers)}. Spell the tickers as in the price file."
        )


def _walk(
    system: Any, panel: pd.DataFrame, schedule: dict[str, Any], stages: Stages
) -> WalkForwardResult:
    """Walk forward, or explain why the file is too short."""
    from skbatch.model_selection import walk_forward

    try:
        with stages.stage("evaluate"):
            return walk_forward(
                system,
                panel,
                horizon=system.horizon,
                delay=system.delay,
                callbacks=[stages],
                name="skbatch",
                **schedule,
            )
    except ValueError as error:
        raise UserError(str(error)) from error


def _write(
    result: WalkForwardResult, report: Path, cost: float, groups: pd.Series | None
) -> None:
    try:
        result.to_html(report, costs=cost, groups=groups)
    except OSError as error:
        raise unwritable("`--report`", report, error) from error


def _tables(result: WalkForwardResult) -> list[RenderableType]:
    """Lay out the scores of each horizon, those of the forecasts first."""
    parts: list[RenderableType] = []
    for horizon in result.horizons:
        if len(result.horizons) > 1:
            parts.append(f"Horizon: {count(horizon, 'row')}")
        table = make_table(
            "forecast by", *(title for title, _ in SCORES.values()), numbers=len(SCORES)
        )
        for name, scores in result.cards(horizon).iterrows():
            cells = (
                form.format(scores[key]) if scores[key] == scores[key] else ""
                for key, (_, form) in SCORES.items()
            )
            table.add_row(str(name), *cells)
        parts.append(table)
    return parts


def _content(result: WalkForwardResult, summary: str, stages: Stages) -> dict[str, Any]:
    """Collect what a script may ask for."""
    dates = result.forecasts.index
    return {
        "name": result.name,
        "dates": {"count": len(dates), "first": dates[0], "last": dates[-1]},
        "tickers": result.closes.shape[1],
        "refits": len(result.refits),
        "summary": summary,
        "horizons": [
            {
                "horizon": horizon,
                "scores": records(result.cards(horizon).rename_axis("forecaster")),
                "tests": records(result.paired_tests(horizon)),
            }
            for horizon in result.horizons
        ],
        "seconds": stages.seconds,
    }
