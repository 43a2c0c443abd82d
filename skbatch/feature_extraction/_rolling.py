"""Rolling statistics of one series, sharing what the windows have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from skbatch._kernels.rolling import (
    central_moments,
    decay_rows,
    decayed_sum,
    decayed_sum_at,
    enough,
    least_count,
    window_maximum,
    window_maximum_at,
    window_sum,
    window_sum_at,
)

Rows = slice | np.ndarray
ALL_ROWS = slice(None)


def _sum_at(sums: dict[int, np.ndarray], window: int, rows: Rows) -> np.ndarray:
    """Sum over windows at some rows, of which a few do not take the sums of all."""
    few = _few(rows, len(sums[1]), window)
    if few is None:
        return window_sum(sums, window)[rows]
    return window_sum_at(sums[1], window, few)


def _maximum_at(maxima: dict[int, np.ndarray], window: int, rows: Rows) -> np.ndarray:
    """Find the maximum of windows at some rows."""
    few = _few(rows, len(maxima[1]), window)
    if few is None:
        return window_maximum(maxima, window)[rows]
    return window_maximum_at(maxima[1], window, few)


def _decayed_sum_at(values: np.ndarray, decay: float, rows: Rows) -> np.ndarray:
    """Sum with falling weights at some rows."""
    few = _few(rows, len(values), decay_rows(decay))
    if few is None:
        return decayed_sum(values, decay)[rows]
    return decayed_sum_at(values, decay, few)


def _few(rows: Rows, n_rows: int, span: int) -> np.ndarray | None:
    """Return the wanted rows if they read no more than all there are."""
    wanted = np.arange(n_rows)[rows]
    return wanted if len(wanted) * span <= n_rows else None


class Presence:
    """Which values are there, and how many in each window of the wanted rows."""

    # Series whose values are missing at the same places share it. Threads may, too: at
    # worst, two of them compute the same numbers.

    def __init__(self, finite: np.ndarray, rows: Rows = ALL_ROWS) -> None:
        self.finite = self.distinct = finite
        self.rows = rows
        # Of one column if all are alike; so are numbers that follow from it.
        if finite.ndim == 2 and (finite == finite[:, :1]).all():
            self.distinct = finite[:, :1]
        self._counts: dict[int, np.ndarray] = {}
        self._known: dict[Hashable, Any] = {}

    @cached_property
    def everywhere(self) -> Presence:
        """The same with the windows of all rows."""
        other = copy(self)
        other.rows, other._known = ALL_ROWS, {}
        return other

    @property
    def is_common(self) -> bool:
        """Whether all columns are alike."""
        return self.distinct.size < self.finite.size

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Compute what follows from this presence, once."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def expand(self, values: np.ndarray) -> np.ndarray:
        """Repeat one column for all that are alike."""
        shape = len(values), *self.finite.shape[1:]
        # Arithmetic with a column that numpy has to broadcast takes twice the time.
        return np.ascontiguousarray(np.broadcast_to(values, shape))

    def count(self, window: int) -> np.ndarray:
        """Count the finite values, for each distinct column."""
        if not self._counts:
            self._counts[1] = self.distinct.astype(np.float64)
        return _sum_at(self._counts, window, self.rows)

    def enough(self, window: int, at_least: int = 2) -> np.ndarray:
        """Count the finite values, NaN with less than half a window of them."""
        least = least_count(window, at_least)
        key = "enough", window, least
        return self.get(key, lambda: self.expand(enough(self.count(window), least)))

    def gap(self, window: int) -> np.ndarray:
        """Mark less than half a window of finite values by NaN, others by 0."""
        return self.get(("gap", window), lambda: 0.0 * self.enough(window))

    def correction(self, window: int, ddof: int) -> np.ndarray:
        """Compute what makes an unbiased variance of the second moment."""

        def compute() -> np.ndarray:
            count = self.enough(window, ddof + 1)
            return count / (count - ddof)

        return self.get(("correction", window, ddof), compute)

    def skewness_correction(self, window: int) -> np.ndarray:
        """Compute what makes the skewness of the ratio of moments."""

        def compute() -> np.ndarray:
            count = self.enough(window, 3)
            return np.sqrt(count * (count - 1)) / (count - 2)

        return self.get(("skewness", window), compute)

    def weight(self, decay: float) -> np.ndarray:
        """Sum the exponential weights of the finite values."""

        def compute() -> np.ndarray:
            return self.expand(_decayed_sum_at(self.distinct * 1.0, decay, self.rows))

        return self.get(("weight", decay), compute)


class Rolling:
    """Rolling statistics of one series at the wanted rows, NaN with too few values."""

    def __init__(
        self,
        values: np.ndarray,
        presence: Presence | None = None,
        rows: Rows = ALL_ROWS,
    ) -> None:
        self.presence = presence or Presence(np.isfinite(values), rows)
        self.rows = rows
        self._values = self._filled(values, 0.0)
        self._sums: dict[int, dict[int, np.ndarray]] = {}

    def _filled(self, values: np.ndarray, missing: float) -> np.ndarray:
        """Replace missing values."""
        return np.where(self.presence.finite, values, missing)

    @cached_property
    def everywhere(self) -> Rolling:
        """The same with the windows of all rows."""
        other = copy(self)
        other.rows, other.presence = ALL_ROWS, self.presence.everywhere
        return other

    @cached_property
    def _maxima(self) -> dict[int, np.ndarray]:
        return {1: self._filled(self._values, -np.inf)}

    @cached_property
    def _negated_minima(self) -> dict[int, np.ndarray]:
        return {1: self._filled(-self._values, -np.inf)}

    def sum(self, window: int, exponent: int = 1) -> np.ndarray:
        """Sum the finite values, or a power of them; 0 if there is none."""
        return _sum_at(self._powers(exponent), window, self.rows)

    def _powers(self, exponent: int) -> dict[int, np.ndarray]:
        """Multiply out a power, which is much faster than to raise to it."""
        if exponent not in self._sums:
            power = self._values
            if exponent > 1:
                power = power * self._powers(exponent - 1)[1]
            self._sums[exponent] = {1: power}
        return self._sums[exponent]

    def mean(self, window: int) -> np.ndarray:
        """Compute the mean of the finite values."""
        return self.sum(window) / self.presence.enough(window)

    def variance(self, window: int, ddof: int = 1, at_least: int = 2) -> np.ndarray:
        """Compute the variance; exactly 0 for constant values."""
        count = self.presence.enough(window, at_least)
        (variance,) = central_moments(count, self.sum(window), self.sum(window, 2))
        if ddof:
            variance *= self.presence.correction(window, ddof)
        return variance

    def skewness(self, window: int) -> np.ndarray:
        """Compute the skewness, corrected for bias; NaN for constant values."""
        sums = [self.sum(window, exponent) for exponent in (1, 2, 3)]
        second, third = central_moments(self.presence.enough(window, 3), *sums)
        third *= self.presence.skewness_correction(window)
        return third / (second * np.sqrt(second))

    def maximum(self, window: int) -> np.ndarray:
        """Find the largest finite value."""
        gap = self.presence.gap(window)
        return _maximum_at(self._maxima, window, self.rows) + gap

    def minimum(self, window: int) -> np.ndarray:
        """Find the smallest finite value."""
        gap = self.presence.gap(window)
        return gap - _maximum_at(self._negated_minima, window, self.rows)

    def decayed_mean(self, span: int, decay: float) -> np.ndarray:
        """Compute the exponentially weighted mean, the span serving as the window."""
        mean = self.decayed_sum(decay) / self.presence.weight(decay)
        mean += self.presence.gap(span)
        return mean

    def decayed_sum(self, decay: float) -> np.ndarray:
        """Compute the exponentially weighted sum of the finite values."""
        return _decayed_sum_at(self._values, decay, self.rows)
