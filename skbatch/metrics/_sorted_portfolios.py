"""Portfolios sorted by forecasts: what the order of the tickers earns and costs."""

from __future__ import annotations

from typing import overload

import numpy as np
import pandas as pd

from skbatch._kernels.evaluation import (
    quantile_means,
    rank_weights,
    weighted_returns,
)
from skbatch._messages import check_int
from skbatch.metrics.alignment import Scores, Table, align


@overload
def quantile_returns(
    y_true: pd.DataFrame, y_pred: pd.DataFrame, n_quantiles: int = 5
) -> pd.DataFrame: ...
@overload
def quantile_returns(
    y_true: Table, y_pred: Table, n_quantiles: int = 5
) -> pd.DataFrame | np.ndarray: ...
def quantile_returns(
    y_true: Table, y_pred: Table, n_quantiles: int = 5
) -> pd.DataFrame | np.ndarray:
    """Compute the mean return of the tickers in each bin of the forecasts, by date.

    If forecasts order the tickers well, returns rise from the first bin to the last;
    the last minus the first is the quantile spread.

    Parameters
    ----------
    y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
        Realized returns and forecasts, NaN where unknown. Columns may be
        (horizon, ticker). Two DataFrames are aligned by their labels.
    n_quantiles : int, default=5
        Number of bins, at least 2.

    Returns
    -------
    DataFrame of shape (n_dates, n_quantiles)
        Columns 1 to `n_quantiles`, from the lowest forecasts to the highest; with
        columns (horizon, ticker): (horizon, bin). NaN on dates with fewer finite
        pairs than bins (or than 3), or forecasts that do not differ. For arrays:
        ndarray.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.
    ValueError
        If `n_quantiles` is not an int of at least 2.

    Notes
    -----
    Bins are bounded by the quantiles of the date's forecasts (interpolated linearly),
    and a ticker on a bound belongs to both bins, as in the quantile spread of
    skfolio's ``alpha_forecast_evaluation``.

    Examples
    --------
    >>> from skbatch.metrics import quantile_returns
    >>> quantile_returns([[0.01, 0.02, 0.03, 0.04]], [[1, 2, 3, 4]], n_quantiles=2)
    array([[0.015, 0.035]])
    """
    advice = "Pass 5 for quintiles, or 10 for deciles."
    check_int(n_quantiles, "n_quantiles", 2, advice)
    tables = align(y_true, y_pred)
    parts = [
        quantile_means(tables.actual[:, use], tables.forecast[:, use], n_quantiles)
        for use in tables.split()
    ]
    if tables.index is None:
        return parts[0]
    bins: pd.Index = pd.Index(range(1, n_quantiles + 1), name="quantile")
    if tables.horizons:
        bins = pd.MultiIndex.from_product(
            [tables.horizons, bins], names=["horizon", "quantile"]
        )
    return pd.DataFrame(np.hstack(parts), tables.index, bins)


def rank_portfolio_returns(y_true: Table, y_pred: Table) -> Scores:
    r"""Compute the return of a long-short portfolio weighted by ranks, by date.

    Parameters
    ----------
    y_true, y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
        Realized returns and forecasts, NaN where unknown. Columns may be
        (horizon, ticker). Two DataFrames are aligned by their labels.

    Returns
    -------
    Series of shape (n_dates,)
        Returns over the horizon of one unit of capital long and one short; NaN on
        dates with fewer than 3 pairs or forecasts that do not differ. With columns
        (horizon, ticker): DataFrame with one column per horizon. For arrays: ndarray.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    Notes
    -----
    With the ranks :math:`r_i` of a date's finite pairs, weights are
    :math:`w_i = 2 (r_i - \bar r) / \sum_j |r_j - \bar r|`, those of skfolio's
    ``rank_weighted_portfolio``.

    Examples
    --------
    >>> from skbatch.metrics import rank_portfolio_returns
    >>> rank_portfolio_returns([[0.01, 0.02, 0.05]], [[1, 2, 3]]).round(3)
    array([0.04])
    """
    return align(y_true, y_pred).by_date(_portfolio_returns, "rank_portfolio_return")


def rank_turnover(y_pred: Table, step: int = 1) -> Scores:
    r"""Compute how much of a portfolio weighted by ranks is traded, by date.

    Parameters
    ----------
    y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
        Forecasts in the order of time; NaN where there is none. Columns may be
        (horizon, ticker).
    step : int, default=1
        Rows between the two portfolios: the horizon, for a portfolio that is held
        that long.

    Returns
    -------
    Series of shape (n_dates,)
        Sum of the absolute changes of weights, from 0 (the ranks stay) to 4 (they are
        reversed: both the unit that is long and the one that is short are sold and
        bought anew). NaN in the first `step` rows and where either date has no
        portfolio. With columns (horizon, ticker): DataFrame with one column per
        horizon. For arrays: ndarray.

    Raises
    ------
    PanelError
        If `y_pred` is not a table of numbers.
    ValueError
        If `step` is not an int of at least 1.

    Notes
    -----
    :math:`\sum_i |w_{t,i} - w_{t-s,i}|` with the weights of
    :func:`rank_portfolio_returns`, over all tickers with a forecast: a ticker that
    loses its forecast is sold. Weights are not drifted by the returns in between, as
    in skfolio's ``rank_weighted_turnover``.

    Examples
    --------
    >>> from skbatch.metrics import rank_turnover
    >>> rank_turnover([[1, 2, 3], [1, 2, 3], [3, 2, 1]])
    array([nan,  0.,  4.])
    """
    check_int(step, "step", 1, "Pass the number of rows that a portfolio is held.")

    def turnover(_: np.ndarray, forecast: np.ndarray) -> np.ndarray:
        weights = rank_weights(forecast)
        traded = np.full(len(weights), np.nan)
        traded[step:] = np.abs(weights[step:] - weights[:-step]).sum(axis=1)
        return traded

    return align(y_pred, y_pred).by_date(turnover, "rank_turnover")


def _portfolio_returns(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Rank among the pairs whose return is known, and weight them."""
    paired = np.where(np.isfinite(actual), forecast, np.nan)
    return weighted_returns(rank_weights(paired), actual)
