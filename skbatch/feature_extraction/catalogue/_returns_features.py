"""Returns over windows."""

from __future__ import annotations

import numpy as np

from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._series import log_close

_MONTH = 21


@feature("returns", windows=(2, None), also=(1,))
def log_return(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log return over the window.

    .. math:: \log(P_t / P_{t-w})
    """
    return block.change(log_close, window)


@feature("returns", windows=(3 * _MONTH, None))
def momentum(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log return over the window without its last 21 rows.

    .. math:: \log(P_{t-21} / P_{t-w})

    References
    ----------
    Jegadeesh, N. and Titman, S. (1993). Returns to buying winners and selling losers:
    Implications for stock market efficiency. The Journal of Finance, 48(1), 65–91.
    https://doi.org/10.1111/j.1540-6261.1993.tb04702.x
    """
    return block.change(log_close, window - _MONTH, until=_MONTH)
