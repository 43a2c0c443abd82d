"""The figures of a walk-forward report, drawn as SVG inside the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skbatch._html import draw_figure, encode, figure, grid, new_figure
from skbatch.metrics import InformationCoefficientDisplay, QuantileReturnsDisplay
from skbatch.metrics.plotting import INK, bars_with_errors, tidy
from skbatch.model_selection._feature_importance import FeatureImportanceDisplay
from skbatch.model_selection._provenance_display import ProvenanceDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skbatch.model_selection._walk_forward_result import WalkForwardResult


def skill_figures(result: WalkForwardResult, horizon: int, delays: pd.DataFrame) -> str:
    """Draw what one horizon's scores rest on."""
    returns = result.of_horizon(result.returns, horizon)
    forecasts = result.of_horizon(result.forecasts, horizon)
    ic = InformationCoefficientDisplay(
        result.rank_ic(horizon)[result.name], horizon=horizon
    )
    bins = {"n_quantiles": result.n_quantiles, "horizon": horizon}
    figures = [
        draw_figure(
            ic.plot,
            "Rank IC over time",
            "Dots are single dates, the line a rolling mean.",
        ),
        draw_figure(
            lambda ax: ic.plot(ax, kind="cumulative"),
            "Cumulative rank IC",
            "A steady rise is a steady skill.",
        ),
        draw_figure(
            lambda ax: QuantileReturnsDisplay.from_predictions(
                returns, forecasts, ax=ax, **bins
            ),
            "Mean return by quantile of the forecasts",
            "Whiskers: 95% intervals of a bin's return less that of all tickers.",
        ),
        draw_figure(
            lambda ax: draw_decay(result.decay(horizon), ax),
            "Rank IC by rows after the forecast",
            "Each bar is the rank IC with the returns of those rows alone.",
        ),
        draw_figure(
            lambda ax: _draw_delays(delays, result.name, ax),
            "Rank IC by execution delay",
            "What is left of the rank IC if forecasts are traded some rows later.",
        ),
    ]
    return grid(figures)


def model_figures(result: WalkForwardResult) -> str:
    """Draw where forecasts come from, and what the last model rests on."""
    figures = [
        draw_figure(
            lambda ax: ProvenanceDisplay.from_result(result, ax=ax),
            "Share of the tickers served by each model over time",
            "Steps are refits, at which tickers are taken up.",
        )
    ]
    picture, ax = new_figure()
    try:
        display = FeatureImportanceDisplay.from_estimator(
            result.estimator, ax=ax, n_names=1
        )
    except TypeError:
        display = None
    if display is not None and len(display.families_):
        source = encode(picture)
        caption = (
            "Of the model fitted last: total gain of trees, or absolute coefficients "
            "of a linear model. What it uses, not what helps."
        )
        figures.append(figure(source, "Importance of the features by family", caption))
    return grid(figures)


def draw_decay(decay: pd.DataFrame, ax: Axes) -> None:
    """Draw the rank IC with the returns of later and later windows."""
    labels = [
        f"{first}–{last}" if first < last else str(first)
        for first, last in zip(decay["first_row"], decay["last_row"], strict=True)
    ]
    _draw_rank_ics(decay, labels, ax)
    ax.set_xlabel("rows after the forecast", color=INK)
    tidy(ax, "Decay of the rank IC", note="whiskers: 95% intervals")


def _draw_delays(delays: pd.DataFrame, name: str, ax: Axes) -> None:
    """Draw the rank IC with returns that start later and later."""
    own = delays.loc[[name]].droplevel("forecaster")
    _draw_rank_ics(own, [str(delay) for delay in own.index], ax)
    ax.set_xlabel("rows until the forecast is traded", color=INK)
    tidy(ax, "Rank IC by execution delay", note="whiskers: 95% intervals")


def _draw_rank_ics(tests: pd.DataFrame, labels: list[str], ax: Axes) -> None:
    """Draw rank ICs with their confidence intervals."""
    ic = tests["rank_ic"].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(ic / tests["rank_ic_t"]) * tests["critical_t"]
    positions = np.arange(len(tests))
    whiskers = np.where(np.isfinite(error), error, 0.0)
    bars_with_errors(ax, positions, np.nan_to_num(ic), whiskers)
    ax.set_xticks(positions, labels)
    ax.set_ylabel("rank IC", color=INK)
