import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch.exceptions import PortfolioError
from skbatch.portfolio._match import asked_tickers, match_columns


@pytest.mark.parametrize(
    "asked", ["BRK.B", "BRK-B", "BRK/B", "BRK B", "BRK_B", "brk.b"]
)
@pytest.mark.parametrize("column", ["BRK.B", "BRK-B", "BRK/B", "BRK B", "brk-b"])
def test_share_classes_are_matched(asked, column):
    assert match_columns([asked], ["AAPL", column, "BRK.A"]) == {asked: column}


@given(
    st.lists(st.text("ABCXYZ019", min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from(".-/ _"),
    st.sampled_from(".-/ _"),
    st.booleans(),
)
def test_separators_and_case_do_not_count(parts, one, other, lower):
    column, asked = one.join(parts), other.join(parts)
    asked = asked.lower() if lower else asked
    assert match_columns([asked], ["Q", column]) == {asked: column}


@pytest.mark.parametrize(
    ("asked", "column"),
    [("BRKB", "BRK.B"), ("SAP", "SAP.DE"), ("SAP.DE", "SAP"), ("BRK.A", "BRK.B")],
)
def test_other_tickers_are_not_matched(asked, column):
    assert match_columns([asked], [column]) == {asked: None}


def test_the_same_name_wins():
    columns = ["BRK-B", "BRK.B", "brk.b"]
    for column in columns:
        assert match_columns([column], columns) == {column: column}
    with pytest.raises(PortfolioError, match=r"'BRK/B', which may be any of 'BRK-B'"):
        match_columns(["BRK/B"], columns)


def test_two_tickers_cannot_be_the_same_asset():
    with pytest.raises(
        PortfolioError, match=r"'BRK.B', 'BRK-B', which all mean 'BRK B'"
    ):
        match_columns(["BRK.B", "BRK-B"], ["BRK B"])
    with pytest.raises(PortfolioError, match="different assets"):
        match_columns(["Apple", "AAPL"], ["AAPL"], {"Apple": "AAPL"})
    # Several that are missing are not the same.
    assert match_columns(["X.A", "X-A"], ["A"]) == {"X.A": None, "X-A": None}


def test_names_of_ones_own():
    found = match_columns(["Apple", "MSFT"], ["AAPL", "MSFT"], {"Apple": "AAPL"})
    assert found == {"Apple": "AAPL", "MSFT": "MSFT"}


def test_asked_tickers():
    assert asked_tickers(("B", "A", "B"), ["C"]) == ["B", "A"]
    assert asked_tickers(None, ["C", "D"]) == ["C", "D"]
    with pytest.raises(ValueError, match=r"Got 'AAPL'. Pass \['AAPL'\]"):
        asked_tickers("AAPL", [])
    with pytest.raises(ValueError, match=r"strings\. Got 3, ''"):
        asked_tickers(["A", 3, ""], [])
    with pytest.raises(ValueError, match="at least one"):
        asked_tickers([], [])


def test_names_of_ones_own_match_as_columns_do():
    aliases = {"BRK.B": "Berkshire"}
    found = match_columns(["brk-b", "BF-B"], ["Berkshire", "BF.B"], aliases)
    assert found == {"brk-b": "Berkshire", "BF-B": "BF.B"}
    # What is written out goes before what is alike.
    both = ["Berkshire", "BRK-B"]
    assert match_columns(["BRK-B"], both, aliases) == {"BRK-B": "BRK-B"}
    assert match_columns(["BRK.B"], both, aliases) == {"BRK.B": "Berkshire"}
    with pytest.raises(PortfolioError, match="any of 'X', 'Y'"):
        match_columns(["a b"], ["X", "Y"], {"A-B": "Y", "A.B": "X"})
