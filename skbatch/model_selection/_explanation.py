"""Where a forecast comes from: feature by feature, family by family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._messages import count, date_text, format_tickers
from skbatch._sklearn import last_step
from skbatch.metrics.plotting import BAD, GOOD, GREY, INK, Display, tidy
from skbatch.model_selection._feature_importance import feature_families, signals_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OTHERS = "all others"


@dataclass(frozen=True, eq=False)
class ForecastExplanation:
    """What the forecasts of one date consist of.

    Parameters
    ----------
    contributions : DataFrame of shape (n_tickers, n_parts)
        Contribution of each part to the expected return, indexed by ticker, or by
        (horizon, ticker). Columns are (family, part): the features with their families
        (a signal is one of its own), then ``model average``, ``shrinkage``, ``market
        expectation`` and ``historical mean``, as far as the models have them. Rows sum
        to the forecasts.
    date : Timestamp or int
        The last date whose features the forecasts use.
    horizon : int or tuple of int
        Rows ahead.

    See Also
    --------
    skbatch.BatchForecastingSystem.explain : Explain a system's forecasts.
    skbatch.forecasting.BaseBatchForecaster.explain : What the parts are.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbatch import (BatchLinearForecaster, SharedFeatureExtractor,
    ...                      forward_returns)
    >>> from skbatch.datasets import make_panel
    >>> from skbatch.model_selection import ForecastExplanation
    >>> prices = make_panel(n_dates=300, n_tickers=8, random_state=0)
    >>> features = SharedFeatureExtractor(["returns", "volatility"], [5, 21])
    >>> model = make_pipeline(features, BatchLinearForecaster())
    >>> model = model.fit(prices, forward_returns(prices, 5))
    >>> explanation = ForecastExplanation.from_estimator(model, prices)
    >>> list(explanation.by_family().columns)
    ['returns', 'volatility', 'model average', 'shrinkage', 'market expectation']
    """

    contributions: pd.DataFrame
    date: Any
    horizon: int | tuple[int, ...]

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, X: pd.DataFrame
    ) -> ForecastExplanation:
        """Explain the forecasts of a fitted estimator at the last date.

        Parameters
        ----------
        estimator : estimator
            Fitted forecaster, pipeline, search or
            :class:`~skbatch.BatchForecastingSystem`.
        X : DataFrame
            What it forecasts from: a feature frame, or prices.

        Returns
        -------
        ForecastExplanation
            The explanation.

        Raises
        ------
        TypeError
            If the forecaster cannot be explained.
        ValueError
            If it is of trees with several outputs (``strategy="vector"``).
        """
        model, X = last_step(getattr(estimator, "best_estimator_", estimator), X)
        if not hasattr(model, "explain"):
            raise TypeError(
                "`estimator` must have `explain`, or end in a forecaster that has. Got "
                f"{type(model).__name__}. Use BatchXGBoostForecaster or "
                "BatchLinearForecaster."
            )
        parts = model.explain(X)
        if isinstance(parts, cls):
            return parts
        date = X.index[-1] if isinstance(X, pd.DataFrame) else len(X) - 1
        return cls.of_parts(parts, date, model.layout_.horizon, estimator)

    @classmethod
    def of_parts(
        cls,
        parts: pd.DataFrame,
        date: Any,
        horizon: int | tuple[int, ...],
        estimator: Any = None,
    ) -> ForecastExplanation:
        """Look up the families of parts that a forecaster's `explain` gives.

        Parameters
        ----------
        parts : DataFrame of shape (n_tickers, n_parts)
            As from :meth:`skbatch.forecasting.BaseBatchForecaster.explain`.
        date : Timestamp or int
            The date of the forecasts.
        horizon : int or tuple of int
            Rows ahead.
        estimator : estimator, default=None
            Fitted pipeline or system whose signals are families of their own.

        Returns
        -------
        ForecastExplanation
            The explanation.
        """
        families = feature_families(parts.columns, signals_of(estimator))
        columns = [families, list(parts.columns)]
        names = pd.MultiIndex.from_arrays(columns, names=["family", "part"])
        return cls(parts.set_axis(names, axis=1), date, horizon)

    @property
    def expected_returns(self) -> pd.Series:
        """The forecasts, expected simple returns over the horizon."""
        sums = self.contributions.sum(axis=1, skipna=False)
        return sums.rename("expected_return")

    def by_family(self) -> pd.DataFrame:
        """Sum the contributions of each family of features.

        Returns
        -------
        DataFrame of shape (n_tickers, n_families)
            Columns are families, then what no feature contributes.
        """
        families = self.contributions.columns.get_level_values("family")
        table = self.contributions.set_axis(families, axis=1)
        sums = table.T.groupby(level=0, sort=False).sum(min_count=1).T
        return sums.rename_axis(columns=None)

    def of_ticker(self, ticker: str, horizon: int | None = None) -> pd.DataFrame:
        """List what one ticker's forecast consists of.

        Parameters
        ----------
        ticker : str
            The ticker.
        horizon : int, default=None
            One of several horizons; None takes the first.

        Returns
        -------
        DataFrame of shape (n_parts, 2)
            Indexed by part, with columns family and contribution: features first, the
            largest contributions before smaller ones.

        Raises
        ------
        KeyError
            If there is no such ticker, or no such horizon.
        """
        row = self.contributions.loc[self._label(ticker, horizon)]
        table = row.rename("contribution").reset_index().set_index("part")
        size = table["contribution"].abs().to_numpy()
        last = (table["family"] == table.index).to_numpy()
        return table.iloc[np.lexsort((-size * ~last, last))]

    def plot(
        self,
        ticker: str,
        horizon: int | None = None,
        *,
        n_features: int = 0,
        ax: Axes | None = None,
    ) -> ForecastExplanationDisplay:
        """Draw what one ticker's forecast consists of.

        Parameters
        ----------
        ticker : str
            The ticker.
        horizon : int, default=None
            One of several horizons; None takes the first.
        n_features : int, default=0
            Draw so many features, those with the largest contributions; 0 draws
            families.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ForecastExplanationDisplay
            The display.
        """
        if n_features:
            table = self.of_ticker(ticker, horizon)
            rest = table["family"] == table.index
            own = table["contribution"][~rest]
            others = pd.Series({OTHERS: own.iloc[n_features:].sum()})
            last = table["contribution"][rest]
            parts = pd.concat([own.iloc[:n_features], others, last])
        else:
            parts = self.by_family().T[self._label(ticker, horizon)]
        rows = count(self.horizons[0] if horizon is None else horizon, "row")
        title = f"{ticker}, {date_text(self.date)}, over {rows}"
        return ForecastExplanationDisplay(parts, name=title).plot(ax)

    @property
    def horizons(self) -> tuple[int, ...]:
        """All horizons, in rows."""
        return self.horizon if isinstance(self.horizon, tuple) else (self.horizon,)

    def _label(self, ticker: str, horizon: int | None) -> Any:
        """Look up a row by ticker and horizon."""
        index = self.contributions.index
        several = index.nlevels > 1
        label = (self.horizons[0] if horizon is None else horizon, ticker)
        if (label if several else ticker) in index and label[0] in self.horizons:
            return label if several else ticker
        raise KeyError(
            "`ticker` and `horizon` must be among the forecasts. Got "
            f"{ticker!r} and {horizon}. Choose from "
            f"{format_tickers(index.get_level_values(-1).unique())} at horizon "
            f"{self.horizon}."
        )

    def __repr__(self) -> str:
        n_known = int(self.expected_returns.notna().sum())
        families = ", ".join(map(str, self.by_family().columns))
        return (
            f"ForecastExplanation: {n_known} forecasts at {date_text(self.date)} from "
            f"{families}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.by_family().to_html(max_rows=20)}"


class ForecastExplanationDisplay(Display):
    """Plot of what one forecast consists of, as a waterfall.

    Use :meth:`ForecastExplanation.plot` to create one.

    Parameters
    ----------
    parts : Series of shape (n_parts,)
        Contributions to the expected return, by name.
    name : str, default=""
        What is forecast, for the title.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        A bar for each part, from where the one before it ends, and the forecast.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from skbatch.model_selection import ForecastExplanationDisplay
    >>> parts = pd.Series({"returns": 0.02, "shrinkage": -0.015})
    >>> display = ForecastExplanationDisplay(parts, name="AAPL").plot()
    >>> [round(float(bar.get_width()), 3) for bar in display.bars_.patches]
    [2.0, -1.5, 0.5]
    """

    def __init__(self, parts: pd.Series, *, name: str = "") -> None:
        self.parts = parts
        self.name = name

    @property
    def _size(self) -> tuple[float, float]:  # type: ignore[override]
        return 8.0, 1.4 + 0.34 * (len(self.parts) + 1)

    def _draw(self, ax: Axes) -> None:
        widths = 100 * np.append(self.parts.to_numpy(np.float64), self.parts.sum())
        starts = np.append(0.0, np.cumsum(widths[:-1]))
        starts[-1] = 0.0
        places = np.arange(len(widths))
        colors = [GOOD if width >= 0 else BAD for width in widths[:-1]]
        self.bars_ = ax.barh(
            places, widths, left=starts, color=[*colors, INK], height=0.62
        )
        ends = starts + widths
        ax.vlines(ends[:-1], places[:-1] - 0.31, places[1:] + 0.31, GREY, lw=0.6)
        for place, width, high in zip(
            places, widths, np.maximum(starts, ends), strict=True
        ):
            ax.annotate(
                f"{width:+.3f}%",
                (high, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK,
            )
        ax.axvline(0, color=INK, linewidth=0.8)
        low, high = min(0.0, *ends, *starts), max(0.0, *ends, *starts)
        ax.set_xlim(low - 0.04 * (high - low), high + 0.16 * (high - low))
        ax.set_yticks(places, [*map(str, self.parts.index), "forecast"])
        ax.invert_yaxis()
        ax.set_xlabel("expected return, %", color=INK)
        tidy(ax, self.name or "Where the forecast comes from")
        ax.grid(visible=False)
