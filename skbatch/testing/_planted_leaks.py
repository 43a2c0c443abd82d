"""Estimators that look ahead on purpose: a check has to catch them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metaestimators import available_if

from skbatch.panel.engine import recorded_horizon
from skbatch.testing._table_difference import as_table


class PeekingEstimator(BaseEstimator):
    """The same estimator, fed with tables that are shifted into the future."""

    def __init__(
        self, estimator: BaseEstimator, price_rows: int = 0, label_rows: int = 0
    ) -> None:
        self.estimator = estimator
        self.price_rows = price_rows
        self.label_rows = label_rows

    def fit(self, X: pd.DataFrame, y: pd.DataFrame | None = None) -> PeekingEstimator:
        """Fit a clone on shifted tables."""
        labels = () if y is None else (_advance(y, self.label_rows),)
        fitted = clone(self.estimator).fit(self._advance_prices(X), *labels)
        self.estimator_ = fitted
        return self

    def fit_transform(self, X: pd.DataFrame) -> object:
        """Fit and transform a shifted table."""
        self.estimator_ = clone(self.estimator)
        return fit_transform(self.estimator_, self._advance_prices(X))

    def transform(self, X: pd.DataFrame) -> object:
        """Transform a shifted table."""
        return self.estimator_.transform(self._advance_prices(X))

    @available_if(lambda self: hasattr(self.estimator, "predict"))
    def predict(self, X: pd.DataFrame) -> object:
        """Predict from a shifted table."""
        return self.estimator_.predict(self._advance_prices(X))

    def _advance_prices(self, X: pd.DataFrame) -> pd.DataFrame:
        """Shift prices; the last rows repeat the last prices."""
        advanced = _advance(X, self.price_rows)
        if self.price_rows:
            advanced.iloc[-self.price_rows :] = X.iloc[-1].to_numpy()
        return advanced


class TattlingEstimator(BaseEstimator):
    """An estimator with a column more: the next prices and the last labels."""

    def __init__(self, estimator: BaseEstimator, label_rows: int = 0) -> None:
        self.estimator = estimator
        self.label_rows = label_rows

    def fit(self, X: pd.DataFrame, y: pd.DataFrame | None = None) -> TattlingEstimator:
        """Fit a clone and keep the last labels."""
        labels = () if y is None else (y,)
        self.estimator_ = clone(self.estimator).fit(X, *labels)
        last = np.zeros(1) if y is None else np.asarray(y)[len(y) - self.label_rows :]
        self.secret_ = float(np.nansum(last))
        return self

    def fit_transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Fit and transform, and add the next prices."""
        return self.fit(X).transform(X)

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Transform, and add the next prices."""
        return self._tell(self.estimator_.transform(X), X)

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Predict, and add the next prices and the last labels."""
        return self._tell(self.estimator_.predict(X), X)

    def _tell(self, output: object, X: pd.DataFrame) -> pd.DataFrame:
        table = as_table(output, X.index)
        secret = (
            X.shift(-1).sum(axis=1, numeric_only=True).reindex(table.index)
            + self.secret_
        )
        return table.assign(peek=secret)


def fit_transform(estimator: BaseEstimator, X: pd.DataFrame) -> object:
    """Fit an estimator and transform the same rows."""
    if hasattr(estimator, "fit_transform"):
        return estimator.fit_transform(X)
    return estimator.fit(X).transform(X)


def _advance(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Move rows up in time; labels keep their horizon, as a number that is believed."""
    horizon = recorded_horizon(table)
    advanced = table.shift(-rows)
    advanced.attrs.update(table.attrs)
    if horizon is not None:
        advanced.attrs["horizon"] = horizon
    return advanced
