"""The work of a system on a real cluster of two processes."""

import gc
import os
import signal
import threading
import time
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
)
from skbatch._kernels.threads import inner_threads
from skbatch.batch import _dask
from skbatch.batch._dask_cluster import Cluster, WorkerLostError
from skbatch.batch._dask_trees import train_trees
from skbatch.datasets import make_panel
from skbatch.exceptions import ClusterError, ConfigError
from skbatch.forecasting import ReturnTarget

distributed = pytest.importorskip("distributed")
# Dask and XGBoost leave sockets and loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def thread_client():
    """A client of two workers in this process, which start at once."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    """A client of two worker processes; starting them takes seconds: slow tests."""
    import dask

    # Two deaths, not four, until a task is given up: each takes seconds.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def prices():
    return make_panel(500, 12, random_state=0, signal="linear")


def make_system(engine, forecaster, **params):
    features = SharedFeatureExtractor(windows=(5, 21, 63), cache_size=0)
    return BatchForecastingSystem(
        5, features=features, forecaster=forecaster, engine=engine, **params
    )


# Without draws, and with a bin for every value, only the order of sums differs.
EXACT = {"subsample": 1.0, "colsample_bytree": 1.0, "max_bin": 2**13}
RECENT = ReturnTarget(half_life=60, weight="inverse_volatility")


def trees(**params):
    return BatchXGBoostForecaster(n_estimators=30, n_jobs=1, **params)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "options",
    [{}, {"target": RECENT, "xgb_params": {"objective": "reg:pseudohubererror"}}],
    ids=["default", "weighted pseudo-Huber"],
)
def test_trees_without_draws_are_those_of_one_machine(prices, options):
    exact = trees(**EXACT, **options)
    forecaster = FallbackForecaster(exact, BatchLinearForecaster())
    local, remote = (
        make_system(engine, forecaster).fit(prices) for engine in ("local", "dask")
    )
    expected = local.predict(prices)
    pd.testing.assert_frame_equal(
        remote.predict(prices), expected, rtol=1e-3, atol=1e-3 * np.nanstd(expected)
    )
    pd.testing.assert_series_equal(
        remote.provenance_["model"], local.provenance_["model"]
    )
    assert remote.events_.empty


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_draws_and_bins_matter_no_more_than_another_seed(prices):
    """The default settings draw rows by place, which differs between engines."""
    seeds = [
        make_system("local", trees(random_state=seed)).fit(prices).predict(prices)
        for seed in range(4)
    ]
    remote = make_system("dask", trees()).fit(prices).predict(prices)
    spread = [np.nanstd(seeds[0] - other) for other in seeds[1:]]
    assert np.nanstd(seeds[0] - remote) < 1.5 * max(spread)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "forecaster",
    [
        BatchLinearForecaster(),
        BatchLinearForecaster(target=ReturnTarget(scale=None)),
        BatchLinearForecaster(target=RECENT),
        BatchRegressorForecaster(DecisionTreeRegressor(max_depth=3, random_state=0)),
        BatchLinearForecaster("per_ticker"),
        trees(strategy="per_ticker"),
        trees(early_stopping_rounds=5),
        ConformalForecaster(BatchLinearForecaster()),
        BatchLinearForecaster("vector"),
        HistoricalMeanForecaster(),
    ],
    ids=[
        "ridge",
        "unscaled",
        "weighted",
        "regressor",
        "ridge per ticker",
        "trees per ticker",
        "early stopping",
        "conformal",
        "vector",
        "mean",
    ],
)
def test_other_forecasters_forecast_the_same(forecaster, prices):
    local, remote = (
        make_system(engine, forecaster).fit(prices) for engine in ("local", "dask")
    )
    per_ticker = getattr(forecaster, "strategy", "") == "per_ticker"
    assert len(remote.fitted_.batches) == (6 if per_ticker else 1)
    pd.testing.assert_frame_equal(
        local.predict(prices), remote.predict(prices), rtol=1e-9
    )


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_groups_have_the_models_that_they_have_here(prices):
    groups = {ticker: place // 6 for place, ticker in enumerate(prices)}
    local, remote = (
        make_system(engine, BatchLinearForecaster(), groups=groups).fit(prices)
        for engine in ("local", "dask")
    )
    assert len(remote.fitted_.batches) == len(local.fitted_.batches)
    pd.testing.assert_frame_equal(
        remote.predict(prices), local.predict(prices), rtol=1e-9
    )


@pytest.fixture(scope="module")
def panel(prices):
    """Prices with a signal that has gaps, a category, and members that change."""
    random = np.random.default_rng(0)
    rank = prices.pct_change(20).rank(axis=1)
    value = rank + random.standard_normal(prices.shape)
    names = np.array(["banks", "mines", "tech"])
    sector = np.tile(names[random.integers(0, 3, prices.shape[1])], (len(prices), 1))
    fields = {
        "Close": prices,
        "value": value.where(random.uniform(size=prices.shape) > 0.2),
        "sector": pd.DataFrame(sector, prices.index, prices.columns),
        "member": rank.shift(1) > 3,
    }
    return pd.concat(fields, axis=1)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("forecaster", "exactly"),
    [
        (BatchLinearForecaster(), {"rtol": 1e-9}),
        (trees(**EXACT), {"rtol": 1e-3, "atol": 1e-6}),
    ],
    ids=["ridge", "trees"],
)
@pytest.mark.parametrize(
    ("options", "delay"),
    [({"signals": ["value", "sector"]}, 0), ({"universe": "member"}, 1)],
    ids=["signals", "universe and delay"],
)
def test_signals_universe_and_delay(panel, forecaster, exactly, options, delay):
    results = []
    for engine in ("local", "dask"):
        features = SharedFeatureExtractor(windows=(5, 21, 63), cache_size=0, **options)
        system = make_system(engine, forecaster).set_params(
            features=features, delay=delay
        )
        results.append(system.fit(panel).predict(panel))
    local, remote = results
    assert local.isna().to_numpy().mean() < (0.5 if delay else 0.2)
    pd.testing.assert_frame_equal(remote, local, **exactly)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_models_on_workers_use_a_thread_each(prices):
    """As many tasks run beside each other as there are threads."""

    class Counting(BatchLinearForecaster):
        def fit(self, X, y):
            self.threads_ = inner_threads(None)
            return super().fit(X, y)

    system = make_system("dask", Counting("per_ticker")).fit(prices)
    assert {m.forecaster.threads_ for m in system.fitted_.members} == {1}


@pytest.mark.slow
def test_a_fit_leaves_nothing_on_the_cluster(client, prices):
    for strategy in ("pooled", "per_ticker"):
        make_system("dask", BatchLinearForecaster(strategy)).fit(prices)
    gc.collect()
    deadline = time.monotonic() + 300
    while any(client.has_what().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not client.futures
    assert not any(client.has_what().values())


class OwnTrees(BatchXGBoostForecaster):
    """Trained on other targets, which rows on workers are given, too."""

    def _fit_model(self, rows, validation, step):
        rows = rows._replace(y=np.sign(rows.y))
        return super()._fit_model(rows, validation, step)


class OwnRidge(BatchLinearForecaster):
    """Trained in a way of its own, for which rows on workers are fetched."""

    def _fit_model(self, rows, validation, step):
        largest = np.abs(rows.X[:5]).max()
        rows = rows._replace(y=np.sign(rows.y) * largest)
        return super()._fit_model(rows, validation, step)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "forecaster",
    [
        OwnTrees(n_estimators=9, n_jobs=1, **EXACT),
        OwnRidge(),
    ],
)
def test_a_way_to_train_of_the_users_own_is_theirs_on_a_cluster(forecaster, prices):
    local, remote = (
        make_system(engine, forecaster).fit(prices) for engine in ("local", "dask")
    )
    expected = local.predict(prices)
    pd.testing.assert_frame_equal(
        remote.predict(prices), expected, rtol=1e-3, atol=1e-3 * np.nanstd(expected)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_several_horizons_and_batches_of_the_user(prices):
    options = {"max_batch_size": 5}
    forecaster = trees(**EXACT)
    local, remote = (
        make_system(engine, forecaster, **options)
        .set_params(horizon=(1, 5))
        .fit(prices)
        for engine in ("local", "dask")
    )
    expected = local.predict(prices)
    pd.testing.assert_frame_equal(
        remote.predict(prices), expected, rtol=1e-3, atol=1e-3 * np.nanstd(expected)
    )


def kill_a_worker(client):
    pids = client.run(os.getpid)
    os.kill(next(iter(pids.values())), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_killed_in_training_does_not_lose_the_run(client, prices, monkeypatch):
    """The training is begun anew; rows that died with the worker are stacked again."""
    attempts = []

    def disturbed(*args):
        attempts.append(args)
        if len(attempts) == 1:
            # Among the trees: when a worker dies while XGBoost's workers are still
            # finding each other, its training may wait for ever, which is not mended.
            threading.Timer(1.5, kill_a_worker, [client]).start()
        return train_trees(*args)

    monkeypatch.setattr(_dask, "train_trees", disturbed)
    forecaster = trees(**EXACT)
    forecaster.set_params(n_estimators=1000, learning_rate=0.003)
    remote = make_system("dask", forecaster).fit(prices)
    assert len(attempts) == 2
    assert remote.events_.empty
    expected = make_system("local", forecaster).fit(prices).predict(prices)
    pd.testing.assert_frame_equal(
        remote.predict(prices), expected, rtol=1e-3, atol=1e-2 * np.nanstd(expected)
    )


@pytest.mark.slow
def test_a_worker_killed_in_a_batch_does_not_lose_the_run(client, prices, monkeypatch):
    outcomes = _dask.DaskEngine.outcomes

    def disturbed(self, *args):
        threading.Timer(0.05, kill_a_worker, [client]).start()
        yield from outcomes(self, *args)

    monkeypatch.setattr(_dask.DaskEngine, "outcomes", disturbed)
    forecaster = trees(strategy="per_ticker")
    remote = make_system("dask", forecaster).fit(prices)
    expected = make_system("local", forecaster).fit(prices)
    pd.testing.assert_frame_equal(
        remote.predict(prices), expected.predict(prices), rtol=1e-9
    )


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_batch_that_kills_every_worker_is_recovered(prices):
    """What Dask gives up on is tried alone in a process, as without Dask."""
    first = prices.columns[0]

    class Deadly(BatchLinearForecaster):
        def __init__(self, strategy="per_ticker"):
            super().__init__(strategy)

        def fit(self, X, y):
            import distributed as dd

            try:
                dd.get_worker()
            except ValueError:
                return super().fit(X, y)
            if y.columns[0] == first:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().fit(X, y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system = make_system("dask", Deadly()).fit(prices)
    assert system.forecast().expected_returns.notna().all()
    assert "tried again in its own process" in set(system.events_["step"])


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_search_whose_folds_are_tasks_does_not_wait_for_itself(prices):
    """Each of its fits waits on a worker for tasks that need one."""
    scores = []
    for engine, backend in (("local", "threading"), ("dask", "dask")):
        search = GridSearchCV(
            make_system(engine, BatchLinearForecaster()),
            {"forecaster__alpha": [0.1, 1.0]},
            cv=TimeSeriesSplit(2, test_size=20),
            error_score="raise",
        )
        with joblib.parallel_config(backend, n_jobs=4):
            scores.append(search.fit(prices).cv_results_["mean_test_score"])
    np.testing.assert_allclose(*scores, rtol=1e-9)


@pytest.mark.usefixtures("thread_client")
@pytest.mark.parametrize(
    "forecaster", [BatchLinearForecaster(), BatchLinearForecaster("per_ticker")]
)
def test_a_cluster_of_threads_forecasts_the_same(forecaster, prices):
    local, remote = (
        make_system(engine, forecaster).fit(prices) for engine in ("local", "dask")
    )
    pd.testing.assert_frame_equal(
        local.predict(prices), remote.predict(prices), rtol=1e-9
    )


@pytest.mark.usefixtures("thread_client")
def test_errors_of_arguments_are_raised(prices):
    with pytest.raises(ValueError, match="'device' parameter"):
        make_system("dask", trees(device="abacus")).fit(prices)


def test_trainings_that_always_lose_a_worker_end(thread_client, prices, monkeypatch):
    attempts = []

    def dying(*_):
        attempts.append(1)
        raise WorkerLostError("tcp://planted went away")

    monkeypatch.setattr(_dask, "train_trees", dying)
    monkeypatch.setattr(Cluster, "lost", lambda *_: {"tcp://planted"})
    with pytest.raises(ClusterError, match=r"Got 3 trainings that lost.*planted"):
        make_system("dask", trees()).fit(prices)
    assert len(attempts) == 3


def test_without_a_client_the_error_says_how_to_start_one(prices, monkeypatch):
    def none():
        raise ValueError("No client found.")

    monkeypatch.setattr(distributed, "default_client", none)
    with pytest.raises(
        ConfigError, match=r"must have a Dask client.*Client\(n_workers"
    ):
        make_system("dask", trees()).fit(prices)


def test_without_workers_the_error_says_how_to_start_them(
    thread_client, prices, monkeypatch
):
    def late(n_workers, timeout):
        raise TimeoutError

    monkeypatch.setattr(thread_client, "wait_for_workers", late)
    with pytest.raises(ConfigError, match=r"with workers.*cluster\.scale"):
        make_system("dask", trees()).fit(prices)


def test_without_dask_the_error_names_the_extra(prices, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ImportError, match=r"skbatch\[dask\]"):
        make_system("dask", trees()).fit(prices)
