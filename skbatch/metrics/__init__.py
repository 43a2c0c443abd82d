"""Scores of forecasts and scorers for model selection, all ignoring missing labels."""

from skbatch.metrics._accuracy import (
    coverage,
    directional_accuracy,
    out_of_sample_r2,
)
from skbatch.metrics._correlation import (
    information_coefficient,
    information_coefficient_series,
    rank_information_coefficient,
    rank_information_coefficient_series,
)
from skbatch.metrics._scorer import make_forecast_scorer

__all__ = [
    "coverage",
    "directional_accuracy",
    "information_coefficient",
    "information_coefficient_series",
    "make_forecast_scorer",
    "out_of_sample_r2",
    "rank_information_coefficient",
    "rank_information_coefficient_series",
]
