"""Ridge regression on standardized inputs with missing values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

# Standardized inputs are winsorized here: one absurd price must not dominate a
# coefficient.
MAX_SCORE = 5.0
# Rows standardized at once: 2**18 cells are 2 MiB of float64, which stay in the cache.
BLOCK_CELLS = 2**15


Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


class Inputs(Protocol):
    """Rows of inputs, of which slices are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and of inputs."""

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Read consecutive rows."""


def part_moments(X: np.ndarray | Inputs, weights: np.ndarray | None = None) -> Moments:
    """Count, mean and sum of squared deviations of the finite values of each column."""
    parts = [
        _block_moments(X[rows], None if weights is None else weights[rows])
        for rows in _blocks(X.shape[0], X.shape[1])
    ]
    return merged_moments(parts or [_block_moments(X[:0], None)])


def merged_moments(parts: Sequence[Moments]) -> Moments:
    """Combine the moments of parts of the rows."""
    # Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for computing the
    # sample variance. The American Statistician, 37(3), 242–247.
    count, mean, spread = (values.copy() for values in parts[0])
    for more, other, deviations in parts[1:]:
        step = other - mean
        total = count + more
        share = more / np.where(total > 0, total, 1.0)
        spread += deviations + step**2 * count * share
        mean += step * share
        count += more
    return count, mean, spread


def moments(parts: Sequence[Moments]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the finite values of each column."""
    count, mean, spread = merged_moments(parts)
    deviation = np.sqrt(spread / np.where(count > 0, count, 1.0))
    # A constant column's deviation is rounding noise of its level.
    deviation[deviation <= 1e-7 * np.abs(mean)] = 0.0
    return mean, deviation


def _block_moments(block: np.ndarray, weights: np.ndarray | None) -> Moments:
    """Moments of the rows of one block."""
    finite = np.isfinite(block)
    weight = np.ones(len(block)) if weights is None else weights
    count = finite.sum(axis=0) if weights is None else weight @ finite
    total = np.where(count > 0, count, 1.0)
    values = np.where(finite, block, 0.0).astype(np.float64, copy=False)
    mean = weight @ values / total
    values -= mean
    np.copyto(values, 0.0, where=~finite)
    return count, mean, weight @ np.square(values, out=values)


def standardize(X: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Scores of the inputs, missing ones imputed by the mean."""
    inverse = np.divide(
        1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0
    )
    scores = X - mean
    scores *= inverse
    np.copyto(scores, 0.0, where=~np.isfinite(scores))
    return np.clip(scores, -MAX_SCORE, MAX_SCORE, out=scores)


def ridge_path(
    X: np.ndarray | Inputs,
    Y: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    alphas: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Ridge coefficients for several penalties from one factorization."""
    # The eigenvectors of the smaller of Z'Z and ZZ' serve every penalty and output;
    # Z'Z is summed over blocks of rows.
    # Hastie, T., Tibshirani, R. and Friedman, J. (2009). The Elements of Statistical
    # Learning, 2nd ed., section 3.4.1 and exercise 18.4.
    n_rows, n_inputs = X.shape
    n_weighted = n_rows if weights is None else float(weights.sum())
    if n_inputs <= n_rows:
        equations = [normal_equations(X, Y, weights, mean=mean, deviation=deviation)]
        return solved_path(equations, n_weighted, alphas)
    scores = standardize(X[:], mean, deviation)
    if weights is not None:
        root = np.sqrt(weights)[:, None]
        scores, Y = scores * root, Y * root
    values, vectors = np.linalg.eigh(scores @ scores.T)
    rotated = vectors.T @ Y
    penalty = np.asarray(alphas, dtype=np.float64)[:, None, None] * n_weighted
    dual = vectors @ (rotated / (np.maximum(values, 0.0)[:, None] + penalty))
    return scores.T @ dual


def normal_equations(
    X: np.ndarray | Inputs,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the products of scores with scores and targets, block by block."""
    gram = np.zeros((X.shape[1], X.shape[1]))
    moment = np.zeros((X.shape[1], Y.shape[1]))
    for rows in _blocks(X.shape[0], X.shape[1]):
        scores = standardize(X[rows], mean, deviation)
        weighted = scores if weights is None else scores * weights[rows, None]
        gram += weighted.T @ scores
        moment += weighted.T @ Y[rows]
    return gram, moment


def solved_path(
    equations: Sequence[tuple[np.ndarray, np.ndarray]],
    n_rows: float,
    alphas: np.ndarray,
) -> np.ndarray:
    """Solve the normal equations of parts of the rows together."""
    gram, moment = (np.sum(parts, axis=0) for parts in zip(*equations, strict=True))
    values, vectors = np.linalg.eigh(gram)
    penalty = np.asarray(alphas, dtype=np.float64)[:, None, None] * n_rows
    rotated = vectors.T @ moment
    return vectors @ (rotated / (np.maximum(values, 0.0)[:, None] + penalty))


def path_errors(
    X: np.ndarray | Inputs,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    mean: np.ndarray,
    deviation: np.ndarray,
    path: np.ndarray,
) -> np.ndarray:
    """Sum of squared errors of each penalty's coefficients."""
    errors = np.zeros(len(path))
    known = np.isfinite(Y) & np.isfinite(path[0]).all(axis=0)
    if not known.any():
        return np.full(len(path), np.nan)
    for rows in _blocks(X.shape[0], X.shape[1]):
        scores = standardize(X[rows], mean, deviation)
        for number, coef in enumerate(path):
            miss = (Y[rows] - scores @ coef)[known[rows]]
            weighted = miss if weights is None else miss * weights[rows][known[rows]]
            errors[number] += weighted @ miss
    return errors


def linear_forecast(
    X: np.ndarray | Inputs, mean: np.ndarray, deviation: np.ndarray, coef: np.ndarray
) -> np.ndarray:
    """Weight the scores of each row, whatever rows stand beside it."""
    forecast = np.zeros((X.shape[0], *coef.shape[1:]))
    for rows in _blocks(X.shape[0], X.shape[1]):
        # In C's order, einsum adds up one row after the other, unlike BLAS.
        scores = np.ascontiguousarray(standardize(X[rows], mean, deviation))
        if coef.ndim == 1:
            forecast[rows] = np.einsum("ij,j->i", scores, coef)
            continue
        for column, weight in zip(scores.T, coef, strict=True):
            forecast[rows] += np.multiply.outer(column, weight)
    return forecast


def _blocks(n_rows: int, n_inputs: int) -> Iterator[slice]:
    """Split rows into blocks that are standardized at once."""
    size = max(1, BLOCK_CELLS // max(1, n_inputs))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)
