"""One missed day is reported, holidays are not: real and simulated calendars."""

import warnings
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import (
    MO,
    TH,
    AbstractHolidayCalendar,
    DateOffset,
    EasterMonday,
    GoodFriday,
    Holiday,
    next_monday,
    next_monday_or_tuesday,
    sunday_to_monday,
)

from skbatch import SharedFeatureExtractor
from skbatch.datasets import load_sp500_prices
from skbatch.exceptions import HistoryWarning
from skbatch.feature_extraction._steps import missed_days


def weekday(name, month, day, offset):
    return Holiday(name, month=month, day=day, offset=DateOffset(weekday=offset))


def fixed(name, month, day, observance):
    return Holiday(name, month=month, day=day, observance=observance)


def to_weekday(day):
    return day - pd.Timedelta(days=1) if day.day_of_week == 5 else sunday_to_monday(day)


NEW_YORK = [
    fixed("New Year", 1, 1, sunday_to_monday),
    weekday("King", 1, 1, MO(3)),
    weekday("Presidents", 2, 1, MO(3)),
    GoodFriday,
    weekday("Memorial", 5, 31, MO(-1)),
    fixed("Independence", 7, 4, to_weekday),
    weekday("Labor", 9, 1, MO(1)),
    weekday("Thanksgiving", 11, 1, TH(4)),
    fixed("Christmas", 12, 25, to_weekday),
]
LONDON = [
    fixed("New Year", 1, 1, next_monday),
    GoodFriday,
    EasterMonday,
    weekday("May", 5, 1, MO(1)),
    weekday("Spring", 5, 31, MO(-1)),
    weekday("Summer", 8, 31, MO(-1)),
    fixed("Christmas", 12, 25, next_monday),
    fixed("Boxing", 12, 26, next_monday_or_tuesday),
]


def reported(dates, skipped):
    """List which skipped days are reported after the dates before each."""
    return [
        day
        for day in skipped
        if missed_days([day], {d for d in dates if d < day}, range(5))
    ]


@pytest.mark.parametrize("rules", [NEW_YORK, LONDON], ids=["New York", "London"])
def test_holidays_of_an_exchange_are_usual(rules):
    calendar = AbstractHolidayCalendar("exchange", rules)
    days = pd.bdate_range("2000-01-01", "2012-12-31")
    holidays = calendar.holidays(days[0], days[-1]).intersection(days)
    assert 7.5 < len(holidays) / 13 < 9.5
    dates = days.difference(holidays).date
    later = holidays[holidays > "2003-02-01"].date
    assert reported(dates, later) == []
    # Of the other days, few look like holidays: the Friday before a Saturday's, say.
    others = np.random.default_rng(0).choice(dates[800:], 300, replace=False)
    assert len(reported(dates, others)) > 0.88 * len(others)


def test_real_closures_that_are_reported_were_no_holidays_before():
    """All others of 32 years were at the dates of a holiday of earlier years.

    Mourning (Nixon, Reagan, Ford, Bush), September 2001, a hurricane, and the first
    two years of Martin Luther King Day and the first of Juneteenth.
    """
    dates = load_sp500_prices().index.date
    holidays = pd.bdate_range(dates[252], dates[-1]).difference(pd.DatetimeIndex(dates))
    assert len(holidays) > 280
    assert reported(dates, holidays.date) == [
        date(1994, 4, 27),
        *(date(1998, 1, 19), date(1999, 1, 18)),
        *(date(2001, 9, day) for day in (11, 12, 13, 14)),
        *(date(2004, 6, 11), date(2007, 1, 2)),
        *(date(2012, 10, 29), date(2012, 10, 30), date(2018, 12, 5)),
        date(2022, 6, 20),
    ]


def test_within_a_year_of_history_no_holiday_is_known():
    days = pd.bdate_range("2020-01-01", "2020-12-18").date
    assert missed_days([date(2020, 12, 21)], set(days), range(5)) == []


def test_leap_days_have_a_place_in_other_years():
    days = pd.bdate_range("2012-01-02", "2016-02-26").date
    assert missed_days([date(2016, 2, 29)], set(days), range(5)) == [date(2016, 2, 29)]


@pytest.fixture
def extractor():
    return SharedFeatureExtractor(["returns"], windows=[5])


def told(extractor, rows):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        frame = extractor.transform(rows)
    assert {w.category for w in record} <= {HistoryWarning}
    return frame, [str(w.message) for w in record]


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_one_missed_day_after_the_fitted_rows_is_reported(extractor, zone):
    prices = load_sp500_prices().iloc[-2500:, :4].tz_localize(zone)
    monday = prices.index.get_loc(pd.Timestamp("2022-12-12", tz=zone))
    whole = extractor.fit_transform(prices)
    extractor.fit(prices.iloc[:monday])
    _, messages = told(extractor, prices.iloc[[monday + 1]])
    (message,) = messages
    assert "must hold every row" in message
    assert "without 2022-12-12" in message
    frame, messages = told(extractor, prices.iloc[monday:])
    assert not messages
    np.testing.assert_array_equal(frame, whole.iloc[monday:])
    for part in (prices, prices.iloc[monday - 50 :]):  # with fitted rows before
        part = part.drop(prices.index[monday])
        assert "without 2022-12-12" in told(extractor, part)[1][0]


def test_a_day_off_that_is_reported_changes_no_feature(extractor):
    prices = load_sp500_prices().iloc[-2500:, :4]
    whole = extractor.fit_transform(prices)
    mourning = prices.index.get_loc(pd.Timestamp("2018-12-06"))
    extractor.fit(prices.iloc[:mourning])
    frame, messages = told(extractor, prices.iloc[mourning:])
    assert len(messages) == 1
    assert "without 2018-12-05" in messages[0]
    np.testing.assert_array_equal(frame, whole.iloc[mourning:])


@pytest.mark.parametrize("frequency", ["D", "W-FRI", "MS", "2h"])
def test_other_steps_than_weekdays_are_not_taken_for_missed_days(extractor, frequency):
    index = pd.date_range("2015-01-01", periods=900, freq=frequency)
    prices = pd.DataFrame({"A": np.linspace(1, 2, 900)}, index=index)
    extractor.fit(prices.iloc[:850].drop(index[400]))
    assert told(extractor, prices.iloc[850:])[1] == []
