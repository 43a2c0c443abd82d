"""Views of Black and Litterman, in the two libraries that take them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypfopt import BlackLittermanModel
from skfolio.optimization import MeanRisk
from skfolio.preprocessing import prices_to_returns
from skfolio.prior import BlackLitterman, EmpiricalPrior

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.forecasting import PredictionInterval
from skbatch.portfolio import ExpectedReturns, black_litterman_views

# "BRK-B" and "A+B" look like formulas, and "1e-3" and "700" like numbers.
TICKERS = ["AAPL", "BRK-B", "A+B", "x.y"]
Z90 = 1.6448536269514722


def make_covariance(tickers=TICKERS, daily=0.015):
    correlation = np.full((len(tickers), len(tickers)), 0.4) + 0.6 * np.eye(
        len(tickers)
    )
    spread = daily * np.linspace(0.8, 1.4, len(tickers))
    return pd.DataFrame(np.outer(spread, spread) * correlation, tickers, tickers)


def make_interval(values, half_width, coverage=0.9):
    values = pd.Series(values)
    table = pd.DataFrame({"lower": values - half_width, "upper": values + half_width})
    table.attrs["coverage"] = coverage
    return table


VALUES = dict(zip(TICKERS, [0.001, -0.002, 0.0005, 0.003], strict=True))
DAILY = {"returns_periods": 1, "covariance_periods": 1}


def daily_views(half_width=0.02, **params):
    given = {"interval": make_interval(VALUES, half_width), **DAILY, **params}
    return black_litterman_views(VALUES, make_covariance(), **given)


def pypfopt_posterior(views, covariance, prior):
    model = BlackLittermanModel(covariance, pi=prior, **views.pypfopt())
    return model.bl_returns()[covariance.index].to_numpy()


class Fixed(EmpiricalPrior):
    """A prior with given moments."""

    def __init__(self, covariance=None, mu=None):
        super().__init__()
        self.covariance = covariance
        self.mu = mu

    def fit(self, X, y=None):
        from skfolio.prior import ReturnDistribution

        self.return_distribution_ = ReturnDistribution(
            mu=np.asarray(self.mu),
            covariance=np.asarray(self.covariance),
            returns=np.asarray(X),
        )
        return self


def skfolio_posterior(views, covariance, prior):
    X = pd.DataFrame(np.zeros((3, len(covariance))), columns=covariance.index)
    model = BlackLitterman(
        prior_estimator=Fixed(covariance, prior), **views.skfolio()
    ).fit(X)
    return model.return_distribution_.mu


def bayes_posterior(views, covariance, prior):
    """Invert the precision-weighted sum, as in Black and Litterman's article."""
    tickers = list(covariance)
    picks = np.array([[float(t == v) for t in tickers] for v in views.views.index])
    precision = np.linalg.inv(views.tau * covariance.to_numpy())
    weight = picks.T @ np.diag(1 / views.omega.to_numpy())
    return np.linalg.solve(
        precision + weight @ picks, precision @ prior + weight @ views.views.to_numpy()
    )


# --- the formula --------------------------------------------------------------------


def test_a_view_by_hand():
    """A 90% interval of ±2% on a day, and a daily volatility of 1%."""
    covariance = pd.DataFrame([[1e-4]], ["A"], ["A"])
    views = black_litterman_views(
        {"A": 0.001}, covariance, interval=make_interval({"A": 0.001}, 0.02), **DAILY
    )
    omega = (0.02 / Z90) ** 2
    np.testing.assert_allclose(views.omega["A"], omega)
    np.testing.assert_allclose(
        views.confidences["A"], 0.05 * 1e-4 / (0.05 * 1e-4 + omega)
    )
    assert views.views.to_dict() == pytest.approx({"A": 0.001})
    assert views.excluded == {}


def test_as_wide_as_the_volatility_is_as_one_observation():
    """Then the confidence is τ / (1 + τ), whatever the units."""
    daily = make_covariance()
    for horizon, periods in [(1, 1), (5, 1), (5, 252), (21, 12.5)]:
        half = Z90 * np.sqrt(np.diag(daily) * horizon)
        views = black_litterman_views(
            dict.fromkeys(TICKERS, 0.001),
            daily * periods,
            interval=make_interval(pd.Series(0.001, TICKERS), half),
            returns_periods=horizon,
            covariance_periods=periods,
            tau=0.1,
        )
        np.testing.assert_allclose(views.confidences, 0.1 / 1.1)


def test_half_confident_is_he_and_litterman():
    daily = make_covariance()
    half = Z90 * np.sqrt(0.2 * np.diag(daily))
    views = daily_views(half, tau=0.2)
    np.testing.assert_allclose(views.confidences, 0.5)
    omega = BlackLittermanModel.default_omega(daily.to_numpy(), np.eye(4), 0.2)
    np.testing.assert_allclose(views.pypfopt()["omega"], omega)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_the_coverage_only_says_how_to_read_the_width(coverage):
    """Intervals of one normal distribution, at several coverages."""
    from scipy.stats import norm

    half = 0.01 * norm.interval(coverage)[1]
    views = daily_views(
        coverage=coverage, interval=make_interval(VALUES, half, coverage)
    )
    np.testing.assert_allclose(views.omega, 1e-4)


def test_views_compound_to_the_periods_of_the_covariance():
    annual = black_litterman_views(
        VALUES,
        make_covariance() * 252,
        interval=make_interval(VALUES, 0.05),
        returns_periods=5,
        covariance_periods=252,
    )
    expected = [(1 + value) ** (252 / 5) - 1 for value in VALUES.values()]
    np.testing.assert_allclose(annual.views, expected)
    np.testing.assert_allclose(annual.omega, (0.05 / Z90) ** 2 * 252 / 5)
    assert annual.periods == 252


# --- the two libraries --------------------------------------------------------------

PRIOR = np.array([0.0004, 0.0006, 0.0001, 0.0005])


def test_both_libraries_have_the_posterior_of_bayes():
    views, covariance = daily_views(), make_covariance()
    expected = bayes_posterior(views, covariance, PRIOR)
    for posterior in (pypfopt_posterior, skfolio_posterior):
        np.testing.assert_allclose(
            posterior(views, covariance, PRIOR), expected, rtol=1e-6
        )
    assert not np.allclose(expected, PRIOR, rtol=1e-3)


def test_tickers_keep_their_views_in_another_order():
    covariance = make_covariance()
    shuffled = covariance.iloc[::-1, ::-1]
    views = black_litterman_views(
        dict(reversed(VALUES.items())),
        shuffled,
        interval=make_interval(VALUES, [0.01, 0.02, 0.03, 0.04]).iloc[[2, 0, 3, 1]],
        **DAILY,
    )
    same = daily_views(np.array([0.01, 0.02, 0.03, 0.04]))
    for name in ("views", "omega", "confidences"):
        pd.testing.assert_series_equal(
            getattr(views, name)[TICKERS], getattr(same, name)
        )
    expected = bayes_posterior(same, covariance, PRIOR)
    for posterior in (pypfopt_posterior, skfolio_posterior):
        np.testing.assert_allclose(
            posterior(views, covariance, PRIOR), expected, rtol=1e-6
        )


def one_view(view, covariance, half, tau):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PortfolioWarning)
        return black_litterman_views(
            {"A": view, "B": np.nan},
            covariance,
            interval=make_interval({"A": view}, half),
            tau=tau,
            **DAILY,
        )


@settings(max_examples=25)
@given(
    st.floats(0.006, 0.03),
    st.floats(1.05, 2.3),
    st.floats(0.01, 1.0),
    st.floats(-0.02, 0.02),
)
def test_a_narrower_interval_moves_the_posterior_closer(width, ratio, tau, view):
    """A law, in both libraries: for a single view, the gap shrinks with the width."""
    covariance = make_covariance(["A", "B"])
    prior = np.array([0.001, 0.0005])
    if abs(view - prior[0]) < 1e-4:
        view = prior[0] + 1e-4
    gaps, confidences = {}, []
    for half in (width, width * ratio):
        views = one_view(view, covariance, half, tau)
        confidences.append(views.confidences["A"])
        for posterior in (pypfopt_posterior, skfolio_posterior):
            value = posterior(views, covariance, prior)[0]
            gaps.setdefault(posterior, []).append(abs(view - value))
            # For one view, Bayes' shrinkage is the confidence itself.
            expected = prior[0] + confidences[-1] * (view - prior[0])
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-12)
    assert confidences[0] > confidences[1]
    assert all(narrow < wide for narrow, wide in gaps.values())


# --- from a system ------------------------------------------------------------------


@pytest.fixture(scope="module")
def prices():
    return make_panel(320, 5, random_state=1).set_axis(list("ABCDE"), axis=1)


@pytest.fixture(scope="module")
def system(prices):
    return BatchForecastingSystem(
        5,
        features=SharedFeatureExtractor(windows=(5, 21), cache_size=0),
        forecaster=ConformalForecaster(BatchLinearForecaster()),
    ).fit(prices)


def test_a_forecast_moves_a_portfolio_of_skfolio(prices, system):
    X = prices_to_returns(prices)
    covariance = X.cov()
    result, interval = system.forecast(), system.predict_interval(coverage=0.8)
    views = black_litterman_views(
        result, covariance, interval=interval, covariance_periods=1
    )
    expected = (1 + result.expected_returns) ** (1 / 5) - 1
    np.testing.assert_allclose(views.views, expected)
    width = (interval.upper - interval.lower).iloc[-1]
    np.testing.assert_allclose(views.omega, (width / (2 * 1.2815515655446004)) ** 2 / 5)
    assert views.confidences.between(0.01, 0.2).all()
    prior = BlackLitterman(prior_estimator=EmpiricalPrior(), **views.skfolio())
    model = MeanRisk(prior_estimator=prior).fit(X)
    posterior = model.prior_estimator_.return_distribution_.mu
    np.testing.assert_allclose(
        posterior, bayes_posterior(views, covariance, X.mean().to_numpy())
    )


def test_expected_returns_bring_their_interval(prices, system):
    lower, upper = system.predict_interval()
    interval = pd.DataFrame({"lower": lower.iloc[-1], "upper": upper.iloc[-1]})
    covariance = prices_to_returns(prices).cov() * 252
    annual, plain = (
        black_litterman_views(
            ExpectedReturns.of(system.forecast(), annualize=flag, interval=interval),
            covariance,
            coverage=0.9,
            covariance_periods=252,
        )
        for flag in (True, False)
    )
    pd.testing.assert_frame_equal(annual.to_frame(), plain.to_frame())
    direct = black_litterman_views(
        system.forecast(),
        covariance,
        interval=system.predict_interval(),
        covariance_periods=252,
    )
    pd.testing.assert_frame_equal(annual.to_frame(), direct.to_frame())


@pytest.mark.parametrize("annualize", [True, False])
def test_the_intervals_of_a_system_can_be_expected_returns_own(
    prices, system, annualize
):
    interval = system.predict_interval(coverage=0.8)
    expected = ExpectedReturns.of(
        system.forecast(), annualize=annualize, interval=interval
    )
    bounds = pd.DataFrame({"lower": interval.lower.iloc[-1]})
    bounds["upper"] = interval.upper.iloc[-1]
    pd.testing.assert_frame_equal(expected.interval, bounds)
    covariance = prices_to_returns(prices).cov()
    own = black_litterman_views(expected, covariance, covariance_periods=1)
    direct = black_litterman_views(
        expected, covariance, interval=interval, covariance_periods=1
    )
    pd.testing.assert_frame_equal(own.to_frame(), direct.to_frame())


def test_intervals_say_their_horizon_where_the_returns_do_not(prices, system):
    """Annual returns in a dict: the intervals are over five rows all the same."""
    covariance = prices_to_returns(prices).cov() * 252
    expected = ExpectedReturns.of(system.forecast())
    interval = system.predict_interval()
    views = black_litterman_views(
        dict(expected), covariance, interval=interval, returns_periods=252
    )
    width = (interval.upper - interval.lower).iloc[-1]
    np.testing.assert_allclose(views.omega, (width / (2 * Z90)) ** 2 * 252 / 5)
    for bound in interval:
        bound.attrs["horizon"] = 21
    with pytest.raises(PortfolioError, match="over 21 rows, and forecasts of 5"):
        black_litterman_views(expected, covariance, interval=interval)


def test_what_has_no_forecast_has_no_view():
    values = {**VALUES, "AAPL": np.nan}
    interval = make_interval(VALUES, 0.02)
    interval.loc["A+B", "upper"] = np.nan
    with pytest.warns(PortfolioWarning, match=r"no view on 2 tickers: AAPL \(no fore"):
        views = black_litterman_views(
            values, make_covariance(), interval=interval, **DAILY
        )
    assert list(views.views.index) == ["BRK-B", "x.y"]
    assert views.excluded == {
        "AAPL": "no forecast",
        "A+B": "no interval with a width",
    }
    posterior = pypfopt_posterior(views, make_covariance(), PRIOR)
    np.testing.assert_allclose(
        skfolio_posterior(views, make_covariance(), PRIOR), posterior, rtol=1e-6
    )


def test_tickers_that_look_like_numbers():
    tickers = ["700", "1e-3"]
    values = dict(zip(tickers, [0.001, 0.002], strict=True))
    covariance = make_covariance(tickers)
    views = black_litterman_views(
        values, covariance, interval=make_interval(values, 0.02), **DAILY
    )
    np.testing.assert_allclose(
        skfolio_posterior(views, covariance, PRIOR[:2]),
        bayes_posterior(views, covariance, PRIOR[:2]),
        rtol=1e-6,
    )


def test_repr_and_keywords():
    views = daily_views()
    assert repr(views).startswith("BlackLittermanViews: 4 views over 1 rows, confi")
    assert views.skfolio()["views"][1] == "BRK-B = -0.002"
    assert list(views.to_frame()) == ["view", "omega", "confidence"]


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"tau": 0}, ValueError, "`tau` must be above 0"),
        ({"coverage": 1.2}, ValueError, "`coverage` must be between"),
        ({"coverage": 0.5}, PortfolioError, "must be that of the intervals, 0.9"),
        ({"interval": None}, PortfolioError, "Views must be made from intervals"),
        ({"interval": pd.DataFrame()}, PortfolioError, "the columns lower and upper"),
        (
            {"interval": PredictionInterval(np.zeros((1, 4)), np.ones((1, 4)))},
            PortfolioError,
            "Got a ndarray",
        ),
        ({"returns_periods": None}, PortfolioError, "expected returns span"),
        ({"covariance_periods": 252}, PortfolioError, "smaller than prices or inter"),
    ],
)
def test_wrong_arguments(params, error, match):
    with pytest.raises(error, match=match):
        daily_views(**{"interval": make_interval(VALUES, 0.02), **params})


def test_an_unknown_coverage_is_not_guessed():
    interval = make_interval(VALUES, 0.02)
    interval.attrs.clear()
    with pytest.raises(PortfolioError, match=r"Pass coverage=0\.9"):
        daily_views(interval=interval)
    same = daily_views(interval=interval, coverage=0.9)
    pd.testing.assert_frame_equal(same.to_frame(), daily_views().to_frame())


def test_what_has_no_forecast_needs_no_variance():
    values = {**VALUES, "NOPE": np.nan}
    with pytest.warns(PortfolioWarning, match=r"no view on 1 ticker: NOPE"):
        views = black_litterman_views(
            values, make_covariance(), interval=make_interval(VALUES, 0.02), **DAILY
        )
    pd.testing.assert_frame_equal(views.to_frame(), daily_views().to_frame())


def test_a_covariance_without_the_tickers():
    with pytest.raises(PortfolioError, match=r"Got 1 without covariance .BRK-B"):
        black_litterman_views(
            VALUES,
            make_covariance().drop(index="BRK-B", columns="BRK-B"),
            interval=make_interval(VALUES, 0.02),
            **DAILY,
        )
    with pytest.raises(PortfolioError, match="must have tickers as labels"):
        black_litterman_views(
            VALUES,
            make_covariance().to_numpy(),
            interval=make_interval(VALUES, 0.02),
            **DAILY,
        )


def test_nothing_to_have_a_view_on():
    with pytest.raises(PortfolioError, match="At least one ticker"):
        black_litterman_views(
            dict.fromkeys(TICKERS, np.nan),
            make_covariance(),
            interval=make_interval(VALUES, 0.02),
            **DAILY,
        )


def test_forecasts_bring_their_own_intervals():
    prices = make_panel(300, 4, random_state=0)
    features = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])
    system = BatchForecastingSystem(
        5, features=features, forecaster=BatchLinearForecaster(), coverage=0.8
    ).fit(prices)
    result = system.forecast()
    expected = ExpectedReturns.of(result, annualize=False)
    given = ExpectedReturns.of(
        result, annualize=False, interval=system.predict_interval(coverage=0.8)
    )
    pd.testing.assert_frame_equal(expected.interval, given.interval, check_names=False)
    assert expected.interval.attrs == {"coverage": 0.8, "horizon": 5}
    covariance = 5 * prices.pct_change().cov()
    views = [
        black_litterman_views(one, covariance, covariance_periods=5)
        for one in (expected, given)
    ]
    pd.testing.assert_frame_equal(views[0].to_frame(), views[1].to_frame())
