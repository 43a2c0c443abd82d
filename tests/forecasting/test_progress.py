"""scikit-learn's callbacks see what a fit does, and are always put away."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
)
from skbatch.exceptions import ModelFitError
from skbatch.forecasting import BaseBatchForecaster, HistoricalMeanForecaster


class Recorder:
    """A callback that is handed on to inner estimators and notes every event."""

    max_propagation_depth = None

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup", type(estimator).__name__))

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", *self.describe(context)))

    def on_fit_task_end(self, estimator, context):
        self.events.append(("end", *self.describe(context)))

    def teardown(self, estimator, context):
        self.events.append(("teardown", type(estimator).__name__))

    @staticmethod
    def describe(context):
        name, path = context.task_name, []
        while context is not None:
            path.insert(0, context.task_id)
            context = context.parent
        return tuple(path), name

    def tasks(self, kind):
        return [event[1] for event in self.events if event[0] == kind]


def assert_balanced(recorder):
    """Every task begins once, ends once, and ends after what happens inside it."""
    assert [e[0] for e in recorder.events][:1] == ["setup"]
    assert [e[0] for e in recorder.events][-1:] == ["teardown"]
    assert len(recorder.tasks("setup")) == len(recorder.tasks("teardown")) == 1
    open_tasks = []
    for kind, *task in recorder.events[1:-1]:
        if kind == "begin":
            assert task[0][:-1] == (open_tasks[-1][0] if open_tasks else ())
            open_tasks.append(task)
        else:
            assert open_tasks.pop() == task
    assert open_tasks == []
    begun = [event[1:] for event in recorder.events if event[0] == "begin"]
    assert len(set(begun)) == len(begun)


@pytest.mark.parametrize(
    ("model", "n_tasks"),
    [
        (HistoricalMeanForecaster(), 1),
        (BatchLinearForecaster(), 1),
        (BatchLinearForecaster("per_ticker"), 4),
        (BatchXGBoostForecaster("per_ticker", n_estimators=3, n_jobs=1), 4),
    ],
)
def test_every_model_is_a_task(make_frames, model, n_tasks):
    X, y = make_frames(60)
    recorder = Recorder()
    model.set_callbacks(recorder).fit(X, y)
    assert_balanced(recorder)
    assert recorder.tasks("begin") == [(0,), *((0, n) for n in range(n_tasks))]


@pytest.mark.parametrize("strategy", ["pooled", "vector"])
def test_every_tree_of_a_single_model_is_a_step(make_frames, strategy):
    X, y = make_frames(60)
    recorder = Recorder()
    model = BatchXGBoostForecaster(strategy, n_estimators=5, n_jobs=1)
    model.set_callbacks(recorder).fit(X, y)
    assert_balanced(recorder)
    steps = [task for task in recorder.tasks("begin") if len(task) == 3]
    assert steps == [(0, 0, tree) for tree in range(5)]


def test_horizons_are_tasks(make_frames, stack_horizons):
    X, y = make_frames(60)
    recorder = Recorder()
    model = BatchLinearForecaster().set_callbacks(recorder)
    model.fit(X, stack_horizons({1: y, 3: y, 5: y}))
    assert_balanced(recorder)
    assert recorder.tasks("begin") == [(0,), (0, 0), (0, 1), (0, 2)]


# Inside other estimators --------------------------------------------------------------


class Passthrough(CallbackSupportMixin, TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


class Failing(BaseBatchForecaster):
    def __init__(self, horizon="auto", error=ModelFitError):
        self.horizon = horizon
        self.error = error

    def _fit_table(self, features, labels, layout):
        from skbatch._progress import Progress

        with Progress(self, 2) as progress, progress.task("one"):
            raise self.error("it broke")

    def _predict_table(self, features):
        raise AssertionError


class Plain(RegressorMixin, BaseEstimator):
    """An estimator that knows no callbacks."""

    def fit(self, X, y):
        self.shape_ = y.shape[1]
        return self

    def predict(self, X):
        return np.zeros((len(X), self.shape_))


def test_the_models_below_a_fallback_are_tasks(make_frames):
    X, y = make_frames()
    recorder = Recorder()
    model = FallbackForecaster(
        BatchXGBoostForecaster(n_estimators=2, n_jobs=1),
        BatchLinearForecaster("per_ticker"),
    )
    model.set_callbacks(recorder).fit(X, y)
    assert_balanced(recorder)
    assert [task for task in recorder.tasks("begin") if len(task) == 2] == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]
    assert (0, 0, 0, 1) in recorder.tasks("begin")


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_a_failed_model_below_a_fallback_ends_its_tasks(make_frames):
    X, y = make_frames()
    recorder = Recorder()
    FallbackForecaster(Failing()).set_callbacks(recorder).fit(X, y)
    assert_balanced(recorder)
    assert (0, 0, 0) in recorder.tasks("end")


@pytest.mark.filterwarnings("ignore:The estimator Plain does not support callbacks")
def test_a_model_without_callbacks_below_a_fallback(make_frames):
    X, y = make_frames()
    recorder = Recorder()
    FallbackForecaster(Plain()).set_callbacks(recorder).fit(X, y)
    assert_balanced(recorder)
    assert (0, 0) in recorder.tasks("end")


def test_a_pipeline_and_a_grid_search_hand_their_callbacks_down(make_frames):
    X, y = make_frames()
    recorder = Recorder()
    model = make_pipeline(
        Passthrough(),
        FallbackForecaster(BatchXGBoostForecaster(n_estimators=2, n_jobs=1)),
    )
    grid = {"fallbackforecaster__estimator__max_depth": [2, 3]}
    search = GridSearchCV(model, grid, cv=TimeSeriesSplit(2))
    search.set_callbacks(recorder).fit(X, y)
    assert len(recorder.tasks("setup")) == len(recorder.tasks("teardown")) == 1
    assert sorted(map(str, recorder.tasks("begin"))) == sorted(
        map(str, recorder.tasks("end"))
    )
    trees = [name for kind, _, name in recorder.events[1:-1] if kind == "begin"]
    # Two candidates on two folds and the refit, with two trees each.
    assert trees.count("step") == (2 * 2 + 1) * 2


@pytest.mark.parametrize("error", [ModelFitError, ValueError, KeyboardInterrupt])
def test_callbacks_are_put_away_when_a_fit_fails(make_frames, error):
    X, y = make_frames()
    recorder = Recorder()
    model = Failing(error=error).set_callbacks(recorder)
    with pytest.raises(error):
        model.fit(X, y)
    assert_balanced(recorder)
    recorder.events.clear()
    with pytest.raises(error):
        model.fit(X, y)
    assert_balanced(recorder)


def test_a_fitted_forecaster_keeps_no_context(make_frames, forecaster):
    X, y = make_frames()
    forecaster.fit(X, y)
    models = [forecaster]
    if isinstance(forecaster, FallbackForecaster):
        models += [forecaster.estimator_, forecaster.mean_]
    if isinstance(forecaster, ConformalForecaster):
        models += [forecaster.estimator_]
    for model in models:
        assert not [name for name in vars(model) if "callback" in name]
