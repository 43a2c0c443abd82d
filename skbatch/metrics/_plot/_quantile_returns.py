"""Returns of tickers sorted by their forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from skbatch._messages import count
from skbatch.metrics._inference import mean_inference
from skbatch.metrics._sorted_portfolios import quantile_returns
from skbatch.metrics.plotting import (
    INK,
    ForecastDisplay,
    bars_with_errors,
    horizon_of,
    refuse_several_horizons,
    significance,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skbatch.metrics.alignment import Table


class QuantileReturnsDisplay(ForecastDisplay):
    """Plot of the mean return of each bin of the forecasts.

    Use `from_estimator` or `from_predictions` to create one.

    Parameters
    ----------
    returns : DataFrame of shape (n_dates, n_quantiles)
        Mean return of each bin on each date, the lowest forecasts first.
    horizon : int, default=1
        Rows that each return spans.

    Attributes
    ----------
    means_ : Series of shape (n_quantiles,)
        Mean over dates of each bin, as drawn.
    spread_ : MeanInference
        The highest bin less the lowest.
    bars_ : matplotlib BarContainer
        The bars. Whiskers reach as far as chance would take the bin's return less
        that of all bins in 95 of 100 cases.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np, pandas as pd
    >>> from skbatch.metrics import QuantileReturnsDisplay
    >>> y = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 10)))
    >>> display = QuantileReturnsDisplay.from_predictions(y, y)
    >>> bool(display.means_.is_monotonic_increasing)
    True
    """

    _size = (6.0, 3.6)

    def __init__(self, returns: pd.DataFrame, *, horizon: int = 1) -> None:
        self.returns = returns
        self.horizon = horizon

    @classmethod
    def from_predictions(
        cls,
        y_true: Table,
        y_pred: Table,
        *,
        n_quantiles: int = 5,
        horizon: int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the bins of forecasts.

        Parameters
        ----------
        y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
            Realized returns and forecasts of one horizon.
        n_quantiles : int, default=5
            Number of bins.
        horizon : int, default=None
            Rows that each return spans; None takes ``y_true.attrs["horizon"]``, and 1
            without it.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        QuantileReturnsDisplay
            The display.

        Raises
        ------
        PanelError
            If there are several horizons, or the tables differ.
        """
        bins = quantile_returns(y_true, y_pred, n_quantiles)
        if isinstance(bins, np.ndarray):
            bins = pd.DataFrame(bins, columns=range(1, n_quantiles + 1))
        if bins.columns.nlevels > 1:
            refuse_several_horizons(bins.columns)
        return cls(bins, horizon=horizon_of(y_true, horizon)).plot(ax)

    def _draw(self, ax: Axes) -> None:
        table, common = self.returns, self.returns.mean(axis=1)
        self.means_ = table.mean()
        self.spread_ = mean_inference(
            table.iloc[:, -1] - table.iloc[:, 0], horizon=self.horizon
        )
        margins = [
            mean_inference(table[name] - common, horizon=self.horizon).margin
            for name in table
        ]
        positions = np.arange(1, table.shape[1] + 1)
        self.bars_ = bars_with_errors(
            ax, positions, 100 * self.means_.to_numpy(), 100 * np.asarray(margins)
        )
        height = 100 * common.mean()
        ax.axhline(height, color=INK, linestyle=":", linewidth=1.2)
        ax.annotate(
            "all",
            (1, height),
            (3, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
        labels = [str(position) for position in positions]
        labels[0], labels[-1] = "1\nlowest", f"{positions[-1]}\nhighest"
        ax.set_xticks(positions, labels)
        ax.set_xlabel("quantile of the forecasts", color=INK)
        ax.set_ylabel(f"mean return over {count(self.horizon, 'row')}, %", color=INK)
        spread = f"highest − lowest {100 * self.spread_.mean:+.3f}%"
        note = spread + significance(self.spread_)
        tidy(ax, "Return by quantile of the forecasts", note=note)
