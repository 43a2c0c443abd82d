"""The look-ahead check covers whatever states how sure a forecast is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.testing import LookAheadError, check_no_lookahead

HORIZON = 2
FEATURES = SharedFeatureExtractor(["returns", "volatility"], [3, 5])


@pytest.fixture(scope="module")
def prices():
    return make_panel(160, 4, random_state=0)


def make_system(delay=0):
    return BatchForecastingSystem(
        HORIZON, delay=delay, features=FEATURES, forecaster=BatchLinearForecaster()
    )


class Uncertain(BaseEstimator):
    """Forecasts what a method of a system returns for some dates, row by row."""

    def __init__(self, method, delay=0):
        self.method = method
        self.delay = delay

    def fit(self, X, y=None):
        self.system_ = make_system(self.delay).fit(X)
        self.rows_ = len(X)
        return self

    def predict(self, X):
        # A new row sees all that comes with it; the fitted ones are the last row's.
        stops = range(8, len(X) + 1, 8) if len(X) < self.rows_ else [len(X)]
        rows = {X.index[stop - 1]: self.method(self.system_, X, stop) for stop in stops}
        return pd.DataFrame.from_dict(rows, orient="index").reindex(X.index)


def scenarios(system, X, stop):
    return system.predict_scenarios(X[:stop], 3, random_state=0).to_numpy().ravel()


def rank_chances(system, X, stop):
    found = system.predict_rank_proba(X[:stop], 3, n_samples=50, random_state=0)
    return found.to_numpy().ravel()


def forecast(system, X, stop):
    table = system.forecast(X[:stop]).to_frame()
    return table.select_dtypes("number").to_numpy().ravel()


def intervals(system, X, stop):
    """Of all rows in one call, which is where later ones could be read."""
    lower, upper = system.predict_interval(X)
    return np.r_[lower.iloc[stop - 1], upper.iloc[stop - 1]]


@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("method", [scenarios, rank_chances, forecast, intervals])
def test_no_method_of_a_system_looks_ahead(prices, method, delay):
    model = Uncertain(method, delay)
    check_no_lookahead(model, prices, horizon=HORIZON, delay=delay, n_cuts=1)


@pytest.mark.parametrize("delay", [0, 3])
def test_quantiles_are_checked_with_the_forecasts(prices, delay):
    model = make_pipeline(FEATURES, ConformalForecaster(BatchLinearForecaster()))
    for estimator in (make_system(delay), model):
        check_no_lookahead(estimator, prices, horizon=HORIZON, delay=delay, n_cuts=1)


class Hindsight(BatchForecastingSystem):
    """Adjusts intervals by returns that end after their date."""

    def predict_quantiles(self, X=None, quantiles=(0.05, 0.5, 0.95)):
        found = super().predict_quantiles(X, quantiles)
        after = forward_returns(X, 1).abs().mean(axis=1).fillna(0.0)
        return found.add(after, axis=0)


class Early(ConformalForecaster):
    """Calibrates on labels that end after the training window."""

    def fit(self, X, y):
        super().fit(X, y)
        self.late_ = float(np.nansum(np.abs(y.iloc[-1])))
        return self

    def predict_quantiles(self, X, quantiles):
        return super().predict_quantiles(X, quantiles) * (1 + self.late_)


def test_intervals_that_know_later_returns_are_caught(prices):
    system = Hindsight(HORIZON, features=FEATURES, forecaster=BatchLinearForecaster())
    with pytest.raises(LookAheadError, match=r"0\.05"):
        check_no_lookahead(system, prices, horizon=HORIZON, n_cuts=1)


def test_calibration_on_later_labels_is_caught(prices):
    model = make_pipeline(FEATURES, Early(BatchLinearForecaster()))
    with pytest.raises(LookAheadError, match="training labels that end after"):
        check_no_lookahead(model, prices, horizon=HORIZON, n_cuts=1)
