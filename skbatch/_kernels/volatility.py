"""Expected volatility from past ones of several windows."""

from __future__ import annotations

import numpy as np

# A crash must not dominate the coefficients.
MAX_RATIO = 25.0
MAX_STEPS = 25


def fit_log_volatility(
    base: np.ndarray, inputs: np.ndarray, squares: np.ndarray, ridge: np.ndarray | float
) -> np.ndarray:
    """Fit a constant and coefficients by which `inputs` move the log volatility."""
    # Squared returns have the variance exp(2 (base + constant + inputs'b)), by the
    # likelihood of which the fit goes; constant and b are drawn to zero by a ridge, or
    # by one of each.
    # The loss is QLIKE: that of variances which ranks forecasts rightly, whatever the
    # noise of the squares, and is not dominated by the largest of them.
    # Patton, A. J. (2011). Volatility forecast comparison using imperfect volatility
    # proxies. Journal of Econometrics, 160(1), 246–256.
    # https://doi.org/10.1016/j.jeconom.2010.03.034
    X = np.column_stack([np.ones(len(base)), inputs])
    coef = np.zeros(X.shape[1])
    ratio = np.minimum(squares * np.exp(-2.0 * base), MAX_RATIO)
    coef[0] = 0.5 * np.log(max(float(ratio.mean()), 1e-12))
    curvature = 2.0 * X.T @ X + np.diag(np.zeros(X.shape[1]) + ridge + 1e-9)
    for _ in range(MAX_STEPS):
        ratio = np.minimum(squares * np.exp(-2.0 * (base + X @ coef)), MAX_RATIO)
        step = np.linalg.solve(curvature, X.T @ (ratio - 1.0) - ridge * coef)
        coef += step
        if np.abs(step).max() < 1e-5:
            break
    return coef
