"""Scores of forecasts, date by date and pooled."""

from __future__ import annotations

import bottleneck as bn
import numpy as np

__all__ = [
    "cross_sectional_correlation",
    "cross_sectional_rank_correlation",
    "finite_mean",
    "relative_squared_error",
    "sign_agreement",
]

# Two points always lie on a line: their correlation carries no information.
MIN_PAIRS = 3
# Below this spread, relative to the largest value, only rounding errors differ.
# SciPy warns of nearly constant input at the same place.
NEARLY_CONSTANT = 1e-13


def cross_sectional_correlation(
    actual: np.ndarray, forecast: np.ndarray, min_pairs: int = MIN_PAIRS
) -> np.ndarray:
    """Pearson correlation of the finite pairs of each row."""
    actual, forecast, use = _finite_pairs(actual, forecast)
    product = _unit_rows(actual, use) * _unit_rows(forecast, use)
    correlation = np.clip(product.sum(axis=1), -1.0, 1.0)
    return np.where(use.sum(axis=1) >= min_pairs, correlation, np.nan)


def cross_sectional_rank_correlation(
    actual: np.ndarray, forecast: np.ndarray, min_pairs: int = MIN_PAIRS
) -> np.ndarray:
    """Spearman correlation of each row's finite pairs; ties share their mean rank."""
    # NaN where there are too few pairs, or one side is constant up to rounding errors.
    actual, forecast, use = _finite_pairs(actual, forecast)
    return cross_sectional_correlation(
        _row_ranks(actual, use), _row_ranks(forecast, use), min_pairs
    )


def relative_squared_error(
    actual: np.ndarray, forecast: np.ndarray, benchmark: np.ndarray
) -> float:
    """Squared error of the forecasts over that of the benchmark, pooled."""
    use = np.isfinite(actual) & np.isfinite(forecast) & np.isfinite(benchmark)
    total = float(np.sum((actual[use] - benchmark[use]) ** 2))
    if total == 0.0:
        return float("nan")
    return float(np.sum((actual[use] - forecast[use]) ** 2)) / total


def sign_agreement(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Share of the finite pairs with actual ≠ 0 that have the same sign."""
    use = np.isfinite(actual) & np.isfinite(forecast) & (actual != 0)
    if not use.any():
        return float("nan")
    return float(np.mean(np.sign(actual[use]) == np.sign(forecast[use])))


def finite_mean(values: np.ndarray) -> float:
    """Mean of the finite values, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _finite_pairs(
    actual: np.ndarray, forecast: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert both to float64 and mark the cells in which both are finite."""
    actual = np.asarray(actual, dtype=np.float64)
    forecast = np.asarray(forecast, dtype=np.float64)
    return actual, forecast, np.isfinite(actual) & np.isfinite(forecast)


def _row_ranks(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Rank each row among its used cells; rows without dispersion become constant."""
    masked = np.where(use, values, np.nan)
    ranks = bn.nanrankdata(masked, axis=1) if masked.size else masked
    # Ranks would blow rounding errors up to full dispersion.
    return np.where(_is_constant(values, use)[:, None], 0.0, ranks)


def _is_constant(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Mark rows whose used cells differ by rounding errors at most."""
    highest = np.max(values, axis=1, where=use, initial=-np.inf)
    lowest = np.min(values, axis=1, where=use, initial=np.inf)
    largest = np.maximum(np.abs(highest), np.abs(lowest))
    # Halves, so that the spread of huge values does not overflow.
    spread = np.zeros(len(values))
    np.subtract(highest / 2, lowest / 2, out=spread, where=use.any(axis=1))
    return spread <= NEARLY_CONSTANT * largest / 2


def _unit_rows(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Center each row and scale it to length 1; rows without dispersion become NaN."""
    constant = _is_constant(values, use)
    rows = np.where(use, values, 0.0)
    # Squares of the raw values could overflow or vanish.
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    count = np.maximum(use.sum(axis=1, keepdims=True), 1)
    rows = np.where(use, rows - rows.sum(axis=1, keepdims=True) / count, 0.0)
    length = np.sqrt(np.sum(rows**2, axis=1, keepdims=True))
    length[constant] = np.nan
    return rows / np.where(length > 0, length, np.nan)
