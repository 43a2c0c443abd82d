"""What all pictures share: matplotlib on demand, colors, axes.

This module is for the other subpackages. It may change with any release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch.exceptions import PanelError
from skbatch.metrics._inference import MeanInference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from skbatch.metrics.alignment import Table

__all__ = [
    "BAD",
    "GOOD",
    "GREY",
    "INK",
    "Display",
    "ForecastDisplay",
    "bars_with_errors",
    "date_axis",
    "horizon_of",
    "new_axes",
    "refuse_several_horizons",
    "significance",
    "tidy",
]

INK = "#1f2933"
GREY = "#7b8794"
LIGHT = "#cbd2d9"
GOOD = "#1f6feb"
BAD = "#c2410c"


def new_axes(
    caller: object, ax: Axes | None, size: tuple[float, float] = (8.0, 3.6)
) -> Axes:
    """Return the axes to draw on; without any, those of a new figure, in inches."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(caller).__name__}.plot needs matplotlib. Install it with "
            "`pip install 'skbatch[plot]'`."
        ) from error
    if ax is not None:
        return ax
    return plt.subplots(figsize=size, layout="constrained")[1]


class Display:
    """A picture that draws on given or new axes."""

    ax_: Axes
    figure_: Figure | SubFigure
    _size = (8.0, 3.6)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        self : Display
            Itself.
        """
        self.ax_ = new_axes(self, ax, self._size)
        self.figure_ = self.ax_.figure
        self._draw(self.ax_)
        return self

    def _draw(self, ax: Axes) -> None:
        raise NotImplementedError


class ForecastDisplay(Display):
    """A picture of forecasts and realized returns."""

    from_predictions: Any

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, X: pd.DataFrame, y: Table, **options: Any
    ) -> Self:
        """Draw the forecasts of a fitted forecaster.

        Parameters
        ----------
        estimator : estimator
            Fitted forecaster or pipeline.
        X : DataFrame
            What it forecasts from, out of sample.
        y : DataFrame of shape (n_dates, n_tickers)
            Realized returns.
        **options
            Parameters of `from_predictions`.

        Returns
        -------
        Display
            The display.
        """
        picture: Self = cls.from_predictions(y, estimator.predict(X), **options)
        return picture


def tidy(ax: Axes, title: str, *, note: str = "") -> None:
    """Set the title and a smaller note below it, and remove clutter."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(LIGHT)
    ax.tick_params(colors=GREY, labelcolor=INK, labelsize=9)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color=LIGHT, linewidth=0.6, alpha=0.7)
    pad = 20 if note else 8
    ax.set_title(title, loc="left", fontsize=11, color=INK, weight="bold", pad=pad)
    if note:
        ax.annotate(
            note,
            (0, 1),
            (0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9,
            color=GREY,
        )


def date_axis(ax: Axes, index: pd.Index) -> np.ndarray:
    """Return positions on the x-axis, which is labeled briefly if they are dates."""
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        return index.to_numpy()
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return index.tz_localize(None).to_numpy()


def bars_with_errors(
    ax: Axes, positions: np.ndarray, heights: np.ndarray, errors: np.ndarray
) -> object:
    """Draw bars, blue above zero and red below, with whiskers."""
    bars = ax.bar(
        positions,
        heights,
        yerr=errors,
        color=[GOOD if height >= 0 else BAD for height in heights],
        alpha=0.85,
        width=0.65,
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 3},
    )
    ax.axhline(0, color=INK, linewidth=0.8)
    return bars


def horizon_of(y_true: Table, horizon: int | None) -> int:
    """Return the horizon; None takes the one recorded in the labels, or 1."""
    if horizon is not None:
        return horizon
    recorded = getattr(y_true, "attrs", {}).get("horizon", 1)
    return recorded if isinstance(recorded, int) else 1


def refuse_several_horizons(columns: pd.Index) -> None:
    """Raise for a picture of several horizons."""
    raise PanelError(
        f"`y_true` must have one horizon. Got {list(columns.unique(0))}. Select one, "
        "such as `y_true[5]`."
    )


def significance(result: MeanInference, name: str = "t") -> str:
    """Write the t-statistic beside its critical value; nothing if there is none."""
    if not np.isfinite(result.t_statistic):
        return ""
    return (
        f", {name} = {result.t_statistic:+.2f} (chance: ±{result.critical_value:.2f})"
    )
