"""The report of a walk-forward: one page that a colleague can read."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skbatch._html import card, page, section, table, tiles
from skbatch._messages import date_text, describe_delay
from skbatch.model_selection._report_figures import model_figures, skill_figures
from skbatch.model_selection._report_portfolio import portfolio_section
from skbatch.model_selection._report_skill import data_section, skill_sections
from skbatch.model_selection._report_uncertainty import uncertainty_section
from skbatch.model_selection._scorecard import SCORES
from skbatch.model_selection._verdict import number, percent, plain, verdict
from skbatch.panel.engine import describe_rows

if TYPE_CHECKING:
    from skbatch.model_selection._walk_forward_result import WalkForwardResult

# Score → (what a reader calls it, how it is written).
ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "rank_ic": ("Rank IC, mean", lambda v: number(v, 4)),
    "rank_ic_ir": ("Rank IC, information ratio", lambda v: number(v, 3)),
    "rank_ic_t": ("Rank IC, Newey–West t", lambda v: number(v, 2)),
    "rank_ic_positive": ("Rank IC, share positive", lambda v: percent(v, 1)),
    "ic": ("IC, mean", lambda v: number(v, 4)),
    "ic_ir": ("IC, information ratio", lambda v: number(v, 3)),
    "ic_t": ("IC, Newey–West t", lambda v: number(v, 2)),
    "hit_rate": ("Hit rate (sign of the return)", lambda v: percent(v, 2)),
    "r2_zero": ("R² against zero", lambda v: percent(v, 3, sign=True)),
    "r2_zero_t": ("R² against zero, t of the errors", lambda v: number(v, 2)),
    "r2_mean": ("R² against the historical mean", lambda v: percent(v, 3, sign=True)),
    "mae": ("Mean absolute error", lambda v: percent(v, 3)),
    "spread": ("Quantile spread per horizon", lambda v: percent(v, 3, sign=True)),
    "spread_t": ("Quantile spread, Newey–West t", lambda v: number(v, 2)),
    "rank_return": (
        "Rank portfolio, return per horizon",
        lambda v: percent(v, 3, sign=True),
    ),
    "turnover": ("Rank portfolio, turnover per horizon", lambda v: plain(v, 2)),
    "break_even_bps": ("Break-even cost, basis points", lambda v: number(v, 1)),
    "coverage": ("Returns with a forecast", lambda v: percent(v, 2)),
    "n_dates": ("Dates with a rank IC", lambda v: f"{v:.0f}"),
    "critical_t": ("|t| that chance exceeds in 5%", lambda v: plain(v, 2)),
}


def render(result: WalkForwardResult, costs: Any = 10.0, groups: Any = None) -> str:
    """Write the report."""
    dates = result.forecasts.index
    span = f"{date_text(dates[0])} to {date_text(dates[-1])}"
    parts = [
        f"<header><h1>Walk-forward evaluation: {escape(result.name)}</h1>"
        f'<p class="lead">{len(result.closes.columns)} tickers, {len(dates)} '
        f"out-of-sample dates, {span}, {len(result.refits)} refits. Returns are simple "
        f"returns over the horizon{describe_delay(result.delay)}, not annualized.</p>"
        "</header>"
    ]
    parts.append(_by_horizon(result))
    for horizon in result.horizons:
        parts += _horizon_parts(result, horizon, costs, groups)
    parts += [
        section("Models", model_figures(result), _reasons(result)),
        data_section(result),
        _refits(result),
        _definitions(result),
    ]
    parts.append(
        f"<footer>Made by skbatch {version('skbatch')}. Out-of-sample scores of one "
        "period do not guarantee those of the next.</footer>"
    )
    return page(f"{result.name}, {span}", parts)


def _by_horizon(result: WalkForwardResult) -> str:
    """Set the horizons side by side, where there are several."""
    if len(result.horizons) == 1:
        return ""
    keys = ["rank_ic", "rank_ic_t", "r2_zero", "spread", "turnover", "break_even_bps"]
    scores = {h: result.cards(h).T[result.name] for h in result.horizons}
    rows = [
        [ROWS[key][0], *(ROWS[key][1](card[key]) for card in scores.values())]
        for key in keys
    ]
    return section("By horizon", table(["rows ahead", *map(str, scores)], rows))


def _horizon_parts(
    result: WalkForwardResult, horizon: int, costs: Any, groups: Any
) -> list[str]:
    """Write verdict, scores and pictures of one horizon."""
    rows = describe_rows(horizon, result.forecasts.index)
    suffix = f" at a horizon of {rows}" if len(result.horizons) > 1 else ""
    sentences, delays = verdict(result, horizon), result.by_delay(horizon)
    items = "".join(f"<li>{escape(s[0].upper() + s[1:])}</li>" for s in sentences)
    return [
        section(
            f"Verdict{suffix or f': a horizon of {rows}'}",
            _tiles(result.cards(horizon).T[result.name]),
            card(f'<ul class="verdict">{items}</ul>'),
        ),
        section(
            f"Against the benchmarks{suffix}",
            _scorecard(result, horizon),
            _paired_tests(result, horizon),
        ),
        section(f"Skill over time{suffix}", skill_figures(result, horizon, delays)),
        section(f"Execution delay{suffix}", _delays(result, delays)),
        portfolio_section(result, horizon, suffix, costs),
        section(f"Year by year{suffix}", _years(result, horizon)),
        *skill_sections(result, horizon, suffix, groups),
        uncertainty_section(result, horizon, suffix),
    ]


def _tiles(scores: pd.Series) -> str:
    """Show the numbers that are asked for first."""
    chosen = ["rank_ic", "rank_ic_t", "r2_zero", "spread", "break_even_bps"]
    return tiles([(ROWS[key][1](scores[key]), ROWS[key][0]) for key in chosen])


def _scorecard(result: WalkForwardResult, horizon: int) -> str:
    """Set the forecaster beside its benchmarks."""
    cards = result.cards(horizon)
    rows = [
        [label, *(write(value) for value in cards[key])]
        for key, (label, write) in ROWS.items()
        if key in cards
    ]
    return table(["", *map(str, cards.index)], rows, own=1)


def _paired_tests(result: WalkForwardResult, horizon: int) -> str:
    """Tabulate the differences from each benchmark, with their tests."""
    names = {
        "rank_ic": "rank IC",
        "squared_error": "squared error saved, basis points²",
        "spread": "quantile spread, %",
    }
    scales = {"rank_ic": (1.0, 4), "squared_error": (1e8, 1), "spread": (100.0, 3)}
    rows = []
    tests = result.paired_tests(horizon).reset_index()
    numbers = [name for name in tests if name != "benchmark"]
    for _, same in tests.groupby(numbers, sort=False, dropna=False):
        test = same.iloc[0]
        score = str(test["score"])
        scale, digits = scales[score]
        shown = [number(scale * test[key], digits) for key in ("lower", "upper")]
        if np.isfinite(test["difference"]):
            rows.append(
                [
                    f"{', '.join(same['benchmark'])}: {names[score]}",
                    number(scale * test["difference"], digits),
                    f"{shown[0]} to {shown[1]}",
                    number(test["t_statistic"], 2),
                    plain(test["p_value"], 3),
                    plain(test["p_holm"], 3),
                ]
            )
    header = ["better than", "by", "95% interval", "t", "p", "p, adjusted"]
    n_tests = tests.drop_duplicates(numbers)["p_value"].count()
    note = (
        f"Adjusted by Holm's method for all {n_tests} comparisons, times "
        f"{result.n_trials} tried. Benchmarks without an order share theirs."
    )
    return table(header, rows, note=note)


def _years(result: WalkForwardResult, horizon: int) -> str:
    """Tabulate the scores of each year."""
    years = result.skill_by("year", horizon)
    if not len(years):
        return ""
    rows = [
        [str(year), *(ROWS[str(key)][1](value) for key, value in scores.items())]
        for year, scores in years.to_dict("index").items()
    ]
    return table(["year", *(ROWS[str(key)][0] for key in years)], rows)


def _delays(result: WalkForwardResult, table_of_delays: pd.DataFrame) -> str:
    """Tabulate the rank IC of forecasts that are traded later."""
    rows = [
        [
            str(name),
            *(
                f"{number(ic, 4)} ± {plain(error, 4)}"
                for ic, error in zip(
                    scores["rank_ic"], scores["rank_ic_error"], strict=True
                )
            ),
        ]
        for name, scores in table_of_delays.groupby("forecaster", sort=False)
    ]
    delays = table_of_delays.index.unique("delay")
    heads = [
        f"{delay} (as evaluated)" if delay == result.delay else str(delay)
        for delay in delays
    ]
    note = (
        "Mean rank IC and its Newey–West standard error, if the same forecasts are "
        "traded so many rows after their date. What vanishes within a row may be "
        "bid–ask bounce, which cannot be traded."
    )
    return table(["rows until traded", *heads], rows, note=note)


def _reasons(result: WalkForwardResult) -> str:
    """Tabulate why tickers were not served by the primary model."""
    if not len(result.reasons):
        return ""
    reasons = result.reasons.reset_index()
    reasons["ticker"] = reasons["ticker"].astype(str)
    # What differs from ticker to ticker only is one reason to a reader.
    reasons["reason"] = reasons["reason"].str.replace(
        r"\d+ labels, needs (\d+)", r"fewer labels than \1", regex=True
    )
    groups = reasons.groupby(["model", "reason"], sort=False)["ticker"]
    counts = groups.agg(["size", "unique"]).sort_values("size", ascending=False)
    shown = counts.iloc[:10]
    rows = [
        [str(model), str(size), ", ".join(names[:5]) + _more(len(names) - 5), reason]
        for (model, reason), size, names in zip(
            shown.index, shown["size"], shown["unique"], strict=True
        )
    ]
    header = ["served by", "times", "tickers", "because, at the refit"]
    return table(header, rows, text=(2, 3))


def _more(n_left: int) -> str:
    return f" and {n_left} more" if n_left > 0 else ""


def _refits(result: WalkForwardResult) -> str:
    """Tabulate all refits, folded away."""
    header = [
        "forecasts from",
        "to",
        "trained from",
        "to",
        "rows",
        "fit, s",
        "fallback",
    ]
    rows = [
        [
            date_text(first),
            date_text(row["test_end"]),
            date_text(row["train_start"]),
            date_text(row["train_end"]),
            str(row["n_train_rows"]),
            f"{row['fit_seconds']:.2f}",
            percent(float(row["fallback_rate"]), 2),
        ]
        for first, row in result.refits.iterrows()
    ]
    seconds = result.refits["fit_seconds"].sum()
    note = (
        "Features were computed once for the whole panel, as each refit's own are the "
        "same."
        if result.attrs.get("shared_features")
        else "Features were recomputed at each refit."
    )
    return section(
        "Refits",
        f"<details><summary>{len(rows)} refits, {seconds:.1f} s of fitting</summary>"
        f"<p>{note} Labels of a training window are those known at its end.</p>"
        f"{table(header, rows)}</details>",
    )


def _definitions(result: WalkForwardResult) -> str:
    """Describe the scores."""
    items = "".join(
        f"<dt>{escape(ROWS[key][0])}</dt><dd>{escape(text)}</dd>"
        for key, text in SCORES.items()
        if key in ROWS
    )
    return section(
        "Definitions",
        card(
            f"<details><summary>What the scores are</summary><p>There are "
            f"{result.n_quantiles} quantiles. A dash is a score that is not defined, "
            "such as an order where all forecasts are the same.</p>"
            f"<dl>{items}</dl></details>"
        ),
    )
