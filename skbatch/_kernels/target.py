"""Decomposition of returns into a common expectation and relative scaled returns."""

from __future__ import annotations

import bottleneck as bn
import numpy as np

from skbatch._kernels.cross_section import row_mean


def common_return(
    labels: np.ndarray, min_tickers: int = 2, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean of the finite labels of each date, equally weighted by default."""
    if weights is None:
        return row_mean(labels, min_tickers)
    weights = np.where(np.isfinite(labels), weights, np.nan)
    return row_mean(labels * weights, min_tickers) / row_mean(weights, min_tickers)


def standard_deviation(labels: np.ndarray) -> np.ndarray:
    """Measure the spread of the finite labels of each column."""
    finite = np.isfinite(labels)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, labels, 0.0).sum(axis=0) / count
    return np.sqrt((np.where(finite, labels - mean, 0.0) ** 2).sum(axis=0) / count)


def market_share(
    volatility: np.ndarray, typical: np.ndarray | None = None
) -> np.ndarray:
    """Part of the common expectation that each ticker takes."""
    if typical is None:
        typical = typical_volatility(volatility)
    return np.minimum(1.0, 2.0 * volatility / typical[:, None])


def typical_volatility(volatility: np.ndarray) -> np.ndarray:
    """Median over the tickers of each date."""
    return bn.nanmedian(volatility, axis=1).astype(np.float32)


def shrunken_mean(
    values: np.ndarray, horizon: int, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Mean of overlapping returns, and the weight that its certainty deserves."""
    # The weight minimizes the expected squared error of a shrunken mean when the
    # squared true mean is estimated by the squared sample mean.
    # Thompson, J. R. (1968). Some shrinkage techniques for estimating the mean. Journal
    # of the American Statistical Association, 63(321), 113–122.
    finite = values[np.isfinite(values)]
    if weights is not None and len(finite) > 1:
        return _weighted_shrunken_mean(finite, horizon, weights[np.isfinite(values)])
    if len(finite) == 0:
        return np.nan, 0.0
    mean = float(finite.mean())
    if len(finite) < 2:
        return mean, 0.0
    return mean, _certainty(mean, float(finite.var(ddof=1)) * horizon / len(finite))


def _weighted_shrunken_mean(
    values: np.ndarray, horizon: int, weights: np.ndarray
) -> tuple[float, float]:
    """Weighted mean, as certain as that of Kish's effective number of values."""
    # Kish, L. (1965). Survey Sampling, section 11.7. Wiley.
    share = weights / weights.sum()
    mean, n_effective = float(share @ values), 1.0 / float(share @ share)
    if n_effective <= 1.0:
        return mean, 0.0
    variance = float(share @ (values - mean) ** 2)
    return mean, _certainty(mean, variance * horizon / (n_effective - 1.0))


def _certainty(mean: float, error: float) -> float:
    """Weight of a mean with a squared standard error."""
    if error == 0.0:
        return float(mean != 0.0)
    return mean**2 / (error + mean**2)


def shrinkage_slope(
    realized: np.ndarray,
    forecast: np.ndarray,
    dates: np.ndarray,
    overlap: float,
    prior: float,
    deviation: float,
    weights: np.ndarray | None = None,
) -> float:
    """Find the factor that forecasts deserve, from how they did on past dates."""
    # The slope b of realized values on forecasts through the origin, averaged with the
    # one that was expected before, each in proportion to its precision. Where they
    # differ by more than three standard errors of b, the latter loses its own.
    # Mincer, J. and Zarnowitz, V. (1969). The evaluation of economic forecasts. In
    # Economic Forecasts and Expectations, NBER, 3–46.
    # Theil, H. and Goldberger, A. S. (1961). On pure and mixed statistical estimation
    # in economics. International Economic Review, 2(1), 65–78.
    found = slope_and_error(realized, forecast, dates, overlap, weights)
    if found is None:
        return prior
    slope, error = found
    spread = max(deviation**2, (slope - prior) ** 2 - 9.0 * error)
    weight = spread / (spread + error)
    return weight * slope + (1.0 - weight) * prior


def slope_and_error(
    realized: np.ndarray,
    forecast: np.ndarray,
    dates: np.ndarray,
    overlap: float,
    weights: np.ndarray | None = None,
) -> tuple[float, float] | None:
    """Slope of realized values on forecasts, and its squared standard error, if any."""
    # With a_d = sum_i y f and q_d = sum_i f^2 of n dates, b = sum a_d / sum q_d, and
    # its squared standard error, clustered by date, is with the overlap k
    # k n / (n - k) sum (a_d - b q_d)^2 / (sum q_d)^2.
    # Cameron, A. C. and Miller, D. L. (2015). A practitioner's guide to cluster-robust
    # inference. Journal of Human Resources, 50(2), 317–372.
    # https://doi.org/10.3368/jhr.50.2.317
    use = np.isfinite(realized) & np.isfinite(forecast)
    actual = np.where(use, realized, 0.0).reshape(len(dates), -1)
    predicted = np.where(use, forecast, 0.0).astype(np.float64).reshape(len(dates), -1)
    _, codes = np.unique(dates, return_inverse=True)
    weighted = predicted
    if weights is not None:
        weighted = predicted * weights.reshape(len(dates), -1)
    products = np.bincount(codes, (actual * weighted).sum(axis=1))
    squares = np.bincount(codes, (predicted * weighted).sum(axis=1))
    n_dates, total = len(squares), float(squares.sum())
    if n_dates <= overlap or total == 0.0:
        return None
    slope = float(products.sum()) / total
    errors = products - slope * squares
    error = overlap * n_dates / (n_dates - overlap) * float(errors @ errors) / total**2
    return slope, error


def winsorized(labels: np.ndarray, sizes: float = 10.0) -> np.ndarray:
    """Bound the labels of each column by a multiple of their typical size."""
    size = np.abs(labels)
    size[size == 0.0] = np.nan
    bound = sizes * 1.4826 * bn.nanmedian(size, axis=0)
    bound = np.where(np.isfinite(bound), bound, np.inf)
    return np.clip(labels, -bound, bound)
