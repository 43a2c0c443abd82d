"""Where one ticker's price may go."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from skbatch._messages import count, date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.metrics._plot._interval_calibration import (
    QuantileForecasts,
    forecast_quantiles,
    quantile_tables,
)
from skbatch.metrics.plotting import GOOD, INK, Display, date_axis, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ForecastFanDisplay(Display):
    """Plot of a ticker's past prices and the quantiles of its future price.

    Use `from_estimator` or `from_predictions` to create one.

    Parameters
    ----------
    history : Series of shape (n_dates,)
        Past prices, the last one known.
    returns : DataFrame of shape (n_horizons, n_quantiles)
        Quantiles of the simple return from the last price: rows are horizons, in
        rows, columns levels between 0 and 1, in rising order.
    realized : Series, default=None
        Prices after the last date, where they are known by now.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Past prices.
    bands_ : list of matplotlib collections
        The bands, the widest first.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Notes
    -----
    Prices are forecast where the dots are; between them, edges are straight lines.
    """

    def __init__(
        self,
        history: pd.Series,
        returns: pd.DataFrame,
        *,
        realized: pd.Series | None = None,
    ) -> None:
        self.history = history
        self.returns = returns
        self.realized = realized

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: pd.DataFrame,
        prices: pd.DataFrame,
        *,
        ticker: str,
        quantiles: Sequence[float] = QUANTILES,
        **options: Any,
    ) -> ForecastFanDisplay:
        """Draw the fan of a fitted forecaster at the last date of `X`.

        Parameters
        ----------
        estimator : estimator
            Fitted forecaster with ``predict_quantiles(X, quantiles)`` and `horizon_`,
            or a pipeline that ends in one.
        X : DataFrame
            What it forecasts from; the last row is drawn.
        prices : DataFrame of shape (n_dates, n_tickers)
            Closing prices; those after the last date of `X` are drawn as realized.
        ticker : str
            The ticker.
        quantiles : sequence of float, default=(0.05, 0.25, 0.5, 0.75, 0.95)
            Levels between 0 and 1.
        **options
            Parameters of `from_predictions`.

        Returns
        -------
        ForecastFanDisplay
            The display.

        Raises
        ------
        TypeError
            If the estimator does not forecast quantiles.
        """
        tables = forecast_quantiles(estimator, X, quantiles)
        final = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        options = {"horizon": final.horizon_, "date": X.index[-1], **options}
        return cls.from_predictions(prices, tables, ticker=ticker, **options)

    @classmethod
    def from_predictions(
        cls,
        prices: pd.DataFrame,
        y_pred: QuantileForecasts,
        *,
        ticker: str,
        horizon: int | Sequence[int],
        date: Hashable | None = None,
        n_history: int = 126,
        ax: Axes | None = None,
    ) -> ForecastFanDisplay:
        """Draw the fan of quantile forecasts at one date.

        Parameters
        ----------
        prices : DataFrame of shape (n_dates, n_tickers)
            Closing prices; those after `date` are drawn as realized.
        y_pred : mapping or DataFrame
            Level → forecasts of that quantile, with rows of dates and columns of
            tickers or (horizon, ticker); or a DataFrame with the levels as a level of
            its columns.
        ticker : str
            The ticker.
        horizon : int or sequence of int
            Rows that forecasts look ahead.
        date : date, default=None
            Date of the forecasts; None takes their last.
        n_history : int, default=126
            Past prices to draw.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ForecastFanDisplay
            The display.

        Raises
        ------
        PanelError
            If the ticker or the date is not in the tables, or has no price.
        """
        tables = quantile_tables(y_pred)
        date = next(iter(tables.values())).index[-1] if date is None else date
        if ticker not in prices.columns or date not in prices.index:
            raise PanelError(
                "`prices` must hold the ticker and the date. Got "
                f"{format_tickers(prices.columns)} without {ticker}, or no "
                f"{date_text(date)}. Pass the closes that were forecast from."
            )
        steps = [int(h) for h in np.atleast_1d(horizon)]
        series = prices[ticker]
        place = int(np.flatnonzero(prices.index == date)[0])
        past = series.iloc[max(0, place + 1 - n_history) : place + 1]
        if not np.isfinite(past.iloc[-1]):
            raise PanelError(
                f"`prices` must have a price of {ticker} at {date_text(date)}. Got "
                "none. Choose another date."
            )
        returns = pd.DataFrame(
            {
                level: [_cell(tables[level], date, ticker, h) for h in steps]
                for level in sorted(tables)
            },
            index=steps,
        )
        later = series.iloc[place : place + 1 + max(steps)]
        realized = later if len(later) > 1 else None
        return cls(past, returns.sort_index(), realized=realized).plot(ax)

    def _draw(self, ax: Axes) -> None:
        last = float(self.history.iloc[-1])
        steps = [0, *self.returns.index]
        index = _future(self.history.index, self.realized, max(steps))
        places = date_axis(ax, index)
        ahead = places[len(self.history) - 1 + np.asarray(steps)]
        prices = last * (1 + pd.concat([self.returns.iloc[:1] * 0, self.returns]))
        levels = [float(level) for level in self.returns.columns]
        prices.columns = pd.Index(levels)
        (self.line_,) = ax.plot(
            places[: len(self.history)], self.history, color=INK, linewidth=1.4
        )
        self.bands_: list[Any] = []
        for low, high in zip(levels, reversed(levels), strict=True):
            if low >= high:
                break
            share = f"{100 * (high - low):g}%"
            self.bands_.append(
                ax.fill_between(
                    ahead,
                    prices[low],
                    prices[high],
                    color=GOOD,
                    # The inner bands are darker in the legend, too.
                    alpha=0.18 + 0.17 * len(self.bands_),
                    linewidth=0,
                    label=share,
                )
            )
        middle = levels[len(levels) // 2]
        if len(levels) % 2:
            label = "median" if middle == 0.5 else f"{100 * middle:g}% quantile"
            ax.plot(
                ahead,
                prices[middle],
                color=GOOD,
                linewidth=1.6,
                marker="o",
                ms=3.5,
                label=label,
            )
        if self.realized is not None:
            known = places[len(self.history) - 1 :][: len(self.realized)]
            ax.plot(
                known, self.realized, color=INK, linestyle=":", lw=1.4, label="realized"
            )
        ax.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)
        ax.set_ylabel("price", color=INK)
        ax.margins(x=0.01)
        date = date_text(self.history.index[-1])
        tidy(ax, f"{self.history.name}: forecast from {date}", note=self._note(levels))

    def _note(self, levels: list[float]) -> str:
        """Describe the widest interval at the longest horizon."""
        low, high = 100 * self.returns.iloc[-1, [0, -1]]
        step = int(self.returns.index[-1])
        return (
            f"{100 * (levels[-1] - levels[0]):g}% interval of the return over "
            f"{count(step, 'row')}: {low:+.1f}% to {high:+.1f}%"
        )


def _cell(table: pd.DataFrame, date: Hashable, ticker: str, horizon: int) -> float:
    """Find one forecast."""
    column = (horizon, ticker) if table.columns.nlevels > 1 else ticker
    if date not in table.index or column not in table.columns:
        raise PanelError(
            f"`y_pred` must forecast {ticker} over {horizon} rows at "
            f"{date_text(date)}. Got columns {format_tickers(table.columns)} without "
            "it. Pass other forecasts."
        )
    return float(table.loc[[date], [column]].to_numpy()[0, 0])


def _future(past: pd.Index, realized: pd.Series | None, n_ahead: int) -> pd.Index:
    """Continue an index: by known rows, then by business days or numbers."""
    index = past if realized is None else past.append(realized.index[1:])
    missing = len(past) + n_ahead - len(index)
    if missing <= 0:
        return index
    if not isinstance(index, pd.DatetimeIndex):
        step = index[-1] - index[-2] if len(index) > 1 else 1
        more = [index[-1] + step * (n + 1) for n in range(missing)]
        return index.append(pd.Index(more))
    weekends = bool((index[-14:].day_of_week >= 5).any())
    freq = "D" if weekends else "B"
    later = pd.date_range(index[-1], periods=missing + 1, freq=freq)[1:]
    if len(later) < missing or later[0] <= index[-1]:
        later = pd.date_range(index[-1], periods=missing + 2, freq=freq)[-missing:]
    return index.append(later)
