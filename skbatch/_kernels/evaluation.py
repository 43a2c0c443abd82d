"""What forecasts earn and cost, date by date, and how sure their mean is."""

from __future__ import annotations

import math
from itertools import pairwise

import bottleneck as bn
import numpy as np

from skbatch._kernels.scores import MIN_PAIRS, is_constant

# Cells of resampled series that are held at once.
RESAMPLED_CELLS = 2**19


def bandwidth(n_dates: int, horizon: int) -> int:
    """Choose the lags of a Newey–West variance of overlapping observations."""
    # Lazarus, E., Lewis, D. J., Stock, J. H. and Watson, M. W. (2018). HAR inference:
    # recommendations for practice. Journal of Business & Economic Statistics, 36(4),
    # 541–559. https://doi.org/10.1080/07350015.2018.1506926
    lags = max(math.ceil(1.3 * math.sqrt(n_dates)), 2 * (horizon - 1))
    return max(0, min(lags, n_dates - 1))


def long_run_variance(values: np.ndarray, lags: int) -> float:
    """Estimate the Newey–West variance of the mean of a series."""
    known = np.isfinite(values)
    n_known = int(known.sum())
    if not n_known:
        return float("nan")
    error = np.where(known, values, 0.0)
    error = np.where(known, error - error.sum() / n_known, 0.0)
    total = float(error @ error)
    for lag in range(1, min(lags, len(error) - 1) + 1):
        weight = 1.0 - lag / (lags + 1.0)
        total += 2.0 * weight * float(error[lag:] @ error[:-lag])
    return max(total, 0.0) / n_known**2


def critical_value(n_dates: int, lags: int) -> float:
    """Return the size that a t-statistic exceeds by chance once in twenty times."""
    # Kiefer, N. M. and Vogelsang, T. J. (2005). A new asymptotic theory for
    # heteroskedasticity-autocorrelation robust tests. Econometric Theory, 21(6),
    # 1130–1164. https://doi.org/10.1017/S0266466605050565
    share = min(1.0, (lags + 1) / n_dates)
    return 1.96 + 2.9694 * share + 0.4160 * share**2 - 0.5324 * share**3


def stationary_bootstrap_means(
    values: np.ndarray, block: float, n_resamples: int, random: np.random.Generator
) -> np.ndarray:
    """Draw means of a series whose blocks of random length are resampled."""
    # Politis, D. N. and Romano, J. P. (1994). The stationary bootstrap. Journal of the
    # American Statistical Association, 89(428), 1303–1313.
    # https://doi.org/10.1080/01621459.1994.10476870
    n_dates = len(values)
    known = np.isfinite(values)
    total, place = np.where(known, values, 0.0), np.arange(n_dates)
    means = np.full(n_resamples, np.nan)
    size = max(1, RESAMPLED_CELLS // n_dates)
    for start in range(0, n_resamples, size):
        shape = (min(size, n_resamples - start), n_dates)
        begins = random.random(shape) < 1.0 / block
        begins[:, 0] = True
        first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
        origin = np.take_along_axis(random.integers(n_dates, size=shape), first, axis=1)
        drawn = (origin + place - first) % n_dates
        count = known[drawn].sum(axis=1)
        means[start : start + size] = np.divide(
            total[drawn].sum(axis=1),
            count,
            out=np.full(len(count), np.nan),
            where=count > 0,
        )
    return means


def quantile_means(
    actual: np.ndarray, forecast: np.ndarray, n_quantiles: int
) -> np.ndarray:
    """Mean return of the tickers of each date, sorted into bins by their forecasts."""
    actual = np.asarray(actual, dtype=np.float64)
    forecast = np.asarray(forecast, dtype=np.float64)
    use = np.isfinite(actual) & np.isfinite(forecast)
    means = np.full((len(actual), n_quantiles), np.nan)
    rows = np.flatnonzero(
        (use.sum(axis=1) >= max(n_quantiles, MIN_PAIRS)) & ~is_constant(forecast, use)
    )
    if not len(rows):
        return means
    use, scores = use[rows], np.where(use[rows], forecast[rows], np.nan)
    returns = np.where(use, actual[rows], 0.0)
    shares = np.arange(n_quantiles + 1) / n_quantiles
    bounds = _row_quantiles(scores, use.sum(axis=1), shares)
    # Interpolation misses a ticker that is on a bound by a rounding error.
    slack = 1e-12 * np.nanmax(np.abs(scores), axis=1, keepdims=True)
    for number, (low, high) in enumerate(pairwise(bounds)):
        member = (scores >= low[:, None] - slack) & (scores <= high[:, None] + slack)
        count = member.sum(axis=1)
        total = np.where(member, returns, 0.0).sum(axis=1)
        means[rows, number] = np.divide(
            total, count, out=np.full(len(rows), np.nan), where=count > 0
        )
    return means


def _row_quantiles(
    values: np.ndarray, count: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Interpolate quantiles of each row's `count` numbers, a row for each share."""
    # NumPy's nanquantile does the same row by row, which takes many times as long.
    ordered = np.sort(values, axis=1)
    place = shares[:, None] * (count - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, count - 1)
    rows = np.arange(len(values))
    below, above = ordered[rows, low], ordered[rows, high]
    return below + (above - below) * (place - low)


def rank_weights(forecast: np.ndarray) -> np.ndarray:
    """Weight the tickers of each date by the ranks of their forecasts."""
    forecast = np.asarray(forecast, dtype=np.float64)
    use = np.isfinite(forecast)
    usable = (use.sum(axis=1) >= MIN_PAIRS) & ~is_constant(forecast, use)
    masked = np.where(use, forecast, np.nan)
    ranks = bn.nanrankdata(masked, axis=1) if masked.size else masked
    count = np.maximum(use.sum(axis=1, keepdims=True), 1)
    # The mean rank of n values is (n + 1) / 2, whatever the ties.
    centered = np.where(use, ranks - (count + 1) / 2, 0.0)
    gross = np.abs(centered).sum(axis=1, keepdims=True)
    weights = 2.0 * centered / np.where(gross > 0, gross, 1.0)
    return np.where(usable[:, None], weights, np.nan)


def weighted_returns(weights: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return of each date's portfolio."""
    known = np.isfinite(weights) & np.isfinite(actual)
    total = np.where(known, weights * np.where(known, actual, 0.0), 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total, np.nan)
