"""The look-ahead check covers whatever states how sure a forecast is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
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
    return make_panel(160, 3, random_state=0)


class Outlooks(BaseEstimator):
    """Gives scenarios and chances of ranks at the last of its rows."""

    def fit(self, X, y):
        self.features_ = clone(FEATURES)
        X = self.features_.fit_transform(X)
        self.forecaster_ = ConformalForecaster(BatchLinearForecaster()).fit(X, y)
        return self

    def predict(self, X):
        found = [
            method(self.features_.transform(X[:10]), n_samples=50).to_numpy().ravel()
            for method in (
                self.forecaster_.predict_scenarios,
                self.forecaster_.predict_rank_proba,
            )
        ]
        row = pd.DataFrame([np.concatenate(found)], X.index[9:10])
        return row.reindex(X.index)


def test_no_scenario_or_chance_looks_ahead(prices):
    """Fitted on labels that end after the training window."""
    check_no_lookahead(Outlooks(), prices, horizon=HORIZON, delay=1, n_cuts=1)


def test_quantiles_of_a_system_are_checked_with_its_forecasts(prices):
    system = BatchForecastingSystem(
        HORIZON, features=FEATURES, forecaster=BatchLinearForecaster()
    )
    check_no_lookahead(system, prices, horizon=HORIZON, n_cuts=1)


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
