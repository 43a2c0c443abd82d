"""Scores of forecast distributions: ranks, quantiles, samples."""

from __future__ import annotations

import numpy as np

# Cells of the samples that are sorted at a time.
MAX_CELLS = 2**22


def quantile_loss(
    actual: np.ndarray, forecast: np.ndarray, level: float | np.ndarray
) -> np.ndarray:
    """Pinball loss of each forecast of a quantile."""
    error = actual - forecast
    return np.maximum(level * error, (level - 1.0) * error)


def rank_bin_membership(returns: np.ndarray, n_bins: int) -> np.ndarray:
    """Share of each ticker in each of equally filled bins of the cross-section."""
    _, group, count = np.unique(returns, return_inverse=True, return_counts=True)
    upper = np.cumsum(count) / max(1, len(returns))
    lower = np.concatenate([[0.0], upper[:-1]])
    edges = np.arange(n_bins + 1) / n_bins
    overlap = np.minimum(upper[:, None], edges[1:])
    overlap = np.maximum(overlap - np.maximum(lower[:, None], edges[:-1]), 0.0)
    return (overlap / (upper - lower)[:, None])[group]


def ranked_probability(membership: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Ranked probability score of each ticker."""
    return (np.cumsum(probability - membership, axis=1) ** 2).mean(axis=1)


def sample_crps(actual: np.ndarray, samples: np.ndarray, fair: bool) -> np.ndarray:
    """Continuous ranked probability score of each column of a sample."""
    # The mean absolute difference of two draws is a weighted sum of the sorted draws: n
    # log n operations, not n².
    n_samples, n_columns = samples.shape
    pairs = n_samples * (n_samples - 1 if fair else n_samples)
    rank = np.arange(1, n_samples + 1)[:, None]
    scores = np.empty(n_columns)
    block = max(1, MAX_CELLS // n_samples)
    for start in range(0, n_columns, block):
        part = slice(start, start + block)
        draws = np.sort(samples[:, part], axis=0)
        distance = np.abs(draws - actual[part]).mean(axis=0)
        spread = ((2 * rank - n_samples - 1) * draws).sum(axis=0) / pairs
        scores[part] = distance - spread
    return scores
