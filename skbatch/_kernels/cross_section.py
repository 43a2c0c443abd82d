"""Statistics across the tickers of each date, over the finite values.

Values are summed in sorted order: the result does not depend, even in its last bit,
on the order of the tickers.
"""

from __future__ import annotations

from collections.abc import Callable

import bottleneck
import numpy as np

__all__ = [
    "by_group",
    "centred_rank",
    "row_deviation",
    "row_mean",
    "row_power_sums",
    "row_sum",
]


def row_sum(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the finite values of each date.

    Parameters
    ----------
    values : ndarray of shape (n_dates, n_tickers)
        Values; NaN is missing.

    Returns
    -------
    total : ndarray of shape (n_dates,)
        0 where there is no finite value.
    count : ndarray of shape (n_dates,), dtype float64
        Number of finite values.
    """
    values, count = _sort(values)
    return values.sum(axis=1), count


def row_power_sums(
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the finite values of each date, which are not negative, and their squares.

    Parameters
    ----------
    values : ndarray of shape (n_dates, n_tickers)
        Values, 0 or larger; NaN is missing.

    Returns
    -------
    total : ndarray of shape (n_dates,)
        0 where there is no finite value.
    squares : ndarray of shape (n_dates,)
        Sum of the squares.
    count : ndarray of shape (n_dates,), dtype float64
        Number of finite values.
    """
    values, count = _sort(values)
    # The squares are in order, too: they need not be sorted again.
    return values.sum(axis=1), (values * values).sum(axis=1), count


def _sort(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort the finite values of each date, others set to 0, and count them."""
    # The order in memory decides the order of summation, too.
    values = np.array(values, dtype=np.float64, order="C")
    values.sort(axis=1)
    finite = np.isfinite(values)
    count = finite.sum(axis=1, dtype=np.float64)
    if count.min(initial=0.0) < values.shape[1]:
        values = np.where(finite, values, 0.0)
    return values, count


@np.errstate(all="ignore")
def row_mean(values: np.ndarray, at_least: int = 1) -> np.ndarray:
    """Mean of the finite values of each date.

    Parameters
    ----------
    values : ndarray of shape (n_dates, n_tickers)
        Values; NaN is missing.
    at_least : int, default=1
        Number of values below which the mean is NaN.

    Returns
    -------
    ndarray of shape (n_dates,)
        The means.
    """
    total, count = row_sum(values)
    return np.where(count >= at_least, total / count, np.nan)


@np.errstate(all="ignore")
def row_deviation(values: np.ndarray) -> np.ndarray:
    """Compute the standard deviation (ddof=1) of each date's finite values.

    Parameters
    ----------
    values : ndarray of shape (n_dates, n_tickers)
        Values; NaN is missing.

    Returns
    -------
    ndarray of shape (n_dates,)
        The standard deviations; NaN with fewer than two values.
    """
    centred = values - row_mean(values)[:, None]
    total, count = row_sum(centred * centred)
    return np.where(count >= 2, np.sqrt(total / (count - 1)), np.nan)


@np.errstate(all="ignore")
def centred_rank(values: np.ndarray) -> np.ndarray:
    """Rank among the finite values of each date, from −1/2 to 1/2.

    Parameters
    ----------
    values : ndarray of shape (n_dates, n_tickers)
        Values; NaN is missing, and stays so.

    Returns
    -------
    ndarray of shape (n_dates, n_tickers)
        (rank − 1) / (number − 1) − 1/2, where ties share the mean of their ranks. NaN
        with fewer than two values: one alone has no rank.
    """
    ranks = bottleneck.nanrankdata(values, axis=1)
    count = np.isfinite(ranks).sum(axis=1, keepdims=True)
    ranks -= 1
    ranks /= np.where(count >= 2, count - 1, np.nan)
    ranks -= 0.5
    return ranks


def by_group(
    statistic: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    groups: np.ndarray,
) -> np.ndarray:
    """Compute a cross-sectional statistic within each group of tickers.

    Parameters
    ----------
    statistic : callable
        Takes the values of one group, `(n_dates, n_members)`, and returns one value
        per date, `(n_dates,)`, or one per date and member.
    values : ndarray of shape (n_dates, n_tickers)
        Values; NaN is missing.
    groups : ndarray of shape (n_tickers,), dtype int
        Number of each ticker's group, negative for none.

    Returns
    -------
    ndarray of shape (n_dates, n_tickers)
        Each ticker's statistic, or that of its group; NaN without a group.
    """
    out = np.full(values.shape, np.nan)
    for group in np.unique(groups[groups >= 0]):
        members = np.flatnonzero(groups == group)
        result = statistic(np.ascontiguousarray(values[:, members]))
        out[:, members] = result if result.ndim == 2 else result[:, None]
    return out
