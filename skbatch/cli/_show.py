"""How the result of a run is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from skbatch._messages import count, date_text, describe_delay
from skbatch.cli._content import make_table, print_as_json
from skbatch.cli._output import is_stdout

if TYPE_CHECKING:
    import pandas as pd

# A longer table is cut to the highest and the lowest forecasts.
MAX_ROWS, CUT_ROWS = 30, 10
MODELS = {
    "BatchXGBoostForecaster": "XGBoost",
    "BatchLinearForecaster": "the linear model",
}
LEGEND = (
    "lower, upper: bounds of the prediction interval, which should contain 90% of "
    "returns unless --coverage was given. volatility: expected standard deviation of "
    "the return. gain: probability of a positive return."
)
LEFT_OUT = (
    "The terminal is too narrow for the bounds of the other coverages; --output and "
    "--json include them."
)


@dataclass
class Result:
    """What a run found."""

    panel: pd.DataFrame
    forecasts: pd.DataFrame
    performance: Any
    advice: list[str] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    scores_text: str = ""
    relative_to: str = ""


def report(result: Result, seconds: dict[str, float], console: Console) -> None:
    """Print forecasts, timings and facts."""
    from skbatch.panel.engine import describe_rows

    start = describe_delay(int(result.forecasts["delay"].max()))
    tables: list[RenderableType] = []
    left_out = ""
    for (n_rows, date), rows in result.forecasts.groupby(["horizon", "date"]):
        title = (
            f"Expected returns from {date_text(date)} over the next "
            f"{describe_rows(n_rows, result.panel.index)}{start}"
        )
        models = set(rows["model"]) | set(rows["reason"]) - {""}
        if len(models) == 1:
            title += f", all by {model_words(*models)}"
        names = [str(name) for name in rows]
        bounds = [name for name in names if name.startswith(("lower", "upper"))]
        table = _forecast_table(rows, bounds, with_model=len(models) > 1)
        unbounded = console.options.update(width=1000)
        wanted = console.measure(table, options=unbounded).minimum
        if wanted > console.width and bounds[2:]:
            # A ticker or number that is cut short could be mistaken for another.
            table = _forecast_table(rows, bounds[:2], with_model=len(models) > 1)
            left_out = LEFT_OUT
        tables += [title, table]
    parts: list[RenderableType] = [
        *tables,
        LEGEND,
        left_out,
        result.relative_to
        and f"Models learned returns relative to {result.relative_to}; the forecasts "
        f"include the expected return of {result.relative_to}.",
        panel_line(result.panel),
        timing_table(seconds),
        result.scores_text,
        *result.advice,
    ]
    print_parts(console, *(part for part in parts if part))


def print_parts(console: Console, *parts: RenderableType) -> None:
    """Print paragraphs and tables, with an empty line after each."""
    for part in parts:
        console.print(part)
        console.line()


def print_written(console: Console, *paths: Path | None) -> None:
    """Name the files that were written."""
    for path in paths:
        if path is not None and not is_stdout(path):
            console.print(f"Written to {path}", soft_wrap=True)


def panel_line(panel: pd.DataFrame) -> str:
    """Describe what was read."""
    from skbatch.panel.engine import panel_fields, panel_signals, panel_tickers

    first, last = (date_text(date) for date in panel.index[[0, -1]])
    fields = [*panel_fields(panel), *panel_signals(panel)]
    return (
        f"{count(len(panel_tickers(panel)))}, {count(len(panel), 'row')} from {first} "
        f"to {last}, fields: {', '.join(fields)}"
    )


def print_json(result: Result, seconds: dict[str, float]) -> None:
    """Print what a run found as JSON, null where there is no number."""
    first, last = result.panel.index[[0, -1]]
    content = {
        "rows": {"count": len(result.panel), "first": first, "last": last},
        "relative_to": result.relative_to or None,
        "forecasts": result.forecasts.to_dict("records"),
        "held_out": result.scores,
        "seconds": {name: round(duration, 3) for name, duration in seconds.items()},
        "advice": result.advice,
    }
    print_as_json(content)


def model_words(name: object) -> str:
    """Name a model without its Python class."""
    return MODELS.get(str(name), str(name))


def _forecast_table(
    forecasts: pd.DataFrame, bounds: list[str], *, with_model: bool
) -> Table:
    """Lay out forecasts from the highest to the lowest, then those without one."""
    known = forecasts.dropna(subset="expected_return")
    known = known.sort_values("expected_return", ascending=False, kind="stable")
    unknown = forecasts[forecasts["expected_return"].isna()]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("ticker", no_wrap=True)
    table.add_column("forecast", justify="right", no_wrap=True)
    for name in (*bounds, "volatility", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    if with_model:
        table.add_column("model", overflow="fold")
    for part in (known, unknown):
        cut = len(forecasts) > MAX_ROWS and len(part) > 2 * CUT_ROWS
        for number, row in enumerate(part.to_dict("records")):
            if not cut or number < CUT_ROWS or number >= len(part) - CUT_ROWS:
                shown = [_percent(row["expected_return"], "+.3f") or "NaN"]
                shown += [_percent(row[name], "+.1f") for name in bounds]
                shown += [_percent(row["volatility"], ".1f")]
                shown += [_percent(row["p_positive"], ".0f")]
                if with_model:
                    why = f" ({row['reason']})" if row["reason"] else ""
                    shown.append(f"{model_words(row['model'])}{why}")
                table.add_row(row["ticker"], *shown)
            elif number == CUT_ROWS:
                table.add_row(f"... {len(part) - 2 * CUT_ROWS} more")
    return table


def _percent(value: float, form: str) -> str:
    """Format a share or return in percent; empty where it is missing."""
    return f"{100 * value:{form}}%" if value == value else ""


def timing_table(seconds: dict[str, float]) -> Table:
    """Lay out how long each stage took."""
    table = make_table("stage", "seconds", numbers=1)
    for stage, duration in {**seconds, "total": sum(seconds.values())}.items():
        table.add_row(stage, f"{duration:.2f}")
    return table
