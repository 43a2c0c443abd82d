"""Running the models inside other forecasters, whoever wrote them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout

# Packages whose regressors cannot leave out labels that are NaN.
_OTHERS = ("sklearn", "xgboost", "lightgbm", "catboost")


def check_batch_forecaster_type(model: Any, name: str) -> None:
    """Reject regressors of one target, also at the end of a pipeline or search."""
    final = working_parts(model)[-1]
    owner = type(final).__module__.partition(".")[0]
    if owner in _OTHERS and not hasattr(final, "predict_batch"):
        raise ValueError(
            f"`{name}` must be a batch forecaster: one that learns the labels of all "
            "tickers from a feature frame, and leaves out those that are NaN. Got "
            f"{type(final).__name__}, a regressor of {owner}. Pass "
            "BatchRegressorForecaster(regressor), or write a forecaster that "
            "`skbatch.testing.check_batch_forecaster` accepts."
        )


def working_parts(model: Any) -> list[Any]:
    """List a model, the end of its pipeline, what its search fits, and so on."""
    found = []
    while hasattr(model, "fit"):
        found.append(model)
        if getattr(model, "steps", None):
            model = model.steps[-1][1]
        elif "forecaster" in getattr(model, "_default_parts", dict)():
            model = model._part("forecaster")  # of a system
        else:
            model = getattr(model, "estimator", None)
    return found


def defined_here(model: Any, *names: str) -> bool:
    """Whether a model has methods as this package defines them."""
    owners = (
        next((kind for kind in type(model).__mro__ if name in vars(kind)), type(model))
        for name in names
    )
    return all(owner.__module__.startswith("skbatch.forecasting.") for owner in owners)


def as_input(model: Any, features: FeatureBlocks) -> Any:
    """Return features as a model accepts them: as blocks, or as a frame or array."""
    if defined_here(model, "fit", "predict"):
        return features
    return features.frame()


def fit_weighted(model: Any, X: Any, y: Any, weight: Any, name: str) -> Any:
    """Fit a model, also at the end of a pipeline or search, with weights if any."""
    if weight is None:
        return model.fit(X, y)
    parameter = _weight_parameter(model)
    if parameter is None:
        raise ValueError(
            f"`{name}` must take weights in `fit`. Got {type(model).__name__}, which "
            "has no `sample_weight`. Leave weights out, or pass another."
        )
    # The outer forecaster asked for these weights; those inside need not ask again.
    with config_context(enable_metadata_routing=False):
        return model.fit(X, y, **{parameter: weight})


def _weight_parameter(model: Any) -> str | None:
    """Find the name under which `fit` takes weights, None if it takes none."""
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        inner = _weight_parameter(last)
        return inner and f"{step}__{inner}"
    if has_fit_parameter(model, "sample_weight"):
        return "sample_weight"
    # Searches and their like hand on what they are given.
    for name in ("estimator", "regressor"):
        if hasattr(getattr(model, name, None), "fit"):
            return _weight_parameter(getattr(model, name))
    return None


def run_model(model: Any, features: FeatureBlocks, layout: LabelLayout) -> np.ndarray:
    """Forecast with any fitted model, `(n_dates, n_labels)` in the layout's order."""
    forecasts = model.predict(as_input(model, features))
    if isinstance(forecasts, pd.DataFrame) and layout.kind == "frame":
        forecasts = forecasts[layout.columns]
    return np.asarray(forecasts, dtype=np.float64).reshape(features.n_dates, -1)


def reads_blocks(X: Any) -> bool:
    """Whether features were handed on by another forecaster, or by the system."""
    return isinstance(X, FeatureBlocks) or "from_blocks" in getattr(X, "attrs", {})
