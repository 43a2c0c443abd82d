"""Signals join a panel as of the date on which they became known."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel, join_signals
from skbatch.panel.engine import panel_signals

DAY = pd.Timedelta("1D")
DATES = pd.bdate_range("2024-01-01", periods=12)
CLOSES = pd.DataFrame(
    np.arange(1.0, 37.0).reshape(12, 3), DATES, pd.Index(["A", "B", "C"])
)
ignore_reports = pytest.mark.filterwarnings("ignore:Signals must be recent")


def reports(rows, columns=("ticker", "published", "eps")):
    return pd.DataFrame(rows, columns=list(columns))


def joined(table, name="eps", prices=CLOSES, **options):
    return panel_signals(join_signals(prices, table, **options))[name]


def test_values_show_from_the_date_on_which_they_became_known():
    table = reports(
        [("A", "2024-01-03", 1.0), ("B", "2023-12-29", 2.0), ("A", "2024-01-10", 3.0)]
    )
    expected = pd.DataFrame(
        {"A": [np.nan] * 2 + [1.0] * 5 + [3.0] * 5, "B": 2.0, "C": np.nan}, DATES
    )
    found = joined(table, known="published")
    assert_frame_equal(found, expected, check_names=False)


def test_the_panel_comes_first_and_is_canonical():
    panel = pd.concat({"Close": CLOSES, "Volume": CLOSES, "zeta": -CLOSES}, axis=1)
    table = reports([("A", DATES[0], 1.0, "x")], ["symbol", "known", "eps", "sector"])
    result = join_signals(panel, table, known="known")
    assert list(result.columns.unique("field")) == [
        *("Close", "Volume", "zeta"),
        *("eps", "sector"),
    ]
    assert check_panel(result) is result
    assert_frame_equal(result.iloc[:, :9], check_panel(panel))


# A slow reference: every cell on its own.


def slow_join(table, dates, tickers, max_age, lag):
    result = pd.DataFrame(np.nan, dates, tickers)
    rows = [
        (t if t == t.normalize() else t.normalize() + DAY, t, ticker, value, *period)
        for ticker, t, value, *period in table.itertuples(index=False)
    ]
    for row, column in np.ndindex(result.shape):
        known = [r for r in rows if r[2] == tickers[column]]
        known = [r for r in known if row >= lag and r[0] <= dates[row - lag]]
        latest = max((r[4:] for r in known), default=None)
        known = sorted((r for r in known if r[4:] == latest), key=lambda r: r[1])
        if known and dates[row] <= known[-1][0] + max_age * DAY:
            result.iloc[row, column] = known[-1][3]
    return result


ROWS = st.lists(
    st.tuples(
        st.sampled_from("ABCX"),
        st.integers(-40, 24 * 20),
        st.one_of(st.just(np.nan), st.integers(-5, 5).map(float)),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda row: (row[0], row[1], row[3]),
)


def make_table(rows, hours):
    times = [
        DATES[0] + pd.Timedelta(hours=hour if hours else hour // 24 * 24)
        for _, hour, _, _ in rows
    ]
    table = pd.DataFrame(rows, columns=["ticker", "published", "eps", "period"])
    return table.assign(published=pd.DatetimeIndex(times)).drop_duplicates(
        ["ticker", "published", "period"]
    )


@ignore_reports
@settings(max_examples=50)
@given(
    rows=ROWS,
    hours=st.booleans(),
    max_age=st.integers(0, 9),
    lag=st.integers(0, 2),
    vintages=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_order_of_rows_shows_what_a_slow_search_finds(
    rows, hours, max_age, lag, vintages, seed
):
    table = make_table(rows, hours)
    if not vintages:
        table = table.drop(columns="period")
        table = table.drop_duplicates(["ticker", "published"])
    if not table["ticker"].isin(list("ABC")).any():
        return
    expected = slow_join(table, DATES, list("ABC"), max_age, lag)
    options = {"known": "published", "max_age": f"{max_age}D", "lag": lag}
    if vintages:
        options["period"] = "period"
    shuffled = table.sample(frac=1, random_state=seed)
    for given_table in (table, shuffled):
        found = joined(given_table, **options)
        assert_frame_equal(found, expected, check_names=False, check_freq=False)


@ignore_reports
@settings(max_examples=40)
@given(rows=ROWS, cut=st.integers(0, 11), vintages=st.booleans())
def test_no_value_shows_before_it_is_known(rows, cut, vintages):
    table = make_table(rows, hours=True)
    if not table["ticker"].isin(list("ABC")).any():
        return
    options = {"known": "published"}
    if vintages:
        options["period"] = "period"
    else:
        table = table.drop(columns="period")
    before = joined(table, **options)
    later = table["published"] >= DATES[cut] + DAY
    changed = table.assign(eps=table["eps"].mask(later, 1e6))
    after = joined(changed.sample(frac=1, random_state=cut), **options)
    # Rows that come twice may change places, with a report.
    if not table.duplicated([c for c in table if c != "eps"]).any():
        assert_frame_equal(before.iloc[: cut + 1], after.iloc[: cut + 1])
    assert not (after.iloc[: cut + 1] == 1e6).any(axis=None)


def test_a_restatement_of_an_old_period_does_not_replace_a_new_one():
    columns = ["ticker", "published", "quarter", "eps"]
    table = reports(
        [
            ("A", "2024-01-02", "2023Q3", 1.0),
            ("A", "2024-01-04", "2023Q4", 2.0),
            ("A", "2024-01-08", "2023Q3", 1.5),
            ("A", "2024-01-10", "2023Q4", 2.5),
        ],
        columns,
    )
    expected = [np.nan, 1, 1, 2, 2, 2, 2, 2.5, 2.5, 2.5, 2.5, 2.5]
    for quarters in (
        table["quarter"],
        table["quarter"].str.replace("Q", "-Q"),
        pd.PeriodIndex(table["quarter"], freq="Q"),
        pd.PeriodIndex(table["quarter"], freq="Q").to_timestamp(how="end"),
    ):
        found = joined(
            table.assign(quarter=quarters), known="published", period="quarter"
        )
        np.testing.assert_array_equal(found["A"], expected)


def test_a_time_of_day_waits_for_the_next_row():
    table = reports([("A", "2024-01-03 08:00", 1.0), ("B", "2024-01-03 00:00", 2.0)])
    table["published"] = pd.to_datetime(table["published"], format="ISO8601")
    found = joined(table, known="published")
    assert found["A"].first_valid_index() == DATES[3]
    assert found["B"].first_valid_index() == DATES[2]


def test_rows_with_times_show_what_was_known_by_then():
    hours = pd.date_range("2024-01-01", periods=12, freq="6h") + pd.Timedelta("1h")
    table = reports(
        [
            ("A", pd.Timestamp("2024-01-02 07:00"), 1.0),
            ("B", pd.Timestamp("2024-01-02"), 2),
        ]
    )
    found = joined(table, prices=CLOSES.set_axis(hours), known="published")
    assert found["A"].first_valid_index() == pd.Timestamp("2024-01-02 07:00")
    # A date counts as its close, which is over with the first row of the next day.
    assert found["B"].first_valid_index() == pd.Timestamp("2024-01-03 01:00")


def test_times_are_converted_to_the_zone_of_the_panel():
    prices = CLOSES.tz_localize("America/New_York")
    utc = pd.Timestamp("2024-01-04 02:00", tz="UTC")  # the evening of the third
    found = joined(reports([("A", utc, 1.0)]), prices=prices, known="published")
    assert found["A"].first_valid_index() == prices.index[3]
    dates = reports([("A", "2024-01-03", 1.0)])
    found = joined(dates, prices=prices, known="published")
    assert found["A"].first_valid_index() == prices.index[2]


def test_ages_count_time_or_rows():
    table = reports([("A", "2024-01-05", 1.0)])
    for max_age, n_rows in (
        ("3D", 2),
        (pd.Timedelta("2D"), 1),
        (0, 1),
        (3, 4),
        (None, 8),
    ):
        options = {"known": "published", "max_age": max_age}
        if n_rows < 8:
            with pytest.warns(PanelWarning, match="older than `max_age`"):
                found = joined(table, **options)
        else:
            found = joined(table, **options)
        np.testing.assert_array_equal(
            found["A"].notna(), [False] * 4 + [True] * n_rows + [False] * (8 - n_rows)
        )


def test_panels_without_dates_join_by_row_numbers():
    prices = CLOSES.reset_index(drop=True)
    table = reports([("A", 3, 1.0), ("A", 7, 2.0)])
    found = joined(table, prices=prices, known="published", max_age=20)
    np.testing.assert_array_equal(found["A"], [np.nan] * 3 + [1.0] * 4 + [2.0] * 5)
    with pytest.raises(PanelError, match="must be a number of rows"):
        join_signals(prices, table, known="published")


def test_wide_tables_are_shown_as_of_their_newest_row():
    table = CLOSES.iloc[::3] * 10
    table.iloc[1, 0] = np.nan
    found = joined({"iv": table}, "iv")
    expected = table.reindex(DATES, method="ffill")
    expected.iloc[3:6, 0] = np.nan  # missing is missing
    assert_frame_equal(found, expected, check_names=False, check_freq=False)
    subset = joined({"iv": table[["C", "A"]].iloc[::-1]}, "iv")
    assert subset["B"].isna().all()
    assert_frame_equal(subset[["A", "C"]], expected[["A", "C"]], check_names=False)


def test_one_table_after_the_other():
    panel = join_signals(CLOSES, {"iv": CLOSES, "flow": CLOSES - 40})
    table = reports([("A", DATES[0], 1.0)])
    panel = join_signals(panel, table, known="published")
    assert list(panel_signals(panel)) == ["iv", "flow", "eps"]


def test_categories_and_masks_join():
    table = reports(
        [("A", "2024-01-03", "oil", True), ("B", "2023-12-29", "tech", False)],
        ["ticker", "published", "sector", "member"],
    )
    signals = panel_signals(join_signals(CLOSES, table, known="published"))
    sectors = signals["sector"]
    assert list(sectors["A"].cat.categories) == ["oil", "tech"]
    assert sectors["A"].isna().sum() == 2
    assert (sectors["A"].iloc[2:] == "oil").all()
    assert (sectors["B"] == "tech").all()
    assert sectors["C"].isna().all()
    np.testing.assert_array_equal(signals["member"]["A"], [np.nan] * 2 + [1.0] * 10)
    members = {"member": CLOSES > 4, "sector": CLOSES.map(lambda x: f"s{x % 2}")}
    signals = panel_signals(join_signals(CLOSES, members))
    assert_frame_equal(signals["member"], CLOSES > 4, check_names=False)
    assert (signals["sector"]["B"].cat.codes == [0, 1] * 6).all()


def test_tables_of_polars_join():
    polars = pytest.importorskip("polars")
    table = reports([("A", pd.Timestamp("2024-01-03"), 1.0)])
    wide = CLOSES.rename_axis("date").reset_index()
    panel = join_signals(CLOSES, polars.from_pandas(table), known="published")
    assert_frame_equal(panel, join_signals(CLOSES, table, known="published"))
    panel = join_signals(CLOSES, {"iv": polars.from_pandas(wide)})
    assert_frame_equal(panel["iv"], CLOSES, check_names=False, check_freq=False)


PROBLEMS = {
    "unknown tickers": (
        [("A", "2024-01-03", 1.0), ("X", "2024-01-03", 1.0)],
        "1 ticker in `signals` that the prices lack (X)",
    ),
    "no date": (
        [("A", "2024-01-03", 1.0), ("A", None, 1.0)],
        "1 row of `signals` without a date or ticker",
    ),
    "no ticker": (
        [("A", "2024-01-03", 1.0), (None, "2024-01-03", 1.0)],
        "1 row of `signals` without a date or ticker",
    ),
    "duplicates": (
        [("A", "2024-01-03", 1.0), ("B", "2024-01-03", 1), ("A", "2024-01-03", 2.0)],
        "1 row of `signals` that are repeated, such as A on 2024-01-03",
    ),
    "before the first price": (
        [("C", "2024-01-02", 1.0), ("C", "2024-01-04", 1.0)],
        "1 value of `signals` known before the first price of the ticker (C)",
    ),
    "too old": (
        [("A", "2022-01-03", 1.0), ("B", "2024-01-03", 1.0)],
        "values of `signals` older than `max_age` at the last row for 1 ticker (A)",
    ),
    "the end of a table": (
        [("A", f"2023-12-{day}", 1.0) for day in (26, 27, 28, 29)],
        "no value of `signals` known after 2024-01-01, 11 rows before the last",
    ),
}


@pytest.mark.parametrize(("rows", "problem"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems_are_reported_in_one_warning(rows, problem):
    prices = CLOSES.assign(C=CLOSES["C"].where(CLOSES.index >= "2024-01-04"))
    with pytest.warns(PanelWarning, match=re.escape(problem)) as warned:
        found = joined(reports(rows), prices=prices, known="published")
    assert len(warned) == 1
    if "are repeated" in problem:
        assert found["A"].iloc[-1] == 2.0


def test_all_problems_come_together():
    rows = [row for rows, _ in PROBLEMS.values() for row in rows]
    with pytest.warns(PanelWarning, match="lack.*without.*are repeated") as warned:
        join_signals(CLOSES, reports(rows), known="published")
    assert len(warned) == 1


def test_dates_that_are_ends_of_periods_are_reported():
    table = reports([("A", "2024-01-03", 1.0), ("B", "2024-01-04", 1.0)])
    table["ends"] = table["published"]
    with pytest.warns(PanelWarning, match="they may be ends of periods"):
        join_signals(CLOSES, table, known="published", period="ends")


LONG = reports([("A", "2024-01-03", 1.0)])
ZONE = reports([("A", pd.Timestamp("2024-01-03", tz="UTC"), 1.0)])
ERRORS = {
    "no dates": (CLOSES, LONG, {}, "`known` must be the column with the dates"),
    "another column": (CLOSES, LONG, {"known": "when"}, "Got 'when'. Choose from"),
    "another ticker": (
        CLOSES,
        LONG,
        {"known": "published", "ticker": "id"},
        "`ticker` must be a column of the table. Got 'id'",
    ),
    "no ticker of the panel": (
        CLOSES,
        LONG.assign(ticker="a"),
        {"known": "published"},
        "Got a, none of which is among A, B, C.",
    ),
    "a price": (
        CLOSES,
        LONG.assign(close=1.0),
        {"known": "published"},
        "Signals must not be named like prices, volume",
    ),
    "dividends": (
        CLOSES,
        LONG.assign(dividends=1.0),
        {"known": "published"},
        "Got 'dividends'. Rename it",
    ),
    "what may be adjusted": (
        CLOSES,
        LONG.assign(adj_factor=1.0),
        {"known": "published"},
        "must have a name that is known",
    ),
    "a signal again": (
        pd.concat({"Close": CLOSES, "eps": CLOSES}, axis=1),
        LONG,
        {"known": "published"},
        "Got 'eps' twice, or in the panel already",
    ),
    "no signal": (
        CLOSES,
        LONG[["ticker", "published"]],
        {"known": "published"},
        "Got n",
    ),
    "a series": (CLOSES, LONG["eps"], {"known": "published"}, "Pass a DataFrame."),
    "a time zone": (CLOSES, ZONE, {"known": "published"}, "must have no time zone"),
    "no time zone": (
        CLOSES.tz_localize("UTC"),
        reports([("A", pd.Timestamp("2024-01-03 10:00"), 1.0)]),
        {"known": "published"},
        "must have a time zone",
    ),
    "dates as values": (
        CLOSES,
        LONG.assign(end=pd.Timestamp("2024-01-01")),
        {"known": "published"},
        "Got datetime64 values in 'end'",
    ),
    "columns beside wide tables": (
        CLOSES,
        {"iv": CLOSES},
        {"known": "x"},
        "wide tables",
    ),
    "two levels": (
        CLOSES,
        {"iv": pd.concat({"a": CLOSES}, axis=1)},
        {},
        "'iv' must have one column per ticker",
    ),
    "a negative lag": (CLOSES, LONG, {"known": "published", "lag": -1}, "Got -1."),
    "no age": (CLOSES, LONG, {"known": "published", "max_age": "old"}, "Got 'old'."),
    "dates of two meanings": (
        CLOSES,
        LONG.assign(published="03/04/2024"),
        {"known": "published"},
        "Dates must have one meaning only",
    ),
}


@pytest.mark.parametrize(
    ("prices", "table", "options", "advice"), ERRORS.values(), ids=ERRORS
)
def test_unclear_tables_are_refused_with_advice(prices, table, options, advice):
    with pytest.raises((PanelError, ValueError), match=re.escape(advice)):
        join_signals(prices, table, **options)
