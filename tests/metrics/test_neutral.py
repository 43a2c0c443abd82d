"""The part of forecasts that exposures do not explain."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from skbatch.exceptions import PanelError
from skbatch.metrics import rank_information_coefficient, residual_forecasts


@pytest.fixture
def tables():
    random = np.random.default_rng(0)
    dates = pd.bdate_range("2020-01-01", periods=8)
    tickers = [f"T{number}" for number in range(9)]
    made = [
        pd.DataFrame(random.standard_normal((8, 9)), dates, tickers) for _ in range(3)
    ]
    made[0].iloc[1, 2] = made[1].iloc[3, 4] = np.nan
    made[0].iloc[5, 3:] = np.nan  # three tickers for an intercept and two exposures
    return made


def test_residuals_are_those_of_a_regression_on_each_date(tables):
    forecasts, beta, size = tables
    exposures = {"beta": beta.sample(frac=1, axis=1, random_state=0), "size": size}
    found = residual_forecasts(forecasts, exposures)
    for date in forecasts.index:
        table = pd.concat([forecasts.loc[date], beta.loc[date], size.loc[date]], axis=1)
        table = table.dropna().to_numpy()
        if len(table) <= 3:
            assert found.loc[date].isna().all()
            continue
        fitted = LinearRegression().fit(table[:, 1:], table[:, 0])
        expected = table[:, 0] - fitted.predict(table[:, 1:])
        np.testing.assert_allclose(found.loc[date].dropna(), expected, atol=1e-12)
    arrays = residual_forecasts(
        forecasts.to_numpy(), {"beta": beta.to_numpy(), "size": size.to_numpy()}
    )
    np.testing.assert_array_equal(arrays, found)


def test_exposures_twice_and_levels_change_nothing(tables):
    forecasts, beta, _ = tables
    found = residual_forecasts(forecasts, {"beta": beta})
    again = residual_forecasts(
        3.0 + forecasts - 2.0 * beta, {"beta": beta, "again": 5.0 - beta}
    )
    pd.testing.assert_frame_equal(again, found, atol=1e-12)


def test_skill_that_is_all_beta_is_gone(tables):
    _, beta, noise = tables
    beta = beta.fillna(0.0)
    returns = 0.05 * beta
    forecasts = beta + 0.01 * noise
    assert rank_information_coefficient(returns, forecasts) > 0.9
    left = residual_forecasts(forecasts, {"beta": beta})
    assert abs(rank_information_coefficient(returns, left)) < 0.3


def test_exposures_must_be_there_and_fit(tables):
    forecasts, beta, _ = tables
    with pytest.raises(PanelError, match="`exposures` must hold an exposure"):
        residual_forecasts(forecasts, {})
    with pytest.raises(PanelError, match="T8"):
        residual_forecasts(forecasts, {"beta": beta.drop(columns="T8")})
