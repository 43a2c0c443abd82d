"""How good forecasts are when time goes on: refit, forecast, score."""

from skbatch.model_selection._backtest import TradingCosts, backtest
from skbatch.model_selection._backtest_display import BacktestDisplay
from skbatch.model_selection._backtest_result import BacktestResult
from skbatch.model_selection._explanation import (
    ForecastExplanation,
    ForecastExplanationDisplay,
)
from skbatch.model_selection._feature_importance import (
    FeatureImportanceDisplay,
    feature_importances,
)
from skbatch.model_selection._provenance_display import ProvenanceDisplay
from skbatch.model_selection._trial_ledger import TrialLedger
from skbatch.model_selection._walk_forward import walk_forward
from skbatch.model_selection._walk_forward_result import WalkForwardResult

__all__ = [
    "BacktestDisplay",
    "BacktestResult",
    "FeatureImportanceDisplay",
    "ForecastExplanation",
    "ForecastExplanationDisplay",
    "ProvenanceDisplay",
    "TradingCosts",
    "TrialLedger",
    "WalkForwardResult",
    "backtest",
    "feature_importances",
    "walk_forward",
]
