"""Decomposition of returns into a common expectation and relative scaled returns."""

from __future__ import annotations

import numpy as np

__all__ = ["common_return", "shrinkage_slope", "shrunken_mean", "standard_deviation"]


def common_return(labels: np.ndarray, min_tickers: int = 2) -> np.ndarray:
    """Equal-weighted mean of the finite labels of each date.

    Parameters
    ----------
    labels : ndarray of shape (n_dates, n_tickers)
        Returns per horizon; NaN is missing.
    min_tickers : int, default=2
        Fewest finite labels of a date, at least 1. One ticker alone has no return
        relative to the others.

    Returns
    -------
    ndarray of shape (n_dates,)
        NaN where a date has fewer than `min_tickers` finite labels.
    """
    finite = np.isfinite(labels)
    count = finite.sum(axis=1)
    total = np.where(finite, labels, 0.0).sum(axis=1)
    return np.where(count >= min_tickers, total / np.maximum(count, 1), np.nan)


def standard_deviation(labels: np.ndarray) -> np.ndarray:
    """Measure the spread of the finite labels of each column.

    Parameters
    ----------
    labels : ndarray of shape (n_dates, n_labels)
        Returns; NaN is missing.

    Returns
    -------
    ndarray of shape (n_labels,)
        With divisor n; 0 for a column without finite labels.
    """
    finite = np.isfinite(labels)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, labels, 0.0).sum(axis=0) / count
    return np.sqrt((np.where(finite, labels - mean, 0.0) ** 2).sum(axis=0) / count)


def shrunken_mean(values: np.ndarray, horizon: int) -> tuple[float, float]:
    r"""Mean of overlapping returns, and the weight that its certainty deserves.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Returns over `horizon` rows, one a row; NaN is missing.
    horizon : int
        Rows that each return spans. Overlapping returns count as n / horizon
        independent ones.

    Returns
    -------
    mean : float
        Mean of the finite values, NaN if there is none.
    weight : float
        :math:`t^2 / (1 + t^2)` with the mean's t-statistic t, in [0, 1]; 1 for returns that do not vary.

    Notes
    -----
    The weight minimises the expected squared error of a shrunken mean when the
    squared true mean is estimated by the squared sample mean.

    References
    ----------
    Thompson, J. R. (1968). Some shrinkage techniques for estimating the mean.
    Journal of the American Statistical Association, 63(321), 113–122.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return np.nan, 0.0
    mean = float(finite.mean())
    if len(finite) < 2:
        return mean, 0.0
    error = float(finite.var(ddof=1)) * horizon / len(finite)
    if error == 0.0:
        return mean, float(mean != 0.0)
    return mean, mean**2 / (error + mean**2)


def shrinkage_slope(realised: np.ndarray, forecast: np.ndarray) -> float:
    """Slope through the origin of realised values on forecasts, within [0, 1].

    Parameters
    ----------
    realised, forecast : ndarray of the same shape
        Pairs in which either is NaN are ignored.

    Returns
    -------
    float
        The factor by which forecasts are best multiplied (Mincer–Zarnowitz slope
        without intercept). 0 for forecasts that point the wrong way, or not at all.
    """
    use = np.isfinite(realised) & np.isfinite(forecast)
    actual, predicted = realised[use], forecast[use].astype(np.float64)
    square = float(predicted @ predicted)
    if square == 0.0:
        return 0.0
    return float(np.clip(float(actual @ predicted) / square, 0.0, 1.0))
