import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch.panel import split_column
from skbatch.panel.engine import (
    MARKET,
    PanelColumns,
    are_among,
    join_column,
    join_columns,
)

tickers = st.text("ABZ_.-0", min_size=1, max_size=6)
features = st.from_regex(r"[a-z][a-z0-9]*(_[a-z0-9]+){0,2}", fullmatch=True)


@given(tickers, features)
def test_split_undoes_join(ticker, feature):
    assert split_column(join_column(ticker, feature)) == (ticker, feature)


def test_columns_are_named_feature_by_feature():
    expected = ["A__x_5", "B__C__x_5", "A__y", "B__C__y"]
    assert join_columns(["A", "B__C"], ["x_5", "y"]) == expected


def test_names_are_among_some_as_pandas_finds_them():
    for names in (pd.Index(["A", "B", "A"]), pd.Index([], dtype=str)):
        for chosen in ({"B": 1}, ["A", "C"], (), {"A", "B"}):
            expected = names.isin(list(chosen))
            np.testing.assert_array_equal(are_among(names, chosen), expected)


def test_columns_equal_those_of_the_same_names_alone():
    names = ["A__x", "B__x", "A__y", "A__in_universe", "vix"]
    columns = PanelColumns.parse(names)
    assert columns.equals(PanelColumns.parse(names))
    for place, name in enumerate(["C__x", "B__z", "vix2", "A__z_grouping"]):
        others = names.copy()
        others[[0, 1, 4, 3][place]] = name
        assert not columns.equals(PanelColumns.parse(others))
    for first, second in ((0, 1), (0, 2), (2, 3), (2, 4)):
        others = names.copy()
        others[first], others[second] = names[second], names[first]
        assert not columns.equals(PanelColumns.parse(others))


@given(features)
def test_a_name_without_separator_belongs_to_no_ticker(feature):
    assert split_column(feature) == (None, feature)


def test_positions_of_a_feature_major_frame_are_its_columns():
    names = ["A", "B__C", "D"]
    columns = [f"{ticker}__{feature}" for feature in ("x_5", "y") for ticker in names]
    parsed = PanelColumns.parse([*columns, "market__dispersion", "vix"])
    assert parsed.tickers == ("A", "B__C", "D")
    assert parsed.features == ("x_5", "y")
    np.testing.assert_array_equal(parsed.positions, [[0, 3], [1, 4], [2, 5]])
    assert parsed.shared == ("market__dispersion", "vix")
    np.testing.assert_array_equal(parsed.shared_positions, [6, 7])


@given(
    st.dictionaries(
        st.tuples(tickers.filter(lambda ticker: ticker != MARKET), features),
        st.none(),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_every_column_is_found_where_it_stands(pairs, random):
    order = list(pairs)
    random.shuffle(order)
    parsed = PanelColumns.parse([join_column(*pair) for pair in order])
    found = {
        (ticker, feature): parsed.positions[row, column]
        for row, ticker in enumerate(parsed.tickers)
        for column, feature in enumerate(parsed.features)
    }
    expected = dict.fromkeys(found, -1)
    expected.update({pair: number for number, pair in enumerate(order)})
    assert found == expected


def test_a_ticker_that_lacks_a_feature_has_no_position():
    parsed = PanelColumns.parse(["A__x", "A__y", "B__y"])
    np.testing.assert_array_equal(parsed.positions, [[0, 1], [-1, 2]])


def test_categories_are_known_by_their_names():
    names = ["sector_category", "category_gap", "rating_category", "x"]
    parsed = PanelColumns.parse([f"A__{name}" for name in names])
    assert parsed.categories == ("sector_category", "rating_category")


@pytest.mark.parametrize("columns", [[], ["vix", "market__return_1"]])
def test_columns_without_tickers(columns):
    parsed = PanelColumns.parse(columns)
    assert parsed.positions.shape == (0, 0)
    assert parsed.positions.dtype == np.intp
    assert parsed.shared == tuple(columns)
    np.testing.assert_array_equal(parsed.shared_positions, range(len(columns)))
