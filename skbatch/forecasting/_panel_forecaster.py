"""What forecasters that learn a target with the models of a strategy share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skbatch._sklearn import DefaultPartsMixin
from skbatch.forecasting._base import BaseBatchForecaster
from skbatch.forecasting._calibration import Tail
from skbatch.forecasting._contributions import explain_panel_model
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable, Rows
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._return_target import ReturnTarget
from skbatch.forecasting._training import (
    PANEL_CONSTRAINTS,
    PanelModel,
    fit_panel_model,
    input_name,
)


class PanelForecaster(DefaultPartsMixin, BaseBatchForecaster):
    """Forecasters with a `strategy` and a `target`, that implement `_fit_model`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseBatchForecaster._parameter_constraints,
        **PANEL_CONSTRAINTS,
    }
    # Whether numbers of categories are inputs, which have no order.
    takes_categories: ClassVar[bool] = False
    strategy: Any
    target: ReturnTarget | None
    model_: PanelModel

    def _default_parts(self) -> dict[str, Callable[[], Any]]:
        return {"target": ReturnTarget}

    @property
    def splits_by_ticker(self) -> bool:
        """Whether tickers may be fitted in batches, with models of their own."""
        return bool(self.strategy != "pooled")

    @property
    def feature_importances_(self) -> pd.Series:
        """Share of each feature in what the models use; shares sum to 1."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = np.array([f"x{number}" for number in range(self.n_features_in_)])
        parts = []
        for fitted in self.model_.models:
            inputs = [input_name(n) for n in names[fitted.task.columns.max(axis=0)]]
            values = pd.Series(fitted.model.importances(), inputs)
            parts.append(values / (values.sum() or 1.0))
        return pd.concat(parts).groupby(level=0, sort=False).sum() / len(parts)

    def _fit_model(
        self, rows: Rows, validation: Rows | None, step: Callable[[], None]
    ) -> Any:
        """Train one model on rows; the tail may choose among its settings."""
        raise NotImplementedError

    @property
    def _n_steps(self) -> int:
        """How many steps each model counts."""
        return 0

    def _fit_table(
        self,
        features: FeatureBlocks,
        labels: np.ndarray,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> Tail:
        self.model_, tail = fit_panel_model(
            self, features, labels, layout, self._fit_model, self._n_steps, weights
        )
        self.failures_ = self.model_.failures
        self.unskilled_ = {
            layout.keys[number]: fitted.lacks
            for fitted in self.model_.models
            if fitted.lacks is not None
            for number in fitted.task.outputs.ravel()
        }
        self.relative_to_ = self._part("target").relative_to
        return tail

    def _predict_table(self, features: FeatureTable) -> np.ndarray:
        return self.model_.predict(features)

    def _explain_table(self, table: FeatureTable) -> pd.DataFrame:
        return explain_panel_model(self.model_, table)
