"""A fit that fails leaves a forecaster as it was, or unfitted; never a mixture."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting._base import BaseBatchForecaster


def state_of(estimator):
    return {name: value for name, value in vars(estimator).items() if name[-1] == "_"}


def broken(X, y):
    """Features and labels on which a fit fails, each at another place."""
    turned = X[X.columns[::-1]]
    unknown = y * np.nan
    unknown.attrs = y.attrs
    wrong = turned.copy()
    wrong.iloc[5, 0] = np.inf
    negative = -turned.abs()
    yield turned, unknown
    yield turned, y.add_suffix("x")
    yield turned, y.iloc[1:]
    yield wrong, y
    yield turned.iloc[:2], y.iloc[:2]
    yield negative, y


def test_a_fit_that_fails_leaves_what_was_fitted(make_frames, forecaster):
    X, y = make_frames(horizon=2)
    forecaster.fit(X, y)
    expected, before = forecaster.predict(X), state_of(forecaster)
    n_failed = 0
    for features, labels in broken(X, y):
        other = clone(forecaster)
        try:
            other.fit(features, labels)
        except Exception:
            n_failed += 1
            with pytest.raises(NotFittedError):
                other.predict(X)
            assert not state_of(other)
            with pytest.raises(Exception):  # noqa: B017, PT011
                forecaster.fit(features, labels)
            after = state_of(forecaster)
            assert all(after[name] is before[name] for name in {**after, **before})
            pd.testing.assert_frame_equal(forecaster.predict(X), expected)
    assert n_failed >= 5


class Interrupted(BatchLinearForecaster):
    """Is stopped by the user after it has read the labels."""

    def _fit_table(self, features, labels, layout):
        raise KeyboardInterrupt


@pytest.mark.parametrize("wrap", [lambda m: m, FallbackForecaster, ConformalForecaster])
def test_an_interrupted_fit_is_no_fit(make_frames, wrap):
    X, y = make_frames()
    model = wrap(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not state_of(model)


def test_a_system_whose_fit_fails_is_as_it_was():
    prices = make_panel(300, 4, random_state=0)
    system = BatchForecastingSystem(
        5,
        features=SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21]),
        forecaster=BatchLinearForecaster(),
    ).fit(prices)
    before, expected = state_of(system), system.predict(prices)
    turned = prices[prices.columns[::-1]]
    for change in (
        {"horizon": 400},
        {"features__windows": [1]},
        {"forecaster__target": ReturnTarget(scale="nothing")},
        {"forecaster": Late()},
    ):
        other = clone(system).set_params(**change)
        params = system.get_params(deep=False)
        with pytest.raises((ValueError, RuntimeError)):
            system.set_params(**change).fit(turned)
        system.set_params(**params)
        with pytest.raises((ValueError, RuntimeError)):
            other.fit(turned)
        assert not state_of(other)
        after = state_of(system)
        assert all(after[name] is before[name] for name in {**after, **before})
    pd.testing.assert_frame_equal(system.predict(prices), expected)


class Late(BaseEstimator):
    """Fits, but fails when asked who serves which ticker."""

    def fit(self, X, y):
        self.columns_ = y.columns
        return self

    def predict(self, X):
        raise RuntimeError("the disk is gone")


def test_an_update_that_fails_leaves_the_calibration(make_frames):
    X, y = make_frames(300, horizon=2)
    model = ConformalForecaster(BatchLinearForecaster()).fit(X.iloc[:250], y.iloc[:250])
    before = state_of(model)
    with pytest.raises(PanelError):
        model.update(X.iloc[250:], y.iloc[250:] * np.nan)
    after = state_of(model)
    assert all(after[name] is before[name] for name in {**after, **before})
    assert isinstance(model.estimator, BaseBatchForecaster)
