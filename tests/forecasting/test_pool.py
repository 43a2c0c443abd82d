"""Pooled models trained on rows that come batch by batch."""

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch._kernels import ridge
from skbatch.datasets import make_panel
from skbatch.exceptions import ModelFitError
from skbatch.forecasting import _booster, _tasks, market_return
from skbatch.forecasting._pool import (
    PooledModel,
    StoredPool,
    collect_rows,
    pool_dates,
    pooled_learners,
    train_pool,
)
from skbatch.forecasting._stored import StoredInputs
from skbatch.forecasting._tasks import Rows

TICKERS = list("HBGADCFE")


@pytest.fixture(scope="module")
def tables():
    """Features, labels of two horizons and their market, with holes and late starts."""
    prices = make_panel(420, 8, random_state=0, signal="linear")
    prices = prices.set_axis(TICKERS, axis=1)
    prices.iloc[:90, 2] = np.nan
    prices.iloc[200:207, 5] = np.nan
    X = SharedFeatureExtractor(windows=(5, 21, 63)).fit_transform(prices)
    y = forward_returns(prices, (1, 5))
    volatility = np.full((420, 8), np.nan)
    for window in (63, 21):  # as scale="auto" chooses
        own = X[[f"{ticker}__volatility_{window}" for ticker in TICKERS]].to_numpy()
        volatility = np.where(volatility > 0, volatility, own)
    return X, y, volatility, market_return(y, volatility)


def own_columns(X, tickers):
    names = [c for c in X if c.startswith((*(f"{t}__" for t in tickers), "market__"))]
    return X[names]


def own_labels(y, tickers):
    part = y.loc[:, y.columns.get_level_values(-1).isin(list(tickers))]
    part.attrs.update(y.attrs)
    return part


def trained_by_batches(learner, tables, folder):
    """Train as the system does, three tickers at a time."""
    X, y, volatility, market = tables
    known = {}
    for horizon in (1, 5):
        known[horizon] = np.isfinite(y[horizon].to_numpy()) & (volatility > 0)
        known[horizon] &= np.isfinite(market[horizon].to_numpy())[:, None]
        known[horizon] = known[horizon].any(axis=1)
        known[horizon][-horizon:] = False
    dates = pool_dates(learner, known)
    pool = StoredPool(folder, TICKERS)
    for start in range(0, 8, 3):
        batch = TICKERS[start : start + 3]
        part = own_columns(X, batch), own_labels(y, batch)
        pool.add(batch, collect_rows(learner, *part, dates))
    return train_pool(learner, pool.pool())


LEARNERS = {
    "trees": BatchXGBoostForecaster(n_estimators=15, n_jobs=1),
    "few trees": BatchXGBoostForecaster(
        n_estimators=40, early_stopping_rounds=3, n_jobs=1
    ),
    "no tail": BatchXGBoostForecaster(n_estimators=5, validation_size=0, n_jobs=1),
    "absolute": BatchXGBoostForecaster(n_estimators=5, relative=False, n_jobs=1),
    "ridge": BatchLinearForecaster(),
}


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize("cells", [2**24, 2**14])
def test_batches_train_the_model_of_all_tickers(
    learner, cells, tables, tmp_path, monkeypatch
):
    """The reference is the forecaster fitted on the wide table of all tickers."""
    monkeypatch.setattr(_booster, "MAX_CELLS", cells)
    monkeypatch.setattr(_tasks, "MAX_CELLS", cells)
    monkeypatch.setattr(ridge, "BLOCK_CELLS", cells)
    X, y, _, market = tables
    learner = learner.set_params(market_return=market)
    expected = learner.fit(X, y).predict(X)
    shared = trained_by_batches(learner, tables, tmp_path)
    for batch in (TICKERS[:5], TICKERS[5:]):
        served = learner.set_params(pooled_model=shared)
        forecast = served.fit(own_columns(X, batch), own_labels(y, batch)).predict(
            own_columns(X, batch)
        )
        pd.testing.assert_frame_equal(
            forecast,
            expected[forecast.columns],
            check_exact=isinstance(learner, BatchXGBoostForecaster),
            rtol=1e-9,
        )
        learner.set_params(pooled_model=None)


@settings(max_examples=40, deadline=None)
@given(
    n_dates=st.integers(1, 12),
    owner=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    width=st.integers(1, 3),
    share=st.floats(0.1, 1.0),
    seed=st.integers(0, 2**16),
)
def test_stored_rows_are_read_in_the_order_of_one_table(
    tmp_path_factory, n_dates, owner, width, share, seed
):
    """The reference sorts all rows in memory; any slice of it is read from disk."""
    rng = np.random.default_rng(seed)
    cells = np.argwhere(rng.random((n_dates, len(owner))) < share)
    values = rng.standard_normal((len(cells), width)).astype(np.float32)
    stored = StoredInputs(tmp_path_factory.mktemp("rows") / "rows", len(owner))
    for batch in sorted(set(owner)):
        ranks = np.flatnonzero(np.array(owner) == batch)
        use = np.isin(cells[:, 1], ranks)
        series = np.searchsorted(ranks, cells[use, 1])
        part = np.asfortranarray(values[use])
        stored.append(Rows(part, values[use, 0], cells[use, 0], series), ranks)
    rows = stored.rows()
    np.testing.assert_array_equal(rows.dates, cells[:, 0])
    np.testing.assert_array_equal(rows.y, values[:, 0])
    assert rows.X.shape == values.shape
    first, last = sorted(rng.integers(0, len(cells) + 1, 2))
    np.testing.assert_array_equal(rows.X[first:last], values[first:last])


def test_a_pooled_model_goes_with_pooled_forecasters_of_its_horizons(tables):
    X, y, _, market = tables
    model = PooledModel({1: None}, {1: 1.0})
    learner = BatchLinearForecaster(pooled_model=model, market_return=market)
    with pytest.raises(ValueError, match=r"every horizon.* Got horizons \[1\]"):
        learner.fit(X, y)
    with pytest.raises(ValueError, match="goes with strategy='pooled'"):
        learner.set_params(strategy="per_ticker").fit(X, own_labels(y, "A")[[1]])


def test_learners_are_found_where_they_may_share():
    trees, ridge_ = BatchXGBoostForecaster(), BatchLinearForecaster()
    both = FallbackForecaster(trees, ridge_)
    assert list(pooled_learners(trees)) == [""]
    assert list(pooled_learners(both)) == ["estimator__", "fallback__"]
    calibrated = pooled_learners(ConformalForecaster(both))
    assert list(calibrated) == ["estimator__estimator__", "estimator__fallback__"]
    # Without a second fit, what forecasts must not have seen the calibration tail.
    assert not pooled_learners(ConformalForecaster(both, refit=False))
    alone = FallbackForecaster(BatchLinearForecaster("per_ticker"), ridge_)
    assert list(pooled_learners(alone)) == ["fallback__"]
    assert not pooled_learners(BatchXGBoostForecaster(pooled_model=PooledModel({}, {})))


def test_a_search_does_not_share():
    """Its folds would be judged by a model that has seen their returns."""
    search = GridSearchCV(BatchLinearForecaster(), {"alpha": [0.1, 1.0]})
    assert not pooled_learners(search)
    assert not pooled_learners(ConformalForecaster(search))


def test_who_fits_in_another_way_does_not_share():
    class Fit(BatchXGBoostForecaster):
        def fit(self, X, y):
            return super().fit(X, y)

    class Table(BatchXGBoostForecaster):
        def _fit_table(self, features, labels, layout):
            super()._fit_table(features, labels, layout)

    class Model(BatchXGBoostForecaster):
        def _fit_model(self, rows, validation, step):
            return super()._fit_model(rows, validation, step)

    assert not pooled_learners(Fit())
    assert not pooled_learners(Table())
    assert pooled_learners(Model())


def test_one_date_is_too_few_for_a_pool():
    known = {5: np.arange(40) < 3}
    with pytest.raises(ModelFitError, match=r"horizon 5 must have 2 dates.* Got 1"):
        pool_dates(BatchLinearForecaster(thin=10), known)


def test_a_forecaster_with_a_shared_model_is_shown_in_short(tables, tmp_path):
    learner = BatchLinearForecaster(market_return=tables[-1])
    shared = trained_by_batches(learner, tables, tmp_path)
    assert repr(shared).startswith("PooledModel(shrinkages={1: ")


def test_calibration_is_not_done_with_the_model_that_saw_the_tail(tables, tmp_path):
    """Intervals are as wide as those around a model of these tickers alone."""
    X, y, _, market = tables
    plain = BatchLinearForecaster(market_return=market)
    shared = trained_by_batches(clone(plain), tables, tmp_path)
    batch = TICKERS[:5]
    X, y = own_columns(X, batch), own_labels(y, batch)
    alone, pooled = (
        ConformalForecaster(clone(plain).set_params(pooled_model=model)).fit(X, y)
        for model in (None, shared)
    )
    assert not alone.predict(X).equals(pooled.predict(X))
    one, other = (model.predict_interval(X) for model in (alone, pooled))
    pd.testing.assert_frame_equal(
        one.upper - alone.predict(X), other.upper - pooled.predict(X)
    )


def test_one_shared_model_is_pickled_once(tables, tmp_path):
    X, y, _, market = tables
    learner = BatchXGBoostForecaster(n_estimators=3, n_jobs=1, market_return=market)
    shared = trained_by_batches(learner, tables, tmp_path)
    fitted = [
        BatchXGBoostForecaster(market_return=market, pooled_model=shared).fit(
            own_columns(X, batch), own_labels(y, batch)
        )
        for batch in ("AB", "CD")
    ]
    joblib.dump(fitted, tmp_path / "both")
    loaded = joblib.load(tmp_path / "both")
    models = [f.model_.models[0].model for f in loaded]
    assert models[0] is models[1]
    for before, after, batch in zip(fitted, loaded, ("AB", "CD"), strict=True):
        part = own_columns(X, batch)
        pd.testing.assert_frame_equal(before.predict(part), after.predict(part))
