"""Wealth, drawdown and months of a backtest, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from skbatch._messages import check_choice
from skbatch.metrics.plotting import (
    BAD,
    GOOD,
    GREY,
    INK,
    Display,
    date_axis,
    new_axes,
    tidy,
)
from skbatch.model_selection._backtest_result import BacktestResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MONTHS = "JFMAMJJASOND"


class BacktestDisplay(Display):
    """Plot of a backtest: its wealth, its drawdown, or its months.

    Parameters
    ----------
    result : BacktestResult
        The backtest.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skbatch.datasets import make_panel
    >>> from skbatch.model_selection import BacktestDisplay, backtest
    >>> prices = make_panel(n_dates=300, n_tickers=10, random_state=0)
    >>> result = backtest(-prices.pct_change(5).iloc[100:], prices)
    >>> BacktestDisplay(result).plot(kind="drawdown").ax_.get_ylabel()
    'drawdown, %'
    """

    def __init__(self, result: BacktestResult) -> None:
        self.result = result

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["wealth", "drawdown", "months"] = "wealth",
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        kind : {"wealth", "drawdown", "months"}, default="wealth"
            Cumulative return before and after costs, beside the mean of all tickers;
            loss from the highest wealth so far; or the return of each month.

        Returns
        -------
        self : BacktestDisplay
            Itself.
        """
        draw = {
            "wealth": self._draw_wealth,
            "drawdown": self._draw_drawdown,
            "months": self._draw_months,
        }
        check_choice(kind, "kind", draw)
        self.ax_ = new_axes(self, ax, self._size)
        self.figure_ = self.ax_.figure
        draw[kind](self.ax_)
        return self

    def _draw_wealth(self, ax: Axes) -> None:
        wealth, measures = self.result.wealth, self.result.measures
        market = (1 + self.result.market).cumprod()
        places = date_axis(ax, wealth.index)
        lines = {
            "after costs": (wealth["net"], GOOD, "-"),
            "before costs": (wealth["gross"], GOOD, ":"),
            "mean of all tickers": (market, GREY, "-"),
        }
        for label, (series, color, style) in lines.items():
            values = 100 * (series.to_numpy() - 1)
            width = 1.6 if color == GOOD else 1.0
            ax.plot(places, values, style, color=color, lw=width, label=label)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_ylabel("cumulative return, %", color=INK)
        ax.legend(loc="upper left", frameon=False, fontsize=9)
        note = (
            f"Sharpe ratio {measures['sharpe_net']:.2f} after and "
            f"{measures['sharpe_gross']:.2f} before costs"
        )
        tidy(ax, self.result.name or "Cumulative return", note=note)

    def _draw_drawdown(self, ax: Axes) -> None:
        drawdown = self.result.drawdown
        places = date_axis(ax, drawdown.index)
        ax.fill_between(places, -100 * drawdown.to_numpy(), color=BAD, alpha=0.6, lw=0)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_ylabel("drawdown, %", color=INK)
        note = f"at most {100 * drawdown.max():.1f}%"
        tidy(ax, "Drawdown after costs", note=note)

    def _draw_months(self, ax: Axes) -> None:
        table = 100 * self.result.monthly()
        values = table.to_numpy(dtype=np.float64)
        finite = np.abs(values[np.isfinite(values)])
        bound = float(finite.max()) if len(finite) else 1.0
        ax.imshow(
            values, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto", alpha=0.8
        )
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 * bound else INK
                ax.text(
                    column,
                    row,
                    f"{value:.1f}",
                    ha="center",
                    va="center",
                    size=8,
                    color=ink,
                )
        ax.set_xticks(range(12), list(MONTHS))
        ax.set_yticks(range(len(table)), [str(year) for year in table.index])
        tidy(ax, "Return of each month after costs, %")
        ax.grid(visible=False)
