"""Signals go through the system as prices do: batches, memory, files, new days."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel


@pytest.fixture(scope="module")
def panel():
    prices = make_panel(330, 6, random_state=0)
    rng = np.random.default_rng(1)
    growth = pd.DataFrame(
        rng.standard_normal(prices.shape), prices.index, prices.columns
    )
    growth = growth.where(rng.random(prices.shape) > 0.3)
    growth.loc[growth.index[-7:], "T002"] = np.nan
    growth.loc[growth.index[-8], "T002"] = 0.5
    growth.loc[growth.index[-1], ["T000", "T001", "T003", "T004", "T005"]] = 0.1
    sector = pd.DataFrame(
        np.tile(["tech", "banks", "mines"], (330, 2)), prices.index, prices.columns
    )
    return pd.concat({"Close": prices, "growth": growth, "sector": sector}, axis=1)


def system(**options):
    features = SharedFeatureExtractor(
        ["returns", "volatility"], [5, 21], groups="sector"
    )
    trees = BatchXGBoostForecaster(n_estimators=5)
    return BatchForecastingSystem(
        5, **{"features": features, "forecaster": trees, **options}
    )


def test_the_system_forecasts_as_the_pipeline(panel):
    fitted = system().fit(panel)
    model = make_pipeline(system().features, BatchXGBoostForecaster(n_estimators=5))
    model.fit(panel, forward_returns(panel, horizon=5))
    expected = model.predict(panel).iloc[-1]
    actual = fitted.forecast().expected_returns
    np.testing.assert_allclose(actual, expected[actual.index], rtol=1e-6)


@pytest.mark.parametrize("options", [{"memory_budget": "9GiB"}, {"n_jobs": 2}])
def test_ways_to_run_change_nothing(panel, options):
    expected = system().fit(panel).forecast().expected_returns
    actual = system(**options).fit(panel).forecast().expected_returns
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_batches_of_tickers_take_their_signals(panel):
    linear = BatchLinearForecaster("per_ticker")
    expected = system(forecaster=linear).fit(panel).forecast().expected_returns
    split = system(forecaster=linear, max_batch_size=2).fit(panel).forecast()
    np.testing.assert_allclose(split.expected_returns, expected, rtol=1e-5)


def test_a_new_day_is_forecast_as_with_the_whole_panel(panel, tmp_path):
    fitted = system().fit(panel.iloc[:-3])
    joblib.dump(fitted, tmp_path / "system.joblib")
    expected = fitted.predict(panel).iloc[-1]
    again = joblib.load(tmp_path / "system.joblib")
    actual = again.forecast(panel.iloc[-3:]).expected_returns
    np.testing.assert_array_equal(actual, expected)


def test_a_missing_signal_takes_away_no_forecast_and_is_named(panel):
    result = system().fit(panel).forecast()
    missing = {"T002": "no growth (last known 7 rows ago)"}
    assert result.missing_signals == missing
    assert result.expected_returns.notna().all()
    assert (result.provenance["reason"] == "").all()
    assert result.to_frame().loc["T002", "reason"] == missing["T002"]


@pytest.mark.parametrize(
    "signals", [None, {"growth": ["change_5", "rank"]}, {"growth": ["rank"]}]
)
@pytest.mark.parametrize(
    "model", [BatchLinearForecaster(), FallbackForecaster(BatchLinearForecaster())]
)
def test_a_pipeline_names_missing_signals_in_its_provenance(panel, signals, model):
    extractor = SharedFeatureExtractor(["returns", "volatility"], [5], signals=signals)
    pipeline = make_pipeline(extractor, model).fit(panel, forward_returns(panel, 5))
    X = pipeline[:-1].transform(panel.iloc[-10:])
    forecasts, found = pipeline[-1].predict_with_provenance(X)
    lacking = panel["growth"].isna().iloc[-10:] & forecasts.notna()
    assert lacking["T002"].tolist()[2:] == [False] + [True] * 7
    np.testing.assert_array_equal(found.without["growth"], lacking)
    table = found.at()
    assert table.loc["T002"].tolist() == [table.loc["T001", "model"], "", "growth"]
    assert (table.drop("T002")["missing_signals"] == "").all()
    at_first = found.at(0)["missing_signals"] == "growth"
    np.testing.assert_array_equal(at_first, lacking.iloc[0])


def test_a_search_over_signals(panel):
    search = GridSearchCV(
        system(),
        {"features__signals": [None, [], {"growth": ["rank"]}]},
        cv=TimeSeriesSplit(2),
        error_score="raise",
    )
    scores = search.fit(panel).cv_results_["mean_test_score"]
    assert len(set(scores)) == 3


def test_trees_and_the_linear_model_take_categories(panel):
    y = forward_returns(panel, horizon=5)
    X = SharedFeatureExtractor(["returns", "volatility"], [5, 21]).fit_transform(panel)
    codes = [name for name in X if name.endswith("sector_category")]
    assert len(codes) == 6
    for model in (BatchXGBoostForecaster(n_estimators=5), BatchLinearForecaster()):
        assert "sector_category" in model.fit(X, y).feature_importances_
    # Other regressors would take their numbers for an order.
    model = BatchRegressorForecaster(DecisionTreeRegressor(max_depth=2)).fit(X, y)
    assert "sector_category" not in model.feature_importances_
