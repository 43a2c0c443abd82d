"""Numbers as text."""

import io
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch.exceptions import PanelError
from skbatch.panel import check_panel, read_panel

NAN = np.nan
CELLS = {
    "thousands": (["1,234.56", "12", "7.5"], [1234.56, 12, 7.5]),
    "decimal commas": (["1.234,56", "12,5", "7"], [1234.56, 12.5, 7]),
    "commas beside a point": (["1,234", "5.5"], [1234, 5.5]),
    "several commas": (["1,234,567", "3"], [1234567, 3]),
    "India": (["1,23,456.50", "99"], [123456.5, 99]),
    "spaces": (["12 345,67", "1 234", "3"], [12345.67, 1234, 3]),
    "Swiss": (["1'234.50", "2"], [1234.5, 2]),
    "dollars": (["$12", "$1,234.50"], [12, 1234.5]),
    "euros": (["12,50 €", "1.234,00 €"], [12.5, 1234]),
    "codes": (["USD 12.50", "13.5 USD"], [12.5, 13.5]),
    "Hong Kong": (["HK$ 71.30", "71,300.5"], [71.3, 71300.5]),
    "powers": (["1e3", "1.5E-2"], [1000, 0.015]),
    "padded": ([" 7.25 ", "8.5"], [7.25, 8.5]),
    "leading zeros": (["0,123", "0,5"], [0.123, 0.5]),
    "no decimals": (["1234", "5"], [1234, 5]),
    "numbers, too": (["1,234.5", 3.5, 4], [1234.5, 3.5, 4]),
    "missing": (
        ["5.5", "-", "--", "", "NA", "N/A", "#N/A N/A", "#N/A Requesting Data...", "."],
        [5.5, *[NAN] * 8],
    ),
    "dashes": (["5.5", "\N{MINUS SIGN}", "\N{EM DASH}"], [5.5, NAN, NAN]),
    "None": (["5.5", None, NAN], [5.5, NAN, NAN]),
}


@pytest.mark.parametrize("dtype", [object, "string", "category"])
@pytest.mark.parametrize(("cells", "numbers"), CELLS.values(), ids=CELLS)
def test_numbers_as_people_write_them(cells, numbers, dtype):
    values = pd.Series(cells, dtype=object)
    if dtype == "string" and not all(isinstance(c, str) for c in values.dropna()):
        pytest.skip("not all are text")
    days = pd.bdate_range("2024-01-01", periods=len(cells))
    table = pd.DataFrame({"A": values.astype(dtype).array, "B": 1.5}, index=days)
    np.testing.assert_allclose(read_panel(table)["A"], numbers)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=8),
    st.sampled_from([",", ".", " ", ""]),
    st.sampled_from([".", ","]),
)
def test_what_is_written_is_read_or_refused(cents, thousands, decimal):
    if thousands == decimal:
        return
    texts = [
        f"{n / 100:,.2f}".translate({ord(","): thousands, ord("."): decimal})
        for n in cents
    ]
    table = pd.DataFrame({"A": texts})
    np.testing.assert_allclose(read_panel(table)["A"], np.array(cents) / 100)


def test_volumes_may_have_units():
    table = pd.DataFrame({"Close": ["5.5", "6.5"], "Vol.": ["82.49M", "1.2K"]})
    panel = read_panel(table, ticker="A")
    np.testing.assert_allclose(panel["Volume", "A"], [82.49e6, 1200])
    with pytest.raises(PanelError, match=r"Got '82\.49M' in A at 0"):
        read_panel(pd.DataFrame({"A": ["82.49M"], "B": ["1"]}))


def test_shares_have_no_decimals():
    table = pd.DataFrame({"Close": [5.5, 6.5], "Volume": ["1,234", "2,345"]})
    np.testing.assert_allclose(
        read_panel(table, ticker="A")["Volume", "A"], [1234, 2345]
    )


def test_a_comma_that_can_be_read_in_two_ways_shows_both():
    table = pd.DataFrame({"A": ["1,234", "987"], "B": ["2,345", "998"]})
    with pytest.raises(
        PanelError, match=r"'1,234' in A at 0, which may be 1234 or 1\.2"
    ):
        read_panel(table)
    # As the message says.
    thousands = read_panel(table.replace(",", "", regex=True))
    np.testing.assert_array_equal(thousands, [[1234, 2345], [987, 998]])
    decimals = read_panel(table.replace(",", ".", regex=True))
    np.testing.assert_array_equal(decimals, [[1.234, 2.345], [987, 998]])


BAD_CELLS = {
    "two decimal signs": (["1.5", "1,5"], "Got '1.5' in A at 0, and '1,5' in A at 1."),
    "two currencies": (["$1", "€2"], "must have one currency. Got $, € in A."),
    "no number": (["5", "n/k"], "Got 'n/k' in A at 1. Correct it"),
    "pence": (["12p"], "Got '12p' in A at 0."),
    "per cent": (["1.2%"], "Got '1.2%' in A at 0."),
    "truth": ([True, 5], "Got True in A at 0."),
    "an error of a spreadsheet": (["#REF!"], "Got '#REF!' in A at 0."),
}


@pytest.mark.parametrize(("cells", "advice"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_other_text_is_refused_and_named(cells, advice):
    table = pd.DataFrame({"A": pd.Series(cells, dtype=object), "B": 1.5})
    with pytest.raises(PanelError, match=re.escape(advice)):
        read_panel(table)


def test_following_the_advice_gives_the_right_table(closes):
    table = closes.astype(object)
    table.iloc[3, 2] = "n/k"
    table.iloc[5, 1] = "$3,499.50"
    with pytest.raises(PanelError, match=r"'n/k' in MSFT at .*`read_panel\(X\)`"):
        check_panel(table.drop(columns="BRK.B"))
    with pytest.raises(PanelError, match=r"`X\.replace\('n/k', np\.nan\)`"):
        read_panel(table)
    expected = closes.copy()
    expected.iloc[3, 2] = NAN
    expected.iloc[5, 1] = 3499.5
    with warnings.catch_warnings():
        # pandas 2.2 announces that types will no longer be inferred.
        warnings.simplefilter("ignore", FutureWarning)
        corrected = table.replace("n/k", np.nan)
    panel = read_panel(corrected)
    pd.testing.assert_frame_equal(panel, expected, check_column_type=False)


def german(value):
    return f"{value:,.2f}".translate({ord(","): ".", ord("."): ","})


FILES = {
    "American": (",", lambda x: f'"${x:,.2f}"', "%m/%d/%Y"),
    "German": (";", german, "%d.%m.%Y"),
    "German, tabs": ("\t", german, "%d.%m.%Y"),
    "bars": ("|", str, "%Y-%m-%d"),
    "padded": (" , ", str, "%Y-%m-%d"),
}


@pytest.mark.parametrize(("separator", "write", "form"), FILES.values(), ids=FILES)
def test_files_of_any_country(separator, write, form, closes, tmp_path):
    closes.iloc[0] = closes.iloc[0].round()  # the first row has no decimals
    lines = [separator.join(["Date", *closes])]
    for day, row in closes.iterrows():
        lines.append(separator.join([day.strftime(form), *map(write, row)]))
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    panel = read_panel(path)
    np.testing.assert_allclose(panel, closes)
    assert list(panel) == list(closes)
    assert list(panel.index) == list(closes.index)


@pytest.mark.parametrize("missing", ["-", "--", "#N/A N/A", ".", "NaN", "", "#N/A"])
def test_marks_for_missing_prices_in_files(missing, closes, tmp_path):
    closes.iloc[0, 0] = closes.iloc[3, 1] = closes.iloc[-1, 2] = NAN
    closes.to_csv(tmp_path / "prices.csv", na_rep=missing)
    np.testing.assert_allclose(read_panel(tmp_path / "prices.csv"), closes)


def test_points_of_thousands_are_told_from_other_columns(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("Datum;A;B\n02.01.2024;1.234;987,50\n13.01.2024;1.250;988\n")
    panel = read_panel(path)
    np.testing.assert_array_equal(panel, [[1234, 987.5], [1250, 988]])
    frame = pd.read_csv(io.StringIO(path.read_text()), sep=";", dtype=str)
    np.testing.assert_array_equal(read_panel(frame), panel)
