"""Statistics across the tickers of each date, over the finite values.

Values are summed exactly, or nearly so: the result does not depend, even in its last
bit, on the order of the tickers.
"""

from __future__ import annotations

from collections.abc import Callable

import bottleneck
import numpy as np
from scipy.special import ndtri

# So many leading bits of up to 2**16 values fit into a sum of 53 bits.
_SLICE_BITS = 36


@np.errstate(all="ignore")
def row_sum(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the finite values of each date."""
    # Each value is cut into multiples of two powers of two, which follow from the
    # largest value of the date. Sums of these are exact, in any order, and what is left
    # is smaller than the rounding error of the total.
    # Demmel, J. and Nguyen, H. D. (2013). Fast reproducible floating-point summation.
    # 21st IEEE Symposium on Computer Arithmetic, 163–172.
    # https://doi.org/10.1109/ARITH.2013.9
    finite = np.isfinite(values)
    count = finite.sum(axis=1, dtype=np.float64)
    if not finite.all():
        values = np.where(finite, values, 0.0)
    largest = np.maximum(values.max(axis=1, initial=0), -values.min(axis=1, initial=0))
    # Up to 2**1024, whose inverse is a number, too, though it is not itself.
    exponent = np.maximum(np.frexp(largest.astype(np.float64))[1], -1000)
    scaled = values * np.ldexp(1.0, -exponent)[:, None]
    total = np.zeros(len(values))
    for bits in (_SLICE_BITS, 2 * _SLICE_BITS):
        # Added to this number, a value is rounded to a multiple of 2**-bits.
        rounder = 1.5 * 2.0 ** (52 - bits)
        part = scaled + rounder
        part -= rounder
        scaled -= part
        total += part.sum(axis=1)
    return np.ldexp(total, exponent), count


@np.errstate(all="ignore")
def row_mean(values: np.ndarray, at_least: int = 1) -> np.ndarray:
    """Mean of the finite values of each date."""
    total, count = row_sum(values)
    return np.where(count >= at_least, total / count, np.nan)


@np.errstate(all="ignore")
def row_deviation(values: np.ndarray) -> np.ndarray:
    """Compute the standard deviation (ddof=1) of each date's finite values."""
    centered = values - row_mean(values)[:, None]
    total, count = row_sum(centered * centered)
    return np.where(count >= 2, np.sqrt(total / (count - 1)), np.nan)


@np.errstate(all="ignore")
def centred_rank(values: np.ndarray) -> np.ndarray:
    """Rank among the finite values of each date, from −1/2 to 1/2."""
    ranks = bottleneck.nanrankdata(values, axis=1)
    count = np.isfinite(ranks).sum(axis=1, keepdims=True)
    ranks -= 1
    ranks /= np.where(count >= 2, count - 1, np.nan)
    ranks -= 0.5
    return ranks


@np.errstate(all="ignore")
def gap_from_mean(values: np.ndarray) -> np.ndarray:
    """Subtract the mean of the finite values of each date."""
    return values - row_mean(values)[:, None]


@np.errstate(all="ignore")
def clipped_score(values: np.ndarray) -> np.ndarray:
    """Standardize the finite values of each date, no further than 3 from their mean."""
    gaps, deviation = gap_from_mean(values), row_deviation(values)[:, None]
    scores = np.clip(gaps / deviation, -3.0, 3.0)
    return np.where(deviation == 0.0, 0.0 * gaps, scores)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Turn the ranks of the finite values of each date into normal quantiles."""
    ranks = bottleneck.nanrankdata(values, axis=1)
    count = np.isfinite(ranks).sum(axis=1, keepdims=True)
    return ndtri((ranks - 0.5) / np.maximum(count, 1))


def by_group(
    statistic: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    groups: np.ndarray,
) -> np.ndarray:
    """Compute a cross-sectional statistic within groups of tickers, or of cells."""
    out = np.full(values.shape, np.nan)
    for group in np.unique(groups[groups >= 0]):
        inside = groups == group
        columns = np.flatnonzero(inside if inside.ndim == 1 else inside.any(axis=0))
        part = np.ascontiguousarray(values[:, columns])
        if inside.ndim == 2:
            part = np.where(inside[:, columns], part, np.nan)
        result = statistic(part)
        if result.ndim == 1:
            result = np.broadcast_to(result[:, None], part.shape)
        if inside.ndim == 2:
            result = np.where(inside[:, columns], result, out[:, columns])
        out[:, columns] = result
    return out
