"""The extractor: panels in, feature frames out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skbatch.feature_extraction._engine import compute_features
from skbatch.feature_extraction._plan import FeaturePlan, select_features
from skbatch.panel import check_panel, panel_fields, panel_tickers

__all__ = ["SharedFeatureExtractor"]


class SharedFeatureExtractor(TransformerMixin, BaseEstimator):
    """Turn a panel of prices into a feature frame with the same rows."""

    def __init__(
        self,
        families: Any = None,
        windows: Any = (5, 10, 21, 63, 126, 252),
        functions: Any = None,
        market_data: Any = None,
        groups: Any = None,
        lookback: int | None = None,
        cache_size: int = 2**30,
    ) -> None:
        self.families = families
        self.windows = windows
        self.functions = functions
        self.market_data = market_data
        self.groups = groups
        self.lookback = lookback
        self.cache_size = cache_size

    def fit(self, X: Any, y: Any = None) -> SharedFeatureExtractor:
        """Learn the columns and keep the rows that the look-back needs."""
        panel = check_panel(X)
        validate_data(self, panel, reset=True, skip_check_array=True)
        fields = panel_fields(panel)
        available = frozenset(fields)
        if isinstance(panel.index, pd.DatetimeIndex):
            available |= {"dates"}
        features = select_features(self.families, self.windows, available)
        self.plan_ = FeaturePlan(
            tuple(panel_tickers(panel)),
            tuple(f for f in features if f.entry.scope != "market"),
            (),
            tuple(f for f in features if f.entry.scope == "market"),
            (),
            (),
        )
        self.lookback_ = self.plan_.lookback
        self.history_ = panel.iloc[max(0, len(panel) - self.lookback_) :]
        return self

    def transform(self, X: Any) -> Any:
        """Compute the features of a panel."""
        check_is_fitted(self)
        panel = check_panel(X, warn_all_nan=False)
        validate_data(self, panel, reset=False, skip_check_array=True)
        earlier = self.history_[self.history_.index < panel.index[0]]
        full = pd.concat([earlier, panel]) if len(earlier) else panel
        values = compute_features(self.plan_, full)[len(earlier) :]
        if not isinstance(X, pd.DataFrame):
            return values
        return pd.DataFrame(
            values, index=panel.index, columns=self.plan_.columns(), copy=False
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of the feature frame."""
        check_is_fitted(self)
        return self.plan_.columns()
