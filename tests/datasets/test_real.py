import sys

import pandas as pd
import pytest

from skbatch.datasets import load_sp500_prices
from skbatch.panel import check_panel


def test_prices_are_a_clean_panel():
    pytest.importorskip("skfolio")
    prices = load_sp500_prices()
    assert prices.shape == (8313, 20)
    assert check_panel(prices) is prices
    assert prices.index[0] == pd.Timestamp("1990-01-02")
    assert prices.index[-1] == pd.Timestamp("2022-12-28")
    assert prices.notna().all(axis=None)


def test_each_call_gives_its_own_table():
    pytest.importorskip("skfolio")
    prices = load_sp500_prices()
    prices.iloc[0, 0] = -1.0
    assert load_sp500_prices().iloc[0, 0] > 0


def test_missing_skfolio_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio.datasets", None)
    with pytest.raises(ImportError, match=r"skbatch\[datasets\]"):
        load_sp500_prices()
