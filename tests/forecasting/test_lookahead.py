"""Labels that were not known at the end of the training rows reach no model."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster
from skbatch.forecasting import BaseBatchForecaster, ReturnTarget


def with_target(kind, *args, **params):
    """Make a forecaster; parameters of its target may stand beside its own."""
    names = ReturnTarget().get_params()
    target = {name: params.pop(name) for name in names if name in params}
    return kind(*args, target=ReturnTarget(**target), **params)


NAN = np.nan


def with_garbage(y, rows, kind):
    garbage = y.copy()
    noise = np.random.default_rng(99).normal(0, 5, y.iloc[rows].shape)
    garbage.iloc[rows] = {"huge": 1e6, "missing": NAN, "noise": noise}[kind]
    return garbage


@pytest.mark.parametrize(
    ("horizon", "kind"), [(1, "huge"), (7, "huge"), (7, "missing"), (7, "noise")]
)
def test_the_last_labels_reach_no_model(make_frames, forecaster, horizon, kind):
    X, y = make_frames(120, horizon=horizon)
    expected = clone(forecaster).fit(X, y)
    forecaster.fit(X, with_garbage(y, slice(-horizon, None), kind))
    pd.testing.assert_frame_equal(
        forecaster.predict(X), expected.predict(X), check_exact=True
    )
    # The label before them is known, and used.
    other = clone(forecaster).fit(
        X, with_garbage(y, slice(-horizon - 1, None), "noise")
    )
    assert not expected.predict(X).equals(other.predict(X))


def test_every_horizon_loses_its_own_last_labels(
    make_frames, stack_horizons, forecaster
):
    X, y = make_frames(120)
    both = stack_horizons({6: y, 2: y})
    expected = clone(forecaster).fit(X, both).predict(X)
    garbage = stack_horizons(
        {h: with_garbage(y, slice(-h, None), "huge") for h in (6, 2)}
    )
    forecasts = forecaster.fit(X, garbage).predict(X)
    pd.testing.assert_frame_equal(forecasts, expected, check_exact=True)
    early = stack_horizons({6: y, 2: with_garbage(y, slice(-3, None), "noise")})
    assert not clone(forecaster).fit(X, early).predict(X)[2].equals(expected[2])


class LabelRecorder(BaseBatchForecaster):
    """Keeps the labels that a model would be trained on."""

    seen: ClassVar[list] = []

    def __init__(self, horizon="auto", knob=0):
        self.horizon = horizon
        self.knob = knob

    def _fit_table(self, features, labels, layout):
        known = np.isfinite(labels)
        self.seen.append((features.index, known.any(axis=1), known.sum(axis=0)))
        self.mean_ = np.nanmean(labels, axis=0)

    def _predict_table(self, features):
        return np.repeat(self.mean_[None], features.n_dates, axis=0)


class Passthrough(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


def test_a_grid_search_without_a_gap_trains_on_known_labels_only(
    make_frames, stack_horizons, monkeypatch
):
    X, y = make_frames(100)
    both = stack_horizons({5: y, 2: y})
    monkeypatch.setattr(LabelRecorder, "seen", [])
    pipeline = make_pipeline(Passthrough(), LabelRecorder())
    search = GridSearchCV(
        pipeline, {"labelrecorder__knob": [0, 1]}, cv=TimeSeriesSplit(4, gap=0)
    )
    search.fit(X, both)
    seen = LabelRecorder.seen
    assert [len(index) for index, *_ in seen] == 2 * [20, 40, 60, 80] + [100]
    for index, rows, counts in seen:
        assert rows.tolist() == [True] * (len(index) - 2) + [False] * 2
        assert counts.tolist() == [len(index) - 5] * 4 + [len(index) - 2] * 4


@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
@pytest.mark.parametrize("kind", ["huge", "missing", "noise"])
def test_labels_that_reach_into_the_tail_are_purged(make_frames, strategy, kind):
    # Rows 0 … 199 at horizon 5: labels are known up to row 194, the tail of 40 rows
    # is 155 … 194, and the labels of rows 151 … 154 end after row 155.
    X, y = make_frames(200, horizon=5)
    options = {"thin": 1, "validation_size": 40, "market_weight": 0.0}
    for model in (
        with_target(BatchLinearForecaster, strategy, **options),
        with_target(
            BatchXGBoostForecaster,
            strategy,
            n_estimators=6,
            learning_rate=0.8,
            early_stopping_rounds=6,
            subsample=1.0,  # so that a row of each date is certain to be drawn
            n_jobs=1,
            **options,
        ),
    ):
        expected = clone(model).fit(X, y).predict(X)
        purged = with_garbage(y, slice(151, 155), kind)
        forecasts = clone(model).fit(X, purged).predict(X)
        pd.testing.assert_frame_equal(forecasts, expected, check_exact=True)
        for used in (slice(150, 151), slice(155, 156), slice(194, 195)):
            other = model.fit(X, with_garbage(y, used, "noise")).predict(X)
            assert not other.equals(expected)


def test_the_longest_horizon_of_a_vector_purges_all(make_frames, stack_horizons):
    X, y = make_frames(200)
    both = stack_horizons({2: y, 9: y})
    model = BatchLinearForecaster(
        "vector", target=ReturnTarget(thin=1, validation_size=40, market_weight=0.0)
    )
    expected = clone(model).fit(X, both).predict(X)
    # Known up to row 197; the tail is 158 … 197, so 150 … 157 are purged.
    garbage = with_garbage(both, slice(150, 158), "noise")
    forecasts = clone(model).fit(X, garbage).predict(X)
    pd.testing.assert_frame_equal(forecasts, expected, check_exact=True)
    garbage = with_garbage(both, slice(149, 150), "noise")
    assert not clone(model).fit(X, garbage).predict(X).equals(expected)


def test_thinning_takes_every_kth_date(make_frames):
    X, y = make_frames(60, horizon=3)
    model = BatchLinearForecaster(
        alpha=0.1, target=ReturnTarget(thin=5, validation_size=0, market_weight=0.0)
    )
    expected = clone(model).fit(X, y).predict(X)
    kept = set(range(0, 57, 5))
    for row in range(57):
        other = clone(model).fit(X, with_garbage(y, slice(row, row + 1), "noise"))
        assert other.predict(X).equals(expected) == (row not in kept)


@pytest.mark.parametrize(("horizon", "thin"), [(1, 1), (2, 1), (3, 2), (5, 3), (8, 4)])
def test_automatic_thinning_is_half_the_horizon_rounded_up(make_frames, horizon, thin):
    X, y = make_frames(100, horizon=horizon)
    automatic, explicit = (
        BatchLinearForecaster(target=ReturnTarget(thin=value)).fit(X, y).predict(X)
        for value in ("auto", thin)
    )
    pd.testing.assert_frame_equal(automatic, explicit, check_exact=True)
