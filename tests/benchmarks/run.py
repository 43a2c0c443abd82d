"""Run the benchmarks, and write a table with machine and versions, and a plot.

Usage::

    python tests/benchmarks/run.py [--prices PATH] [--peers-python PATH] [--quick]

Each case runs in a process of its own, as often as `--repeats` says, the cases of a
benchmark in turn. What is measured is kept in OUTPUT/results.jsonl as it comes;
`--resume` goes on where a run was broken off. The peers have an environment of their
own, because their packages ask for other versions::

    python -m venv peers && peers/bin/pip install -r tests/benchmarks/peers.txt
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from panels import Panels
from report import write_report

HERE = Path(__file__).parent
# In the order of the report. Those whose script is not there are left out.
BENCHMARKS = [
    "batch_vs_individual",
    "features",
    "end_to_end",
    "walking",
    "accuracy",
    "tuning",
    "daily_update",
    "scale",
    "start",
    "on_dask",
    "gpu",
]


def main() -> None:
    """Run the benchmarks from the command line."""
    options = _parse()
    options.output.mkdir(parents=True, exist_ok=True)
    results = Results(options.output / "results.jsonl")
    modules = {name: importlib.import_module(name) for name in _available()}
    if not options.report_only:
        runner = Runner(options)
        for name in options.only or modules:
            if not options.resume:
                results.drop(name)
            run_benchmark(name, modules[name], runner, results)
            write_report(modules, results.rows, options.output)
    write_report(modules, results.rows, options.output)
    if options.document is not None:
        _update(options.document, options.output)
    print(f"Written: {options.output / 'results.md'}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prices", type=Path, help="real prices, for sizes they have")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--only", nargs="+", choices=_available(), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--peers-python", help="interpreter of the peers' environment")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of a case")
    parser.add_argument("--resume", action="store_true", help="keep what is measured")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    parser.add_argument("--document", type=Path, help="page that shows the results")
    options = parser.parse_args()
    if options.peers_python and shutil.which(options.peers_python) is None:
        parser.error(f"--peers-python must be an interpreter: {options.peers_python}")
    return options


def _available() -> list[str]:
    return [name for name in BENCHMARKS if (HERE / f"{name}.py").exists()]


class Results:
    """What was measured so far, in a file that each row is added to at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def add(self, row: dict) -> None:
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def drop(self, benchmark: str) -> None:
        """Forget the results of a benchmark."""
        self.rows = [row for row in self.rows if row["benchmark"] != benchmark]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def has(self, benchmark: str, case: dict, repeat: int) -> bool:
        wanted = (benchmark, case, repeat)
        return any(
            (row["benchmark"], row["case"], row["repeat"]) == wanted
            and row["status"] == "ok"
            for row in self.rows
        )


class Runner:
    """Starts the process of a case, and says how it ended.

    Parameters
    ----------
    options : Namespace
        Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.commit = _commit()
        self.panels = Panels(options.output / "panels", options.prices)
        self.forecasts = options.output / "forecasts"
        self.forecasts.mkdir(exist_ok=True)
        threads = str(options.threads)
        # Threads that spin while they wait take the cores from those that work.
        self.environment = os.environ | {
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "LOKY_MAX_CPU_COUNT": threads,  # which skbatch takes for the cores
            "POLARS_MAX_THREADS": threads,
            "NUMBA_NUM_THREADS": threads,
        }

    def inputs(self, name: str, case: dict, repeat: int) -> dict:
        """Gather the files of a case, and where its forecasts go."""
        digest = hashlib.sha1(json.dumps([name, case, repeat]).encode()).hexdigest()
        inputs = {
            "threads": self.options.threads,
            "forecasts": str((self.forecasts / f"{name}-{digest[:12]}.npy").resolve()),
        }
        if "n_tickers" in case and "n_dates" in case:
            inputs |= self.panels.files(case["n_tickers"], case["n_dates"])
            inputs["small"] = self.panels.files(6, 560, kind="synthetic")
        return inputs

    def run(self, name: str, case: dict, repeat: int) -> dict:
        """Measure one case once; a failure is a row, too."""
        inputs = self.inputs(name, case, repeat)
        row = {"benchmark": name, "case": case, "repeat": repeat}
        row |= {"inputs": inputs, "load": os.getloadavg()[0], "time": time.time()}
        row["commit"] = self.commit
        python = sys.executable
        if case.get("peer"):
            python = self.options.peers_python
            if python is None:
                return {**row, "status": "not run: no --peers-python"}
        try:
            process = subprocess.run(
                [python, str(HERE / "measured.py")],
                input=json.dumps([name, case, inputs]),
                capture_output=True,
                text=True,
                timeout=self.options.timeout,
                env=self.environment,
            )
        except subprocess.TimeoutExpired:
            return {**row, "status": f"not within {self.options.timeout:.0f} s"}
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [""]
            (self.forecasts / f"{name}-failed.txt").write_text(process.stderr)
            code = process.returncode
            reason = f"killed by signal {-code}" if code < 0 else lines[-1][:200]
            return {**row, "status": f"failed: {reason}"}
        return {**row, "status": "ok", **json.loads(process.stdout.splitlines()[-1])}


def run_benchmark(name: str, module, runner: Runner, results: Results) -> None:
    """Run all cases of a benchmark in turn, again and again."""
    cases = module.cases(runner.options.quick)
    repeats = [case.pop("repeats", None) or runner.options.repeats for case in cases]
    for repeat in range(max(repeats)):
        for case, wanted in zip(cases, repeats, strict=True):
            if repeat >= wanted or results.has(name, case, repeat):
                continue
            row = runner.run(name, case, repeat)
            if row["status"] == "ok" and hasattr(module, "scores"):
                forecasts = np.load(row["inputs"]["forecasts"])
                row["result"] |= module.scores(case, forecasts, row["inputs"])
            results.add(row)
            told = row.get("result", {})
            told = {k: round(v, 3) for k, v in told.items() if isinstance(v, float)}
            print(f"{name} {repeat + 1} {case}: {row['status']} {told}", flush=True)


def _commit() -> str:
    """Name the commit that is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.strip()


def _update(document: Path, output: Path) -> None:
    """Put the results between the marks of a page, and the plot beside it."""
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    page = document.read_text()
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    table = (output / "results.md").read_text()
    if (output / "benchmarks.png").exists():
        shutil.copy(output / "benchmarks.png", document.with_suffix(".png"))
        table = table.replace("(benchmarks.png)", f"({document.stem}.png)")
    document.write_text(f"{before}{begin}\n\n{table.strip()}\n\n{end}{after}")


if __name__ == "__main__":
    main()
