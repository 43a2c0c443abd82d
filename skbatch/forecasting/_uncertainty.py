"""How sure a forecast is: intervals, quantiles, joint scenarios, chances of ranks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skbatch.exceptions import PanelError
from skbatch.forecasting._calibration import (
    Calibration,
    ResidualScale,
    rank_probabilities,
)
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout

__all__ = [
    "PredictionInterval",
    "UncertaintyMixin",
    "check_n_bins",
    "check_n_samples",
    "generator_of",
    "rank_table",
]


class PredictionInterval(NamedTuple):
    """Bounds of the realised returns, two tables like those of `predict`.

    Attributes
    ----------
    lower, upper : DataFrame, Series or ndarray
        Simple returns over the horizon.
    """

    lower: Any
    upper: Any


class UncertaintyMixin:
    """What a forecaster can say once its residuals are calibrated."""

    calibration_: Calibration
    scale_: ResidualScale
    random_state: Any

    @abstractmethod
    def _forecast(self, X: Any) -> tuple[np.ndarray, FeatureBlocks, LabelLayout]:
        """Forecast the tickers of `X`, `(n_dates, n_labels)`."""

    def predict_interval(self, X: Any, coverage: float = 0.9) -> PredictionInterval:
        """Bound the return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`, or of other tickers.
        coverage : float, default=0.9
            Share of the returns, between 0 and 1, that the intervals should hold. As
            many are to fall below as above.

        Returns
        -------
        PredictionInterval
            ``lower, upper``, two tables like that of `predict`. NaN where there is no
            forecast, or no volatility to scale by.
        """
        if not isinstance(coverage, Real) or not 0 < coverage < 1:
            raise ValueError(
                f"coverage must be between 0 and 1. Got {coverage!r}. Pass 0.9 for "
                "intervals that hold nine returns of ten."
            )
        tail = (1.0 - float(coverage)) / 2.0
        bounds, features, layout = self._quantiles(X, np.array([tail, 1.0 - tail]))
        lower, upper = (layout.wrap(bound, features.index) for bound in bounds)
        return PredictionInterval(lower, upper)

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] | float) -> Any:
        """Forecast quantiles of the return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`, or of other tickers.
        quantiles : float or sequence of float
            Levels between 0 and 1.

        Returns
        -------
        DataFrame or ndarray
            For each level a table like that of `predict`: as a DataFrame with the
            level before the other levels of the columns, so that ``result[0.05]`` is
            the table of one, or as an array `(n_quantiles, n_dates, …)` if `y` was one.
        """
        try:
            levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        except (TypeError, ValueError):
            levels = np.empty(0)
        if (
            levels.ndim != 1
            or not len(levels)
            or not ((levels > 0) & (levels < 1)).all()
        ):
            raise ValueError(
                "quantiles must be levels between 0 and 1. Got "
                f"{quantiles!r}. Pass for example [0.05, 0.5, 0.95]."
            )
        values, features, layout = self._quantiles(X, levels)
        tables = [layout.wrap(table, features.index) for table in values]
        if layout.kind == "array":
            return np.stack(tables)
        return pd.concat(
            dict(zip(levels, tables, strict=True)), axis=1, names=["quantile"]
        )

    def predict_scenarios(
        self, X: Any, n_samples: int = 1000, random_state: Any = None
    ) -> Any:
        """Draw joint scenarios of the returns that follow the last date of `X`.

        Deviations from the forecast have the pooled distribution of the calibration
        tail, at each ticker's own volatility; the mean is the forecast. They are
        correlated as the latest 252 one-row returns were that `fit` or `update` saw in
        the feature ``log_return_1``, or as the residuals of the tail where there is no
        such feature or there are several horizons. Correlations are shrunk towards
        those of a single index; a ticker with fewer than 20 of these values moves
        with the others as the average ticker does.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame; only its last row matters.
        n_samples : int, default=1000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the one of the forecaster.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_tickers)
            Simple returns over the horizon, columns as in `predict`; NaN for a ticker
            without a forecast or volatility.
        """
        scenarios, layout = self._scenarios(X, n_samples, random_state)
        if layout.kind == "array":
            return scenarios
        index = pd.RangeIndex(len(scenarios), name="sample")
        return pd.DataFrame(scenarios, index, layout.columns, copy=False)

    def predict_rank_proba(
        self,
        X: Any,
        n_bins: int = 5,
        *,
        n_samples: int = 2000,
        random_state: Any = None,
    ) -> pd.DataFrame:
        """Give each ticker's chances to end in each quantile of the cross-section.

        They are four parts frequencies in scenarios of :meth:`predict_scenarios` and
        one part equal chances, as volatilities and correlations are known with error.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame; only its last row matters.
        n_bins : int, default=5
            Number of bins, from the lowest to the highest returns; 5 for quintiles.
        n_samples : int, default=2000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the one of the forecaster.

        Returns
        -------
        DataFrame of shape (n_tickers, n_bins)
            Probabilities of the last date, with columns 1 to `n_bins`. Rows sum to 1,
            columns to n_tickers / n_bins, over the tickers that can be forecast; the
            others are NaN. With several horizons, each has its own ranks.
        """
        check_n_bins(n_bins)
        scenarios, layout = self._scenarios(X, n_samples, random_state)
        index = layout.columns if layout.kind == "frame" else pd.Index(layout.names)
        assert index is not None
        return rank_table(scenarios, layout.horizons, index, n_bins)

    def _forecast_last(self, X: Any) -> tuple[np.ndarray, np.ndarray, LabelLayout]:
        """Forecast and unit of the scores of each label `(1, n_labels)`."""
        if not isinstance(X, FeatureBlocks) and len(X) == 0:
            raise PanelError(
                "X must have a row, the date to forecast from. Got none. Pass at least "
                "the last date."
            )
        last: Any
        if isinstance(X, FeatureBlocks):
            last = X.last()
        else:
            last = X.iloc[[-1]] if isinstance(X, pd.DataFrame) else np.asarray(X)[-1:]
        forecasts, features, layout = self._forecast(last)
        return forecasts, self.scale_.matrix(features, layout), layout

    def _quantiles(
        self, X: Any, levels: np.ndarray
    ) -> tuple[np.ndarray, FeatureBlocks, LabelLayout]:
        """Quantiles of returns `(n_levels, n_dates, n_labels)`."""
        forecasts, features, layout = self._forecast(X)
        scale = self.scale_.matrix(features, layout)
        scores = self.calibration_.quantiles(levels, layout)
        deviations = scores[:, None, :] * scale
        return self.calibration_.returns(forecasts, deviations), features, layout

    def _scenarios(
        self, X: Any, n_samples: int, random_state: Any
    ) -> tuple[np.ndarray, LabelLayout]:
        """Draw returns `(n_samples, n_labels)` for the last date."""
        check_n_samples(n_samples)
        forecasts, scale, layout = self._forecast_last(X)
        state = self.random_state if random_state is None else random_state
        rng = generator_of(state)
        scenarios = self.calibration_.scenarios(layout, int(n_samples), rng)
        self.calibration_.scenario_returns(scenarios, forecasts, scale, layout)
        return scenarios, layout


def check_n_bins(n_bins: Any) -> None:
    """Raise unless the cross-section can be cut into so many bins."""
    if not isinstance(n_bins, Integral) or isinstance(n_bins, bool) or n_bins < 1:
        raise ValueError(
            f"n_bins must be an int of at least 1. Got {n_bins!r}. Pass 5 for "
            "quintiles."
        )


def check_n_samples(n_samples: Any) -> None:
    """Raise unless so many scenarios can be drawn."""
    whole = isinstance(n_samples, Integral) and not isinstance(n_samples, bool)
    if not whole or n_samples < 1:
        raise ValueError(
            f"n_samples must be an int of at least 1. Got {n_samples!r}. Pass 1000 "
            "or more for tails."
        )


def generator_of(random_state: Any) -> np.random.Generator:
    """Make a generator from whatever scikit-learn takes as a seed."""
    return np.random.default_rng(
        int(check_random_state(random_state).randint(2**31 - 1))
    )


def rank_table(
    scenarios: np.ndarray, horizons: Sequence[int], labels: pd.Index, n_bins: int
) -> pd.DataFrame:
    """Chances of each bin of the ranks, by label, from scenarios of their returns."""
    table = np.full((len(labels), int(n_bins)), np.nan)
    known = np.isfinite(scenarios[0])
    for horizon in set(horizons):
        use = np.flatnonzero(known & (np.asarray(horizons) == horizon))
        if len(use):
            table[use] = rank_probabilities(scenarios[:, use], int(n_bins))
    index = labels.rename("ticker") if labels.nlevels == 1 else labels
    return pd.DataFrame(table, index, pd.RangeIndex(1, n_bins + 1, name="bin"))
