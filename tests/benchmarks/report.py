"""Tables and the plot of what was measured; goals are in the JSON file only."""

from __future__ import annotations

import json
import os
import platform
import time
from operator import itemgetter
from pathlib import Path

import numpy as np

HIDDEN = {"check", "peer"}


def write_report(modules: dict, rows: list[dict], output: Path) -> None:
    """Write results.md, results.json and benchmarks.png."""
    tables = {name: tabulate(rows, name) for name in modules}
    tables = {name: table for name, table in tables.items() if table}
    sections = [_header(rows)]
    plotted = [name for name in tables if hasattr(modules[name], "plot")]
    if plotted and _plot(modules, tables, plotted, output / "benchmarks.png"):
        sections.append("![Times of all ways](benchmarks.png)")
    for name, table in tables.items():
        sections.append(f"### {modules[name].TITLE}\n\n{modules[name].TEXT}")
        sections += [_origin(rows, name), _markdown(table)]
    (output / "results.md").write_text("\n\n".join(filter(None, sections)) + "\n")
    goals = {name: modules[name].goals(table) for name, table in tables.items()}
    summary = {"machine": machine(), "tables": tables, "goals": goals}
    (output / "results.json").write_text(json.dumps(summary, indent=1, default=str))


def tabulate(rows: list[dict], benchmark: str) -> list[dict]:
    """Give each case a row with the medians of its repeats."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        if row["benchmark"] == benchmark:
            groups.setdefault(json.dumps(row["case"]), []).append(row)
    first: dict[tuple, np.ndarray] = {}
    table = []
    for case, group in groups.items():
        done = [row for row in group if row["status"] == "ok"]
        line = dict(json.loads(case))
        kind = group[-1]["inputs"].get("prices")
        line |= {"prices": kind} if kind else {}
        if not done:
            table.append({**line, "status": group[-1]["status"]})
            continue
        line["runs"] = len(done)
        for name in done[-1]["result"]:
            line[name] = _median([row["result"][name] for row in done])
        _correlate(line, done[-1]["inputs"]["forecasts"], first)
        table.append(line)
    return table


def _median(values: list):
    if isinstance(values[0], (bool, str)):
        return values[-1] if isinstance(values[0], str) else all(values)
    if isinstance(values[0], list):
        return np.median(values, axis=0).tolist()
    return float(np.median(values))


def _correlate(line: dict, path: str, first: dict[tuple, np.ndarray]) -> None:
    """Correlate forecasts with those of the first way on the same task."""
    if "way" not in line or not Path(path).exists():
        return
    forecasts = np.load(path)
    same = tuple(line.get(k) for k in ("n_tickers", "settings", "horizon"))
    reference = first.setdefault(same, forecasts)
    if reference.shape == forecasts.shape:
        pairs = np.stack([reference.ravel(), forecasts.ravel()])
        pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
        line["correlation"] = float(np.corrcoef(pairs)[0, 1])


def scale_by_tickers(axes, table: list[dict]) -> None:
    """Scale the axes of times by numbers of tickers."""
    tickers = sorted({row["n_tickers"] for row in table})
    axes.set(xscale="log", yscale="log", xlabel="tickers", ylabel="seconds")
    axes.set_xticks(tickers, [str(number) for number in tickers])
    axes.minorticks_off()


def machine() -> str:
    """Describe the machine in a line."""
    model = platform.processor() or platform.machine()
    memory = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1] for line in lines if line.startswith("model name")]
        model = names[0].strip() if names else model
        kib = Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]
        memory = f", {int(kib) / 2**20:.0f} GiB"
    except (OSError, IndexError):
        pass
    system = f"{platform.system()} {platform.release()}"
    return f"{model}, {os.cpu_count()} cores{memory}, {system}"


def _header(rows: list[dict]) -> str:
    """Tell machine, versions and date."""
    environments = {}
    for row in rows:
        if row["status"] == "ok":
            environments[bool(row["case"].get("peer"))] = row["versions"]
    lines = [f"Machine: {machine()}."]
    for is_peer, name in ((False, "skbatch"), (True, "Peers")):
        found = environments.get(is_peer)
        if found:
            told = ", ".join(f"{k} {v}" for k, v in found.items())
            lines.append(f"{name}: {told}.")
    loads = [row["load"] for row in rows]
    if loads:
        lines.append(
            f"Load of the machine before each case, the benchmarks' own included: "
            f"median {np.median(loads):.1f}, largest {max(loads):.1f}. Where it "
            "exceeds the number of cores, the times are unreliable."
        )
    return "\n".join(lines)


def _origin(rows: list[dict], benchmark: str) -> str:
    """Date and commit of the latest results of a benchmark."""
    last = max((r for r in rows if r["benchmark"] == benchmark), key=itemgetter("time"))
    date = time.strftime("%Y-%m-%d", time.gmtime(last["time"]))
    return f"*{date}, commit {last['commit']}, with the defaults of that commit.*"


def _markdown(table: list[dict]) -> str:
    """Write rows as a table; a column for every key but the hidden ones."""
    names = [
        name
        for name in dict.fromkeys(key for row in table for key in row)
        if name not in HIDDEN
    ]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in table:
        cells = [_format(row.get(name, "")) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _format(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value == int(value):
            return f"{value:.0f}"
        return f"{value:.4f}" if abs(value) < 1 else f"{value:,.2f}"
    return str(value).replace("|", "\\|")


def _plot(modules: dict, tables: dict, names: list[str], path: Path) -> bool:
    """Draw a panel for each benchmark that has one, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(11, 4 * -(-len(names) // 2)), layout="constrained")
    grid = figure.subplots(-(-len(names) // 2), 2, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        modules[name].plot(axes, tables[name])
        axes.set_title(modules[name].TITLE)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=110)
    return True
