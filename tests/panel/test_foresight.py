"""A signal that is secretly a later return is reported, an honest one is not."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skbatch.exceptions import PanelWarning
from skbatch.panel import join_signals, read_panel

N_DATES, N_TICKERS = 700, 120


def make(ic, horizon, seed, persistence=0.0):
    """Make prices, and a signal with a correlation to the next rows' return."""
    rng = np.random.default_rng(seed)
    shape = N_DATES, N_TICKERS
    signal = rng.normal(size=shape)
    for row in range(1, N_DATES):
        signal[row] *= np.sqrt(1 - persistence**2)
        signal[row] += persistence * signal[row - 1]
    noise = 0.01 * rng.standard_t(4, size=shape) / np.sqrt(2)
    market = rng.normal(0, 0.008, (N_DATES, 1))
    # Each return follows the signals of the `horizon` rows before it.
    drift = sum(np.roll(signal, lag, axis=0) for lag in range(1, horizon + 1))
    scale = ic * 0.01 / np.sqrt(horizon)
    if persistence:
        scale /= np.sqrt(horizon) * 2.1
        scale = scale * (1 + rng.normal(0, 1.5, (N_DATES, 1)))  # premia vary
    returns = market + noise + scale * drift
    index = pd.bdate_range("2015-01-01", periods=N_DATES)
    names = [f"T{n}" for n in range(N_TICKERS)]
    prices = pd.DataFrame(100 * np.exp(returns.cumsum(axis=0)), index, names)
    return prices, pd.DataFrame(signal, index, names)


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_signal_that_is_a_later_return_is_named(horizon, sign):
    prices, _ = make(0.0, 1, seed=0)
    later = np.log(prices).shift(-horizon) - np.log(prices)
    spread = later.sub(later.mean(axis=1), axis=0)
    noise = np.random.default_rng(1).normal(size=prices.shape)
    secret = sign * spread.div(spread.std(axis=1), axis=0) + np.sqrt(99) * noise
    plain = pd.DataFrame(noise, prices.index, prices.columns)
    with pytest.warns(PanelWarning, match=r"in secret \(0\.\d\d\); genuine") as warned:
        join_signals(prices, {"plain": plain, "secret": secret.ffill()})
    assert len(warned) == 1


@pytest.mark.parametrize("persistence", [0.0, 0.97])
@pytest.mark.parametrize("ic", [0.03, 0.05])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_honest_signals_are_not(persistence, ic, seed):
    prices, signal = make(ic, 5, seed, persistence)
    later = (prices.shift(-5) / prices - 1).iloc[:-5:3].rank(axis=1)
    found = later.corrwith(signal.rank(axis=1), axis=1).mean()
    assert 0.4 * ic < found < 0.07
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        join_signals(prices, {"honest": signal})


def test_few_tickers_or_dates_say_nothing():
    prices, _ = make(0.0, 1, seed=0)
    later = (prices.shift(-1) / prices - 1).ffill()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        join_signals(prices.iloc[:, :8], {"secret": later.iloc[:, :8]})
        # A new day has signals, too, before any return follows.
        for n_dates in (50, 6, 5, 2, 1):
            rows = slice(-n_dates, None)
            join_signals(prices.iloc[rows], {"secret": later.iloc[rows]})


def test_a_column_of_later_returns_in_a_file_is_named():
    prices, honest = make(0.03, 5, seed=0)
    later = prices.shift(-5) / prices - 1
    tables = {"close": prices, "book": honest, "label": later}
    long = pd.concat({n: t.stack() for n, t in tables.items()}, axis=1)
    long.index.names = ["date", "ticker"]
    with pytest.warns(PanelWarning, match=r"in label \(1\.00\); genuine") as warned:
        panel = read_panel(long)
    assert len(warned) == 1
    assert set(panel.columns.unique("field")) == {"Close", "book", "label"}
