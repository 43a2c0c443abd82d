"""Models whose tail shows no skill, with `ReturnTarget(min_skill=…)`."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.forecasting import ReturnTarget


@pytest.fixture(scope="module")
def noise_and_signal():
    """Random walks, and the same with one signal that is easily learned."""
    return [
        make_panel(500, 30, signal=signal, strength=0.4, random_state=1)
        for signal in (None, "linear")
    ]


def skilled(forecaster, **options):
    """A pipeline whose model must have a t-statistic of 2 in the tail."""
    target = ReturnTarget(min_skill=2.0, **options)
    return make_pipeline(SharedFeatureExtractor(), forecaster(target=target))


@pytest.mark.parametrize("wrap", [None, FallbackForecaster])
@pytest.mark.parametrize("tail", ["auto", 0])
def test_a_model_without_skill_forecasts_the_market_alone(noise_and_signal, wrap, tail):
    prices = noise_and_signal[0]
    y = forward_returns(prices, 1)
    model = skilled(BatchLinearForecaster, validation_size=tail)
    if wrap is not None:
        model.steps[-1] = ("model", wrap(model[-1]))
    forecasts = model.fit(prices, y).predict(prices.iloc[-5:])
    # The mean over tickers of each date, shrunken by its own t-statistic; winsorizing a
    # few labels moves it by a thousandth.
    market = y.mean(axis=1).dropna()
    t_squared = market.mean() ** 2 / (market.var() / len(market))
    expected = market.mean() * t_squared / (1 + t_squared)
    np.testing.assert_allclose(forecasts, np.full((5, 30), expected), rtol=5e-3)
    X = model[0].transform(prices.iloc[-5:])
    provenance = model[-1].predict_with_provenance(X)[1]
    assert set(provenance.model.to_numpy().ravel()) == {"BatchLinearForecaster"}
    (reason,) = set(provenance.reason.to_numpy().ravel())
    assert reason.startswith("market expectation alone, as the model shows no skill")
    assert "needs 2" in reason
    assert ("unknown" in reason) == (tail == 0)


def test_a_model_with_skill_is_as_it_was(noise_and_signal):
    prices = noise_and_signal[1]
    y = forward_returns(prices, 1)
    model = skilled(BatchLinearForecaster).fit(prices, y)
    usual = skilled(BatchLinearForecaster).set_params(
        batchlinearforecaster__target__min_skill=None
    )
    pd.testing.assert_frame_equal(
        model.predict(prices), usual.fit(prices, y).predict(prices), check_exact=True
    )
    provenance = model[-1].predict_with_provenance(model[0].transform(prices))[1]
    assert set(provenance.reason.iloc[-1]) == {""}


def test_each_horizon_needs_skill_of_its_own(noise_and_signal):
    prices = noise_and_signal[1]
    y = forward_returns(prices, [1, 60])
    forecaster = FallbackForecaster(
        BatchLinearForecaster(target=ReturnTarget(min_skill=3.0))
    )
    model = make_pipeline(SharedFeatureExtractor(), forecaster).fit(prices, y)
    reasons = model[-1].provenance_["reason"]
    assert (reasons.loc[1] == "").all()
    assert reasons.loc[60].str.startswith("market expectation alone").all()


def test_the_system_shows_a_lack_of_skill(noise_and_signal):
    trees = BatchXGBoostForecaster(
        n_estimators=5, n_jobs=1, target=ReturnTarget(min_skill=3.0)
    )
    system = BatchForecastingSystem(forecaster=FallbackForecaster(trees), horizon=1)
    table = system.fit(noise_and_signal[0]).forecast().to_frame()
    assert set(table["model"]) == {"BatchXGBoostForecaster"}
    assert table["reason"].str.contains("shows no skill").all()
    assert table["expected_return"].nunique() == 1
