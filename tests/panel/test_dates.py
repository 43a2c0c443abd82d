import re
from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch.exceptions import PanelError
from skbatch.panel import read_panel

DATES = pd.to_datetime(["2024-02-28", "2024-02-29", "2024-03-01"])


def read_dates(values):
    return read_panel(pd.DataFrame({"date": values, "A": 1.0})).index


@pytest.mark.parametrize(
    "values",
    [
        ["2024-02-28", "2024-02-29", "2024-03-01"],
        ["2024/02/28", "2024/02/29", "2024/03/01"],
        ["20240228", "20240229", "20240301"],
        [20240228, 20240229, 20240301],
        [20240228.0, 20240229.0, 20240301.0],
        [20240228000000, 20240229000000, 20240301000000],
        [1709078400, 1709164800, 1709251200],
        ["1709078400", "1709164800", "1709251200"],
        [1709078400_000, 1709164800_000, 1709251200_000],
        [1709078400_000_000, 1709164800_000_000, 1709251200_000_000],
        [1709078400_000_000_000, 1709164800_000_000_000, 1709251200_000_000_000],
        [45350, 45351, 45352],
        ["28-Feb-2024", "29-Feb-2024", "01-Mar-2024"],
        ["28-Feb-24", "29-Feb-24", "01-Mar-24"],
        ["2024.02.28", "2024.02.29", "2024.03.01"],
        ["28/02/2024", "29/02/2024", "01/03/2024"],
        ["28.2.2024", "29.2.2024", "1.3.2024"],
        ["02/28/2024", "02/29/2024", "03/01/2024"],
        ["2/28/2024", "2/29/2024", "3/1/2024"],
        ["Feb 28, 2024", "Feb 29, 2024", "Mar 01, 2024"],
        ["2024-02-28 00:00:00", "2024-02-29 00:00:00", "2024-03-01 00:00:00"],
        list(DATES.date),
        DATES.to_period("D"),
    ],
    ids=lambda values: str(values[0]),
)
def test_dates_of_any_usual_form(values):
    index = read_dates(values)
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    assert list(index) == list(DATES)


@given(st.lists(st.dates(date(1990, 1, 1), date(2039, 12, 31)), min_size=1))
@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"])
def test_dates_are_read_rightly_or_not_at_all(form, dates):
    dates = sorted(set(dates))
    texts = [day.strftime(form) for day in dates]
    if all(day.day <= 12 for day in dates):
        with pytest.raises(PanelError, match="day, month and year are ambiguous"):
            read_dates(texts)
    else:
        assert list(read_dates(texts).date) == dates


@pytest.mark.parametrize("zone", ["America/New_York", "UTC"])
def test_time_zones_are_kept(zone):
    index = read_dates(DATES.tz_localize(zone))
    assert str(index.tz) == zone


def test_one_offset_is_kept():
    texts = [f"{day:%Y-%m-%d} 00:00:00-05:00" for day in DATES]
    index = read_dates(texts)
    assert list(index.tz_convert("UTC")) == list(
        (DATES + pd.Timedelta("5h")).tz_localize("UTC")
    )


def test_local_dates_are_kept_when_daylight_saving_changes_the_offset():
    days = pd.bdate_range("2024-03-06", periods=5, tz="Asia/Jerusalem")
    days = days.append(pd.bdate_range("2024-04-01", periods=2, tz="Asia/Jerusalem"))
    index = read_dates([day.isoformat(sep=" ") for day in days])
    assert list(index) == list(days.tz_localize(None))


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (
            ["01/02/2024", "02/02/2024"],
            "are ambiguous. Write them as YYYY-MM-DD",
        ),
        (["28/02/2024", "02/28/2024"], "are ambiguous"),
        (["28/02/24", "29/02/24"], "are ambiguous"),
        (["2024-02-28", "soon"], "Column 'date' must hold dates"),
        ([19724, 19725], "Got values such as 19724"),
        (["2024-02-28", None], "Got one at row 1"),
        (["10:00", "11:00"], "must hold dates"),
        ([True, False], "must hold dates"),
    ],
)
def test_unclear_dates_are_refused_with_advice(values, advice):
    with pytest.raises(PanelError, match=re.escape(advice)):
        read_dates(values)
