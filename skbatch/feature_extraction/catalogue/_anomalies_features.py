"""Predictors of the literature on anomalies, which are computed only when chosen.

Their windows are those of the literature, whatever the user's are.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from skbatch._kernels.cross_section import centred_rank
from skbatch._kernels.rolling import lag
from skbatch.feature_extraction._context import TickerBlock, Universe
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction._rolling import Rolling
from skbatch.feature_extraction._series import log_close, market_return, simple_return
from skbatch.feature_extraction.catalogue._relative_features import beta
from skbatch.feature_extraction.catalogue._returns_features import log_return

_MONTH, _YEAR, _FIVE_YEARS = 21, 252, 1260
_VOLUME = ("close", "volume")
_LAGS = 5  # of the market's returns, from 0, for the price delay


@feature("anomalies", also=(_YEAR,))
def intermediate_momentum(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log return over the earlier half of the window: months 12 to 7 of a year.

    .. math:: \log(P_{t-w/2} / P_{t-w})

    References
    ----------
    Novy-Marx, R. (2012). Is momentum really momentum? Journal of Financial Economics,
    103(3), 429–453. https://doi.org/10.1016/j.jfineco.2011.05.003
    """
    half = window // 2
    return block.change(log_close, window - half, until=half)


@feature("anomalies", also=(_FIVE_YEARS,))
def long_run_return(block: TickerBlock, window: int) -> np.ndarray:
    r"""Log return over five years without the last one, which tends to reverse.

    .. math:: \log(P_{t-252} / P_{t-w})

    References
    ----------
    De Bondt, W. F. M. and Thaler, R. (1985). Does the stock market overreact? The
    Journal of Finance, 40(3), 793–805.
    https://doi.org/10.1111/j.1540-6261.1985.tb05004.x
    """
    return block.change(log_close, window - _YEAR, until=_YEAR)


@feature("anomalies", also=(_YEAR,))
def residual_momentum(block: TickerBlock, window: int) -> np.ndarray:
    r"""Mean of what the market leaves of the returns, over its standard deviation.

    .. math:: \bar e \,/\, \sqrt{\tfrac{1}{n-2} \sum_k (e_k - \bar e)^2},
        \quad e_k = r_k - b\, m_k

    over the window's simple returns without the last 21, with the slope b of these on
    the market's. NaN if the market is constant, or moves the ticker alone.

    References
    ----------
    Blitz, D., Huij, J. and Martens, M. (2011). Residual momentum. Journal of Empirical
    Finance, 18(3), 506–521. https://doi.org/10.1016/j.jempfin.2011.01.003
    """
    rows = window - _MONTH
    own, market = block.rolling(_earlier_return), block.rolling(_earlier_market)
    product = block.rolling(_earlier_product)
    variance, market_variance = own.variance(rows, 0, 3), market.variance(rows, 0, 3)
    covariance = product.mean(rows) - own.mean(rows) * market.mean(rows)
    slope = covariance / market_variance
    residual = variance - slope * covariance
    residual = np.where(residual > 1e-12 * variance, residual, np.nan)
    residual *= own.presence.correction(rows, 2)
    return (own.mean(rows) - slope * market.mean(rows)) / np.sqrt(residual)


def _earlier_return(block: TickerBlock) -> np.ndarray:
    return lag(block.get(simple_return), _MONTH)


def _earlier_market(block: TickerBlock) -> np.ndarray:
    return lag(block.get(_market), _MONTH)


def _earlier_product(block: TickerBlock) -> np.ndarray:
    return block.get(_earlier_return) * block.get(_earlier_market)


def _market(block: TickerBlock) -> np.ndarray:
    """Select the market return on the dates on which the ticker has a return."""
    market = block.universe.get(market_return)[:, None]
    return np.where(np.isfinite(block.get(simple_return)), market, np.nan)


@feature("anomalies", also=(_YEAR,))
def coskewness(block: TickerBlock, window: int) -> np.ndarray:
    r"""How the residual return moves with the market's squared deviation.

    .. math:: \overline{\epsilon\, d^2} \,/\,
        \left(\sqrt{\overline{\epsilon^2}}\; \overline{d^2}\right),
        \quad d = m - \bar m

    with the residuals :math:`\epsilon` of the simple returns on the market's m over
    the window. NaN if the market is constant, or moves the ticker alone.

    References
    ----------
    Harvey, C. R. and Siddique, A. (2000). Conditional skewness in asset pricing tests.
    The Journal of Finance, 55(3), 1263–1295. https://doi.org/10.1111/0022-1082.00247
    """
    own, market = block.rolling(simple_return), block.rolling(_market)
    mean, market_mean = own.mean(window), market.mean(window)
    count = market.presence.enough(window, 3)
    square = market.sum(window, 2) / count
    cube = market.sum(window, 3) / count
    variance, market_variance = own.variance(window, 0, 3), square - market_mean**2
    product = block.rolling(_product).mean(window)
    covariance = product - mean * market_mean
    third = cube - 3.0 * market_mean * square + 2.0 * market_mean**3
    mixed = block.rolling(_square_product).mean(window) - mean * square
    mixed -= 2.0 * market_mean * covariance
    slope = covariance / market_variance
    residual = variance - slope * covariance
    residual = np.where(residual > 1e-12 * variance, residual, np.nan)
    return (mixed - slope * third) / (np.sqrt(residual) * market_variance)


def _product(block: TickerBlock) -> np.ndarray:
    return block.get(simple_return) * block.get(_market)


def _square_product(block: TickerBlock) -> np.ndarray:
    return block.get(_product) * block.get(_market)


@feature("anomalies", also=(_YEAR,), lookback=lambda window: window + _LAGS - 1)
def price_delay(block: TickerBlock, window: int) -> np.ndarray:
    r"""Share of what the market explains that it explains with a delay, from 0 to 1.

    .. math:: 1 - R^2_0 / R^2_4

    with the coefficients of determination of regressions, over the window, of the
    simple returns on the market's of the same row (0) and on those of the four rows
    before, too (4). NaN if the returns of the ticker or the market are constant.

    References
    ----------
    Hou, K. and Moskowitz, T. J. (2005). Market frictions, price delay, and the
    cross-section of expected returns. The Review of Financial Studies, 18(3),
    981–1020. https://doi.org/10.1093/rfs/hhi023
    """
    markets = block.get(_lagged_markets)
    own = np.where(np.isfinite(markets[-1]), block.get(simple_return), np.nan)
    series = [np.where(np.isfinite(own), market, np.nan) for market in markets]
    presence = block.presence(np.isfinite(own))

    def rolling(values: np.ndarray) -> Rolling:
        return Rolling(values, presence, block.rows)

    def mean(values: np.ndarray) -> np.ndarray:
        return rolling(values).mean(window)

    means, own_mean = [mean(market) for market in series], mean(own)
    covariances = {
        (j, k): mean(series[j] * series[k]) - means[j] * means[k]
        for j, k in combinations_with_replacement(range(_LAGS), 2)
    }
    with_own = [
        mean(own * market) - own_mean * market_mean
        for market, market_mean in zip(series, means, strict=True)
    ]
    parts = _explained(covariances, with_own)
    moves = rolling(own).variance(window, 0, _LAGS + 2) > 0.0
    return np.where(moves, 1.0 - parts[0] / sum(parts), np.nan)


def _lagged_markets(block: TickerBlock) -> list[np.ndarray]:
    """Lag the market return by 0, 1, … rows; the last is finite if all are."""
    market = block.universe.get(market_return)[:, None]
    lagged = [lag(market, rows) for rows in range(_LAGS)]
    known = np.isfinite(sum(lagged))
    return [np.where(known, values, np.nan) for values in lagged]


def _explained(
    covariances: dict[tuple[int, int], np.ndarray], with_own: list[np.ndarray]
) -> list[np.ndarray]:
    """Compute the variance that each regressor explains beyond those before it."""
    parts = []
    noise = [1e-10 * covariances[k, k] for k in range(_LAGS)]
    for k in range(_LAGS):
        pivot = np.where(covariances[k, k] > noise[k], covariances[k, k], np.nan)
        parts.append(with_own[k] ** 2 / pivot)
        for j in range(k + 1, _LAGS):
            slope = covariances[k, j] / pivot
            with_own[j] = with_own[j] - slope * with_own[k]
            for i in range(j, _LAGS):
                covariances[j, i] = covariances[j, i] - slope * covariances[k, i]
    return parts


@feature("anomalies", also=(_YEAR,), needs=_VOLUME)
def zero_trade_share(block: TickerBlock, window: int) -> np.ndarray:
    r"""Share of the window's rows without trades: those whose volume is 0.

    .. math:: \frac1n \sum_{k<w} [V_{t-k} = 0]

    References
    ----------
    Liu, W. (2006). A liquidity-augmented capital asset pricing model. Journal of
    Financial Economics, 82(3), 631–671. https://doi.org/10.1016/j.jfineco.2005.10.001
    """
    return block.rolling(_no_trade).mean(window)


def _no_trade(block: TickerBlock) -> np.ndarray:
    volume = block.fields["volume"]
    return np.where(np.isfinite(volume), volume == 0.0, np.nan)


@feature("anomalies", also=(63,), needs=_VOLUME)
def volume_volatility(block: TickerBlock, window: int) -> np.ndarray:
    r"""Volatility (ddof=1) of the log traded value; rows without trades are left out.

    .. math:: \sqrt{\frac{1}{n-1} \sum_{k<w} (\ell_{t-k} - \bar \ell)^2},
        \quad \ell = \log(P V)

    References
    ----------
    Chordia, T., Subrahmanyam, A. and Anshuman, V. R. (2001). Trading activity and
    expected stock returns. Journal of Financial Economics, 59(1), 3–32.
    https://doi.org/10.1016/S0304-405X(00)00080-5
    """
    return np.sqrt(block.rolling(_log_dollar_volume).variance(window))


def _log_dollar_volume(block: TickerBlock) -> np.ndarray:
    values = np.log(block.close * block.fields["volume"])
    return np.where(np.isfinite(values), values, np.nan)


@feature("anomalies", also=(1,), lookback=lambda _: _YEAR)
def residual_return(block: TickerBlock, window: int) -> np.ndarray:
    r"""Residual return of the row: less the market's times ``beta_252``.

    .. math:: r_t - \beta_t\, m_t

    References
    ----------
    Blitz, D., Huij, J., Lansdorp, S. and Verbeek, M. (2013). Short-term residual
    reversal. Journal of Financial Markets, 16(3), 477–504.
    https://doi.org/10.1016/j.finmar.2012.10.005
    """
    market = block.universe.now(market_return)[:, None]
    return block.now(simple_return) - beta(block, _YEAR) * market


@feature("anomalies", scope="cross_section", also=(1,))
def rank_return(universe: Universe, window: int) -> np.ndarray:
    """Centered percentile rank of the row's ``log_return``; see ``rank_log_return``.

    References
    ----------
    Jegadeesh, N. (1990). Evidence of predictable behavior of security returns. The
    Journal of Finance, 45(3), 881–898.
    https://doi.org/10.1111/j.1540-6261.1990.tb05110.x
    """
    return centred_rank(universe.feature(log_return, window))


@feature("anomalies", scope="cross_section", also=(1,), lookback=lambda _: _YEAR)
def rank_residual_return(universe: Universe, window: int) -> np.ndarray:
    """Centered percentile rank of ``residual_return``; see ``rank_log_return``."""
    return centred_rank(universe.feature(residual_return, window))
