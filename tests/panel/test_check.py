import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pandas.testing import assert_frame_equal
from scipy import sparse

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel
from skbatch.panel.engine import inspect_panel

DATES = pd.bdate_range("2024-01-01", periods=4)


def wide(values=None, columns=("A", "B"), index=DATES, **kwargs):
    if values is None:
        values = np.arange(1.0, 1 + len(index) * len(columns)).reshape(len(index), -1)
    columns = columns if isinstance(columns, pd.Index) else list(columns)
    return pd.DataFrame(values, index=index, columns=columns, **kwargs)


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    "index",
    [
        DATES,
        DATES.tz_localize("America/New_York"),
        pd.period_range("2024-01", periods=4, freq="M"),
        pd.RangeIndex(4),
        pd.Index([3, 7, 8, 20]),
        pd.Index([0.5, 1.5, 2.0, 9.0]),
    ],
    ids=["dates", "time zone", "periods", "rows", "numbers", "decimals"],
)
def test_a_clean_panel_is_returned_itself(index):
    panel = wide(index=index)
    assert check_panel(panel) is panel


def test_an_array_gets_tickers_and_is_not_copied():
    array = np.ones((3, 2))
    panel = check_panel(array)
    assert_frame_equal(panel, pd.DataFrame({"x0": [1.0] * 3, "x1": [1.0] * 3}))
    assert np.shares_memory(panel.to_numpy(), array)


@pytest.mark.parametrize(
    "make",
    [
        np.asfortranarray,
        lambda array: array.tolist(),
        lambda array: array.astype(object),
        lambda array: array.astype(np.float32),
        lambda array: array.astype(np.uint8),
    ],
    ids=["fortran", "list", "object", "float32", "uint8"],
)
def test_arrays_of_any_number_type(make):
    array = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(check_panel(make(array)).to_numpy(), array)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, 3, 4], "int64"),
        ([1.5, 2, 3, np.nan], "float32"),
        ([1.5, 2, 3, None], "Float64"),
        ([1, 2, 3, None], "Int64"),
        ([1.5, 2, 3, None], "double[pyarrow]"),
        ([1.5, 2, 3, None], object),
        ([1.5, 2, 3, pd.NA], object),
        ([Decimal("1.5"), 2, 3, None], object),
        ([1.5, 2, 3, np.nan], pd.SparseDtype("float64")),
    ],
    ids=str,
)
def test_every_numeric_type_becomes_float64(values, dtype):
    if "pyarrow" in str(dtype):
        pytest.importorskip("pyarrow")
    panel = wide()
    panel["A"] = pd.Series(values, index=panel.index, dtype=dtype)
    before = panel.copy()
    checked = check_panel(panel)
    assert (checked.dtypes == np.float64).all()
    expected = [np.nan if pd.isna(value) else float(value) for value in values]
    np.testing.assert_array_equal(checked["A"], expected)
    np.testing.assert_array_equal(checked["B"], panel["B"])
    assert_frame_equal(panel, before)


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_tickers_of_any_text_type(dtype):
    panel = wide()
    panel.columns = pd.Index(["A", "B"], dtype=dtype)
    assert list(check_panel(panel).columns) == ["A", "B"]


def test_one_ticker_and_one_row():
    assert check_panel(wide(columns=["A"])).shape == (4, 1)
    assert check_panel(wide().iloc[[0]]).shape == (1, 2)


def test_attributes_survive():
    panel = wide(np.ones((4, 2), dtype=np.float32))
    panel.attrs["source"] = "vendor"
    assert check_panel(panel).attrs == {"source": "vendor"}


# ---------------------------------------------------------------- what is refused

BAD_PANELS = {
    "series": (wide()["A"], '.to_frame("TICKER")'),
    "row of a table": (wide().iloc[-1], "`X.iloc[[-1]]`"),
    "one-dimensional": (np.ones(4), "Reshape your data"),
    "three-dimensional": (np.ones((2, 2, 2)), "Got 3 dimension"),
    "sparse": (sparse.eye_array(3), ".toarray()"),
    "no rows": (np.empty((0, 3)), "0 samples"),
    "no columns": (
        np.empty((12, 0)),
        "0 feature(s) (shape=(12, 0)) while a minimum of 1 is required.",
    ),
    "complex": (np.ones((3, 2)) * 1j, "Complex data not supported"),
    "unsorted": (wide(index=DATES[[0, 2, 1, 3]]), "`X.sort_index()`"),
    "newest first": (wide(index=DATES[::-1]), "2024-01-03 after 2024-01-04"),
    "duplicated date": (
        wide(index=DATES[[0, 1, 1, 3]]),
        "duplicates of 2024-01-02. Keep the last row of each with",
    ),
    "missing date": (
        wide(index=pd.DatetimeIndex([*DATES[:3], pd.NaT])),
        "`X.loc[X.index.notna()]`",
    ),
    "missing row number": (wide(index=[0, 1, np.nan, 3]), "row 2"),
    "dates as text": (wide(index=DATES.astype(str)), "Read the table with `read_pa"),
    "dates as objects": (wide(index=DATES.date), "Read the table with `read_panel"),
    "long table": (
        wide(index=pd.MultiIndex.from_product([DATES[:2], ["A", "B"]])),
        "`read_panel(X.reset_index())`",
    ),
    "duplicated ticker": (
        wide(columns=["A", "A"]),
        "duplicates of A. Keep the first of each",
    ),
    "number as ticker": (wide(columns=["A", 7]), "Got 7. Convert them"),
    "missing ticker": (wide(columns=["A", np.nan]), "Tickers must be strings"),
    "reserved ticker": (wide(columns=["A", "market"]), "Got 'market'. Rename"),
    "empty ticker": (wide(columns=["A", " "]), "Got ' '. Rename"),
    "one ticker's fields": (
        wide(columns=["Open", "Close"]),
        'pd.concat({"TICKER": X}, axis=1)',
    ),
    "one ticker's fields and more": (
        wide(columns=["Close", "Volume", "High", "VWAP"]),
        'pd.concat({"TICKER": X}, axis=1)',
    ),
    "text array": (np.array([["1.5", "2"], ["3", "4"]]), "Got '1.5' in x0 at 0."),
    "text": (
        wide([["1.5", "2"]] * 4),
        "Got '1.5' in A at 2024-01-01. Read the table with `read_panel(X)`",
    ),
    "text and numbers": (wide([[1.5, "2"]] * 4), "Got '2' in B at 2024-01-01."),
    "text in an array": (np.array([[1.5, "2"]] * 4, dtype=object), "Got '2' in x1"),
    "truth values": (
        wide([[1.5, True]] * 4),
        "Got True in B at 2024-01-01. Drop the column with `X.drop(columns=['B'])`",
    ),
    "truth values, nullable": (wide([[1.5, 1]] * 4).astype({"B": "boolean"}), "in B"),
    "truth value among numbers": (
        wide([[1.5, 2]] * 3 + [[1.5, np.True_]], dtype=object),
        "in B",
    ),
    "dates as prices": (wide().assign(B=DATES), "`read_panel(X, date='B')`"),
    "categories": (wide().astype({"B": "category"}), "Got 2.0 in B at 2024-01-01"),
    "three levels": (
        wide(columns=pd.MultiIndex.from_tuples([("Close", "A", 1), ("Close", "B", 1)])),
        "Got 3 levels. Drop the others",
    ),
}


@pytest.mark.parametrize(("panel", "advice"), BAD_PANELS.values(), ids=BAD_PANELS)
def test_malformed_panels_are_refused_with_advice(panel, advice):
    with pytest.raises(PanelError, match=re.escape(advice)):
        check_panel(panel)


def test_objects_that_are_no_numbers_give_the_error_of_scikit_learn():
    array = np.ones((3, 2), dtype=object)
    array[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        check_panel(array)


def test_too_few_rows():
    assert len(check_panel(wide(), min_dates=4)) == 4
    with pytest.raises(PanelError, match=r"at least 5 dates. Got n_samples = 4"):
        check_panel(wide(), min_dates=5)
    with pytest.raises(PanelError, match="1 sample"):
        check_panel(wide().iloc[[0]], min_dates=2)


# ---------------------------------------------------------------- what is mended


def slow_clean(values):
    """Keep positive finite prices, cell by cell."""
    clean = np.full(values.shape, np.nan)
    for cell, value in np.ndenumerate(values):
        if 0 < value < float("inf"):
            clean[cell] = value
    return clean


cells = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=32), st.just(0.0), st.just(5.0)
)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=cells))
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.PanelWarning")
def test_impossible_prices_become_missing(values):
    before = values.copy()
    panel = check_panel(values)
    np.testing.assert_array_equal(panel.to_numpy(), slow_clean(values))
    np.testing.assert_array_equal(values, before)
    assert check_panel(panel) is panel


@pytest.mark.parametrize("bad", [0.0, -0.0, -3.0, np.inf, -np.inf])
def test_impossible_prices_are_told_once(bad):
    panel = wide(columns=["A", "B", "C"])
    panel.iloc[1, 0] = panel.iloc[2, 0] = panel.iloc[0, 2] = bad
    with pytest.warns(PanelWarning, match=r"Got 3 other values in A, C,") as told:
        check_panel(panel)
    assert len(told) == 1
    assert "set them to NaN" in str(told[0].message)


def test_tickers_without_prices_are_told():
    panel = wide(columns=["A", "B", "C"])
    panel[["A", "C"]] = np.nan
    with pytest.warns(PanelWarning, match=r"none at all for A, C, .*Drop") as told:
        checked = check_panel(panel)
    assert len(told) == 1
    assert_frame_equal(checked, panel)
    assert check_panel(panel, warn_all_nan=False) is panel


def test_two_problems_are_told_in_one_warning():
    with pytest.warns(PanelWarning, match=r"1 other value.*none at all for A") as told:
        check_panel(pd.DataFrame({"A": [0.0], "B": [1.0]}))
    assert len(told) == 1


def test_only_five_tickers_are_named():
    panel = wide(np.full((4, 8), -1.0), columns=list("ABCDEFGH"))
    with pytest.warns(PanelWarning, match=r"32 other values in A, B, C, D, E and 3"):
        check_panel(panel, warn_all_nan=False)


# ---------------------------------------------------------------- what is marked


def invalid_values(X):
    """Mark what the check drops."""
    inspected = inspect_panel(X)
    return inspected.marked().eq(0) & inspected.panel.ne(0)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=cells))
def test_impossible_prices_are_marked(values):
    marked = invalid_values(values)
    assert list(marked.columns) == [f"x{n}" for n in range(values.shape[1])]
    dropped = np.isnan(slow_clean(values)) & ~np.isnan(values)
    np.testing.assert_array_equal(marked.to_numpy(), dropped)


def test_marks_stand_where_the_checked_panel_has_its_columns():
    tickers = pd.MultiIndex.from_product([["B", "A"], ["volume", "close", "open"]])
    panel = wide(np.ones((4, 6)), columns=tickers)
    panel.loc[DATES[1], ("A", "close")] = 0.0
    panel.loc[DATES[2], ("A", "volume")] = 0.0
    panel.loc[DATES[3], ("B", "volume")] = -1.0
    with pytest.warns(PanelWarning):
        checked = check_panel(panel)
    marked = invalid_values(panel)
    assert marked.columns.equals(checked.columns)
    assert marked.index.equals(checked.index)
    assert set(map(str, marked.dtypes)) == {"bool"}
    rows, columns = np.nonzero(marked.to_numpy())
    found = [(row, *marked.columns[n]) for row, n in zip(rows, columns, strict=True)]
    assert found == [(1, "Close", "A"), (3, "Volume", "B")]


def test_an_impossible_adjusted_close_marks_the_close():
    fields = ["Adj Close", "Close", "High"]
    panel = wide(
        np.ones((4, 6)), columns=pd.MultiIndex.from_product([fields, list("AB")])
    )
    panel.loc[DATES[1], ("Adj Close", "B")] = -1.0
    panel.loc[DATES[2], ("Close", "A")] = np.inf
    before = panel.copy()
    with pytest.warns(PanelWarning):
        checked = check_panel(panel)
    marked = invalid_values(panel)
    assert marked.columns.equals(checked.columns)
    expected = pd.DataFrame(False, index=DATES, columns=marked.columns)
    expected.loc[DATES[1], ("Close", "B")] = True
    expected.loc[DATES[2], ("Close", "A")] = True
    assert_frame_equal(marked, expected)
    assert_frame_equal(panel, before)


def test_tickers_named_like_fields_are_marked():
    marked = invalid_values(wide([[1.0, 0.0]] * 4, columns=["OPEN", "B"]))
    assert marked.to_numpy().tolist() == [[False, True]] * 4


@pytest.mark.parametrize(
    "panel", [bad for bad, _ in BAD_PANELS.values()], ids=BAD_PANELS
)
def test_malformed_panels_have_no_marks(panel):
    with pytest.raises(PanelError):
        invalid_values(panel)
