"""The gallery: each example runs, and shows what its text says."""

import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
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
