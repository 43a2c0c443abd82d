"""The distribution of residual scores, as it is known at a date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skbatch._kernels.conformal import (
    LEVELS,
    adapted_levels,
    corrected_levels,
    independent_dates,
    sorted_quantiles,
)
from skbatch._kernels.target import winsorized

# Scores of two years; older ones predict little.
WINDOW = 504
# A wrong price, whose score can be in the thousands, must not own the volatility of all
# tickers, to which the square of each score contributes.
MAX_SIZES = 20.0
# Rows after which the pool of scores is made anew.
REFRESH = 21


@dataclass(frozen=True)
class ScoreDistribution:
    """Scores of a horizon, pooled over tickers and dates, and their adapted levels."""

    pooled: np.ndarray  # sorted
    levels: np.ndarray  # for each of LEVELS
    n_independent: float  # dates that the scores are worth

    @classmethod
    def of(
        cls, scores: np.ndarray, horizon: int, step: float
    ) -> ScoreDistribution | None:
        """Pool scores `(n_dates, n_labels)`, and adapt the levels date by date."""
        pooled, n_independent = _pool(scores, horizon)
        if not len(pooled):
            return None
        return cls(pooled, adapted_levels(scores, pooled, step), n_independent)

    def quantiles(self, levels: np.ndarray, *, corrected: bool = True) -> np.ndarray:
        """Scores at quantile levels."""
        adapted = np.interp(levels, LEVELS, self.levels)
        if corrected:
            adapted = corrected_levels(adapted, self.n_independent)
        # With the plotting positions of Hazen, and n independent scores, the moved
        # levels cover what they should on average.
        return sorted_quantiles(self.pooled, adapted)

    def followed(
        self,
        tail: np.ndarray,
        scores: np.ndarray,
        horizon: int,
        delay: int,
        step: float,
    ) -> Iterator[ScoreDistribution]:
        """Continue through the dates after a tail, as the scores become known."""
        # Known at a date are the scores of dates at least a horizon and the delay
        # before.
        now = self
        for row in range(len(scores)):
            known = row - horizon - delay
            if known >= 0:
                row_scores = scores[known : known + 1]
                level = adapted_levels(
                    row_scores, now.pooled, step, now.levels, now.n_independent
                )
                pooled, n_independent = now.pooled, now.n_independent
                if (known + 1) % REFRESH == 0:
                    recent = np.concatenate([tail, scores[: known + 1]])[-WINDOW:]
                    pooled, n_independent = _pool(recent, horizon)
                    if not len(pooled):
                        pooled, n_independent = now.pooled, now.n_independent
                now = ScoreDistribution(pooled, level, n_independent)
            yield now


def _pool(scores: np.ndarray, horizon: int) -> tuple[np.ndarray, float]:
    """Sort the finite scores, and count the independent dates that they are worth."""
    finite = np.isfinite(scores)
    n_dates = int(finite.any(axis=1).sum())
    pooled = np.sort(winsorized(scores[finite], MAX_SIZES))
    return pooled, independent_dates(n_dates, horizon)
