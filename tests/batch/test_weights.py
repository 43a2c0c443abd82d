"""Weights of dates and tickers in a system, whatever fits it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import BatchWarning, CheckpointError, PanelError

FEATURES = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])


@pytest.fixture(scope="module")
def panel():
    return make_panel(200, 6, random_state=0)


@pytest.fixture(scope="module")
def weights(panel):
    values = np.random.default_rng(0).uniform(0, 3, panel.shape).round()
    return pd.DataFrame(values, panel.index, panel.columns)


def system(forecaster, **changes):
    return BatchForecastingSystem(
        3, features=FEATURES, forecaster=forecaster, **changes
    )


@pytest.mark.parametrize(
    "forecaster",
    [
        BatchLinearForecaster(),
        FallbackForecaster(BatchLinearForecaster(), HistoricalMeanForecaster()),
        ConformalForecaster(HistoricalMeanForecaster()),
    ],
)
def test_a_system_fits_with_weights_as_its_forecaster_does(panel, weights, forecaster):
    labels = forward_returns(panel, 3)
    X = FEATURES.fit_transform(panel)
    for given in (weights, weights.to_numpy(), weights["T001"]):
        expected = forecaster.fit(X, labels, sample_weight=given).predict(X)
        fitted = system(forecaster).fit(panel, sample_weight=given)
        pd.testing.assert_frame_equal(fitted.predict(panel), expected, check_freq=False)
    plain = system(forecaster).fit(panel).predict(panel)
    assert not np.allclose(plain, expected, equal_nan=True)


def test_batches_weight_what_they_know_of_all_tickers(panel, weights):
    model = BatchLinearForecaster("per_ticker")
    whole, split = (
        system(model, max_batch_size=size).fit(panel, sample_weight=weights["T001"])
        for size in (None, 2)
    )
    assert len(split.fitted_.batches) == 3
    pd.testing.assert_frame_equal(split.predict(panel), whole.predict(panel))


def test_weights_follow_tickers_when_some_are_set_aside(panel, weights):
    broken = panel.copy()
    broken.iloc[-20:, 0] = np.nan
    model = BatchLinearForecaster()
    with pytest.warns(BatchWarning):
        found = system(model).fit(broken, sample_weight=weights.to_numpy())
    others = panel.columns[1:]
    expected = system(model).fit(panel[others], sample_weight=weights[others])
    pd.testing.assert_frame_equal(
        found.predict(broken)[others], expected.predict(panel[others])
    )


def test_weights_of_other_shapes_or_of_a_checkpoint_raise(panel, weights, tmp_path):
    model = system(BatchLinearForecaster(), checkpoint_dir=tmp_path)
    with pytest.raises(PanelError, match="same rows"):
        model.fit(panel, sample_weight=np.ones(199))
    with pytest.raises(PanelError, match="T003"):
        model.fit(panel, sample_weight=weights.drop(columns="T003"))
    model.fit(panel, sample_weight=weights)
    model.fit(panel, sample_weight=weights)
    with pytest.raises(CheckpointError, match="sample_weight"):
        model.fit(panel)


def test_score_of_a_system_takes_weights_of_labels(panel, weights):
    fitted = system(BatchLinearForecaster()).fit(panel.iloc[:150])
    late, counts = panel.iloc[150:], weights.iloc[150:]
    pipeline = make_pipeline(FEATURES, BatchLinearForecaster())
    pipeline.fit(panel.iloc[:150], forward_returns(panel.iloc[:150], 3))
    expected = pipeline.score(late, forward_returns(late, 3), sample_weight=counts)
    assert fitted.score(late, sample_weight=counts) == pytest.approx(expected)
