"""A ticker's returns beside the market's, the equal-weighted mean of all tickers."""

from __future__ import annotations

import numpy as np

from skbatch.feature_extraction._context import TickerBlock
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._rolling import Rolling
from skbatch.feature_extraction._series import (
    log_close,
    market_log_return,
    market_return,
    simple_return,
)


def _market(block: TickerBlock) -> Rolling:
    """Roll over the market return on the dates on which the ticker has a return."""
    presence = block.rolling(simple_return).presence
    market = block.universe.get(market_return)[:, None]
    return presence.get(
        _market,
        lambda: Rolling(np.where(presence.distinct, market, np.nan), rows=block.rows),
    )


def _market_moments(block: TickerBlock, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the variance (ddof=0) and mean of the same."""
    presence, market = block.rolling(simple_return).presence, _market(block)
    return presence.get(
        (_market_moments, window),
        lambda: (
            presence.expand(market.variance(window, ddof=0, at_least=3)),
            presence.expand(market.mean(window)),
        ),
    )


def _product(block: TickerBlock) -> np.ndarray:
    return block.get(simple_return) * block.universe.get(market_return)[:, None]


def _comoments(block: TickerBlock, window: int) -> tuple[np.ndarray, ...]:
    """Compute ticker variance, market variance and covariance (ddof=0)."""
    own = block.rolling(simple_return)
    variance = own.variance(window, ddof=0, at_least=3)
    market_variance, market_mean = _market_moments(block, window)
    covariance = block.rolling(_product).mean(window)
    covariance -= own.mean(window) * market_mean
    # A product with a constant series is rounding noise.
    covariance[(variance == 0.0) | (market_variance == 0.0)] = 0.0
    return variance, market_variance, covariance


@feature("relative", windows=(63, None))
def beta(block: TickerBlock, window: int) -> np.ndarray:
    r"""Slope of the simple returns on the market's; NaN if the market is constant.

    .. math:: \mathrm{cov}(r, m) / \mathrm{var}(m)

    References
    ----------
    Sharpe, W. F. (1964). Capital asset prices: A theory of market equilibrium under
    conditions of risk. The Journal of Finance, 19(3), 425–442.
    https://doi.org/10.1111/j.1540-6261.1964.tb02865.x
    """
    _, market_variance, covariance = block.get(_comoments, window)
    return covariance / market_variance


@feature("relative", windows=(126, None))
def correlation(block: TickerBlock, window: int) -> np.ndarray:
    r"""Correlation of the simple returns with the market's; NaN if one is constant.

    .. math:: \mathrm{cov}(r, m) / \sqrt{\mathrm{var}(r)\,\mathrm{var}(m)}
    """
    variance, market_variance, covariance = block.get(_comoments, window)
    ratio = covariance / (np.sqrt(variance) * np.sqrt(market_variance))
    return np.clip(ratio, -1.0, 1.0)


@feature("relative", windows=(63, None))
def idiosyncratic_volatility(block: TickerBlock, window: int) -> np.ndarray:
    r"""Residual volatility: what the market leaves of the simple returns (ddof=2).

    .. math:: \sqrt{\frac{1}{n-2} \sum_{k<w} (r_{t-k} - a - b\, m_{t-k})^2}

    with the intercept a and slope b of the least-squares line over the window. NaN if
    the market is constant.

    References
    ----------
    Ang, A., Hodrick, R. J., Xing, Y. and Zhang, X. (2006). The cross-section of
    volatility and expected returns. The Journal of Finance, 61(1), 259–299.
    https://doi.org/10.1111/j.1540-6261.2006.00836.x
    """
    variance, market_variance, covariance = block.get(_comoments, window)
    residual = variance - covariance * covariance / market_variance
    # Far below the variance it was taken from, the difference is rounding noise.
    np.multiply(variance, 0.0, out=residual, where=residual <= 1e-12 * variance)
    residual *= block.rolling(simple_return).presence.correction(window, 2)
    return np.sqrt(residual, out=residual)


@feature("relative", windows=(5, None))
def relative_strength(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log return over the window less the market's.

    .. math:: \log(P_t / P_{t-w}) - \sum_{k<w} \log(1 + m_{t-k})

    References
    ----------
    Levy, R. A. (1967). Relative strength as a criterion for investment selection. The
    Journal of Finance, 22(4), 595–610.
    https://doi.org/10.1111/j.1540-6261.1967.tb00295.x
    """
    market = block.universe.rolling(market_log_return)
    total = market.sum(window) + market.presence.gap(window)
    return block.change(log_close, window) - total[:, None]
