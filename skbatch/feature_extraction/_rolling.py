"""Rolling statistics of one series, sharing what the windows have in common."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from skbatch._kernels.rolling import (
    central_moments,
    decayed_sum,
    extend_maxima,
    extend_sums,
    least_count,
    window_maximum,
    window_mean,
    window_sum,
)

__all__ = ["Rolling"]


class Rolling:
    """Rolling statistics of one series, NaN with less than half a window of values.

    Parameters
    ----------
    values : ndarray of shape (n_dates, ...)
        The series in the order of time; values that are not finite are missing.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._finite = np.isfinite(values)
        self._values = np.where(self._finite, values, 0.0)
        self._sums: dict[int, list[np.ndarray]] = {}
        self._counts: dict[int, np.ndarray] = {}

    @cached_property
    def _maxima(self) -> list[np.ndarray]:
        return [np.where(self._finite, self._values, -np.inf)]

    @cached_property
    def _negated_minima(self) -> list[np.ndarray]:
        return [np.where(self._finite, -self._values, -np.inf)]

    def sum(self, window: int, exponent: int = 1) -> np.ndarray:
        """Sum the finite values, or a power of them; 0 if there is none."""
        if exponent not in self._sums:
            self._sums[exponent] = [self._power(exponent)]
        extend_sums(self._sums[exponent], window)
        return window_sum(self._sums[exponent], window)

    def _power(self, exponent: int) -> np.ndarray:
        """Multiply out a power, which is much faster than to raise to it."""
        if exponent == 0:
            return self._finite.astype(np.float64)
        return (
            self._values * self._power(exponent - 1) if exponent > 1 else self._values
        )

    def count(self, window: int) -> np.ndarray:
        """Count the finite values."""
        if window not in self._counts:
            self._counts[window] = self.sum(window, 0)
        return self._counts[window]

    def mean(self, window: int) -> np.ndarray:
        """Compute the mean of the finite values."""
        return window_mean(self.sum(window), self.count(window), least_count(window))

    def variance(self, window: int, ddof: int = 1) -> np.ndarray:
        """Compute the variance; exactly 0 for constant values."""
        count = self.count(window)
        (second,) = central_moments(
            count, self.sum(window), self.sum(window, 2), least=least_count(window)
        )
        return second if ddof == 0 else second * (count / (count - ddof))

    def skewness(self, window: int) -> np.ndarray:
        """Compute the skewness, corrected for bias; NaN for constant values."""
        count = self.count(window)
        sums = [self.sum(window, exponent) for exponent in (1, 2, 3)]
        second, third = central_moments(count, *sums, least=least_count(window, 3))
        correction = np.sqrt(count * (count - 1)) / (count - 2)
        return correction * third / (second * np.sqrt(second))

    def maximum(self, window: int) -> np.ndarray:
        """Find the largest finite value."""
        extend_maxima(self._maxima, window)
        largest = window_maximum(self._maxima, window)
        return np.where(self.count(window) >= least_count(window), largest, np.nan)

    def minimum(self, window: int) -> np.ndarray:
        """Find the smallest finite value."""
        extend_maxima(self._negated_minima, window)
        smallest = -window_maximum(self._negated_minima, window)
        return np.where(self.count(window) >= least_count(window), smallest, np.nan)

    def decayed_mean(self, span: int, decay: float) -> np.ndarray:
        """Compute the exponentially weighted mean, the span serving as the window."""
        total = self.decayed_sum(decay)
        weight = decayed_sum(self._finite.astype(np.float64), decay)
        enough = self.count(span) >= least_count(span)
        return np.where(enough, total / weight, np.nan)

    def decayed_sum(self, decay: float) -> np.ndarray:
        """Compute the exponentially weighted sum of the finite values."""
        return decayed_sum(self._values, decay)
