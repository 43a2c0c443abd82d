"""Statistics over rolling windows of rows, by doubling.

A sum over ``2 k`` rows is a sum over ``k`` rows plus the same sum ``k`` rows earlier,
and any window is made of a few powers of two. Unlike a running sum, which adds the
newest row and subtracts the oldest, each result is computed from the rows of its own
window alone, always in the same order. So it is the same to the last bit wherever the
table starts, and a huge value leaves no error behind when it leaves the window. All
windows of one series share its powers of two.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "central_moments",
    "decayed_sum",
    "difference",
    "extend_maxima",
    "extend_sums",
    "lag",
    "least_count",
    "window_drawdown",
    "window_maximum",
    "window_mean",
    "window_sum",
]

# A sum of squares is known to about this fraction of itself; what remains of it after
# the squared mean is subtracted is noise if it is smaller.
_SQUARES_NOISE = 64 * np.finfo(np.float64).eps
# The same for cubes: rounding of size eps·mean³ must stay far below deviation³.
_CUBES_NOISE = 1e-7
_DECAY_TOLERANCE = 1e-8


def lag(values: np.ndarray, rows: int) -> np.ndarray:
    """Shift values down by some rows.

    Parameters
    ----------
    values : ndarray of shape (n_dates, ...)
        Values in the order of time.
    rows : int
        Number of rows, not negative.

    Returns
    -------
    ndarray of shape (n_dates, ...)
        Row t holds row t − `rows` of `values`; NaN where there is none.
    """
    shifted = np.full(values.shape, np.nan)
    if rows < len(values):
        shifted[rows:] = values[: len(values) - rows]
    return shifted


def difference(values: np.ndarray, rows: int) -> np.ndarray:
    """Change over some rows, NaN where a value at either end is missing.

    Parameters
    ----------
    values : ndarray of shape (n_dates, ...)
        Values in the order of time.
    rows : int
        Number of rows, not negative.

    Returns
    -------
    ndarray of shape (n_dates, ...)
        ``values[t] - values[t - rows]``.
    """
    change = np.full(values.shape, np.nan)
    if rows < len(values):
        np.subtract(values[rows:], values[: len(values) - rows], out=change[rows:])
    return change


def extend_sums(powers: list[np.ndarray], window: int) -> None:
    """Append sums over powers of two up to the largest within a window.

    Parameters
    ----------
    powers : list of ndarray of shape (n_dates, ...)
        Element k holds the sums over ``2**k`` rows. The first, the values themselves
        with missing ones set to 0, must be there. Extended in place.
    window : int
        Number of rows, at least 1.
    """
    _extend(powers, window, np.add)


def extend_maxima(powers: list[np.ndarray], window: int) -> None:
    """Append maxima over powers of two up to the largest within a window.

    Parameters
    ----------
    powers : list of ndarray of shape (n_dates, ...)
        Element k holds the maxima over ``2**k`` rows. The first, the values
        themselves with missing ones set to −∞, must be there. Extended in place.
    window : int
        Number of rows, at least 1.
    """
    _extend(powers, window, np.maximum)


def _extend(powers: list[np.ndarray], window: int, combine: np.ufunc) -> None:
    """Double until the largest power of two within the window is there."""
    while 2 ** len(powers) <= window:
        powers.append(_combine_lagged(powers[-1], 2 ** (len(powers) - 1), combine))


def _combine_lagged(values: np.ndarray, rows: int, combine: np.ufunc) -> np.ndarray:
    """Combine values with those some rows earlier, as far as there are any."""
    if rows >= len(values):
        return values
    out = np.empty_like(values)
    out[:rows] = values[:rows]
    combine(values[rows:], values[:-rows], out=out[rows:])
    return out


def window_sum(powers: list[np.ndarray], window: int) -> np.ndarray:
    """Sum over the last `window` rows, or over as many as there are.

    Parameters
    ----------
    powers : list of ndarray of shape (n_dates, ...)
        Sums over powers of two from :func:`extend_sums`.
    window : int
        Number of rows, at least 1.

    Returns
    -------
    ndarray of shape (n_dates, ...)
        The sums. Do not write to it: it may be one of the powers.
    """
    largest = window.bit_length() - 1
    total, covered = powers[largest], 2**largest
    is_own = False
    for power in range(largest - 1, -1, -1):
        if not window >> power & 1 or covered >= len(total):
            continue
        if not is_own:
            total, is_own = total.copy(), True
        total[covered:] += powers[power][: len(total) - covered]
        covered += 2**power
    return total


def window_maximum(powers: list[np.ndarray], window: int) -> np.ndarray:
    """Maximum over the last `window` rows, or over as many as there are.

    Parameters
    ----------
    powers : list of ndarray of shape (n_dates, ...)
        Maxima over powers of two from :func:`extend_maxima`.
    window : int
        Number of rows, at least 1.

    Returns
    -------
    ndarray of shape (n_dates, ...)
        The maxima; −∞ where all values are missing. Do not write to it: it may be
        one of the powers.
    """
    largest = window.bit_length() - 1
    rest = window - 2**largest
    if not rest:
        return powers[largest]
    return _combine_lagged(powers[largest], rest, np.maximum)


def window_drawdown(log_returns: np.ndarray, window: int) -> np.ndarray:
    r"""Log distance from the highest level of a window, from log returns.

    Parameters
    ----------
    log_returns : ndarray of shape (n_dates,)
        Log returns in the order of time; NaN counts as 0.
    window : int
        Number of rows whose levels are compared, at least 1.

    Returns
    -------
    ndarray of shape (n_dates,)
        :math:`\min_{k<w} \sum_{i<k} r_{t-i}`, 0 at a new high. Summed back from each
        row, so that it does not depend on where the table starts.
    """
    log_returns = np.where(np.isnan(log_returns), 0.0, log_returns)
    total = np.zeros(log_returns.shape)
    lowest = np.zeros(log_returns.shape)
    for rows in range(min(window - 1, len(total))):
        total[rows:] += log_returns[: len(total) - rows]
        np.minimum(lowest[rows:], total[rows:], out=lowest[rows:])
    return lowest


def decayed_sum(values: np.ndarray, decay: float) -> np.ndarray:
    r"""Sum with weights that fall by a factor from row to row.

    Parameters
    ----------
    values : ndarray of shape (n_dates, ...)
        Values in the order of time; NaN counts as 0, its weight is used up.
    decay : float
        Factor :math:`\lambda` in (0, 1).

    Returns
    -------
    ndarray of shape (n_dates, ...)
        :math:`\sum_{k < n} \lambda^k x_{t-k}` over n = :func:`decay_rows` rows.
        Divided by the same sum of the indicator of finite values it is the
        exponentially weighted mean.
    """
    total = np.where(np.isnan(values), 0.0, values)
    rows, end = 1, decay_rows(decay)
    while rows < min(end, len(values)):
        longer = total.copy()
        longer[rows:] += decay**rows * total[:-rows]
        total, rows = longer, 2 * rows
    return total


def decay_rows(decay: float) -> int:
    """Count the rows that a decayed sum spans.

    Parameters
    ----------
    decay : float
        Factor in (0, 1).

    Returns
    -------
    int
        The smallest power of two that leaves less than 1e-8 of the total weight to
        the rows before.
    """
    rows = int(np.ceil(np.log(_DECAY_TOLERANCE) / np.log(decay)))
    return 1 << (rows - 1).bit_length()


def least_count(window: int, at_least: int = 2) -> int:
    """Count the finite values that a statistic needs: half the window, rounded up.

    Parameters
    ----------
    window : int
        Number of rows.
    at_least : int, default=2
        Number of values below which the statistic is not defined.

    Returns
    -------
    int
        The larger of the two.
    """
    return max(at_least, (window + 1) // 2)


@np.errstate(all="ignore")
def window_mean(total: np.ndarray, count: np.ndarray, least: int) -> np.ndarray:
    """Mean of a window from its sum and count.

    Parameters
    ----------
    total : ndarray of shape (n_dates, ...)
        Sums of the finite values.
    count : ndarray of shape (n_dates, ...)
        Number of finite values.
    least : int
        Number below which the mean is NaN.

    Returns
    -------
    ndarray of shape (n_dates, ...)
        The means.
    """
    return np.where(count >= least, total / count, np.nan)


@np.errstate(all="ignore")
def central_moments(
    count: np.ndarray, *sums: np.ndarray, least: int
) -> tuple[np.ndarray, ...]:
    r"""Central moments of a window from its sums of powers.

    Parameters
    ----------
    count : ndarray of shape (n_dates, ...)
        Number n of finite values.
    *sums : ndarray of shape (n_dates, ...)
        Sums of the values, their squares and, optionally, their cubes.
    least : int
        Number of values below which the moments are NaN.

    Returns
    -------
    tuple of ndarray of shape (n_dates, ...)
        :math:`\frac1n \sum (x - \bar x)^2` and, with cubes,
        :math:`\frac1n \sum (x - \bar x)^3`. The second moment of a constant window
        is exactly 0: what is smaller than the rounding error of the sum of squares
        is noise. The third is NaN where it would be noise.
    """
    count = np.where(count >= least, count, np.nan)
    mean, square = sums[0] / count, sums[1] / count
    second = square - mean * mean
    second = np.where(second <= _SQUARES_NOISE * square, second * 0.0, second)
    if len(sums) == 2:
        return (second,)
    third = sums[2] / count - mean * (3.0 * second + mean * mean)
    return second, np.where(second <= _CUBES_NOISE * mean * mean, np.nan, third)
