"""Files with signals are forecast with them, and the fields are named."""

import numpy as np

from skbatch.cli._show import panel_line
from skbatch.datasets import make_panel
from skbatch.panel import read_panel


def test_the_signals_of_a_file_are_named(tmp_path):
    prices = make_panel(30, 3, random_state=0)
    table = prices.rename_axis("ticker", axis=1).stack().rename("close").reset_index()
    table["sentiment"] = np.arange(len(table)) % 7 - 3.0
    table.to_csv(tmp_path / "long.csv", index=False)
    panel = read_panel(tmp_path / "long.csv")
    assert panel_line(panel).endswith("fields: close, sentiment")
