"""Forecasters that learn from all tickers together."""

from skbatch.forecasting._base import BaseBatchForecaster
from skbatch.forecasting._conformal import ConformalForecaster
from skbatch.forecasting._fallback import FallbackForecaster
from skbatch.forecasting._linear import BatchLinearForecaster
from skbatch.forecasting._mean import HistoricalMeanForecaster
from skbatch.forecasting._provenance import Provenance, Reason
from skbatch.forecasting._regressor import BatchRegressorForecaster
from skbatch.forecasting._return_target import ReturnTarget
from skbatch.forecasting._uncertainty import PredictionInterval
from skbatch.forecasting._xgboost import BatchXGBoostForecaster

__all__ = [
    "BaseBatchForecaster",
    "BatchLinearForecaster",
    "BatchRegressorForecaster",
    "BatchXGBoostForecaster",
    "ConformalForecaster",
    "FallbackForecaster",
    "HistoricalMeanForecaster",
    "PredictionInterval",
    "Provenance",
    "Reason",
    "ReturnTarget",
]
