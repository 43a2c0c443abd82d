import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel
from skbatch.panel.engine import panel_fields, panel_tickers

FIELDS = ["Open", "High", "Low", "Close", "Volume"]
TICKERS = ["MSFT", "AAPL", "GE"]


def ohlcv(fields=FIELDS, tickers=TICKERS, n_dates=3):
    columns = pd.MultiIndex.from_product([fields, tickers], names=["field", "ticker"])
    values = np.random.default_rng(0).uniform(1, 2, size=(n_dates, len(columns)))
    return pd.DataFrame(values, columns=columns)


def test_a_canonical_panel_is_returned_itself():
    panel = ohlcv()
    assert check_panel(panel) is panel
    assert check_panel(panel.iloc[1:]).index[0] == 1
    first = check_panel(panel.swaplevel(axis=1))
    assert check_panel(first) is first


@pytest.mark.parametrize("names", [["Price", "Ticker"], ["Ticker", "Price"], None])
@pytest.mark.parametrize("ticker_first", [False, True])
def test_either_order_of_levels_is_recognised_by_content(names, ticker_first):
    panel = ohlcv()
    given_ = panel.swaplevel(axis=1).sort_index(axis=1) if ticker_first else panel
    given_ = given_.set_axis(given_.columns.set_names(names or [None, None]), axis=1)
    checked = check_panel(given_)
    expected = panel[[(f, t) for f in FIELDS for t in panel_tickers(checked)]]
    assert_frame_equal(checked, expected)
    assert set(panel_tickers(checked)) == set(TICKERS)


@given(st.permutations(range(15)))
def test_columns_are_ordered_by_field_then_as_the_closes(order):
    panel = ohlcv()
    shuffled = panel.iloc[:, order]
    checked = check_panel(shuffled)
    tickers = [ticker for field, ticker in shuffled.columns if field == "Close"]
    assert panel_tickers(checked) == tickers
    assert list(checked.columns) == [(f, t) for f in FIELDS for t in tickers]
    assert_frame_equal(checked[panel.columns.tolist()], panel)


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_fields_are_spelled_one_way(spell):
    panel = ohlcv()
    spelled = panel.rename(columns=spell, level="field")
    assert_frame_equal(check_panel(spelled), panel)


@pytest.mark.parametrize("ticker_first", [False, True])
@pytest.mark.parametrize(
    "tickers", [["OPEN", "LOW"], ["OPEN"], ["CLOSE", "LOW"], ["OPEN", "MSFT"]]
)
def test_tickers_may_be_called_like_fields(tickers, ticker_first):
    panel = ohlcv(tickers=tickers)
    checked = check_panel(panel.swaplevel(axis=1) if ticker_first else panel)
    assert_frame_equal(checked, panel)


@pytest.mark.parametrize("tickers", [["OPEN", "LOW"], ["MSFT", "OPEN", "CLOSE"]])
def test_wide_tickers_may_be_called_like_fields(tickers):
    panel = pd.DataFrame(1.0, index=[0, 1], columns=tickers)
    assert check_panel(panel) is panel
    assert panel_tickers(panel) == tickers


def test_adjusted_closes_adjust_all_prices_but_not_volume():
    # A 2:1 split between the rows: the first row's prices are halved.
    panel = pd.DataFrame(
        {
            ("Open", "A"): [10.0, 6.0],
            ("High", "A"): [14.0, 7.0],
            ("Low", "A"): [8.0, 5.0],
            ("Close", "A"): [12.0, 6.0],
            ("Adj Close", "A"): [6.0, 6.0],
            ("Volume", "A"): [100.0, 300.0],
        }
    )
    before = panel.copy()
    checked = check_panel(panel)
    expected = [[5.0, 7.0, 4.0, 6.0, 100.0], [6.0, 7.0, 5.0, 6.0, 300.0]]
    np.testing.assert_allclose(checked.to_numpy(), expected)
    assert list(checked.columns) == [(field, "A") for field in FIELDS]
    assert_frame_equal(panel, before)
    assert check_panel(checked) is checked


def test_adjusted_close_alone_is_the_close():
    panel = ohlcv(["Adj Close", "Volume"])
    expected = panel.rename(columns={"Adj Close": "Close"}, level="field")
    assert_frame_equal(check_panel(panel), expected)


def test_an_adjusted_close_that_is_missing_leaves_no_price():
    panel = ohlcv(["Close", "Adj Close"], ["A", "B"])
    panel.loc[1, ("Adj Close", "A")] = np.nan
    closes = panel_fields(check_panel(panel))["close"]
    np.testing.assert_array_equal(closes, panel["Adj Close"])


def test_what_yahoo_adds_is_dropped():
    panel = ohlcv([*FIELDS, "Dividends", "Stock Splits", "Capital Gains", "Repaired?"])
    panel["Repaired?"] = False
    assert_frame_equal(check_panel(panel), panel[FIELDS])


def test_prices_beside_the_bars_are_dropped_with_a_warning():
    panel = ohlcv([*FIELDS, "VWAP"])
    with pytest.warns(PanelWarning, match=r"Got VWAP, which is ignored") as told:
        checked = check_panel(panel)
    assert len(told) == 1
    assert_frame_equal(checked, panel[FIELDS])


BAD_FIELDS = {
    "no close": (ohlcv(["Open", "Volume"]), "must hold the field Close"),
    "no fields": (ohlcv(["x", "y"]), "must hold the field Close"),
    "no close, though a ticker is called so": (
        ohlcv(["Open", "High"], ["CLOSE", "A"]),
        "must hold the field Close",
    ),
    "fields in both levels": (
        ohlcv(["Close", "Open"], ["Open", "Close"]),
        "Got field names in both",
    ),
    "unadjustable open": (ohlcv(["Adj Close", "Open"]), "Got no Close. Add it"),
    "one close missing": (
        ohlcv().drop(columns=[("Close", "GE")]),
        "Got none for GE. Drop these tickers",
    ),
    "one adjusted close missing": (
        ohlcv([*FIELDS, "Adj Close"]).drop(columns=[("Adj Close", "GE")]),
        "must hold Adj Close for every ticker or for none. Got none for GE.",
    ),
    "a field twice": (
        ohlcv([*FIELDS, "close"]),
        "for MSFT (Close), AAPL (Close), GE (",
    ),
    "a ticker twice": (ohlcv(tickers=["A", "A"]), "Got several columns for A (Open)"),
    "reserved ticker": (ohlcv(tickers=["market"]), "Got 'market'"),
    "numbers as tickers": (ohlcv(tickers=[700, 5]), "Got 700, 5."),
    "text": (ohlcv().astype({("Open", "GE"): str}), " in GE at 0."),
}


@pytest.mark.parametrize(("panel", "advice"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_malformed_fields_are_refused_with_advice(panel, advice):
    with pytest.raises(PanelError, match=re.escape(advice)):
        check_panel(panel)


def test_a_volume_may_be_zero_and_a_price_may_not():
    panel = ohlcv()
    panel.loc[0, :] = 0.0
    panel.loc[1, "Volume"] = np.inf
    panel.loc[2, ("Volume", "GE")] = -1.0
    with pytest.warns(PanelWarning, match=r"Got 16 other values in MSFT, AAPL, GE"):
        checked = check_panel(panel)
    assert checked[FIELDS[:4]].loc[0].isna().all()
    assert (checked.loc[0, "Volume"] == 0).all()
    assert checked.loc[1, "Volume"].isna().all()
    np.testing.assert_array_equal(checked.loc[2, "Volume"].isna(), [False, False, True])


def test_a_ticker_without_close_is_told_even_if_it_has_volume():
    panel = ohlcv()
    panel[("Close", "GE")] = np.nan
    with pytest.warns(PanelWarning, match="none at all for GE,"):
        check_panel(panel)


def test_fields_of_a_wide_panel():
    panel = pd.DataFrame({"B": [1.0, 2.0], "A": [3.0, np.nan]})
    assert panel_tickers(panel) == ["B", "A"]
    assert list(panel_fields(panel)) == ["close"]
    np.testing.assert_array_equal(panel_fields(panel)["close"], panel)


def test_fields_stand_on_the_same_tickers():
    panel = check_panel(ohlcv().drop(columns=[("High", "AAPL"), ("Volume", "MSFT")]))
    fields = panel_fields(panel)
    assert list(fields) == [field.lower() for field in FIELDS]
    tickers = panel_tickers(panel)
    assert tickers == TICKERS
    for field in FIELDS:
        for number, ticker in enumerate(tickers):
            missing = (field, ticker) not in panel.columns
            expected = np.full(3, np.nan) if missing else panel[field, ticker]
            np.testing.assert_array_equal(fields[field.lower()][:, number], expected)


def test_fields_follow_the_labels_of_a_reordered_panel():
    panel = ohlcv()
    fields = panel_fields(panel.iloc[:, [14, 10, 3, 9, 12, 11, 13]])
    # Columns 9 to 11 are the closes, 12 to 14 the volumes; 3 is High of MSFT.
    np.testing.assert_array_equal(fields["close"], panel.iloc[:, [10, 9, 11]])
    np.testing.assert_array_equal(fields["volume"], panel.iloc[:, [13, 12, 14]])
    np.testing.assert_array_equal(fields["high"][:, 1], panel.iloc[:, 3])
    assert np.isnan(fields["high"][:, [0, 2]]).all()
