import re

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import norm, spearmanr

from skbatch.datasets import make_panel
from skbatch.panel import check_panel, forward_returns

SIGNALS = [None, "linear", "nonlinear"]


def make(signal, **kwargs):
    options = {"random_state": 0, **kwargs}
    return make_panel(signal=signal, return_oracle=True, **options)


def relative(table):
    return table.sub(table.mean(axis=1), axis=0)


def slow_oracle(prices, signal, strength, volatility):
    """Compute the expected next returns from the prices, ticker by ticker."""
    oracle = pd.DataFrame(np.nan, index=prices.index, columns=prices.columns)
    for row in range(len(prices)):
        past = prices.iloc[: row + 1]
        changes = {}
        for ticker in prices:
            if np.isfinite(past[ticker].iloc[-1]):
                oracle.loc[prices.index[row], ticker] = 0.0
                if row >= 5 and np.isfinite(past[ticker].iloc[-6]):
                    ratio = past[ticker].iloc[-1] / past[ticker].iloc[-6]
                    changes[ticker] = np.log(ratio)
        center = np.mean(list(changes.values())) if changes else 0.0
        scores = {t: (c - center) / volatility / 5**0.5 for t, c in changes.items()}
        share = np.mean([abs(score) > 1 for score in scores.values()] or [0])
        tail = 2 * norm.sf(1)
        for ticker, score in scores.items():
            value = score
            if signal == "nonlinear":
                value = ((abs(score) > 1) - share) / (tail * (1 - tail)) ** 0.5
            oracle.loc[prices.index[row], ticker] = strength * volatility * value
    return oracle


@pytest.mark.parametrize("signal", ["linear", "nonlinear"])
@pytest.mark.parametrize("late_listings", [0, 3, 6])
def test_the_oracle_is_a_function_of_past_prices(signal, late_listings):
    prices, oracle = make(
        signal,
        n_dates=40,
        n_tickers=6,
        strength=-0.3,
        volatility=0.03,
        late_listings=late_listings,
    )
    expected = slow_oracle(prices, signal, -0.3, 0.03)
    assert_frame_equal(oracle, expected, atol=1e-14, check_freq=False)


@pytest.mark.parametrize("signal", ["linear", "nonlinear"])
def test_the_oracle_is_the_conditional_mean(signal):
    prices, oracle = make(signal)
    x = relative(oracle).iloc[5:-1].to_numpy().ravel()
    y = relative(forward_returns(prices)).iloc[5:-1].to_numpy().ravel()
    slope = x @ y / (x @ x)
    error = np.std(y - x) / np.sqrt(x @ x)
    assert error < 0.03
    assert abs(slope - 1) < 4 * error
    # Not only on the whole: also where the forecast is low, middling and high.
    for part in np.array_split(np.argsort(x, kind="stable"), 5):
        residuals = (y - x)[part]
        assert abs(residuals.mean()) < 4 * residuals.std() / np.sqrt(len(part))


def theoretical_ic(signal, strength):
    """Derive the correlation of the oracle with the next return."""
    spread = abs(strength)
    if signal == "linear":
        # Own returns follow an autoregression on five lags, of equal coefficients.
        companion = np.eye(5, k=-1)
        companion[0] = strength / np.sqrt(5)
        covariance = solve_discrete_lyapunov(companion, np.diag([1, 0, 0, 0, 0]))
        spread = abs(strength) * np.sqrt(covariance.sum() / 5)
    return spread / np.sqrt(1 + spread**2)


@pytest.mark.parametrize("signal", ["linear", "nonlinear"])
@pytest.mark.parametrize("strength", [0.2, -0.3])
def test_the_oracle_has_the_theoretical_information_coefficient(signal, strength):
    prices, oracle = make(signal, strength=strength, n_dates=1500)
    labels = forward_returns(prices)
    pairs = zip(
        oracle.iloc[50:-1].to_numpy(), labels.iloc[50:-1].to_numpy(), strict=True
    )
    daily = np.array([np.corrcoef(x, y)[0, 1] for x, y in pairs])
    error = daily.std() / np.sqrt(len(daily))
    bias = 0.005  # of a correlation of 50 pairs, and of log against simple returns
    assert error < 0.005
    assert abs(daily.mean() - theoretical_ic(signal, strength)) < 4 * error + bias


@pytest.mark.parametrize("signal", ["linear", "nonlinear"])
def test_the_default_strength_can_be_learned(signal):
    prices, oracle = make(signal)
    labels = forward_returns(prices).iloc[10:-1].to_numpy()
    pairs = zip(oracle.iloc[10:-1].to_numpy(), labels, strict=True)
    assert 0.15 < np.mean([spearmanr(x, y).statistic for x, y in pairs]) < 0.3


@pytest.mark.parametrize(
    ("signal", "low", "high"), [("linear", 0.99, 1), ("nonlinear", 0, 0.2)]
)
def test_what_a_linear_model_sees_of_the_signal(signal, low, high):
    prices, oracle = make(signal)
    returns = relative(np.log(prices).diff())
    lags = [returns.shift(lag).iloc[30:].to_numpy().ravel() for lag in range(21)]
    x, target = np.column_stack(lags), oracle.iloc[30:].to_numpy().ravel()
    fitted = x @ np.linalg.lstsq(x, target, rcond=None)[0]
    assert low <= np.corrcoef(fitted, target)[0, 1] <= high


def test_without_a_signal_returns_are_unpredictable():
    prices, oracle = make(None, n_dates=2000)
    assert (oracle == 0).all(axis=None)
    returns = relative(prices.pct_change(fill_method=None)).iloc[1:]
    for lag in (1, 2, 5):
        x = returns.iloc[:-lag].to_numpy().ravel()
        y = returns.iloc[lag:].to_numpy().ravel()
        assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(len(x))


def test_volatilities_are_as_asked_for():
    prices = make_panel(
        3000, 40, volatility=0.03, market_volatility=0.02, random_state=0
    )
    returns = prices.pct_change(fill_method=None).iloc[1:]
    market = returns.mean(axis=1)
    own_share = 0.03**2 / 40
    assert market.std() == pytest.approx(np.sqrt(0.02**2 + own_share), rel=0.05)
    own = relative(returns).to_numpy().std() * np.sqrt(40 / 39)
    assert own == pytest.approx(0.03, rel=0.01)
    assert abs(market.mean()) < 4 * market.std() / np.sqrt(len(market))


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("strength", [0.4, -0.4])
def test_prices_stay_positive_at_the_limits(signal, strength):
    prices = make_panel(
        3000,
        20,
        signal=signal,
        strength=strength,
        volatility=0.1,
        market_volatility=0,
        random_state=1,
    )
    assert (prices > 0).all(axis=None)
    assert prices.pct_change(fill_method=None).min(axis=None) > -0.9


def test_noise_is_cut_at_four_standard_deviations():
    prices = make_panel(3000, 40, volatility=0.1, market_volatility=0, random_state=1)
    moves = prices.pct_change(fill_method=None).abs().max(axis=None)
    assert moves == pytest.approx(0.4, abs=1e-12)


@pytest.mark.parametrize("signal", SIGNALS)
def test_late_listings_begin_with_missing_prices(signal):
    prices, oracle = make(signal, n_dates=80, n_tickers=10, late_listings=4)
    assert_frame_equal(prices.isna(), oracle.isna())
    first = prices.notna().to_numpy().argmax(axis=0)
    assert sorted(first)[:6] == [0] * 6
    assert all(20 <= row <= 60 for row in sorted(first)[6:])
    for ticker, row in zip(prices, first, strict=True):
        assert prices[ticker].iloc[row:].notna().all()
        assert prices[ticker].iloc[row] == pytest.approx(100)


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_panel_is_canonical_and_repeatable(signal):
    prices, oracle = make(signal, n_dates=30, n_tickers=1200)
    assert check_panel(prices) is prices
    assert prices.shape == oracle.shape == (30, 1200)
    assert list(prices.columns[[0, 999, 1199]]) == ["T000", "T999", "T1199"]
    assert prices.index.equals(pd.bdate_range("2010-01-01", periods=30))
    options = {"n_dates": 30, "n_tickers": 1200, "signal": signal}
    assert_frame_equal(prices, make_panel(**options, random_state=0))
    assert not prices.equals(make_panel(**options, random_state=1))


@pytest.mark.parametrize(("n_dates", "n_tickers"), [(1, 1), (1, 5), (7, 1)])
def test_the_smallest_panels(n_dates, n_tickers):
    prices = make_panel(n_dates, n_tickers, late_listings=1, random_state=0)
    assert prices.shape == (n_dates, n_tickers)
    assert prices.notna().any().all()


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"signal": "cubic"}, "Got 'cubic'. Choose one of these"),
        ({"n_dates": 0}, "`n_dates` must be an int of at least 1. Got 0"),
        ({"n_dates": 9.5}, "`n_dates` must be an int of at least 1. Got 9.5"),
        ({"n_tickers": 0}, "`n_tickers` must be an int of at least 1"),
        (
            {"n_tickers": 1, "signal": "linear"},
            "`n_tickers` must be an int of at least 2",
        ),
        ({"late_listings": -1}, "`late_listings` must be an int of at least 0"),
        ({"n_tickers": 3, "late_listings": 4}, "Got 4 with 3 tickers"),
        ({"strength": 0.5}, "`strength` must be between -0.4 and 0.4. Got 0.5."),
        ({"strength": np.nan}, "Got nan"),
        ({"volatility": 0}, "Got 0 and 0.01. Pass daily values"),
        ({"volatility": 0.095}, "Got 0.095 and 0.01"),
        ({"market_volatility": -0.1}, "Got 0.02 and -0.1"),
    ],
)
def test_arguments_out_of_range_are_refused_with_advice(options, advice):
    with pytest.raises(ValueError, match=re.escape(advice)):
        make_panel(**options)
