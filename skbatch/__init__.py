"""Forecast the returns of a whole portfolio at once, as scikit-learn estimators."""

from importlib import import_module

__version__ = "0.1.0"

# Public name → module that defines it; imported on first use, so that
# ``import skbatch`` does not pay for scikit-learn and xgboost.
_EXPORTS = {
    "BatchLinearForecaster": "skbatch.forecasting",
    "BatchXGBoostForecaster": "skbatch.forecasting",
    "FallbackForecaster": "skbatch.forecasting",
    "HistoricalMeanForecaster": "skbatch.forecasting",
    "SharedFeatureExtractor": "skbatch.feature_extraction",
    "check_panel": "skbatch.panel",
    "forward_returns": "skbatch.panel",
    "read_panel": "skbatch.panel",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'skbatch' has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
