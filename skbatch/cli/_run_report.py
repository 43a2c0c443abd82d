"""The report of one run: a page with all forecasts, that needs no other file."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from skbatch._messages import count, date_text
from skbatch.cli._output import write
from skbatch.cli._show import Result, panel_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_report"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto;
  padding: 1rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .7rem; border-bottom: 1px solid #8884; text-align: right; }
td:first-child, th:first-child, td.text, th.text { text-align: left; }
"""
# Columns that are returns or shares, and so in percent; the others that are shown.
PERCENT = ("expected_return", "lower", "upper", "volatility", "p_positive")
WORDS = ("model", "reason")


def write_report(result: Result, report: Path) -> None:
    """Write the page whole or not at all."""
    from skbatch.panel.engine import describe_rows

    date = date_text(result.forecasts["date"].iloc[0])
    parts = [
        f"<h1>Expected returns from {escape(date)}</h1>",
        f"<p>{escape(panel_line(result.panel))}.</p>",
        f"<p>{escape(_services(result.forecasts))}</p>",
    ]
    for horizon, rows in result.forecasts.groupby("horizon"):
        ahead = describe_rows(int(str(horizon)), result.panel.index)
        parts += [f"<h2>Over the next {escape(ahead)}</h2>", _table(rows)]
    if result.scores_text:
        parts += ["<h2>Hold-out</h2>", f"<p>{escape(result.scores_text)}</p>"]
    parts.append(
        f"<footer><small>skbatch {version('skbatch')}, XGBoost {version('xgboost')}. "
        "Simple returns over the horizon, not annualised, before costs. How good such "
        "forecasts have been: skbatch evaluate.</small></footer>"
    )
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta '
        'name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Expected returns from {escape(date)}</title><style>{STYLE}</style>"
    )
    page = f"{head}</head><body>{''.join(parts)}</body></html>\n"
    write(page.encode(), report, "--report")


def _services(forecasts: pd.DataFrame) -> str:
    """Count which model forecast how many."""
    models = forecasts["model"].value_counts()
    listed = ", ".join(
        f"{count(n, 'forecast')} by {name}" for name, n in models.items()
    )
    return f"{listed}."


def _table(rows: pd.DataFrame) -> str:
    """Lay out one horizon, the highest forecast first."""
    rows = rows.sort_values("expected_return", ascending=False, kind="stable")
    numbers = [name for name in rows if str(name).startswith(PERCENT)]
    heads = [
        f"<th>{escape(str(n).replace('_', ' '))}</th>" for n in ("ticker", *numbers)
    ]
    heads += [f'<th class="text">{name}</th>' for name in WORDS]
    lines = []
    for row in rows.to_dict("records"):
        cells = [f"<td>{escape(str(row['ticker']))}</td>"]
        for name in numbers:
            known = row[name] == row[name]
            cells.append(f"<td>{row[name]:+.2%}</td>" if known else "<td></td>")
        cells += [f'<td class="text">{escape(str(row[name]))}</td>' for name in WORDS]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = f"<thead><tr>{''.join(heads)}</tr></thead>"
    return f"<div><table>{head}<tbody>{''.join(lines)}</tbody></table></div>"
