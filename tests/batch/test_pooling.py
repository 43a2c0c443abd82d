"""Batches that share one pooled model, whatever memory allows for."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
)
from skbatch.batch import _pooling
from skbatch.batch._checkpoint import Checkpoint
from skbatch.exceptions import BatchWarning, ModelFitError, PanelError
from skbatch.forecasting import _booster, _xgboost


def trees(**params):
    return BatchXGBoostForecaster(n_estimators=8, n_jobs=1, **params)


def both(**params):
    return FallbackForecaster(trees(**params), BatchLinearForecaster(), min_labels=50)


@pytest.fixture
def young(prices):
    """Prices of which one ticker is too young for the first choice."""
    prices = prices.copy()
    prices.iloc[:215, 4] = np.nan
    return prices


@pytest.fixture
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("has_volatility", [True, False])
@pytest.mark.parametrize(
    "forecaster",
    [
        trees(),
        trees(scale=None),
        trees(scale=None, relative=False),
        FallbackForecaster(trees(), BatchLinearForecaster(scale=None), min_labels=50),
        FallbackForecaster(trees(scale=None), BatchLinearForecaster(), min_labels=50),
    ],
    ids=["default", "unscaled", "absolute", "other fallback", "other first choice"],
)
@pytest.mark.usefixtures("quietly")
def test_batches_change_no_forecast_whatever_labels_are_scaled_by(
    make_system, young, forecaster, has_volatility
):
    """Targets begin where the first ticker of any batch has one."""
    system = make_system(forecaster=forecaster)
    if not has_volatility:
        few = SharedFeatureExtractor(["returns", "trend"], [5, 21])
        system.set_params(features=few)
    expected = clone(system).fit(young).predict(young)
    system = system.set_params(max_batch_size=3).fit(young)
    assert len(system.fitted_.batches) == 3
    assert "a model per batch" not in set(system.events_["step"])
    pd.testing.assert_frame_equal(system.predict(young), expected, rtol=1e-9)


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("horizon", [5, (1, 5)])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_batches_change_no_forecast(make_system, young, horizon, n_jobs):
    """Neither of the first choice nor of the fallback."""
    system = make_system(horizon, forecaster=both())
    whole = system.fit(young)
    expected, provenance = whole.predict(young), whole.provenance_
    system = clone(system).set_params(max_batch_size=3, n_jobs=n_jobs).fit(young)
    assert len(system.fitted_.batches) == 3
    served = provenance["model"].groupby(level=-1).first()
    assert served["E"] == "BatchLinearForecaster"
    pd.testing.assert_frame_equal(system.predict(young), expected, rtol=1e-9)
    pd.testing.assert_series_equal(system.provenance_["model"], provenance["model"])


@pytest.mark.parametrize("max_cells", [2**10, 2**22])
def test_batches_change_no_sample_of_rows_by_which_bins_are_cut(
    make_system, prices, monkeypatch, max_cells
):
    """Rows of a file, in one slice and in many, are drawn like those in memory."""
    system = make_system(forecaster=trees(max_bin=8))
    all_rows = clone(system).fit(prices).predict(prices)
    monkeypatch.setattr(BatchXGBoostForecaster, "_bin_rows", 100)
    expected = clone(system).fit(prices).predict(prices)
    assert not np.allclose(expected, all_rows, equal_nan=True)
    monkeypatch.setattr(_booster, "MAX_CELLS", max_cells)
    system = system.set_params(max_batch_size=3).fit(prices)
    assert len(system.fitted_.batches) == 3
    pd.testing.assert_frame_equal(system.predict(prices), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["series", "table", "objects"])
def test_the_market_of_a_user_is_the_same_in_batches(make_system, prices, kind):
    """Dates without the market's return are none of the pool's, either."""
    market = prices["A"].pct_change(5).shift(-5)
    market.iloc[:130] = np.nan
    given = {
        "series": market,
        "table": market.to_frame(5),
        "objects": market.astype(object).to_frame(5),
    }
    system = make_system(forecaster=trees(market_return=given[kind]))
    expected = system.fit(prices).predict(prices)
    system.set_params(max_batch_size=3).fit(prices)
    pd.testing.assert_frame_equal(system.predict(prices), expected, check_exact=True)


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"market_return": pd.DataFrame({1: [0.0]})}, PanelError, "every horizon"),
        ({"market_return": pd.Series([0.0])}, PanelError, "every horizon"),
        ({"thin": 0}, ValueError, "'thin' parameter"),
        ({"validation_size": "x"}, ValueError, "'validation_size' parameter"),
    ],
)
def test_wrong_arguments_are_told_alike_in_batches(
    make_system, prices, size, params, error, match
):
    system = make_system((2, 5), forecaster=trees(**params), max_batch_size=size)
    with pytest.raises(error, match=match):
        system.fit(prices)


def test_one_model_is_trained_for_all_batches(make_system, prices, monkeypatch):
    trained, train = [], _xgboost.xgb.train
    monkeypatch.setattr(
        _xgboost.xgb,
        "train",
        lambda params, matrix, *a, **k: (
            trained.append(matrix.num_row()) or train(params, matrix, *a, **k)
        ),
    )
    make_system(forecaster=trees()).fit(prices)
    make_system(forecaster=trees(), max_batch_size=2).fit(prices)
    assert len(trained) == 2
    assert trained[0] == trained[1]


def test_groups_have_models_of_their_own(make_system, prices):
    """Who names groups wants models of them."""
    pairs = {ticker: number // 4 for number, ticker in enumerate(prices)}
    options = {"groups": pairs, "max_batch_size": 4}
    grouped = make_system(forecaster=trees(), **options).fit(prices)
    models = [m.forecaster.model_.models[0].model for m in grouped.fitted_.members]
    assert models[0] is not models[1]
    together = make_system(forecaster=trees(), max_batch_size=4).fit(prices)
    models = [m.forecaster.model_.models[0].model for m in together.fitted_.members]
    assert models[0] is models[1]


@pytest.mark.parametrize(
    "error", [ModelFitError("planted"), MemoryError("planted"), OSError("disk full")]
)
def test_without_the_shared_model_each_batch_has_its_own(
    make_system, prices, monkeypatch, fit_quietly, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr(_pooling, "train_pool", fail)
    system = fit_quietly(make_system(forecaster=trees(), max_batch_size=4), prices)
    assert list(system.events_["step"]) == ["a model per batch"]
    assert (
        "planted" in system.events_["error"][0] or "disk" in system.events_["error"][0]
    )
    assert system.forecast().expected_returns.notna().all()
    models = [m.forecaster.model_.models[0].model for m in system.fitted_.members]
    assert models[0] is not models[1]


def test_arguments_that_are_wrong_are_raised(make_system, prices):
    system = make_system(forecaster=trees(device="abacus"), max_batch_size=4)
    with pytest.raises(ValueError, match="device must be"):
        system.fit(prices)


def test_a_run_that_goes_on_does_not_train_again(
    make_system, prices, monkeypatch, tmp_path
):
    options = {"max_batch_size": 4, "checkpoint_dir": tmp_path}
    first = make_system(forecaster=trees(), **options).fit(prices)
    for path in tmp_path.glob("batch-0001*"):
        path.unlink()
    monkeypatch.setattr(_xgboost.xgb, "train", None)
    second = make_system(forecaster=trees(), **options).fit(prices)
    pd.testing.assert_frame_equal(second.predict(prices), first.predict(prices))
    assert not list(tmp_path.glob(".skbatch-*"))


def test_a_run_that_goes_on_with_room_is_that_of_a_run_with_room(
    make_system, prices, monkeypatch, tmp_path, fit_quietly
):
    """Batches that had models of their own do not stay beside those that share one."""
    expected = make_system(forecaster=trees(), max_batch_size=4).fit(prices)

    def fail(*_):
        raise OSError("disk full")

    options = {"max_batch_size": 4, "checkpoint_dir": tmp_path}
    with monkeypatch.context() as patch:
        patch.setattr(_pooling, "train_pool", fail)
        fit_quietly(make_system(forecaster=trees(), **options), prices)
    for path in tmp_path.glob("batch-0001*"):
        path.unlink()
    system = make_system(forecaster=trees(), **options).fit(prices)
    pd.testing.assert_frame_equal(
        system.predict(prices), expected.predict(prices), check_exact=True
    )


def test_a_full_disk_is_told_once_for_shared_models_and_batches(
    make_system, prices, monkeypatch, tmp_path
):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Checkpoint, "_save", fail)
    system = make_system(forecaster=trees(), max_batch_size=4, checkpoint_dir=tmp_path)
    with pytest.warns(BatchWarning) as caught:
        system.fit(prices)
    told = [w for w in caught if "must be writable" in str(w.message)]
    assert len(told) == 1
    assert list(system.events_["step"]) == ["no checkpoint"]


def test_rows_that_a_killed_run_has_left_are_removed(make_system, prices, tmp_path):
    options = {"max_batch_size": 4, "checkpoint_dir": tmp_path}
    make_system(forecaster=trees(), **options).fit(prices)
    (tmp_path / ".skbatch-killed").mkdir()
    (tmp_path / ".skbatch-killed" / "train-5.rows").write_bytes(b"rows")
    (tmp_path / ".writing-killed").write_bytes(b"half a batch")
    make_system(forecaster=trees(), **options).fit(prices)
    assert not list(tmp_path.glob(".*"))


def test_rows_reach_the_quantile_matrix_slice_by_slice(
    make_system, prices, monkeypatch
):
    """Nothing as large as the table of all training rows is ever read."""
    largest, read = [], _booster.SliceIterator.next
    monkeypatch.setattr(_booster, "MAX_CELLS", 2**12)

    def noting(self, input_data):
        return read(
            self,
            lambda data, label: (
                largest.append(data.size) or input_data(data=data, label=label)
            ),
        )

    monkeypatch.setattr(_booster.SliceIterator, "next", noting)
    make_system(forecaster=trees(), max_batch_size=2).fit(prices)
    assert len(largest) > 5
    assert max(largest) <= 2**12
