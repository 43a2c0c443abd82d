"""Weights of labels: zero is absence, equal ones are none, integers are repetition."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)
from skbatch._kernels.ridge import moments, part_moments, ridge_path
from skbatch._kernels.target import common_return, shrinkage_slope, shrunken_mean
from skbatch.exceptions import PanelError
from skbatch.forecasting import ReturnTarget

SCALED = ReturnTarget(label="scaled")
pytestmark = pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")


def draw_weights(y, seed=0, zeros=0.2):
    random = np.random.default_rng(seed)
    values = random.uniform(0.2, 3.0, y.shape) * (random.random(y.shape) >= zeros)
    return pd.DataFrame(values, y.index, y.columns)


def test_equal_weights_change_no_bit(make_frames, forecaster):
    X, y = make_frames()
    expected = clone(forecaster).fit(X, y).predict(X)
    for weights in (
        np.full(200, 0.3),
        np.full((200, 4), 7),
        pd.DataFrame(2.0, y.index, y.columns),
    ):
        actual = clone(forecaster).fit(X, y, sample_weight=weights).predict(X)
        pd.testing.assert_frame_equal(actual, expected, check_exact=True)


def test_a_label_of_weight_zero_is_a_missing_one(make_frames, forecaster):
    X, y = make_frames()
    weights = draw_weights(y)
    weights.iloc[60:70] = 0
    there = (weights > 0) * 1.0
    missing = y.where(weights > 0)
    missing.attrs = dict(y.attrs)
    expected = clone(forecaster).fit(X, missing).predict(X)
    actual = clone(forecaster).fit(X, y, sample_weight=there).predict(X)
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)
    # Whatever the label is.
    wild = y.where(weights > 0, 9.0)
    wild.attrs = dict(y.attrs)
    expected = clone(forecaster).fit(X, y, sample_weight=weights).predict(X)
    actual = clone(forecaster).fit(X, wild, sample_weight=weights).predict(X)
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)


def test_weights_matter_and_their_scale_does_not(make_frames, forecaster):
    X, y = make_frames()
    weights = draw_weights(y, zeros=0.0)
    plain, one, other = (
        clone(forecaster).fit(X, y, sample_weight=w).predict(X)
        for w in (None, weights, 4.0 * weights)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not np.allclose(one, plain, rtol=1e-4, equal_nan=True)


def test_weights_go_by_name(make_frames, stack_horizons):
    X, y = make_frames()
    weights = draw_weights(y)
    model = BatchLinearForecaster()
    expected = model.fit(X, y, sample_weight=weights.to_numpy()).predict(X)
    shuffled = weights[["T2", "T0", "T3", "T1"]].assign(other=1.0)
    actual = model.fit(X, y, sample_weight=shuffled).predict(X)
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)
    both = stack_horizons({1: y, 3: y})
    expected = model.fit(
        X, both, sample_weight=pd.concat({1: weights, 3: weights}, axis=1)
    ).predict(X)
    for each in (weights, weights.to_numpy(), shuffled):
        actual = model.fit(X, both, sample_weight=each).predict(X)
        pd.testing.assert_frame_equal(actual, expected, check_exact=True)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.full(200, -1.0), ValueError, "not negative. Got -1"),
        (np.full(200, np.nan), ValueError, "finite and not negative. Got nan"),
        (np.full((200, 4), np.inf), ValueError, "finite"),
        (np.zeros(200), ValueError, "zero"),
        (np.eye(200)[199], PanelError, "must not all be zero"),
        (np.ones(199), PanelError, "same rows"),
        (np.ones((200, 3)), PanelError, "shape .n_dates,. or .n_dates, n_tickers."),
        (np.ones((200, 4, 1)), PanelError, "shape"),
        ("late", PanelError, "same index"),
        ("narrow", PanelError, "column for each ticker of y, once. Got 3 .* T1"),
    ],
)
def test_other_weights_raise(make_frames, forecaster, weights, error, message):
    X, y = make_frames()
    if isinstance(weights, str):
        weights = {
            "late": pd.Series(1.0, y.index.shift(1, freq="D")),
            "narrow": draw_weights(y).drop(columns="T1"),
        }[weights]
    with pytest.raises(error, match=message):
        forecaster.fit(X, y, sample_weight=weights)


# Repetition ---------------------------------------------------------------------------


def repeat_tickers(X, y, times):
    """Put tickers into a panel several times, under other names."""
    columns, labels = {}, {}
    for ticker, n_times in times.items():
        for copy in range(n_times):
            name = f"{ticker}x{copy}"
            labels[name] = y[ticker]
            for column in X.filter(like=f"{ticker}__"):
                columns[column.replace(ticker, name)] = X[column]
    labels = pd.DataFrame(labels)
    labels.attrs = dict(y.attrs)
    return pd.DataFrame(columns), labels


@settings(max_examples=15)
@given(st.lists(st.integers(1, 4), min_size=4, max_size=4), st.booleans())
def test_a_ticker_of_weight_two_is_in_the_panel_twice(make_frames, counts, relative):
    X, y = make_frames(150, horizon=2)
    times = dict(zip(y, counts, strict=True))
    # A ticker's share of the expectation depends on the median volatility of all.
    # The slope that is expected depends on the number of labels.
    target = ReturnTarget(
        relative, label="scaled", market_weight=0.0, validation_size=0
    )
    one = BatchLinearForecaster(target=target)
    other = clone(one)
    one.fit(X, y, sample_weight=np.tile(counts, (150, 1)))
    copies, labels = repeat_tickers(X, y, times)
    other.fit(copies, labels)
    found, expected = (m.model_.transform.expectation[0] for m in (one, other))
    assert found == pytest.approx(expected)
    weighted, repeated = one.predict(X), other.predict(copies)
    for ticker in y:
        np.testing.assert_allclose(weighted[ticker], repeated[f"{ticker}x0"], rtol=1e-6)


@pytest.mark.parametrize("strategy", ["pooled", "vector"])
def test_weighted_ridge_is_scikit_learns(make_frames, strategy):
    X, y = make_frames(80, 3, volatility=False)
    raw = ReturnTarget(False, scale=None, thin=1, validation_size=0, market_weight=0)
    weights = draw_weights(y)
    model = BatchLinearForecaster(strategy, alpha=0.1, target=raw)
    forecasts = model.fit(X, y, sample_weight=weights).predict(X)
    w = weights.to_numpy()[:79]
    labels = y.to_numpy()[:79]
    daily = (w * labels).sum(axis=1) / w.sum(axis=1)
    each = w.sum(axis=1) / (w > 0).sum(axis=1)
    level = each @ daily / each.sum()
    if strategy == "pooled":
        rows = np.concatenate([X.filter(like=f"{t}__").to_numpy()[:79] for t in y])
        targets, of_rows = [(labels - level).T.ravel()], w.T.ravel()
        outputs, of_outputs = targets, [of_rows]
    else:
        rows, outputs = X.to_numpy()[:79], list((labels - level).T)
        of_rows, of_outputs = w.mean(axis=1), list(w.T)
    mean = np.average(rows, axis=0, weights=of_rows)
    deviation = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=of_rows))
    for number, ticker in enumerate(y):
        place = 0 if strategy == "pooled" else number
        own = of_outputs[place]
        ridge = Ridge(0.1 * own.sum(), fit_intercept=False)
        ridge.fit((rows - mean) / deviation, outputs[place], own)
        inputs = X.filter(like=f"{ticker}__") if strategy == "pooled" else X
        expected = ridge.predict((inputs.to_numpy() - mean) / deviation)
        np.testing.assert_allclose(forecasts[ticker], expected, rtol=1e-3, atol=1e-7)


def test_the_weighted_mean_by_hand(make_frames):
    X, y = make_frames(60)
    weights = draw_weights(y)
    model = HistoricalMeanForecaster().fit(X, y, sample_weight=weights)
    for number, ticker in enumerate(y):
        used = weights[ticker].to_numpy()[:59]
        assert model.n_known_[number] == (used > 0).sum()
        expected = np.average(y[ticker][:59], weights=used)
        assert model.mean_[number] == pytest.approx(expected)


def test_dates_of_greater_weight_decide_what_trees_learn(make_frames):
    X, y = make_frames(300, signal=1.0)
    y.iloc[:150] *= -1  # the signal turns
    late, early = (np.r_[np.full(150, a), np.full(150, b)] for a, b in ((1, 9), (9, 1)))
    for strategy in ("pooled", "vector", "per_ticker"):
        model = BatchXGBoostForecaster(strategy, n_estimators=30, n_jobs=1)
        model.set_params(target__validation_size=0)
        for weights, sign in ((late, 1), (early, -1)):
            forecasts = model.fit(X, y, sample_weight=weights).predict(X)
            f0 = X["T0__f0"]
            assert sign * np.corrcoef(forecasts["T0"], f0)[0, 1] > 0.3


# Kernels ------------------------------------------------------------------------------

COUNTS = np.array([1, 3, 2, 1, 4, 2])


def test_weights_of_kernels_are_repetitions():
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((6, 3)), random.standard_normal((6, 2))
    X[0, 1] = np.nan
    more_X, more_Y = (np.repeat(table, COUNTS, axis=0) for table in (X, Y))
    alphas = np.array([0.1, 1.0])
    weights = COUNTS.astype(float)
    for columns in ([0, 1], [0, 1, 2, 0, 1, 2, 0]):  # fewer, and more, than rows
        found = moments([part_moments(X[:, columns], weights)])
        expected = moments([part_moments(more_X[:, columns])])
        np.testing.assert_allclose(found, expected)
        np.testing.assert_allclose(
            ridge_path(X[:, columns], Y, *found, alphas, weights),
            ridge_path(more_X[:, columns], more_Y, *expected, alphas),
            rtol=1e-6,
        )
    np.testing.assert_allclose(
        common_return(X.T, 2, np.tile(weights, (3, 1))), common_return(more_X.T)
    )
    dates = np.array([0, 0, 1, 1, 2, 2])
    np.testing.assert_allclose(
        shrinkage_slope(Y[:, 0], X[:, 0], dates, 1.0, 0.3, 0.5, weights),
        shrinkage_slope(
            more_Y[:, 0], more_X[:, 0], np.repeat(dates, COUNTS), 1.0, 0.3, 0.5
        ),
    )


def test_the_certainty_of_a_weighted_mean():
    values, weights = np.array([0.1, 0.5, np.nan, 0.3]), np.array([1.0, 2.0, 5.0, 1.0])
    mean, certainty = shrunken_mean(values, 3, weights)
    assert mean == pytest.approx(0.35)
    n_effective = 4**2 / (1 + 4 + 1)
    variance = (0.25**2 + 2 * 0.15**2 + 0.05**2) / 4
    t_squared = mean**2 / (3 * variance / (n_effective - 1))
    assert certainty == pytest.approx(t_squared / (1 + t_squared))
    np.testing.assert_allclose(
        shrunken_mean(values, 3, np.full(4, 7.0)), shrunken_mean(values, 3)
    )
    assert shrunken_mean(values, 3, np.array([0.0, 2.0, 1.0, 0.0])) == (0.5, 0.0)


# Who takes them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "regressor",
    [
        HistGradientBoostingRegressor(max_iter=3),
        make_pipeline(SimpleImputer(), Ridge()),
        GridSearchCV(make_pipeline(Ridge()), {"ridge__alpha": [1.0]}, cv=2),
    ],
    ids=["plain", "pipeline", "search"],
)
@pytest.mark.parametrize("routing", [False, True])
def test_regressors_get_the_weights_of_their_rows(make_frames, regressor, routing):
    X, y = make_frames()
    with config_context(enable_metadata_routing=routing):
        model = BatchRegressorForecaster(regressor)
        weighted = model.fit(X, y, sample_weight=draw_weights(y)).predict(X)
        assert not np.allclose(weighted, model.fit(X, y).predict(X))


def test_regressors_without_weights_are_refused(make_frames):
    X, y = make_frames()
    weights = draw_weights(y)
    model = BatchRegressorForecaster(make_pipeline(KNeighborsRegressor()))
    for forecaster in (model, FallbackForecaster(model)):
        with pytest.raises(ValueError, match="`regressor` must take weights in `fit`"):
            forecaster.fit(X, y, sample_weight=weights)


class Unweighted(HistoricalMeanForecaster):
    def _fit_table(self, features, labels, layout):
        super()._fit_table(features, labels, layout)


def test_forecasters_whose_hook_takes_no_weights_are_refused(make_frames):
    X, y = make_frames()
    Unweighted().fit(X, y, sample_weight=np.ones(200))
    with pytest.raises(TypeError, match="_fit_table"):
        Unweighted().fit(X, y, sample_weight=draw_weights(y))


def test_weights_are_routed(make_frames):
    X, y = make_frames()
    weights = draw_weights(y)
    trees = BatchRegressorForecaster(DecisionTreeRegressor(max_depth=2, random_state=0))
    with config_context(enable_metadata_routing=True):
        model = FallbackForecaster(trees, min_labels=5)
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(FunctionTransformer(), model)
        grid = {"fallbackforecaster__estimator__regressor__max_depth": [2]}
        search = GridSearchCV(pipeline, grid, cv=TimeSeriesSplit(2))
        search.fit(X, y, sample_weight=weights)
    best = search.best_estimator_
    expected = clone(model).fit(X, y, sample_weight=weights)
    pd.testing.assert_frame_equal(best.predict(X), expected.predict(X))
    train, test = list(TimeSeriesSplit(2).split(X))[1]
    expected.fit(X.iloc[train], y.iloc[train], sample_weight=weights.iloc[train])
    score = expected.score(X.iloc[test], y.iloc[test], weights.iloc[test])
    assert search.cv_results_["split1_test_score"][0] == pytest.approx(score)


def test_children_get_the_rows_that_they_train_on(make_frames):
    X, y = make_frames(260)
    weights = draw_weights(y)
    model = ConformalForecaster(BatchLinearForecaster(), refit=False)
    model.fit(X, y, sample_weight=weights)
    start = 260 - 1 - len(model.calibration_.scores)
    alone = BatchLinearForecaster().fit(
        X[:start], y[:start], sample_weight=weights[:start]
    )
    pd.testing.assert_frame_equal(model.predict(X), alone.predict(X))


def test_scores_are_weighted(make_frames):
    X, y = make_frames(missing=0.1)
    model = BatchLinearForecaster().fit(X, y)
    forecasts = model.predict(X)
    known = (y.notna() & forecasts.notna()).to_numpy()
    dates = np.linspace(0, 2, 200)
    for weights in (dates, draw_weights(y), draw_weights(y)[["T3", "T1", "T0", "T2"]]):
        each = np.broadcast_to(dates[:, None], y.shape)
        if isinstance(weights, pd.DataFrame):
            each = weights[y.columns].to_numpy()
        expected = r2_score(
            y.to_numpy()[known], forecasts.to_numpy()[known], sample_weight=each[known]
        )
        assert model.score(X, y, weights) == pytest.approx(expected)


# Weights of the target ----------------------------------------------------------------


def target_weights(X, y):
    """What options of the target weight by, and the weights that these are."""
    age = np.arange(len(y) - 1.0, -1.0, -1.0)
    volatility = X.filter(like="volatility_63").to_numpy(dtype=np.float64)
    size = X.filter(like="__size").to_numpy(dtype=np.float64)
    recent = 0.5 ** (age / 40)[:, None]
    return {
        "recent": ({"half_life": 40}, np.tile(recent, y.shape[1])),
        "quiet": ({"weight": "inverse_volatility"}, 1 / volatility),
        "large": ({"weight": "size"}, np.nan_to_num(size)),
        "both": ({"half_life": 40, "weight": "size"}, np.nan_to_num(size) * recent),
    }


@pytest.fixture
def sized(make_frames):
    X, y = make_frames(220)
    random = np.random.default_rng(1)
    names = [f"{ticker}__size" for ticker in y]
    size = pd.DataFrame(random.lognormal(0, 1, y.shape), y.index, names)
    size = size.mask(random.random(y.shape) < 0.1).astype(np.float32)
    return X.join(size), y


@pytest.mark.parametrize("name", ["recent", "quiet", "large", "both"])
def test_weights_of_the_target_are_sample_weights(sized, name):
    X, y = sized
    options, weights = target_weights(X, y)[name]
    given = draw_weights(y)
    for kind in (
        BatchLinearForecaster,
        lambda **k: BatchXGBoostForecaster("vector", n_estimators=3, n_jobs=1, **k),
        lambda **k: BatchRegressorForecaster(DecisionTreeRegressor(max_depth=2), **k),
    ):
        plain, weighted = kind(), kind(target=ReturnTarget(**options))
        expected = plain.fit(X, y, sample_weight=weights).predict(X)
        actual = weighted.fit(X, y).predict(X)
        pd.testing.assert_frame_equal(actual, expected, rtol=1e-6)
        expected = plain.fit(X, y, sample_weight=weights * given).predict(X)
        actual = weighted.fit(X, y, sample_weight=given).predict(X)
        pd.testing.assert_frame_equal(actual, expected, rtol=1e-6)


def test_features_that_cannot_weight_raise(sized):
    X, y = sized
    model = BatchLinearForecaster(target=ReturnTarget(weight="f0"))
    with pytest.raises(PanelError, match="'f0', must be finite and not negative"):
        model.fit(X, y)
    model.set_params(target__weight="capital")
    with pytest.raises(ValueError, match=r"weight must be .inverse_vol.*, None or a "):
        model.fit(X, y)
    nothing = X.assign(**{f"{t}__size": np.nan for t in y})
    with pytest.raises(PanelError, match="must not all be zero"):
        model.set_params(target__weight="size").fit(nothing, y)


def test_old_labels_are_forgotten(make_frames):
    X, y = make_frames(300, signal=1.0)
    y.iloc[:200] *= -1
    model = BatchLinearForecaster(target=ReturnTarget(half_life=20))
    model.set_params(target__validation_size=0)
    forecasts = model.fit(X, y).predict(X)
    assert np.corrcoef(forecasts["T0"], X["T0__f0"])[0, 1] > 0.8
