import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context

import skbatch.datasets
from skbatch import BatchForecastingSystem, BatchLinearForecaster
from skbatch.datasets import make_panel

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


def test_a_portfolio_pays_for_what_it_trades(example):
    # Two months of two days. Everything is bought, then a fifth of it turned over.
    days = pd.bdate_range("2024-01-01", periods=4)
    months = [
        SimpleNamespace(
            returns=np.array([0.01, 0.02]) - 0.0003,
            observations=days[:2],
            total_cost=0.0003,  # as skfolio takes it off every day
            turnover=1.0,
        ),
        SimpleNamespace(
            returns=np.array([-0.01, 0.0]),
            observations=days[2:],
            total_cost=0.0,
            turnover=0.2,
        ),
    ]
    net = example.net_returns(months)
    assert list(net.index) == list(days)
    np.testing.assert_allclose(net, [0.01 - 0.001, 0.02, -0.01 - 0.0002, 0.0])


def test_measures_are_those_of_a_hand_count(example):
    class Path(list):
        n_fallback_portfolios = 3

    net = pd.Series([0.1, -0.5, 0.2, 0.0])
    months = Path([SimpleNamespace(turnover=1.0), SimpleNamespace(turnover=0.5)])
    found = example.measure(net, months, year=8)
    assert found["return"] == pytest.approx(100 * ((1.1 * 0.5 * 1.2) ** 2 - 1))
    assert found["drawdown"] == pytest.approx(50)
    assert found["turnover"] == pytest.approx(75)
    # 1.5 traded in half a year at 0.1 %.
    assert found["cost"] == pytest.approx(0.3)
    mean, deviation = -0.05, np.sqrt((0.15**2 + 0.45**2 + 0.25**2 + 0.05**2) / 3)
    assert found["Sharpe"] == pytest.approx(mean / deviation * np.sqrt(8))
    assert found["fallbacks"] == 3
    # A loss on the first day is one from the start.
    lost = example.measure(pd.Series([-0.3, 0.1]), months, year=2)
    assert lost["drawdown"] == pytest.approx(30)


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


def test_no_later_price_moves_an_earlier_return(example, monkeypatch):
    # What follows a date is replaced: what was held until then must not change.
    fast = BatchForecastingSystem(21, forecaster=BatchLinearForecaster())
    monkeypatch.setitem(
        example.strategies.__globals__, "BatchForecastingSystem", lambda *_, **__: fast
    )
    prices = skbatch.datasets.load_sp500_prices().iloc[-860:, :4]
    paths = {"real": [], "noise": []}
    cut = 756 + 1 + 1 + 21  # the first return, three years, the row between, a month
    shocks = np.random.default_rng(0).normal(0, 0.2, (len(prices) - cut, 4))
    noise = prices.copy()
    noise.iloc[cut:] *= np.exp(shocks)
    for name, panel in {"real": prices, "noise": noise}.items():

        def keep(path, found=paths[name]):
            found.append(path)
            return example.net_returns(path)

        monkeypatch.setitem(example.backtest.__globals__, "net_returns", keep)
        with config_context(transform_output="pandas"):
            example.backtest(panel)
    for real, noisy in zip(paths["real"], paths["noise"], strict=True):
        np.testing.assert_array_equal(real[0].returns, noisy[0].returns)
        # The second month is decided before, and earns something else.
        np.testing.assert_array_equal(real[1].weights, noisy[1].weights)
        assert not np.allclose(real[1].returns, noisy[1].returns)
    for real, noisy in list(zip(paths["real"], paths["noise"], strict=True))[1:]:
        assert not np.allclose(real[2].weights, noisy[2].weights)
