import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skbatch import (
    BatchForecastingSystem,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
)
from skbatch.batch import BatchPerformanceMonitor, ForecastResult
from skbatch.datasets import make_panel
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio import ExpectedReturns

DATE = pd.Timestamp("2024-05-31")


def make_system(horizon=5):
    features = SharedFeatureExtractor("returns", windows=[2])
    return BatchForecastingSystem(
        horizon, features=features, forecaster=HistoricalMeanForecaster()
    )


def make_result(values, horizon=21, year=252.0, date=DATE):
    index = pd.Index(list(values), name="ticker")
    reasons = pd.DataFrame(
        {"model": "M", "batch": "all", "reason": ""}, index, dtype=object
    )
    returns = pd.Series(values, name="expected_return", dtype=float).rename_axis(
        "ticker"
    )
    return ForecastResult(
        date, horizon, returns, reasons, BatchPerformanceMonitor(), year
    )


@pytest.mark.parametrize(
    ("value", "horizon", "year", "expected"),
    [
        (0.01, 21, 252, Fraction(101, 100) ** 12 - 1),
        (0.01, 5, 365, Fraction(101, 100) ** 73 - 1),
        (-0.5, 126, 252, Fraction(-3, 4)),
        (0.1, 252, 252, Fraction(1, 10)),
        (0.21, 504, 252, Fraction(1, 10)),
        (0.1, 1, 12, Fraction(11, 10) ** 12 - 1),
        (0.0, 5, 252, 0),
        (-1.0, 5, 252, -1),
    ],
)
def test_annual_returns_by_hand(value, horizon, year, expected):
    annual = ExpectedReturns.of(make_result({"A": value}, horizon, year))
    assert annual["A"] == pytest.approx(float(expected), rel=1e-12, abs=1e-15)
    assert annual.annualized
    assert annual.periods == year
    raw = ExpectedReturns.of(make_result({"A": value}, horizon, year), annualize=False)
    assert raw["A"] == value
    assert raw.periods == horizon


def test_a_number_of_periods_wins_over_the_calendar():
    annual = ExpectedReturns.of(make_result({"A": 0.01}), periods_per_year=42)
    assert annual["A"] == pytest.approx(1.01**2 - 1, rel=1e-12)
    assert annual.periods_per_year == 42


@given(
    st.floats(-0.3, 0.3),
    st.integers(1, 63),
    st.sampled_from([12.0, 52.0, 252.0, 365.0]),
)
def test_units_convert_there_and_back(value, horizon, year):
    # A loss of all but a thousandth of a percent is one of all, to float's precision.
    assume(1e-5 < (1 + value) ** (year / horizon) < 1e5)
    raw = ExpectedReturns.of(make_result({"A": value}, horizon, year), annualize=False)
    back = raw.in_units(annualized=True).in_units(annualized=False)
    assert back["A"] == pytest.approx(value, rel=1e-9, abs=1e-9)
    # The order of tickers stays, whatever the units.
    two = ExpectedReturns.of(
        make_result({"A": value, "B": value + 0.01}, horizon, year)
    )
    assert two["A"] < two["B"]


def test_what_cannot_be_compounded_is_nan_with_its_reason():
    result = make_result({"A": -1.2, "B": 1e300, "C": 0.01, "D": math.nan}, 1)
    annual = ExpectedReturns.of(result)
    assert math.isnan(annual["A"])
    assert math.isnan(annual["B"])
    assert math.isnan(annual["D"])
    assert annual["C"] == pytest.approx(1.01**252 - 1)
    assert annual.provenance.loc["A", "reason"] == (
        "a return of -120% cannot be compounded"
    )
    assert annual.provenance.loc[["C", "D"], "reason"].tolist() == ["", ""]
    assert result.provenance["reason"].tolist() == [""] * 4


def test_is_a_dict_and_knows_what_it_holds():
    interval = pd.DataFrame({"lower": [-0.1], "upper": [0.1]}, ["A"])
    expected = ExpectedReturns.of(make_result({"A": 0.01}), interval=interval)
    assert json.loads(json.dumps(expected)) == dict(expected)
    assert pd.Series(expected)["A"] == expected["A"]
    series = expected.to_series()
    assert series.name == "expected_return"
    assert series.attrs == {
        "date": DATE,
        "horizon": 21,
        "periods_per_year": 252.0,
        "annualized": True,
    }
    copy = pickle.loads(pickle.dumps(expected))
    assert copy == expected
    assert vars(copy).keys() == vars(expected).keys()
    assert copy.horizon == 21
    assert list(expected.to_frame()) == [
        "expected_return",
        "model",
        "batch",
        "reason",
        "lower",
        "upper",
    ]
    # Over the horizon, whatever the units of the values.
    assert expected.interval.loc["A", "upper"] == 0.1
    assert repr(expected) == (
        "ExpectedReturns: 1 of 1 ticker at 2024-05-31, per year of 252 rows, from 21 "
        "rows ahead"
    )
    assert "<table" in expected._repr_html_()


def test_one_horizon_only():
    panel = make_panel(200, 3, random_state=0)
    system = make_system((5, 21))
    result = system.fit(panel).forecast()
    with pytest.raises(PortfolioError, match=r"one horizon. Got the horizons 5, 21\."):
        ExpectedReturns.of(result)
    one = system.set_params(horizon=(5,)).fit(panel).forecast()
    assert ExpectedReturns.of(one, annualize=False).horizon == 5
    assert list(ExpectedReturns.of(one)) == list(panel)


def test_what_makes_a_year_must_be_known():
    unknown = make_result({"A": 0.01}, year=math.nan)
    with pytest.raises(PortfolioError, match="rows in a year must be known"):
        ExpectedReturns.of(unknown)
    assert ExpectedReturns.of(unknown, annualize=False) == {"A": 0.01}
    assert ExpectedReturns.of(unknown, periods_per_year=252)
    with pytest.raises(PortfolioError, match="rows in a year must be known"):
        ExpectedReturns.of(unknown, annualize=False).in_units(annualized=True)
    for wrong in (0, -1, "252", True):
        with pytest.raises(ValueError, match="positive number"):
            ExpectedReturns.of(unknown, periods_per_year=wrong)


def test_a_year_of_rows_without_dates_is_said():
    numbered = make_result({"A": 0.01}, date=99)
    with pytest.warns(PortfolioWarning, match="252 a year") as record:
        ExpectedReturns.of(numbered)
    assert [w.filename for w in record] == [__file__]
    ExpectedReturns.of(numbered, periods_per_year=252)
    ExpectedReturns.of(numbered, annualize=False)


@pytest.mark.parametrize(("freq", "year"), [("B", 252), ("D", 365), ("h", math.nan)])
def test_forecasts_know_the_calendar_of_the_fitted_panel(freq, year):
    panel = make_panel(200, 3, random_state=0)
    panel.index = pd.date_range("2020-01-01", periods=200, freq=freq)
    system = make_system().fit(panel)
    assert system.forecast().periods_per_year == pytest.approx(year, nan_ok=True)


def test_stale_tickers_are_known():
    panel = make_panel(200, 4, random_state=0)
    panel.iloc[-20:, 0] = np.nan
    panel.iloc[-60:, 1] = panel.iloc[-60, 1]
    system = make_system()
    with pytest.warns(UserWarning, match="cannot be used"):
        system.fit(panel)
    expected = ExpectedReturns.of(system.forecast())
    assert list(expected.stale) == list(panel.columns[:2])
    assert "no price in the last 20 rows" in expected.stale[panel.columns[0]]


def test_a_forecast_knows_its_stale_tickers_whatever_the_reasons_say():
    panel = make_panel(230, 4, random_state=0)
    panel.iloc[:, 1] = 5.0
    with pytest.warns(UserWarning, match="cannot be used"):
        system = make_system().fit(panel.iloc[:200])
    assert list(system.forecast().stale) == ["T001"]
    later = panel.iloc[200:].copy()
    later.iloc[-25:, 2] = 7.0
    later.iloc[-1, 3] = later.iloc[-2, 3] * 20
    result = system.forecast(later)
    # A jump is wrong, not stale.
    assert result.expected_returns.isna().to_dict() == dict(
        zip(panel, [False, True, True, True], strict=True)
    )
    assert sorted(result.stale) == ["T001", "T002"]
    assert result.stale["T002"].startswith("the last 25 prices are all the same")
    result.provenance["reason"] = "quarantined (stale): in other words"
    assert ExpectedReturns.of(result).stale == result.stale


def test_prices_tell_the_volatility_up_to_the_date():
    panel = make_panel(300, 4, random_state=0)
    result = make_system().fit(panel.iloc[:280]).forecast()
    garbage = panel.copy()
    garbage.iloc[280:] *= 7
    measured = ExpectedReturns.of(result, prices=garbage)
    moves = panel.iloc[:280].pct_change().iloc[-252:]
    np.testing.assert_allclose(measured.volatility, moves.std(), rtol=1e-9)
    again = measured.in_units(annualized=False)
    pd.testing.assert_frame_equal(again.past_volatility, measured.past_volatility)
    assert ExpectedReturns.of(result).volatility is None
