"""Tables of other libraries give the forecasts of the same prices in pandas."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    SharedFeatureExtractor,
    forward_returns,
    robust_forecast_returns,
    walk_forward,
)
from skbatch.datasets import make_panel

polars = pytest.importorskip("polars")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def prices():
    return make_panel(300, 6, random_state=0)


@pytest.fixture(scope="module")
def table(prices):
    return polars.from_pandas(prices.rename_axis("Date").reset_index())


def extractor():
    return SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])


def system():
    return BatchForecastingSystem(
        5, features=extractor(), forecaster=BatchLinearForecaster()
    )


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_names=False, check_freq=False)


def test_features(prices, table):
    expected = extractor().fit_transform(prices)
    assert_same(extractor().fit_transform(table), expected)
    fitted = extractor().fit(table[:250])
    assert_same(fitted.transform(table[250:]), expected.iloc[250:])
    blocks = list(extractor().fit(table).transform_blocks(table))
    assert_same(pd.concat(blocks), expected)


def test_pipeline(prices, table):
    def forecast(data):
        model = make_pipeline(extractor(), BatchLinearForecaster())
        return model.fit(data, forward_returns(data, 5)).predict(data[-3:])

    assert_same(forecast(table), forecast(prices))


def test_system(prices, table):
    ours, theirs = system().fit(prices[:290]), system().fit(table[:290])
    pd.testing.assert_series_equal(
        theirs.forecast().expected_returns, ours.forecast().expected_returns
    )
    pd.testing.assert_series_equal(
        theirs.forecast(table[290:]).expected_returns,
        ours.forecast(prices[290:]).expected_returns,
    )
    assert_same(theirs.predict(table), ours.predict(prices))
    assert theirs.score(table) == pytest.approx(ours.score(prices))


def test_search(prices, table):
    grid = {"forecaster__alpha": [1.0, 100.0]}
    scores = [
        GridSearchCV(system(), grid, cv=TimeSeriesSplit(2)).fit(data).cv_results_
        for data in (prices, table)
    ]
    expected, found = (result["mean_test_score"] for result in scores)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected)


def test_walk_forward(prices, table):
    def walk(data):
        model = make_pipeline(extractor(), BatchLinearForecaster())
        return walk_forward(
            model, data, horizon=5, min_train=200, benchmarks={}
        ).scorecard

    pd.testing.assert_frame_equal(walk(table), walk(prices))


def test_one_call(prices, table):
    tickers = list(prices)
    expected = robust_forecast_returns(tickers, prices, "linear", horizon=5)
    found = robust_forecast_returns(tickers, table, "linear", horizon=5)
    assert dict(found) == pytest.approx(dict(expected))
