"""Categories as inputs: their codes have no order, and what is unknown is missing."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster
from skbatch.exceptions import PanelError
from skbatch.forecasting import ReturnTarget

N_CATEGORIES = 6
LEVELS = np.array([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])  # no cut of the codes parts them
TARGET = ReturnTarget(thin=1, market_weight=0.0)
TREES = BatchXGBoostForecaster(n_estimators=8, n_jobs=1, target=TARGET)
MODELS = {
    "trees": TREES,
    "trees that stop early": BatchXGBoostForecaster(
        n_estimators=8, n_jobs=1, target=TARGET, early_stopping_rounds=3
    ),
    "trees per ticker": BatchXGBoostForecaster(
        "per_ticker", n_estimators=3, n_jobs=1, target=TARGET
    ),
    "ridge": BatchLinearForecaster(target=TARGET),
}
each = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def with_codes(X, codes):
    """Set the categories of a frame, `(n_dates, n_tickers)`."""
    names = [name for name in X if name.endswith("__sector_category")]
    values = pd.DataFrame(codes, X.index, names).astype(np.float32)
    return X.drop(columns=names).join(values)[list(X)]


@pytest.fixture(scope="module")
def frames(make_frames):
    """A frame with a category, labels that it moves, and its codes; some miss."""
    X, y = make_frames(240, 12, signal=0.0, seed=2)
    random = np.random.default_rng(3)
    codes = random.integers(0, N_CATEGORIES, y.shape).astype(float)
    unit = X[[f"{t}__volatility_63" for t in y]].to_numpy()
    y = y + unit * LEVELS[codes.astype(int)]
    codes[random.uniform(size=codes.shape) < 0.1] = np.nan
    names = [f"{ticker}__sector_category" for ticker in y]
    codes = pd.DataFrame(codes, X.index, names)
    return pd.concat([X, codes.astype(np.float32)], axis=1), y, codes.to_numpy()


class TreesAlone(BatchXGBoostForecaster):
    """Categories have no linear model of their own."""

    _signal_model = False


def test_one_split_finds_an_effect_without_order(frames):
    X, y, codes = frames
    model = TreesAlone(
        n_estimators=1,
        max_depth=1,
        subsample=1.0,
        colsample_bytree=1.0,
        n_jobs=1,
        target=ReturnTarget(thin=1, label="scaled", market_weight=0.0),
    )
    forecasts = model.fit(X, y).predict(X).to_numpy()
    unit = X[[f"{t}__volatility_63" for t in y]].to_numpy()
    known = np.isfinite(codes)
    values = (forecasts / unit)[known].round(4)
    levels = LEVELS[codes[known].astype(int)]
    assert len(np.unique(values)) == 2
    assert (values > values.mean()).tolist() == (levels > 0).tolist()


@each
@settings(max_examples=3)
@given(order=st.permutations(range(N_CATEGORIES)))
def test_the_order_of_categories_changes_no_forecast(frames, model, order):
    X, y, codes = frames
    expected = model.fit(X, y).predict(X)
    places = np.append(order, np.nan)
    other = with_codes(X, places[np.nan_to_num(codes, nan=-1).astype(int)])
    # Sums over the categories are in another order.
    pd.testing.assert_frame_equal(model.fit(other, y).predict(other), expected)


@each
@pytest.mark.parametrize("code", [2, 40])
def test_a_category_that_no_training_row_has_is_missing(frames, model, code):
    X, y, codes = frames
    codes = codes.copy()
    codes[codes == 2] = np.nan
    late = codes.copy()
    # After the training rows, in the tail.
    late[220:, :3] = code
    model.fit(with_codes(X, late), y)
    without = late.copy()
    without[220:, :3] = np.nan
    expected = model.predict(with_codes(X, without))
    np.testing.assert_array_equal(model.predict(with_codes(X, late)), expected)
    parts = [model.explain(with_codes(X, part)) for part in (late, without)]
    pd.testing.assert_frame_equal(*parts)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_linear_model_has_a_coefficient_for_each_category(frames, gaps):
    X, y, codes = frames
    if not gaps:
        X, codes = with_codes(X, np.nan_to_num(codes)), np.nan_to_num(codes)
    model = BatchLinearForecaster(target=TARGET).fit(X, y)
    columns = OneHotEncoder(sparse_output=False, categories=[range(N_CATEGORIES)])
    single = X.filter(regex="__(f|v)")
    parts = []
    for ticker, own in zip(y, codes.T, strict=True):
        hot = columns.fit_transform(np.nan_to_num(own)[:, None])
        hot[np.isnan(own)] = np.nan
        names = [f"{ticker}__sector_{n}" for n in range(N_CATEGORIES)]
        parts.append(pd.DataFrame(hot, X.index, names).astype(np.float32))
    wide = pd.concat([single, *parts], axis=1)
    other = BatchLinearForecaster(target=TARGET).fit(wide, y)
    pd.testing.assert_frame_equal(model.predict(X), other.predict(wide))
    explained, expected = model.explain(X), other.explain(wide)
    hot = expected.filter(like="sector_")
    np.testing.assert_allclose(explained["sector_category"], hot.sum(axis=1))
    shares, others = model.feature_importances_, other.feature_importances_
    assert shares["sector_category"] == pytest.approx(others[list(hot)].sum())
    assert shares["f0"] == pytest.approx(others["f0"])


@each
def test_forecasts_with_categories_are_sums_of_parts(frames, model):
    X, y, _ = frames
    model.fit(X, y)
    parts, forecasts = model.explain(X), model.predict(X).iloc[-1]
    np.testing.assert_allclose(parts.sum(axis=1), forecasts, rtol=1e-5)
    assert parts["sector_category"].abs().max() > 0
    assert model.feature_importances_["sector_category"] > 0.3


@each
def test_pickles_keep_the_categories(frames, model):
    X, y, _ = frames
    expected = model.fit(X, y).predict(X)
    pd.testing.assert_frame_equal(
        pickle.loads(pickle.dumps(model)).predict(X), expected
    )


@pytest.mark.parametrize("model", [TREES, MODELS["ridge"]])
def test_vectors_leave_categories_out(frames, model):
    X, y, _ = frames
    model = type(model)("vector", target=TARGET).fit(X, y)
    assert not [n for n in model.feature_importances_.index if "category" in n]


def test_constraints_hold_beside_categories_but_not_for_them(frames):
    X, y, _ = frames
    rising = BatchXGBoostForecaster(
        n_estimators=8,
        n_jobs=1,
        target=TARGET,
        xgb_params={"monotone_constraints": {"f0": 1}},
    ).fit(X, y)
    moved = X.copy()
    moved[[f"{ticker}__f0" for ticker in y]] += 1
    assert (rising.predict(moved) >= rising.predict(X)).all(axis=None)
    rising.set_params(xgb_params={"monotone_constraints": {"sector_category": 1}})
    with pytest.raises(ValueError, match="categories have no order"):
        rising.fit(X, y)


@pytest.mark.parametrize("code", [-1.0, 0.5, 1e6])
def test_codes_are_whole_numbers_from_zero_on(frames, code):
    X, y, codes = frames
    codes = codes.copy()
    codes[3, 0] = code
    with pytest.raises(PanelError, match=r"must hold codes of categories: 0, 1"):
        TREES.fit(with_codes(X, codes), y)
