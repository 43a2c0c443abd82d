"""Measure the peak memory of fits beside what is predicted, one process each.

Usage::

    python docs/experiments/memory.py

Each line is a fresh process that makes a synthetic panel, predicts the memory of a
system's `fit` and fits it, with few trees: their number hardly matters. The peak is the
operating system's record of the process's resident memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import warnings
from typing import Any

import pandas as pd

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)
from skbatch.datasets import make_panel

MIB = 2**20
# Dates, tickers, horizons, strategy, whether with all fields, and the system's options.
RUNS: list[tuple[int, int, Any, str, bool, dict[str, Any]]] = [
    (800, 40, 5, "pooled", False, {}),
    (1260, 100, 5, "pooled", False, {}),
    (1000, 100, [1, 5, 21], "pooled", False, {}),
    (1260, 500, 5, "pooled", False, {}),
    (1260, 2000, 5, "pooled", False, {}),
    (2520, 200, 5, "pooled", False, {}),
    (2520, 500, 1, "pooled", False, {}),
    (2520, 500, 21, "pooled", False, {}),
    (2520, 500, [5, 21], "pooled", False, {}),
    (2520, 1000, 5, "pooled", False, {}),
    (2520, 200, 5, "pooled", True, {}),
    (2520, 100, 5, "per_ticker", False, {}),
    (1260, 300, 5, "per_ticker", False, {"max_batch_size": 40}),
    (1000, 400, 5, "pooled", False, {"memory_budget": "400MiB"}),
    (2520, 500, 5, "pooled", False, {"memory_budget": "600MiB"}),
]


def measure(
    n_dates: int,
    n_tickers: int,
    horizon: int | list[int],
    strategy: str,
    fields: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Predict and fit in this process, whose peak must be that of the fit."""
    prices = make_panel(n_dates, n_tickers, random_state=0)
    if fields:
        scales = {"Open": 1.0, "High": 1.01, "Low": 0.99, "Close": 1.0, "Volume": 1e4}
        prices = pd.concat({name: prices * k for name, k in scales.items()}, axis=1)
    trees = BatchXGBoostForecaster(strategy, n_estimators=3)
    model = FallbackForecaster(trees, BatchLinearForecaster())
    system = BatchForecastingSystem(horizon, forecaster=model, **options)
    predicted = system.estimate_memory(prices)
    system.fit(prices)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux reports KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    added = peak - predicted.before_bytes
    return {
        "dates": n_dates,
        "tickers": n_tickers,
        "horizon": horizon,
        "strategy": strategy,
        "fields": 5 if fields else 1,
        "options": " ".join(f"{name}={value}" for name, value in options.items()),
        "batches": len(system.fitted_.batches),
        "before MiB": predicted.before_bytes // MIB,
        "peak MiB": peak // MIB,
        "predicted MiB": predicted.peak_bytes // MIB,
        "predicted / peak": round(predicted.peak_bytes / peak, 2),
        "of what is added": round(sum(predicted.parts.values()) / added, 2),
    }


def main() -> None:
    """Run the experiment from the command line."""
    if len(sys.argv) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(json.dumps(measure(*json.loads(sys.argv[1]))))
        return
    rows = []
    for run in RUNS:
        command = [sys.executable, __file__, json.dumps(run)]
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(output.stdout.splitlines()[-1]))
        print(*rows[-1].values(), file=sys.stderr)
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


if __name__ == "__main__":
    main()
