"""Memory is predicted, and a budget is kept: measured in processes of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster, FallbackForecaster
from skbatch.batch import _memory
from skbatch.batch._memory import MemoryModel
from skbatch.exceptions import ConfigError

# A fit in a fresh process, whose peak the operating system reports.
SCRIPT = """
import json, resource, sys, warnings
from skbatch import (
    BatchForecastingSystem, BatchLinearForecaster, BatchXGBoostForecaster,
    FallbackForecaster,
)
from skbatch.batch._usage import rss
from skbatch.datasets import make_panel

n_dates, n_tickers, options = json.loads(sys.argv[1])
prices = make_panel(n_dates, n_tickers, random_state=0)
trees = BatchXGBoostForecaster(n_estimators=2)
model = FallbackForecaster(trees, BatchLinearForecaster())
system = BatchForecastingSystem(forecaster=model, **options)
before = rss()
predicted = system.estimate_memory(prices)
system.fit(prices)
try:
    # Linux' ru_maxrss is at least what the process that started this one had.
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    peak = int(lines["VmHWM"].split()[0]) * 1024
except FileNotFoundError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n_batches = len(system.fitted_.batches)
print(json.dumps([before, predicted.peak_bytes, peak, n_batches]))
"""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the peak is asked of POSIX's getrusage"
)


def measure(n_dates, n_tickers, **options):
    command = [sys.executable, "-c", SCRIPT, json.dumps([n_dates, n_tickers, options])]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output)


@pytest.mark.parametrize(
    ("n_dates", "n_tickers", "options"),
    [
        pytest.param(800, 40, {}, id="small"),
        pytest.param(1000, 150, {}, id="middle", marks=pytest.mark.slow),
        pytest.param(1000, 400, {}, id="large", marks=pytest.mark.slow),
        pytest.param(
            1000, 400, {"max_batch_size": 80}, id="batches", marks=pytest.mark.slow
        ),
        pytest.param(
            1000, 100, {"horizon": [1, 5, 21]}, id="horizons", marks=pytest.mark.slow
        ),
    ],
)
def test_the_peak_is_predicted_within_a_quarter(n_dates, n_tickers, options):
    before, predicted, peak, _ = measure(n_dates, n_tickers, **options)
    assert predicted == pytest.approx(peak, rel=0.25)
    # And so is what comes on top of what the process has already.
    assert predicted - before == pytest.approx(peak - before, rel=0.25)


def test_a_budget_is_kept():
    budget = 420 * 2**20
    _, predicted, peak, n_batches = measure(1000, 400, memory_budget="420MiB")
    assert n_batches > 1
    assert peak <= budget
    assert predicted <= budget


@pytest.fixture
def model():
    """A function that makes a memory model of a size."""

    def make(n_tickers=500, n_dates=2500, **others):
        given = {
            "n_dates": n_dates,
            "n_tickers": n_tickers,
            "n_fields": 1,
            "n_horizons": 1,
            "n_own": 54,
            "n_shared": 28,
            "share": 0.5,
            "pooled_share": 0.25,
            "strategy": "pooled",
            "n_workers": 1,
            "in_processes": False,
            **others,
        }
        return MemoryModel(**given)

    return make


def test_more_of_anything_takes_more(model):
    base = model().added(100)
    assert model().added(200) > base
    assert model(n_tickers=900).added(100) > base
    assert model(n_dates=5000).added(100) > base
    assert model(n_fields=5).added(100) > base
    assert model(n_horizons=3).added(100) > base
    assert model(n_workers=2).added(100) > base
    threads = model(n_workers=2).added(100)
    assert model(n_workers=2, in_processes=True).added(100) > threads
    # Models of single tickers share nothing.
    assert model(strategy="per_ticker", pooled_share=0.0).added(100) < base


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GiB", 4 * 2**30),
        ("4 GB", 4 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5g", 1.5 * 10**9),
        ("1000000", 10**6),
        (" 2 TiB ", 2 * 2**40),
        (123_456, 123_456),
    ],
)
def test_budgets_are_sizes(text, expected):
    assert _memory._budget(text, before=0) == expected


def test_a_fraction_is_of_what_is_available(monkeypatch):
    monkeypatch.setattr(_memory, "available_memory", lambda: 8 * 2**30)
    for share in (0.25, "0.25", np.float32(0.25)):
        assert _memory._budget(share, before=2**30) == 3 * 2**30


@pytest.mark.parametrize("text", ["", "GiB", "4 parsecs", "-1GiB", "0MiB", "1.2.3GiB"])
def test_other_budgets_are_refused(text):
    with pytest.raises(ConfigError, match="`memory_budget` must be a size"):
        _memory._budget(text, before=0)


def test_the_largest_batch_within_the_budget_is_taken(make_system, prices):
    system = make_system(memory_budget=1.0).fit(prices)
    assert len(system.fitted_.batches) == 1
    estimate = make_system().estimate_memory(prices)
    extractor = system.fitted_.extractor
    fits = FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
    for size in (2, 5, 8):
        need = make_system(forecaster=fits, max_batch_size=size)
        budget = need.estimate_memory(prices)
        allowed = budget.before_bytes + int(sum(budget.parts.values()) * 1.22)
        limited = make_system(forecaster=fits, memory_budget=allowed)
        found = _memory.largest_batch(limited, prices, extractor)
        assert found >= size
    assert estimate.batch_size == 8
    assert "8 tickers" in str(estimate)


def test_one_ticker_that_does_not_fit_is_told(make_system, prices):
    with pytest.raises(ConfigError, match=r"at least \d+ MiB for 260 rows of 8 tick"):
        make_system(memory_budget="150MiB").fit(prices)


def test_the_estimate_does_not_fit_anything(make_system, prices):
    system = make_system()
    system.estimate_memory(prices)
    assert not hasattr(system, "fitted_")
