"""Tables of forecasts keep tickers and numbers whole in narrow terminals."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from skbatch.cli._content import print_as_json
from skbatch.cli._show import LEFT_OUT, Result, report


@pytest.mark.parametrize("width", [60, 100])
def test_bounds_that_do_not_fit_are_left_out(width):
    dates = pd.bdate_range("2024-01-01", periods=3)
    tickers = ["AAPL", "GOOGL", "MSFT"]
    rows = pd.DataFrame(
        {
            "ticker": tickers,
            "date": dates[-1],
            "horizon": 5,
            "delay": 0,
            "expected_return": [0.012345, 0.002, -0.001],
            "lower_50": -0.0213,
            "upper_50": 0.0315,
            "lower_90": -0.1217,
            "upper_90": 0.1419,
            "volatility": 0.0456,
            "p_positive": 0.55,
            "model": "BatchXGBoostForecaster",
            "reason": "",
        }
    )
    panel = pd.DataFrame(1.0, dates, tickers)
    console = Console(file=io.StringIO(), width=width)
    report(Result(panel, rows, None), {"fit": 1.0}, console)
    text = console.file.getvalue()
    (line,) = [line for line in text.splitlines() if "GOOGL" in line]
    wide = ["-12.2%", "+14.2%"] if width == 100 else []
    shown = ["GOOGL", "+0.200%", "-2.1%", "+3.1%", *wide, "4.6%", "55%"]
    assert line.split() == shown
    assert (LEFT_OUT in " ".join(text.split())) == (width == 60)


def test_json_is_for_any_encoding_of_stdout(capsys):
    content = {"summary": "R² ±2.20", "score": np.float64("nan"), "n": np.int64(3)}
    print_as_json(content)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"summary": "R² ±2.20", "score": None, "n": 3}
