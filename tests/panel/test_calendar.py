import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch.exceptions import PanelError
from skbatch.panel import periods_per_year


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


@settings(deadline=None)
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
