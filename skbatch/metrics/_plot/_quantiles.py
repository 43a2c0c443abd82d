"""Returns of tickers sorted by their forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import count
from skbatch.exceptions import PanelError
from skbatch.metrics._inference import mean_inference
from skbatch.metrics._plot._style import BAD, GOOD, INK, new_axes, tidy
from skbatch.metrics._sorts import quantile_returns

__all__ = ["QuantileReturnsDisplay"]


class QuantileReturnsDisplay:
    """Picture of the mean return of each bin of the forecasts.

    Use `from_estimator` or `from_predictions` to make one.

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

    def __init__(self, returns: pd.DataFrame, *, horizon: int = 1) -> None:
        self.returns = returns
        self.horizon = horizon

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, **options: Any
    ) -> QuantileReturnsDisplay:
        """Draw the bins of a fitted forecaster's forecasts.

        Parameters
        ----------
        estimator : estimator
            Fitted forecaster or pipeline.
        X : DataFrame
            What it forecasts from, out of sample.
        y : DataFrame of shape (n_dates, n_tickers)
            Realised returns.
        **options
            Parameters of `from_predictions`.

        Returns
        -------
        QuantileReturnsDisplay
            The picture.
        """
        return cls.from_predictions(y, estimator.predict(X), **options)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        n_quantiles: int = 5,
        horizon: int | None = None,
        ax: Any = None,
    ) -> QuantileReturnsDisplay:
        """Draw the bins of forecasts.

        Parameters
        ----------
        y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
            Realised returns and forecasts of one horizon.
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
            The picture.

        Raises
        ------
        PanelError
            If there are several horizons, or the tables differ.
        """
        bins = quantile_returns(y_true, y_pred, n_quantiles)
        if isinstance(bins, np.ndarray):
            bins = pd.DataFrame(bins, columns=range(1, n_quantiles + 1))
        if bins.columns.nlevels > 1:
            raise PanelError(
                "`y_true` must have one horizon. Got "
                f"{list(bins.columns.unique(0))}. Select one, such as `y_true[5]`."
            )
        if horizon is None:
            known = getattr(y_true, "attrs", {}).get("horizon", 1)
            horizon = known if isinstance(known, int) else 1
        return cls(bins, horizon=horizon).plot(ax)

    def plot(self, ax: Any = None) -> QuantileReturnsDisplay:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        QuantileReturnsDisplay
            Itself.
        """
        ax = new_axes(f"{type(self).__name__}.plot", ax, (6.0, 3.6))
        table, common = self.returns, self.returns.mean(axis=1)
        self.means_ = table.mean()
        self.spread_ = mean_inference(
            table.iloc[:, -1] - table.iloc[:, 0], horizon=self.horizon
        )
        whiskers = [self._whisker(table[name] - common) for name in table]
        colours = [GOOD if value >= 0 else BAD for value in self.means_]
        places = np.arange(1, table.shape[1] + 1)
        self.bars_ = ax.bar(
            places,
            100 * self.means_,
            yerr=100 * np.asarray(whiskers),
            color=colours,
            alpha=0.85,
            width=0.7,
            error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 3},
        )
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.axhline(
            100 * common.mean(), color=INK, linestyle=":", linewidth=1.2, label="all"
        )
        ax.legend(loc="upper left", frameon=False, fontsize=9)
        labels = [str(place) for place in places]
        labels[0], labels[-1] = "1\nlowest", f"{places[-1]}\nhighest"
        ax.set_xticks(places, labels)
        ax.set_xlabel("quantile of the forecasts", color=INK)
        ax.set_ylabel(
            f"mean return over {count(self.horizon, 'row')}, %",
            color=INK,
        )
        tidy(ax, "Return by quantile of the forecasts", note=self._note())
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _whisker(self, relative: pd.Series) -> float:
        """Half width of the 95 % interval of a bin's return less that of all."""
        result = mean_inference(relative, horizon=self.horizon)
        if not result.t_statistic:
            return float("nan")
        return abs(result.mean / result.t_statistic) * result.critical_value

    def _note(self) -> str:
        """Say the spread and how sure it is."""
        result = self.spread_
        note = f"highest − lowest {100 * result.mean:+.3f} %"
        if np.isfinite(result.t_statistic):
            note += f", t = {result.t_statistic:+.2f} (chance: ±"
            note += f"{result.critical_value:.2f})"
        return note
