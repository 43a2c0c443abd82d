"""Scores of ranking: how well forecasts order the tickers of a date."""

from __future__ import annotations

from skbatch._kernels.scores import (
    cross_sectional_correlation,
    cross_sectional_rank_correlation,
    mean_of_dates,
)
from skbatch.metrics.alignment import Scores, Table, align, broadcast_weights


def information_coefficient(
    y_true: Table, y_pred: Table, sample_weight: Table | None = None
) -> float:
    r"""Compute the mean over dates of the correlation across tickers.

    The information coefficient (IC) asks whether, on a date, the tickers with higher
    forecasts had higher returns; the level of the returns that all tickers share does
    not matter. Greater is better: 1 is perfect, 0 is chance, the range is [-1, 1].

    Parameters
    ----------
    y_true : DataFrame or array-like of shape (n_dates, n_tickers)
        Realized returns; any real number, NaN where unknown. With columns
        (horizon, ticker), the score is the mean over the horizons that have one.
    y_pred : DataFrame or array-like of the same shape
        Forecasts; any real number. Two DataFrames are aligned by their labels,
        whatever the order; otherwise the shapes must agree.
    sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
        Weight of each date, or of each label; those of weight 0 are left out. Tables
        with labels are matched by them.

    Returns
    -------
    float
        Mean IC. NaN if there is no date with at least 3 tickers on which both returns
        and forecasts differ between tickers.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    See Also
    --------
    information_coefficient_series : The IC of each date.
    rank_information_coefficient : The same on ranks, robust to extreme returns.
    coverage : Share of the labels that have a forecast at all.

    Notes
    -----
    With the tickers :math:`i` whose return :math:`y_{ti}` and forecast
    :math:`\hat y_{ti}` are finite, and their means over these tickers,

    .. math::

        \mathrm{IC} = \frac{1}{T} \sum_t
        \frac{\sum_i (y_{ti} - \bar y_t)(\hat y_{ti} - \bar{\hat y}_t)}
        {\sqrt{\sum_i (y_{ti} - \bar y_t)^2 \sum_i (\hat y_{ti} - \bar{\hat y}_t)^2}}

    Dates without a correlation are skipped, as are pairs with a missing forecast:
    missing forecasts do not lower this score, but that of :func:`coverage`. With
    weights, means, variances and covariances of a date are weighted, and the date
    counts by the mean weight of its pairs.

    References
    ----------
    .. [1] Grinold, R. C. (1989). The fundamental law of active management. Journal of
       Portfolio Management, 15(3), 30–37. https://doi.org/10.3905/jpm.1989.409211

    Examples
    --------
    >>> from skbatch.metrics import information_coefficient
    >>> y_true = [[0.01, 0.02, 0.03], [0.03, -0.01, 0.01]]
    >>> y_pred = [[0.1, 0.2, 0.3], [0.2, 0.0, 0.4]]
    >>> round(information_coefficient(y_true, y_pred), 3)
    0.75
    """
    return align(y_true, y_pred).score(
        lambda *cells: mean_of_dates(cross_sectional_correlation(*cells), *cells),
        broadcast_weights(sample_weight, y_true),
    )


def rank_information_coefficient(
    y_true: Table, y_pred: Table, sample_weight: Table | None = None
) -> float:
    r"""Compute the mean over dates of the rank correlation across tickers.

    The rank information coefficient (rank IC) asks whether forecasts order the
    tickers of a date as their returns do. Any increasing change of a date's forecasts
    leaves it as it is, and a single extreme return weighs no more than another.
    Greater is better: 1 is perfect, 0 is chance, the range is [-1, 1]. A mean above
    0.05 on daily data is rare; look for a leak first.

    Parameters
    ----------
    y_true : DataFrame or array-like of shape (n_dates, n_tickers)
        Realized returns; any real number, NaN where unknown. With columns
        (horizon, ticker), the score is the mean over the horizons that have one.
    y_pred : DataFrame or array-like of the same shape
        Forecasts; any real number. Two DataFrames are aligned by their labels,
        whatever the order; otherwise the shapes must agree.
    sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
        Weight of each date, or of each label; those of weight 0 are left out. Tables
        with labels are matched by them.

    Returns
    -------
    float
        Mean rank IC. NaN if there is no date with at least 3 tickers on which both
        returns and forecasts differ between tickers.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    See Also
    --------
    rank_information_coefficient_series : The rank IC of each date.
    information_coefficient : The same on the values themselves.
    coverage : Share of the labels that have a forecast at all.

    Notes
    -----
    This is Spearman's correlation [1]_: the :func:`information_coefficient` of the
    ranks of each date's finite pairs, where ties share the mean of their ranks. Dates
    without a correlation are skipped, as are pairs with a missing forecast. With
    weights, a pair of weight 2 is ranked like two pairs.

    References
    ----------
    .. [1] Spearman, C. (1904). The proof and measurement of association between two
       things. American Journal of Psychology, 15(1), 72–101.
       https://doi.org/10.2307/1412159
    .. [2] Grinold, R. C. and Kahn, R. N. (2000). Active Portfolio Management, 2nd ed.
       McGraw-Hill.

    Examples
    --------
    >>> from skbatch.metrics import rank_information_coefficient
    >>> y_true = [[0.01, 0.02, 0.9], [0.03, 0.01, -0.02]]
    >>> y_pred = [[0.1, 0.2, 0.3], [0.4, 0.1, 0.2]]
    >>> rank_information_coefficient(y_true, y_pred)
    0.75
    """
    return align(y_true, y_pred).score(
        lambda *cells: mean_of_dates(cross_sectional_rank_correlation(*cells), *cells),
        broadcast_weights(sample_weight, y_true),
    )


def information_coefficient_series(y_true: Table, y_pred: Table) -> Scores:
    """Compute the correlation across tickers on each date.

    Greater is better: 1 is perfect, 0 is chance, the range is [-1, 1]. With horizons
    of several rows, neighboring dates share most of their returns, so that their ICs
    are not independent.

    Parameters
    ----------
    y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
        Realized returns and forecasts, NaN where unknown. Columns may be
        (horizon, ticker). Two DataFrames are aligned by their labels.

    Returns
    -------
    Series of shape (n_dates,)
        IC of each date, NaN on dates with fewer than 3 finite pairs or on which
        returns or forecasts do not differ between tickers. With columns
        (horizon, ticker): DataFrame with one column per horizon. For arrays: ndarray.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    See Also
    --------
    information_coefficient : Mean of this series, with formula and reference.

    Examples
    --------
    >>> from skbatch.metrics import information_coefficient_series
    >>> y_true = [[0.01, 0.02, 0.03], [0.03, -0.01, 0.01]]
    >>> y_pred = [[0.1, 0.2, 0.3], [0.2, 0.0, 0.4]]
    >>> information_coefficient_series(y_true, y_pred).round(3)
    array([1. , 0.5])
    """
    return align(y_true, y_pred).by_date(
        cross_sectional_correlation, "information_coefficient"
    )


def rank_information_coefficient_series(y_true: Table, y_pred: Table) -> Scores:
    """Compute the rank correlation across tickers on each date.

    Greater is better: 1 is perfect, 0 is chance, the range is [-1, 1]. With horizons
    of several rows, neighboring dates share most of their returns, so that their
    rank ICs are not independent.

    Parameters
    ----------
    y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
        Realized returns and forecasts, NaN where unknown. Columns may be
        (horizon, ticker). Two DataFrames are aligned by their labels.

    Returns
    -------
    Series of shape (n_dates,)
        Rank IC of each date, NaN on dates with fewer than 3 finite pairs or on which
        returns or forecasts do not differ between tickers. With columns
        (horizon, ticker): DataFrame with one column per horizon. For arrays: ndarray.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    See Also
    --------
    rank_information_coefficient : Mean of this series, with formula and reference.

    Examples
    --------
    >>> from skbatch.metrics import rank_information_coefficient_series
    >>> y_true = [[0.01, 0.02, 0.9], [0.03, 0.01, -0.02]]
    >>> y_pred = [[0.1, 0.2, 0.3], [0.4, 0.1, 0.2]]
    >>> rank_information_coefficient_series(y_true, y_pred).round(3)
    array([1. , 0.5])
    """
    return align(y_true, y_pred).by_date(
        cross_sectional_rank_correlation, "rank_information_coefficient"
    )
