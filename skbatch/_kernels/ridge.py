"""Ridge regression on standardised inputs with missing values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = [
    "linear_forecast",
    "moments",
    "path_errors",
    "ridge_path",
    "standardise",
]

# Standardised inputs are winsorised here: one absurd price must not own a coefficient.
MAX_SCORE = 5.0
# Rows standardised at once: 2**22 cells are 32 MiB of float64.
BLOCK_CELLS = 2**22


def moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the finite values of each column.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_inputs)
        Inputs; NaN is missing. Like all inputs here, only slices of rows are read.

    Returns
    -------
    mean, deviation : ndarray of shape (n_inputs,), dtype float64
        Both 0 for a column without finite values; deviation 0 for a constant one.
    """
    count, mean, spread = (np.zeros(X.shape[1]) for _ in range(3))
    for rows in _blocks(*X.shape):
        block = X[rows]
        for number in range(X.shape[1]):
            column = block[:, number].astype(np.float64)
            column = column[np.isfinite(column)]
            if not len(column):
                continue
            # Pairwise update of Chan, Golub and LeVeque (1983).
            step = column.mean() - mean[number]
            share = len(column) / (count[number] + len(column))
            spread[number] += len(column) * column.var()
            spread[number] += step**2 * count[number] * share
            mean[number] += step * share
            count[number] += len(column)
    deviation = np.sqrt(spread / np.maximum(count, 1.0))
    # A constant column's deviation is rounding noise of its level.
    deviation[deviation <= 1e-7 * np.abs(mean)] = 0.0
    return mean, deviation


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
    X: np.ndarray,
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
    penalty = np.asarray(alphas, dtype=np.float64)[:, None, None] * n_rows
    if n_inputs > n_rows:
        scores = standardise(X, mean, deviation)
        values, vectors = np.linalg.eigh(scores @ scores.T)
        rotated = vectors.T @ Y
        dual = vectors @ (rotated / (np.maximum(values, 0.0)[:, None] + penalty))
        return scores.T @ dual
    gram = np.zeros((n_inputs, n_inputs))
    moment = np.zeros((n_inputs, Y.shape[1]))
    for rows in _blocks(n_rows, n_inputs):
        scores = standardise(X[rows], mean, deviation)
        gram += scores.T @ scores
        moment += scores.T @ Y[rows]
    values, vectors = np.linalg.eigh(gram)
    rotated = vectors.T @ moment
    return vectors @ (rotated / (np.maximum(values, 0.0)[:, None] + penalty))


def path_errors(
    X: np.ndarray,
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
    for rows in _blocks(*X.shape):
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
    for rows in _blocks(*X.shape):
        scores = standardise(X[rows], mean, deviation)
        for column, weight in zip(scores.T, coef, strict=True):
            forecast[rows] += np.multiply.outer(column, weight)
    return forecast


def _blocks(n_rows: int, n_inputs: int) -> Iterator[slice]:
    """Cut rows into blocks that are standardised at once."""
    size = max(1, BLOCK_CELLS // max(1, n_inputs))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)
