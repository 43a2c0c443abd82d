import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypfopt import EfficientFrontier, risk_models

from skbatch import BatchForecastingSystem, BatchLinearForecaster
from skbatch.datasets import make_panel
from skbatch.exceptions import BatchWarning, PortfolioError, PortfolioWarning
from skbatch.portfolio import ExpectedReturns, to_pypfopt

TICKERS = list("ABCDE")
RETURNS = dict(zip(TICKERS, [0.02, 0.05, 0.10, 0.15, 0.20], strict=True))


def expected(values=RETURNS, *, annualized=True, year=252, **params):
    reasons = ["" if np.isfinite(v) else f"no prices of {t}" for t, v in values.items()]
    provenance = pd.DataFrame({"model": "M", "batch": "1", "reason": reasons}, values)
    return ExpectedReturns(
        values,
        date=pd.Timestamp("2024-01-31"),
        horizon=5,
        periods_per_year=year,
        annualized=annualized,
        provenance=provenance,
        **params,
    )


def annual(tickers=TICKERS):
    """An annual covariance in which every pair has its own value."""
    root = np.random.default_rng(0).normal(size=(len(TICKERS), len(TICKERS))) / 10
    values = root @ root.T + 0.02 * np.eye(len(TICKERS))
    return pd.DataFrame(values, TICKERS, TICKERS).loc[tickers, tickers]


def quietly(*args, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PortfolioWarning)
        return to_pypfopt(*args, **params)


def test_pypfopt_alone_takes_the_wrong_risks_without_a_word():
    # What this package is for: the same numbers in another order of rows.
    returns = pd.Series(RETURNS)
    right = EfficientFrontier(returns, annual()).max_sharpe()
    wrong = EfficientFrontier(returns, annual(TICKERS[::-1])).max_sharpe()
    assert abs(right["E"] - wrong["E"]) > 0.1


def test_another_order_gives_the_tangency_portfolio():
    returns, covariance = to_pypfopt(expected(), annual(TICKERS[::-1]))
    weights = EfficientFrontier(returns, covariance, (-5, 5)).max_sharpe()
    # Without binding bounds, the weights are proportional to the inverse covariance
    # times the returns (Merton, 1972).
    tangency = np.linalg.solve(annual().to_numpy(), list(RETURNS.values()))
    assert list(weights) == TICKERS
    np.testing.assert_allclose(
        list(weights.values()), tangency / tangency.sum(), atol=1e-4
    )


@given(st.permutations(TICKERS), st.permutations(TICKERS), st.permutations(TICKERS))
def test_every_order_of_both_sides_keeps_the_labels(forecasts, columns, rows):
    result = expected({ticker: RETURNS[ticker] for ticker in forecasts})
    returns, covariance = to_pypfopt(result, annual().loc[rows, columns])
    assert list(returns.index) == forecasts
    assert list(covariance.index) == list(covariance.columns) == forecasts
    assert returns.to_dict() == RETURNS
    known = annual()
    for ticker in TICKERS:
        for other in TICKERS:
            assert covariance.at[ticker, other] == known.at[ticker, other]


def test_the_same_numbers_under_other_labels_are_no_covariance():
    shuffled = pd.DataFrame(annual().to_numpy(), TICKERS[::-1], TICKERS)
    with pytest.raises(PortfolioError, match=r"symmetric.*another order"):
        to_pypfopt(expected(), shuffled)


def test_what_was_given_stays_as_it_was():
    result, covariance = expected(), annual(TICKERS[::-1])
    before = covariance.copy()
    returns, aligned = to_pypfopt(result, covariance)
    returns[:] = 0
    aligned[:] = 0
    assert dict(result) == RETURNS
    pd.testing.assert_frame_equal(covariance, before)
    assert not covariance.attrs


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (TICKERS[:-1], "1 without covariance \\(E\\)"),
        ([*TICKERS, "F"], "1 without expected return \\(F\\)"),
        (["F", *TICKERS[1:]], "1 without covariance \\(A\\) and 1 without expected"),
    ],
)
def test_different_tickers_are_named(given, named):
    covariance = pd.DataFrame(np.eye(len(given)) * 0.04, given, given)
    with pytest.raises(PortfolioError, match=named):
        to_pypfopt(expected(), covariance)


@pytest.mark.parametrize(
    "result",
    [
        np.array(list(RETURNS.values())),
        list(RETURNS.values()),
        pd.Series(list(RETURNS.values())),
        pd.DataFrame([RETURNS]),
        pd.Series(list(RETURNS.values()), [*"ABCD", "A"]),
        pd.Series(list(RETURNS.values()), pd.MultiIndex.from_product([[5], TICKERS])),
        {},
    ],
)
def test_expected_returns_must_have_tickers(result):
    with pytest.raises(PortfolioError, match="Expected returns must"):
        to_pypfopt(result, annual(), returns_periods=252)


@pytest.mark.parametrize(
    "covariance",
    [
        annual().to_numpy(),
        annual().reset_index(drop=True),
        pd.DataFrame(annual().to_numpy()),
        annual().iloc[:-1],
        annual().rename(columns={"B": "A"}),
    ],
)
def test_covariances_must_have_tickers(covariance):
    with pytest.raises(PortfolioError, match="`covariance` must have"):
        to_pypfopt(expected(), covariance)


@pytest.mark.parametrize(
    ("result", "periods"),
    [
        (expected(annualized=False), None),
        (expected(annualized=False), 252),
        (expected(annualized=False), 1),
        (expected(year=365), None),
        (expected(), 1),
        (expected(), 365),
    ],
)
def test_other_periods_are_refused(result, periods):
    with pytest.raises(PortfolioError, match="span the same periods"):
        to_pypfopt(result, annual(), covariance_periods=periods)


@pytest.mark.parametrize(
    ("result", "covariance", "periods"),
    [
        (expected(), annual(), 252),
        (expected(), annual(), 260),
        (expected(year=365), annual(), 365),
        (expected(annualized=False), annual() * 5 / 252, 5),
    ],
)
def test_the_same_periods_are_not(result, covariance, periods):
    returns, aligned = to_pypfopt(result, covariance, covariance_periods=periods)
    assert returns.to_dict() == RETURNS
    pd.testing.assert_frame_equal(aligned, covariance)
    assert aligned.attrs["periods"] == periods


def test_what_a_covariance_spans_stays_with_it():
    monthly = expected(annualized=False)
    _, aligned = to_pypfopt(monthly, annual() * 5 / 252, covariance_periods=5)
    again = to_pypfopt(monthly, aligned)[1]
    pd.testing.assert_frame_equal(again, aligned)
    with pytest.raises(PortfolioError, match=r"covariance.s own, 5\. Got 252"):
        to_pypfopt(expected(), aligned, covariance_periods=252)


def test_the_units_of_a_series_must_be_said():
    series = pd.Series(RETURNS)
    with pytest.raises(PortfolioError, match="returns_periods=252"):
        to_pypfopt(series, annual())
    with pytest.raises(PortfolioError, match="span the same periods"):
        to_pypfopt(series, annual(), returns_periods=5)
    assert to_pypfopt(series, annual(), returns_periods=252)[0].to_dict() == RETURNS
    # That of an ExpectedReturns says it by itself.
    assert to_pypfopt(expected().to_series(), annual())[0].to_dict() == RETURNS
    with pytest.raises(PortfolioError, match="span the same periods"):
        to_pypfopt(expected(annualized=False).to_series(), annual())
    with pytest.raises(PortfolioError, match=r"forecasts span, 252\. Got 5"):
        to_pypfopt(expected(), annual(), returns_periods=5)


def test_a_daily_covariance_is_found_by_its_size():
    daily = annual() / 252
    with pytest.raises(PortfolioError, match="looks like one of daily returns"):
        to_pypfopt(expected(), daily)
    # Who says that it is annual is believed, but told.
    with pytest.warns(PortfolioWarning, match="typical annual volatility"):
        to_pypfopt(expected(), daily, covariance_periods=252)
    with pytest.raises(PortfolioError, match="percentages"):
        to_pypfopt(expected(), annual() * 1e4)


@pytest.mark.parametrize(
    ("factor", "fits"), [(1, True), (1 / 252, False), (1e4, False)]
)
def test_intervals_betray_a_covariance_of_other_units(factor, fits):
    # 90% intervals of normal returns over five rows with this covariance.
    half = 1.645 * np.sqrt(np.diag(annual()) * 5 / 252)
    interval = pd.DataFrame({"lower": -half, "upper": half}, TICKERS)
    result = expected(interval=interval)
    if fits:
        to_pypfopt(result, annual() * factor, covariance_periods=252)
        return
    with pytest.raises(PortfolioError, match="prices or intervals"):
        to_pypfopt(result, annual() * factor, covariance_periods=252)


def test_all_negative_forecasts_give_advice():
    result = expected({ticker: -value for ticker, value in RETURNS.items()})
    with pytest.raises(PortfolioError, match=r"min_volatility\(\)\), or pass a lower"):
        to_pypfopt(result, annual())
    # The advice leads to the portfolio of minimum variance, whose closed form is the
    # inverse covariance times ones.
    returns, covariance = to_pypfopt(result, annual(), risk_free_rate=None)
    weights = EfficientFrontier(returns, covariance, (-5, 5)).min_volatility()
    smallest = np.linalg.solve(annual().to_numpy(), np.ones(5))
    np.testing.assert_allclose(
        list(weights.values()), smallest / smallest.sum(), atol=1e-4
    )


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.15, 0.2, 0.3])
def test_the_rate_is_refused_where_pypfopt_would_refuse_it(rate):
    try:
        EfficientFrontier(pd.Series(RETURNS), annual()).max_sharpe(rate)
    except ValueError:
        with pytest.raises(PortfolioError, match="risk_free_rate"):
            to_pypfopt(expected(), annual(), risk_free_rate=rate)
    else:
        to_pypfopt(expected(), annual(), risk_free_rate=rate)


def test_tickers_without_forecast_are_left_out_and_listed():
    result = expected(RETURNS | {"B": np.nan, "D": np.inf})
    with pytest.warns(PortfolioWarning) as told:
        returns, covariance = to_pypfopt(result, annual(TICKERS[::-1]))
    assert [str(w.message) for w in told] == [
        "2 of 5 tickers are left out: B (no prices of B), D (no prices of D)."
    ]
    assert told[0].filename == __file__
    assert list(returns.index) == list(covariance.columns) == ["A", "C", "E"]
    EfficientFrontier(returns, covariance).max_sharpe()
    with pytest.raises(PortfolioError, match=r"B \(no prices of B\)"):
        to_pypfopt(result, annual(), on_missing="raise")


def test_a_ticker_without_forecast_needs_no_covariance():
    result = expected(RETURNS | {"F": np.nan})
    returns, covariance = quietly(result, annual())
    assert list(returns.index) == list(covariance.columns) == TICKERS


def test_a_ticker_without_variance_is_left_out():
    covariance = annual()
    covariance.loc["C"] = covariance["C"] = np.nan
    with pytest.warns(PortfolioWarning, match=r"1 of 5 .* C \(no variance\)"):
        returns, aligned = to_pypfopt(expected(), covariance)
    assert list(returns.index) == list(aligned.columns) == list("ABDE")


def test_there_must_be_something_left():
    nothing = expected(dict.fromkeys(TICKERS, np.nan))
    with pytest.raises(PortfolioError, match="At least one ticker"):
        to_pypfopt(nothing, annual())


def broken(kind):
    covariance = annual()
    if kind == "finite":
        covariance.loc["A", "B"] = covariance.loc["B", "A"] = np.nan
    elif kind == "positive variances":
        covariance.loc["A"] = covariance["A"] = 0.0
    elif kind == "symmetric":
        covariance.loc["A", "B"] += 0.001
    else:
        covariance.loc["A", "B"] = covariance.loc["B", "A"] = 1.0
    return covariance


@pytest.mark.parametrize(
    "kind", ["finite", "positive variances", "symmetric", "positive semidefinite"]
)
def test_what_is_no_covariance_is_refused(kind):
    with pytest.raises(PortfolioError, match=f"`covariance` must (be|have) {kind}"):
        to_pypfopt(expected(), broken(kind))


def test_singular_covariances_are_fine():
    # Fewer dates than tickers: semidefinite, up to rounding.
    prices = make_panel(20, 40, random_state=0)
    covariance = risk_models.sample_cov(prices, fix_method=None)
    result = expected(dict.fromkeys(prices.columns, 0.1))
    assert to_pypfopt(result, covariance)[1].shape == (40, 40)


@pytest.mark.parametrize(
    "params",
    [{"on_missing": "drop"}, {"covariance_periods": 0}, {"covariance_periods": "1y"}],
)
def test_invalid_parameters(params):
    with pytest.raises(ValueError, match=f"`{next(iter(params))}` must be"):
        to_pypfopt(expected(), annual(), **params)


def test_from_prices_to_weights():
    prices = make_panel(300, 8, random_state=0)
    prices.iloc[-40:, 2] = prices.iloc[-41, 2]
    system = BatchForecastingSystem(5, forecaster=BatchLinearForecaster())
    with pytest.warns(BatchWarning):
        result = system.fit(prices).forecast()
    covariance = risk_models.CovarianceShrinkage(prices).ledoit_wolf()
    with pytest.raises(PortfolioError, match=r"returns over 5 rows.*Annualize"):
        to_pypfopt(result, covariance)
    still = prices.columns[2]
    with pytest.warns(PortfolioWarning, match=f"{still} .quarantined .constant"):
        returns, aligned = to_pypfopt(
            ExpectedReturns.of(result), covariance.iloc[::-1, ::-1], risk_free_rate=None
        )
    weights = EfficientFrontier(returns, aligned).min_volatility()
    assert set(weights) == set(prices.columns) - {still}
    per_horizon = quietly(
        result, covariance * 5 / 252, covariance_periods=5, risk_free_rate=None
    )[0]
    healthy = result.expected_returns.dropna()
    np.testing.assert_allclose(per_horizon, healthy)


def test_returns_converted_by_hand_are_told_the_way_out():
    series = expected().to_series() / 252
    daily = annual() / 252
    with pytest.raises(PortfolioError, match=r"in_units\(\).*series\.attrs\.clear\(\)"):
        to_pypfopt(series, daily, returns_periods=1, covariance_periods=1)
    series.attrs.clear()
    values, _ = to_pypfopt(series, daily, returns_periods=1, covariance_periods=1)
    assert values.attrs["periods"] == 1
