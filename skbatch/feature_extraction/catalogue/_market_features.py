"""The market: the equal-weighted mean of the finite returns of all tickers.

With tickers that are listed late, or have gaps, the mean is over those that have a
return at the date. Returns beyond ±50% enter it as ±50%, so that a wrong price of
one ticker does not move all others' features.
"""

from __future__ import annotations

import numpy as np

from skbatch._kernels.cross_section import row_deviation, row_mean, row_sum
from skbatch._kernels.rolling import least_count, window_drawdown
from skbatch.feature_extraction._context import RowBlock, Universe
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import (
    log_return_1,
    market_log_return,
    simple_return,
)
from skbatch.feature_extraction.catalogue._trend_features import sma_gap
from skbatch.feature_extraction.catalogue._volatility_features import (
    volatility as own_volatility,
)


def _enough(universe: Universe, window: int) -> np.ndarray:
    """Mark the wanted dates with a market return, and on half the window's rows."""
    count = universe.rolling(market_log_return).presence.count(window)
    now = np.isfinite(universe.now(market_log_return))
    return now & (count >= least_count(window, min(window, 2)))


@feature("market", scope="market", windows=(2, None), also=(1,))
def log_return(universe: Universe, window: int) -> np.ndarray:
    r"""Log return of the market over the window.

    .. math:: \sum_{k<w} \log(1 + m_{t-k})

    with the market return m; dates without one count as 0.
    """
    total = universe.rolling(market_log_return).sum(window)
    return np.where(universe.get(_enough, window), total, np.nan)


@feature("market", scope="market", windows=(21, None))
def volatility(universe: Universe, window: int) -> np.ndarray:
    r"""Volatility of the market per row: standard deviation (ddof=1) of log returns.

    .. math:: \sqrt{\frac{1}{n-1} \sum_{k<w} (\ell_{t-k} - \bar \ell)^2},
        \quad \ell = \log(1 + m)
    """
    variance = universe.rolling(market_log_return).variance(window)
    return np.where(universe.get(_enough, window), np.sqrt(variance), np.nan)


@feature("market", scope="market", windows=(63, None))
def drawdown(universe: Universe, window: int) -> np.ndarray:
    r"""Return of the market from its highest level in the window, 0 or negative.

    .. math:: I_t / \max_{k<w} I_{t-k} - 1, \quad I_t = I_{t-1} (1 + m_t)
    """
    fall = window_drawdown(universe.get(market_log_return), window)[universe.rows]
    return np.where(universe.get(_enough, window), np.expm1(fall), np.nan)


@feature("market", scope="market", windows=(21, 63), also=(1,))
def dispersion(universe: Universe, window: int) -> np.ndarray:
    r"""Mean over the window of the standard deviation (ddof=1) across tickers.

    .. math:: \frac1w \sum_{k<w} \sqrt{\frac{1}{n-1} \sum_i (r_{i,t-k} - m_{t-k})^2}

    with simple returns r. NaN with one ticker, and at a date without returns.

    References
    ----------
    Solnik, B. and Roulet, J. (2000). Dispersion as cross-sectional correlation.
    Financial Analysts Journal, 56(1), 54–61. https://doi.org/10.2469/faj.v56.n1.2330
    """
    daily = universe.now(_daily_dispersion)
    if window == 1:
        return daily
    mean = universe.rolling(_daily_dispersion).mean(window)
    return np.where(np.isnan(daily), np.nan, mean)


def _daily_dispersion(universe: Universe) -> np.ndarray:
    return universe.by_date(simple_return, row_deviation)


@feature("market", scope="market", windows=(63, 126))
def average_correlation(universe: Universe, window: int) -> np.ndarray:
    r"""Average pairwise correlation of the log returns over the window.

    .. math:: \frac{n^2 \sigma_M^2 - \sum_i \sigma_i^2}
        {(\sum_i \sigma_i)^2 - \sum_i \sigma_i^2}

    with the volatilities :math:`\sigma_i` of the n tickers that have one and
    :math:`\sigma_M` of their mean return: the mean over all pairs, weighted by
    :math:`\sigma_i \sigma_j`, without a matrix of pairs. Exact if no ticker has a gap
    in the window; otherwise an approximation, kept within −1 and 1.

    References
    ----------
    Pollet, J. M. and Wilson, M. (2010). Average correlation and stock market returns.
    Journal of Financial Economics, 96(3), 364–380.
    https://doi.org/10.1016/j.jfineco.2010.02.011
    """

    def sums(dates: RowBlock) -> np.ndarray:
        volatilities = dates.feature(own_volatility, window).astype(float)
        squares, _ = row_sum(volatilities**2)
        return np.stack([*row_sum(volatilities), squares], axis=1)

    total, count, squares = universe.across(sums).T
    variance = universe.rolling(_mean_log_return).variance(window)
    ratio = (count**2 * variance - squares) / (total**2 - squares)
    return np.where(count >= 2, np.clip(ratio, -1.0, 1.0), np.nan)


def _mean_log_return(universe: Universe) -> np.ndarray:
    return universe.by_date(log_return_1, row_mean)


@feature("market", scope="market", windows=(21, None), lookback=lambda w: w - 1)
def breadth(universe: Universe, window: int) -> np.ndarray:
    r"""Share of the tickers whose close is above its simple moving average.

    .. math:: \frac1n \sum_i [P_{i,t} > \mathrm{SMA}_w(P_i)_t]
    """

    def share(dates: RowBlock) -> np.ndarray:
        gaps = dates.feature(sma_gap, window)
        # Whole numbers are summed exactly in any order. Without tickers: 0 / 0.
        return (gaps > 0).sum(axis=1) / np.isfinite(gaps).sum(axis=1)

    return universe.across(share)
