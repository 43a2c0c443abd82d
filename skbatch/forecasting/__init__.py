"""Forecasters that learn from all tickers together."""

from skbatch.forecasting._base import BaseBatchForecaster, BatchForecasterMixin
from skbatch.forecasting._conformal import ConformalForecaster, server_of
from skbatch.forecasting._fallback import FallbackForecaster
from skbatch.forecasting._linear import BatchLinearForecaster
from skbatch.forecasting._mean import HistoricalMeanForecaster
from skbatch.forecasting._scale import market_return, volatility_features
from skbatch.forecasting._uncertainty import PredictionInterval
from skbatch.forecasting._xgboost import BatchXGBoostForecaster

__all__ = [
    "BaseBatchForecaster",
    "BatchForecasterMixin",
    "BatchLinearForecaster",
    "BatchXGBoostForecaster",
    "ConformalForecaster",
    "FallbackForecaster",
    "HistoricalMeanForecaster",
    "PredictionInterval",
    "market_return",
    "server_of",
    "volatility_features",
]
