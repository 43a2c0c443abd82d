"""Features read block by block give the forecasts of the whole frame."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.forecasting import ReturnTarget, _feature_table
from skbatch.forecasting._row_store import LOWEST, RowStore, Storage, with_gaps
from skbatch.forecasting.engine import FeatureStream

TREES = {"n_estimators": 5, "n_jobs": 1}
FORECASTERS = {
    "pooled": BatchXGBoostForecaster(**TREES),
    "vector": BatchXGBoostForecaster("vector", **TREES),
    "per_ticker": BatchXGBoostForecaster("per_ticker", **TREES),
    "early": BatchXGBoostForecaster(n_jobs=1, early_stopping_rounds=3),
    "unscaled": BatchXGBoostForecaster(target=ReturnTarget(scale=None), **TREES),
    "ridge": BatchLinearForecaster(),
    "ridge per ticker": BatchLinearForecaster("per_ticker"),
    "regressor": BatchRegressorForecaster(
        DecisionTreeRegressor(max_depth=3, random_state=0)
    ),
    "mean": HistoricalMeanForecaster(),
    "fallback": FallbackForecaster(BatchXGBoostForecaster(**TREES)),
    "conformal": ConformalForecaster(FallbackForecaster(BatchLinearForecaster())),
}


@pytest.fixture(scope="module")
def panel():
    prices = make_panel(260, 5, random_state=0)
    prices.iloc[:220, 1] = np.nan
    prices.iloc[100:130, 2] = np.nan
    features = SharedFeatureExtractor(["returns", "volatility", "market"], [5, 21, 63])
    X = features.fit_transform(prices)
    codes = np.random.default_rng(0).integers(-1, 6, prices.shape).astype(np.float32)
    codes[codes < 0] = np.nan
    # Most draws of bins lack the highest one.
    codes[200, :] = 40
    names = [f"{ticker}__sector_category" for ticker in prices]
    X = pd.concat([X, pd.DataFrame(codes, X.index, names)], axis=1)
    return X, forward_returns(prices, [3, 10])


def stream_of(X, size, storage=None):
    """Read a frame in blocks of some rows, as an extractor computes them."""

    def read(rows, features):
        wanted = X if rows is None else X.iloc[rows]
        if features is not None:
            own = [c for c in X if c.rpartition("__")[2] in features]
            wanted = wanted[own]
        for start in range(0, len(wanted), size):
            # A copy: nobody may count on what is written into a block.
            yield wanted.iloc[start : start + size].copy()

    return FeatureStream(read, X.columns.to_numpy(), X.index, storage)


@pytest.fixture(scope="module")
def of_the_frame(panel):
    """What each forecaster forecasts when it is given the whole frame."""
    X, y = panel
    return cache(lambda name: clone(FORECASTERS[name]).fit(X, y).predict(X))


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, size) for name in FORECASTERS for size in (37, 1000)),
        # Blocks of a row take long, and are put together in one place for all.
        *((name, 1) for name in ("pooled", "ridge", "mean")),
    ],
)
def test_blocks_of_any_size_give_the_forecasts_of_the_frame(
    panel, of_the_frame, name, size
):
    X, y = panel
    model, expected = clone(FORECASTERS[name]), of_the_frame(name)
    actual = model.fit(stream_of(X, size), y).predict(stream_of(X, size))
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_uncertainty_and_provenance_are_those_of_the_frame(panel):
    X, y = panel
    model = FORECASTERS["conformal"]
    whole = model.fit(X, y)
    bounds, scenarios = whole.predict_interval(X), whole.predict_scenarios(X, 20)
    reasons = whole.predict_with_provenance(X)[1].reason
    blocks = stream_of(X, 50)
    model.fit(blocks, y)
    for one, other in zip(model.predict_interval(blocks), bounds, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    pd.testing.assert_frame_equal(
        model.predict_scenarios(blocks, 20), scenarios, check_exact=True
    )
    again = model.predict_with_provenance(blocks)[1]
    pd.testing.assert_frame_equal(again.reason, reasons)
    assert "few_labels" in {r.code for why in again.reasons for r in why}


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
@pytest.mark.parametrize("name", ["pooled", "ridge", "regressor", "fallback", "early"])
@pytest.mark.parametrize("bin_rows", [2**16, 100])
def test_rows_in_a_file_give_the_forecasts_of_rows_in_memory(
    panel, name, bin_rows, monkeypatch
):
    X, y = panel
    monkeypatch.setattr(BatchXGBoostForecaster, "_bin_rows", bin_rows)
    model = clone(FORECASTERS[name])
    expected = model.fit(X, y).predict(X)
    model.fit(stream_of(X, 64, Storage(memory_limit=0)), y)
    # Sums of linear algebra differ in their last bits with the order in memory.
    pd.testing.assert_frame_equal(model.predict(X), expected, rtol=1e-12, atol=0)


def test_rows_are_stacked_once_for_trees_and_ridge(panel, monkeypatch):
    X, y = panel
    made = []

    class Counted(RowStore):
        def __init__(self, *args):
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(_feature_table, "RowStore", Counted)
    model = FallbackForecaster(BatchXGBoostForecaster(**TREES))
    with pytest.warns(match="cannot forecast"):
        model.fit(X, y)
    # Training rows and tail of each of two horizons.
    assert len(made) == 4


@pytest.mark.parametrize("limit", [None, 0])
def test_stored_rows_are_those_that_were_put(limit):
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    values[::7, 1] = np.nan
    storage = Storage(limit)
    store = RowStore(50, 3, storage)
    for start in (0, 20):
        space = store.space(start, start + (20 if start == 0 else 30))
        space[:] = values[start : start + len(space)]
        store.put(start, space)
    np.testing.assert_array_equal(with_gaps(store)[:], values)
    filled = np.where(np.isnan(values), LOWEST, values)
    np.testing.assert_array_equal(store[10:33], filled[10:33])
    assert storage.used == (4 * 150 if limit is None else 0)
    del store, space
    assert storage.used == 0


def test_a_full_disk_is_a_lack_of_memory(monkeypatch):
    class Full:
        def seek(self, place):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(Storage, "file", lambda self: Full())
    store = RowStore(2, 2, Storage(memory_limit=0))
    with pytest.raises(MemoryError, match="No space left on device"):
        store.put(0, np.zeros((2, 2), np.float32))


class Foreign(BaseEstimator):
    """A forecaster of another package, with a parameter of a familiar name."""

    def __init__(self, market_return=3.0):
        self.market_return = market_return

    def fit(self, X, y):
        self.seen_ = X
        self.columns_ = y.columns
        return self

    def predict(self, X):
        return pd.DataFrame(self.market_return, X.index, self.columns_)


def test_forecasters_of_other_packages_get_a_frame(panel):
    X, y = panel
    model = ConformalForecaster(Foreign(), refit=False).fit(stream_of(X, 100), y)
    assert isinstance(model.estimator_.seen_, pd.DataFrame)
    assert (model.predict(X) == 3.0).all(axis=None)
