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
from skbatch.metrics._distribution import (
    crps_by_sample,
    rank_bins,
    ranked_probability_score,
)
from skbatch.metrics._inference import MeanInference, mean_inference
from skbatch.metrics._intervals import (
    interval_coverage,
    interval_width,
    pinball_loss,
)
from skbatch.metrics._multiple_testing import (
    deflated_sharpe_ratio,
    holm_adjusted,
    probability_of_backtest_overfitting,
)
from skbatch.metrics._neutral import residual_forecasts
from skbatch.metrics._plot._forecast_fan import ForecastFanDisplay
from skbatch.metrics._plot._information_coefficient import InformationCoefficientDisplay
from skbatch.metrics._plot._interval_calibration import IntervalCalibrationDisplay
from skbatch.metrics._plot._quantile_returns import QuantileReturnsDisplay
from skbatch.metrics._scorer import make_forecast_scorer
from skbatch.metrics._sorted_portfolios import (
    quantile_returns,
    rank_portfolio_returns,
    rank_turnover,
)

__all__ = [
    "ForecastFanDisplay",
    "InformationCoefficientDisplay",
    "IntervalCalibrationDisplay",
    "MeanInference",
    "QuantileReturnsDisplay",
    "coverage",
    "crps_by_sample",
    "deflated_sharpe_ratio",
    "directional_accuracy",
    "holm_adjusted",
    "information_coefficient",
    "information_coefficient_series",
    "interval_coverage",
    "interval_width",
    "make_forecast_scorer",
    "mean_inference",
    "out_of_sample_r2",
    "pinball_loss",
    "probability_of_backtest_overfitting",
    "quantile_returns",
    "rank_bins",
    "rank_information_coefficient",
    "rank_information_coefficient_series",
    "rank_portfolio_returns",
    "rank_turnover",
    "ranked_probability_score",
    "residual_forecasts",
]
