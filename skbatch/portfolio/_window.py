"""Prices of a window of asset returns: of nothing later, and with nothing filled in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from skbatch._messages import (
    count,
    date_text,
    format_tickers,
    silence_warnings,
    warn_user,
)
from skbatch.exceptions import PanelWarning, PortfolioError, PortfolioWarning
from skbatch.panel import check_panel, panel_fields, panel_tickers

__all__ = ["compounded_prices", "known_prices", "read_returns", "window_prices"]

# Returns of `X` and of `prices` are the same if they differ by less than this: rounding
# and single-precision prices do, neighbouring days do not.
SAME_RETURN = 1e-4


def read_returns(estimator: Any, X: Any) -> pd.DataFrame:
    """Check asset returns, and record their names in an estimator.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_``.
    X : array-like of shape (n_observations, n_assets)
        Simple returns per row; NaN is missing.

    Returns
    -------
    DataFrame of shape (n_observations, n_assets)
        With the rows of `X` and string tickers, ``x0``, ``x1``, … where it has none.
    """
    values = validate_data(
        estimator,
        X,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        ensure_min_samples=2,
    )
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{number}" for number in range(values.shape[1])]
    index = X.index if isinstance(X, pd.DataFrame) else None
    return pd.DataFrame(values, index, list(names))


def window_prices(returns: pd.DataFrame, prices: Any) -> pd.DataFrame:
    """Give the prices behind returns: known ones, or those that returns compound to."""
    if prices is None:
        return compounded_prices(returns)
    return known_prices(prices, returns)


def compounded_prices(returns: pd.DataFrame) -> pd.DataFrame:
    """Compound returns to prices that start at 1.

    Parameters
    ----------
    returns : DataFrame of shape (n_dates, n_tickers)
        Simple returns per row.

    Returns
    -------
    DataFrame of shape (n_dates, n_tickers)
        Each ticker's prices from the row before its first return to its last one; NaN
        outside. The row before the first row of `returns` is not there, so the return
        of that row is not in the prices.

    Warns
    -----
    PortfolioWarning
        Once, naming tickers with a missing return between others, or one of −100 % or
        less, which is none. What such a ticker did in between is not known, so only its
        prices since the last gap are used.
    """
    values = returns.to_numpy()
    known = values > -1.0
    rows = np.arange(len(values))[:, None]
    first = known.argmax(axis=0)
    last = len(values) - 1 - known[::-1].argmax(axis=0)
    holes = ~known & (rows < last)
    start = np.where(holes, rows, -1).max(axis=0) + 1
    inside = (rows >= start) & (rows <= last) & known.any(axis=0)
    prices = np.cumprod(np.where(inside, 1.0 + values, 1.0), axis=0)
    # A return needs a price before it, which is 1.
    before = (rows == start - 1) & known.any(axis=0)
    prices = np.where(inside | before, prices, np.nan)
    _warn_gaps([*returns.columns[known.any(axis=0) & (start > first)]])
    return pd.DataFrame(prices, returns.index, returns.columns)


def known_prices(prices: Any, returns: pd.DataFrame) -> pd.DataFrame:
    """Take the prices that are known at the last row of some returns.

    Parameters
    ----------
    prices : DataFrame of shape (n_dates, n_columns)
        Panel of prices that holds the tickers and dates of `returns`.
    returns : DataFrame of shape (n_observations, n_tickers)
        Returns of these prices.

    Returns
    -------
    DataFrame of shape (n_known, n_columns)
        The panel to the last date of `returns`, with all of its tickers and fields.

    Raises
    ------
    PortfolioError
        If dates or tickers of `returns` are not in `prices`, or the returns are not
        those of these prices from row to row.
    """
    if not isinstance(prices, pd.DataFrame):
        raise PortfolioError(
            f"`prices` must be a DataFrame. Got {type(prices).__name__}. Pass a panel "
            "with the dates and tickers of `X`."
        )
    absent = returns.index.difference(prices.index)
    if len(absent):
        raise PortfolioError(
            f"`prices` must have all rows of `X`. Got none for {len(absent)} of "
            f"{len(returns)}, the first {date_text(absent[0])}. Pass the prices that "
            "`X` was made of, and `X` as a DataFrame with their dates."
        )
    # Cut before anything looks at the prices: not even a check depends on later ones.
    cut = prices.loc[prices.index <= returns.index[-1]]
    with silence_warnings(PanelWarning):
        panel = check_panel(cut)
    lacking = [t for t in returns.columns if t not in set(panel_tickers(panel))]
    if lacking:
        raise PortfolioError(
            f"`prices` must have all tickers of `X`. Got none of "
            f"{format_tickers(lacking)}. Pass the prices that `X` was made of."
        )
    _check_same(panel, returns)
    return panel


def _check_same(panel: pd.DataFrame, returns: pd.DataFrame) -> None:
    """Refuse prices that the returns are not made of, such as shifted ones."""
    close = panel_fields(panel)["close"]
    closes = pd.DataFrame(close, panel.index, panel_tickers(panel))[[*returns.columns]]
    moves = closes.pct_change(fill_method=None).loc[returns.index].to_numpy()
    given = returns.to_numpy()
    # Where nothing moves, any prices agree.
    both = np.isfinite(moves) & np.isfinite(given) & ((moves != 0) | (given != 0))
    same = both & (np.abs(moves - given) < SAME_RETURN)
    # Of each ticker: one that is shifted must not hide among others.
    other = 2 * same.sum(axis=0) < both.sum(axis=0)
    if other.any():
        share = float(same[:, other].sum() / both[:, other].sum())
        raise PortfolioError(
            "`X` must hold the returns of `prices` from row to row. Got the same "
            f"return in {share:.0%} of the cells of "
            f"{format_tickers(returns.columns[other])}. Pass the prices that `X` was "
            "made of, with the same dates: prices of later days would let the future "
            "in."
        )


def _warn_gaps(tickers: list[str]) -> None:
    if tickers:
        warn_user(
            f"The returns of {count(len(tickers))} have gaps: "
            f"{format_tickers(tickers)}. What they did in between is not known, so "
            "only prices since the last gap are used. Pass `prices`, or returns of "
            "prices that are filled forward.",
            PortfolioWarning,
        )
