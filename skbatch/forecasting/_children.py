"""Running the models inside other forecasters, whoever wrote them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout

__all__ = ["as_input", "defined_here", "reads_blocks", "run_model"]


def defined_here(model: Any, *names: str) -> bool:
    """Whether a model has methods as this package defines them."""
    owners = (
        next((kind for kind in type(model).__mro__ if name in vars(kind)), type(model))
        for name in names
    )
    return all(owner.__module__.startswith("skbatch.forecasting.") for owner in owners)


def as_input(model: Any, features: FeatureBlocks) -> Any:
    """Give features as a model takes them: as blocks, or as a frame or array."""
    if defined_here(model, "fit", "predict"):
        return features
    return features.frame()


def run_model(model: Any, features: FeatureBlocks, layout: LabelLayout) -> np.ndarray:
    """Forecast with any fitted model, `(n_dates, n_labels)` in the layout's order."""
    forecasts = model.predict(as_input(model, features))
    if isinstance(forecasts, pd.DataFrame) and layout.kind == "frame":
        forecasts = forecasts[layout.columns]
    return np.asarray(forecasts, dtype=np.float64).reshape(features.n_dates, -1)


def reads_blocks(X: Any) -> bool:
    """Whether features were handed on by another forecaster, or by the system."""
    return isinstance(X, FeatureBlocks) or "from_blocks" in getattr(X, "attrs", {})
