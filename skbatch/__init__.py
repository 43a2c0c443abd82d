"""Forecast the returns of a whole portfolio at once, as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

from skbatch._version import __version__

if TYPE_CHECKING:
    from skbatch.batch import BatchForecastingSystem, compare_batch_vs_individual
    from skbatch.config import BatchForecastingConfig
    from skbatch.feature_extraction import SharedFeatureExtractor
    from skbatch.forecasting import (
        BatchLinearForecaster,
        BatchRegressorForecaster,
        BatchXGBoostForecaster,
        ConformalForecaster,
        FallbackForecaster,
        HistoricalMeanForecaster,
    )
    from skbatch.model_selection import walk_forward
    from skbatch.panel import check_panel, forward_returns, read_panel
    from skbatch.portfolio import robust_forecast_returns

__all__ = [
    "BatchForecastingConfig",
    "BatchForecastingSystem",
    "BatchLinearForecaster",
    "BatchRegressorForecaster",
    "BatchXGBoostForecaster",
    "ConformalForecaster",
    "FallbackForecaster",
    "HistoricalMeanForecaster",
    "SharedFeatureExtractor",
    "__version__",
    "check_panel",
    "compare_batch_vs_individual",
    "forward_returns",
    "read_panel",
    "robust_forecast_returns",
    "walk_forward",
]

# The imports above are for type checkers; at run time each name is imported on first
# use, so that ``import skbatch`` does not pay for scikit-learn and XGBoost.
_ROOMS = {
    "BatchForecastingConfig": "skbatch.config",
    "BatchForecastingSystem": "skbatch.batch",
    "BatchLinearForecaster": "skbatch.forecasting",
    "BatchRegressorForecaster": "skbatch.forecasting",
    "BatchXGBoostForecaster": "skbatch.forecasting",
    "ConformalForecaster": "skbatch.forecasting",
    "FallbackForecaster": "skbatch.forecasting",
    "HistoricalMeanForecaster": "skbatch.forecasting",
    "SharedFeatureExtractor": "skbatch.feature_extraction",
    "check_panel": "skbatch.panel",
    "compare_batch_vs_individual": "skbatch.batch",
    "forward_returns": "skbatch.panel",
    "read_panel": "skbatch.panel",
    "robust_forecast_returns": "skbatch.portfolio",
    "walk_forward": "skbatch.model_selection",
}

# Hidden from type checkers: with it they would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _ROOMS:
            raise AttributeError(f"module 'skbatch' has no attribute {name!r}")
        value = getattr(import_module(_ROOMS[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted(__all__)
