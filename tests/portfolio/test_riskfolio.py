import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio import to_riskfolio

RETURNS = {"A": 0.02, "B": 0.05, "C": 0.10, "D": np.nan}
KNOWN = list("ABC")


def covariance(tickers):
    values = pd.DataFrame(
        [[0.04, 0.01, 0.02], [0.01, 0.09, 0.03], [0.02, 0.03, 0.16]], KNOWN, KNOWN
    )
    return values.loc[tickers, tickers]


@given(st.permutations(list(RETURNS)), st.permutations(KNOWN))
def test_positions_are_those_of_the_columns(forecasts, tickers):
    result = {ticker: RETURNS[ticker] for ticker in forecasts}
    with pytest.warns(PortfolioWarning, match="1 of 4 tickers is left out: D"):
        mu, cov = to_riskfolio(result, covariance(tickers), returns_periods=252)
    # Riskfolio-Lib reads np.array(mu, ndmin=2) and np.array(cov, ndmin=2), and the
    # names from the columns of the returns.
    by_position = np.array(mu, ndmin=2)
    assert by_position.shape == (1, 3)
    known = covariance(KNOWN)
    for place, ticker in enumerate(mu.columns):
        assert by_position[0, place] == RETURNS[ticker]
        for other_place, other in enumerate(mu.columns):
            value = np.array(cov, ndmin=2)[place, other_place]
            assert value == known.at[ticker, other]
    assert list(cov.index) == list(cov.columns) == list(mu.columns)


def test_the_checks_are_those_of_pypfopt():
    with pytest.raises(PortfolioError, match="which has none"):
        to_riskfolio(RETURNS, covariance(KNOWN).to_numpy(), returns_periods=252)
    with pytest.raises(PortfolioError, match="span the same periods"):
        to_riskfolio(RETURNS, covariance(KNOWN), returns_periods=5)
    with pytest.raises(PortfolioError, match="risk_free_rate"):
        to_riskfolio(
            RETURNS, covariance(KNOWN), returns_periods=252, risk_free_rate=0.2
        )


def test_a_warning_leads_to_the_caller():
    with pytest.warns(PortfolioWarning) as told:
        to_riskfolio(RETURNS, covariance(KNOWN), returns_periods=252)
    assert [w.filename for w in told] == [__file__]
