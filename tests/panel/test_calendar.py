import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel, periods_per_year
from skbatch.panel._calendar import mixed_calendars
from skbatch.panel.engine import describe_rows, number_calendars


@pytest.mark.parametrize(
    ("freq", "expected"),
    [
        ("B", 252),
        ("D", 365),
        ("W-FRI", 52),
        ("2W", 26),
        ("SME", 24),
        ("ME", 12),
        ("BME", 12),
        ("2ME", 6),
        ("QE", 4),
        ("6ME", 2),
        ("YE", 1),
        ("BYE", 1),
    ],
)
def test_usual_calendars(freq, expected):
    for n_rows in (40, 200):
        assert (
            periods_per_year(pd.date_range("2001-01-01", periods=n_rows, freq=freq))
            == expected
        )


@pytest.mark.parametrize(
    ("freq", "expected"), [("D", 365), ("M", 12), ("W", 52), ("Q", 4)]
)
def test_periods_are_dates(freq, expected):
    assert (
        periods_per_year(pd.period_range("2001-01", periods=60, freq=freq)) == expected
    )


def test_numbers_do_not_tell():
    assert periods_per_year(pd.RangeIndex(50)) == 252
    assert periods_per_year(pd.Index([3.0, 4.5])) == 252


@given(
    st.sampled_from([("B", 252), ("D", 365), ("W-WED", 52), ("ME", 12)]),
    st.integers(0, 400),
    st.sets(st.integers(1, 298), max_size=15),
    st.sampled_from([None, "Europe/Berlin", "America/New_York"]),
)
def test_holidays_time_zones_and_start_do_not_matter(calendar, shift, holidays, zone):
    freq, expected = calendar
    start = pd.Timestamp("1990-01-01") + pd.Timedelta(days=shift)
    index = pd.date_range(start, periods=300, freq=freq, tz=zone)
    keep = ~np.isin(np.arange(300), list(holidays))
    assert periods_per_year(index[keep]) == expected


def test_real_holidays():
    # The New York Stock Exchange closed for a week in September 2001; Shanghai closes
    # for a week or more twice a year.
    year = pd.bdate_range("2001-01-01", "2001-12-31")
    assert periods_per_year(year[(year < "2001-09-11") | (year > "2001-09-16")]) == 252
    golden = pd.bdate_range("2015-10-01", periods=5).append(
        pd.bdate_range("2016-02-08", periods=5)
    )
    assert (
        periods_per_year(pd.bdate_range("2015-06-01", "2016-06-01").difference(golden))
        == 252
    )


def test_holes_do_not_matter():
    days = pd.date_range("2019-01-01", periods=400, freq="D")
    assert periods_per_year(days[:100].append(days[300:])) == 365
    weekdays = pd.bdate_range("2019-01-01", periods=400)
    assert periods_per_year(weekdays[:100].append(weekdays[300:])) == 252
    months = pd.date_range("2001-01-31", periods=60, freq="ME")
    assert periods_per_year(months[:20].append(months[40:])) == 12


def test_some_rows_on_weekends_make_no_week_of_seven_days():
    days = pd.date_range("2019-01-01", periods=700, freq="D")
    weekend = np.flatnonzero(days.day_of_week >= 5)
    few = np.delete(np.arange(700), np.setdiff1d(weekend, weekend[::5]))
    assert periods_per_year(days[few]) == 252
    most = np.delete(np.arange(700), weekend[::5])
    assert periods_per_year(days[most]) == 365


def test_other_weeks():
    days = pd.date_range("2019-01-01", periods=700, freq="D")
    sunday_to_thursday = days[~days.day_of_week.isin([4, 5])]
    assert periods_per_year(sunday_to_thursday) == 252
    assert periods_per_year(days[days.day_of_week != 6]) == 302


@pytest.mark.parametrize("freq", ["h", "30min", "12h"])
def test_several_rows_a_day_need_a_number(freq):
    with pytest.raises(PanelError, match=r"several rows a day.*`periods_per_year`"):
        periods_per_year(pd.date_range("2020-01-01", periods=500, freq=freq))


def test_rows_at_odd_distances_need_a_number():
    weekdays = pd.bdate_range("2019-01-01", periods=400)
    with pytest.raises(PanelError, match=r"no usual distance \(about 13\d a year\)"):
        periods_per_year(weekdays[::2])
    with pytest.raises(PanelError, match=r"no usual distance \(about 13 a year\)"):
        periods_per_year(pd.date_range("2019-01-01", periods=40, freq="4W"))
    thinned = weekdays[np.arange(400) % 4 < 3]
    with pytest.raises(PanelError, match=r"many are missing \(about 19\d a year\)"):
        periods_per_year(thinned)
    with pytest.raises(PanelError, match="one row"):
        periods_per_year(weekdays[:1])


def traded(days, rows):
    """Prices on some rows."""
    return pd.Series(np.where(rows, 1.0, np.nan), index=days)


def test_mixed_calendars_are_described():
    days = pd.date_range("2024-01-01", periods=200)
    weekday = days.day_of_week < 5
    holiday = np.isin(np.arange(200), range(10, 200, 23))
    columns = {f"S{number}": traded(days, weekday & ~holiday) for number in range(12)}
    columns |= {"BTC": traded(days, True), "ETH": traded(days, ~holiday)}
    panel = pd.DataFrame(columns)
    text = mixed_calendars(panel)
    assert "Got 12 of 14 tickers with a 5-day calendar (S0, S1, S2, S3, S4 and" in text
    assert "and 2 with a 7-day one (BTC, ETH)" in text
    assert mixed_calendars(panel.drop(columns=["BTC", "ETH"])) is None
    assert mixed_calendars(panel[["BTC", "ETH"]]) is None
    # What the text advises leaves one calendar.
    assert mixed_calendars(panel[panel["S0"].notna()]) is None
    with pytest.warns(PanelWarning, match="7-day") as told:
        check_panel(panel)
    assert len(told) == 1


def test_prices_carried_over_weekends_do_not_hide_calendars():
    rng = np.random.default_rng(0)
    days = pd.date_range("2022-01-03", periods=300)
    prices = pd.DataFrame(
        100 * np.exp(rng.normal(0, 0.02, (300, 3)).cumsum(axis=0)),
        days,
        ["KO", "PG", "BTC"],
    )
    assert mixed_calendars(prices) is None
    prices.loc[days.day_of_week >= 5, ["KO", "PG"]] = np.nan
    text = mixed_calendars(prices)
    assert "2 of 3 tickers with a 5-day calendar (KO, PG)" in text
    assert mixed_calendars(prices.ffill()) == text


def test_unusual_calendars_are_named_by_their_days():
    days = pd.date_range("2024-01-01", periods=600)
    panel = pd.DataFrame(
        {
            "TEVA": traded(days, ~days.day_of_week.isin([4, 5])),
            "KO": traded(days, days.day_of_week < 5),
            "FUND": traded(days, days.day_of_week == 2),
        }
    )
    text = mixed_calendars(panel)
    for named in (
        "5-day (Mon, Tue, Wed, Thu, Sun) calendar (TEVA)",
        "5-day one (KO)",
        "1-day (Wed) one (FUND)",
    ):
        assert named in text


@pytest.mark.parametrize("seed", range(5))
def test_missing_prices_and_late_listings_are_no_calendar(seed):
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2024-01-01", periods=500, tz="America/New_York")
    panel = pd.DataFrame(1.0, index=days, columns=list("ABCDEF"))
    panel = panel.mask(rng.random(panel.shape) < 0.3)
    panel.loc[days[:400], "B"] = panel.loc[days[19:], "C"] = np.nan
    assert mixed_calendars(panel) is None
    assert mixed_calendars(panel.reset_index(drop=True)) is None


def test_hours_have_no_mixed_calendars():
    hours = pd.date_range("2024-01-01", periods=24 * 60, freq="h")
    weekday = hours.day_of_week < 5
    panel = pd.DataFrame({"A": traded(hours, weekday), "B": traded(hours, True)})
    assert mixed_calendars(panel) is None


def test_calendars_are_numbered_alike_whatever_gaps_tickers_have():
    days = pd.date_range("2024-01-01", periods=400)
    weekday, rng = days.day_of_week < 5, np.random.default_rng(0)
    gaps = rng.random(400) < 0.4
    session = days == days[days.day_of_week == 5][20]
    columns = {
        "KO": weekday,
        "BTC": np.full(400, True),
        "PG": weekday & gaps,
        "ETH": gaps,
        "YOUNG": weekday & (days > days[300]),
        "OLD": weekday & (days < days[100]),
        "SESSION": weekday | session,
        "FEW": weekday & (days > days[380]),
        "NONE": np.full(400, False),
    }
    known = np.column_stack(list(columns.values()))
    numbers = dict(zip(columns, number_calendars(days, known).tolist(), strict=True))
    coins = {"BTC", "ETH"}
    assert {numbers[name] for name in coins} != {numbers["KO"]}
    assert len({numbers[name] for name in coins}) == 1
    assert len({numbers[name] for name in columns if name not in coins}) == 1
    numbers = number_calendars(pd.RangeIndex(400), known)
    assert not numbers.any()


@pytest.mark.parametrize("rule", ["W-FRI", "ME"])
def test_weeks_and_months_have_one_calendar(rule):
    index = pd.date_range("2000-01-01", periods=500, freq=rule)
    index = index.where(np.arange(500) % 20 > 0, index - pd.Timedelta(days=1))
    known = np.arange(500)[:, None] >= np.arange(0, 430, 10)
    assert not number_calendars(index, known).any()


@pytest.mark.parametrize(
    ("horizon", "spacing", "text"),
    [
        (5, pd.bdate_range("2024-01-01", periods=90), "5 rows"),
        (1, pd.date_range("2024-01-01", periods=90), "1 row"),
        (
            5,
            pd.date_range("2020-01-01", periods=40, freq="ME"),
            "5 rows of a month each",
        ),
        (1, pd.date_range("2020-01-01", periods=40, freq="W"), "1 row of a week each"),
        (3, pd.RangeIndex(90), "3 rows"),
    ],
)
def test_rows_are_described_where_they_are_no_days(horizon, spacing, text):
    assert describe_rows(horizon, spacing) == text
