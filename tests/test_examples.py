"""The gallery: each example runs by itself, is short, and shows what it says."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import skbatch.datasets

pytest.importorskip("matplotlib")
EXAMPLES = Path(skbatch.__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(
    not EXAMPLES.exists(), reason="The package is installed without its repository."
)
NAMES = [
    "plot_01_quickstart",
    "plot_02_tuning",
    "plot_03_groups_and_market_data",
    "plot_04_dirty_data",
    "plot_05_walk_forward",
    "plot_06_intervals_and_ranks",
    "plot_07_custom_feature",
    "plot_08_custom_forecaster",
    "plot_09_portfolio",
    "plot_10_dask",
]


def test_the_gallery_is_complete():
    assert sorted(path.stem for path in EXAMPLES.glob("plot_*.py")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_short_and_have_a_title(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("\n") < 120
    title, underline = re.match(r'"""\n(.+)\n(=+)\n', text).groups()
    assert len(underline) == len(title)


# Each takes seconds, as a reader's run does: in a process and a folder of its own.
@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name, tmp_path):
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_WAIT_POLICY": "PASSIVE"}
    result = subprocess.run(
        # plt.show() says that there is no window, which is so.
        [sys.executable, "-W", "ignore:FigureCanvasAgg", EXAMPLES / f"{name}.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Error" not in result.stderr


@pytest.fixture
def short_history(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    prices = skbatch.datasets.load_sp500_prices()
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", prices.copy)
    return prices


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg")
def test_the_evaluation_finds_no_more_than_anyone_has(short_history):
    names = runpy.run_path(str(EXAMPLES / "plot_05_walk_forward.py"))
    walks = [value for value in names.values() if hasattr(value, "scorecard")]
    assert walks
    for walk in walks:
        # Daily prices: more than this would be a leak.
        assert np.abs(walk.scorecard["rank_ic"].dropna()).max() < 0.1
