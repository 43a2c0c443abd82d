"""How much of the best result of a search is due to the search."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata


def probabilistic_sharpe(
    sharpe: float, benchmark: float, n_dates: int, skewness: float, kurtosis: float
) -> float:
    """Probability that the true Sharpe ratio is above a benchmark's."""
    # Bailey, D. H. and López de Prado, M. (2012). The Sharpe ratio efficient frontier.
    # Journal of Risk, 15(2), 3–44. https://doi.org/10.21314/JOR.2012.255
    variance = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if not variance > 0:
        return float("nan")
    return float(ndtr((sharpe - benchmark) * ((n_dates - 1) / variance) ** 0.5))


def expected_maximum_sharpe(variance: float, n_trials: int) -> float:
    """Expect the best of so many Sharpe ratios without skill."""
    if n_trials == 1:
        return 0.0
    first, second = ndtri(1 - 1 / n_trials), ndtri(1 - 1 / (n_trials * np.e))
    quantile = (1 - np.euler_gamma) * first + np.euler_gamma * second
    return float(variance**0.5 * quantile)


def overfitting_logits(returns: np.ndarray, n_splits: int) -> np.ndarray:
    """Logit of the rank out of sample of the trial that is best in sample."""
    # Sums over blocks of rows serve all combinations of blocks.
    blocks = np.array_split(returns, n_splits)
    sums = np.array([block.sum(axis=0) for block in blocks])
    squares = np.array([(block**2).sum(axis=0) for block in blocks])
    counts = np.array([len(block) for block in blocks])
    halves = list(combinations(range(n_splits), n_splits // 2))
    chosen = np.zeros((len(halves), n_splits))
    np.put_along_axis(chosen, np.array(halves), 1.0, axis=1)

    def scores(use: np.ndarray) -> np.ndarray:
        count = (use @ counts)[:, None]
        return sharpe_ratios(use @ sums / count, use @ squares / count)

    best = np.argmax(scores(chosen), axis=1)
    ranks = rankdata(scores(1.0 - chosen), axis=1)[np.arange(len(halves)), best]
    share = ranks / (returns.shape[1] + 1)
    return np.log(share / (1 - share))


def sharpe_ratios(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    """Sharpe ratios from moments, 0 where there is no return at all."""
    variance = mean_square - mean**2
    flat = variance <= 1e-14 * mean_square
    return np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance)))
