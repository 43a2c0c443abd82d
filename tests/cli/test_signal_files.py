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


def test_companies_of_one_ticker_are_told_apart_by_their_id(run, quick, tmp_path):
    prices = make_panel(80, 3, random_state=0).rename_axis("ticker", axis=1)
    table = prices.stack().rename("close").reset_index()
    table["permno"] = table["ticker"].str[1:].astype(int) + 10_000
    early = table["date"] <= prices.index[40]
    gone = (table["ticker"] == "T001") & ~early
    table.loc[(table["ticker"] == "T002") & ~early, "ticker"] = "T001"
    table[~gone].to_csv(tmp_path / "long.csv", index=False)
    options = ("--config", quick, "--holdout", 0, "--delisting-return", -0.3)
    options = (*options, "--output", "-")
    result = run("forecast", tmp_path / "long.csv", *options)
    assert result.exit_code == 2
    assert "identifies companies, such as permno, with `--id ...`" in result.stderr
    result = run("forecast", tmp_path / "long.csv", *options, "--id", "permno")
    rows = [line.split(",") for line in result.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["T000", "T001=10001", "T001=10002"]
    assert [row[4] != "" for row in rows] == [True, False, True]
