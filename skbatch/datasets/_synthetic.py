"""Synthetic prices whose conditional expected return is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from skbatch._messages import check_int

_WINDOW = 5
_MAX_NOISE = 4.0  # standard deviations; symmetric, so that the mean stays zero
_MAX_SCORE = 10.0
_MAX_VOLATILITY = 0.1
_MAX_STRENGTH = 0.4
_FIRST_PRICE = 100.0
_TAIL = 0.3173105078629141  # probability that |z| > 1 for a standard normal z

Random = int | np.random.RandomState | None
Signal = Literal["linear", "nonlinear"] | None


def _momentum(scores: np.ndarray) -> np.ndarray:
    """Follow the scores."""
    return scores


def _extremes(scores: np.ndarray) -> np.ndarray:
    """Separate the extremes, of either sign, from the middle; variance about one."""
    extreme = np.abs(scores) > 1
    return (extreme - extreme.mean()) / np.sqrt(_TAIL * (1 - _TAIL))


_SIGNALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": _momentum,
    "nonlinear": _extremes,
}


@overload
def make_panel(
    n_dates: int = ...,
    n_tickers: int = ...,
    *,
    signal: Signal = ...,
    strength: float = ...,
    volatility: float = ...,
    market_volatility: float = ...,
    late_listings: int = ...,
    random_state: Random = ...,
    return_oracle: Literal[False] = ...,
) -> pd.DataFrame: ...


@overload
def make_panel(
    n_dates: int = ...,
    n_tickers: int = ...,
    *,
    signal: Signal = ...,
    strength: float = ...,
    volatility: float = ...,
    market_volatility: float = ...,
    late_listings: int = ...,
    random_state: Random = ...,
    return_oracle: Literal[True],
) -> tuple[pd.DataFrame, pd.DataFrame]: ...


def make_panel(
    n_dates: int = 1000,
    n_tickers: int = 50,
    *,
    signal: Signal = None,
    strength: float = 0.2,
    volatility: float = 0.02,
    market_volatility: float = 0.01,
    late_listings: int = 0,
    random_state: Random = None,
    return_oracle: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    r"""Generate prices whose expected next return is a known function of past prices.

    Parameters
    ----------
    n_dates : int, default=1000
        Number of rows, business days from 2010 on.
    n_tickers : int, default=50
        Number of tickers, named T000, T001, ...; at least 2 with a signal.
    signal : {"linear", "nonlinear"} or None, default=None
        What can be forecast: nothing (random walks); momentum of the relative return
        over 5 rows; or whether that return is extreme, of either sign, which a linear
        model can hardly detect.
    strength : float, default=0.2
        Size of the signal in units of `volatility`, at most 0.4 in absolute value;
        negative: reversal. It is roughly the information coefficient of the best
        forecast of the next return; momentum, which reinforces itself, raises that to
        0.25.
    volatility : float, default=0.02
        Standard deviation per row of a ticker's own return.
    market_volatility : float, default=0.01
        Standard deviation per row of the return that all tickers share. Together with
        `volatility`, at most 0.1.
    late_listings : int, default=0
        Number of tickers, drawn at random, whose prices begin later: between a
        quarter and three quarters of the rows.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise.
    return_oracle : bool, default=False
        Whether to return the expected returns, too.

    Returns
    -------
    prices : DataFrame of shape (n_dates, n_tickers)
        Prices, which begin at 100; NaN before a late listing.
    oracle : DataFrame of shape (n_dates, n_tickers)
        Only if `return_oracle`: the expected simple return from each row to the next
        given all prices up to that row, the best possible forecast of
        ``forward_returns(prices, 1)``.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    The return of ticker :math:`i` from row :math:`t` to the next is

    .. math:: r_{i,t+1} = \mu_{i,t} + m_{t+1} + \varepsilon_{i,t+1}, \qquad
              \mu_{i,t} = \text{strength} \cdot \text{volatility} \cdot f(z_{i,t})

    with Gaussian noise :math:`m, \varepsilon`, cut at four standard deviations so that
    no price falls to zero, and

    .. math:: z_{i,t} = \frac{\ell_{i,t} - \bar\ell_t}{\sqrt 5 \cdot \text{volatility}},
              \qquad \ell_{i,t} = \log P_{i,t} - \log P_{i,t-5}

    where the mean is over the tickers that have 5 returns; the others have
    :math:`\mu = 0`. The linear signal is :math:`f(z) = z`, the other
    :math:`f(z) = (1_{|z|>1} - \bar 1_{|z|>1}) / \sqrt{p(1-p)}` with
    :math:`p = P(|N(0,1)| > 1)`.

    Examples
    --------
    >>> from skbatch.datasets import make_panel
    >>> prices, oracle = make_panel(
    ...     n_dates=8, n_tickers=2, signal="linear", random_state=0, return_oracle=True
    ... )
    >>> prices.iloc[:2].round(2)
                  T000    T001
    date
    2010-01-01  100.00  100.00
    2010-01-04  101.75  104.28
    """
    _check_sizes(n_dates, n_tickers, late_listings, signal)
    _check_scales(strength, volatility, market_volatility)
    random = check_random_state(random_state)
    noise = _draw(random, (n_dates, n_tickers), volatility)
    noise += _draw(random, (n_dates, 1), market_volatility)
    listed = _draw_listings(random, n_dates, n_tickers, late_listings)
    scale = 0.0 if signal is None else strength * volatility
    rule = _SIGNALS[signal or "linear"]
    log_prices, expected = _simulate(noise, listed, rule, scale, volatility)
    dates = pd.bdate_range("2010-01-01", periods=n_dates, name="date")
    tickers = [f"T{number:03d}" for number in range(n_tickers)]
    prices = pd.DataFrame(np.exp(log_prices), index=dates, columns=tickers)
    if not return_oracle:
        return prices
    return prices, pd.DataFrame(expected, index=dates, columns=tickers)


def _simulate(
    noise: np.ndarray,
    listed: np.ndarray,
    rule: Callable[[np.ndarray], np.ndarray],
    scale: float,
    volatility: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Walk through the rows; each expected return looks at the prices so far only."""
    log_prices = np.full(noise.shape, np.nan)
    expected = np.full(noise.shape, np.nan)
    for row in range(len(noise)):
        is_new = listed == row
        if row:
            growth = np.log1p(expected[row - 1] + noise[row])
            log_prices[row] = log_prices[row - 1] + growth
        log_prices[row, is_new] = np.log(_FIRST_PRICE)
        expected[row, listed <= row] = 0.0
        if row >= _WINDOW:
            change = log_prices[row] - log_prices[row - _WINDOW]
            known = np.flatnonzero(np.isfinite(change))
            if known.size:
                expected[row, known] = scale * rule(_score(change[known], volatility))
    return log_prices, expected


def _score(change: np.ndarray, volatility: float) -> np.ndarray:
    """Scale changes of the log price, relative to the other tickers, to unit noise."""
    scores = (change - change.mean()) / (volatility * np.sqrt(_WINDOW))
    # Never reached in practice; guarantees that the expected return is bounded.
    return np.clip(scores, -_MAX_SCORE, _MAX_SCORE)


def _draw(
    random: np.random.RandomState, shape: tuple[int, int], scale: float
) -> np.ndarray:
    """Draw Gaussian noise of mean zero and bounded size."""
    return scale * np.clip(random.standard_normal(shape), -_MAX_NOISE, _MAX_NOISE)


def _draw_listings(
    random: np.random.RandomState, n_dates: int, n_tickers: int, late: int
) -> np.ndarray:
    """Draw the row of each ticker's first price."""
    listed = np.zeros(n_tickers, dtype=np.intp)
    numbers = random.permutation(n_tickers)[:late]
    listed[numbers] = random.randint(n_dates // 4, 3 * n_dates // 4 + 1, size=late)
    return np.minimum(listed, n_dates - 1)


def _check_sizes(n_dates: int, n_tickers: int, late: int, signal: Signal) -> None:
    """Raise unless the panel has a sensible size."""
    if signal is not None and signal not in _SIGNALS:
        raise ValueError(
            f"`signal` must be None, 'linear' or 'nonlinear'. Got {signal!r}. Choose "
            "one of these."
        )
    least = {"n_dates": (n_dates, 1), "late_listings": (late, 0)}
    least["n_tickers"] = (n_tickers, 1 if signal is None else 2)
    for name, (number, bound) in least.items():
        check_int(number, name, bound, "Pass a larger one.")
    if late > n_tickers:
        raise ValueError(
            f"`late_listings` must be at most `n_tickers`. Got {late} with {n_tickers} "
            "tickers. Pass a smaller one."
        )


def _check_scales(strength: float, volatility: float, market: float) -> None:
    """Raise unless prices stay positive and momentum does not explode."""
    if not abs(strength) <= _MAX_STRENGTH:
        raise ValueError(
            f"`strength` must be between -{_MAX_STRENGTH} and {_MAX_STRENGTH}. Got "
            f"{strength!r}. Momentum stronger than that would explode: pass less."
        )
    total = volatility + market
    if not (volatility > 0 and market >= 0 and total <= _MAX_VOLATILITY):
        raise ValueError(
            "`volatility` must be positive, `market_volatility` at least 0, and their "
            f"sum at most {_MAX_VOLATILITY}. Got {volatility!r} and {market!r}. "
            "Pass daily values such as 0.02 and 0.01."
        )
