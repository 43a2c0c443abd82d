"""The report of one run: a self-contained page with all forecasts."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from skbatch._html import card, page, section, table
from skbatch._messages import count, date_text
from skbatch.cli._output import write
from skbatch.cli._show import Result, model_words, panel_line

if TYPE_CHECKING:
    import pandas as pd

# Columns that are shown in percent → their format.
PERCENT = {
    "expected_return": "{:+.2%}",
    "lower": "{:+.2%}",
    "upper": "{:+.2%}",
    "volatility": "{:.2%}",
    "p_positive": "{:.0%}",
}
TITLES = {"p_positive": "chance of a gain"}


def write_report(result: Result, report: Path) -> None:
    """Write the page whole or not at all."""
    from skbatch.cli._forecast_figures import draw_forecasts
    from skbatch.panel.engine import describe_rows

    title = f"Expected returns from {date_text(result.forecasts['date'].iloc[0])}"
    parts = [
        f"<header><h1>{escape(title)}</h1><p class='lead'>"
        f"{escape(panel_line(result.panel))}. {escape(_services(result.forecasts))}"
        "</p></header>"
    ]
    for horizon, rows in result.forecasts.groupby("horizon"):
        ahead = describe_rows(int(str(horizon)), result.panel.index)
        parts.append(
            section(f"Over the next {ahead}", draw_forecasts(rows), _table(rows))
        )
    if result.scores_text:
        held_out = card(f"<p>{escape(result.scores_text)}</p>")
        parts.append(section("Hold-out", held_out))
    parts.append(
        f"<footer>skbatch {version('skbatch')}, XGBoost {version('xgboost')}. Simple "
        "returns over the horizon, not annualized, before costs. To backtest these "
        "forecasts, run skbatch evaluate.</footer>"
    )
    write(page(title, parts).encode(), report, "--report")


def _services(forecasts: pd.DataFrame) -> str:
    """Count the forecasts of each model."""
    models = forecasts["model"].value_counts()
    listed = ", ".join(
        f"{count(n, 'forecast')} by {model_words(name)}" for name, n in models.items()
    )
    return f"{listed}."


def _table(rows: pd.DataFrame) -> str:
    """Lay out one horizon, the highest forecast first."""
    rows = rows.sort_values("expected_return", ascending=False, kind="stable")
    numbers = {
        str(name): form
        for name in rows
        for start, form in PERCENT.items()
        if str(name).startswith(start)
    }
    # Where one model served all tickers, the line above names it.
    words = [name for name in ("model", "reason") if len(set(rows[name])) > 1]
    lines = [
        [
            str(row["ticker"]),
            *(
                form.format(row[name]) if row[name] == row[name] else "–"
                for name, form in numbers.items()
            ),
            *(model_words(row[name]) for name in words),
        ]
        for row in rows.to_dict("records")
    ]
    titles = [TITLES.get(name, name.replace("_", " ")) for name in numbers]
    places = range(1 + len(numbers), 1 + len(numbers) + len(words))
    return table(["ticker", *titles, *words], lines, text=tuple(places))
