"""How good forecasts are when time goes on: refit, forecast, score."""

from skbatch.model_selection._result import WalkForwardResult
from skbatch.model_selection._walk_forward import walk_forward

__all__ = ["WalkForwardResult", "walk_forward"]
