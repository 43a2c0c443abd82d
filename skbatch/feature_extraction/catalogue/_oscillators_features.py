"""Oscillators of technical analysis, with their customary windows."""

from __future__ import annotations

import numpy as np

from skbatch._kernels.rolling import decay_rows, difference
from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import close

_FAST, _SLOW, _SIGNAL = 12, 26, 9


def _span_decay(span: int) -> float:
    """Convert the span of an exponential moving average, α = 2 / (span + 1)."""
    return 1.0 - 2.0 / (span + 1.0)


@feature("oscillators", also=(14,), lookback=lambda w: decay_rows(1 - 1 / w))
def rsi(block: TickerBlock, window: int) -> np.ndarray:
    r"""Relative strength index, from 0 to 100; NaN if the closes are constant.

    .. math:: 100 \frac{U}{U + D}

    with the exponentially weighted sums U of rises and D of falls of the close
    (α = 1/w, Wilder's smoothing; the weights of the start are adjusted).

    References
    ----------
    Wilder, J. W. (1978). New Concepts in Technical Trading Systems. Trend Research.
    """
    rises = block.rolling(_rise).decayed_sum(1 - 1 / window)
    falls = block.rolling(_fall).decayed_sum(1 - 1 / window)
    gap = block.rolling(_rise).presence.gap(window)
    return 100.0 * rises / (rises + falls) + gap


def _rise(block: TickerBlock) -> np.ndarray:
    return np.maximum(difference(block.close, 1), 0.0)


def _fall(block: TickerBlock) -> np.ndarray:
    return np.maximum(-difference(block.close, 1), 0.0)


@feature("oscillators", lookback=lambda _: decay_rows(_span_decay(_SLOW)) - 1)
def macd(block: TickerBlock) -> np.ndarray:
    r"""MACD, the moving average convergence divergence, relative to the close.

    .. math:: (\mathrm{EMA}_{12}(P) - \mathrm{EMA}_{26}(P)) / P_t

    with exponential moving averages of span 12 and 26 (α = 2 / (span + 1), the weights
    of the start adjusted).

    References
    ----------
    Appel, G. (2005). Technical Analysis: Power Tools for Active Investors. FT Press.
    """
    return block.now(_macd)


def _macd(block: TickerBlock) -> np.ndarray:
    closes = block.rolling(close).everywhere
    fast = closes.decayed_mean(_FAST, _span_decay(_FAST))
    slow = closes.decayed_mean(_SLOW, _span_decay(_SLOW))
    return (fast - slow) / block.close


@feature(
    "oscillators",
    lookback=lambda _: (
        decay_rows(_span_decay(_SLOW)) + decay_rows(_span_decay(_SIGNAL)) - 2
    ),
)
def macd_histogram(block: TickerBlock) -> np.ndarray:
    r"""MACD less its signal line.

    .. math:: \mathrm{macd}_t - \mathrm{EMA}_9(\mathrm{macd})

    References
    ----------
    Appel, G. (2005). Technical Analysis: Power Tools for Active Investors. FT Press.
    """
    signal = block.rolling(_macd).decayed_mean(_SIGNAL, _span_decay(_SIGNAL))
    return block.now(_macd) - signal


@feature("oscillators", also=(20,))
def bollinger(block: TickerBlock, window: int) -> np.ndarray:
    r"""Bollinger score: standard deviations (ddof=0) between close and moving average.

    .. math:: (P_t - \bar P) / \sqrt{\tfrac1n \sum_{k<w} (P_{t-k} - \bar P)^2}

    NaN if the closes are constant, up to a ten-millionth.

    References
    ----------
    Bollinger, J. (2001). Bollinger on Bollinger Bands. McGraw-Hill.
    """
    closes = block.rolling(close)
    deviation = np.sqrt(closes.variance(window, ddof=0))
    return (block.now(close) - closes.mean(window)) / deviation
