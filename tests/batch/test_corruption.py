"""Prices corrupted in any way: every ticker is accounted for, and none invented."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch import BatchLinearForecaster, SharedFeatureExtractor
from skbatch.batch import BatchForecastingSystem
from skbatch.datasets import make_panel

N_TICKERS, N_CORRUPT = 80, 10


def late(values, rows):
    values[-rows:] = np.nan


def zeros(values, rows):
    values[-rows:] = 0.0


def negative(values, rows):
    values[rows] = -values[rows]


def infinite(values, rows):
    values[-rows] = np.inf


def empty(values, rows):
    values[:] = np.nan


def constant(values, rows):
    values[:] = 7.0


def flat_end(values, rows):
    values[-max(rows, 21) :] = values[-max(rows, 21)]


def young(values, rows):
    values[: -min(rows, 20)] = np.nan


def split(values, rows):
    values[-rows:] /= 100.0


def spike(values, rows):
    values[rows] *= 1e4


def alternating(values, rows):
    values[::2] = np.nan


def huge(values, rows):
    values[-rows:] = 1e300


def tiny(values, rows):
    values[-rows:] = 1e-300


def exploding(values, rows):
    values *= np.exp(np.arange(len(values)) * 0.5)


# What leaves no price today, or no day's price change worth the name.
UNUSABLE = [empty, constant, late, zeros, young, flat_end]
CORRUPTIONS = [
    *UNUSABLE,
    negative,
    infinite,
    split,
    spike,
    alternating,
    huge,
    tiny,
    exploding,
]


@pytest.fixture(scope="module")
def prices():
    return make_panel(200, N_TICKERS, random_state=1)


@settings(max_examples=15)
@given(
    st.lists(
        st.sampled_from(CORRUPTIONS),
        min_size=N_CORRUPT,
        max_size=N_CORRUPT,
        unique=True,
    ),
    st.lists(
        st.integers(0, N_TICKERS - 1),
        min_size=N_CORRUPT,
        max_size=N_CORRUPT,
        unique=True,
    ),
    st.integers(6, 60),
    st.sampled_from([None, 30]),
)
def test_corrupt_tickers_are_accounted_for(
    prices, assert_accounted, corruptions, numbers, rows, max_batch_size
):
    values = prices.to_numpy(copy=True)
    for corrupt, number in zip(corruptions, numbers, strict=True):
        corrupt(values[:, number], rows)
    dirty = prices.copy()
    dirty[:] = values
    system = BatchForecastingSystem(
        forecaster=BatchLinearForecaster(),
        features=SharedFeatureExtractor(windows=(5, 21), cache_size=0),
        max_batch_size=max_batch_size,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = system.fit(dirty).forecast()
    assert_accounted(result, prices.columns)
    pairs = dict(zip(numbers, corruptions, strict=True))
    unusable = [prices.columns[n] for n, c in pairs.items() if c in UNUSABLE]
    assert result.expected_returns[unusable].isna().all()
    healthy = [t for n, t in enumerate(prices.columns) if n not in pairs]
    assert result.expected_returns[healthy].notna().all()
    assert result.expected_returns.abs().max() < 1.0


def test_quarantined_tickers_change_nothing_for_the_others(prices):
    """The others' forecasts are those of a portfolio without the corrupt tickers."""
    dirty = prices.copy()
    for number, corrupt in enumerate(UNUSABLE):
        values = dirty.iloc[:, number].to_numpy(copy=True)
        corrupt(values, 30)
        dirty.isetitem(number, values)
    system = BatchForecastingSystem(
        forecaster=BatchLinearForecaster(),
        features=SharedFeatureExtractor(windows=(5, 21), cache_size=0),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with_them = system.fit(dirty).forecast().expected_returns
    clean = prices.iloc[:, len(UNUSABLE) :]
    without = system.fit(clean).forecast().expected_returns
    assert (with_them[clean.columns] == without).all()
