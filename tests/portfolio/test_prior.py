"""Forecasts as the distribution of returns of skfolio's portfolios."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from skfolio import RiskMeasure
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.moments import EmpiricalCovariance, EWCovariance, LedoitWolf
from skfolio.optimization import MeanRisk, ObjectiveFunction
from skfolio.preprocessing import prices_to_returns
from skfolio.prior import BlackLitterman
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.forecasting import ReturnTarget
from skbatch.portfolio import ForecastMu, ForecastPrior

TICKERS = list("ABCDE")


@pytest.fixture(scope="module")
def prices():
    return make_panel(320, 5, random_state=1).set_axis(TICKERS, axis=1)


@pytest.fixture(scope="module")
def returns(prices):
    return prices_to_returns(prices)


def features():
    return SharedFeatureExtractor(windows=(5, 21), cache_size=0)


def plain_system(horizon=5):
    # Without a tail, there is nothing to calibrate scenarios with.
    target = ReturnTarget(validation_size=0)
    forecaster = BatchLinearForecaster("per_ticker", target=target)
    return BatchForecastingSystem(horizon, features=features(), forecaster=forecaster)


def calibrated_system(horizon=5, **params):
    forecaster = ConformalForecaster(BatchLinearForecaster("per_ticker"))
    return BatchForecastingSystem(
        horizon, features=features(), forecaster=forecaster, **params
    )


def pipeline():
    return make_pipeline(
        features(), ConformalForecaster(BatchLinearForecaster("per_ticker"))
    )


def quietly(estimator, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X)


# --- with scenarios -----------------------------------------------------------------


@pytest.mark.parametrize("forecaster", [calibrated_system(10), pipeline()])
def test_scenarios_per_row_in_closed_form(returns, forecaster):
    """Mean, covariance and scenarios against the definition, cell by cell."""
    prior = ForecastPrior(forecaster, 10, n_scenarios=400).fit(returns)
    drawn = prior.scenarios_.to_numpy()
    distribution = prior.return_distribution_
    assert drawn.shape == distribution.returns.shape == (400, 5)
    mu = ForecastMu(forecaster, 10).fit(returns).mu_
    for asset in range(5):
        deviation = (drawn[:, asset] - np.mean(drawn[:, asset])) / 10**0.5
        np.testing.assert_allclose(
            distribution.returns[:, asset], mu[asset] + deviation, rtol=1e-9
        )
    np.testing.assert_allclose(distribution.mu, mu)
    np.testing.assert_allclose(distribution.returns.mean(axis=0), mu, atol=1e-12)
    np.testing.assert_allclose(
        distribution.covariance, np.cov(drawn, rowvar=False) / 10
    )
    assert distribution.sample_weight is None


def test_the_system_draws_the_scenarios(returns):
    prior = ForecastPrior(calibrated_system(), n_scenarios=50, random_state=3)
    prior.fit(returns)
    expected = prior.forecaster_.predict_scenarios(n_samples=50, random_state=3)
    pd.testing.assert_frame_equal(prior.scenarios_, expected)
    other = clone(prior).set_params(random_state=4).fit(returns)
    assert not other.scenarios_.equals(prior.scenarios_)


def test_the_units_are_those_of_the_returns():
    """Independent normal returns: covariance and tail per row, at any horizon."""
    rng = np.random.default_rng(0)
    spread = np.array([0.01, 0.02, 0.005])
    index = pd.bdate_range("2020-01-01", periods=900)
    X = pd.DataFrame(spread * rng.normal(size=(900, 3)), index, list("ABC"))
    for horizon in (1, 10):
        prior = ForecastPrior(calibrated_system(), horizon, n_scenarios=4000).fit(X)
        distribution = prior.return_distribution_
        deviations = np.sqrt(np.diag(distribution.covariance))
        np.testing.assert_allclose(deviations, spread, rtol=0.25)
        low = np.quantile(distribution.returns, 0.05, axis=0) - distribution.mu
        np.testing.assert_allclose(low, -1.645 * spread, rtol=0.3)


def test_risk_is_that_of_the_scenarios(returns):
    """The least CVaR is that of the scenarios, below that of other portfolios."""
    prior = ForecastPrior(calibrated_system(), n_scenarios=300)
    model = MeanRisk(risk_measure=RiskMeasure.CVAR, prior_estimator=prior).fit(returns)
    scenarios = model.prior_estimator_.return_distribution_.returns

    def cvar(weights):
        return -np.sort(scenarios @ weights)[:15].mean()  # 5% of 300

    rng = np.random.default_rng(0)
    others = [*np.eye(5), *rng.dirichlet(np.ones(5), 200)]
    assert cvar(model.weights_) <= min(map(cvar, others)) + 1e-6


def test_tickers_of_several_batches(returns):
    prior = ForecastPrior(calibrated_system(max_batch_size=2)).fit(returns)
    assert len(prior.forecaster_.fitted_.members) == 3
    assert np.isfinite(prior.return_distribution_.covariance).all()
    assert np.linalg.eigvalsh(prior.return_distribution_.covariance)[0] > 0


def test_a_ticker_without_forecast_is_not_investable(returns):
    dead = returns.copy()
    dead.loc[dead.index[-60:], "C"] = 0.0
    for system in (calibrated_system(), plain_system()):
        with pytest.warns(PortfolioWarning, match="1 of 5 tickers .* C "):
            prior = ForecastPrior(system).fit(dead)
        distribution = prior.return_distribution_
        others = [0, 1, 3, 4]
        assert distribution.investable_mask.tolist() == [t != "C" for t in TICKERS]
        assert np.isnan(distribution.covariance[2]).all()
        assert np.isfinite(distribution.covariance[np.ix_(others, others)]).all()
        assert np.isfinite(distribution.returns[:, others]).all()
        model = quietly(MeanRisk(prior_estimator=ForecastPrior(system)), dead)
        assert model.weights_[2] == 0
        np.testing.assert_allclose(model.weights_.sum(), 1.0)


def test_a_covariance_that_is_given_is_used_with_scenarios(returns):
    prior = ForecastPrior(
        calibrated_system(), covariance_estimator=EmpiricalCovariance()
    )
    distribution = prior.fit(returns).return_distribution_
    np.testing.assert_allclose(distribution.covariance, np.cov(returns.T))
    assert len(distribution.returns) == 1000
    assert prior.scenarios_ is not None


# --- without ------------------------------------------------------------------------


def test_without_scenarios_the_covariance_of_the_past_is_shrunk(returns):
    prior = ForecastPrior(plain_system()).fit(returns)
    distribution = prior.return_distribution_
    assert prior.scenarios_ is None
    mu = ForecastMu(plain_system()).fit(returns)
    np.testing.assert_array_equal(distribution.mu, mu.mu_)
    expected = LedoitWolf().fit(returns).covariance_
    np.testing.assert_allclose(distribution.covariance, expected)
    np.testing.assert_array_equal(distribution.returns, returns)
    pd.testing.assert_frame_equal(prior.provenance_, mu.provenance_)


def test_the_covariance_is_of_rows_that_all_tickers_have(returns):
    young = returns.copy()
    young.loc[young.index[:150], "A"] = np.nan
    prior = ForecastPrior(plain_system()).fit(young)
    expected = LedoitWolf().fit(returns.iloc[150:]).covariance_
    np.testing.assert_allclose(prior.return_distribution_.covariance, expected)
    np.testing.assert_array_equal(prior.return_distribution_.returns, returns[150:])


def test_a_late_ticker_that_costs_the_others_their_history_is_named(returns):
    young = returns.copy()
    young.loc[young.index[:200], "D"] = np.nan
    with pytest.warns(PortfolioWarning, match=r"119 of 319 rows .* missing of D\."):
        ForecastPrior(plain_system()).fit(young)


def test_an_estimator_that_takes_missing_returns_gets_them(returns):
    young = returns.copy()
    young.loc[young.index[:200], "A"] = np.nan
    prior = ForecastPrior(plain_system(), covariance_estimator=EWCovariance())
    expected = EWCovariance().fit(young).covariance_
    distribution = prior.fit(young).return_distribution_
    np.testing.assert_allclose(distribution.covariance, expected)
    assert isinstance(prior.covariance_estimator_, EWCovariance)


def test_no_rows_that_all_tickers_have(returns):
    """A has traded on the even rows and B on the odd ones."""
    X = returns.copy()
    X.loc[X.index[::2], "A"] = np.nan
    X.loc[X.index[1::2], "B"] = np.nan
    system = plain_system()
    prices = (1 + returns).cumprod()
    with pytest.raises(PortfolioError, match="Got 0 of 319; most are missing of A, B"):
        ForecastPrior(system, prices=prices).fit(X)
    scenarios = ForecastPrior(calibrated_system(), prices=prices).fit(X)
    assert np.isfinite(scenarios.return_distribution_.returns).all()
    # Nor are common rows asked for where the covariance takes missing returns.
    given = EWCovariance()
    both = ForecastPrior(
        calibrated_system(), covariance_estimator=given, prices=prices
    ).fit(X)
    expected = EWCovariance().fit(X).covariance_
    np.testing.assert_allclose(both.return_distribution_.covariance, expected)
    with pytest.raises(PortfolioError, match="Got 0 of 319"):
        ForecastPrior(system, covariance_estimator=given, prices=prices).fit(X)


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"n_scenarios": 1}, ValueError, "`n_scenarios` must be an int"),
        ({"n_scenarios": 2.5}, ValueError, "`n_scenarios` must be an int"),
        ({"covariance_estimator": "oas"}, TypeError, "`covariance_estimator` must be"),
        ({"horizon": 0}, ValueError, "`horizon` must be an int"),
    ],
)
def test_wrong_parameters_raise_in_fit(returns, params, error, match):
    with pytest.raises(error, match=match):
        ForecastPrior(plain_system(), **params).fit(returns)


def test_too_short_windows(returns):
    for system in (plain_system(), calibrated_system()):
        with pytest.warns(PortfolioWarning, match="No forecast for 5 of 5 tickers"):
            prior = ForecastPrior(system).fit(returns.iloc[-12:])
        assert np.isnan(prior.return_distribution_.mu).all()


# --- in skfolio ---------------------------------------------------------------------


LOG = []


class Recorder(ForecastPrior):
    """Keeps the distribution of each fit."""

    def fit(self, X, y=None):
        super().fit(X)
        LOG.append(self.return_distribution_)
        return self


def walk(X):
    LOG.clear()
    model = MeanRisk(
        ObjectiveFunction.MAXIMIZE_UTILITY,
        prior_estimator=Recorder(calibrated_system(), n_scenarios=60),
    )
    portfolios = cross_val_predict(model, X, cv=WalkForward(30, 200, expand_train=True))
    return list(LOG), [p.weights for p in portfolios]


def test_no_future_price_reaches_the_scenarios_in_a_walk(returns):
    garbage = returns.copy()
    garbage.iloc[230:] = np.random.default_rng(0).uniform(-0.3, 0.5, (89, 5))
    ours, weights = walk(returns)
    theirs, others = walk(garbage)
    assert len(ours) == 3
    for number in range(3):
        same = np.array_equal(ours[number].returns, theirs[number].returns)
        assert same == (number <= 1)
        assert np.array_equal(weights[number], others[number]) == (number <= 1)


def test_grid_search_over_the_whole_chain(returns):
    model = MeanRisk(
        ObjectiveFunction.MAXIMIZE_RATIO, prior_estimator=ForecastPrior(pipeline())
    )
    name = "prior_estimator__forecaster__conformalforecaster__"
    grid = {name + "estimator__strategy": ["pooled", "per_ticker"]}
    search = GridSearchCV(model, grid, cv=WalkForward(100, 200)).fit(returns)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_it_is_a_prior_of_other_priors(returns):
    views = BlackLitterman(["A = 0.002"], prior_estimator=ForecastPrior(plain_system()))
    posterior = views.fit(returns).return_distribution_
    prior = views.prior_estimator_.return_distribution_
    assert prior.mu[0] < posterior.mu[0] < 0.002


def test_clone_and_pickle(returns):
    prior = ForecastPrior(calibrated_system(), n_scenarios=20)
    assert prior.get_params()["forecaster__forecaster__calibration_size"] == "auto"
    again = pickle.loads(pickle.dumps(clone(prior).fit(returns)))
    np.testing.assert_array_equal(
        again.return_distribution_.returns,
        prior.fit(returns).return_distribution_.returns,
    )
