"""One case, in a process of its own: what it takes, and what it finds.

`run.py` starts this with the interpreter of skbatch or of the peers, so that nothing of
skbatch is imported here, and a peak of memory is that of one way alone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import platform
import re
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

MIB = 2**20
PACKAGES = ["skbatch", "numpy", "pandas", "scikit-learn", "xgboost", "bottleneck"]
PACKAGES += ["mlforecast", "skforecast", "coreforecast", "polars"]


def main() -> None:
    """Measure the case given as JSON, and print the result as the last line."""
    name, case, inputs = json.loads(sys.stdin.read())
    warnings.simplefilter("ignore")
    result = importlib.import_module(name).measure(case, inputs)
    forecasts = result.pop("forecasts", None)
    if forecasts is not None:
        np.save(inputs["forecasts"], np.asarray(forecasts, dtype=np.float64))
    print(json.dumps({"result": result, "versions": versions()}))


def measured(work, *arguments):
    """Run a piece of work; give its result, and its time and memory."""
    gc.collect()
    _forget_peak()
    before = _memory("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    result = work(*arguments)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    usage = {"seconds": seconds, "CPU seconds": cpu}
    if before:
        usage["peak MiB"] = _memory("VmHWM") / MIB
        usage["added MiB"] = (_memory("VmHWM") - before) / MIB
    return result, usage


def timed(work, repeats: int = 5) -> float:
    """Time short work: the median after one run that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def count_training(xgb) -> dict[str, int]:
    """Count what XGBoost trains on from now on, whoever calls it."""
    counts = {"models": 0, "training rows": 0, "inputs": 0, "trees": 0}

    def train(params, dtrain, num_boost_round=10, **options):
        booster = original(params, dtrain, num_boost_round, **options)
        counts["models"] += 1
        counts["training rows"] = dtrain.num_row()
        counts["inputs"] = dtrain.num_col()
        counts["trees"] = booster.num_boosted_rounds()
        return booster

    original = xgb.train
    xgb.train = xgb.sklearn.train = train
    return counts


def versions() -> dict[str, str]:
    """Look up the packages of this environment that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _forget_peak() -> None:
    """Start the system's record of the peak anew, where it can be."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Read the process's memory in bytes; 0 on systems that do not tell.

    Not `ru_maxrss`, which a child inherits from the process that started it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(rf"{name}:\s*(\d+) kB", status)[1])


if __name__ == "__main__":
    main()
