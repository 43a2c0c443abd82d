"""Batches run side by side: the same forecasts, and no more threads than cores."""

import itertools
import os
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster, FallbackForecaster
from skbatch.forecasting import _xgboost

TICKERS = list("ABCDEFGH")


def trees():
    return FallbackForecaster(BatchXGBoostForecaster(n_estimators=20))


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_workers_forecast_the_same(make_system, prices, backend):
    alone = make_system(forecaster=trees(), max_batch_size=3, n_jobs=1).fit(prices)
    with parallel_config(backend=backend):
        system = make_system(forecaster=trees(), max_batch_size=3, n_jobs=2)
        together = system.fit(prices)
    pd.testing.assert_frame_equal(
        together.predict(prices), alone.predict(prices), check_exact=True
    )
    pd.testing.assert_frame_equal(together.provenance_, alone.provenance_)
    names = [member.batch for member in together.fitted_.members]
    assert names == [member.batch for member in alone.fitted_.members]


def test_the_context_chooses_the_workers(make_system, prices):
    """A backend of joblib's registry, as Dask's and Ray's are, gets every batch."""
    from joblib._parallel_backends import ThreadingBackend

    submitted = []

    class Recording(ThreadingBackend):
        def submit(self, func, callback=None):
            submitted.append(func)
            return super().submit(func, callback)

    joblib.register_parallel_backend("recording", Recording)
    with parallel_config(backend="recording", n_jobs=2):
        make_system(max_batch_size=2).fit(prices)
    assert len(submitted) == 4


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_threads_never_exceed_the_cores(make_system, prices, monkeypatch, n_jobs):
    """Threads of all trainings that are under way at the same time are counted."""
    cores = joblib.cpu_count()
    n_workers = min(n_jobs, cores)
    running, counts, lock = {}, [], threading.Lock()
    order, first = itertools.count(), threading.Barrier(n_workers)
    train = _xgboost.xgb.train

    def counted(params, *args, **kwargs):
        with lock:
            running[threading.get_ident()] = params["nthread"]
        if next(order) < n_workers:
            first.wait(timeout=300)  # so that as many trainings meet as can
        with lock:
            counts.append(sum(running.values()))
        try:
            return train(params, *args, **kwargs)
        finally:
            with lock:
                del running[threading.get_ident()]

    monkeypatch.setattr(_xgboost.xgb, "train", counted)
    with parallel_config(backend="threading"):
        pairs = {ticker: number // 2 for number, ticker in enumerate(prices)}
        options = {"groups": pairs, "max_batch_size": 2, "n_jobs": n_workers}
        make_system(forecaster=trees(), **options).fit(prices)
    assert len(counts) == 4
    assert max(counts) <= cores
    assert max(counts) == (cores if n_workers == 1 else n_workers)


def test_worker_processes_limit_the_threads_of_linear_algebra(
    make_system, prices, tmp_path
):
    class Counting(BatchLinearForecaster):
        def __init__(self, strategy="per_ticker", folder=None):
            super().__init__(strategy)
            self.folder = folder

        def fit(self, X, y):
            from threadpoolctl import threadpool_info

            threads = [pool["num_threads"] for pool in threadpool_info()]
            with open(f"{self.folder}/{y.columns[0]}", "w") as file:
                file.write(f"{os.getpid()} {max(threads)}")
            return super().fit(X, y)

    make_system(
        forecaster=Counting(folder=str(tmp_path)), max_batch_size=2, n_jobs=2
    ).fit(prices)
    seen = [path.read_text().split() for path in tmp_path.iterdir()]
    assert len(seen) == 4
    assert all(pid != str(os.getpid()) for pid, _ in seen)
    allowed = max(1, joblib.cpu_count() // 2)
    assert all(int(threads) <= allowed for _, threads in seen)


# Progress -----------------------------------------------------------------------------


class Recorder:
    """A callback that notes the names of tasks as they begin and end."""

    max_propagation_depth = None

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.ended.append((context.estimator_name, context.task_name))


def own(tasks):
    return [name for estimator, name in tasks if estimator == "BatchForecastingSystem"]


def test_stages_and_batches_are_tasks(make_system, prices):
    recorder = Recorder()
    system = make_system(max_batch_size=4).set_callbacks(recorder)
    system.fit(prices)
    assert own(recorder.begun)[1:] == ["prepare", "batches"]
    # A batch and the forecaster that is fitted on it are one task.
    names = [name for estimator, name in recorder.begun if "Linear" in estimator]
    assert len(names) == 2 + len(TICKERS)
    assert sorted(map(str, recorder.begun)) == sorted(map(str, recorder.ended))


def test_recovered_batches_are_tasks(make_system, make_faulty, prices, fit_quietly):
    recorder = Recorder()
    faulty = make_faulty("memory", largest=2)
    fit_quietly(make_system(forecaster=faulty).set_callbacks(recorder), prices)
    assert own(recorder.begun)[1:] == ["prepare", "batches", "recover", "recover"]
    assert sorted(map(str, recorder.begun)) == sorted(map(str, recorder.ended))


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_a_grid_search_shows_the_batches_of_each_fit(make_system, prices):
    recorder = Recorder()
    system = make_system(forecaster=BatchLinearForecaster("pooled"), max_batch_size=4)
    grid = {"forecaster__target__relative": [True, False]}
    search = GridSearchCV(system, grid, cv=TimeSeriesSplit(2))
    search.set_callbacks(recorder).fit(prices)
    n_fits = 2 * 2 + 1
    assert own(recorder.begun).count("batches") == n_fits
    assert sorted(map(str, recorder.begun)) == sorted(map(str, recorder.ended))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_progress_bar_is_drawn(make_system, prices, capsys, n_jobs):
    system = make_system(max_batch_size=3, n_jobs=n_jobs)
    system.set_callbacks(ProgressBar()).fit(prices)
    drawn = capsys.readouterr().out
    assert "BatchForecastingSystem" in drawn
    assert "batches" in drawn
    assert np.isfinite(system.forecast().expected_returns).all()
