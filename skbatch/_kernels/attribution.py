"""What forecasts share with known factors, and how large they are beside returns."""

from __future__ import annotations

import bottleneck as bn
import numpy as np

from skbatch._kernels.evaluation import critical_value, long_run_variance

MIN_TICKERS = 3


def rolling_beta(returns: np.ndarray, market: np.ndarray, window: int) -> np.ndarray:
    """Beta of each ticker over the rows up to each date, NaN with less than half."""
    common = np.where(np.isfinite(returns), market[:, None], np.nan)
    own = np.where(np.isfinite(common), returns, np.nan)
    rows = min(window, len(returns))
    options = {"window": rows, "min_count": max(2, rows // 2), "axis": 0}
    mean = bn.move_mean(own, **options)
    level = bn.move_mean(common, **options)
    covariance = bn.move_mean(own * common, **options) - mean * level
    variance = bn.move_mean(common**2, **options) - level**2
    return np.where(
        variance > 1e-16, covariance / np.where(variance > 0, variance, 1), np.nan
    )


def rank_residuals(scores: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Ranks of scores `(n_dates, n_tickers)` less what ranks of factors explain."""
    # `factors` are (n_factors, n_dates, n_tickers); a ticker that lacks one is NaN.
    use = np.isfinite(scores) & np.isfinite(factors).all(axis=0)
    residuals = np.full(scores.shape, np.nan)
    for date in np.flatnonzero(use.sum(axis=1) >= MIN_TICKERS + len(factors)):
        tickers = use[date]
        ranked = [bn.rankdata(values[date, tickers]) for values in (scores, *factors)]
        target, *others = (ranks - ranks.mean() for ranks in ranked)
        inputs = np.column_stack(others)
        found = np.linalg.lstsq(inputs, target, rcond=None)[0]
        left = target - inputs @ found
        # What factors explain in full leaves rounding errors only.
        if np.abs(left).max() > 1e-9 * np.abs(target).max():
            residuals[date, tickers] = left
    return residuals


def within_dates(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Subtract each date's mean over the used cells; others become 0."""
    count = np.maximum(use.sum(axis=1, keepdims=True), 1)
    kept = np.where(use, values, 0.0)
    return np.where(use, kept - kept.sum(axis=1, keepdims=True) / count, 0.0)


def calibration_slope(
    actual: np.ndarray, forecast: np.ndarray, lags: int
) -> tuple[float, float, float]:
    """Slope of centered returns on forecasts, its standard error and critical t."""
    # Driscoll, J. C. and Kraay, A. C. (1998). Consistent covariance matrix estimation
    # with spatially dependent panel data. Review of Economics and Statistics, 80(4),
    # 549–560. https://doi.org/10.1162/003465398557825
    square = float(np.sum(forecast**2))
    if not square > 0:
        return (float("nan"),) * 3
    slope = float(np.sum(forecast * actual)) / square
    moments = np.sum(forecast * (actual - slope * forecast), axis=1)
    error = len(moments) * long_run_variance(moments, lags) ** 0.5 / square
    return slope, error, critical_value(len(moments), lags)
