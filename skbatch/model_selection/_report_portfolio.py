"""The part of the report about money: portfolios that follow the forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from skbatch._html import draw_figure, grid, section, table
from skbatch._messages import count, silence_warnings
from skbatch.exceptions import PanelWarning
from skbatch.metrics import deflated_sharpe_ratio
from skbatch.metrics.plotting import BAD, GOOD, GREY, INK, date_axis, tidy
from skbatch.model_selection._backtest_display import BacktestDisplay
from skbatch.model_selection._backtest_result import BacktestResult
from skbatch.model_selection._position_rules import single_bin
from skbatch.model_selection._verdict import number, percent, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skbatch.model_selection._walk_forward_result import WalkForwardResult

# Measure → (what a reader calls it, how it is written).
ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "return_gross": ("Return a year before costs", lambda v: percent(v, 2, sign=True)),
    "return_net": ("Return a year after costs", lambda v: percent(v, 2, sign=True)),
    "volatility": ("Volatility a year", lambda v: percent(v, 2)),
    "sharpe_gross": ("Sharpe ratio before costs", lambda v: number(v, 2)),
    "sharpe_net": ("Sharpe ratio after costs", lambda v: number(v, 2)),
    "t_statistic": ("Mean return after costs, Newey–West t", lambda v: number(v, 2)),
    "max_drawdown": ("Maximum drawdown", lambda v: percent(v, 1)),
    "turnover": ("Turnover per rebalance", lambda v: percent(v, 0)),
    "cost": ("Costs a year", lambda v: percent(v, 2)),
    "break_even_bps": ("Break-even cost, basis points", lambda v: number(v, 1)),
    "beta": ("Beta to the mean of all tickers", lambda v: number(v, 2)),
    "alpha": ("Alpha a year", lambda v: percent(v, 2, sign=True)),
    "exposure_gross": ("Gross exposure", lambda v: percent(v, 0)),
    "exposure_net": ("Net exposure", lambda v: percent(round(v, 2) + 0.0, 0)),
    "capacity": ("Capacity, currency of the prices", lambda v: _large(v)),
}


def portfolio_section(
    result: WalkForwardResult, horizon: int, suffix: str, costs: Any
) -> str:
    """Backtest the forecasts of one horizon beside portfolios without a model."""
    # All begin and end on the same dates, those of the forecasts. What they warn of
    # is in the note.
    with silence_warnings(PanelWarning):
        portfolios = {
            "long–short": result.backtest(horizon, costs=costs),
            "long only": result.backtest(horizon, weights="long_only", costs=costs),
            "equal weight": result.backtest(horizon, weights="equal", costs=costs),
        }
        figures = _figures(result, horizon, portfolios["long–short"], costs)
    note = _note(portfolios["long–short"])
    if result.delisting_return is None:
        note += " Where prices end, positions count as sold at the last price."
    measured = {name: found.measures for name, found in portfolios.items()}
    rows = [
        [label, *(write(float(values[key])) for values in measured.values())]
        for key, (label, write) in ROWS.items()
        if np.isfinite([values[key] for values in measured.values()]).any()
    ]
    net = [found.returns["net"] for found in portfolios.values()]
    trials = [deflated_sharpe_ratio(returns, result.n_trials) for returns in net]
    label = f"Deflated Sharpe ratio, {result.n_trials} tried"
    rows.append([label, *(plain(value, 2) for value in trials)])
    return section(
        f"Portfolios after transaction costs{suffix}",
        figures,
        table(["", *portfolios], rows, own=1, note=note),
    )


def _figures(
    result: WalkForwardResult, horizon: int, portfolio: BacktestResult, costs: Any
) -> str:
    """Draw the long–short portfolio, and the bins that it is made of."""
    display = BacktestDisplay(portfolio)
    bins = [
        result.backtest(
            horizon, costs=costs, weights=single_bin(result.n_quantiles, place)
        )
        for place in range(result.n_quantiles)
    ]
    figures = [
        draw_figure(
            display.plot,
            "Cumulative return of the long–short portfolio",
            "Weighted by the ranks of the forecasts, one unit long and one short.",
        ),
        draw_figure(
            lambda ax: draw_bins(bins, ax),
            "Cumulative return of each quantile after costs",
            "The tickers of each bin of the forecasts, held equally.",
        ),
        draw_figure(
            lambda ax: display.plot(ax, kind="drawdown"),
            "Drawdown of the long–short portfolio",
            "Loss from the highest wealth so far.",
        ),
    ]
    if len(portfolio.monthly()):
        figures.append(
            draw_figure(
                lambda ax: display.plot(ax, kind="months"),
                "Return of each month",
                "Of the long–short portfolio after costs, in percent.",
            )
        )
    return grid(figures)


def draw_bins(bins: list[BacktestResult], ax: Axes) -> None:
    """Draw the wealth of the portfolio of each bin, from the lowest to the highest."""
    from matplotlib.colors import LinearSegmentedColormap

    # None is so light or so dark that it is lost on white paper or on black.
    colors = LinearSegmentedColormap.from_list("bins", [BAD, GREY, GOOD])
    shades = colors(np.linspace(0, 1, len(bins)))
    for place, (found, shade) in enumerate(zip(bins, shades, strict=True)):
        wealth = found.wealth["net"]
        ends = {0: " lowest", len(bins) - 1: " highest"}
        ax.plot(
            date_axis(ax, wealth.index),
            100 * (wealth.to_numpy() - 1),
            color=shade,
            lw=1.4,
            label=f"{place + 1}{ends.get(place, '')}",
        )
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel("cumulative return, %", color=INK)
    ax.legend(loc="upper left", frameon=False, fontsize=8, ncols=2)
    tidy(ax, "Cumulative return by quantile after costs")


def _note(portfolio: BacktestResult) -> str:
    """Write how the portfolios trade."""
    costs = portfolio.costs
    parts = [f"{count(costs.commission, 'basis point')} of the traded value"]
    if np.any(np.asarray(costs.half_spread) > 0):
        parts.append("half the spread")
    if costs.impact:
        parts.append(f"market impact with a factor of {costs.impact:g}")
    return (
        f"Weights are decided every {count(portfolio.rebalance_every, 'row')}, traded "
        f"{count(portfolio.delay, 'row')} later at the close, and drift in between. "
        f"Costs: "
        f"{', '.join(parts)}. Borrowing, taxes and interest are left out."
    )


def _large(value: float) -> str:
    """Write a sum of money briefly."""
    return f"{float(f'{value:.2g}'):,.0f}" if np.isfinite(value) else "–"
