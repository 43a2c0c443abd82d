"""Size and shape of a ticker's daily moves."""

from __future__ import annotations

import numpy as np

from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import log_return_1, simple_return


@feature("volatility", windows=(10, None))
def volatility(block: TickerBlock, window: int) -> np.ndarray:
    r"""Volatility per row, not annualized: standard deviation (ddof=1) of log returns.

    .. math:: \sqrt{\frac{1}{n-1} \sum_{k<w} (r_{t-k} - \bar r)^2}
    """
    return np.sqrt(block.rolling(log_return_1).variance(window))


@feature("volatility", windows=(126, None))
def downside_volatility(block: TickerBlock, window: int) -> np.ndarray:
    r"""Root mean square of the negative log returns, the others counting as 0.

    .. math:: \sqrt{\frac1n \sum_{k<w} \min(r_{t-k}, 0)^2}

    References
    ----------
    Sortino, F. A. and Price, L. N. (1994). Performance measurement in a downside risk
    framework. The Journal of Investing, 3(3), 59–64.
    https://doi.org/10.3905/joi.3.3.59
    """
    return np.sqrt(block.rolling(_squared_loss).mean(window))


def _squared_loss(block: TickerBlock) -> np.ndarray:
    return np.minimum(block.get(log_return_1), 0.0) ** 2


@feature("volatility", windows=(126, None))
def skewness(block: TickerBlock, window: int) -> np.ndarray:
    r"""Skewness of the log returns, corrected for bias; NaN if they are constant.

    .. math:: \frac{\sqrt{n(n-1)}}{n-2} \frac{m_3}{m_2^{3/2}}

    with the central moments :math:`m_2, m_3` over the window.

    References
    ----------
    Boyer, B., Mitton, T. and Vorkink, K. (2010). Expected idiosyncratic skewness. The
    Review of Financial Studies, 23(1), 169–202. https://doi.org/10.1093/rfs/hhp041
    """
    return block.rolling(log_return_1).skewness(window)


@feature("volatility", windows=(21, 63))
def largest_return(block: TickerBlock, window: int) -> np.ndarray:
    r"""Largest simple return from row to row within the window.

    .. math:: \max_{k<w} (P_{t-k} / P_{t-k-1} - 1)

    References
    ----------
    Bali, T. G., Cakici, N. and Whitelaw, R. F. (2011). Maxing out: Stocks as lotteries
    and the cross-section of expected returns. Journal of Financial Economics, 99(2),
    427–446. https://doi.org/10.1016/j.jfineco.2010.08.014
    """
    return block.rolling(simple_return).maximum(window)
