"""Companies that had the same ticker at different times, told apart by their ids."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch import forward_returns
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import join_signals, read_panel

DATES = pd.bdate_range("2020-01-01", periods=40, name="date")


@pytest.fixture
def table():
    """One ticker of two companies, one company of two tickers, and a plain one."""
    rows = []
    for row, date in enumerate(DATES):
        if row < 12:
            rows.append((date, "ABC", 10107, 5 + 0.1 * np.sin(row)))
        if row >= 20:
            rows.append((date, "ABC", 20001, 50 + np.sin(row)))
        rows.append((date, "FB" if row < 30 else "META", 13407, 200 + np.cos(row)))
        rows.append((date, "XYZ", 14593, 20 + np.cos(2 * row)))
    return pd.DataFrame(rows, columns=["date", "ticker", "permno", "close"])


def test_each_company_is_a_column(table, tmp_path):
    panel = read_panel(table.sample(frac=1, random_state=0), id="permno")
    assert list(panel) == ["ABC=10107", "ABC=20001", "META", "XYZ"]
    ids = {"ABC=10107": "10107", "ABC=20001": "20001", "META": "13407", "XYZ": "14593"}
    assert panel.attrs["ids"] == panel.iloc[5:, :2].attrs["ids"] == ids
    for name, number in ids.items():
        own = table[table["permno"] == int(number)].set_index("date")["close"]
        pd.testing.assert_series_equal(
            panel[name].dropna(), own, check_names=False, check_freq=False
        )
    path = tmp_path / "prices.csv"
    table.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_panel(path, id="permno"), panel)
    # No return leads from one company to the other.
    labels = forward_returns(panel, 1)
    assert labels.iloc[11:, 0].isna().all()
    assert labels.abs().max().max() < 0.2


def test_signals_of_a_long_table_go_with_their_company(table):
    sectors = pd.Series({10107: "a", 20001: "b", 13407: "c", 14593: "c"})
    table["size"] = table["permno"] / 1000
    table["sector"] = table["permno"].map(sectors)
    panel = read_panel(table, id="permno")
    assert panel["size", "ABC=10107"].dropna().unique().tolist() == [10.107]
    assert panel["sector", "ABC=20001"].dropna().unique().tolist() == ["b"]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_history_of_names_is_read_as_a_slow_loop_does(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    n_ids = data.draw(st.integers(2, 5))
    rows, taken = [], set()
    for row in range(12):
        for number in range(n_ids):
            ticker = random.choice(["AA", "BB", "CC", "DD"])
            if random.random() < 0.7 and (row, ticker) not in taken:
                taken.add((row, ticker))
                rows.append((DATES[row], ticker, f"i{number}", 1 + random.random()))
    table = pd.DataFrame(rows, columns=["date", "ticker", "id", "close"])
    panel = read_panel(table.sample(frac=1, random_state=0), id="id")
    users, latest = {}, {}
    for _, ticker, owner, _ in rows:
        users.setdefault(ticker, set()).add(owner)
        latest[owner] = ticker
    names = {
        owner: f"{ticker}={owner}" if len(users[ticker]) > 1 else ticker
        for owner, ticker in latest.items()
    }
    assert sorted(names.values()) == list(panel)
    expected = {(date, names[owner]): close for date, _, owner, close in rows}
    assert panel.stack().dropna().to_dict() == expected


def test_signals_are_joined_by_id(table):
    panel = read_panel(table, id="permno")
    reports = pd.DataFrame(
        {
            "permno": [10107, 20001, 13407, 99],
            # What the companies are called by now does not matter.
            "ticker": ["OLD", "ABC", "FB", "ABC"],
            "published": DATES[[3, 25, 8, 8]],
            "sales": [1.0, 2.0, 3.0, 4.0],
        }
    )
    with pytest.warns(PanelWarning, match=r"1 ticker in `signals` .* \(99\)"):
        joined = join_signals(panel, reports, known="published", id="permno")
    assert "ticker" not in joined.columns.unique(0)
    for name, first, value in (
        ("ABC=10107", 3, 1.0),
        ("ABC=20001", 25, 2.0),
        ("META", 8, 3.0),
    ):
        expected = np.where(np.arange(40) >= first, value, np.nan)
        np.testing.assert_array_equal(joined["sales", name], expected)
    with pytest.warns(PanelWarning, match="99"):
        alike = join_signals(
            panel,
            reports.drop(columns="ticker").astype({"permno": float}),
            known="published",
            id="permno",
        )
    pd.testing.assert_frame_equal(alike, joined)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {}, "Got 'ticker', 'permno'.*`id=...`"),
        ({}, {"id": "cusip"}, "`id` must be a column .* Got 'cusip'"),
        ({"ticker": None}, {"id": "permno"}, "pass that column as `ticker`"),
        ({"permno": 10107}, {"id": "permno"}, "once. Got duplicates of .*=10107|once"),
        ({"ticker": "ABC"}, {"id": "permno"}, "Got the ids 10107, 13407, 14593 of ABC"),
        ({"permno": np.nan}, {"id": "permno"}, r"Got 112 rows without"),
    ],
)
def test_what_is_ambiguous_raises(table, change, options, message):
    for name, value in change.items():
        table = table.drop(columns=name) if value is None else table.assign(**change)
    with pytest.raises(PanelError, match=message):
        read_panel(table, **options)


def test_ids_are_for_long_tables_of_prices_with_ids(table):
    panel = read_panel(table, id="permno")
    with pytest.raises(PanelError, match="`id` must be a column of a long table"):
        read_panel(panel, id="permno")
    reports = table[["permno", "date", "close"]].rename(columns={"close": "sales"})
    with pytest.raises(PanelError, match=r"must be a column of the table\. Got 'x'"):
        join_signals(panel, reports, known="date", id="x")
    with pytest.raises(ValueError, match="`id` must be columns of a long table"):
        join_signals(panel, {"sales": panel}, id="permno")
    panel.attrs = {}
    with pytest.raises(PanelError, match="Read them with `read_panel"):
        join_signals(panel, reports, known="date", id="permno")


def test_a_missing_whole_number_is_no_ticker():
    dates = pd.bdate_range("2020-01-01", periods=40)
    parts = [
        pd.DataFrame({"date": dates, "ticker": number, "close": 10.0 + np.arange(40)})
        for number in (1, 2)
    ]
    table = pd.concat(parts, ignore_index=True).astype({"ticker": "Int64"})
    table.loc[5, "ticker"] = pd.NA
    with pytest.raises(PanelError, match="Got 1 row without one of them"):
        read_panel(table)
