"""Scores of intervals and quantiles: how often they hold, and how tight they are."""

from __future__ import annotations

from numbers import Real

import numpy as np

from skbatch._kernels.distributions import quantile_loss
from skbatch._kernels.scores import finite_mean
from skbatch.metrics.alignment import Table, align


def interval_coverage(y_true: Table, lower: Table, upper: Table) -> float:
    """Compute the share of the realized returns that lie within their interval.

    The closer to the coverage that was asked for, the better; the range is [0, 1].
    Intervals that are wide enough cover everything: look at :func:`interval_width`,
    too, or at :func:`pinball_loss`, which weighs both.

    Parameters
    ----------
    y_true : DataFrame, Series or array-like of shape (n_dates, n_tickers)
        Realized returns; any real number, NaN where unknown. With columns
        (horizon, ticker), the score is the mean over the horizons that have one.
    lower, upper : DataFrame, Series or array-like of the same shape
        Bounds, which belong to the interval. Cells without both are left out. Tables
        with labels are aligned by them, whatever the order.

    Returns
    -------
    float
        Share of the finite cells; NaN if there is none.

    Raises
    ------
    PanelError
        If the tables have other dates, tickers or shapes.

    References
    ----------
    .. [1] Christoffersen, P. F. (1998). Evaluating interval forecasts. International
       Economic Review, 39(4), 841–862. https://doi.org/10.2307/2527341

    Examples
    --------
    >>> from skbatch.metrics import interval_coverage
    >>> interval_coverage([0.01, -0.05, 0.02, 0.0], [-0.03] * 4, [0.03] * 4)
    0.75
    """
    tables = align(y_true, lower)
    return tables.score(_share_inside, align(y_true, upper).forecast)


def interval_width(lower: Table, upper: Table) -> float:
    """Compute the mean width of intervals.

    Smaller is better among intervals that cover equally often; the range is [0, ∞) for
    bounds that do not cross.

    Parameters
    ----------
    lower, upper : DataFrame, Series or array-like of shape (n_dates, n_tickers)
        Bounds; any real number, cells without both are left out. Tables with labels
        are aligned by them, whatever the order. With columns (horizon, ticker), the
        score is the mean over the horizons that have one.

    Returns
    -------
    float
        In the unit of the bounds; NaN if there is no finite pair.

    Raises
    ------
    PanelError
        If the tables have other dates, tickers or shapes.

    Examples
    --------
    >>> from skbatch.metrics import interval_width
    >>> interval_width([-0.5, -1.0], [0.5, 2.0])
    2.0
    """
    return align(lower, upper).score(lambda low, high: finite_mean(high - low))


def pinball_loss(y_true: Table, y_pred: Table, quantile: float) -> float:
    r"""Compute the mean pinball loss of forecasts of a quantile.

    Smaller is better; the range is [0, ∞). The true quantile has the least expected
    loss, so the loss rewards right levels and tight forecasts alike.

    Parameters
    ----------
    y_true : DataFrame, Series or array-like of shape (n_dates, n_tickers)
        Realized returns; any real number, NaN where unknown. With columns
        (horizon, ticker), the score is the mean over the horizons that have one.
    y_pred : DataFrame, Series or array-like of the same shape
        Forecasts of the quantile. Two tables with labels are aligned by them,
        whatever the order; otherwise the shapes must agree.
    quantile : float
        Level of the quantile, between 0 and 1.

    Returns
    -------
    float
        Mean over the finite pairs; NaN if there is none.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.
    ValueError
        If `quantile` is not a number between 0 and 1.

    Notes
    -----
    With return y, forecast q and level :math:`\tau` the loss of a cell is
    :math:`\max(\tau (y - q), (\tau - 1)(y - q))`, as
    :func:`sklearn.metrics.mean_pinball_loss` has it for complete data.

    References
    ----------
    .. [1] Koenker, R. and Bassett, G. (1978). Regression quantiles. Econometrica,
       46(1), 33–50. https://doi.org/10.2307/1913643

    Examples
    --------
    >>> from skbatch.metrics import pinball_loss
    >>> round(pinball_loss([0.02, -0.02], [-0.01, -0.01], quantile=0.1), 4)
    0.006
    """
    if not isinstance(quantile, Real) or not 0 < quantile < 1:
        raise ValueError(
            f"`quantile` must be between 0 and 1. Got {quantile!r}. Pass the level "
            "that `y_pred` forecasts, such as 0.05."
        )
    level = float(quantile)
    return align(y_true, y_pred).score(
        lambda actual, forecast: finite_mean(quantile_loss(actual, forecast, level))
    )


def _share_inside(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Share of the finite cells within their bounds."""
    known = np.isfinite(actual) & np.isfinite(lower) & np.isfinite(upper)
    inside = (actual >= lower) & (actual <= upper)
    return finite_mean(np.where(known, inside, np.nan))
