"""The information coefficient over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from skbatch._messages import check_choice
from skbatch.metrics._correlation import (
    information_coefficient_series,
    rank_information_coefficient_series,
)
from skbatch.metrics._inference import mean_inference
from skbatch.metrics.plotting import (
    BAD,
    GOOD,
    GREY,
    INK,
    ForecastDisplay,
    date_axis,
    horizon_of,
    new_axes,
    refuse_several_horizons,
    significance,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skbatch.metrics.alignment import Table

_SERIES = {
    "rank": ("rank IC", rank_information_coefficient_series),
    "pearson": ("IC", information_coefficient_series),
}


class InformationCoefficientDisplay(ForecastDisplay):
    """Plot of the correlation of forecasts and returns across tickers over time.

    Use `from_estimator` or `from_predictions` to create one.

    Parameters
    ----------
    ic : Series of shape (n_dates,)
        The IC of each date, NaN where there is none.
    horizon : int, default=1
        Rows that each return spans.
    window : int, default=126
        Dates of the rolling mean.
    name : str, default="rank IC"
        What the values are called.

    Attributes
    ----------
    inference_ : MeanInference
        Mean and t-statistic, as shown.
    line_ : matplotlib Line2D
        The rolling mean, or the sum.
    points_ : matplotlib collection or None
        The ICs of single dates.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np, pandas as pd
    >>> from skbatch.metrics import InformationCoefficientDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = pd.DataFrame(rng.normal(size=(200, 5)))
    >>> display = InformationCoefficientDisplay.from_predictions(y, y + 1, window=20)
    >>> display.inference_.mean
    1.0
    """

    def __init__(
        self,
        ic: pd.Series,
        *,
        horizon: int = 1,
        window: int = 126,
        name: str = "rank IC",
    ) -> None:
        self.ic = ic
        self.horizon = horizon
        self.window = window
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: Table,
        y_pred: Table,
        *,
        method: Literal["rank", "pearson"] = "rank",
        horizon: int | None = None,
        window: int = 126,
        kind: Literal["rolling", "cumulative"] = "rolling",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the IC of forecasts.

        Parameters
        ----------
        y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
            Realized returns and forecasts of one horizon.
        method : {"rank", "pearson"}, default="rank"
            Correlation of ranks, or of values.
        horizon : int, default=None
            Rows that each return spans; None takes ``y_true.attrs["horizon"]``, and 1
            without it.
        window : int, default=126
            Dates of the rolling mean.
        kind : {"rolling", "cumulative"}, default="rolling"
            Rolling mean, or running sum.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        InformationCoefficientDisplay
            The display.

        Raises
        ------
        PanelError
            If there are several horizons, or the tables differ.
        ValueError
            If `method` or `kind` is unknown.
        """
        check_choice(method, "method", _SERIES)
        name, function = _SERIES[method]
        ic = function(y_true, y_pred)
        if isinstance(ic, pd.DataFrame):
            refuse_several_horizons(ic.columns)
        rows = horizon_of(y_true, horizon)
        display = cls(pd.Series(ic), horizon=rows, window=window, name=name)
        return display.plot(ax, kind=kind)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["rolling", "cumulative"] = "rolling",
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        kind : {"rolling", "cumulative"}, default="rolling"
            Rolling mean, or running sum.

        Returns
        -------
        InformationCoefficientDisplay
            Itself.
        """
        check_choice(kind, "kind", ("rolling", "cumulative"))
        ax = new_axes(self, ax)
        self.inference_ = mean_inference(self.ic, horizon=self.horizon)
        places = date_axis(ax, self.ic.index)
        ax.axhline(0, color=INK, linewidth=0.8)
        self.points_: Any = None
        if kind == "cumulative":
            self._plot_sum(ax, places)
        else:
            self._plot_mean(ax, places)
        ax.margins(x=0.01)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_sum(self, ax: Axes, places: np.ndarray) -> None:
        """Draw the running sum: a steady rise is a steady skill."""
        total = self.ic.cumsum()  # a gap where there is none
        (self.line_,) = ax.plot(places, total, color=GOOD, linewidth=1.6)
        ax.fill_between(places, 0, total, color=GOOD, alpha=0.1, linewidth=0)
        ax.set_ylabel(f"sum of {self.name}", color=INK)
        tidy(ax, f"Cumulative {self.name}", note=self._note())

    def _plot_mean(self, ax: Axes, places: np.ndarray) -> None:
        """Draw each date faintly, and the rolling mean on top."""
        self.points_ = ax.scatter(places, self.ic, s=4, color=GREY, alpha=0.4, lw=0)
        self.points_.set_rasterized(True)
        rolling = self.ic.rolling(self.window, min_periods=self.window // 2).mean()
        (self.line_,) = ax.plot(
            places, rolling, color=GOOD, linewidth=1.8, label=f"mean of {self.window}"
        )
        ax.axhline(
            self.inference_.mean, color=BAD, linestyle="--", linewidth=1.2, label="mean"
        )
        # Single dates scatter ten times as far as means: they are cut off for these.
        limit = max(3 * float(rolling.abs().max()), 0.05)
        if np.isfinite(limit):
            ax.set_ylim(-min(limit, 1.05), min(limit, 1.05))
        ax.set_ylabel(self.name, color=INK)
        ax.legend(loc="upper right", frameon=False, ncols=2, fontsize=9)
        tidy(ax, f"{self.name[0].upper()}{self.name[1:]} over time", note=self._note())

    def _note(self) -> str:
        """Describe the mean and its standard error."""
        result = self.inference_
        note = f"mean {result.mean:+.4f}, {result.n_dates} dates"
        return note + significance(result, "Newey–West t")
