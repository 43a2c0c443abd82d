"""Moves within a row (open, high, low, close) and between rows."""

from __future__ import annotations

import numpy as np

from skbatch._kernels.rolling import lag
from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import close, log_close

_OHLC = ("open", "high", "low", "close")


def _log_open(block: TickerBlock) -> np.ndarray:
    return np.log(block.fields["open"])


def _overnight(block: TickerBlock) -> np.ndarray:
    return block.get(_log_open) - lag(block.get(log_close), 1)


def _intraday(block: TickerBlock) -> np.ndarray:
    return block.get(log_close) - block.get(_log_open)


def _log_range(block: TickerBlock) -> np.ndarray:
    return np.log(block.fields["high"] / block.fields["low"])


@feature("range", needs=("open", "close"), lookback=lambda _: 1)
def overnight_return(block: TickerBlock) -> np.ndarray:
    r"""Log return from the last close to the open.

    .. math:: \log(O_t / P_{t-1})
    """
    return block.now(_overnight)


@feature("range", needs=("open", "close"), lookback=lambda _: 0)
def intraday_return(block: TickerBlock) -> np.ndarray:
    r"""Log return from the open to the close.

    .. math:: \log(P_t / O_t)
    """
    return block.now(_intraday)


@feature("range", windows=(5, 63), needs=("open", "close"))
def mean_overnight_return(block: TickerBlock, window: int) -> np.ndarray:
    r"""Mean of ``overnight_return`` over the window.

    .. math:: \frac1n \sum_{k<w} \log(O_{t-k} / P_{t-k-1})

    References
    ----------
    Lou, D., Polk, C. and Skouras, S. (2019). A tug of war: Overnight versus intraday
    expected returns. Journal of Financial Economics, 134(1), 192–213.
    https://doi.org/10.1016/j.jfineco.2019.03.011
    """
    return block.rolling(_overnight).mean(window)


@feature("range", windows=(5, 63), needs=("open", "close"))
def mean_intraday_return(block: TickerBlock, window: int) -> np.ndarray:
    r"""Mean of ``intraday_return`` over the window.

    .. math:: \frac1n \sum_{k<w} \log(P_{t-k} / O_{t-k})

    References
    ----------
    Lou, D., Polk, C. and Skouras, S. (2019). A tug of war: Overnight versus intraday
    expected returns. Journal of Financial Economics, 134(1), 192–213.
    https://doi.org/10.1016/j.jfineco.2019.03.011
    """
    return block.rolling(_intraday).mean(window)


@feature("range", needs=("high", "low", "close"), lookback=lambda _: 0)
def close_location(block: TickerBlock) -> np.ndarray:
    r"""Place of the close between the row's low (0) and high (1).

    .. math:: (P_t - L_t) / (H_t - L_t)

    NaN if high and low are equal.
    """
    high, low = block.fields["high"][block.rows], block.fields["low"][block.rows]
    return (block.now(close) - low) / (high - low)


@feature("range", windows=(5, 63), needs=("high", "low", "close"))
def true_range(block: TickerBlock, window: int) -> np.ndarray:
    r"""Mean true range over the window, relative to the close.

    .. math::

        \frac{1}{n P_t} \sum_{k<w}
        \left(\max(H_{t-k}, P_{t-k-1}) - \min(L_{t-k}, P_{t-k-1})\right)

    References
    ----------
    Wilder, J. W. (1978). New Concepts in Technical Trading Systems. Trend Research.
    """
    return block.rolling(_true_range).mean(window) / block.now(close)


def _true_range(block: TickerBlock) -> np.ndarray:
    last = lag(block.close, 1)
    highest = np.maximum(block.fields["high"], last)
    return highest - np.minimum(block.fields["low"], last)


@feature("range", windows=(10, 126), needs=("high", "low"))
def parkinson_volatility(block: TickerBlock, window: int) -> np.ndarray:
    r"""Volatility per row from highs and lows.

    .. math:: \sqrt{\frac{1}{4 n \log 2} \sum_{k<w} \log(H_{t-k} / L_{t-k})^2}

    References
    ----------
    Parkinson, M. (1980). The extreme value method for estimating the variance of the
    rate of return. The Journal of Business, 53(1), 61–65.
    https://doi.org/10.1086/296071
    """
    mean = block.rolling(_squared_log_range).mean(window)
    return np.sqrt(mean / (4.0 * np.log(2.0)))


def _squared_log_range(block: TickerBlock) -> np.ndarray:
    return block.get(_log_range) ** 2


@feature("range", windows=(10, 126), needs=_OHLC)
def garman_klass_volatility(block: TickerBlock, window: int) -> np.ndarray:
    r"""Volatility per row from opens, highs, lows and closes; 0 if the mean is below.

    .. math::

        \sqrt{\frac1n \sum_{k<w} \tfrac12 \log(H_{t-k} / L_{t-k})^2
        - (2 \log 2 - 1) \log(P_{t-k} / O_{t-k})^2}

    References
    ----------
    Garman, M. B. and Klass, M. J. (1980). On the estimation of security price
    volatilities from historical data. The Journal of Business, 53(1), 67–78.
    https://doi.org/10.1086/296072
    """
    return np.sqrt(np.maximum(block.rolling(_garman_klass).mean(window), 0.0))


def _garman_klass(block: TickerBlock) -> np.ndarray:
    body = block.get(_intraday) ** 2
    return 0.5 * block.get(_squared_log_range) - (2.0 * np.log(2.0) - 1.0) * body
