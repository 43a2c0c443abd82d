"""Scores of forecasts, date by date and pooled."""

from __future__ import annotations

import bottleneck as bn
import numpy as np

# Two points always lie on a line: their correlation carries no information.
MIN_PAIRS = 3
# Below this spread, relative to the largest value, only rounding errors differ.
# SciPy warns of nearly constant input at the same place.
NEARLY_CONSTANT = 1e-13


def cross_sectional_correlation(
    actual: np.ndarray,
    forecast: np.ndarray,
    weights: np.ndarray | None = None,
    min_pairs: int = MIN_PAIRS,
) -> np.ndarray:
    """Pearson correlation of the finite pairs of each row."""
    actual, forecast, use = _finite_pairs(actual, forecast, weights)
    product = _unit_rows(actual, use, weights) * _unit_rows(forecast, use, weights)
    if weights is not None:
        product = np.where(use, product * weights, 0.0)
    correlation = np.clip(product.sum(axis=1), -1.0, 1.0)
    return np.where(use.sum(axis=1) >= min_pairs, correlation, np.nan)


def cross_sectional_rank_correlation(
    actual: np.ndarray,
    forecast: np.ndarray,
    weights: np.ndarray | None = None,
    min_pairs: int = MIN_PAIRS,
) -> np.ndarray:
    """Spearman correlation of each row's finite pairs; ties share their mean rank."""
    # NaN where there are too few pairs, or one side is constant up to rounding errors.
    actual, forecast, use = _finite_pairs(actual, forecast, weights)
    pair = [_row_ranks(values, use, weights) for values in (actual, forecast)]
    return cross_sectional_correlation(pair[0], pair[1], weights, min_pairs)


def mean_of_dates(
    scores: np.ndarray,
    actual: np.ndarray,
    forecast: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Mean of the finite scores, each date by the mean weight of its pairs."""
    if weights is None:
        return finite_mean(scores)
    use = _finite_pairs(actual, forecast, weights)[2]
    total = np.where(use, weights, 0.0).sum(axis=1)
    return finite_mean(scores, total / np.maximum(use.sum(axis=1), 1))


def relative_squared_error(
    actual: np.ndarray,
    forecast: np.ndarray,
    benchmark: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Squared error of the forecasts over that of the benchmark, pooled."""
    use = _finite_pairs(actual, forecast, weights)[2] & np.isfinite(benchmark)
    counts = 1.0 if weights is None else weights[use]
    total = float(np.sum(counts * (actual[use] - benchmark[use]) ** 2))
    if total == 0.0:
        return float("nan")
    return float(np.sum(counts * (actual[use] - forecast[use]) ** 2)) / total


def sign_agreement(
    actual: np.ndarray, forecast: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Share of the finite pairs with actual ≠ 0 that have the same sign."""
    use = _finite_pairs(actual, forecast, weights)[2] & (actual != 0)
    agree = np.sign(actual[use]) == np.sign(forecast[use])
    return finite_mean(
        agree.astype(np.float64), None if weights is None else weights[use]
    )


def finite_mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of the finite values, NaN if there is none."""
    known = np.isfinite(values)
    if weights is None:
        return float(values[known].mean()) if known.any() else float("nan")
    counts = np.where(known, weights, 0.0)
    if not counts.any():
        return float("nan")
    return float(np.average(values[known], weights=counts[known]))


def _finite_pairs(
    actual: np.ndarray, forecast: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert both to float64 and mark the cells that count and are finite in both."""
    actual = np.asarray(actual, dtype=np.float64)
    forecast = np.asarray(forecast, dtype=np.float64)
    use = np.isfinite(actual) & np.isfinite(forecast)
    return actual, forecast, use if weights is None else use & (weights > 0)


def _row_ranks(
    values: np.ndarray, use: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Rank each row among its used cells; rows without dispersion become constant."""
    masked = np.where(use, values, np.nan)
    if weights is not None:
        ranks = _weighted_ranks(masked, np.where(use, weights, 0.0))
    else:
        ranks = bn.nanrankdata(masked, axis=1) if masked.size else masked
    # Ranks would inflate rounding errors to full dispersion.
    return np.where(is_constant(values, use)[:, None], 0.0, ranks)


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank each row as if a cell of weight k were there k times, up to a constant."""
    if not values.size:
        return values
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    sums = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    # Ties are a group; each is ranked at the middle of its weight.
    first = np.flatnonzero(starts)
    above = sums.ravel()[np.append(first[1:], sums.size) - 1]
    below = np.where(first % values.shape[1] > 0, np.roll(above, 1), 0.0)
    group = np.cumsum(starts).reshape(values.shape) - 1
    ranks = np.empty_like(values)
    np.put_along_axis(ranks, order, ((above + below) / 2)[group], axis=1)
    return np.where(np.isnan(values), np.nan, ranks)


def is_constant(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Mark rows whose used cells differ by rounding errors at most."""
    highest = np.max(values, axis=1, where=use, initial=-np.inf)
    lowest = np.min(values, axis=1, where=use, initial=np.inf)
    largest = np.maximum(np.abs(highest), np.abs(lowest))
    # Halves, so that the spread of huge values does not overflow.
    spread = np.zeros(len(values))
    np.subtract(highest / 2, lowest / 2, out=spread, where=use.any(axis=1))
    return spread <= NEARLY_CONSTANT * largest / 2


def _unit_rows(
    values: np.ndarray, use: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Center each row and scale it to length 1; rows without dispersion become NaN."""
    constant = is_constant(values, use)
    rows = np.where(use, values, 0.0)
    # Squares of the raw values could overflow or vanish.
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    counts = use if weights is None else np.where(use, weights, 0.0)
    n = np.sum(counts, axis=1, keepdims=True)
    mean = np.sum(rows * counts, axis=1, keepdims=True) / np.where(n > 0, n, 1)
    rows = np.where(use, rows - mean, 0.0)
    length = np.sqrt(np.sum(rows**2 * counts, axis=1, keepdims=True))
    length[constant] = np.nan
    return rows / np.where(length > 0, length, np.nan)
