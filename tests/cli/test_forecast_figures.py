"""Pictures of a run show its numbers, whatever tickers are called."""

import base64
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from skbatch.cli._forecast_figures import (
    MAX_NAMES,
    draw_forecasts,
    draw_returns,
    draw_volatilities,
)


def make_rows(n_tickers):
    random = np.random.default_rng(0)
    forecast = random.normal(0, 0.01, n_tickers)
    spread = random.uniform(0.01, 0.1, n_tickers)
    rows = pd.DataFrame(
        {
            "ticker": [f"T{number:03}" for number in range(n_tickers)],
            "expected_return": forecast,
            "lower_50": forecast - spread,
            "upper_50": forecast + spread,
            "lower_90": forecast - 2 * spread,
            "upper_90": forecast + 3 * spread,
            "volatility": spread,
        }
    )
    rows.loc[1, rows.columns[1:]] = np.nan  # has no forecast
    rows.loc[2, rows.columns[2:]] = np.nan  # has no interval
    return rows


@pytest.mark.parametrize("n_tickers", [5, MAX_NAMES + 1, 200])
def test_they_show_forecasts_bounds_and_volatilities_by_rank(n_tickers):
    rows = make_rows(n_tickers)
    known = rows.drop(1).sort_values("expected_return", ascending=False)
    ax = Figure().subplots()
    draw_returns(rows.drop(1), ax)
    inner, outer, dots = ax.collections
    shown = np.asarray(dots.get_offsets())
    np.testing.assert_allclose(shown[:, 0], np.arange(1, n_tickers))
    np.testing.assert_allclose(shown[:, 1], 100 * known["expected_return"])
    for lines, share in ((inner, 50), (outer, 90)):
        ends = [part[:, 1] for part in lines.get_segments() if len(part)]
        bounds = known[[f"lower_{share}", f"upper_{share}"]].dropna()
        np.testing.assert_allclose(ends, 100 * bounds)
    ax = Figure().subplots()
    draw_volatilities(rows.drop(1), ax)
    heights = [bar.get_height() for bar in ax.patches]
    ranked = rows["volatility"].dropna().sort_values(ascending=False)
    np.testing.assert_allclose(heights, 100 * ranked)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    if len(ranked) <= MAX_NAMES:
        assert labels == list(rows["ticker"][ranked.index])
    else:
        assert ax.get_xlabel() == "rank"


def test_strange_names_are_written_as_they_are():
    rows = make_rows(4).assign(ticker=["a$b", "$x^2$", "<b>", "__"])
    pictures = re.findall(r"base64,(.*?)\"", draw_forecasts(rows))
    assert len(pictures) == 2
    for data in pictures:
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")


def test_without_a_forecast_there_is_no_picture():
    rows = make_rows(3)
    assert draw_forecasts(rows.iloc[[1]]) == ""
    assert draw_forecasts(rows.iloc[[2]]).count("<img") == 1


@pytest.mark.parametrize("command", ["forecast", "evaluate"])
def test_a_report_asks_for_matplotlib_before_the_work(
    command, run, eight_tickers_csv, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(command, eight_tickers_csv, "--report", tmp_path / "r.html")
    assert result.exit_code == 2
    assert "pip install 'skbatch[plot]'" in " ".join(result.stderr.split())
