"""The forecaster that a system has by default."""

from __future__ import annotations

from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)


def default_forecaster() -> FallbackForecaster:
    """Create the forecaster of a system whose `forecaster` is None."""
    return FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
