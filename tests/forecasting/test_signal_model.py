"""The small model of signals on which boosted trees build."""

import gc
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from skbatch import BatchXGBoostForecaster
from skbatch._kernels.target import shrinkage_slope
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting._feature_table import Rows
from skbatch.forecasting._row_store import LOWEST, RowStore, Storage
from skbatch.forecasting._signal_model import (
    fit_category_model,
    fit_signal_model,
    signal_names,
)

NAMES = ("f0", "value", "rank_volatility_63", "value_rank")


class WithoutSignalModel(BatchXGBoostForecaster):
    """Trees alone."""

    _signal_model = False


BOTH = BatchXGBoostForecaster, WithoutSignalModel


def make_rows(n_rows=600, horizon=1, step=1, gaps=0.2, effect=0.5, seed=0):
    """Rows of four inputs: a signal and its rank, of which some are missing."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n_rows, 4)).astype(np.float32)
    X[:, 3] = stats.rankdata(X[:, 1]) / n_rows
    X[random.uniform(size=n_rows) < gaps, 1::2] = np.nan
    signal = np.nan_to_num(X[:, 1])
    y = effect * (signal + signal**2 * X[:, 2]) + random.standard_normal(n_rows)
    dates = np.repeat(np.arange(n_rows // 10), 10) * step
    store = RowStore.holding(np.where(np.isnan(X), LOWEST, X))
    series = np.zeros(n_rows, dtype=int)
    return X, Rows(store, y, dates, series, NAMES, None, horizon)


def slow_terms(X):
    """The terms of the docstring, column by column, by pandas."""
    table = pd.DataFrame(X.astype(float), columns=NAMES)
    scores = ((table - table.mean()) / table.std(ddof=0)).clip(-5, 5)
    signals = scores[["value", "value_rank"]]
    rank = scores["rank_volatility_63"].fillna(0.0)
    value = signals[["value"]]
    terms = [signals, value**2, value.mul(rank, axis=0), (value**2).mul(rank, axis=0)]
    terms = pd.concat(terms, axis=1)
    scores = (terms - terms.mean()) / terms.std(ddof=0)
    return scores.fillna(0.0).clip(-5, 5).to_numpy()


def with_signals(frame, signals):
    """Add a signal, its rank and its change to a feature frame."""
    parts = {
        "value": signals,
        "value_rank": signals.rank(axis=1, pct=True),
        "value_change_63": signals.diff(63),
    }
    parts = [t.set_axis([f"{c}__{n}" for c in t], axis=1) for n, t in parts.items()]
    return pd.concat([frame, *parts], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def frames(make_frames):
    """A frame with a signal that lasts, labels it moves, and the signal."""
    X, y = make_frames(500, 20, n_features=6, signal=0.0, seed=4)
    random = np.random.default_rng(1)
    signal = pd.DataFrame(random.standard_normal(y.shape), y.index, y.columns)
    signal = signal.ewm(alpha=0.05).mean().mul(6)
    unit = X[[f"{t}__volatility_63" for t in y]].to_numpy()
    moved = y + 0.15 * signal * unit
    moved.attrs = {}
    return with_signals(X, signal), moved, signal


def test_signals_are_features_beside_their_rank():
    names = ["log_return_5", "rank_log_return_5", "a", "a_rank", "a_change_63"]
    names += ["b", "b_rank", "b_sector_rank", "b_category", "ab", "c_rank"]
    made = ["a_rank", "a_change_63", "b_rank", "b_sector_rank"]
    assert signal_names(names) == (["a", "b"], made)
    assert signal_names(names[:2]) == ([], [])


@pytest.mark.parametrize(("horizon", "step"), [(1, 1), (5, 3)])
def test_it_is_ridge_on_terms_weighted_by_what_the_tail_says(horizon, step):
    X, rows = make_rows(horizon=horizon, step=step)
    tail_X, tail = make_rows(200, horizon, 1, seed=1)
    found = fit_signal_model(rows, tail)
    terms = slow_terms(X)
    ridge = Ridge(alpha=0.03 * len(X), fit_intercept=False).fit(terms, rows.y)
    own = ridge.predict(terms)
    np.testing.assert_allclose(found.model.predict(X), own, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.rows.y, rows.y - own, rtol=1e-6, atol=1e-9)
    # What the coefficients of other blocks of dates would have deserved.
    number, place = np.divmod(rows.dates, -(-(rows.dates[-1] + 1) // 6))
    inside = place < -(-(rows.dates[-1] + 1) // 6) - horizon
    products, squares = [], []
    for block in range(6):
        use = inside & (number != block)
        ridge = Ridge(alpha=0.03 * use.sum(), fit_intercept=False)
        ridge.fit(terms[use], rows.y[use])
        own, y = ((v[inside & (number == block)]) for v in (terms, rows.y))
        own = ridge.predict(own)
        products.append(own @ y)
        squares.append(own @ own)
    slope = sum(products) / sum(squares)
    errors = np.array(products) - slope * np.array(squares)
    variance = 6 / 5 * np.sum(errors**2) / sum(squares) ** 2
    trust = min(slope, 1.0) * (1 - 2 * variance / slope**2)
    assert 0.3 < trust < 1
    forecast = found.model.predict(tail_X)
    trust = shrinkage_slope(tail.y, forecast, tail.dates, horizon, trust, 0.1)
    trust = min(trust, 1.0)
    n_labels = len(X) * step
    weight = trust / (0.1 + 0.2 * n_labels / (n_labels + 20_000))
    assert found.weight == pytest.approx(weight, rel=1e-6)
    np.testing.assert_allclose(found.validation.y, tail.y - trust * forecast)


def test_noise_is_not_trusted():
    expected = 0.1 + 0.2 * 600 / (600 + 20_000)
    noise = [make_rows(effect=0.0, seed=seed)[1] for seed in range(20)]
    trust = [fit_signal_model(rows, None).weight * expected for rows in noise]
    assert np.mean(trust) < 0.35
    assert fit_signal_model(make_rows()[1], None).weight * expected > 0.9


def test_parts_of_inputs_sum_to_the_forecast():
    X, rows = make_rows()
    model = fit_signal_model(rows, None).model
    np.testing.assert_allclose(model.contributions(X).sum(axis=1), model.predict(X))


def test_a_row_of_weight_two_counts_like_two():
    X, rows = make_rows()
    twice = np.repeat(np.arange(len(X)), np.where(rows.dates % 2, 2, 1))
    doubled = Rows(
        RowStore.holding(rows.X.array[twice]),
        *(values[twice] for values in (rows.y, rows.dates, rows.series)),
        NAMES,
    )
    weighted = rows._replace(weight=np.where(rows.dates % 2, 2.0, 1.0))
    expected, found = (fit_signal_model(part, None) for part in (doubled, weighted))
    np.testing.assert_allclose(
        found.model.predict(X), expected.model.predict(X), rtol=1e-6, atol=1e-9
    )


def test_rows_in_a_file_give_the_same_model():
    X, rows = make_rows()
    store = RowStore(*X.shape, Storage(memory_limit=0))
    store.put(0, np.ascontiguousarray(X))
    expected, found = (
        fit_signal_model(part, None).model.predict(X)
        for part in (rows, rows._replace(X=store))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("memory_limit", [0, None])
def test_the_first_inputs_of_rows_can_be_read_alone(memory_limit):
    X, _ = make_rows()
    store = RowStore(*X.shape, Storage(memory_limit))
    space = store.space(0, len(X))
    space[:] = X
    store.put(0, space)
    first = store.first(3)
    # What is read of a file needs the store, though nobody else may hold it.
    del store, space
    gc.collect()
    assert first.shape == (len(X), 3)
    expected = np.where(np.isnan(X), LOWEST, X)[100:200, :3]
    np.testing.assert_array_equal(first[100:200], expected)
    assert (first.array is None) == (memory_limit == 0)


def test_trees_read_the_values_of_signals_but_not_what_is_made_of_them(frames):
    X, y, _ = frames
    model = BatchXGBoostForecaster(horizon=1, n_estimators=3, n_jobs=1).fit(X, y)
    names = [c.removeprefix("T0__") for c in X if c.startswith("T0__")]
    market = [c for c in X if c.startswith("market__")]
    assert names[-3:] == ["value", "value_rank", "value_change_63"]
    assert model.boosters_[0].feature_names == names[:-2] + market
    assert set(model.feature_importances_.index) == {*names, *market}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_signal_with_a_constraint_is_left_to_the_trees(frames, sign):
    X, y, _ = frames
    values = [c for c in X if c.endswith("__value")]
    model = BatchXGBoostForecaster(
        horizon=1,
        n_estimators=30,
        n_jobs=1,
        target=ReturnTarget(market_weight=0.0, scale=None),
        xgb_params={"monotone_constraints": {"value": sign}},
    ).fit(X, y)
    assert "value_rank" in model.boosters_[0].feature_names
    higher = X[-20:].copy()
    higher[values] += np.float32(1.5)
    change = (model.predict(higher) - model.predict(X[-20:])).to_numpy() * sign
    assert change.min() >= 0.0
    assert sign < 0 or change.max() > 0.0


def test_weak_signals_survive_beside_other_inputs(frames):
    X, y, signal = frames
    shares = []
    for make in BOTH:
        target = ReturnTarget(market_weight=0.0)
        model = make(horizon=1, n_jobs=1, target=target)
        forecast = model.fit(X[:400], y[:400]).predict(X[400:])
        shares.append(forecast.corrwith(signal[400:], axis=1).mean())
    assert shares[0] > 0.75
    assert shares[0] > shares[1] + 0.1


@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
def test_without_signals_nothing_changes(make_frames, strategy):
    X, y = make_frames(80, 5)
    found = (
        make(strategy, n_estimators=4, n_jobs=1).fit(X, y).predict(X) for make in BOTH
    )
    pd.testing.assert_frame_equal(*found, check_exact=True)


@pytest.mark.parametrize("strategy", ["vector", "per_ticker"])
def test_models_of_single_tickers_have_none(frames, strategy):
    X, y, _ = frames
    tickers = list(y)[:3]
    X = X[[c for c in X if c.split("__")[0] in tickers]][:120]
    found = (
        make(strategy, horizon=1, n_estimators=3, n_jobs=1)
        .fit(X, y.loc[X.index, tickers])
        .predict(X)
        for make in BOTH
    )
    pd.testing.assert_frame_equal(*found, check_exact=True)


@pytest.mark.parametrize("filled", [np.nan, 1.0])
def test_a_signal_without_values_or_differences_does_no_harm(frames, filled):
    X, y, _ = frames
    X = X.copy()
    X[[c for c in X if "__value" in c]] = np.float32(filled)
    model = BatchXGBoostForecaster(horizon=1, n_estimators=5, n_jobs=1).fit(X, y)
    assert np.isfinite(model.predict(X[-5:]).to_numpy()).all()


def test_fitted_models_pickle_and_know_their_inputs(frames):
    X, y, _ = frames
    model = BatchXGBoostForecaster(horizon=1, n_estimators=20, n_jobs=1).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(copy.predict(X[-9:]), model.predict(X[-9:]))
    shares = model.feature_importances_
    assert shares.sum() == pytest.approx(1.0)
    assert shares[["value", "value_rank", "value_change_63"]].sum() > 0.3
    assert len(model.boosters_[0].get_dump()) == 20


def test_explanations_sum_to_the_forecasts_and_name_the_signal(frames):
    X, y, _ = frames
    model = BatchXGBoostForecaster(horizon=1, n_estimators=20, n_jobs=1).fit(X, y)
    parts = model.explain(X)
    np.testing.assert_allclose(
        parts.sum(axis=1), model.predict(X).iloc[-1], rtol=1e-4, atol=1e-7
    )
    sizes = parts.abs().mean()
    assert sizes[["value", "value_rank", "value_change_63"]].max() > sizes["f5"]


def make_categories(gaps=0.1, seed=0):
    """Rows of an input, and two that are categories, of which one moves labels."""
    random = np.random.default_rng(seed)
    codes = random.integers(1, [5, 3], (600, 2)) * (random.random((600, 2)) > gaps)
    X = np.column_stack([random.standard_normal(600), codes]).astype(np.float32)
    y = np.array([0.0, 2.0, -1.0, 1.0, 0.0])[codes[:, 0]] + random.standard_normal(600)
    dates, series = np.repeat(np.arange(60), 10), np.zeros(600, dtype=int)
    names = ("f0", "sector_category", "country_category")
    store = RowStore.holding(X)
    return X, Rows(store, y, dates, series, names, None, 1, categories=(1, 2))


def test_categories_have_a_ridge_of_their_own():
    X, rows = make_categories()
    found = fit_category_model(rows, None)
    columns = []
    for codes, levels in zip(X.T[1:], (4, 2), strict=True):
        for level in range(1, levels + 1):
            bears = pd.Series(codes == level).where(codes > 0).astype(float)
            score = (bears - bears.mean()) / bears.std(ddof=0)
            columns.append(score.fillna(0.0).clip(-5, 5))
    Z = np.column_stack(columns)
    ridge = Ridge(alpha=1.0 * len(X), fit_intercept=False).fit(Z, rows.y)
    np.testing.assert_allclose(found.model.predict(X), ridge.predict(Z), rtol=1e-6)
    parts = found.model.contributions(X)
    expected = [Z[:, :4] @ ridge.coef_[:4], Z[:, 4:] @ ridge.coef_[4:]]
    np.testing.assert_allclose(parts, np.transpose(expected), rtol=1e-6, atol=1e-12)
    assert found.model.importances()[0] > 5 * found.model.importances()[1]
    assert found.weight > 0.5
    np.testing.assert_allclose(found.rows.y, rows.y - found.model.predict(X))


def test_categories_that_say_nothing_are_not_trusted():
    X, rows = make_categories()
    noise = np.random.default_rng(1).standard_normal(600)
    assert fit_category_model(rows._replace(y=noise), None).weight < 0.1
    missing = RowStore.holding(X * [1, 0, 0])
    assert fit_category_model(rows._replace(X=missing), None) is None
