"""Callbacks are told about each refit, and handed on to the models."""

import pytest
from sklearn.callback import ProgressBar

from skbatch import BatchXGBoostForecaster

from .conftest import PricesOnly, make_model


class Recorder:
    """Notes every event of a fit."""

    max_propagation_depth = None

    def __init__(self):
        self.begun, self.ended, self.set_up = [], [], 0

    def setup(self, estimator, context):
        self.set_up += 1

    def teardown(self, estimator, context):
        self.set_up -= 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((type(estimator).__name__, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.ended.append((type(estimator).__name__, context.task_name))


def names(events, kind):
    return [task for estimator, task in events if estimator == kind]


def test_each_refit_is_a_task(quiet_walk, prices):
    recorder = Recorder()
    quiet_walk(PricesOnly(), callbacks=[recorder], benchmarks={})
    dates = prices.index[[150, 190, 230]]
    assert names(recorder.begun, "_WalkForward") == [
        "walk forward",
        *(f"refit {date.date()}" for date in dates),
    ]
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.set_up == 0


def test_models_hand_callbacks_on(quiet_walk):
    recorder = Recorder()
    model = make_model(BatchXGBoostForecaster(n_estimators=4, n_jobs=1))
    quiet_walk(model, callbacks=[recorder], benchmarks={})
    assert names(recorder.begun, "BatchXGBoostForecaster").count("step") == 3 * 4
    assert sorted(recorder.begun) == sorted(recorder.ended)


def test_callbacks_are_put_away_when_a_fit_fails(walk):
    class Broken(PricesOnly):
        def fit(self, X, y=None):
            raise ZeroDivisionError

    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        walk(Broken(), callbacks=[recorder], benchmarks={})
    assert recorder.set_up == 0


def test_progress_is_shown(quiet_walk, mean_model, capsys):
    quiet_walk(mean_model, callbacks=[ProgressBar()], refit_every=110)
    assert "walk forward" in capsys.readouterr().out
