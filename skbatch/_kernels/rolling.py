"""Statistics over rolling windows of rows, by doubling.

A sum over ``2 k`` rows is a sum over ``k`` rows plus the same sum ``k`` rows earlier,
and any window is a few such steps away from one row. Unlike a running sum, which adds
the newest row and subtracts the oldest, each result is computed from the rows of its
own window alone, always in the same order. So it is the same to the last bit wherever
the table starts, and a huge value leaves no error behind when it leaves the window.
All windows of one series share the shorter sums that they are made of.
"""

from __future__ import annotations

import numpy as np

# A sum of squares is known to about this fraction of itself; what remains of it after
# the squared mean is subtracted is noise if it is smaller.
_SQUARES_NOISE = 64 * np.finfo(np.float64).eps
# The same for cubes: rounding of size eps·mean³ must stay far below deviation³.
_CUBES_NOISE = 1e-7
_DECAY_TOLERANCE = 1e-8


def lag(values: np.ndarray, rows: int) -> np.ndarray:
    """Shift values down by some rows."""
    shifted = np.empty(values.shape)
    shifted[:rows] = np.nan
    if rows < len(values):
        shifted[rows:] = values[: len(values) - rows]
    return shifted


def difference(values: np.ndarray, rows: int) -> np.ndarray:
    """Change over some rows, NaN where a value at either end is missing."""
    change = np.empty(values.shape)
    change[:rows] = np.nan
    if rows < len(values):
        np.subtract(values[rows:], values[: len(values) - rows], out=change[rows:])
    return change


def window_sum(sums: dict[int, np.ndarray], window: int) -> np.ndarray:
    """Sum over the last `window` rows, or over as many as there are."""
    if window not in sums:
        n_parts = _n_parts(window)
        if n_parts == 1:
            total = window_sum(sums, window - 1).copy()
            _add_to(total, sums[1], window - 1)
        else:
            width = window // n_parts
            part = window_sum(sums, width)
            total = _combine_lagged(part, width, np.add)
            if n_parts == 3:
                _add_to(total, part, 2 * width)
        sums[window] = total
    return sums[window]


def window_sum_at(values: np.ndarray, window: int, rows: np.ndarray) -> np.ndarray:
    """Sum over windows as `window_sum` does, but for some rows alone."""
    if window == 1:
        return _rows_at(values, rows)
    n_parts = _n_parts(window)
    if n_parts == 1:
        total = window_sum_at(values, window - 1, rows)
        total += _rows_at(values, rows - (window - 1))
        return total
    width = window // n_parts
    places = rows - width * np.arange(n_parts)[:, None]
    parts = window_sum_at(values, width, places.ravel())
    parts = parts.reshape(n_parts, len(rows), *values.shape[1:])
    total = parts[0] + parts[1]
    if n_parts == 3:
        total += parts[2]
    return total


def _n_parts(window: int) -> int:
    """Count the equal parts that a window is summed from."""
    # The order of summation follows from the window alone: halves of an even window,
    # thirds of one that is divisible by three, else the window shorter by one row, and
    # the last row. So the result depends neither on other windows nor on earlier rows.
    if window % 2 == 0:
        return 2
    return 3 if window % 3 == 0 and window > 3 else 1


def _rows_at(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copy some rows, 0 for those before the first."""
    copied = values[np.maximum(rows, 0)]
    copied[rows < 0] = 0.0
    return copied


def _add_to(total: np.ndarray, values: np.ndarray, rows: int) -> None:
    """Add values of some rows earlier, in place."""
    if rows < len(total):
        total[rows:] += values[: len(total) - rows]


def _combine_lagged(values: np.ndarray, rows: int, combine: np.ufunc) -> np.ndarray:
    """Combine values with those some rows earlier, as far as there are any."""
    out = np.empty_like(values)
    out[:rows] = values[:rows]
    if rows < len(values):
        combine(values[rows:], values[:-rows], out=out[rows:])
    return out


def window_maximum(maxima: dict[int, np.ndarray], window: int) -> np.ndarray:
    """Maximum over the last `window` rows, or over as many as there are."""
    largest = 1
    while 2 * largest <= window:
        if 2 * largest not in maxima:
            maxima[2 * largest] = _combine_lagged(maxima[largest], largest, np.maximum)
        largest *= 2
    # A row that is compared twice changes no maximum.
    rest = window - largest
    return (
        _combine_lagged(maxima[largest], rest, np.maximum) if rest else maxima[largest]
    )


def window_maximum_at(values: np.ndarray, window: int, rows: np.ndarray) -> np.ndarray:
    """Maximum over windows as `window_maximum` finds it, but for some rows alone."""
    parts = [values[max(0, row - window + 1) : row + 1] for row in rows.tolist()]
    return np.stack([part.max(axis=0) for part in parts])


def window_drawdown(log_returns: np.ndarray, window: int) -> np.ndarray:
    """Log distance from the highest level of a window, from log returns."""
    log_returns = np.where(np.isnan(log_returns), 0.0, log_returns)
    total = np.zeros(log_returns.shape)
    lowest = np.zeros(log_returns.shape)
    for rows in range(min(window - 1, len(total))):
        total[rows:] += log_returns[: len(total) - rows]
        np.minimum(lowest[rows:], total[rows:], out=lowest[rows:])
    return lowest


def decayed_sum(values: np.ndarray, decay: float) -> np.ndarray:
    """Sum with weights that fall by a factor from row to row."""
    total = np.where(np.isnan(values), 0.0, values)
    longer = np.empty_like(total)
    rows, end = 1, decay_rows(decay)
    while rows < min(end, len(values)):
        longer[:rows] = total[:rows]
        np.multiply(total[:-rows], decay**rows, out=longer[rows:])
        longer[rows:] += total[rows:]
        total, longer, rows = longer, total, 2 * rows
    return total


def decayed_sum_at(values: np.ndarray, decay: float, rows: np.ndarray) -> np.ndarray:
    """Sum with weights as `decayed_sum` does, but for some rows alone."""
    # Of longer and longer spans, every second one is summed with the one before it.
    span = min(decay_rows(decay), 1 << (len(values) - 1).bit_length())
    places = rows - np.arange(span)[:, None]
    total = _rows_at(values, places.ravel())
    total = np.where(np.isnan(total), 0.0, total)
    total = total.reshape(span, len(rows), *values.shape[1:])
    length = 1
    while length < span:
        total = total[1::2] * decay**length + total[::2]
        length *= 2
    return total[0]


def decay_rows(decay: float) -> int:
    """Count the rows that a decayed sum spans."""
    rows = int(np.ceil(np.log(_DECAY_TOLERANCE) / np.log(decay)))
    return 1 << (rows - 1).bit_length()


def least_count(window: int, at_least: int = 2) -> int:
    """Count the finite values that a statistic needs: half the window, rounded up."""
    return max(at_least, (window + 1) // 2)


def enough(count: np.ndarray, least: int) -> np.ndarray:
    """Blank out numbers of values that are too small for a statistic."""
    return np.where(count >= least, count, np.nan)


@np.errstate(all="ignore")
def central_moments(count: np.ndarray, *sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """Central moments of a window from its sums of powers."""
    mean, second = sums[0] / count, sums[1] / count
    # Few arrays, written again and again, stay in the processor's cache.
    noise, squared = _SQUARES_NOISE * second, mean * mean
    second -= squared
    is_noise = second <= noise
    if is_noise.any():
        np.multiply(second, 0.0, out=second, where=is_noise)
    if len(sums) == 2:
        return (second,)
    third = np.multiply(second, 3.0, out=noise)
    third += squared
    third *= mean
    np.subtract(np.divide(sums[2], count, out=mean), third, out=third)
    squared *= _CUBES_NOISE
    np.copyto(third, np.nan, where=second <= squared)
    return second, third
