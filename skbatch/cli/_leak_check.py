"""``skbatch check``: look for look-ahead bias in a pipeline of the user's own."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skbatch._messages import count
from skbatch.cli import _options as options
from skbatch.cli._content import print_as_json
from skbatch.cli._job import Source, read_prices
from skbatch.cli._shell import NOT_OK, UserError, make_console, shown_to_users

if TYPE_CHECKING:
    import pandas as pd


def check(
    pipeline: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="scikit-learn pipeline, or a function that returns one; for example, "
            "my_models:pipeline is `pipeline` in my_models.py.",
            show_default=False,
        ),
    ],
    prices: options.Prices,
    horizon: Annotated[
        int,
        typer.Option(metavar="ROWS", min=1, help="Horizon of the labels, in rows."),
    ] = 5,
    delay: options.Delay = None,
    rows: Annotated[
        int,
        typer.Option(
            metavar="ROWS", min=50, help="Number of rows to use, the last ones."
        ),
    ] = 500,
    columns: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=2, help="Number of tickers to use, the first ones."
        ),
    ] = 10,
    cuts: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=1, help="Number of dates to test; each needs refits."
        ),
    ] = 3,
    purged: Annotated[
        bool,
        typer.Option(
            "--purged",
            metavar="",
            help="Check only what the pipeline computes from prices, because your own "
            "code leaves out labels that end after the training rows.",
        ),
    ] = False,
    json: options.Json = False,
    field: options.Field = None,
    date: options.Date = None,
    ticker: options.Ticker = None,
    value: options.Value = None,
    id: options.Id = None,
) -> None:
    """Check a pipeline for look-ahead bias.

    Replaces the prices after random dates with garbage. The forecasts up to those
    dates must not change; if any does, the exit code is 3.
    """
    with shown_to_users() as stages:
        estimator = _load(pipeline)
        panel = read_prices(Source(prices, field, date, ticker, value, id).read, stages)
        panel = _part(panel, rows, columns)
        with stages.stage("check"):
            reach = {"horizon": horizon, "delay": delay or 0}
            finding = _find(estimator, panel, reach, cuts, purged=purged)
    size = f"{count(len(panel), 'row')}, {count(cuts, 'date')} tested"
    if json:
        print_as_json({"ok": not finding, "finding": finding, "checked": size})
    else:
        found = finding or "OK: no forecast depends on later prices."
        make_console().print(f"{found} ({size})")
    if finding:
        raise typer.Exit(NOT_OK)


def _load(name: str) -> Any:
    """Import an estimator, or call the function that returns it."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UserError(
            "MODULE:NAME must have a colon between the module and the name. Got "
            f"'{name}'. For example, pass my_models:pipeline."
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module.removesuffix(".py")), attribute)
        made = found() if callable(found) and not hasattr(found, "fit") else found
        return made() if isinstance(made, type) else made
    except Exception as error:  # whatever the user's module does
        kind = type(error).__name__
        raise UserError(
            f"MODULE:NAME must be importable. Got {kind}: {error}. Run the command in "
            "the folder of the module, and check both names."
        ) from error
    finally:
        sys.path.pop(0)


def _part(panel: pd.DataFrame, rows: int, columns: int) -> pd.DataFrame:
    """Select the last rows of the first tickers."""
    from skbatch.panel.engine import panel_tickers

    tickers = panel_tickers(panel)[:columns]
    if panel.columns.nlevels > 1:
        chosen = panel.columns.get_level_values(-1).isin(tickers)
        return panel.loc[:, chosen].tail(rows)
    return panel[tickers].tail(rows)


def _find(
    estimator: Any,
    panel: pd.DataFrame,
    reach: dict[str, int],
    cuts: int,
    *,
    purged: bool,
) -> str:
    """Describe the look-ahead that was found, if any."""
    from skbatch.testing import check_no_lookahead

    try:
        check_no_lookahead(estimator, panel, **reach, purged=purged, n_cuts=cuts)
    except AssertionError as error:
        return str(error)
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
    return ""
