"""What works in a process that was forked after XGBoost has run."""

import multiprocessing
import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, sys
import numpy as np
from skbatch import BatchXGBoostForecaster

rng = np.random.default_rng(0)
X, y = rng.standard_normal((300, 4)), rng.standard_normal(300) / 100
model = BatchXGBoostForecaster(horizon=1, n_estimators=5, n_jobs=2).fit(X, y)
expected = model.predict(X)

def predict():
    assert np.array_equal(model.predict(X), expected)

def fit():
    BatchXGBoostForecaster(horizon=1, n_estimators=5).fit(X, y)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    child = context.Process(target=predict if sys.argv[1] == "predict" else fit)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


def run(what):
    # The limit is far beyond what it takes: a child that hangs never ends.
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, what]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )


can_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"
)


@can_fork
def test_a_forked_process_predicts_the_same():
    done = run("predict")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@can_fork
def test_a_forked_process_says_that_it_cannot_train():
    done = run("fit")
    assert done.returncode == 1
    assert (
        "RuntimeError: XGBoost must not train in a process that was forked"
        in done.stderr
    )
