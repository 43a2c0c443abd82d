import joblib
import pytest
from joblib import Parallel, delayed, parallel_config

from skbatch._kernels import threads as _threads
from skbatch._kernels.threads import inner_threads


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(_threads.joblib, "cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("n_jobs", "threads"),
    [(None, 8), (1, 1), (3, 3), (8, 8), (9, 8), (100, 8), (-1, 8), (-2, 7), (-8, 1)],
)
def test_threads_outside_joblib(eight_cores, n_jobs, threads):
    assert inner_threads(n_jobs) == threads


@pytest.mark.parametrize("n_jobs", [-9, -100])
def test_there_is_always_one_thread(eight_cores, n_jobs):
    assert inner_threads(n_jobs) == 1


def test_no_threads_at_all_are_refused():
    with pytest.raises(ValueError, match="n_jobs must not be 0"):
        inner_threads(0)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_worker_has_one_thread(backend):
    workers = Parallel(n_jobs=2, backend=backend)
    assert workers(delayed(inner_threads)(n) for n in (None, 2, -1)) == [1, 1, 1]


def test_one_job_is_no_worker(eight_cores):
    assert Parallel(n_jobs=1)([delayed(inner_threads)(None)]) == [8]
    with parallel_config(n_jobs=1):
        assert inner_threads(None) == 8


def test_a_nested_worker_has_one_thread():
    def nested():
        return Parallel(n_jobs=2)(delayed(inner_threads)(None) for _ in range(2))

    assert Parallel(n_jobs=2, backend="threading")([delayed(nested)()] * 2) == [
        [1, 1],
        [1, 1],
    ]


def test_cores_are_those_that_joblib_counts():
    assert inner_threads(None) == joblib.cpu_count()
    assert inner_threads(10_000) == joblib.cpu_count()
