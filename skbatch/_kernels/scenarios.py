"""Draws of dependent normal scores, without a matrix of tickers by tickers."""

from __future__ import annotations

from typing import NamedTuple

import bottleneck as bn
import numpy as np
from scipy.special import stdtr, stdtrit

from skbatch._kernels.target import winsorized

# Tickers with fewer scores than this are taken to depend on the others as the average
# ticker does: a correlation from a handful of overlapping returns is noise.
MIN_SCORES = 20
# In robust deviations. A crash must not dominate the correlations.
MAX_SCORE = 5.0
# Returns relative to the median ticker have a t distribution with so many degrees of
# freedom, of which this is the mean size, and are measured over so many rows; see
# docs/experiments/uncertainty.md.
TAIL = 5.0
MEAN_SIZE = 4.0 * np.sqrt(5.0) / (3.0 * np.pi)
SIZE_ROWS = (63, 252)
# Steps in which limits of bins are found.
N_HALVINGS = 45


class Dependence(NamedTuple):
    """Correlations of many tickers in the form of factors."""

    rows: np.ndarray
    loading: np.ndarray
    common: np.ndarray


def dependence(scores: np.ndarray) -> Dependence:
    """Estimate how the scores of the tickers move together."""
    scores = np.array(scores, dtype=np.float64)
    scores[:, np.isfinite(scores).sum(axis=0) < MIN_SCORES] = np.nan
    z = _standardized(winsorized(scores, MAX_SCORE))
    finite = np.isfinite(z)
    filled = np.where(finite, z, 0.0)
    mean = filled.sum(axis=1) / np.maximum(finite.sum(axis=1), 1)
    deviation = mean.std()
    common = (mean - mean.mean()) / deviation if deviation > 0 else 0.0 * mean
    count = finite.sum(axis=0)
    loading = (filled * common[:, None]).sum(axis=0) / np.maximum(count, 1)
    known = count > 0
    loading[~known] = loading[known].mean() if known.any() else 0.0
    loading = np.clip(loading, -1.0, 1.0)
    rows = np.where(finite, z, loading * common[:, None])
    root = np.sqrt(len(scores))
    return Dependence((rows / root).astype(np.float32), loading, common / root)


def select_dependence(whole: Dependence, tickers: np.ndarray) -> Dependence:
    """Return the dependence of some tickers, those unknown being average ones."""
    loading = np.where(tickers >= 0, whole.loading[tickers], whole.loading.mean())
    rows = whole.rows[:, tickers]
    new = tickers < 0
    rows[:, new] = loading[new] * whole.common[:, None]
    return Dependence(rows, loading, whole.common)


def draw_normal(
    given: Dependence, n_samples: int, shrinkage: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw standard normal scores with the shrunken correlations."""
    # With scores Z, loadings β on their mean and independent normal ε, f, η, this is
    # sqrt(1 - δ) (ε'Z)_i / sqrt(T) + sqrt(δ) β_i f + sqrt(s_i) η_i, where s_i completes
    # the variance to 1. The correlations (1 - δ) Z'Z / T + δ ββ' are shrunk towards a
    # single index and of full rank; no matrix of tickers by tickers is formed.
    # Ledoit, O. and Wolf, M. (2003). Improved estimation of the covariance matrix of
    # stock returns with an application to portfolio selection. Journal of Empirical
    # Finance, 10(5), 603–621. https://doi.org/10.1016/S0927-5398(03)00007-0
    n_dates, n_tickers = given.rows.shape
    factor = rng.standard_normal((n_samples, n_dates), dtype=np.float32)
    index = rng.standard_normal((n_samples, 1))
    draws = rng.standard_normal((n_samples, n_tickers))
    explained = (1.0 - shrinkage) * np.square(given.rows, dtype=np.float64).sum(axis=0)
    explained = explained + shrinkage * given.loading**2
    draws *= np.sqrt(np.maximum(1.0 - explained, 0.0))
    draws += np.sqrt(1.0 - shrinkage) * (factor @ given.rows)
    draws += np.sqrt(shrinkage) * index * given.loading
    return draws


def bin_weights(n_tickers: int, n_bins: int) -> np.ndarray:
    """Share of each rank in each of equally filled bins."""
    low = np.arange(n_tickers)[:, None] / n_tickers
    edges = np.arange(n_bins + 1) / n_bins
    upper = np.minimum(low + 1.0 / n_tickers, edges[1:])
    return np.maximum(upper - np.maximum(low, edges[:-1]), 0.0) * n_tickers


def rank_bin_shares(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum over samples of each ticker's bin."""
    total = np.zeros(weights.shape)
    for order in np.argsort(samples, axis=1, kind="stable"):
        total[order] += weights
    return total


def relative_scale(moves: np.ndarray) -> np.ndarray:
    """Scale of each ticker's returns relative to the median one; NaN if unknown."""
    relative = np.abs(moves - bn.nanmedian(moves, axis=1)[:, None])
    logs = np.zeros(moves.shape[1])
    for rows in SIZE_ROWS:
        finite = np.isfinite(relative[-rows:])
        count = finite.sum(axis=0)
        total = np.where(finite, relative[-rows:], 0.0).sum(axis=0)
        known = (count >= MIN_SCORES) & (total > 0.0)
        logs += np.log(np.where(known, total / np.maximum(count, 1), np.nan))
    return np.exp(logs / len(SIZE_ROWS)) / MEAN_SIZE


def rank_bin_chances(
    location: np.ndarray, scale: np.ndarray, n_bins: int
) -> np.ndarray:
    """Chances of equally filled bins of the ranks of t-distributed values."""
    # A bin is what lies between two limits, the quantiles of the mean distribution:
    # with many tickers, the values at these ranks hardly vary.
    levels = np.arange(1, n_bins) / n_bins
    limits = location[:, None] + scale[:, None] * stdtrit(TAIL, levels)
    low, high = limits.min(axis=0), limits.max(axis=0)
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        above = _below(middle, location, scale).mean(axis=0) > levels
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    below = _below(0.5 * (low + high), location, scale)
    return np.diff(below, axis=1, prepend=0.0, append=1.0)


def _below(limits: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Chance that each value is below each limit."""
    return stdtr(TAIL, (limits - location[:, None]) / scale[:, None])


def _standardized(scores: np.ndarray) -> np.ndarray:
    """Standardize columns to mean 0 and deviation 1; NaN where they do not vary."""
    finite = np.isfinite(scores)
    count = np.maximum(finite.sum(axis=0), 1)
    centered = scores - np.where(finite, scores, 0.0).sum(axis=0) / count
    variance = (np.where(finite, centered, 0.0) ** 2).sum(axis=0) / count
    return centered / np.sqrt(np.where(variance > 0, variance, np.nan))
