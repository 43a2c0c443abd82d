"""Prices, a fast system, and forecasters that fail on purpose."""

import os
import signal
import warnings

import numpy as np
import pandas as pd
import pytest

from skbatch import BatchLinearForecaster, SharedFeatureExtractor
from skbatch.batch import BatchForecastingSystem
from skbatch.datasets import make_panel
from skbatch.exceptions import ModelFitError

TICKERS = list("ABCDEFGH")


@pytest.fixture(scope="session")
def prices():
    """260 dates of eight tickers."""
    return make_panel(260, 8, random_state=0).set_axis(TICKERS, axis=1)


def small_features():
    return SharedFeatureExtractor(windows=(5, 21, 63), cache_size=0)


@pytest.fixture(scope="session")
def make_system():
    """A function that makes a system of small parts, one ridge per ticker."""

    def make(horizon=5, **params):
        given = {
            "features": small_features(),
            "forecaster": BatchLinearForecaster("per_ticker"),
            **params,
        }
        return BatchForecastingSystem(horizon, **given)

    return make


@pytest.fixture(scope="session")
def fit_quietly():
    """A function that fits without the warnings that a fault gives cause to."""

    def fit(system, prices):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return system.fit(prices)

    return fit


def make_faulty(fault, tickers=(), largest=None, times=None, log=None):
    """Make a forecaster that fails on batches with some tickers, or large ones.

    It is defined in a function so that it travels by value to other processes.
    """
    from xgboost.core import XGBoostError

    errors = {
        "model": ModelFitError("planted"),
        "xgboost": XGBoostError("planted"),
        "memory": MemoryError("planted"),
        "algebra": np.linalg.LinAlgError("planted"),
        "argument": ValueError("planted"),
        "program": AttributeError("planted"),
        "stop": KeyboardInterrupt(),
    }

    class Faulty(BatchLinearForecaster):
        def __init__(self, strategy="per_ticker"):
            super().__init__(strategy)

        def fit(self, X, y):
            names = set(y.columns.get_level_values(-1))
            if log is not None:
                with open(log, "a") as file:
                    file.write(" ".join(sorted(names)) + "\n")
            bad = bool(names & set(tickers))
            bad |= largest is not None and len(names) > largest
            if bad and times is not None:
                with open(times, "a") as file:
                    bad = file.tell() == 0
                    file.write("x")
            if bad and fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif bad:
                raise errors[fault]
            return super().fit(X, y)

    return Faulty()


@pytest.fixture(name="make_faulty")
def _make_faulty():
    return make_faulty


@pytest.fixture(scope="session")
def assert_accounted():
    """A function that demands a forecast or a reason for every ticker."""

    def check(result, tickers):
        assert list(result.expected_returns.index) == list(tickers)
        assert list(result.provenance.index) == list(tickers)
        known = result.expected_returns.notna()
        assert np.isfinite(result.expected_returns[known]).all()
        assert (result.provenance.loc[known, "model"] != "none").all()
        assert (result.provenance.loc[~known, "model"] == "none").all()
        assert (result.provenance.loc[~known, "reason"] != "").all()

    return check


@pytest.fixture(scope="session")
def assert_same():
    """A function that demands the same forecasts of some tickers, bit by bit."""

    def check(result, other, tickers):
        pd.testing.assert_series_equal(
            result.expected_returns[tickers],
            other.expected_returns[tickers],
            check_exact=True,
        )

    return check
