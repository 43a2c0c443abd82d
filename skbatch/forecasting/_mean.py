"""The historical mean of each ticker: the baseline every model has to beat."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from skbatch._kernels.target import winsorized
from skbatch._progress import Progress
from skbatch._sklearn import Interval
from skbatch.forecasting._base import BaseBatchForecaster
from skbatch.forecasting._calibration import Tail
from skbatch.forecasting._contributions import MEAN, label_index
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._return_target import split_tail


class HistoricalMeanForecaster(BaseBatchForecaster):
    """Forecast each ticker's mean return over all labels known so far.

    Refitted as time goes on, this is the expanding mean: the benchmark against which
    out-of-sample R² of return forecasts is measured [1]_. Labels of more than ten times
    a ticker's typical size, which wrong prices can cause, count as ten times that.

    With `sample_weight` in `fit` it is the weighted mean.

    Parameters
    ----------
    horizon : int or "auto", default="auto"
        Rows that a label looks ahead. ``"auto"`` reads ``y.attrs["horizon"]``.
    min_labels : int, default=20
        A ticker with fewer finite labels gets NaN, because the mean of so few returns
        is not informative.

    Attributes
    ----------
    mean_ : ndarray of shape (n_labels,)
        Mean simple return over the horizon, NaN below `min_labels`.
    n_known_ : ndarray of shape (n_labels,)
        Number of finite labels that each mean rests on.
    layout_, horizon_, panel_columns_, n_features_in_, feature_names_in_
        As in every batch forecaster.

    References
    ----------
    .. [1] Welch, I. and Goyal, A. (2008). A comprehensive look at the empirical
       performance of equity premium prediction. Review of Financial Studies, 21(4),
       1455–1508. https://doi.org/10.1093/rfs/hhm014

    Examples
    --------
    >>> import numpy as np
    >>> from skbatch import HistoricalMeanForecaster
    >>> X, y = np.zeros((5, 1)), np.array([0.01, 0.03, 0.02, 0.02, 9.0])
    >>> HistoricalMeanForecaster(horizon=1, min_labels=2).fit(X, y).predict(X[-1:])
    array([0.02])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseBatchForecaster._parameter_constraints,
        "min_labels": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, horizon: int | Literal["auto"] = "auto", *, min_labels: int = 20
    ) -> None:
        self.horizon = horizon
        self.min_labels = min_labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # A mean explains none of the variance of its own labels.
        tags.regressor_tags.poor_score = True
        return tags

    def _fit_table(
        self,
        features: FeatureBlocks,
        labels: np.ndarray,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> Tail | None:
        with Progress(self, n_tasks=1) as progress, progress.task("mean"):
            self.mean_, self.n_known_ = self._means(labels, weights)
            return self._tail(labels, layout, weights)

    def _means(
        self, labels: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Average the labels of each ticker, and count them."""
        labels = winsorized(labels)
        known = np.isfinite(labels)
        n_known = known.sum(axis=0)
        values, counts = np.where(known, labels, 0.0), n_known
        if weights is not None:
            used = np.where(known, weights, 0.0)
            values, counts = values * used, used.sum(axis=0)
        mean = values.sum(axis=0) / np.where(counts > 0, counts, 1)
        return np.where(n_known >= self.min_labels, mean, np.nan), n_known

    def _tail(
        self, labels: np.ndarray, layout: LabelLayout, weights: np.ndarray | None
    ) -> Tail | None:
        """Forecast the latest dates by the means of the labels before them."""
        known = np.isfinite(labels).any(axis=1)
        early, late = split_tail(known, max(layout.horizons), "auto", 1)
        if not len(late):
            return None
        tail = Tail.of(labels, int(late[0]), int(late[-1]) + 1, layout)
        stop = early[-1] + 1
        mean, _ = self._means(
            labels[:stop], None if weights is None else weights[:stop]
        )
        return replace(tail, forecasts=np.tile(mean, (len(tail.labels), 1)))

    def _predict_table(self, features: FeatureTable) -> np.ndarray:
        return np.repeat(self.mean_[None, :], features.n_dates, axis=0)

    def _explain_table(self, table: FeatureTable) -> pd.DataFrame:
        return pd.DataFrame({MEAN: self.mean_}, label_index(self.layout_))
