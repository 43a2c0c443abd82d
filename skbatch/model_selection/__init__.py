"""How good forecasts are when time goes on: refit, forecast, score."""

from skbatch.model_selection._importance import feature_importances
from skbatch.model_selection._plot._importance import FeatureImportanceDisplay
from skbatch.model_selection._plot._provenance import ProvenanceDisplay
from skbatch.model_selection._result import WalkForwardResult
from skbatch.model_selection._walk_forward import walk_forward

__all__ = [
    "FeatureImportanceDisplay",
    "ProvenanceDisplay",
    "WalkForwardResult",
    "feature_importances",
    "walk_forward",
]
