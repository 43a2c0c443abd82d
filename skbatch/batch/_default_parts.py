"""The parts that a system has by default."""

from __future__ import annotations

from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)

__all__ = ["default_features", "default_forecaster"]


def default_features() -> SharedFeatureExtractor:
    """Create the extractor of a system whose `features` are None."""
    return SharedFeatureExtractor()


def default_forecaster() -> FallbackForecaster:
    """Create the forecaster of a system whose `forecaster` is None."""
    return FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
