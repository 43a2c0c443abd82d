"""Quantiles of pooled residual scores, corrected for little data and for drift."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

__all__ = [
    "LEVELS",
    "adapted_levels",
    "calmer_factors",
    "corrected_levels",
    "independent_dates",
    "shrunken_deviation",
    "sorted_quantiles",
]

# Levels that the adaptive correction tracks; others are interpolated.
LEVELS = np.linspace(0.0, 1.0, 401)
# Times the typical size of a date beyond which a single score counts no more.
MAX_SIZE = 3.0
# Chance that a column is taken for a calm one where all are alike.
SIGNIFICANCE = 0.01


def corrected_levels(levels: np.ndarray, n_independent: float) -> np.ndarray:
    """Move levels outwards by what a finite calibration set calls for."""
    # For the central interval of coverage c this is the level c(1 + 1/n) of split
    # conformal prediction, without which n scores cover too little. Where that exceeds
    # 1, the theory's interval is infinite; here no level goes further outwards than to
    # half of the chance that it leaves.
    # Lei, J., G'Sell, M., Rinaldo, A., Tibshirani, R. J. and Wasserman, L. (2018).
    # Distribution-free predictive inference for regression. Journal of the American
    # Statistical Association, 113(523), 1094–1111.
    # https://doi.org/10.1080/01621459.2017.1307116
    levels = np.asarray(levels)
    moved = 0.5 + (levels - 0.5) * (1.0 + 1.0 / n_independent)
    return np.minimum(np.maximum(moved, 0.5 * levels), 0.5 + 0.5 * levels)


def independent_dates(n_dates: int, horizon: int) -> float:
    """Count the independent dates that would be as informative about the spread."""
    # Returns over h rows that begin j rows apart are correlated by 1 - j/h, and their
    # squares, a measure of spread, by (1 - j/h)^2 if returns are normal. The variance
    # of the mean of n of them is that of n / k independent ones, where k is 1 plus
    # twice the sum of (1 - j/h)^2 over j = 1 … h - 1, which is (2h^2 + 1) / 3h.
    # Richardson, M. and Smith, T. (1991). Tests of financial models in the presence of
    # overlapping observations. Review of Financial Studies, 4(2), 227–254.
    return n_dates * 3.0 * horizon / (2.0 * horizon**2 + 1.0)


def adapted_levels(
    scores: np.ndarray,
    pooled: np.ndarray,
    step: float,
    start: np.ndarray = LEVELS,
    n_independent: float = np.inf,
) -> np.ndarray:
    """Run adaptive conformal inference over the dates, for all :data:`LEVELS`."""
    # With the share e_t(a) of the tickers whose score at date t is at most the pooled
    # quantile of level a, every level moves by γ (q - e_t(a_t)) from a_0 = q: levels
    # that too few scores have stayed below of late are raised, others lowered. The
    # levels are sorted at the end, so that quantiles do not cross.
    # Gibbs, I. and Candès, E. (2021). Adaptive conformal inference under distribution
    # shift. Advances in Neural Information Processing Systems, 34.
    # Chernozhukov, V., Fernández-Val, I. and Galichon, A. (2010). Quantile and
    # probability curves without crossing. Econometrica, 78(3), 1093–1125.
    # https://doi.org/10.3982/ECTA7880
    target = LEVELS[1:-1]
    level = start[1:-1].copy()
    if step > 0:
        for row in scores:
            row = np.sort(row[np.isfinite(row)])
            if not len(row):
                continue
            # Dates of the pool itself are met by its plain quantiles, later ones by
            # those that were given out.
            given = corrected_levels(level, n_independent)
            below = np.searchsorted(row, _upper_ends(pooled, given), side="left")
            share = below / len(row)
            level = np.minimum(np.maximum(level + step * (target - share), 0.0), 1.0)
    return np.concatenate([[0.0], np.sort(level), [1.0]])


def _upper_ends(pooled: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the least values of which more than a share of the pool is at most."""
    # A value is below these just if the share of the pool that is at most it is no
    # more than the level. So a few levels are looked up in the pool, and then in a
    # row, and not the many values of a row in the pool.
    n_pooled = len(pooled)
    places = np.floor(levels * n_pooled)
    places += (places + 1.0) / n_pooled <= levels
    places -= places / n_pooled > levels
    inside = np.minimum(places, n_pooled - 1).astype(np.intp)
    return np.where(places < n_pooled, pooled[inside], np.inf)


def sorted_quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of sorted values, at the plotting positions of Hazen."""
    places = np.maximum(len(values) * levels - 0.5, 0.0)
    places = np.minimum(places, len(values) - 1.0)
    below = places.astype(np.intp)
    above = np.minimum(below + 1, len(values) - 1)
    share = places - below
    return (1.0 - share) * values[below] + share * values[above]


def shrunken_deviation(residuals: np.ndarray, prior_size: float = 10.0) -> np.ndarray:
    """Root mean square of each column, drawn to the typical one where it is short."""
    finite = np.isfinite(residuals)
    count = finite.sum(axis=0)
    squares = (np.where(finite, residuals, 0.0) ** 2).sum(axis=0)
    if not count.any():
        return np.full(residuals.shape[1], np.nan)
    typical = np.median((squares / np.maximum(count, 1))[count > 0])
    variance = (squares + prior_size * typical) / (count + prior_size)
    return np.sqrt(np.where((count > 0) & (variance > 0), variance, np.nan))


def calmer_factors(scores: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Relative sizes of columns whose scores are too small to be so by chance, or 1.

    `worth` is the number of independent dates that each row counts for.
    """
    # Prices that return to a peg move less over many rows than their moves from row to
    # row suggest. The sum of sizes is compared with that of the mean sizes of all
    # columns on the same dates, whose shocks they share. Larger ones do not count: as a
    # rule they stem from single shocks, which tell nothing of later ones.
    known = np.isfinite(scores)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    sizes = np.where(known, np.abs(scores), 0.0)
    sizes = np.minimum(sizes, MAX_SIZE * sizes.sum(axis=1, keepdims=True) / count)
    typical = sizes.sum(axis=1, keepdims=True) / count
    known &= typical > 0.0
    some = known.any(axis=0)
    found, expected, squares = (
        worth @ (known * values) for values in (sizes, typical, typical**2)
    )
    ratio = np.divide(found, expected, out=np.ones(len(some)), where=some)
    # The sum's dates have unequal weights, and many columns are tested.
    relative = np.divide(sizes, typical, out=np.ones(sizes.shape), where=known)
    variance = (worth @ (relative - 1.0) ** 2).sum() / max((worth @ known).sum(), 1e-9)
    error = np.sqrt(variance * squares) / np.where(some, expected, 1.0)
    limit = ndtri(SIGNIFICANCE / max(some.sum(), 1)) * error
    return np.where(np.log(np.maximum(ratio, 1e-9)) < limit, ratio, 1.0)
