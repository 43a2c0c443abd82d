"""Calibrated intervals and quantiles: do they hold what they promise?"""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import FallbackWarning, ModelFitError, PanelError
from skbatch.forecasting._calibration import (
    NORMAL_GRID,
    NORMAL_WEIGHTS,
    Calibration,
    score_quantiles,
)
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._label_scale import LabelScale
from skbatch.forecasting._residual_scale import ResidualScale
from skbatch.metrics import interval_coverage

NAN = np.nan
MEAN = HistoricalMeanForecaster()
NO_SCALE = ResidualScale(LabelScale([], (), np.empty(0)), {})


def make_world(n_dates, n_tickers=20, *, draw, truth=1.0, horizon=1, seed=0):
    """Known volatility that clusters, and returns of a known distribution."""
    random = np.random.default_rng(seed)
    calm = np.where(np.arange(n_dates) // 40 % 2, 2.5, 0.7)[:, None]
    volatility = 0.01 * calm * np.exp(random.normal(0, 0.5, (1, n_tickers)))
    names = [f"T{number}" for number in range(n_tickers)]
    dates = pd.bdate_range("2015-01-01", periods=n_dates)
    X = pd.DataFrame(volatility, dates, [f"{n}__volatility_63" for n in names])
    noise = draw(random, (n_dates, n_tickers))
    y = pd.DataFrame(truth * np.sqrt(horizon) * volatility * noise, dates, names)
    y.attrs["horizon"] = horizon
    return X.astype(np.float32), y


def deviations(returns, forecasts):
    """Differences above the forecast, and those of log returns below it."""
    returns, forecasts = np.asarray(returns, float), np.asarray(forecasts, float)
    logs = np.log1p(returns) - np.log1p(forecasts)
    return np.where(returns > forecasts, returns - forecasts, logs)


def normal(random, shape):
    return random.standard_normal(shape)


def fat_tails(random, shape):
    return random.standard_t(3, shape)


@pytest.mark.parametrize("draw", [normal, fat_tails])
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.98])
def test_intervals_cover_what_they_should(draw, coverage):
    X, y = make_world(900, draw=draw)
    model = ConformalForecaster(MEAN, adaptation=0.0).fit(X[:500], y[:500])
    lower, upper = model.predict_interval(X[500:], coverage)
    assert interval_coverage(y[500:], lower, upper) == pytest.approx(coverage, abs=0.02)
    # In calm and in wild times, for calm and for wild tickers alike.
    for rows in (y.index[500:] < y.index[520], X.iloc[500:, 0] > X.iloc[:, 0].median()):
        part = interval_coverage(y[500:][rows], lower[rows], upper[rows])
        assert part == pytest.approx(coverage, abs=0.04)
    for ticker in y:
        part = interval_coverage(y[500:][[ticker]], lower[[ticker]], upper[[ticker]])
        assert part == pytest.approx(coverage, abs=0.08)


def test_without_volatility_features_intervals_do_not_follow_volatility():
    X, y = make_world(900, draw=normal)
    model = ConformalForecaster(MEAN, scale=None, adaptation=0.0)
    lower, upper = model.fit(X[:500], y[:500]).predict_interval(X[500:])
    wild = (X.iloc[500:, 0] > X.iloc[:, 0].median()).to_numpy()
    assert interval_coverage(y[500:][wild], lower[wild], upper[wild]) < 0.85
    assert interval_coverage(y[500:][~wild], lower[~wild], upper[~wild]) > 0.97
    # Yet each ticker has a width of its own.
    width = (upper - lower).iloc[0]
    assert stats.spearmanr(width, y.std())[0] > 0.95


@pytest.mark.parametrize(
    ("draw", "law"), [(normal, stats.norm), (fat_tails, stats.t(3))]
)
def test_quantiles_are_those_of_the_distribution(draw, law):
    X, y = make_world(1200, draw=draw)
    y = y.where(y > 0, np.expm1(y))  # as far below, in logs
    model = ConformalForecaster(MEAN, calibration_size=500, adaptation=0.0).fit(X, y)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    quantiles = model.predict_quantiles(X[-1:], levels)
    scale = X.iloc[-1].to_numpy()
    for level in levels:
        scores = deviations(quantiles[level], model.predict(X[-1:]))[0] / scale
        assert scores == pytest.approx(law.ppf(level), abs=0.12)


def test_no_bound_is_below_a_total_loss():
    X, y = make_world(600, draw=normal, truth=30.0)
    y = y.where(y > 0, np.expm1(y))
    y.iloc[10, 0] = -1.0
    model = ConformalForecaster(MEAN).fit(X, y)
    lower, upper = model.predict_interval(X, 0.999)
    assert lower.min(axis=None) >= -1
    middle = model.predict_quantiles(X, [0.5])[0.5]
    assert (y < middle).mean(axis=None) == pytest.approx(0.5, abs=0.03)
    assert ((upper - middle) > (middle - lower)).all(axis=None)
    assert interval_coverage(y, *model.predict_interval(X, 0.9)) == pytest.approx(
        0.9, abs=0.02
    )


def test_labels_that_are_no_simple_returns_are_taken_as_they_are():
    X, y = make_world(300, draw=normal)
    percent = 100 * y
    model = ConformalForecaster(
        MEAN, calibration_size=100, adaptation=0.0, refit=False
    ).fit(X, percent)
    tail = slice(199, 299)  # the label of row 299 is not known
    forecasts, scale = model.predict(X), X.to_numpy()
    scores = ((percent - forecasts) / scale)[tail].to_numpy().ravel()
    level = 0.5 + 0.4 * (1 + 1 / 100)
    expected = np.quantile(scores, level, method="hazen")
    found = model.predict_quantiles(X, [0.9])[0.9]
    np.testing.assert_allclose(found, forecasts + expected * scale, rtol=1e-4)


def test_volatility_is_the_mean_of_the_windows_known():
    X, y = make_world(300, 5, draw=normal)
    short = X.rename(columns=lambda name: name.replace("63", "21")) * 2
    short["T0__volatility_21"] = NAN
    X = pd.concat([X, short], axis=1)
    model = ConformalForecaster(MEAN).fit(X, y)
    # Without what the regression adds to the mean.
    scale = replace(model.calibration_.scale, regressions={})
    found = scale.matrix(model_features(model, X), model.layout_)
    long = X.iloc[:, :5].to_numpy()
    # The share of 21 in the fourth roots of 63 and 21.
    share = 1 / (1 + 3**0.25)
    np.testing.assert_allclose(found[:, 1:], 2**share * long[:, 1:], rtol=1e-5)
    np.testing.assert_allclose(found[:, 0], long[:, 0], rtol=1e-5)


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_ticker_that_strays_less_has_narrower_intervals(horizon):
    X, y = make_world(1400, draw=normal, horizon=horizon)
    y["T0"] *= 0.3
    known = slice(None, 900)
    model = ConformalForecaster(MEAN, calibration_size=500, adaptation=0.0)
    model.fit(X[known], y[known])
    lower, upper = model.predict_interval(X[900:])
    covered = ((y[900:] >= lower) & (y[900:] <= upper)).mean()
    assert covered["T0"] == pytest.approx(0.9, abs=0.06)
    assert covered[1:].mean() == pytest.approx(0.9, abs=0.01)
    # None of the others is moved.
    scale = model.calibration_.scale.matrix(model_features(model, X), model.layout_)
    unit = np.sqrt(horizon) * X.to_numpy()
    np.testing.assert_allclose(scale[:, 1:], unit[:, 1:], rtol=1e-6)
    assert (scale[:, 0] / unit[:, 0]).max() < 0.5


def test_prices_that_stood_still_narrow_nothing():
    X, y = make_world(900, draw=normal)
    y.iloc[::2, 0] = 0.0
    model = ConformalForecaster(MEAN, calibration_size=500).fit(X, y)
    scale = model.calibration_.scale.matrix(model_features(model, X), model.layout_)
    np.testing.assert_allclose(scale, X, rtol=1e-6)


def model_features(model, X):
    from skbatch.forecasting._feature_table import FeatureTable

    return FeatureTable(X.to_numpy(), model.panel_columns_, X.index)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_few_scores_cover_on_average(coverage):
    # The finite-sample correction: without it, 19 scores cover 5% less than 90%.
    random = np.random.default_rng(0)
    layout = LabelLayout("series", pd.Index(["A"]), 1, ("A",), (1,))
    levels = np.array([0.5 - coverage / 2, 0.5 + coverage / 2])
    held = []
    for _ in range(1000):
        scores = random.standard_normal((19, 1)).astype(np.float32)
        calibration = Calibration(scores, layout, NO_SCALE, 0.0)
        low, high = score_quantiles([calibration], levels, layout)[:, 0, 0]
        held.append(stats.norm.cdf(high) - stats.norm.cdf(low))
    assert np.mean(held) == pytest.approx(coverage, abs=0.012)


def test_adaptation_follows_a_spread_that_drifts():
    # Returns spread from 1 to 2 volatilities over time, and stay there.
    growth = np.clip(np.linspace(-1, 1.8, 1000), 0, 1)[:, None] + 1
    X, y = make_world(1000, draw=normal, truth=growth)
    found = {}
    for step in (0.0, 0.02):
        model = ConformalForecaster(MEAN, adaptation=step).fit(X[:750], y[:750])
        found[step] = interval_coverage(y[750:], *model.predict_interval(X[750:]))
    assert found[0.0] < 0.85
    assert found[0.02] > found[0.0] + 0.04


def test_updates_follow_without_a_fit():
    growth = np.where(np.arange(1000) < 600, 1.0, 1.7)[:, None]
    X, y = make_world(1000, draw=normal, truth=growth)
    model = ConformalForecaster(MEAN).fit(X[:600], y[:600])
    before = interval_coverage(y[850:], *model.predict_interval(X[850:]))
    later = slice(X.index.get_loc(model.calibration_.index[-1]) + 1, 850)
    forecasts, size = model.predict(X), len(model.calibration_.scores)
    assert model.update(X[later], y[later]) is model
    after = interval_coverage(y[850:], *model.predict_interval(X[850:]))
    assert before < 0.75
    assert after > 0.83
    pd.testing.assert_frame_equal(model.predict(X), forecasts)
    assert len(model.calibration_.index) == len(model.calibration_.scores) == size
    assert model.calibration_.index[-1] == X.index[848]
    with pytest.raises(PanelError, match=r"X must begin after the calibration tail"):
        model.update(X[800:], y[800:])
    with pytest.raises(PanelError, match=r"y must have the columns seen in fit"):
        model.update(X[850:], y[850:].iloc[:, 1:])


@settings(max_examples=40)
@given(
    levels=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=6),
    seed=st.integers(0, 20),
)
def test_quantiles_never_cross(levels, seed):
    random = np.random.default_rng(seed)
    X = random.standard_normal((40, 2))
    y = random.standard_t(2, (40, 3)) * 0.01
    model = ConformalForecaster(HistoricalMeanForecaster(1, min_labels=2)).fit(X, y)
    table = model.predict_quantiles(X[-2:], sorted(levels))
    assert table.shape == (len(levels), 2, 3)
    assert (np.diff(table, axis=0) >= 0).all()


# Time ---------------------------------------------------------------------------------


@pytest.mark.parametrize("refit", [True, False])
def test_the_checked_forecaster_knows_nothing_of_the_tail(make_frames, refit):
    X, y = make_frames(200, horizon=5)
    model = ConformalForecaster(
        BatchLinearForecaster(), calibration_size=60, refit=refit
    )
    model.fit(X, y)
    # Known up to row 194: the tail is 135 … 194, and the first forecaster sees the
    # labels of rows 0 … 129, which end by row 134.
    assert model.calibration_.index.equals(X.index[135:195])
    first = BatchLinearForecaster().fit(X[:135], y[:135])
    residuals = deviations(y, first.predict(X))[135:195]
    scale = X[[f"{ticker}__volatility_63" for ticker in y]][135:195].to_numpy()
    expected = residuals / scale / np.sqrt(5)
    np.testing.assert_allclose(model.calibration_.scores, expected, rtol=1e-3)
    whole = BatchLinearForecaster().fit(X, y) if refit else first
    pd.testing.assert_frame_equal(model.predict(X), whole.predict(X))


class Greedy(RegressorMixin, BaseEstimator):
    """Learns from every label it is given, as a forecaster of someone else may."""

    def fit(self, X, y):
        self.labels_ = y.copy()
        return self

    def predict(self, X):
        return pd.DataFrame(0.0, X.index, self.labels_.columns)


@pytest.mark.parametrize("refit", [True, False])
def test_a_greedy_forecaster_is_given_no_later_label(
    make_frames, stack_horizons, refit
):
    X, y = make_frames(100)
    both = stack_horizons({2: y, 6: y})
    model = ConformalForecaster(Greedy(), calibration_size=30, refit=refit)
    seen = model.fit(X, both).estimator_.labels_
    # Labels are known up to row 97; the tail begins at row 68.
    assert len(seen) == (100 if refit else 68)
    for horizon in (2, 6):
        known = seen[horizon].notna().all(axis=1)
        assert known.tolist() == [True] * (len(seen) - horizon) + [False] * horizon


def outputs(model, X):
    lower, upper = model.predict_interval(X)
    tables = [lower, upper, model.predict_quantiles(X, [0.1, 0.6])]
    return [
        *tables,
        model.predict_scenarios(X, 50),
        model.predict_rank_proba(X, 3, n_samples=50),
    ]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("kind", [9.0, NAN])
def test_labels_that_are_not_known_change_nothing(make_frames, kind):
    X, y = make_frames(150, horizon=7, market=True)
    model = ConformalForecaster(BatchLinearForecaster())
    expected = outputs(clone(model).fit(X, y), X)
    garbage = y.copy()
    garbage.iloc[-7:] = kind
    assert_same(outputs(clone(model).fit(X, garbage), X), expected)
    garbage.iloc[-8] = kind
    changed = outputs(clone(model).fit(X, garbage), X)
    assert not any(a.equals(b) for a, b in zip(changed, expected, strict=True))


def test_later_prices_change_nothing():
    prices = make_panel(260, 6, late_listings=1, random_state=0)
    garbled = prices.copy()
    noise = np.random.default_rng(1).lognormal(0, 1, (60, 6))
    garbled.iloc[200:] *= noise
    found = []
    for table in (prices, garbled):
        features = SharedFeatureExtractor(windows=(5, 21)).fit(table[:180])
        # Labels of the last rows of the window end after it, as in cross-validation.
        y = forward_returns(table, 5)[:180]
        model = ConformalForecaster(BatchLinearForecaster())
        model.fit(features.transform(table[:180]), y)
        later = features.transform(table[180:])[: 200 - 180]
        model.update(later, forward_returns(table[:200], 5)[180:])
        found.append(outputs(model, later))
    assert_same(*found)


def test_every_row_is_judged_by_its_own_features(make_frames):
    X, y = make_frames()
    model = ConformalForecaster(BatchLinearForecaster()).fit(X, y)
    together = model.predict_interval(X)
    for row in (0, 100):
        alone = model.predict_interval(X.iloc[[row]])
        for one, other in zip(alone, together, strict=True):
            pd.testing.assert_frame_equal(one, other.iloc[[row]], rtol=1e-5)
    other = X.copy()
    other.iloc[:-1] = 7.0
    assert_same([model.predict_scenarios(other, 20)], [model.predict_scenarios(X, 20)])


# Tables -------------------------------------------------------------------------------


def test_containers_of_the_labels_come_back(make_frames):
    X, y = make_frames(n_tickers=3)
    model = ConformalForecaster(BatchLinearForecaster())
    interval = model.fit(X, y).predict_interval(X[-2:])
    assert interval.lower.columns.equals(y.columns)
    assert interval.upper.index.equals(X.index[-2:])
    quantiles = model.predict_quantiles(X[-2:], 0.3)
    assert quantiles.columns.names == ["quantile", None]
    pd.testing.assert_frame_equal(
        quantiles[0.3], model.predict_quantiles(X[-2:], [0.3, 0.7])[0.3]
    )
    one = model.fit(X, y["T1"]).predict_interval(X[-2:])
    assert isinstance(one.lower, pd.Series)
    assert model.predict_quantiles(X[-2:], [0.1, 0.2]).shape == (2, 2)
    assert model.predict_scenarios(X, 4).shape == (4, 1)
    plain = ConformalForecaster(BatchLinearForecaster(horizon=1))
    plain.fit(X.to_numpy(), y.to_numpy())
    assert plain.predict_interval(X.to_numpy()[-2:]).lower.shape == (2, 3)
    assert plain.predict_quantiles(X.to_numpy(), [0.1, 0.9]).shape == (2, 200, 3)
    vector = plain.fit(X.to_numpy(), y["T0"].to_numpy())
    assert vector.predict_interval(X.to_numpy()).lower.shape == (200,)
    assert vector.predict_scenarios(X.to_numpy(), 4).shape == (4, 1)
    assert list(vector.predict_rank_proba(X.to_numpy()).index) == ["y0"]


def test_horizons_are_calibrated_apart(make_frames, stack_horizons):
    X, y = make_frames(300)
    both = stack_horizons({1: y, 4: 3 * y})
    model = ConformalForecaster(MEAN).fit(X, both)
    lower, upper = model.predict_interval(X[-1:])
    ratio = (upper - lower)[4] / (upper - lower)[1]
    # Three times as wide, and a bit: fewer of the labels do not overlap.
    assert ratio.to_numpy() == pytest.approx(3, abs=0.4)
    assert model.predict_quantiles(X[-1:], [0.1]).columns.nlevels == 3
    chances = model.predict_rank_proba(X, 2)
    assert chances.index.equals(both.columns)
    np.testing.assert_allclose(chances.groupby(level=0).sum(), 2)


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_a_missing_ticker_stays_missing(make_frames):
    X, y = make_frames(300, n_tickers=5)
    y["T1"] = NAN
    own = [name for name in X if name.startswith("T3__")]
    gone = X.copy()
    gone.loc[gone.index[-1:], own] = NAN
    for inner in (MEAN, FallbackForecaster(BatchLinearForecaster())):
        model = ConformalForecaster(inner).fit(X, y)
        last = gone[-1:]
        lost = model.predict(last).isna().iloc[0]
        assert lost["T3"]
        assert lost["T1"] == (inner is MEAN)
        lower, upper = model.predict_interval(last)
        tables = [lower, upper, model.predict_quantiles(last, [0.5])[0.5]]
        tables += [
            model.predict_scenarios(gone, 20),
            model.predict_rank_proba(gone, 3).T,
        ]
        for table in tables:
            assert (table.isna().all() == lost).all()
            assert table.loc[:, ~lost].notna().all(axis=None)
        chances = model.predict_rank_proba(gone, 3)
        np.testing.assert_allclose(chances.sum(), (~lost).sum() / 3)
    # A forecast, but nothing to scale an interval by.
    blind = X[-1:].copy()
    blind["T0__volatility_63"] = NAN
    model = ConformalForecaster(MEAN).fit(X, y)
    assert model.predict(blind)["T0"].notna().all()
    assert model.predict_interval(blind).lower["T0"].isna().all()
    assert model.predict_scenarios(blind, 3)["T0"].isna().all()


# scikit-learn -------------------------------------------------------------------------


def test_both_steps_of_a_pipeline_can_be_used_apart():
    prices = make_panel(300, 5, random_state=0)
    model = make_pipeline(
        SharedFeatureExtractor(windows=(5, 21)),
        ConformalForecaster(BatchXGBoostForecaster(n_estimators=5, n_jobs=1)),
    )
    model.fit(prices[:280], forward_returns(prices[:280], 3))
    new = model[:-1].transform(prices[280:])
    lower, upper = model[-1].predict_interval(new)
    assert (lower < upper).all(axis=None)
    pd.testing.assert_index_equal(lower.index, prices.index[280:])


def test_a_grid_search_tunes_the_forecaster_inside(make_frames):
    X, y = make_frames(200)
    model = ConformalForecaster(BatchLinearForecaster(), random_state=5)
    grid = {"estimator__alpha": [0.1, 1e6]}
    search = GridSearchCV(model, grid, cv=TimeSeriesSplit(2)).fit(X, y)
    assert search.best_params_ == {"estimator__alpha": 0.1}
    assert clone(model).get_params()["random_state"] == 5


def test_a_pickle_says_the_same(make_frames):
    X, y = make_frames()
    inner = BatchXGBoostForecaster(n_estimators=5, n_jobs=1)
    model = ConformalForecaster(inner).fit(X, y)
    assert_same(outputs(pickle.loads(pickle.dumps(model)), X), outputs(model, X))


def test_warnings_come_once(make_frames):
    X, y = make_frames()
    y.iloc[:-20, 1] = NAN
    model = ConformalForecaster(FallbackForecaster(BatchLinearForecaster()))
    with pytest.warns(FallbackWarning, match="T1") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert model.estimator_.provenance_.loc["T1", "reason"] != ""


# Errors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"estimator": 3}, "'estimator' parameter"),
        ({"calibration_size": 0}, "'calibration_size' parameter"),
        ({"calibration_size": 1.5}, "'calibration_size' parameter"),
        ({"adaptation": -0.1}, "'adaptation' parameter"),
        ({"refit": "no"}, "'refit' parameter"),
        ({"random_state": "x"}, "'random_state' parameter"),
        ({"scale": "size"}, r"scale must be 'auto', None or a ticker feature"),
        ({"calibration_size": 198}, r"Got 199 rows .* Pass more rows, or a smaller"),
    ],
)
def test_bad_parameters(make_frames, parameters, match):
    X, y = make_frames()
    model = ConformalForecaster(MEAN).set_params(**parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda m, X: m.predict_interval(X, 90),
            r"`coverage` must be between .* Pass 0.9",
        ),
        (
            lambda m, X: m.predict_interval(X, "high"),
            r"`coverage` must be .* Got 'high'",
        ),
        (lambda m, X: m.predict_interval(X, 1), r"`coverage` must be"),
        (lambda m, X: m.predict_quantiles(X, []), r"quantiles must be levels"),
        (lambda m, X: m.predict_quantiles(X, [0.5, 5]), r"Got \[0.5, 5\]. Pass for"),
        (lambda m, X: m.predict_quantiles(X, "low"), r"Got 'low'. Pass for"),
        (
            lambda m, X: m.predict_scenarios(X, 0),
            r"`n_samples` must be an int .* Pass 1000",
        ),
        (lambda m, X: m.predict_scenarios(X, 2.5), r"`n_samples` must be an int"),
        (lambda m, X: m.predict_scenarios(X, 5, "x"), r"cannot be used to seed"),
        (lambda m, X: m.predict_rank_proba(X, 0), r"`n_bins` must be .* Pass 5"),
        (lambda m, X: m.predict_rank_proba(X, n_samples=0), r"`n_samples` must be"),
        (lambda m, X: m.predict_interval(X.iloc[:, 1:]), r"feature names should match"),
    ],
)
def test_bad_arguments(make_frames, call, match):
    X, y = make_frames()
    model = ConformalForecaster(MEAN).fit(X, y)
    with pytest.raises(ValueError, match=match):
        call(model, X)


def test_a_tail_without_residuals(make_frames):
    X, y = make_frames()
    X.loc[X.index[100:], [f"{ticker}__volatility_63" for ticker in y]] = NAN
    with pytest.raises(PanelError, match=r"must hold finite residuals. Got none in"):
        ConformalForecaster(MEAN, calibration_size=50).fit(X, y)


def test_a_forecaster_that_cannot_be_fitted_says_so(make_frames):
    X, y = make_frames(60)
    y.iloc[:55, :] = NAN
    y.iloc[[0, 1], 0] = 0.01
    with pytest.raises(ModelFitError, match="2 dates"):
        ConformalForecaster(BatchLinearForecaster(), calibration_size=10).fit(X, y)


@pytest.mark.parametrize("bounded", [True, False])
def test_moments_of_returns_are_those_of_the_returns_at_each_score(bounded):
    random = np.random.default_rng(0)
    calibration = Calibration(None, None, None, 0.005, bounded=bounded)
    values = np.sort(random.standard_t(4, len(NORMAL_GRID))) + 0.1
    forecasts = random.normal(0, 0.02, (1, 200))
    forecasts[0, 3] = -1.5
    scale = np.exp(random.normal(-3, 1, (1, 200)))
    scale[0, 5] = np.nan
    returns = calibration.returns(forecasts, np.multiply.outer(values, scale[0]))
    expected = np.average(returns, axis=0, weights=NORMAL_WEIGHTS)
    squares = np.average((returns - expected) ** 2, axis=0, weights=NORMAL_WEIGHTS)
    mean, deviation = calibration._moments(values, forecasts, scale)
    np.testing.assert_allclose(mean, expected, atol=1e-15)
    np.testing.assert_allclose(deviation, np.sqrt(squares))
