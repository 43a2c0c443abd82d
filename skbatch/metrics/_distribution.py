"""Scores of distributions of one date: chances of ranks, and samples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skbatch._kernels.distributions import (
    rank_bin_membership,
    ranked_probability,
    sample_crps,
)
from skbatch._kernels.scores import finite_mean
from skbatch._messages import check_int, format_tickers
from skbatch.exceptions import PanelError
from skbatch.metrics.alignment import Table, as_floats, is_labelled


def rank_bins(y_true: Table, n_bins: int = 5) -> pd.DataFrame:
    """Return in which quantile bin of the cross-section each realized return is.

    Parameters
    ----------
    y_true : Series, one-row DataFrame or array-like of shape (n_tickers,)
        Realized returns of one date; NaN where unknown.
    n_bins : int, default=5
        Number of bins; 5 for quintiles.

    Returns
    -------
    DataFrame of shape (n_tickers, n_bins)
        1 in the ticker's bin, of columns 1 (lowest) to `n_bins`. A ticker whose rank
        reaches into two bins, or that is tied with others, is shared among them, so
        that all bins are equally filled. NaN for a ticker without a return.

    Raises
    ------
    PanelError
        If `y_true` is not one date.
    ValueError
        If `n_bins` is not an int of at least 1.

    Examples
    --------
    >>> from skbatch.metrics import rank_bins
    >>> rank_bins([0.03, -0.01, 0.0, 0.0], n_bins=4)
    bin   1    2    3    4
    0    0.0  0.0  0.0  1.0
    1    1.0  0.0  0.0  0.0
    2    0.0  0.5  0.5  0.0
    3    0.0  0.5  0.5  0.0
    """
    check_int(n_bins, "n_bins", 1, "Pass 5 for quintiles.")
    returns, tickers = _one_date(y_true)
    table = np.full((len(returns), int(n_bins)), np.nan)
    known = np.isfinite(returns)
    table[known] = rank_bin_membership(returns[known], int(n_bins))
    return pd.DataFrame(table, tickers, pd.RangeIndex(1, n_bins + 1, name="bin"))


def ranked_probability_score(y_true: Table, probability: Table) -> float:
    r"""Compute the ranked probability score of the tickers' quantile bins.

    Smaller is better; the range is [0, 1), 0 is perfect. Equal chances for all
    quintiles score 0.16, which few forecasters beat: of 162 teams in the M6
    competition 37 did, the best with 0.15645 [1]_.

    Parameters
    ----------
    y_true : Series, one-row DataFrame or array-like of shape (n_tickers,)
        Realized returns of one date; NaN where unknown. For several dates, average
        the scores.
    probability : DataFrame or array-like of shape (n_tickers, n_bins)
        Chances of each ticker to be in each bin of the cross-section, from the lowest
        to the highest returns; from
        :meth:`~skbatch.ConformalForecaster.predict_rank_proba`. Rows sum to 1.
        Aligned by ticker if both have labels.

    Returns
    -------
    float
        Mean over the tickers that have a return and chances, which are ranked among
        themselves; NaN if there is none.

    Raises
    ------
    PanelError
        If the tickers or shapes differ, or rows are not probabilities.

    See Also
    --------
    rank_bins : The bins that are realized.

    Notes
    -----
    With cumulative chances :math:`P_{i,k}` and cumulative shares :math:`O_{i,k}` of
    ticker i in the realized bins 1 to k of K,

    .. math:: \mathrm{RPS} = \frac{1}{N K} \sum_{i=1}^N \sum_{k=1}^K
              (P_{i,k} - O_{i,k})^2

    Tied tickers share the bins of their ranks, as in [1]_.

    References
    ----------
    .. [1] Makridakis, S. et al. (2025). The M6 forecasting competition: bridging the
       gap between forecasting and investment decisions. International Journal of
       Forecasting, 41(4), 1315–1354.
    .. [2] Epstein, E. S. (1969). A scoring system for probability forecasts of ranked
       categories. Journal of Applied Meteorology, 8(6), 985–987.

    Examples
    --------
    >>> import numpy as np
    >>> from skbatch.metrics import ranked_probability_score
    >>> uniform = np.full((10, 5), 0.2)
    >>> round(ranked_probability_score(np.arange(10) / 100, uniform), 6)
    0.16
    """
    returns, tickers = _one_date(y_true)
    chances = as_floats(probability, "probability")
    if isinstance(probability, pd.DataFrame) and is_labelled(y_true):
        places = _places(probability.index, tickers, "probability", "rows")
        chances = chances[places]
    elif len(chances) != len(returns):
        raise PanelError(
            "`probability` must have one row per return. Got "
            f"{len(chances)} rows and {len(returns)} returns. Pass the same tickers."
        )
    use = np.isfinite(returns) & np.isfinite(chances).all(axis=1)
    rows = chances[use]
    if (rows < -1e-9).any() or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-6):
        total = rows.sum(axis=1)
        raise PanelError(
            "`probability` must hold chances that sum to 1 in every row. Got rows that "
            f"sum to {total.min():.4g} to {total.max():.4g}, with a least value of "
            f"{rows.min():.4g}. Divide each row by its sum."
        )
    membership = rank_bin_membership(returns[use], rows.shape[1])
    return finite_mean(ranked_probability(membership, rows))


def crps_by_sample(y_true: Table, samples: Table, *, fair: bool = True) -> float:
    r"""Compute the continuous ranked probability score of sampled returns.

    Smaller is better; the range of its expectation is [0, ∞), in the unit of the
    returns. For a sample of one draw without `fair` it is the absolute error.

    Parameters
    ----------
    y_true : Series, one-row DataFrame or array-like of shape (n_tickers,)
        Realized returns of one date; any real number, NaN where unknown. For several
        dates, average the scores.
    samples : DataFrame or array-like of shape (n_samples, n_tickers)
        Draws of the returns, such as from
        :meth:`~skbatch.ConformalForecaster.predict_scenarios`. Aligned by ticker if
        both have labels.
    fair : bool, default=True
        Estimate the score of the distribution that was sampled, whatever the number
        of draws [2]_; at least two are needed. False scores the sample itself [1]_.

    Returns
    -------
    float
        Mean over the tickers that have a return and only finite draws; NaN if there
        is none.

    Raises
    ------
    PanelError
        If the tickers or shapes differ.
    ValueError
        If there are too few draws.

    Notes
    -----
    With return y and n draws :math:`x_j` of a ticker, its score is

    .. math:: \frac{1}{n} \sum_j |x_j - y| - \frac{1}{2 m} \sum_{j,k} |x_j - x_k|

    with :math:`m = n (n - 1)`, or :math:`m = n^2` without `fair`.

    References
    ----------
    .. [1] Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules,
       prediction, and estimation. Journal of the American Statistical Association,
       102(477), 359–378. https://doi.org/10.1198/016214506000001437
    .. [2] Ferro, C. A. T. (2014). Fair scores for ensemble forecasts. Quarterly Journal
       of the Royal Meteorological Society, 140(683), 1917–1923.
       https://doi.org/10.1002/qj.2270

    Examples
    --------
    >>> from skbatch.metrics import crps_by_sample
    >>> crps_by_sample([0.0], [[-1.0], [1.0]], fair=False)
    0.5
    """
    returns, tickers = _one_date(y_true)
    draws = as_floats(samples, "samples")
    if isinstance(samples, pd.DataFrame) and is_labelled(y_true):
        draws = draws[:, _places(samples.columns, tickers, "samples", "columns")]
    elif draws.shape[1] != len(returns):
        raise PanelError(
            "`samples` must have one column per return. Got "
            f"{draws.shape[1]} columns and {len(returns)} returns. Pass draws as rows, "
            "tickers as columns."
        )
    if len(draws) < 1 + fair:
        raise ValueError(
            f"`samples` must have at least {1 + fair} draws. Got {len(draws)}. Draw "
            "more, or pass fair=False."
        )
    return finite_mean(sample_crps(returns, draws, fair))


def _one_date(y_true: Table) -> tuple[np.ndarray, pd.Index]:
    """Read the returns of one date, and their tickers."""
    if isinstance(y_true, pd.DataFrame):
        if len(y_true) != 1:
            raise PanelError(
                f"`y_true` must be the returns of one date. Got {len(y_true)} rows. "
                "Pass one with `y.loc[date]`, and average the scores of several."
            )
        y_true = y_true.iloc[0]
    values = as_floats(y_true, "y_true")
    if 1 not in values.shape and values.size:
        raise PanelError(
            f"`y_true` must be the returns of one date. Got shape {values.shape}. Pass "
            "a vector, and average the scores of several dates."
        )
    index = y_true.index if isinstance(y_true, pd.Series) else None
    return values.ravel(), pd.RangeIndex(values.size) if index is None else index


def _places(have: pd.Index, want: pd.Index, name: str, what: str) -> np.ndarray:
    """Find the tickers of the returns in another table."""
    for index, owner in ((have, name), (want, "y_true")):
        if not index.is_unique:
            repeated = index[index.duplicated()].unique()
            raise PanelError(
                f"`{owner}` must have every ticker once. Got duplicates of "
                f"{format_tickers(repeated)}. Keep one of each."
            )
    odd = have.symmetric_difference(want, sort=False)
    if len(odd):
        raise PanelError(
            f"`{name}` must have the tickers of `y_true` as {what}. Got "
            f"{format_tickers(odd)} in one of them only. Select the same tickers."
        )
    return have.get_indexer(want)
