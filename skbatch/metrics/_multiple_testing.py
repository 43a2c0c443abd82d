"""What is left of a result when everything that was tried is counted."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import kurtosis, skew

from skbatch._kernels.overfitting import (
    expected_maximum_sharpe,
    overfitting_logits,
    probabilistic_sharpe,
)
from skbatch._messages import check_int
from skbatch.exceptions import PanelError

MAX_SPLITS = 20  # 184,756 combinations


def holm_adjusted(p_values: ArrayLike, n_tests: int | None = None) -> np.ndarray:
    r"""Adjust p-values for the number of tests, by Holm's step-down method.

    Rejecting those of at most 5% keeps the probability of any false rejection below
    5%, however the tests depend on each other.

    Parameters
    ----------
    p_values : array-like of any shape
        P-values; NaN marks a missing test.
    n_tests : int, default=None
        Number of all tests, where others with p-values that are not smaller were
        discarded on the way; None counts `p_values`.

    Returns
    -------
    ndarray of the shape of `p_values`
        Adjusted p-values, at most 1; NaN where there was no test.

    Raises
    ------
    ValueError
        If a p-value is not between 0 and 1, or `n_tests` is less than their number.

    Notes
    -----
    With the m p-values in increasing order,
    :math:`\tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})` [1]_.

    References
    ----------
    .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
       Scandinavian Journal of Statistics, 6(2), 65–70.

    Examples
    --------
    >>> from skbatch.metrics import holm_adjusted
    >>> holm_adjusted([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    known = values[~np.isnan(values)]
    if ((known < 0) | (known > 1)).any():
        raise ValueError(
            "`p_values` must be between 0 and 1. Got values from "
            f"{known.min():.3g} to {known.max():.3g}. Pass p-values, not statistics."
        )
    n_tests = len(known) if n_tests is None else n_tests
    check_int(n_tests, "n_tests", len(known), "Count the tests that are passed, too.")
    order = np.argsort(known, kind="stable")
    factors = int(n_tests) - np.arange(len(known))
    stepped = np.maximum.accumulate(np.minimum(1.0, factors * known[order]))
    known[order] = stepped
    adjusted = np.full(values.shape, np.nan)
    adjusted[~np.isnan(values)] = known
    return adjusted


def deflated_sharpe_ratio(
    returns: pd.Series | ArrayLike, trials: int | ArrayLike = 1
) -> float:
    r"""Compute the probability that a Sharpe ratio is higher than luck explains.

    The best of many backtests has a high Sharpe ratio even if none has any skill.

    Parameters
    ----------
    returns : Series or array-like of shape (n_dates,)
        Returns of the chosen strategy over rows that do not overlap; NaN is left out.
    trials : int or array-like of shape (n_trials,), default=1
        Number of strategies that were tried; or the Sharpe ratios of all of them, per
        row and not annualized, from which their variance is estimated. For a number,
        it is that of Sharpe ratios without skill, 1 / (n_dates − 1).

    Returns
    -------
    float
        Between 0 and 1; above 0.95 is statistically significant at 5%. With one
        trial, the probabilistic Sharpe ratio: that it is above 0. NaN with fewer than
        three returns, or returns that do not vary.

    Raises
    ------
    ValueError
        If there is no trial.

    Notes
    -----
    With the Sharpe ratio s of n returns, their skewness :math:`\gamma_3` and kurtosis
    :math:`\gamma_4`, N trials, the variance V of their Sharpe ratios and
    Euler's constant :math:`\gamma` [1]_,

    .. math::

        \Phi\left(\frac{(s - s_0) \sqrt{n - 1}}
        {\sqrt{1 - \gamma_3 s + \frac{\gamma_4 - 1}{4} s^2}}\right), \quad
        s_0 = \sqrt{V} \left((1 - \gamma) \Phi^{-1}\left(1 - \tfrac{1}{N}\right)
        + \gamma \Phi^{-1}\left(1 - \tfrac{1}{N e}\right)\right)

    References
    ----------
    .. [1] Bailey, D. H. and López de Prado, M. (2014). The deflated Sharpe ratio:
       correcting for selection bias, backtest overfitting, and non-normality. The
       Journal of Portfolio Management, 40(5), 94–107.
       https://doi.org/10.3905/jpm.2014.40.5.094

    Examples
    --------
    >>> import numpy as np
    >>> from skbatch.metrics import deflated_sharpe_ratio
    >>> returns = np.random.default_rng(0).normal(0.001, 0.01, 500)
    >>> round(deflated_sharpe_ratio(returns), 2)
    0.94
    >>> round(deflated_sharpe_ratio(returns, trials=20), 2)
    0.39
    """
    values = _columns(returns)[:, 0]
    n_dates = len(values)
    if isinstance(trials, Integral):
        check_int(trials, "trials", 1, "Count every strategy that was tried.")
        n_trials, variance = int(trials), 1.0 / max(n_dates - 1, 1)
    else:
        sharpes = np.asarray(trials, dtype=np.float64).ravel()
        n_trials = len(sharpes)
        check_int(n_trials, "trials", 1, "Pass the Sharpe ratio of every trial.")
        variance = float(sharpes.var(ddof=1)) if n_trials > 1 else 0.0
    spread = values.std(ddof=1) if n_dates > 2 else 0.0
    if not spread > 1e-12 * np.abs(values).max(initial=0.0):
        return float("nan")
    return probabilistic_sharpe(
        float(values.mean() / spread),
        expected_maximum_sharpe(variance, n_trials),
        n_dates,
        float(skew(values)),
        float(kurtosis(values, fisher=False)),
    )


def probability_of_backtest_overfitting(
    returns: pd.DataFrame | ArrayLike, n_splits: int = 16
) -> float:
    r"""Compute how often the best trial on half of the dates is poor on the others.

    Parameters
    ----------
    returns : DataFrame or array-like of shape (n_dates, n_trials)
        Returns of every strategy that was tried, over rows that do not overlap. Rows
        with a NaN are left out.
    n_splits : int, default=16
        Even number of blocks of rows, at most 20. All halves of them are tried.

    Returns
    -------
    float
        Share of the halves in which the trial with the highest Sharpe ratio is at or
        below the median of all trials in the other half: about 0.5 if the choice is
        uninformative, near 0 if its advantage lasts.

    Raises
    ------
    PanelError
        If there are fewer than two trials, or two rows per block.
    ValueError
        If `n_splits` is not an even int from 2 to 20.

    Notes
    -----
    Combinatorially symmetric cross-validation [1]_: with the rank r of the chosen
    trial among N out of sample, its logit is
    :math:`\ln \frac{r}{N + 1 - r}`, and the probability is the share of logits that
    are not positive.

    References
    ----------
    .. [1] Bailey, D. H., Borwein, J. M., López de Prado, M. and Zhu, Q. J. (2017). The
       probability of backtest overfitting. Journal of Computational Finance, 20(4),
       39–69. https://doi.org/10.21314/JCF.2016.322

    Examples
    --------
    >>> import numpy as np
    >>> from skbatch.metrics import probability_of_backtest_overfitting
    >>> returns = np.random.default_rng(0).normal(0, 0.01, (400, 5))
    >>> returns[:, 2] += 0.01
    >>> probability_of_backtest_overfitting(returns)
    0.0
    """
    advice = f"Pass an even number up to {MAX_SPLITS}."
    check_int(n_splits, "n_splits", 2, advice)
    if n_splits % 2 or n_splits > MAX_SPLITS:
        raise ValueError(f"`n_splits` must be even. Got {n_splits}. {advice}")
    table = _columns(returns)
    if table.shape[1] < 2 or len(table) < 2 * n_splits:
        raise PanelError(
            "`returns` must hold two trials and two rows per split. Got shape "
            f"{table.shape} without missing values, for {n_splits} splits. Pass the "
            "daily returns of every trial."
        )
    return float(np.mean(overfitting_logits(table, int(n_splits)) <= 0))


def _columns(returns: pd.DataFrame | pd.Series | ArrayLike) -> np.ndarray:
    """Return returns as columns, without rows that lack one."""
    table = np.asarray(returns, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    return table[np.isfinite(table).all(axis=1)]
