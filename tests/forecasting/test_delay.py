"""Labels that start after a delay: what is learned of them, and what is purged."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone

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
from skbatch.exceptions import PanelError
from skbatch.forecasting import ReturnTarget, _return_target, _training

HORIZON, DELAY = 4, 3
REACH = HORIZON + DELAY


@pytest.fixture(scope="module")
def prices():
    return make_panel(260, 5, random_state=0)


@pytest.fixture(scope="module")
def X(prices):
    return SharedFeatureExtractor(windows=[5, 21, 63]).fit_transform(prices)


@pytest.fixture(scope="module")
def y(prices):
    return forward_returns(prices, HORIZON, DELAY)


def without_record(y):
    """Labels that nobody says how far they look ahead."""
    return pd.DataFrame(y.to_numpy(), y.index, y.columns)


def test_the_layout_tells_horizon_from_delay(forecaster, X, y):
    layout = clone(forecaster).fit(X, y).layout_
    assert set(layout.horizons) == {HORIZON}
    assert (layout.delay, set(layout.reaches)) == (DELAY, {REACH})


def test_labels_that_end_later_change_nothing(forecaster, X, y):
    """In a fold, whose last labels are known to whoever made them."""
    fold = slice(0, 200)
    garbled = y.iloc[fold].copy()
    garbled.iloc[-REACH:] = 0.5
    first, second = (
        clone(forecaster).fit(X.iloc[fold], labels).predict(X)
        for labels in (y.iloc[fold], garbled)
    )
    # NumPy may add the same labels in another order, which moves the last bit.
    pd.testing.assert_frame_equal(first, second, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["mean", "linear"])
def test_a_delay_by_hand(name, X, y):
    """Only what is dropped differs from labels without a delay that are given late."""
    model = {"mean": HistoricalMeanForecaster, "linear": BatchLinearForecaster}[name]()
    if name == "linear":
        # Without a tail, whose place a delay moves.
        model.set_params(target=ReturnTarget(validation_size=0))
    late = without_record(y)
    late.attrs["horizon"] = HORIZON  # the labels of the last rows are missing anyway
    expected = clone(model).fit(X, late).predict(X)
    pd.testing.assert_frame_equal(clone(model).fit(X, y).predict(X), expected)


def test_no_date_before_the_tail_reaches_into_it(monkeypatch, X, y):
    seen = []

    def spy(self, known, horizon, delay=0):
        found = split(self, known, horizon, delay)
        seen.append((horizon, found))
        return found

    split = ReturnTarget.split
    monkeypatch.setattr(_training.ReturnTarget, "split", spy)
    model = BatchXGBoostForecaster(n_estimators=3, n_jobs=1, early_stopping_rounds=1)
    model.fit(X, y)
    ((horizon, (train, tail)),) = seen
    # Thinning goes by the rows that returns span, which is where they overlap.
    assert horizon == HORIZON
    assert set(np.diff(train)) == {HORIZON // 2}
    assert 0 <= tail[0] - (train[-1] + REACH) < HORIZON // 2
    assert tail[-1] == len(X) - 1 - REACH


@pytest.mark.parametrize(
    ("n_dates", "n_tickers", "horizon", "step"),
    [(1000, 500, 5, 5), (1000, 499, 5, 3), (2000, 250, 5, 5), (500, 300, 1, 1)],
)
def test_labels_do_not_overlap_where_there_are_many(n_dates, n_tickers, horizon, step):
    known = np.ones((n_dates, n_tickers), dtype=bool)
    for target, expected in ((ReturnTarget(), step), (ReturnTarget(thin=2), 2)):
        train, tail = target.split(known, horizon)
        assert set(np.diff(train)) == {expected}
        assert set(np.diff(tail)) == {1}
    # Labels that are missing do not count.
    train, _ = ReturnTarget().split(known & (np.arange(n_tickers) < 200), horizon)
    assert set(np.diff(train)) == {-(-horizon // 2)}


def test_forecasts_of_many_labels_are_those_of_the_whole_horizon(monkeypatch, X, y):
    models = [
        BatchXGBoostForecaster(n_estimators=3, n_jobs=1, target=ReturnTarget(thin=thin))
        for thin in ("auto", HORIZON)
    ]
    half = models[0].fit(X, y).predict(X)
    monkeypatch.setattr(_return_target, "MANY_ROWS", 1)
    many, whole = (model.fit(X, y).predict(X) for model in models)
    pd.testing.assert_frame_equal(many, whole, check_exact=True)
    assert not many.equals(half)


class Recorder(RegressorMixin, BaseEstimator):
    """Forecasts zero, and keeps the labels it was given."""

    def fit(self, X, y):
        self.seen_ = y
        return self

    def predict(self, X):
        return pd.DataFrame(0.0, X.index, self.seen_.columns)


def test_forecasters_of_others_are_given_no_later_label(X, y):
    model = FallbackForecaster(Recorder(), Recorder()).fit(X.iloc[:200], y.iloc[:200])
    for inside in (model.estimator_, model.fallback_):
        assert inside.seen_.attrs["delay"] == DELAY
        assert inside.seen_.iloc[-REACH:].isna().all(axis=None)
        assert inside.seen_.iloc[:-REACH].equals(y.iloc[: 200 - REACH])
    model = ConformalForecaster(Recorder(), refit=False, calibration_size=50)
    seen = model.fit(X, y).estimator_.seen_
    # The tail begins 50 rows before the last that has a label.
    start = len(X) - REACH - 50
    assert len(seen) == start
    assert seen.iloc[-REACH:].isna().all(axis=None)
    assert seen.iloc[:-REACH].equals(y.iloc[: start - REACH])
    assert list(model.calibration_.index) == list(X.index[start : start + 50])


def test_an_update_needs_labels_of_the_same_delay(X, y, prices):
    fitted = ConformalForecaster(HistoricalMeanForecaster()).fit(X[:200], y[:200])
    end = fitted.calibration_.index[-1]
    later = X.index > end
    with pytest.raises(PanelError, match=r"the delay seen in fit, 3\. Got 0"):
        fitted.update(X[later], forward_returns(prices, HORIZON)[later])
    fitted.update(X[later], y[later])
    assert fitted.calibration_.index[-1] == X.index[-1 - REACH]


def test_a_benchmark_is_as_late_as_the_labels(X, y):
    benchmark = y.iloc[:, 0]
    model = BatchLinearForecaster(target=ReturnTarget(benchmark=benchmark))
    garbled = benchmark.copy()
    garbled.iloc[200 - REACH :] = 0.5
    expected = model.fit(X[:200], y[:200]).predict(X)
    model.set_params(target__benchmark=garbled)
    got = model.fit(X[:200], y[:200]).predict(X)
    pd.testing.assert_frame_equal(expected, got, check_exact=True)
    now = forward_returns(make_panel(260, 1, random_state=0), HORIZON).iloc[:, 0]
    with pytest.raises(PanelError, match="benchmark must have the delay of y, 3"):
        model.set_params(target__benchmark=now).fit(X, y)


def test_arrays_take_horizon_and_delay_together(X, y):
    features, labels = X.to_numpy(), y.to_numpy()[:200].copy()
    garbled = labels.copy()
    garbled[-REACH:] = 0.5
    first, second = (
        BatchLinearForecaster(horizon=REACH).fit(features[:200], y).predict(features)
        for y in (labels, garbled)
    )
    np.testing.assert_array_equal(first, second)


def test_a_horizon_that_is_set_leaves_the_delay_as_recorded(X, y):
    model = BatchLinearForecaster(horizon=HORIZON).fit(X, y)
    assert model.layout_.reaches == (REACH,) * 5
    with pytest.raises(PanelError, match="at horizon 4 and delay 3"):
        model.fit(X[:REACH], y[:REACH])
