"""A guard against regressions of speed that counts work instead of seconds.

How often features are extracted, models trained, inputs quantized and stacked, and
feature frames copied, for what users do. The numbers are the least that each task
takes, unless a comment says what is done twice.
"""

import pickle
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
    walk_forward,
)
from skbatch.datasets import make_panel
from skbatch.feature_extraction import _extractor, cache_info, clear_cache, engine
from skbatch.feature_extraction._context import Universe
from skbatch.feature_extraction._feature_plan import FeaturePlan
from skbatch.feature_extraction._feature_source import FeatureSource
from skbatch.forecasting import ReturnTarget, _base, _feature_table, _label_layout
from skbatch.forecasting._booster import BoosterModel
from skbatch.forecasting._feature_table import FeatureTable
from skbatch.forecasting._row_store import RowStore
from skbatch.panel import _check

NO_TAIL = ReturnTarget(validation_size=0)
GRID = {
    "batchxgboostforecaster__max_depth": [2, 3],
    "batchxgboostforecaster__learning_rate": [0.1, 0.3],
}


@pytest.fixture
def prices():
    clear_cache()
    yield make_panel(300, 6, signal="linear", random_state=0)
    clear_cache()


@pytest.fixture
def count(monkeypatch):
    """A function that counts the work of the block of a `with` statement."""
    work = Counter()

    def watch(owner, name, label):
        original = getattr(owner, name)

        def counted(*args, **kwargs):
            work[label] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    class Matrix(xgb.QuantileDMatrix):
        def __init__(self, *args, **kwargs):
            work["matrices"] += 1
            super().__init__(*args, **kwargs)

    watch(xgb, "train", "boosters")
    watch(FeatureSource, "compute_built_in", "extractions")
    watch(FeatureTable, "gather", "stacks")
    watch(BoosterModel, "predict", "predictions")
    watch(FallbackForecaster, "_reason", "reasons")
    monkeypatch.setattr(xgb, "QuantileDMatrix", Matrix)

    @contextmanager
    def count():
        found = {}
        work.clear()
        yield found
        found.update(work)

    return count


def make_features():
    return SharedFeatureExtractor(["returns", "volatility"], [5, 21])


def make_trees(**options):
    return BatchXGBoostForecaster(n_estimators=5, n_jobs=1, **options)


def make_model(**options):
    return make_pipeline(make_features(), make_trees(**options))


# One pipeline -------------------------------------------------------------------------


def test_a_pipeline_extracts_once_and_trains_one_booster(count, prices):
    y = forward_returns(prices, 5)
    with count() as work:
        model = make_model().fit(prices.iloc[:-1], y.iloc[:-1])
    # Training rows, and those of the tail on which shrinkage is found.
    expected = {"extractions": 1, "boosters": 1, "matrices": 1, "stacks": 2}
    assert work == {**expected, "predictions": 1}
    with count() as work:
        model.predict(prices.iloc[[-1]])
    assert work == {"extractions": 1, "stacks": 1, "predictions": 1}


@pytest.mark.parametrize(
    ("options", "work"),
    [
        ({"target": NO_TAIL}, {"boosters": 1, "matrices": 1, "predictions": 0}),
        ({"early_stopping_rounds": 2}, {"boosters": 1, "matrices": 2, "stacks": 2}),
        ({"strategy": "vector", "target": NO_TAIL}, {"boosters": 1, "matrices": 1}),
        ({"strategy": "per_ticker", "target": NO_TAIL}, {"boosters": 6}),
    ],
)
def test_options_take_only_their_own_work(count, prices, options, work):
    with count() as found:
        make_model(**options).fit(prices, forward_returns(prices, 5))
    assert found["extractions"] == 1
    assert {name: found.get(name, 0) for name in work} == work


def test_a_fallback_that_is_not_needed_trains_no_second_booster(count, prices):
    model = make_pipeline(
        make_features(), FallbackForecaster(make_trees(), BatchLinearForecaster())
    )
    with count() as work:
        model.fit(prices, forward_returns(prices, 5))
    assert (work["extractions"], work["boosters"], work["matrices"]) == (1, 1, 1)
    # Why another model serves a ticker is found where one does.
    assert "reasons" not in work
    with count() as work:
        model.predict(prices.iloc[[-1]])
    assert work == {"extractions": 1, "stacks": 1, "predictions": 1}


# Searches and walks -------------------------------------------------------------------


def test_a_search_extracts_once_for_each_fold(count, prices):
    search = GridSearchCV(make_model(), GRID, cv=TimeSeriesSplit(5), refit=False)
    with count() as work:
        search.fit(prices, forward_returns(prices, 5))
    # Training and test rows of five folds, whatever the number of candidates.
    assert work["extractions"] == cache_info().extractions == 2 * 5
    assert cache_info().hits == 2 * 5 * 3
    # Candidates that differ in their trees share what is quantized of a fold.
    assert (work["boosters"], work["matrices"]) == (4 * 5, 5)


def test_a_search_over_features_extracts_once_for_each_setting_and_fold(count, prices):
    grid = GRID | {"sharedfeatureextractor__windows": [[5], [21], [5, 21]]}
    search = GridSearchCV(make_model(), grid, cv=TimeSeriesSplit(5), refit=False)
    with count() as work:
        search.fit(prices, forward_returns(prices, 5))
    assert work["extractions"] == 3 * 2 * 5
    assert work["boosters"] == 3 * 4 * 5


def test_a_search_of_systems_extracts_once_for_each_fold(count, prices):
    system = BatchForecastingSystem(
        5, features=make_features(), forecaster=make_trees()
    )
    grid = {"forecaster__max_depth": [2, 3], "forecaster__learning_rate": [0.1, 0.3]}
    search = GridSearchCV(system, grid, cv=TimeSeriesSplit(5), refit=False)
    with count() as work:
        search.fit(prices)
    assert work["extractions"] == cache_info().extractions == 2 * 5
    assert (work["boosters"], work["matrices"]) == (4 * 5, 5)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_bin", [16, 32]),
        ("random_state", [0, 1]),
        ("target", [ReturnTarget(label="rank"), ReturnTarget(label="scaled")]),
    ],
)
def test_candidates_that_need_other_matrices_have_their_own(
    count, prices, name, values
):
    grid = {f"batchxgboostforecaster__{name}": values}
    search = GridSearchCV(make_model(), grid, cv=TimeSeriesSplit(3), refit=False)
    with count() as work:
        search.fit(prices, forward_returns(prices, 5))
    assert work["matrices"] == 2 * 3


@pytest.mark.parametrize("options", [{}, {"strategy": "vector"}])
def test_trees_of_a_shared_matrix_are_those_of_their_own(count, prices, options):
    y = forward_returns(prices, 5)

    def forecasts(**more):
        model = make_model(**options, **more).fit(prices.iloc[:-1], y.iloc[:-1])
        return model.predict(prices.iloc[[-1]])

    depths = [2, 5]
    own = []
    for depth in depths:
        clear_cache()
        own.append(forecasts(max_depth=depth))
    clear_cache()
    with count() as work:
        shared = [forecasts(max_depth=depth) for depth in depths]
    assert work["matrices"] == 1
    for one, other in zip(own, shared, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_matrix_is_of_these_inputs_labels_and_weights_alone(count, prices):
    X = make_features().fit_transform(prices.iloc[:-1])
    y = forward_returns(prices, 5).iloc[:-1]
    weights = np.ones(len(X))
    trees = make_trees(target=NO_TAIL)
    trees.fit(X, y, sample_weight=weights)
    with count() as work:
        trees.fit(X, y, sample_weight=weights)
    assert "matrices" not in work
    other_X, other_y, other_weights = X.copy(), y.copy(), weights.copy()
    other_X.iloc[100:110, 0] += 1e-3
    other_y.iloc[100:110, 0] += 0.1
    other_weights[100:110] = 2.0
    for changed in (
        (other_X, y, weights),
        (X, other_y, weights),
        (X, y, other_weights),
    ):
        with count() as work:
            trees.fit(changed[0], changed[1], sample_weight=changed[2])
        assert work["matrices"] == 1


def test_the_last_refit_of_a_search_is_one_fit_more(count, prices):
    search = GridSearchCV(make_model(), GRID, cv=TimeSeriesSplit(5))
    with count() as work:
        search.fit(prices, forward_returns(prices, 5))
    assert (work["extractions"], work["boosters"]) == (2 * 5 + 1, 4 * 5 + 1)


def test_a_walk_extracts_once_and_trains_one_booster_a_refit(count, prices):
    with count() as work:
        walk = walk_forward(
            make_model(), prices, horizon=5, min_train=200, refit_every=25
        )
    assert walk.attrs["shared_features"]
    # The benchmarks of each refit are given the same features.
    assert work["extractions"] == 1
    assert work["boosters"] == work["matrices"] == 4
    assert work["predictions"] == 2 * 4


def test_a_walk_of_a_system_computes_each_feature_once(monkeypatch, prices):
    computed, compute = Counter(), Universe.compute

    def counted(self, wanted):
        computed.update(feature.name for feature in wanted)
        return compute(self, wanted)

    monkeypatch.setattr(Universe, "compute", counted)
    system = BatchForecastingSystem(
        5, features=make_features(), forecaster=BatchLinearForecaster()
    )
    walk_forward(system, prices, horizon=5, min_train=200, refit_every=25)
    assert len(computed) > 2
    assert set(computed.values()) == {1}


# The batch system ---------------------------------------------------------------------


@pytest.mark.parametrize("fallback", [True, False])
def test_a_system_trains_one_booster_and_forecasts_from_new_rows_alone(
    count, prices, fallback
):
    trees = make_trees()
    if fallback:
        trees = FallbackForecaster(trees, BatchLinearForecaster())
    system = BatchForecastingSystem(5, features=make_features(), forecaster=trees)
    with count() as work:
        system.fit(prices.iloc[:-1])
    assert work["boosters"] == work["matrices"] == 1
    assert work["extractions"] == 1
    # Training rows and tail, which trees and ridge share, and the last row.
    assert work["stacks"] == 3
    with count() as work:
        result = system.forecast(prices.iloc[[-1]])
    assert np.isfinite(result.expected_returns).all()
    assert work["extractions"] == 1
    assert work["predictions"] == 1
    assert "boosters" not in work


def test_a_new_day_is_checked_once_and_compares_no_names_of_features(
    monkeypatch, count, prices
):
    system = BatchForecastingSystem(5, features=make_features())
    loaded = pickle.loads(pickle.dumps(system.fit(prices.iloc[:-1])))
    seen = Counter()

    def watch(owner, name):
        original = getattr(owner, name)

        def counted(*args, **kwargs):
            seen[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    watch(_check, "_arrange")
    watch(FeaturePlan, "columns")
    watch(_extractor, "validate_data")
    loaded.forecast(prices.iloc[[-1]])
    # The names of features are made once, and copied; none is compared with another.
    assert seen == {"_arrange": 1, "columns": 2}


@pytest.mark.parametrize("size", [1, 2])
def test_a_pooled_model_is_one_whatever_the_size_of_batches(count, prices, size):
    system = BatchForecastingSystem(
        5, features=make_features(), forecaster=make_trees(), max_batch_size=size
    )
    with count() as work:
        system.fit(prices)
    assert work["boosters"] == work["matrices"] == 1
    assert work["extractions"] == 1


def test_features_of_more_than_a_block_are_extracted_when_they_are_read(
    monkeypatch, count, prices
):
    system = BatchForecastingSystem(
        5, features=make_features(), forecaster=make_trees()
    )
    expected = system.fit(prices).forecast().expected_returns
    monkeypatch.setattr(engine, "BLOCK_BYTES", 1000)
    with count() as work:
        system.fit(prices)
    # The volatilities of all rows, the features of the rows that are trained on, the
    # volatilities and returns of the tail, and the last row, for who serves it.
    assert work["extractions"] == 4
    pd.testing.assert_series_equal(system.forecast().expected_returns, expected)


def test_batches_know_as_much_of_all_tickers_from_features_in_memory(
    monkeypatch, prices
):
    trees = make_trees(strategy="per_ticker")
    system = BatchForecastingSystem(
        5, features=make_features(), forecaster=trees, max_batch_size=2
    )
    expected = system.fit(prices).forecast().expected_returns
    monkeypatch.setattr(engine, "BLOCK_BYTES", 1000)
    found = system.fit(prices).forecast().expected_returns
    pd.testing.assert_series_equal(found, expected)


# Copies -------------------------------------------------------------------------------


def test_the_feature_frame_is_not_copied_on_its_way_into_the_model(monkeypatch, prices):
    seen, check = [], _base.check_features

    def spy_check(*args, **kwargs):
        seen.append(check(*args, **kwargs))
        return seen[-1]

    for module in (_base, _label_layout):  # of predict, and of fit
        monkeypatch.setattr(module, "check_features", spy_check)
    X = make_features().fit_transform(prices)
    make_trees().fit(X, forward_returns(prices, 5)).predict(X)
    assert len(seen) == 2
    for features in seen:
        assert np.shares_memory(features.values, X.to_numpy())


def test_each_input_of_the_model_is_made_once(prices, monkeypatch):
    """XGBoost is given the stacked inputs as they are, float32 in Fortran order."""
    given, stored = [], []
    quantize = xgb.QuantileDMatrix

    class Matrix(quantize):
        def __init__(self, data, *args, **kwargs):
            given.append(data)
            super().__init__(data, *args, **kwargs)

    class Kept(RowStore):
        def __init__(self, *args):
            super().__init__(*args)
            stored.append(self.array)

    monkeypatch.setattr(xgb, "QuantileDMatrix", Matrix)
    monkeypatch.setattr(_feature_table, "RowStore", Kept)
    make_model().fit(prices, forward_returns(prices, 5))
    (data,) = given
    assert any(data is inputs for inputs in stored)
    assert data.dtype == np.float32
    assert data.flags.f_contiguous
