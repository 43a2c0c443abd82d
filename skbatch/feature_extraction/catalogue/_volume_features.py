"""Volume and liquidity."""

from __future__ import annotations

import numpy as np

from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import simple_return

_NEEDS = ("close", "volume")


def _volume(block: TickerBlock) -> np.ndarray:
    return block.fields["volume"]


def _dollar_volume(block: TickerBlock) -> np.ndarray:
    return block.close * block.fields["volume"]


@feature("volume", windows=(5, 63), needs=_NEEDS)
def volume_ratio(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log of the volume over its mean; NaN without volume.

    .. math:: \log\left(V_t \middle/ \frac1n \sum_{k<w} V_{t-k}\right)

    References
    ----------
    Gervais, S., Kaniel, R. and Mingelgrin, D. H. (2001). The high-volume return
    premium. The Journal of Finance, 56(3), 877–919.
    https://doi.org/10.1111/0022-1082.00349
    """
    ratio = block.now(_volume) / block.rolling(_volume).mean(window)
    return np.log(ratio)


@feature("volume", windows=(21, 126), needs=_NEEDS)
def dollar_volume(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log of the mean traded value.

    .. math:: \log\left(\frac1n \sum_{k<w} P_{t-k} V_{t-k}\right)

    References
    ----------
    Chordia, T., Subrahmanyam, A. and Anshuman, V. R. (2001). Trading activity and
    expected stock returns. Journal of Financial Economics, 59(1), 3–32.
    https://doi.org/10.1016/S0304-405X(00)00080-5
    """
    return np.log(block.rolling(_dollar_volume).mean(window))


@feature("volume", windows=(21, 252), needs=_NEEDS)
def amihud(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log of the mean absolute return per traded value (Amihud's illiquidity).

    .. math:: \log\left(\frac1n \sum_{k<w} \frac{|r_{t-k}|}{P_{t-k} V_{t-k}}\right)

    with simple returns r. Rows without volume are left out.

    References
    ----------
    Amihud, Y. (2002). Illiquidity and stock returns: Cross-section and time-series
    effects. Journal of Financial Markets, 5(1), 31–56.
    https://doi.org/10.1016/S1386-4181(01)00024-6
    """
    return np.log(block.rolling(_illiquidity).mean(window))


def _illiquidity(block: TickerBlock) -> np.ndarray:
    return np.abs(block.get(simple_return)) / block.get(_dollar_volume)
