"""Forecasts as the expected returns of skfolio's portfolios."""

import importlib
import pickle
import sys
import warnings
from functools import cache
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.moments import EWCovariance
from skfolio.optimization import MeanRisk, ObjectiveFunction
from skfolio.preprocessing import prices_to_returns
from skfolio.prior import EmpiricalPrior
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices, make_panel
from skbatch.exceptions import (
    FallbackWarning,
    ModelFitError,
    PanelError,
    PortfolioError,
    PortfolioWarning,
)
from skbatch.portfolio import ForecastMu, ForecastPrior
from skbatch.portfolio._window import compounded_prices

TICKERS = list("ABCDE")


@pytest.fixture(scope="module")
def prices():
    return make_panel(320, 5, random_state=1).set_axis(TICKERS, axis=1)


@pytest.fixture(scope="module")
def returns(prices):
    return prices_to_returns(prices)


def features():
    return SharedFeatureExtractor(windows=(5, 21), cache_size=0)


def linear_system(horizon=5, **params):
    params = {"forecaster": BatchLinearForecaster("per_ticker"), **params}
    return BatchForecastingSystem(horizon, features=features(), **params)


def mean_risk(mu, objective=ObjectiveFunction.MAXIMIZE_RATIO):
    return MeanRisk(objective, prior_estimator=EmpiricalPrior(mu_estimator=mu))


def quietly(estimator, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X)


# --- from returns to prices ---------------------------------------------------------


def slow_prices(returns):
    """Compound each ticker's last unbroken run of returns, in a loop."""
    prices = np.full(returns.shape, np.nan)
    for column in range(returns.shape[1]):
        rows = [r for r, v in enumerate(returns[:, column]) if v > -1]
        if not rows:
            continue
        row = rows[-1]
        while row >= 0 and returns[row, column] > -1:
            row -= 1
        price = 1.0
        if row >= 0:
            prices[row, column] = price
        for later in range(row + 1, rows[-1] + 1):
            price *= 1 + returns[later, column]
            prices[later, column] = price
    return prices


cells = st.one_of(
    st.floats(-0.5, 1.0), st.sampled_from([np.nan, -1.0, -1.5]), st.floats(-0.1, 0.1)
)


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=cells))
def test_prices_compound_the_last_unbroken_run(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PortfolioWarning)
        prices = compounded_prices(pd.DataFrame(values, columns=list("ABC")))
    np.testing.assert_allclose(prices.to_numpy(), slow_prices(values), rtol=1e-12)


def test_prices_have_the_returns_that_they_came_from(returns):
    again = compounded_prices(returns).pct_change().iloc[1:]
    pd.testing.assert_frame_equal(again, returns.iloc[1:])


def test_a_late_listing_keeps_its_first_return(returns):
    late = returns.copy()
    late.loc[late.index[:100], "C"] = np.nan
    moves = compounded_prices(late).pct_change(fill_method=None)
    pd.testing.assert_series_equal(moves["C"].iloc[100:], returns["C"].iloc[100:])


# --- the forecasts ------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 5, 21])
def test_mu_is_the_forecast_of_the_prices_per_row(prices, returns, horizon):
    """A system on the real prices; the level of a price says nothing."""
    mu = ForecastMu(linear_system(), horizon).fit(returns)
    expected = linear_system(horizon).fit(prices.iloc[1:]).forecast().expected_returns
    np.testing.assert_allclose(mu.expected_returns_, expected, rtol=1e-3)
    np.testing.assert_allclose((1 + mu.mu_) ** horizon, 1 + expected, rtol=1e-6)
    assert mu.horizon_ == horizon
    assert list(mu.expected_returns_.index) == TICKERS
    assert set(mu.provenance_["model"]) == {"BatchLinearForecaster"}


def test_mu_of_steady_growth_in_closed_form():
    """Each ticker grows by its own rate, which is what it is expected to go on with."""
    rates = np.array([0.001, 0.002, -0.001])
    X = pd.DataFrame(
        np.tile(rates, (300, 1)), pd.bdate_range("2020-01-01", periods=300), list("ABC")
    )
    mu = ForecastMu(HistoricalMeanForecaster(), 10).fit(X)
    np.testing.assert_allclose(mu.mu_, rates, rtol=1e-4)


def test_arrays_are_forecast_like_frames(returns):
    frame = ForecastMu(linear_system()).fit(returns.reset_index(drop=True))
    array = ForecastMu(linear_system()).fit(returns.to_numpy())
    np.testing.assert_array_equal(array.mu_, frame.mu_)
    assert list(array.expected_returns_.index) == ["x0", "x1", "x2", "x3", "x4"]
    assert list(frame.feature_names_in_) == TICKERS
    assert array.n_features_in_ == 5
    assert not hasattr(array, "feature_names_in_")


def test_other_forecasters_than_systems(returns):
    """A pipeline, a search over one, and a batch forecaster."""
    pipeline = make_pipeline(features(), BatchLinearForecaster("per_ticker"))
    panel = compounded_prices(returns)
    fitted = clone(pipeline).fit(panel, forward_returns(panel, 5))
    expected = fitted.predict(panel.iloc[[-1]]).iloc[0]
    search = GridSearchCV(
        pipeline, {"batchlinearforecaster__strategy": ["per_ticker"]}, cv=2
    )
    for forecaster in (pipeline, search):
        mu = ForecastMu(forecaster).fit(returns)
        np.testing.assert_array_equal(mu.expected_returns_, expected)
        assert set(mu.provenance_["model"]) == {"BatchLinearForecaster"}
        assert mu.forecaster_ is not forecaster
    mu = ForecastMu(HistoricalMeanForecaster()).fit(returns)
    assert isinstance(mu.forecaster_, BatchForecastingSystem)


def test_the_default_is_a_default_system(returns):
    mu = ForecastMu(
        BatchForecastingSystem().set_params(forecaster__estimator__n_estimators=3)
    ).fit(returns)
    assert mu.horizon_ == 5
    assert set(mu.provenance_["model"]) == {"BatchXGBoostForecaster"}
    with pytest.raises(ValueError, match="horizon"):
        ForecastMu(horizon=400).fit(returns)


@pytest.mark.parametrize(
    ("forecaster", "horizon", "expected"),
    [
        (linear_system(7), "auto", 7),
        (linear_system([7]), "auto", 7),
        (linear_system(7), 3, 3),
        (linear_system([1, 7]), 3, 3),
        (BatchLinearForecaster(), "auto", 5),
        (BatchLinearForecaster(horizon=4), "auto", 4),
        (make_pipeline(features(), BatchLinearForecaster(horizon=4)), "auto", 4),
        (GridSearchCV(linear_system(7), {"random_state": [0]}, cv=2), "auto", 7),
    ],
)
def test_where_the_horizon_comes_from(returns, forecaster, horizon, expected):
    mu = ForecastMu(forecaster, horizon).fit(returns)
    assert mu.horizon_ == expected
    np.testing.assert_allclose((1 + mu.mu_) ** expected - 1, mu.expected_returns_)


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"horizon": 0}, ValueError, "`horizon` must be an int"),
        ({"horizon": True}, ValueError, "`horizon` must be an int"),
        ({"horizon": "weekly"}, ValueError, "`horizon` must be an int"),
        ({"horizon": 400}, ValueError, "horizon"),
        ({"forecaster": linear_system((1, 5))}, ValueError, "one horizon"),
        ({"forecaster": "linear"}, TypeError, "must be a batch forecaster"),
        ({"forecaster": Ridge()}, TypeError, "must be a batch forecaster"),
        (
            {"forecaster": BatchLinearForecaster},
            TypeError,
            "must be a batch forecaster",
        ),
        ({"forecaster": BatchForecastingSystem}, TypeError, "must be a batch forec"),
        ({"prices": "prices.csv"}, PortfolioError, "must be a DataFrame. Got str"),
    ],
)
def test_wrong_parameters_raise_in_fit(returns, params, error, match):
    params = {"forecaster": linear_system(), **params}
    with pytest.raises(error, match=match):
        ForecastMu(**params).fit(returns)


def test_malformed_returns_raise(returns):
    with pytest.raises(PanelError, match=r"increasing|order|sorted"):
        ForecastMu(linear_system()).fit(returns.iloc[::-1])
    with pytest.raises(ValueError, match="infinity"):
        ForecastMu(linear_system()).fit(returns.replace(returns.iloc[3, 3], np.inf))


# --- what cannot be forecast --------------------------------------------------------


def test_a_dead_ticker_is_nan_named_and_gets_no_weight(returns):
    dead = returns.copy()
    dead.loc[dead.index[-60:], "C"] = 0.0
    with pytest.warns(PortfolioWarning, match=r"1 of 5 tickers .*: C \(quara"):
        mu = ForecastMu(linear_system()).fit(dead)
    assert np.isnan(mu.mu_).tolist() == [ticker == "C" for ticker in TICKERS]
    assert mu.provenance_.loc["C", "model"] == "none"
    assert "constant" in mu.provenance_.loc["C", "reason"]
    for objective in (
        ObjectiveFunction.MAXIMIZE_RATIO,
        ObjectiveFunction.MINIMIZE_RISK,
    ):
        model = quietly(mean_risk(ForecastMu(linear_system()), objective), dead)
        assert model.weights_[2] == 0
        np.testing.assert_allclose(model.weights_.sum(), 1.0)


def test_missing_returns_at_both_ends(returns):
    """Not listed yet, and not traded any more, with a covariance that takes NaN."""
    young = returns.copy()
    young.loc[young.index[:150], "A"] = np.nan
    young.loc[young.index[-30:], "B"] = np.nan
    prior = EmpiricalPrior(
        mu_estimator=ForecastMu(linear_system()), covariance_estimator=EWCovariance()
    )
    model = quietly(MeanRisk(prior_estimator=prior), young)
    mu = model.prior_estimator_.mu_estimator_
    assert np.isnan(mu.mu_).tolist() == [False, True, False, False, False]
    assert "stale" in mu.provenance_.loc["B", "reason"]
    assert model.weights_[1] == 0


def test_what_happened_in_a_gap_is_not_made_up(returns):
    """The same as if the ticker had come to the market after its gap."""
    gapped, late = returns.copy(), returns.copy()
    gapped.loc[gapped.index[100:103], "D"] = np.nan
    late.loc[late.index[:103], "D"] = np.nan
    with pytest.warns(PortfolioWarning, match=r"returns of 1 ticker have gaps: D\."):
        mu = ForecastMu(linear_system()).fit(gapped)
    expected = ForecastMu(linear_system()).fit(late)
    np.testing.assert_array_equal(mu.mu_, expected.mu_)
    assert np.isfinite(mu.mu_).all()


@pytest.mark.parametrize("loss", [-1.0, -3.0])
def test_a_return_that_is_none_spoils_only_its_ticker(returns, loss):
    broken = returns.copy()
    broken.iloc[-4, 2] = loss
    mu = quietly(ForecastMu(linear_system()), broken)
    assert np.isnan(mu.mu_).tolist() == [False, False, True, False, False]
    assert mu.provenance_.loc["C", "reason"]


@pytest.mark.parametrize("n_rows", [60, 25])
def test_short_windows_have_forecasts(returns, n_rows):
    mu = quietly(ForecastMu(linear_system()), returns.iloc[-n_rows:])
    assert np.isfinite(mu.mu_).all()


def test_too_short_windows_have_reasons(returns):
    with pytest.warns(PortfolioWarning, match="No forecast for 5 of 5 tickers"):
        mu = ForecastMu(linear_system()).fit(returns.iloc[-12:])
    assert np.isnan(mu.mu_).all()
    assert mu.provenance_["reason"].str.contains("short").all()
    with pytest.raises(ValueError, match="All assets are non-investable"):
        quietly(mean_risk(ForecastMu(linear_system())), returns.iloc[-12:])


def test_a_model_that_fails_has_reasons(returns):
    class Failing(BatchLinearForecaster):
        def fit(self, X, y):
            raise ModelFitError("planted")

    with pytest.warns(PortfolioWarning, match="planted"):
        mu = ForecastMu(make_pipeline(features(), Failing())).fit(returns)
    assert np.isnan(mu.mu_).all()
    with pytest.warns(FallbackWarning, match="cannot forecast 5 of 5 tickers"):
        mu = ForecastMu(linear_system(forecaster=Failing())).fit(returns)
    assert np.isfinite(mu.mu_).all()


def test_a_pipeline_s_own_provenance(returns):
    young = returns.copy()
    young.loc[young.index[:-60], "B"] = np.nan
    inner = FallbackForecaster(BatchLinearForecaster(), HistoricalMeanForecaster())
    with pytest.warns(FallbackWarning, match="model cannot forecast 1 of .*: B"):
        mu = ForecastMu(make_pipeline(features(), inner)).fit(young)
    assert mu.provenance_["model"].to_dict() == {
        **dict.fromkeys(TICKERS, "BatchLinearForecaster"),
        "B": "HistoricalMeanForecaster",
    }


# --- in skfolio ---------------------------------------------------------------------


def test_mean_risk_takes_the_forecasts():
    """The ratio of the maximum is that of its own inputs, above any single asset's."""
    X = prices_to_returns(load_sp500_prices().iloc[-300:])
    model = mean_risk(ForecastMu(linear_system())).fit(X)
    moments = model.prior_estimator_.return_distribution_
    np.testing.assert_array_equal(moments.mu, model.prior_estimator_.mu_estimator_.mu_)

    def ratio(weights):
        return weights @ moments.mu / np.sqrt(weights @ moments.covariance @ weights)

    assert ratio(model.weights_) > max(ratio(unit) for unit in np.eye(20)) - 1e-9


class Recorder(ForecastMu):
    """Keeps the expected returns of each fit."""

    log: ClassVar = []

    def fit(self, X, y=None):
        super().fit(X)
        self.log.append((len(X), self.mu_))
        return self


def walk(X, **params):
    Recorder.log.clear()
    model = mean_risk(Recorder(linear_system(), **params))
    portfolios = cross_val_predict(model, X, cv=WalkForward(50, 160, expand_train=True))
    return list(Recorder.log), [p.weights for p in portfolios]


@pytest.fixture(scope="module")
def walk_of_true_prices(prices, returns):
    return cache(lambda given: walk(returns, **({"prices": prices} if given else {})))


@pytest.mark.parametrize("with_prices", [False, True])
@pytest.mark.parametrize("fold", [0, 1])
def test_no_future_price_reaches_mu_in_a_walk(
    prices, walk_of_true_prices, with_prices, fold
):
    """Garbage from the start of a test fold on leaves its weights the same."""
    start = 160 + 50 * fold
    garbage = prices.copy()
    noise = np.random.default_rng(0).lognormal(0, 0.3, size=(len(prices), 5))
    # Returns of row n are those of price n + 1.
    garbage.iloc[start + 1 :] *= noise[start + 1 :]
    other = prices_to_returns(garbage)
    ours, weights = walk_of_true_prices(with_prices)
    theirs, others = walk(other, **({"prices": garbage} if with_prices else {}))
    assert len(ours) == len(weights) == 3
    for number in range(3):
        same = np.array_equal(ours[number][1], theirs[number][1])
        assert same == (number <= fold)
        assert np.array_equal(weights[number], others[number]) == (number <= fold)


def test_grid_search_over_the_whole_chain(returns):
    model = mean_risk(ForecastMu(linear_system()))
    inner = "prior_estimator__mu_estimator__"
    grid = {
        inner + "forecaster__forecaster__strategy": ["pooled", "per_ticker"],
        inner + "horizon": [1, 10],
    }
    search = GridSearchCV(model, grid, cv=WalkForward(80, 200)).fit(returns)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.prior_estimator_.mu_estimator_
    assert best.horizon_ == search.best_params_[inner + "horizon"]


def test_when_nothing_is_expected_to_rise():
    """skfolio says so; its fallback is the portfolio of least risk."""
    X = prices_to_returns(make_panel(200, 3, random_state=3)) - 0.01
    mu = ForecastMu(linear_system(forecaster=HistoricalMeanForecaster()))
    assert (clone(mu).fit(X).mu_ < 0).all()
    with pytest.raises(ValueError, match="under-performing your risk-free rate"):
        mean_risk(mu).fit(X)
    model = mean_risk(mu).set_params(fallback=MeanRisk())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    np.testing.assert_allclose(model.weights_, MeanRisk().fit(X).weights_, atol=1e-4)


def test_with_metadata_routing(returns):
    with sklearn.config_context(enable_metadata_routing=True):
        model = mean_risk(ForecastMu(linear_system())).fit(returns)
    assert np.isfinite(model.weights_).all()


# --- prices beside the returns ------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    """Closes and volumes, of one ticker more than the portfolio has."""
    from skbatch.panel import check_panel

    close = make_panel(320, 6, random_state=1).set_axis([*TICKERS, "F"], axis=1)
    volume = pd.DataFrame(
        np.random.default_rng(0).lognormal(10, 1, close.shape),
        close.index,
        close.columns,
    )
    return check_panel(pd.concat({"Close": close, "Volume": volume}, axis=1))


def test_prices_give_features_that_returns_do_not_hold(panel):
    X = prices_to_returns(panel["Close"][TICKERS]).iloc[100:250]
    system = linear_system()
    system.features = SharedFeatureExtractor(
        ["returns", "volume", "volatility"], windows=(5, 21)
    )
    mu = ForecastMu(system, prices=panel).fit(X)
    names = mu.forecaster_.fitted_.members[0].forecaster.feature_names_in_
    assert any("volume" in name for name in names)
    assert any(name.startswith("F__") for name in names)
    assert list(mu.expected_returns_.index) == TICKERS
    # All that is known at the last row of the returns, from before the window too.
    cut = panel.loc[: X.index[-1]]
    expected = clone(system).fit(cut).forecast().expected_returns[TICKERS]
    np.testing.assert_array_equal(mu.expected_returns_, expected)


def test_prices_of_later_dates_change_nothing(panel):
    X = prices_to_returns(panel["Close"][TICKERS]).iloc[100:250]
    later = panel.copy()
    later.loc[later.index > X.index[-1]] = np.nan
    garbage = panel.copy()
    garbage.loc[garbage.index > X.index[-1]] = -1e9
    whole, blank, wrong = (
        ForecastMu(linear_system(), prices=p).fit(X).mu_
        for p in (panel, later, garbage)
    )
    np.testing.assert_array_equal(whole, blank)
    np.testing.assert_array_equal(whole, wrong)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        # Tomorrow's prices under today's date would be look-ahead.
        (lambda p: p.shift(-1).iloc[:-1], "same return in [01]%"),
        (lambda p: p.assign(B=p["B"].shift(-1)).iloc[:-1], "[01]% of the cells of B."),
        (lambda p: p.iloc[:200], "all rows of `X`"),
        (lambda p: p.drop(columns="B"), "all tickers of `X`. Got none of B"),
        (lambda p: p.iloc[::2], "all rows of `X`"),
    ],
)
def test_prices_of_something_else_are_refused(prices, returns, change, match):
    X = returns.iloc[:-2]
    with pytest.raises(PortfolioError, match=match):
        ForecastMu(linear_system(), prices=change(prices)).fit(X)


def test_prices_of_another_frequency_are_refused(prices):
    weekly = prices_to_returns(prices.iloc[::5])
    with pytest.raises(PortfolioError, match="from row to row"):
        ForecastMu(linear_system(), prices=prices).fit(weekly)


def test_prices_need_dates(prices, returns):
    with pytest.raises(PortfolioError, match="`X` as a DataFrame with their dates"):
        ForecastMu(linear_system(), prices=prices).fit(returns.to_numpy())


# --- it is scikit-learn -------------------------------------------------------------


def test_clone_parameters_repr_and_pickle(returns):
    mu = ForecastMu(linear_system(), 3)
    assert mu.get_params()["forecaster__forecaster__strategy"] == "per_ticker"
    mu.set_params(forecaster__forecaster__strategy="pooled", horizon=2)
    copy = clone(mu)
    assert copy.get_params()["forecaster__forecaster__strategy"] == "pooled"
    assert repr(mu).startswith("ForecastMu(forecaster=BatchForecastingSystem(")
    assert "ForecastMu" in mu._repr_html_()
    mu.fit(returns)
    again = pickle.loads(pickle.dumps(mu))
    np.testing.assert_array_equal(again.mu_, mu.mu_)
    assert not hasattr(mu.forecaster, "fitted_")  # a copy was fitted
    np.testing.assert_array_equal(copy.fit(returns).mu_, mu.mu_)


@pytest.mark.parametrize("estimator", [ForecastMu, ForecastPrior])
def test_the_checks_of_scikit_learn(estimator):
    with warnings.catch_warnings():
        # Their data are a few rows of noise.
        warnings.simplefilter("ignore")
        results = check_estimator(
            estimator(linear_system(1)), on_fail=None, on_skip=None
        )
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert not failed
    assert len(results) > 30


@pytest.mark.parametrize(
    ("module", "part"), [("_mu", "skfolio.moments"), ("_prior", "skfolio.prior")]
)
def test_without_skfolio_the_extra_is_named(monkeypatch, module, part):
    monkeypatch.delitem(sys.modules, f"skbatch.portfolio.{module}", raising=False)
    monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(ImportError, match=r"pip install 'skbatch\[portfolio\]'"):
        importlib.import_module(f"skbatch.portfolio.{module}")
