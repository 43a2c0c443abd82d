"""How sure a forecast is: intervals, quantiles, joint scenarios, chances of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skbatch._messages import check_int, warn_user
from skbatch._sklearn import Seed
from skbatch.exceptions import FallbackWarning, PanelError
from skbatch.forecasting._calibration import Calibration, recent_moves
from skbatch.forecasting._children import run_model
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._joint_scenarios import JointScenarios, rank_table
from skbatch.forecasting._label_layout import LabelLayout, check_features
from skbatch.forecasting._other_frame import OtherFrame, has_other_tickers
from skbatch.forecasting._outlook import Outlook
from skbatch.panel.engine import PanelColumns


class PredictionInterval(NamedTuple):
    """Bounds of the realized returns, two tables like those of `predict`.

    Attributes
    ----------
    lower, upper : DataFrame, Series or ndarray
        Simple returns over the horizon.
    """

    lower: Any
    upper: Any


class UncertaintyMixin:
    """Intervals, quantiles, scenarios and chances of ranks of a forecaster."""

    calibration_: Calibration | None
    layout_: LabelLayout
    panel_columns_: PanelColumns
    _forecast_others: Any

    @property
    def calibrates_itself(self) -> bool:
        """Whether `fit` measures how far returns deviate from the forecasts."""
        return True

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

        Warns
        -----
        FallbackWarning
            If nothing could be calibrated; all bounds are NaN then.
        """
        check_coverage(coverage)
        tail = (1.0 - float(coverage)) / 2.0
        return PredictionInterval(*self._quantiles(X, np.array([tail, 1.0 - tail])))

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
        levels = check_quantiles(quantiles)
        tables = self._quantiles(X, levels)
        if not isinstance(tables[0], pd.DataFrame | pd.Series):
            return np.stack(tables)
        return pd.concat(
            dict(zip(levels, tables, strict=True)), axis=1, names=["quantile"]
        )

    def predict_scenarios(
        self, X: Any, n_samples: int = 1000, random_state: Seed = None
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
            Seed; None takes the forecaster's `random_state`, or 0 if it has none.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_tickers)
            Simple returns over the horizon, columns as in `predict`; NaN for a ticker
            without a forecast or volatility.
        """
        check_int(n_samples, "n_samples", 1, "Pass 1000 or more for tails.")
        joint, layout = self._joint(X)
        if joint is None:
            scenarios = np.full((int(n_samples), len(layout.horizons)), np.nan)
        else:
            scenarios = joint.draw(int(n_samples), self._generator(random_state))
        if layout.kind == "array":
            return scenarios
        index = pd.RangeIndex(len(scenarios), name="sample")
        return pd.DataFrame(scenarios, index, layout.columns, copy=False)

    def predict_rank_proba(
        self,
        X: Any,
        n_bins: int = 5,
        *,
        n_samples: int = 10_000,
        random_state: Seed = None,
    ) -> pd.DataFrame:
        """Return each ticker's probability of ending in each cross-sectional quantile.

        They are the mean of two forecasts. One is four parts frequencies in scenarios
        of :meth:`predict_scenarios` and one part equal chances, as volatilities and
        correlations are known with error. The other takes each ticker's return to have
        a t distribution with 5 degrees of freedom around its forecast, as wide as the
        ticker's returns relative to the median ticker were in the mean over the latest
        63 and 252 rows, and solves for the limits that fill all bins equally. It needs
        the feature ``log_return_1``, one horizon and simple returns; without these, the
        first forecast is all there is.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame; only its last row matters.
        n_bins : int, default=5
            Number of bins, from the lowest to the highest returns; 5 for quintiles.
        n_samples : int, default=10000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the forecaster's `random_state`, or 0 if it has none.

        Returns
        -------
        DataFrame of shape (n_tickers, n_bins)
            Probabilities of the last date, with columns 1 to `n_bins`. Rows sum to 1,
            columns to n_tickers / n_bins, over the tickers that can be forecast; the
            others are NaN. With several horizons, each has its own ranks.
        """
        check_int(n_bins, "n_bins", 1, "Pass 5 for quintiles.")
        check_int(n_samples, "n_samples", 1, "Pass 1000 or more for tails.")
        joint, layout = self._joint(X)
        index = layout.columns if layout.kind == "frame" else pd.Index(layout.names)
        assert index is not None
        if joint is None:
            return rank_table([], layout.horizons, index, int(n_bins))
        blocks = joint.blocks(int(n_samples), self._generator(random_state))
        return rank_table(blocks, layout.horizons, index, int(n_bins), joint.relative())

    def _expected(self, X: Any) -> tuple[np.ndarray, FeatureBlocks, LabelLayout]:
        """Forecast the tickers of `X`, whether or not they were seen in `fit`."""
        check_is_fitted(self)
        if has_other_tickers(X, self.panel_columns_):
            frame = OtherFrame.read(X, self)
            return self._forecast_others(frame), frame.features, frame.layout
        features = check_features(self, X, reset=False)
        return self._forecast_known(features), features, self.layout_

    def _forecast_known(self, features: FeatureBlocks) -> np.ndarray:
        """Forecast the fitted tickers, `(n_dates, n_labels)`."""
        return run_model(self, features, self.layout_)

    def _quantiles(self, X: Any, levels: np.ndarray) -> list[Any]:
        """Tables of quantiles of returns."""
        forecasts, features, layout = self._expected(X)
        values = np.full((len(levels), *forecasts.shape), np.nan)
        if self.calibration_ is None:
            _warn_of_no_calibration(self)
        else:
            values = outlook_of(self, features, forecasts, layout).quantiles(levels)
        return [layout.wrap(table, features.index) for table in values]

    def _joint(self, X: Any) -> tuple[JointScenarios | None, LabelLayout]:
        """Find what scenarios of the last date are drawn from, if there is anything."""
        forecasts, features, layout = self._expected(last_row(X))
        if self.calibration_ is None:
            _warn_of_no_calibration(self)
            return None, layout
        outlook = outlook_of(self, features, forecasts, layout)
        return JointScenarios([outlook]), layout

    def _generator(self, random_state: Seed) -> np.random.Generator:
        """Create a generator; without a seed, of the forecaster's own."""
        if random_state is None:
            random_state = getattr(self, "random_state", 0)
        return generator_of(random_state)


def outlook_of(
    model: Any,
    X: Any,
    forecasts: np.ndarray | None = None,
    layout: LabelLayout | None = None,
) -> Outlook:
    """Find what a calibrated forecaster expects at the dates of some features."""
    blocks = isinstance(X, FeatureBlocks)
    features = X if blocks else check_features(model, X, reset=False)
    layout = model.layout_ if layout is None else layout
    if forecasts is None:
        forecasts = run_model(model, features, layout)
    calibration = model.calibration_
    scale = calibration.scale.matrix(features, layout)
    moves = recent_moves(features, layout)
    return Outlook(forecasts, scale, layout, features.index, calibration, moves=moves)


def last_row(X: Any) -> Any:
    """Select the last date of features, of which there must be one."""
    if isinstance(X, FeatureBlocks):
        return X.last()
    if len(X) == 0:
        raise PanelError(
            "X must have a row, the date to forecast from. Got none. Pass at least "
            "the last date."
        )
    return X.iloc[[-1]] if isinstance(X, pd.DataFrame) else np.asarray(X)[-1:]


def calibrates_itself(model: Any) -> bool:
    """Return whether a forecaster, or the one that a search tunes, is calibrated."""
    model = model.estimator if hasattr(model, "cv") else model
    return getattr(model, "calibrates_itself", False)


def calibrated_part(model: Any) -> Any:
    """Return the calibrated forecaster that a fitted model is or has chosen, if any."""
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, Pipeline):
        # Its intervals need the features of its last step.
        return None
    calibration = getattr(model, "calibration_", None)
    return model if isinstance(calibration, Calibration) else None


def check_coverage(coverage: Any) -> None:
    """Raise unless intervals can hold such a share of returns."""
    if not isinstance(coverage, Real) or not 0 < float(coverage) < 1:
        raise ValueError(
            f"`coverage` must be between 0 and 1. Got {coverage!r}. Pass 0.9 for "
            "intervals that contain nine returns in ten."
        )


def check_coverages(coverage: Any) -> list[float]:
    """Return one or several different shares as a list, if they are shares."""
    coverages = np.ravel(np.asarray(coverage, dtype=object)).tolist()
    for share in coverages:
        check_coverage(share)
    if not coverages or len(set(coverages)) < len(coverages):
        raise ValueError(
            "coverage must be a share between 0 and 1, or several different ones. Got "
            f"{coverage!r}. Pass 0.9 or [0.5, 0.9]."
        )
    return [float(share) for share in coverages]


def check_quantiles(quantiles: Any) -> np.ndarray:
    """Return levels of quantiles as an array, if they are levels."""
    try:
        levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
    except (TypeError, ValueError):
        levels = np.empty(0)
    if levels.ndim != 1 or not len(levels) or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            "quantiles must be levels between 0 and 1. Got "
            f"{quantiles!r}. Pass for example [0.05, 0.5, 0.95]."
        )
    return levels


def generator_of(random_state: Seed) -> np.random.Generator:
    """Create a generator from whatever scikit-learn takes as a seed."""
    return np.random.default_rng(
        int(check_random_state(random_state).randint(2**31 - 1))
    )


def _warn_of_no_calibration(model: Any) -> None:
    """Warn that a model cannot judge its forecasts, and name what can."""
    name = type(model).__name__
    warn_user(
        f"{name} must be calibrated to give uncertainty. Got no forecasts of dates "
        "that it did not train on: too few rows for a validation tail, or a model of "
        f"your own. Pass more rows, or ConformalForecaster({name}(...)).",
        FallbackWarning,
    )
