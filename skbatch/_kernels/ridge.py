"""Ridge regression on standardised inputs with missing values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

__all__ = [
    "Moments",
    "linear_forecast",
    "merged_moments",
    "moments",
    "normal_equations",
    "part_moments",
    "path_errors",
    "ridge_path",
    "solved_path",
    "standardise",
]

# Standardised inputs are winsorised here: one absurd price must not own a coefficient.
MAX_SCORE = 5.0
# Rows standardised at once: 2**18 cells are 2 MiB of float64, which stay in the cache.
BLOCK_CELLS = 2**18


Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


class Inputs(Protocol):
    """Rows of inputs, of which slices are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and of inputs."""

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Read consecutive rows."""


def part_moments(X: np.ndarray | Inputs) -> Moments:
    """Count, mean and sum of squared deviations of the finite values of each column.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_inputs)
        Inputs; NaN is missing. Like all inputs here, only slices of rows are read.

    Returns
    -------
    count, mean, spread : ndarray of shape (n_inputs,), dtype float64
        All 0 for a column without finite values.
    """
    parts = [_block_moments(X[rows]) for rows in _blocks(X.shape[0], X.shape[1])]
    return merged_moments(parts or [_block_moments(X[:0])])


def merged_moments(parts: Sequence[Moments]) -> Moments:
    """Put the moments of parts of the rows together.

    Parameters
    ----------
    parts : sequence of tuple of ndarray
        From :func:`part_moments`.

    Returns
    -------
    count, mean, spread : ndarray of shape (n_inputs,), dtype float64
        Those of all rows.

    References
    ----------
    .. [1] Chan, T. F., Golub, G. H. and LeVeque, R. J. (1983). Algorithms for
       computing the sample variance. The American Statistician, 37(3), 242–247.
    """
    count, mean, spread = (values.copy() for values in parts[0])
    for more, other, deviations in parts[1:]:
        step = other - mean
        share = more / np.maximum(count + more, 1.0)
        spread += deviations + step**2 * count * share
        mean += step * share
        count += more
    return count, mean, spread


def moments(parts: Sequence[Moments]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the finite values of each column.

    Parameters
    ----------
    parts : sequence of tuple of ndarray
        From :func:`part_moments`, of parts of the rows.

    Returns
    -------
    mean, deviation : ndarray of shape (n_inputs,), dtype float64
        Both 0 for a column without finite values; deviation 0 for a constant one.
    """
    count, mean, spread = merged_moments(parts)
    deviation = np.sqrt(spread / np.maximum(count, 1.0))
    # A constant column's deviation is rounding noise of its level.
    deviation[deviation <= 1e-7 * np.abs(mean)] = 0.0
    return mean, deviation


def _block_moments(block: np.ndarray) -> Moments:
    """Moments of the rows of one block."""
    count, mean, spread = (np.zeros(block.shape[1]) for _ in range(3))
    for number in range(block.shape[1]):
        column = block[:, number].astype(np.float64)
        column = column[np.isfinite(column)]
        if len(column):
            count[number] = len(column)
            mean[number] = column.mean()
            spread[number] = column.var() * len(column)
    return count, mean, spread


def standardise(X: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Scores of the inputs, missing ones imputed by the mean.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        Inputs; NaN is missing.
    mean, deviation : ndarray of shape (n_inputs,)
        From :func:`moments`. Columns with deviation 0 become 0.

    Returns
    -------
    ndarray of shape (n_rows, n_inputs), dtype float64
        Scores within ±5; 0 where the input is missing.
    """
    inverse = np.divide(
        1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0
    )
    scores = (X.astype(np.float64) - mean) * inverse
    np.nan_to_num(scores, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(scores, -MAX_SCORE, MAX_SCORE, out=scores)


def ridge_path(
    X: np.ndarray | Inputs,
    Y: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    alphas: np.ndarray,
) -> np.ndarray:
    r"""Ridge coefficients for several penalties from one factorisation.

    Minimises :math:`\frac{1}{n}\|Y - Z B\|^2 + \alpha \|B\|^2` with the standardised
    inputs Z, without an intercept: targets are deviations from an expectation.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        Inputs; NaN is missing.
    Y : ndarray of shape (n_rows, n_outputs)
        Targets, all finite. All outputs share the factorisation.
    mean, deviation : ndarray of shape (n_inputs,)
        From :func:`moments`.
    alphas : ndarray of shape (n_alphas,)
        Penalties per row, positive.

    Returns
    -------
    ndarray of shape (n_alphas, n_inputs, n_outputs)
        Coefficients of the scores.

    Notes
    -----
    The eigenvectors of the smaller of Z'Z and ZZ' serve every penalty and output
    [1]_; Z'Z is summed over blocks of rows.

    References
    ----------
    .. [1] Hastie, T., Tibshirani, R. and Friedman, J. (2009). The Elements of
       Statistical Learning, 2nd ed., section 3.4.1 and exercise 18.4.
    """
    n_rows, n_inputs = X.shape
    if n_inputs <= n_rows:
        equations = [normal_equations(X, Y, mean, deviation)]
        return solved_path(equations, n_rows, alphas)
    scores = standardise(X[:], mean, deviation)
    values, vectors = np.linalg.eigh(scores @ scores.T)
    rotated = vectors.T @ Y
    penalty = np.asarray(alphas, dtype=np.float64)[:, None, None] * n_rows
    dual = vectors @ (rotated / (np.maximum(values, 0.0)[:, None] + penalty))
    return scores.T @ dual


def normal_equations(
    X: np.ndarray | Inputs, Y: np.ndarray, mean: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the products of scores with scores and targets, block by block.

    Parameters
    ----------
    X, Y, mean, deviation
        As for :func:`ridge_path`; any part of the rows.

    Returns
    -------
    gram : ndarray of shape (n_inputs, n_inputs)
        Z'Z.
    moment : ndarray of shape (n_inputs, n_outputs)
        Z'Y.
    """
    gram = np.zeros((X.shape[1], X.shape[1]))
    moment = np.zeros((X.shape[1], Y.shape[1]))
    for rows in _blocks(X.shape[0], X.shape[1]):
        scores = standardise(X[rows], mean, deviation)
        gram += scores.T @ scores
        moment += scores.T @ Y[rows]
    return gram, moment


def solved_path(
    equations: Sequence[tuple[np.ndarray, np.ndarray]], n_rows: int, alphas: np.ndarray
) -> np.ndarray:
    """Solve the normal equations of parts of the rows together.

    Parameters
    ----------
    equations : sequence of tuple of ndarray
        From :func:`normal_equations`.
    n_rows : int
        Number of rows of all parts.
    alphas : ndarray of shape (n_alphas,)
        Penalties per row.

    Returns
    -------
    ndarray of shape (n_alphas, n_inputs, n_outputs)
        As from :func:`ridge_path`.
    """
    gram, moment = (np.sum(parts, axis=0) for parts in zip(*equations, strict=True))
    values, vectors = np.linalg.eigh(gram)
    penalty = np.asarray(alphas, dtype=np.float64)[:, None, None] * n_rows
    rotated = vectors.T @ moment
    return vectors @ (rotated / (np.maximum(values, 0.0)[:, None] + penalty))


def path_errors(
    X: np.ndarray | Inputs,
    Y: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    path: np.ndarray,
) -> np.ndarray:
    """Sum of squared errors of each penalty's coefficients.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        Inputs; NaN is missing.
    Y : ndarray of shape (n_rows, n_outputs)
        Targets; pairs in which the target or the coefficients are NaN do not count.
    mean, deviation : ndarray of shape (n_inputs,)
        From :func:`moments`.
    path : ndarray of shape (n_alphas, n_inputs, n_outputs)
        From :func:`ridge_path`.

    Returns
    -------
    ndarray of shape (n_alphas,)
        NaN if no pair counts.
    """
    errors = np.zeros(len(path))
    known = np.isfinite(Y) & np.isfinite(path[0]).all(axis=0)
    if not known.any():
        return np.full(len(path), np.nan)
    for rows in _blocks(X.shape[0], X.shape[1]):
        scores = standardise(X[rows], mean, deviation)
        for number, coef in enumerate(path):
            miss = (Y[rows] - scores @ coef)[known[rows]]
            errors[number] += miss @ miss
    return errors


def linear_forecast(
    X: np.ndarray, mean: np.ndarray, deviation: np.ndarray, coef: np.ndarray
) -> np.ndarray:
    """Weight the scores of each row, whatever rows stand beside it.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        Inputs; NaN is missing.
    mean, deviation : ndarray of shape (n_inputs,)
        From :func:`moments`.
    coef : ndarray of shape (n_inputs,) or (n_inputs, n_outputs)
        Coefficients of the scores.

    Returns
    -------
    ndarray of shape (n_rows,) or (n_rows, n_outputs)
        ``scores @ coef``, but the last bits of a row do not depend on the other rows:
        BLAS sums in an order that depends on the shape of the whole table. Rows are
        standardised block by block, so that no second copy of `X` exists.
    """
    forecast = np.zeros((len(X), *coef.shape[1:]))
    for rows in _blocks(X.shape[0], X.shape[1]):
        scores = standardise(X[rows], mean, deviation)
        for column, weight in zip(scores.T, coef, strict=True):
            forecast[rows] += np.multiply.outer(column, weight)
    return forecast


def _blocks(n_rows: int, n_inputs: int) -> Iterator[slice]:
    """Cut rows into blocks that are standardised at once."""
    size = max(1, BLOCK_CELLS // max(1, n_inputs))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)
