"""``skbatch explain``: where a forecast comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from skbatch._messages import date_text
from skbatch.cli import _options as options
from skbatch.cli._content import make_table, print_as_json, records
from skbatch.cli._job import Source, fit_system, make_system, settings_of
from skbatch.cli._output import check_tickers
from skbatch.cli._shell import UserError, make_console, shown_to_users
from skbatch.cli._show import model_words, panel_line, print_parts

if TYPE_CHECKING:
    import pandas as pd

# Contributions that are not of a feature → what they are.
NAMES = {
    "model average": "model average: the same for every ticker",
    "shrinkage": "shrinkage: correction for past errors",
    "market expectation": "market expectation: the same for all tickers",
    "historical mean": "historical mean: no model could forecast",
}


def explain(
    prices: options.Prices,
    ticker: Annotated[
        str,
        typer.Argument(
            metavar="TICKER",
            help="Ticker to explain, such as AAPL.",
            show_default=False,
        ),
    ],
    top: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Number of features to list.")
    ] = 10,
    json: options.Json = False,
    horizon: options.Horizons = None,
    delay: options.Delay = None,
    delisting_return: options.DelistingReturn = None,
    field: options.Field = None,
    date: options.Date = None,
    ticker_column: Annotated[
        str | None,
        typer.Option(
            "--ticker",
            metavar="COLUMN",
            help="Name of the ticker column in a long file.",
        ),
    ] = None,
    value: options.Value = None,
    id: options.Id = None,
    config: options.Config = None,
    memory_budget: options.MemoryBudget = None,
    n_jobs: options.Jobs = None,
) -> None:
    """Show how much each feature contributes to the forecast of one ticker.

    The model learns from all tickers in the file. The contributions add up to the
    expected return.
    """
    settings = settings_of(
        horizon, delay, memory_budget, None, n_jobs, delisting_return
    )
    with shown_to_users() as stages:
        system = make_system(config, settings, stages)
        read = Source(prices, field, date, ticker_column, value, id).read
        panel = fit_system(read, system, stages)
        result = system.forecast()
        provenance = result.provenance.reset_index()
        check_tickers([ticker], provenance, "TICKER")
        served = provenance[provenance["ticker"] == ticker].iloc[0]
        with stages.stage("explain"):
            try:
                explanation = system.explain()
            except (TypeError, ValueError) as error:
                raise UserError(str(error)) from error
    horizons = explanation.horizons
    parts = {n: explanation.of_ticker(ticker, n) for n in horizons}
    if json:
        print_as_json(
            {
                "ticker": ticker,
                "date": explanation.date,
                "model": served["model"],
                "reason": served["reason"],
                "horizons": [
                    {
                        "horizon": n,
                        "expected_return": table["contribution"].sum(skipna=False),
                        "parts": records(table),
                    }
                    for n, table in parts.items()
                ],
            }
        )
        return
    console = make_console()
    for n, table in parts.items():
        shown = _shown(ticker, n, table, served, top, explanation.date, panel)
        print_parts(console, *shown)
    console.print(panel_line(panel))


def _shown(
    ticker: str,
    horizon: int,
    table: pd.DataFrame,
    served: pd.Series,
    top: int,
    date: Any,
    panel: pd.DataFrame,
) -> list[Any]:
    """Lay out one horizon: the forecast, its families, and its largest features."""
    from skbatch.panel.engine import describe_rows

    total = table["contribution"].sum(skipna=False)
    rows = describe_rows(horizon, panel.index)
    title = f"{ticker} from {date_text(date)} over the next {rows}: "
    if total != total:
        return [f"{title}no forecast. {served['reason']}"]
    is_feature = (table["family"] != table.index).to_numpy()
    features, others = table[is_feature], table[~is_feature]
    families = make_table("family of features", "contribution", numbers=1)
    sums = features.groupby("family")["contribution"].sum()
    for family, number in sums.sort_values(key=abs, ascending=False).items():
        families.add_row(str(family), f"{number:+.3%}")
    for name, number in others["contribution"].items():
        families.add_row(NAMES.get(str(name), str(name)), f"{number:+.3%}")
    families.add_row("expected return", f"{total:+.3%}")
    largest = make_table("feature", "family", "contribution", numbers=1)
    for name, row in features.head(top).iterrows():
        largest.add_row(str(name), row["family"], f"{row['contribution']:+.3%}")
    model = f"by {model_words(served['model'])}"
    if served["reason"]:
        model += f" ({served['reason']})"
    parts = [f"{title}{total:+.3%}, {model}", families]
    if largest.row_count:
        parts += ["Features with the largest contributions", largest]
    return parts
