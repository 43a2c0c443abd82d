"""Rows to forecast from that are old, or have few prices."""

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import (
    BatchWarning,
    FallbackWarning,
    HistoryWarning,
    PanelError,
)


@pytest.fixture(scope="module")
def prices():
    return make_panel(300, 6, random_state=0)


def system():
    features = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])
    model = ConformalForecaster(BatchLinearForecaster())
    return BatchForecastingSystem(5, features=features, forecaster=model)


@pytest.fixture(scope="module")
def fitted(prices):
    return system().fit(prices)


def day(prices, row):
    return str(prices.index[row].date())


CALLS = {
    "forecast": lambda s, rows: s.forecast(rows),
    "predict_batch": lambda s, rows: s.predict_batch(rows),
    "predict_scenarios": lambda s, rows: s.predict_scenarios(rows, n_samples=5),
    "predict_rank_proba": lambda s, rows: s.predict_rank_proba(rows, n_samples=5),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_rows_that_end_before_the_fitted_ones_are_told(fitted, prices, call):
    ends = day(prices, -31), day(prices, -1)
    text = f"rows up to {ends[0]}, but .* up to {ends[1]}.*`forecast\\(\\)`"
    with pytest.warns(HistoryWarning, match=text) as told:
        call(fitted, prices.iloc[-40:-30])
    assert len(told) == 1
    assert told[0].filename == __file__


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_last_fitted_rows_and_later_ones_are_not_told(fitted, prices, call):
    later = make_panel(310, 6, random_state=0)
    call(fitted, prices.iloc[-10:])
    follow = later.iloc[300:].set_axis(pd.bdate_range(prices.index[-1], periods=11)[1:])
    call(fitted, follow * (prices.iloc[-1] / later.iloc[299]))


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_last_row_that_few_tickers_have_is_named_in_fit(prices, n_rows):
    partial = prices.copy()
    partial.iloc[-n_rows:, 1:] = np.nan
    text = (
        rf"The last row, {day(prices, -1)}, has prices of 1 of 6 tickers.*To forecast "
        rf"from {day(prices, -1 - n_rows)}, which has 6, .*prices\.iloc\[:-{n_rows}\]"
    )
    with (
        pytest.warns(BatchWarning, match=text),
        pytest.warns(FallbackWarning, match="cannot forecast 5 of 6 tickers"),
    ):
        system().fit(partial)
    result = system().fit(partial.iloc[:-n_rows]).forecast()
    assert result.expected_returns.notna().all()


def test_a_last_new_row_that_few_tickers_have_is_named(prices):
    fitted = system().fit(prices.iloc[:-3])
    new = prices.iloc[-3:].copy()
    new.iloc[-1, 2:] = np.nan
    text = rf"{day(prices, -1)}, has prices of 2 of 6.*{day(prices, -2)}, which has 6"
    with pytest.warns(BatchWarning, match=text + r".*prices\.iloc\[:-1\]"):
        assert fitted.forecast(new).expected_returns.notna().sum() == 2
    assert fitted.forecast(new.iloc[:-1]).expected_returns.notna().all()
    only = new.iloc[[-1]].set_axis(prices.index[[-3]])
    with pytest.warns(BatchWarning, match=r"call `forecast\(\)` without these rows"):
        fitted.forecast(only)


def test_a_few_missing_prices_are_no_partial_row(prices):
    some = prices.copy()
    some.iloc[-1, :2] = np.nan
    with pytest.warns(FallbackWarning, match="2 of 6 tickers"):
        system().fit(some)


@pytest.mark.parametrize(
    ("freq", "text"),
    [("B", "5 rows ("), ("W-FRI", "5 rows of a week each"), ("ME", "of a month each")],
)
def test_a_forecast_says_what_a_row_is(prices, freq, text):
    index = pd.date_range("2000-01-01", periods=300, freq=freq)
    model = BatchForecastingSystem(
        5,
        features=SharedFeatureExtractor(["returns"], windows=[5]),
        forecaster=BatchLinearForecaster(),
    )
    assert text in repr(model.fit(prices.set_axis(index)).forecast())


def test_rows_without_dates_are_refused_beside_fitted_ones_with_dates(fitted, prices):
    with pytest.raises(PanelError, match=r"must hold dates as in `fit`\. Got 0"):
        fitted.forecast(prices.iloc[-5:].reset_index(drop=True))


def test_new_prices_that_cannot_be_used_have_no_prediction(prices):
    fitted = system().fit(prices.iloc[:-10])
    new = prices.iloc[-10:].copy()
    right = fitted.predict(new)
    new.iloc[-1, 0] *= 100
    found = fitted.predict(new)
    forecast = fitted.forecast(new).expected_returns
    np.testing.assert_array_equal(found.iloc[-1], forecast)
    assert np.isnan(found.iloc[-1, 0])
    pd.testing.assert_frame_equal(found.iloc[:-1], right.iloc[:-1])
