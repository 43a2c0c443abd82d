"""Small panels and models for walks through time."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    walk_forward,
)
from skbatch.datasets import make_panel

HORIZON = 3


class PricesOnly(RegressorMixin, BaseEstimator):
    """A forecaster that goes from prices to forecasts and makes its labels itself."""

    def __init__(self, horizon=HORIZON, seen=None):
        self.horizon = horizon
        self.seen = seen

    def fit(self, X, y=None):
        assert y is None
        self.mean_ = forward_returns(X, self.horizon).mean()
        self.last_ = X.index[-1]
        self.provenance_ = pd.DataFrame(
            {"model": "Mean", "reason": "", "batch": "all"}, index=self.mean_.index
        )
        thin = X.columns[X.notna().sum() < 60]
        self.provenance_.loc[thin, ["model", "reason"]] = "none", "too few prices"
        self.mean_[thin] = np.nan
        return self

    def predict(self, X):
        assert X.index[0] > self.last_
        return pd.DataFrame([self.mean_] * len(X), index=X.index)


def make_extractor(**options):
    return SharedFeatureExtractor(
        ["returns", "volatility", "rank", "market"], [3, 10], **options
    )


def make_model(forecaster=None, **options):
    if forecaster is None:
        forecaster = FallbackForecaster(
            BatchXGBoostForecaster(n_estimators=5, n_jobs=1), min_labels=20
        )
    return make_pipeline(make_extractor(**options), forecaster)


@pytest.fixture(scope="session")
def prices():
    """Prices of 8 tickers, of which one begins late."""
    panel = make_panel(260, 8, signal="linear", strength=0.3, random_state=0)
    panel.iloc[:170, 3] = np.nan
    return panel


@pytest.fixture(scope="session")
def walk(prices):
    """A function that walks with a small model, or another one."""

    def run(estimator=None, panel=prices, **options):
        options = {"horizon": HORIZON, "min_train": 150, "refit_every": 40, **options}
        return walk_forward(
            make_model() if estimator is None else estimator, panel, **options
        )

    return run


@pytest.fixture(scope="session")
def quiet_walk(walk):
    """The same, without the warnings that fallbacks give."""
    import warnings

    def run(*arguments, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return walk(*arguments, **options)

    return run


@pytest.fixture(scope="session")
def result(quiet_walk):
    return quiet_walk()


@pytest.fixture(scope="session")
def linear_model():
    return make_model(BatchLinearForecaster())


@pytest.fixture(scope="session")
def mean_model():
    return make_model(HistoricalMeanForecaster(min_labels=5))
