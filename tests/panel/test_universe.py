"""Who belongs to the universe at each date."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from skbatch.exceptions import PanelError
from skbatch.panel import check_panel, forward_returns, liquid
from skbatch.panel.engine import find_members

DATES = pd.bdate_range("2024-01-01", periods=6)
CLOSES = pd.DataFrame(
    np.arange(1.0, 19.0).reshape(6, 3), DATES, pd.Index(["A", "B", "C"])
)
MEMBERS = CLOSES % 3 != 0  # C never


def test_fields_tables_and_functions_say_the_same():
    panel = pd.concat({"Close": CLOSES, "in": MEMBERS, "number": MEMBERS * 1.0}, axis=1)
    panel = check_panel(panel)
    universes = ["in", "number", MEMBERS, MEMBERS[["C", "B", "A"]], lambda _: MEMBERS]
    for universe in universes:
        np.testing.assert_array_equal(find_members(panel, universe), MEMBERS)


def test_a_table_counts_from_its_dates_on():
    table = pd.DataFrame({"B": [True, False], "A": [None, 1.0]}, DATES[[1, 4]])
    expected = [[0, 0], [0, 1], [0, 1], [0, 1], [1, 0], [1, 0]]
    found = find_members(CLOSES[["A", "B"]], table)
    np.testing.assert_array_equal(found, np.array(expected, dtype=bool))


@pytest.mark.parametrize("horizon", [1, [1, 2]])
def test_only_members_have_labels(horizon):
    whole = forward_returns(CLOSES, horizon)
    labels = forward_returns(CLOSES, horizon, universe=MEMBERS)
    inside = np.tile(MEMBERS, (1, 2 if isinstance(horizon, list) else 1))
    assert_frame_equal(labels, whole.where(inside))
    assert labels.attrs["horizon"] == whole.attrs["horizon"]


ERRORS = {
    "no field": ("member", "the signals of the panel are none"),
    "no universe": (7, "Got int."),
    "other tickers": (MEMBERS.add_suffix("x"), "Got Ax, Bx, Cx; the panel has A, B, C"),
    "other values": (CLOSES, "must hold true or false"),
    "text": (MEMBERS.astype(str), "must hold true or false"),
    "no order": (MEMBERS.iloc[::-1], "must have increasing dates"),
    "numbers as dates": (MEMBERS.reset_index(drop=True), "of the kind that the panel"),
    "a time zone": (MEMBERS.tz_localize("UTC"), "of the kind that the panel has"),
    "a series": (lambda panel: panel["A"] > 1, "must return a DataFrame"),
    "fewer rows": (lambda panel: panel.iloc[1:] > 1, "with the index of the panel"),
}


@pytest.mark.parametrize(("universe", "advice"), ERRORS.values(), ids=ERRORS)
def test_unclear_universes_are_refused_with_advice(universe, advice):
    with pytest.raises(PanelError, match=re.escape(advice)):
        find_members(CLOSES, universe)


# Slow reference: each cell on its own.


def slow_liquid(close, volume, min_price, top, window):
    members = pd.DataFrame(False, close.index, close.columns)
    for row in range(len(close)):
        traded = {}
        for ticker in close:
            price = close[ticker].iloc[row]
            past = close[ticker] * volume[ticker]
            past = past.iloc[max(0, row + 1 - window) : row + 1]
            if np.isfinite(price) and price >= (min_price or 0):
                enough = past.count() >= max(1, (window + 1) // 2)
                traded[ticker] = past.mean() if enough else -np.inf
        for ticker, value in traded.items():
            larger = sum(other > value for other in traded.values())
            is_ranked = top is None or (np.isfinite(value) and larger < top)
            members.loc[close.index[row], ticker] = is_ranked
    return members


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    min_price=st.sampled_from([None, 4.0]),
    top=st.sampled_from([None, 1, 2, 9]),
    window=st.integers(1, 5),
)
def test_liquid_is_what_a_slow_search_finds(seed, min_price, top, window):
    rng = np.random.default_rng(seed)
    # Whole numbers: equal values are exactly equal in either.
    shape = 9, 4
    close = pd.DataFrame(rng.integers(1, 9, shape) * 1.0, columns=list("ABCD"))
    close = close.mask(rng.random(shape) < 0.2)
    volume = pd.DataFrame(rng.integers(0, 9, shape) * 1.0, columns=list("ABCD"))
    volume = volume.mask(rng.random(shape) < 0.1)
    panel = pd.concat({"Close": close, "Volume": volume}, axis=1)
    rule = liquid(min_price=min_price, top=top, by=f"dollar_volume_{window}")
    panel = check_panel(panel, warn_all_nan=False)
    expected = slow_liquid(close, volume, min_price, top, window)
    assert_frame_equal(rule(panel), expected, check_names=False)
    cut = int(rng.integers(1, 9))
    assert_frame_equal(rule(panel.iloc[:cut]), rule(panel).iloc[:cut])
    # What it says to read is enough.
    start = max(0, cut - 1 - rule.lookback)
    assert rule(panel.iloc[start:cut]).iloc[-1].equals(rule(panel).iloc[cut - 1])


def test_liquid_needs_volumes_only_where_it_compares_them():
    assert liquid(min_price=4)(CLOSES).sum().tolist() == [5, 5, 5]
    assert liquid()(CLOSES).all(axis=None)
    with pytest.raises(PanelError, match="must have volumes to compare"):
        liquid(top=2)(CLOSES)
    assert pickle.loads(pickle.dumps(liquid(top=2))) == liquid(top=2)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"by": "volume_63"}, "Got 'volume_63'."),
        ({"by": "dollar_volume_0"}, "Got 'dollar_volume_0'."),
        ({"min_price": 0}, "must be positive. Got 0."),
        ({"top": 0}, "an int of at least 1. Got 0"),
    ],
)
def test_bad_rules_are_refused(options, advice):
    with pytest.raises(ValueError, match=re.escape(advice)):
        liquid(**options)
