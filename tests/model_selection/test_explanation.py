"""Explanations by family, of pipelines and systems, and their picture."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    forward_returns,
)
from skbatch.model_selection import (
    FeatureImportanceDisplay,
    ForecastExplanation,
    feature_importances,
)

from .conftest import make_extractor, make_model

TREES = BatchXGBoostForecaster(n_estimators=5, n_jobs=1)


@pytest.fixture(scope="module")
def system(prices):
    model = FallbackForecaster(TREES, min_labels=100)
    system = BatchForecastingSystem((1, 3), features=make_extractor(), forecaster=model)
    damaged = prices.copy()
    damaged.iloc[-30:, 6] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return system.fit(damaged)


@pytest.fixture(scope="module")
def explanation(system):
    return system.explain()


def test_a_system_explains_its_forecasts(system, explanation):
    forecasts = system.forecast().expected_returns
    ours = explanation.expected_returns
    assert ours.index.equals(forecasts.index)
    assert ours.isna().equals(forecasts.isna())
    assert forecasts[(1, "T006")] != forecasts[(1, "T006")]
    assert (ours - forecasts).abs().max() <= 1e-6 * forecasts.std()
    assert explanation.horizon == (1, 3)
    assert "14 forecasts" in repr(explanation)
    assert "<table" in explanation._repr_html_()


def test_a_system_explains_new_rows(prices, system):
    new = prices.iloc[[-1]].copy()
    new.index = new.index + pd.offsets.BDay()
    new.iloc[0, 2] *= 1.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explanation, forecasts = system.explain(new), system.forecast(new)
    assert explanation.date == new.index[0]
    error = (explanation.expected_returns - forecasts.expected_returns).abs()
    assert error.max() <= 1e-6 * forecasts.expected_returns.std()


def test_batches_are_explained_together(prices):
    groups = {name: str(number % 2) for number, name in enumerate(prices)}
    system = BatchForecastingSystem(
        3,
        features=make_extractor(),
        forecaster=BatchLinearForecaster(),
        groups=groups,
        max_batch_size=4,
    ).fit(prices)
    assert len(system.forecasters_) == 2
    forecasts = system.forecast().expected_returns
    error = (system.explain().expected_returns - forecasts).abs()
    assert error.max() <= 1e-6 * forecasts.std()


def test_families_are_those_of_the_catalogue(explanation):
    table = explanation.contributions
    families = explanation.by_family()
    assert list(families)[:4] == ["returns", "volatility", "rank", "market"]
    rank = [part for family, part in table if family == "rank"]
    assert rank
    assert all("rank" in part for part in rank)
    expected = sum(table[("rank", part)] for part in rank)
    np.testing.assert_allclose(families["rank"], expected, equal_nan=True)
    np.testing.assert_allclose(
        families.sum(axis=1, skipna=False), table.sum(axis=1, skipna=False)
    )


def test_a_ticker_s_parts_are_sorted_by_size(explanation):
    parts = explanation.of_ticker("T001", 3)
    assert parts["contribution"].sum() == pytest.approx(
        explanation.expected_returns[(3, "T001")]
    )
    own = parts["family"] == parts.index
    assert not own[: (~own).sum()].any()
    assert parts["contribution"][~own].abs().is_monotonic_decreasing
    for label in (("T999", 3), ("T001", 7)):
        with pytest.raises(KeyError, match="`ticker` and `horizon` must be among"):
            explanation.of_ticker(*label)


@pytest.mark.parametrize("n_features", [0, 3])
def test_the_picture_is_a_waterfall_to_the_forecast(explanation, n_features):
    ax = Figure().subplots()
    display = explanation.plot("T000", 3, n_features=n_features, ax=ax)
    bars = display.bars_.patches
    forecast = 100 * explanation.expected_returns[(3, "T000")]
    assert bars[-1].get_width() == pytest.approx(forecast)
    assert bars[-1].get_x() == pytest.approx(0)
    end = 0.0
    for bar in bars[:-1]:
        assert bar.get_x() == pytest.approx(end)
        end += bar.get_width()
    assert end == pytest.approx(forecast)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names[-4:] == [
        "model average",
        "shrinkage",
        "market expectation",
        "forecast",
    ]
    if n_features:
        assert names[3] == "all others"
        assert len(names) == 8
    assert "T000" in ax.get_title(loc="left")


def test_pipelines_and_searches_are_explained(prices):
    prices = prices.drop(columns="T003")
    y = forward_returns(prices, 3)
    model = make_model(ConformalForecaster(BatchLinearForecaster())).fit(prices, y)
    found = ForecastExplanation.from_estimator(model, prices)
    forecasts = model.predict(prices.iloc[[-1]]).iloc[0]
    np.testing.assert_allclose(found.expected_returns, forecasts)
    search = GridSearchCV(
        make_model(BatchLinearForecaster()),
        {"batchlinearforecaster__alpha": [0.1, 1.0]},
        cv=TimeSeriesSplit(2),
    ).fit(prices, y)
    found = ForecastExplanation.from_estimator(search, prices)
    forecasts = search.predict(prices.iloc[[-1]]).iloc[0]
    np.testing.assert_allclose(found.expected_returns, forecasts)
    assert found.date == prices.index[-1]
    with pytest.raises(TypeError, match="`estimator` must have `explain`"):
        ForecastExplanation.from_estimator(LinearRegression(), prices)


def test_a_system_s_explanation_is_found_like_a_pipeline_s(prices, system, explanation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ForecastExplanation.from_estimator(system, None)
    pd.testing.assert_frame_equal(found.contributions, explanation.contributions)


def test_importances_of_a_system_are_those_of_its_forecaster(system):
    table = feature_importances(system)
    [forecaster] = system.forecasters_
    pd.testing.assert_frame_equal(table, feature_importances(forecaster))
    display = FeatureImportanceDisplay.from_estimator(system, ax=Figure().subplots())
    assert display.families_.sum() == pytest.approx(1)


def test_every_signal_is_a_family_of_its_own(prices):
    closes = prices.drop(columns="T003")
    random = np.random.default_rng(0)
    value = pd.DataFrame(random.normal(size=closes.shape), closes.index, closes.columns)
    panel = pd.concat({"close": closes, "yield": value, "mood": -value}, axis=1)
    system = BatchForecastingSystem(
        3, features=make_extractor(), forecaster=BatchLinearForecaster()
    ).fit(panel)
    families = system.explain().by_family()
    assert {"yield", "mood", "returns"} <= set(families)
    assert "your own" not in families
    assert {"yield", "mood"} <= set(feature_importances(system)["family"])
    model = make_model(BatchLinearForecaster()).fit(panel, forward_returns(panel, 3))
    found = ForecastExplanation.from_estimator(model, panel).by_family()
    assert {"yield", "mood"} <= set(found)
