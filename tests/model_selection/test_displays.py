"""Provenance over time, and what models rest on."""

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    forward_returns,
)
from skbatch.forecasting import ReturnTarget
from skbatch.model_selection import (
    FeatureImportanceDisplay,
    ProvenanceDisplay,
    feature_importances,
)

from .conftest import make_extractor, make_model


@pytest.fixture(autouse=True)
def no_window():
    matplotlib.use("agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


# Provenance ---------------------------------------------------------------------------

TABLE = pd.DataFrame(
    [["Trees", "Trees", "none"], ["Trees", "Mean", "Mean"], ["none", "none", "none"]],
    pd.bdate_range("2020-01-01", periods=3),
)


def test_shares_and_rates_by_hand():
    ax = Figure().subplots()
    display = ProvenanceDisplay.from_predictions(TABLE, first_choice=["Trees"], ax=ax)
    assert list(display.shares_) == ["Trees", "Mean", "none"]
    np.testing.assert_allclose(display.shares_["Trees"], [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(display.fallback_rate_, [0, 2 / 3, np.nan])
    assert display.ax_ is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["Trees", "Mean", "no forecast"]


def test_the_first_choice_may_serve_nobody():
    display = ProvenanceDisplay.from_predictions(TABLE, first_choice=["Deep"])
    np.testing.assert_allclose(display.fallback_rate_, [1, 1, np.nan])
    guessed = ProvenanceDisplay.from_predictions(TABLE)
    np.testing.assert_allclose(guessed.fallback_rate_, [0, 2 / 3, np.nan])


def test_provenance_of_a_walk(result):
    display = ProvenanceDisplay.from_result(result)
    expected = (result.provenance == "BatchXGBoostForecaster").mean(axis=1)
    np.testing.assert_allclose(display.shares_["BatchXGBoostForecaster"], expected)


def test_provenance_of_an_estimator(result, prices):
    model = result.estimator
    features = model[:-1].transform(prices.iloc[230:])
    display = ProvenanceDisplay.from_estimator(model[-1], features)
    pd.testing.assert_frame_equal(
        display.provenance, result.provenance.iloc[80:], check_freq=False
    )
    whole = ProvenanceDisplay.from_estimator(model, prices.iloc[230:])
    pd.testing.assert_frame_equal(whole.provenance, display.provenance)
    with pytest.raises(TypeError, match=r"`predict_with_provenance`\. Got LinearR"):
        ProvenanceDisplay.from_estimator(LinearRegression(), prices)


# Importance ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(prices):
    panel = prices.drop(columns="T003")
    return panel, forward_returns(panel, 3)


def fit(model, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*data)


@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
@pytest.mark.parametrize(
    "forecaster",
    [BatchLinearForecaster(), BatchXGBoostForecaster(n_estimators=5, n_jobs=1)],
    ids=["linear", "trees"],
)
def test_importances_are_shares_of_known_families(data, forecaster, strategy):
    forecaster.set_params(strategy=strategy)
    table = feature_importances(fit(make_model(forecaster), data))
    assert table["importance"].sum() == pytest.approx(1)
    assert table["importance"].is_monotonic_decreasing
    assert set(table["family"]) <= {"returns", "volatility", "rank", "market"}
    assert not table.index.str.contains("T00").any()
    assert table.loc["log_return_1", "family"] == "returns"


def test_gains_are_those_of_the_booster(data):
    model = fit(make_model(BatchXGBoostForecaster(n_estimators=5, n_jobs=1)), data)
    [trained] = model[-1].model_.models
    gains = trained.model.booster.get_score(importance_type="total_gain")
    table = feature_importances(model)
    assert table["importance"].max() == pytest.approx(
        max(gains.values()) / sum(gains.values())
    )
    assert (table["importance"] > 0).sum() == len(gains)


def test_a_planted_feature_is_the_most_important(make_linear_frames):
    X, y = make_linear_frames
    for model in (
        BatchLinearForecaster(horizon=1, target=ReturnTarget(scale=None)),
        BatchXGBoostForecaster(
            horizon=1, n_estimators=20, n_jobs=1, target=ReturnTarget(scale=None)
        ),
    ):
        table = feature_importances(model.fit(X, y))
        assert table.index[0] == "momentum_63"
        assert table["family"].to_dict() == {
            "momentum_63": "returns",
            "mine": "your own",
            "market__vix": "market data",
        }


@pytest.fixture
def make_linear_frames():
    random = np.random.default_rng(0)
    names = ["A__momentum_63", "B__momentum_63", "A__mine", "B__mine", "market__vix"]
    X = pd.DataFrame(random.normal(size=(300, 5)), columns=names)
    y = 0.01 * X[names[:2]].set_axis(["A", "B"], axis=1)
    return X, y


def test_models_are_found_inside_others(data):
    linear = BatchLinearForecaster()
    expected = feature_importances(fit(make_model(linear), data))
    inside = fit(make_model(FallbackForecaster(linear, min_labels=20)), data)
    pd.testing.assert_frame_equal(feature_importances(inside), expected)
    search = GridSearchCV(
        make_model(linear),
        {"batchlinearforecaster__target__relative": [True]},
        cv=TimeSeriesSplit(2),
    )
    pd.testing.assert_frame_equal(feature_importances(fit(search, data)), expected)


def test_display_sums_families(data):
    model = fit(make_model(BatchLinearForecaster()), data)
    ax = Figure().subplots()
    display = FeatureImportanceDisplay.from_estimator(model, ax=ax)
    table = feature_importances(model)
    for family, share in display.families_.items():
        assert share == pytest.approx(
            table.loc[table["family"] == family, "importance"].sum()
        )
    widths = [bar.get_width() for bar in display.bars_.patches]
    np.testing.assert_allclose(widths, 100 * display.families_)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == list(display.families_.index)


@pytest.mark.parametrize(
    "estimator",
    [
        HistoricalMeanForecaster(),
        BatchLinearForecaster(),
        make_model(),
        make_extractor(),
    ],
)
def test_other_models_have_none(estimator):
    with pytest.raises(TypeError, match="must end in a fitted forecaster with"):
        feature_importances(estimator)
