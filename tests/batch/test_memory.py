"""Memory is predicted, and a budget is kept: measured in processes of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest

from skbatch.batch import BatchForecastingSystem, _memory
from skbatch.batch._memory import MemoryPlan
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_dates", "n_tickers", "options"),
    [
        pytest.param(800, 40, {}, id="small"),
        pytest.param(1000, 150, {}, id="middle"),
        pytest.param(1000, 400, {}, id="large"),
        pytest.param(1000, 400, {"max_batch_size": 80}, id="batches"),
        pytest.param(1000, 100, {"horizon": [1, 5, 21]}, id="horizons"),
    ],
)
def test_the_peak_is_predicted(n_dates, n_tickers, options):
    before, predicted, peak, _ = measure(n_dates, n_tickers, **options)
    assert predicted == pytest.approx(peak, rel=0.15)
    # What comes on top of what the process has already is known less well.
    # How much libraries load on first use, 12 MiB of a small fit, depends on their
    # releases.
    added = pytest.approx(peak - before, rel=0.25, abs=_memory.BASE)
    assert predicted - before == added


@pytest.mark.slow
def test_a_budget_is_kept():
    budget = 500 * 2**20
    _, predicted, peak, n_batches = measure(1000, 400, memory_budget="500MiB")
    # A pooled model learns from all tickers: rows go to a file instead.
    assert n_batches == 1
    assert peak <= budget
    assert predicted <= budget


@pytest.fixture
def plan():
    """A function that makes a memory plan of a size."""

    def make(**others):
        given = {
            "n_dates": 2500,
            "n_tickers": 500,
            "n_fields": 1,
            "n_horizons": 1,
            "n_own": 54,
            "n_shared": 28,
            "n_train": 650,
            "n_tail": 500,
            "strategy": "pooled",
            "splits": False,
            "n_workers": 1,
            "in_processes": False,
            "batch_size": 500,
            **others,
        }
        return MemoryPlan(**given)

    return make


def test_more_of_anything_takes_more(plan):
    base = plan().added
    assert plan(n_tickers=600).added > base
    assert plan(n_dates=5000).added > base
    assert plan(n_fields=5).added > base
    assert plan(n_horizons=3).added > base
    assert plan(n_train=1300).added > base
    assert plan(n_own=80).added > base


def test_a_file_of_rows_and_smaller_blocks_take_less(plan):
    base = plan(block_rows=256, rows_limit=2**30).added
    on_disk = plan(rows_limit=0, block_rows=256).added
    # The rows of all training dates, less the buffer that they pass through.
    rows = 4 * (650 + 500) * 500 * (54 + 28)
    assert base - on_disk == rows - _memory.BUFFER
    per_ticker = {"splits": True, "strategy": "per_ticker"}
    whole = plan(**per_ticker, rows_limit=0).added
    assert plan(**per_ticker, rows_limit=0, batch_size=100).added < whole + 2**26


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
def test_other_budgets_are_refused(text, prices):
    with pytest.raises(ValueError, match="'memory_budget' parameter"):
        BatchForecastingSystem(memory_budget=text).fit(prices)


def test_a_budget_that_suffices_changes_nothing(make_system, prices):
    system = make_system(memory_budget=1.0).fit(prices)
    assert len(system.fitted_.batches) == 1
    estimate = make_system().estimate_memory(prices)
    assert estimate.batch_size == 8
    assert "8 tickers" in str(estimate)


def test_one_ticker_that_does_not_fit_is_told(make_system, prices):
    with pytest.raises(ConfigError, match=r"at least \d+ MiB for 260 rows of 8 tick"):
        make_system(memory_budget="150MiB").fit(prices)


def test_the_estimate_does_not_fit_anything(make_system, prices):
    system = make_system()
    system.estimate_memory(prices)
    assert not hasattr(system, "fitted_")
