"""The contract of batch forecasters: tables in, tables out."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from copy import copy
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from skbatch._sklearn import Interval, StrOptions, all_or_nothing
from skbatch.exceptions import PanelError
from skbatch.forecasting._calibration import Calibration, Tail, calibrate
from skbatch.forecasting._children import defined_here
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import (
    LabelLayout,
    check_features,
    check_fit,
    check_same_rows,
    check_weights,
    layout_of,
)
from skbatch.forecasting._other_frame import OtherFrame
from skbatch.forecasting._provenance import (
    Provenance,
    Reason,
    notes_of,
    own_provenance,
    without_signals,
)
from skbatch.forecasting._training import PanelModel
from skbatch.forecasting._uncertainty import UncertaintyMixin


class BatchForecasterMixin(RegressorMixin):
    """What every batch forecaster can do once it has `fit` and `predict`."""

    def fit_batch(self, X: Any, y: Any, **fit_params: Any) -> Any:
        """Fit on all tickers at once; the same as `fit`.

        Parameters
        ----------
        X : DataFrame of shape (n_dates, n_columns)
            Feature frame.
        y : DataFrame of shape (n_dates, n_tickers)
            Labels, simple returns over the horizon.
        **fit_params
            What else `fit` takes, such as `sample_weight`.

        Returns
        -------
        self : estimator
            The fitted forecaster.
        """
        return self.fit(X, y, **fit_params)

    def predict_batch(self, X: Any) -> dict[Any, float]:
        """Forecast every ticker at the last date of `X`.

        Parameters
        ----------
        X : DataFrame of shape (n_dates, n_columns)
            Feature frame; only its last row matters.

        Returns
        -------
        dict
            Ticker → expected simple return over the horizon; NaN where there is no
            forecast. With several horizons the keys are (horizon, ticker).
        """
        last = X.iloc[[-1]] if isinstance(X, pd.DataFrame) else np.asarray(X)[-1:]
        forecasts = self.predict(last)
        if isinstance(forecasts, pd.DataFrame):
            return {name: float(v) for name, v in forecasts.iloc[0].items()}
        values = np.asarray(forecasts).reshape(-1)
        return {
            name: float(v) for name, v in zip(self.layout_.names, values, strict=True)
        }

    @property
    def splits_by_ticker(self) -> bool:
        """Whether tickers may be fitted in batches, with models of their own."""
        return True

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        r"""Compute the R² over all finite labels, pooled.

        Parameters
        ----------
        X : DataFrame of shape (n_dates, n_columns)
            Feature frame.
        y : DataFrame of shape (n_dates, n_tickers)
            Labels; columns are matched by name.
        sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
            Weight of each date, or of each label.

        Returns
        -------
        float
            :math:`1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2` over the cells in
            which label and forecast are finite; :math:`\bar y` is the mean of those
            labels. NaN if there is none, 0 if they do not vary.
        """
        forecasts = self.predict(X)
        if isinstance(forecasts, pd.DataFrame) and isinstance(y, pd.DataFrame):
            if set(forecasts.columns) != set(y.columns):
                raise PanelError(
                    "y must have the columns that the forecaster was fitted on. Got "
                    f"{y.shape[1]} columns, fitted on {forecasts.shape[1]}. Pass "
                    "labels of the same tickers and horizons."
                )
            y = y[forecasts.columns]
        predicted = np.asarray(forecasts, dtype=np.float64)
        actual = np.asarray(y, dtype=np.float64)
        dates = X.index if isinstance(X, pd.DataFrame) else None
        check_same_rows(dates, len(predicted), y, len(actual))
        if actual.size != predicted.size:
            raise PanelError(
                "y must have the columns that the forecaster was fitted on. Got "
                f"shape {actual.shape}, forecasts of shape {predicted.shape}. Pass "
                "labels of the same tickers and horizons."
            )
        actual = actual.reshape(predicted.shape)
        weights: Any = np.ones(actual.shape)
        if sample_weight is not None:
            layout = getattr(self, "layout_", None) or layout_of(forecasts.columns, 1)
            weights = check_weights(sample_weight, len(actual), dates, layout)
        use = np.isfinite(actual) & np.isfinite(predicted)
        weights = weights.reshape(actual.shape)[use]
        actual, predicted = actual[use], predicted[use]
        if not weights.sum() > 0:
            return float("nan")
        centered = actual - np.average(actual, weights=weights)
        total = float(weights @ centered**2)
        return (
            1.0 - float(weights @ (actual - predicted) ** 2) / total if total else 0.0
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags


class TableForecasterMixin(BatchForecasterMixin):
    """Forecasts of features, where each comes from, and what it consists of."""

    def predict_with_provenance(self, X: Any) -> tuple[Any, Provenance]:
        """Forecast, and record where each forecast comes from.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`.

        Returns
        -------
        forecasts : DataFrame, Series or ndarray, as `y` was
            As from :meth:`predict`.
        provenance : Provenance
            The model behind each of them, why the models before do not serve, or why
            there is none, and the signals that a ticker is forecast without.
        """
        check_is_fitted(self)
        forecasts, found = self._provenance(check_features(self, X, reset=False))
        return forecasts, replace(found, without=without_signals(X, found))

    @abstractmethod
    def _provenance(self, features: FeatureBlocks) -> tuple[Any, Provenance]:
        """Forecast, and record where each forecast comes from."""

    def explain(self, X: Any) -> pd.DataFrame:
        """Split the forecasts of the last date of `X` into what they consist of.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`; only its last row matters.

        Returns
        -------
        DataFrame of shape (n_labels, n_parts)
            Indexed by ticker, or by (horizon, ticker). A column for each feature, by
            its name without the ticker, with its contribution to the expected return;
            then what is no feature's: ``model average``, ``shrinkage`` and ``market
            expectation``, or ``historical mean``. Rows sum to the forecasts, and are
            NaN where there is none. With a fallback, each ticker is explained by the
            model that serves it: what another model has contributes 0.

        Raises
        ------
        TypeError
            If the model is neither of trees nor linear.
        ValueError
            If it is of trees with several outputs (``strategy="vector"``).

        Notes
        -----
        Contributions of trees are the SHAP values of XGBoost [1]_, those of a linear
        model its coefficients times the standardized inputs. Shrinkage is what is
        taken off the sum of both and the model's average.

        References
        ----------
        .. [1] Lundberg, S. M., Erion, G., Chen, H. et al. (2020). From local
           explanations to global understanding with explainable AI for trees. Nature
           Machine Intelligence, 2, 56–67. https://doi.org/10.1038/s42256-019-0138-9
        """
        check_is_fitted(self)
        return self._explain(check_features(self, X, reset=False).last())

    @abstractmethod
    def _explain(self, table: FeatureTable) -> pd.DataFrame:
        """Split the forecasts of one row into parts, `(n_labels, n_parts)`."""


class BaseBatchForecaster(
    CallbackSupportMixin,
    UncertaintyMixin,
    TableForecasterMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base class of batch forecasters.

    A forecaster implements two hooks. The base class checks the tables, reads the
    panel structure from the column names, removes the labels that are not known yet,
    and gives forecasts back in the container of the labels.

    Attributes
    ----------
    layout_ : LabelLayout
        Tickers and horizons of the label columns.
    horizon_ : int or tuple of int
        Horizon of the labels, in rows.
    calibration_ : Calibration or None
        How far returns deviated from forecasts of the latest dates; None where these
        are too few, or a subclass does not give such forecasts.
    panel_columns_ : PanelColumns
        Which feature column belongs to which ticker.
    n_features_in_ : int
        Number of feature columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, when `X` had string columns.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "horizon": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }
    horizon: Any
    calibration_: Calibration | None

    @abstractmethod
    def _fit_table(
        self,
        features: FeatureBlocks,
        labels: np.ndarray,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> Tail | None:
        """Train on labels `(n_dates, n_labels)`, and perhaps forecast a tail."""

    @abstractmethod
    def _predict_table(self, features: FeatureTable) -> np.ndarray:
        """Forecast expected returns `(n_dates, n_labels)`, NaN where impossible."""

    @all_or_nothing
    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit on all tickers at once.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame from :class:`~skbatch.SharedFeatureExtractor`. The columns
            of a plain array are shared features of every label.
        y : DataFrame, Series or array-like of shape (n_dates,) or (n_dates, n_labels)
            Labels from :func:`~skbatch.forward_returns`: simple returns over the
            horizon; NaN labels are masked. Those of the last ``horizon + delay`` rows
            are not known at the last date of `X` and are never trained on. Labels
            without a record of their delay, such as arrays, have none: pass
            ``horizon + delay`` as the horizon of the forecaster.
        sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
            How much each date, or each label, counts: in what the model learns, in
            the common return and its mean, and in the shrinkage. A DataFrame is
            matched by ticker. A label of weight zero counts as missing; only ratios of
            the others matter, so that equal weights change nothing.

        Returns
        -------
        self : estimator
            The fitted forecaster.

        Raises
        ------
        PanelError
            When rows, dates or tickers of `X` and `y` differ, or no label is finite.
        ValueError
            When a weight is negative or not finite, or all are zero.
        ModelFitError
            When the model cannot be fitted although its arguments are valid.
        """
        self._validate_params()
        features, labels, weights = check_fit(self, X, y, self.horizon, sample_weight)
        if not defined_here(self, "_fit_table"):
            features = features.load()
        given = () if weights is None else (weights,)
        tail = self._fit_table(features, labels, self.layout_, *given)
        tail = tail if self.calibrates_itself else None
        self.calibration_ = calibrate(tail, features, self.layout_)
        return self

    @property
    def calibrates_itself(self) -> bool:
        """Whether `fit` measures how far returns deviate from the forecasts."""
        # A subclass may forecast other returns than those of the tail.
        return defined_here(self, "_fit_table", "_predict_table", "predict")

    def predict(self, X: Any) -> Any:
        """Forecast the expected return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`. Each row is forecast from
            its own values alone.

        Returns
        -------
        DataFrame, Series or ndarray, as `y` was
            Expected simple returns over the horizon. NaN for a ticker that has no
            finite feature of its own at a date, or no volatility to scale by, or of
            which nothing could be learned.
        """
        check_is_fitted(self)
        features = check_features(self, X, reset=False)
        return self.layout_.wrap(self._forecast(features)[0], features.index)

    def _provenance(self, features: FeatureBlocks) -> tuple[Any, Provenance]:
        forecasts, absent = self._forecast(features)
        failed = getattr(self, "failures_", {})
        failures = [
            Reason("fit_failed", details=(("error", failed[name]),))
            if name in failed
            else None
            for name in self.layout_.keys
        ]
        provenance = own_provenance(
            type(self).__name__,
            forecasts,
            absent,
            failures,
            notes_of(self, self.layout_),
            self.layout_,
            features.index,
        )
        return self.layout_.wrap(forecasts, features.index), provenance

    def _explain(self, table: FeatureTable) -> pd.DataFrame:
        parts = self._explain_table(table)
        parts[~np.isfinite(self._forecast(table)[0][0])] = np.nan
        return parts

    def _explain_table(self, table: FeatureTable) -> pd.DataFrame:
        """Split the forecasts of one row into parts, `(n_labels, n_parts)`."""
        raise TypeError(
            "The forecaster must be tree-based or linear to be explained. Got "
            f"{type(self).__name__}. Use BatchXGBoostForecaster or "
            "BatchLinearForecaster."
        )

    def _forecast(self, features: FeatureBlocks) -> tuple[np.ndarray, np.ndarray]:
        """Forecast, and find where tickers are absent, `(n_dates, n_labels)`."""
        shape = features.n_dates, len(self.layout_.tickers)
        forecasts, absent = np.empty(shape), np.empty(shape, dtype=np.intp)
        for dates, table in features.tables():
            forecasts[dates] = self._predict_table(table)
            absent[dates] = table.absence(self.layout_.tickers)
        forecasts[absent > 0] = np.nan
        return forecasts, absent

    def _forecast_others(self, frame: OtherFrame) -> np.ndarray:
        """Forecast a frame of other tickers: new ones by a pooled model, else NaN."""
        model = getattr(self, "model_", None)
        if not isinstance(model, PanelModel) or model.strategy != "pooled":
            return frame.forecast_known(self)
        other = copy(self)
        other.layout_, other.model_ = frame.layout, model.for_others(frame)
        return other._forecast(frame.features)[0]
