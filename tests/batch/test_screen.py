import math
import re
import sys
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from skbatch.batch._screen import RULES, ScreeningRules, screen
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel

N_DATES = 300
DATES = pd.bdate_range("2020-01-01", periods=N_DATES)


def make(n_tickers=3, n_dates=N_DATES, seed=0):
    """Simulate prices that nothing is wrong with."""
    rng = np.random.default_rng(seed)
    steps = 0.01 * rng.standard_normal((n_dates, n_tickers))
    return pd.DataFrame(
        np.round(100 * np.exp(np.cumsum(steps, axis=0)), 4),
        index=DATES[:n_dates],
        columns=list("ABCDEFGH")[:n_tickers],
    )


def find(prices, **rules):
    """Screen, and show what is found by ticker and rule."""
    panel, findings = screen(prices, ScreeningRules(**rules))
    assert list(findings.columns) == ["rule", "action", "detail"]
    bad = set(findings.index[findings["action"] == "quarantined"])
    tickers = dict.fromkeys(panel.columns.get_level_values(-1))
    assert bad.isdisjoint(tickers)
    return {
        (ticker, row.rule): (row.action, row.detail)
        for ticker, row in zip(findings.index, findings.itertuples(), strict=True)
    }


def actions(prices, **rules):
    return {key: action for key, (action, _) in find(prices, **rules).items()}


# ---------------------------------------------------------------- the rules, slowly


def slow_rules(values, rules):
    """Judge one ticker's closes by the rules, in plain words of Python."""
    n = len(values)
    invalid = [row for row, v in enumerate(values) if v <= 0 or math.isinf(v)]
    known = [(row, v) for row, v in enumerate(values) if 0 < v < math.inf]
    n_prices = sum(not math.isnan(v) for v in values)
    found = {}
    if invalid:
        many = len(invalid) / n_prices > rules.max_invalid_share
        bad = many or any(row >= n - rules.recent for row in invalid)
        found["invalid"] = "quarantined" if bad else "noted"
    if not known:
        return found | {"empty": "quarantined"}
    if len(known) < rules.min_history:
        found["short"] = "quarantined"
    if n - 1 - known[-1][0] > rules.max_stale:
        found["stale"] = "quarantined"
    last = [v for _, v in known[-rules.max_flat :]]
    if len(last) > 1 and len(set(last)) == 1:  # all, if there are fewer
        found["constant"] = "quarantined"
    jumps = [
        row
        for (_, before), (row, now) in pairwise(known)
        if now / before > rules.max_jump or now / before < 1 / rules.max_jump
    ]
    if jumps:
        bad = jumps[-1] >= n - rules.recent
        found["jump"] = "quarantined" if bad else "noted"
    return found


def slow_duplicates(columns, rules, unsound):
    """Compare each pair of tickers' usable closes."""
    clean = [[v if 0 < v < math.inf else None for v in column] for column in columns]
    groups = []
    for ticker, closes in enumerate(clean):
        if sum(v is not None for v in closes) < rules.min_history:
            continue
        group = next((g for g in groups if clean[g[0]] == closes), None)
        if group is None:
            groups.append([ticker])
        else:
            group.append(ticker)
    found = set()
    for group in groups:
        sound = [ticker for ticker in group if ticker not in unsound] or group
        found |= set(group) - {sound[0]}
    return found


@given(st.data())
@settings(max_examples=100)
def test_rules_are_those_of_the_slow_reference(data):
    n_dates, n_tickers = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    cell = st.sampled_from([2.0, 2.0, 3.0, 20.0, 1e300, np.nan, 0.0, -1.0, np.inf])
    column = st.lists(cell, min_size=n_dates, max_size=n_dates)
    columns = [data.draw(column) for _ in range(n_tickers)]
    if data.draw(st.booleans()):
        columns[-1] = list(columns[0])
    rules = ScreeningRules(
        recent=data.draw(st.integers(1, 8)),
        min_history=data.draw(st.integers(1, 5)),
        max_stale=data.draw(st.integers(0, 4)),
        max_flat=data.draw(st.integers(2, 5)),
        max_jump=data.draw(st.sampled_from([1.2, 8.0])),
        max_invalid_share=data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    )
    found = {n: slow_rules(column, rules) for n, column in enumerate(columns)}
    unsound = {n for n, f in found.items() if f.get("invalid") == "quarantined"}
    for ticker in slow_duplicates(columns, rules, unsound):
        found[ticker]["duplicate"] = "quarantined"
    expected = [
        (f"x{ticker}", rule, found[ticker][rule])
        for ticker in found
        for rule in RULES
        if rule in found[ticker]
    ]
    values = np.array(columns).T
    panel, findings = screen(values, rules)
    rows = findings[["rule", "action"]].itertuples(name=None)
    assert list(rows) == expected
    bad = {ticker for ticker, _, action in expected if action == "quarantined"}
    with warnings.catch_warnings(action="ignore", category=PanelWarning):
        whole = check_panel(values)
    assert_frame_equal(panel, whole.drop(columns=list(bad)))


# ---------------------------------------------------------------- nothing wrong


def test_healthy_panels_are_returned_as_they_are():
    prices = make()
    panel, findings = screen(prices, ScreeningRules())
    assert panel is prices
    assert findings.empty
    assert list(findings.columns) == ["rule", "action", "detail"]
    assert findings.index.name == "ticker"


def test_what_markets_do_is_believed():
    prices = make()
    prices.iloc[:200, 0] = np.nan  # listed late
    prices.iloc[-5:, 1] = np.nan  # suspended for a week
    prices.iloc[150:, 2] *= 5  # a coin
    prices.iloc[50:70, 2] = prices.iloc[50, 2]  # thinly traded
    assert find(prices) == {}


# ---------------------------------------------------------------- what is told


def test_invalid_prices():
    prices = make()
    prices.iloc[10, 0] = -3.0
    prices.iloc[12, 0] = 0.0
    prices.iloc[200, 1] = np.inf
    assert find(prices) == {
        ("A", "invalid"): (
            "noted",
            "2 of 300 prices not positive and finite, the first Close -3 on "
            "2020-01-15, the last Close 0 on 2020-01-17",
        ),
        ("B", "invalid"): (
            "quarantined",
            "1 of 300 prices not positive and finite, Close inf on 2020-10-07",
        ),
    }


def test_invalid_prices_are_recent_within_the_last_rows():
    prices = make()
    prices.iloc[N_DATES - 253, 0] = prices.iloc[N_DATES - 252, 1] = 0.0
    assert actions(prices) == {
        ("A", "invalid"): "noted",
        ("B", "invalid"): "quarantined",
    }


def test_invalid_prices_are_many_from_a_share_on():
    prices = make()
    prices.iloc[:3, 0] = prices.iloc[:4, 1] = 0.0
    prices.iloc[3:40, 1] = np.nan
    assert actions(prices, max_invalid_share=0.01) == {
        ("A", "invalid"): "noted",
        ("B", "invalid"): "quarantined",
    }


def test_empty():
    prices = make()
    prices["B"] = np.nan
    prices["C"] = -1.0
    found = find(prices)
    assert found["B", "empty"] == ("quarantined", "no usable price in 300 rows")
    assert list(found) == [("B", "empty"), ("C", "empty"), ("C", "invalid")]


def test_short():
    prices = make()
    prices.iloc[:-20, 0] = np.nan
    prices.iloc[:-21, 1] = np.nan
    price = f"{prices.iloc[-20, 0]:g}"
    assert find(prices) == {
        ("A", "short"): (
            "quarantined",
            f"20 prices, fewer than 21, the first {price} on 2021-01-27",
        )
    }


def test_stale():
    prices = make()
    prices.iloc[-6:, 1] = np.nan
    price = f"{prices.iloc[-7, 1]:g}"
    assert find(prices) == {
        ("B", "stale"): (
            "quarantined",
            f"no price in the last 6 rows, more than 5, the last {price} on 2021-02-15",
        )
    }


def test_constant():
    prices = make()
    prices.iloc[-21:, 0] = 55.0
    prices.iloc[-30, 0] = 55.0
    prices.iloc[-20:, 1] = 55.0
    prices["C"] = 7.0
    prices.iloc[::2, 2] = np.nan
    assert find(prices) == {
        ("A", "constant"): (
            "quarantined",
            "the last 21 prices are all the same, since 55 on 2021-01-26",
        ),
        ("C", "constant"): (
            "quarantined",
            "the last 150 prices are all the same, since 7 on 2020-01-02",
        ),
    }


def test_one_price_is_no_constant():
    prices = make(2)
    prices.iloc[:-1, 0] = np.nan
    assert list(find(prices)) == [("A", "short")]
    prices.iloc[-2, 0] = prices.iloc[-1, 0]
    assert list(find(prices)) == [("A", "short"), ("A", "constant")]


def test_duplicate():
    prices = make(4)
    prices.iloc[:100, 1] = np.nan
    prices["D"] = prices["B"]
    found = find(prices)
    price = f"{prices.iloc[100, 1]:g}"
    assert found == {
        ("D", "duplicate"): (
            "quarantined",
            f"the same 200 prices as B, the first {price} on 2020-05-20",
        )
    }


def test_prices_that_differ_once_are_no_duplicates():
    prices = make(2)
    prices["B"] = prices["A"]
    assert list(find(prices)) == [("B", "duplicate")]
    missing = prices.copy()
    missing.iloc[7, 1] = np.nan
    assert find(missing) == {}
    prices.iloc[7, 1] += 1e-4
    assert find(prices) == {}


def test_the_duplicate_with_wrong_prices_is_not_the_one_that_is_kept():
    prices = make(3)
    prices["C"] = prices["B"] = prices["A"]
    prices.iloc[-9] = np.nan
    prices.iloc[-9, 0] = -1.0
    assert actions(prices) == {
        ("A", "invalid"): "quarantined",
        ("A", "duplicate"): "quarantined",
        ("C", "duplicate"): "quarantined",
    }
    assert find(prices)["A", "duplicate"][1].startswith("the same 299 prices as B,")
    prices.iloc[9] = np.nan
    prices.iloc[9, 0], prices.iloc[-9, 0] = -1.0, np.nan
    assert actions(prices) == {
        ("A", "invalid"): "noted",
        ("B", "duplicate"): "quarantined",
        ("C", "duplicate"): "quarantined",
    }


def test_jump():
    prices = make()
    prices.iloc[100, 0], prices.iloc[101, 0], prices.iloc[102, 0] = 10, 81, 10
    prices.iloc[103:, 0] = np.linspace(11, 80, N_DATES - 103)
    assert find(prices)["A", "jump"] == (
        "quarantined",
        "3 changes beyond a factor of 8, the first from "
        f"{prices.iloc[99, 0]:g} to 10 on 2020-05-20, the last from 81 to 10 on "
        "2020-05-22",
    )


def test_jumps_are_recent_within_the_last_rows():
    prices = make()
    prices.iloc[N_DATES - 253 :, 0] *= 9
    prices.iloc[N_DATES - 252 :, 1] /= 9
    prices.iloc[200:, 2] *= 7.5
    assert actions(prices) == {("A", "jump"): "noted", ("B", "jump"): "quarantined"}


def test_jumps_over_missing_prices_are_jumps():
    prices = make(1)
    prices.iloc[200:220] = np.nan
    prices.iloc[220:] *= 20
    detail = find(prices)["A", "jump"][1]
    assert detail.startswith(
        f"1 change beyond a factor of 8, from {prices.iloc[199, 0]:g}"
    )


def test_several_findings_are_in_the_order_of_tickers_and_rules():
    prices = make(3)
    prices.iloc[0, 0] = -1.0
    prices.iloc[-40:, 2] = 1000.0
    prices.iloc[-20:, 2] = np.nan
    assert actions(prices, max_flat=20) == {
        ("A", "invalid"): "noted",
        ("C", "stale"): "quarantined",
        ("C", "constant"): "quarantined",
        ("C", "jump"): "quarantined",
    }
    assert (
        list(find(prices, max_flat=20))
        == list(actions(prices, max_flat=20))
        == [("A", "invalid"), ("C", "stale"), ("C", "constant"), ("C", "jump")]
    )


# ---------------------------------------------------------------- any form of panel


def test_panels_with_fields():
    closes = make(3)
    fields = {"Volume": closes * 0, "Close": closes, "Open": closes * 1.01}
    prices = pd.concat({name: table.copy() for name, table in fields.items()}, axis=1)
    prices.loc[DATES[290], ("Open", "B")] = 0.0
    prices.loc[DATES[290], ("Volume", "A")] = -5.0
    found = find(prices)
    assert found == {
        ("B", "invalid"): (
            "quarantined",
            "1 of 600 prices not positive and finite, Open 0 on 2021-02-10",
        )
    }
    panel, _ = screen(prices.swaplevel(axis=1), ScreeningRules())
    with pytest.warns(PanelWarning, match="1 other value.* in A"):
        expected = check_panel(prices.drop(columns="B", level=1))
    assert_frame_equal(panel, expected)
    assert check_panel(panel) is panel


def test_adjusted_closes():
    closes = make(2)
    prices = pd.concat({"Close": closes.copy(), "Adj Close": closes / 2}, axis=1)
    prices.loc[DATES[290], ("Adj Close", "B")] = -1.0
    prices.loc[: DATES[200], ("Close", "A")] *= 10  # a split, adjusted for
    assert find(prices) == {
        ("B", "invalid"): (
            "quarantined",
            "1 of 600 prices not positive and finite, Adj Close -1 on 2021-02-10",
        )
    }


def test_rows_without_dates():
    prices = make(2).to_numpy().copy()
    prices[290, 1] = 0.0
    detail = find(prices)["x1", "invalid"][1]
    assert detail.endswith("Close 0 at 290")


def test_times_are_told():
    prices = make(1)
    prices.index = pd.date_range("2024-01-01", periods=N_DATES, freq="h")
    prices.iloc[290] = 0.0
    assert find(prices)["A", "invalid"][1].endswith("on 2024-01-13 02:00:00")


def test_attributes_survive():
    prices = make(2)
    prices["B"] = 1.0
    prices.attrs["source"] = "vendor"
    panel, _ = screen(prices, ScreeningRules())
    assert panel.attrs == {"source": "vendor"}
    assert list(panel.columns) == ["A"]


def test_portfolios_without_a_healthy_ticker_are_empty():
    prices = make(2) * np.nan
    panel, findings = screen(prices, ScreeningRules())
    assert panel.shape == (N_DATES, 0)
    assert len(findings) == 2


def test_the_given_table_is_not_changed():
    prices = make(3)
    prices.iloc[5, 0] = -1
    before = prices.copy()
    screen(prices, ScreeningRules())
    assert_frame_equal(prices, before)


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (make().iloc[::-1], "must be sorted"),
        (make()["A"], "Got a Series"),
        (make().astype(str), "must hold numbers"),
        (make().iloc[:0], "at least one date"),
    ],
    ids=["order", "series", "text", "empty"],
)
def test_malformed_tables_are_refused(prices, message):
    with pytest.raises(PanelError, match=re.escape(message)):
        screen(prices, ScreeningRules())


def test_a_ticker_more_takes_a_few_calls_more():
    """Names are looked up one by one; each operation of pandas takes many calls."""
    rng = np.random.default_rng(0)
    values = np.exp(np.cumsum(0.01 * rng.standard_normal((300, 500)), axis=0))
    n_calls = []
    for n_tickers in (5, 500):
        calls = []
        sys.setprofile(lambda frame, event, arg, calls=calls: calls.append(event))
        try:
            _, findings = screen(values[:, :n_tickers], ScreeningRules())
        finally:
            sys.setprofile(None)
        assert findings.empty
        n_calls.append(len(calls))
    assert n_calls[1] - n_calls[0] < 150 * 495
