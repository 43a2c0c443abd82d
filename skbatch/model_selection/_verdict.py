"""The verdict on a walk-forward, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skbatch._messages import count, date_text, describe_delay

if TYPE_CHECKING:
    from skbatch.model_selection._walk_forward_result import WalkForwardResult

# Mean daily rank ICs above this are suspected to be a leak.
SUSPICIOUS_RANK_IC = 0.05


def describe(result: WalkForwardResult) -> str:
    """Describe the result, a paragraph for each horizon."""
    dates = result.forecasts.index
    opening = (
        f"{result.name} forecast {len(result.closes.columns)} tickers on {len(dates)} "
        f"dates from {date_text(dates[0])} to {date_text(dates[-1])}, with "
        f"{count(len(result.refits), 'refit')}."
    )
    start = describe_delay(result.delay)
    paragraphs = [
        f"Over {count(h, 'row')}{start}: {' '.join(verdict(result, h))}"
        for h in result.horizons
    ]
    return "\n\n".join([opening, *paragraphs])


def verdict(result: WalkForwardResult, horizon: int) -> list[str]:
    """Judge the forecasts of one horizon."""
    cards = result.cards(horizon)
    card = cards.T[result.name]
    sentences = [_on_ranks(card), _on_errors(card), _on_costs(card)]
    sentences.append(_on_rivals(result, horizon, cards))
    if card["rank_ic"] > SUSPICIOUS_RANK_IC:
        sentences.append(
            "A mean rank IC above 0.05 on daily prices alone is rare: check for a leak "
            "first (skbatch.testing.check_no_lookahead)."
        )
    if card["coverage"] < 1:
        known = result.of_horizon(result.returns, horizon).notna()
        missing = known & result.of_horizon(result.forecasts, horizon).isna()
        sentences.append(
            f"{int(missing.to_numpy().sum())} of {int(known.to_numpy().sum())} returns "
            "had no forecast and are left out."
        )
    return [sentence for sentence in sentences if sentence]


def _on_ranks(card: pd.Series) -> str:
    """Return whether forecasts order the tickers."""
    if not np.isfinite(card["rank_ic"]):
        return "There is no date on which forecasts could be ranked against returns."
    text = f"the mean rank IC is {number(card['rank_ic'], 4)}"
    if not np.isfinite(card["rank_ic_t"]):
        return f"{text}, on too few dates to be tested."
    test = f"Newey–West t = {number(card['rank_ic_t'], 2)}"
    if abs(card["rank_ic_t"]) > card["critical_t"]:
        way = "in the" if card["rank_ic"] > 0 else "against the"
        return (
            f"{text}, statistically significant ({test}, beyond "
            f"±{card['critical_t']:.2f}): forecasts rank tickers {way} order of their "
            "returns."
        )
    return (
        f"{text}, not statistically significant ({test}, within "
        f"±{card['critical_t']:.2f})."
    )


def _on_errors(card: pd.Series) -> str:
    """Return whether the size of the forecasts is right."""
    if not np.isfinite(card["r2_zero"]):
        return ""
    better = "better" if card["r2_zero"] > 0 else "worse"
    text = (
        f"The out-of-sample R² against zero is {percent(card['r2_zero'], 2, sign=True)}"
        f", {better} than forecasting zero"
    )
    if np.isfinite(card["r2_zero_t"]):
        text += f", {_significance(card['r2_zero_t'], card['critical_t'])}"
    if np.isfinite(card["r2_mean"]):
        mean = percent(card["r2_mean"], 2, sign=True)
        text += f"; against the historical mean it is {mean}"
    return f"{text}."


def _significance(t: float, critical: float) -> str:
    """Return whether a t-statistic is beyond its critical value."""
    way = "" if abs(t) > critical else "not "
    return f"a difference that is {way}statistically significant (t = {number(t, 2)})"


def _on_costs(card: pd.Series) -> str:
    """Describe what the order of the tickers earned, and its break-even cost."""
    if not np.isfinite(card["spread"]):
        return ""
    way = "more" if card["spread"] >= 0 else "less"
    text = (
        "The tickers with the highest forecasts returned "
        f"{percent(abs(card['spread']), 3)} {way} per horizon than those with the "
        "lowest"
    )
    if np.isfinite(card["spread_t"]):
        text += f", {_significance(card['spread_t'], card['critical_t'])}"
    if not np.isfinite(card["break_even_bps"]):
        return f"{text}."
    if card["break_even_bps"] <= 0:
        return f"{text}; a portfolio weighted by ranks lost money before costs."
    return (
        f"{text}; a portfolio weighted by ranks has a break-even transaction cost of "
        f"{card['break_even_bps']:.1f} basis points of the traded value."
    )


def _on_rivals(result: WalkForwardResult, horizon: int, cards: pd.DataFrame) -> str:
    """Compare with the benchmarks, and test the difference from the best."""
    name = result.name
    others = cards.drop(index=name)
    ahead: dict[tuple[str, ...], list[str]] = {}
    for key, score in (("rank_ic", "rank IC"), ("r2_zero", "R²")):
        better = others.index[others[key] > cards.loc[name, key]]
        ahead.setdefault(tuple(map(str, better)), []).append(score)
    parts = [
        f"{_listed(names)} had a better {' and '.join(scores)}"
        for names, scores in ahead.items()
        if names
    ]
    text = (
        f"Of the benchmarks, {'; '.join(parts)}."
        if parts
        else "No benchmark had a better rank IC or R²."
    )
    if not np.isfinite(others["rank_ic"]).any():
        return text
    best = others["rank_ic"].idxmax()
    tests = result.paired_tests(horizon).reset_index()
    test = tests[(tests["benchmark"] == best) & (tests["score"] == "rank_ic")].iloc[0]
    if not np.isfinite(test["p_value"]):
        return text
    return (
        f"{text} Against the best by rank IC, {best}, the difference in rank IC is "
        f"{number(test['difference'], 4)} (95% interval {number(test['lower'], 4)} to "
        f"{number(test['upper'], 4)}, p = {test['p_value']:.2f})."
    )


def _listed(names: Sequence[str]) -> str:
    """List names as a sentence does."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def number(value: float, digits: int) -> str:
    """Write a number with its sign, or a dash where there is none."""
    return f"{value:+.{digits}f}" if np.isfinite(value) else "–"


def plain(value: float, digits: int) -> str:
    """Write a number without its sign, or a dash where there is none."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def percent(value: float, digits: int, *, sign: bool = False) -> str:
    """Write a share in percent, or a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    # A number and its unit stay on one line.
    return f"{100 * value:{'+' if sign else ''}.{digits}f}%"
