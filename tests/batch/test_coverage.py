"""Intervals of whole systems hold what they promise, whatever moves the prices."""

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.metrics import interval_coverage

N_ROWS, N_FIT, N_TICKERS = 900, 500, 24
SHAPE = (N_ROWS, N_TICKERS)


def gaussian(rng):
    return rng.standard_normal(SHAPE)


def fat_tails(rng):
    return rng.standard_t(4, SHAPE) / np.sqrt(2)


def stochastic_volatility(rng):
    """Log volatility that reverts to its mean within some 50 rows."""
    log = np.zeros(SHAPE)
    shocks = 0.15 * rng.standard_normal(SHAPE)
    for row in range(1, N_ROWS):
        log[row] = 0.98 * log[row - 1] + shocks[row]
    return np.exp(log) * rng.standard_normal(SHAPE)


def jumps(rng):
    """A jump of five deviations every 50 rows."""
    jump = 5.0 * rng.standard_normal(SHAPE) * (rng.uniform(size=SHAPE) < 0.02)
    return rng.standard_normal(SHAPE) + jump


def regime_change(rng):
    """Moves that are half as large again from soon after the fit on."""
    moves = rng.standard_normal(SHAPE)
    moves[N_FIT + 50 :] *= 1.5
    return moves


WORLDS = [gaussian, fat_tails, stochastic_volatility, jumps, regime_change]


@pytest.mark.parametrize("world", WORLDS)
def test_nine_returns_in_ten_are_inside(world):
    moves = 0.01 * world(np.random.default_rng(0))
    index = pd.bdate_range("2015-01-01", periods=N_ROWS)
    names = [f"T{number}" for number in range(N_TICKERS)]
    prices = pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), index, names)
    features = SharedFeatureExtractor(["volatility"], windows=[10, 21, 63])
    system = BatchForecastingSystem(
        2, features=features, forecaster=BatchLinearForecaster()
    )
    lower, upper = system.fit(prices[:N_FIT]).predict_interval(prices[N_FIT:])
    y = forward_returns(prices, 2)[N_FIT:]
    assert 0.88 < interval_coverage(y, lower, upper) < 0.92
    assert (lower > -1).all(axis=None)
    for half in (slice(0, 200), slice(200, None)):
        held = interval_coverage(y[half], lower[half], upper[half])
        assert 0.865 < held < 0.935
