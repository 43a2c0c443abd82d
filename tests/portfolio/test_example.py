import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import skbatch.datasets
from skbatch.datasets import make_panel
from skbatch.metrics import mean_inference
from skbatch.model_selection import backtest

EXAMPLE = Path(skbatch.__file__).parents[1] / "examples" / "portfolio_backtest.py"
pytestmark = pytest.mark.skipif(
    not EXAMPLE.exists(), reason="The package is installed without its repository."
)


@pytest.fixture
def example():
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE)))


def test_it_prints_a_row_per_portfolio(monkeypatch, capsys):
    # Three years to learn from leave four months to be tested in.
    recent = skbatch.datasets.load_sp500_prices().iloc[-850:, :3]
    monkeypatch.setattr(
        skbatch.datasets, "load_sp500_prices", lambda: pd.concat([recent])
    )
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    table = runpy.run_path(str(EXAMPLE), run_name="__main__")["table"]
    assert list(table.index) == [
        "equal weight",
        "minimum risk",
        "max Sharpe, historical mean",
        "max Sharpe, forecasts",
        "Black–Litterman, historical mean",
        "Black–Litterman, forecasts",
    ]
    known = table.drop(columns="t")
    assert np.isfinite(known.to_numpy(dtype=float)).all()
    assert (known["volatility"] > 0).all()
    printed = capsys.readouterr().out
    for name in table.index:
        assert f"\n{name} " in printed


def test_later_prices_mend_no_earlier_ones(example, tmp_path):
    prices = make_panel(40, 3, random_state=0)
    prices.iloc[20:, 0] *= 100
    prices.iloc[30, 1] *= 100
    prices.to_csv(tmp_path / "all.csv")
    whole = example.closes(tmp_path / "all.csv")
    for cut in range(18, 40):
        prices.iloc[:cut].to_csv(tmp_path / "known.csv")
        known = example.closes(tmp_path / "known.csv")
        pd.testing.assert_frame_equal(known, whole.iloc[:cut])


def test_portfolios_are_compared_with_the_first(example):
    prices = make_panel(300, 4, random_state=0)
    found = {
        name: backtest(
            prices.iloc[60:] * 0 + 1, prices, weights=rule, rebalance_every=21
        )
        for name, rule in {
            "equal": "equal",
            "one": lambda *_: pd.Series({prices.columns[0]: 1.0}),
        }.items()
    }
    table, dates = example.compare(found)
    assert dates[0] == found["equal"].returns.index[0]
    net = found["one"].returns["net"]
    assert table.loc["one", "volatility"] == pytest.approx(100 * net.std() * 252**0.5)
    difference = net - found["equal"].returns["net"]
    expected = mean_inference(difference.to_numpy()).t_statistic
    assert table.loc["one", "t"] == pytest.approx(expected)
    assert np.isnan(table.loc["equal", "t"])


def test_views_keep_their_bounds_and_follow_the_forecasts(example):
    past = make_panel(300, 6, random_state=0).pct_change()
    held = pd.Series(0.0, past.columns)
    low = pd.Series(0.0, past.columns)
    high = low.copy()
    high.iloc[2] = 0.2
    high.iloc[5] = np.nan
    first, second = (example.views(21)(f, past, held) for f in (low, high))
    assert second.sum() == pytest.approx(1)
    assert second.max() <= 2 / 5 + 1e-6
    assert second.iloc[2] > first.iloc[2] + 0.05
    assert past.columns[5] not in second


def test_errors_of_a_day_and_gaps_are_mended(example, tmp_path):
    prices = make_panel(40, 3, random_state=0)
    clean = prices.copy()
    prices.iloc[10, 0] *= 100
    prices.iloc[20, 1] /= 10
    prices.iloc[30, 2] = np.nan
    clean.iloc[10, 0], clean.iloc[20, 1] = clean.iloc[9, 0], clean.iloc[19, 1]
    clean.iloc[30, 2] = clean.iloc[29, 2]
    path = tmp_path / "prices.csv"
    prices.to_csv(path)
    found = example.closes(path)
    np.testing.assert_allclose(found.to_numpy(), clean.to_numpy())
