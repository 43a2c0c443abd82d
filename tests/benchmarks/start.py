"""What it takes to start: the import, and the command line's help."""

from __future__ import annotations

TITLE = "Start"
TEXT = (
    "New processes with compiled files and a warm disk cache: the median of 15 "
    "starts, in turn. First use is the import of the estimators, with what they need "
    "of scikit-learn and XGBoost."
)
BASE = "import numpy, pandas"
CODE = {
    "numpy and pandas s": BASE,
    "with skbatch s": f"{BASE}, skbatch",
    "first use s": f"{BASE}; from skbatch import BatchForecastingSystem",
}


def cases(quick: bool) -> list[dict]:
    return [{"starts": 3 if quick else 15}]


def measure(case: dict, inputs: dict) -> dict:
    import statistics
    import subprocess
    import sys
    import time

    commands = {name: ["-c", code] for name, code in CODE.items()}
    commands["help s"] = ["-m", "skbatch", "--help"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(case["starts"] + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - start)
    row = {name: statistics.median(taken) for name, taken in seconds.items()}
    pairs = zip(seconds["with skbatch s"], seconds["numpy and pandas s"], strict=True)
    row["import ms"] = 1000 * statistics.median(a - b for a, b in pairs)
    return row


def goals(table: list[dict]) -> list[tuple[str, bool, str]]:
    found = []
    for row in table:
        if "help s" in row:
            took, shown = row["import ms"], row["help s"]
            found += [
                ("import at most 50 ms more", took <= 50, f"{took:.0f} ms"),
                ("help under half a second", shown < 0.5, f"{shown:.2f} s"),
            ]
    return found
