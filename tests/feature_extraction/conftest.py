"""Panels to extract features from."""

import numpy as np
import pandas as pd
import pytest

from skbatch.feature_extraction import clear_cache


@pytest.fixture(autouse=True)
def _empty_cache():
    clear_cache()
    yield
    clear_cache()


def make_ohlcv(seed, n_dates=420, n_tickers=8, missing=0.04):
    """Simulate an OHLCV panel with gaps, a late listing, a delisting, an empty date."""
    rng = np.random.default_rng(seed)
    shape = (n_dates, n_tickers)
    market = 0.01 * rng.standard_normal((n_dates, 1))
    scale = rng.uniform(0.005, 0.03, n_tickers)
    close = np.exp(3 + np.cumsum(market + scale * rng.standard_normal(shape), axis=0))
    open_ = close * np.exp(0.3 * scale * rng.standard_normal(shape))
    wick = np.exp(0.5 * scale * rng.exponential(size=(2, *shape)))
    high, low = np.maximum(open_, close) * wick[0], np.minimum(open_, close) / wick[1]
    volume = np.round(np.exp(12 + 0.4 * rng.standard_normal(shape)))
    volume[rng.random(shape) < 0.01] = 0.0
    fields = {"Open": open_, "High": high, "Low": low, "Close": close}
    fields["Volume"] = volume
    gone = rng.random(shape) < missing
    gone[: n_dates // 3, 0] = True  # listed late
    gone[3 * n_dates // 4 :, 1] = True  # delisted
    gone[n_dates // 2 : n_dates // 2 + n_dates // 6, 2] = True  # suspended
    gone[:, 3] |= rng.random(n_dates) < 0.4
    gone[n_dates // 2 - 9] = True  # a date without any price
    dates = pd.bdate_range("2015-01-01", periods=n_dates)
    tickers = [f"T{number}" for number in range(n_tickers)]
    frames = {
        name: pd.DataFrame(np.where(gone, np.nan, values), index=dates, columns=tickers)
        for name, values in fields.items()
    }
    return pd.concat(frames, axis=1, names=["field", "ticker"])


@pytest.fixture(name="make_ohlcv", scope="session")
def _make_ohlcv():
    return make_ohlcv


@pytest.fixture(scope="session")
def ohlcv():
    """One panel for all tests that do not change it."""
    return make_ohlcv(0)


@pytest.fixture(scope="session")
def groups():
    """Group the tickers; one has no group, one is alone in its group."""
    return dict(zip([f"T{number}" for number in range(7)], "xxyyxyz", strict=True))
