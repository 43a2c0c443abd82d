"""Where the close stands among the closes of the window."""

from __future__ import annotations

import numpy as np

from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import close


@feature("trend", windows=(21, None))
def sma_gap(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log distance of the close from its simple moving average.

    .. math:: \log\left(P_t \middle/ \frac1n \sum_{k<w} P_{t-k}\right)

    References
    ----------
    Brock, W., Lakonishok, J. and LeBaron, B. (1992). Simple technical trading rules
    and the stochastic properties of stock returns. The Journal of Finance, 47(5),
    1731–1764. https://doi.org/10.1111/j.1540-6261.1992.tb04681.x
    """
    return np.log(block.now(close) / block.rolling(close).mean(window))


@feature("trend", windows=(63, None))
def channel_position(block: TickerBlock, window: int) -> np.ndarray:
    r"""Place of the close between the window's lowest (0) and highest close (1).

    .. math:: \frac{P_t - \min_{k<w} P_{t-k}}{\max_{k<w} P_{t-k} - \min_{k<w} P_{t-k}}

    NaN if the closes are constant.
    """
    closes = block.rolling(close)
    lowest = closes.minimum(window)
    return (block.now(close) - lowest) / (closes.maximum(window) - lowest)


@feature("trend", windows=(126, None))
def drawdown(block: TickerBlock, window: int) -> np.ndarray:
    r"""Return from the window's highest close, 0 or negative.

    .. math:: P_t / \max_{k<w} P_{t-k} - 1

    References
    ----------
    George, T. J. and Hwang, C.-Y. (2004). The 52-week high and momentum investing. The
    Journal of Finance, 59(5), 2145–2176.
    https://doi.org/10.1111/j.1540-6261.2004.00695.x
    """
    return block.now(close) / block.rolling(close).maximum(window) - 1.0
