"""Estimators of the user in place of the model of the settings."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

import skbatch
from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    robust_forecast_returns,
)
from skbatch.exceptions import ModelFitError, PortfolioWarning
from skbatch.portfolio import black_litterman_views
from skbatch.portfolio._cache import MEMORY

FAST = {"features": {"families": ["returns"], "windows": [2, 5]}}


def features():
    return SharedFeatureExtractor(["returns"], windows=[2, 5])


def system(horizon=5, **params):
    alpha = {"alpha": params.pop("alpha")} if "alpha" in params else {}
    forecaster = BatchLinearForecaster(**alpha)
    return BatchForecastingSystem(
        horizon, features=features(), forecaster=forecaster, **params
    )


def pipeline(forecaster=None):
    return make_pipeline(features(), forecaster or BatchLinearForecaster())


def search(model=None, **grid):
    grid = grid or {"forecaster__alpha": [1.0, 1e6]}
    return GridSearchCV(model or system(), grid, cv=TimeSeriesSplit(2))


def expect(prices, forecaster, **options):
    options = {"annualize": False} | options
    return robust_forecast_returns(None, prices, forecaster=forecaster, **options)


def by_hand(prices, model):
    return model.fit(prices).forecast().expected_returns.to_dict()


def test_a_system_is_a_copy_fitted_on_the_data(prices):
    unfitted, right = system(3, alpha=7.0), by_hand(prices, system(3, alpha=7.0))
    fitted = system(3, alpha=7.0).fit(prices.iloc[:100])
    before = fitted.forecast().expected_returns
    for forecaster in (unfitted, fitted):
        expected = expect(prices, forecaster)
        assert dict(expected) == right
        assert expected.horizon == 3
        assert expected.date == prices.index[-1]
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(unfitted)
    pd.testing.assert_series_equal(fitted.forecast().expected_returns, before)


def test_a_batch_forecaster_replaces_the_model_of_the_settings(prices):
    right = by_hand(prices, system(alpha=9.0))
    expected = expect(prices, BatchLinearForecaster(alpha=9.0), config=FAST)
    assert dict(expected) == right
    assert expected.horizon == 5
    config = FAST | {"horizon": 3}
    for options in ({"config": config}, {"config": FAST, "horizon": 3}):
        expected = expect(prices, BatchLinearForecaster(), **options)
        assert dict(expected) == by_hand(prices, system(3))


def test_a_pipeline_forecasts_as_by_hand(prices):
    model = pipeline().fit(prices, forward_returns(prices, 5))
    expected = expect(prices, pipeline())
    assert list(expected.values()) == model.predict(prices.iloc[[-1]]).iloc[0].tolist()
    assert set(expected.provenance["model"]) == {"BatchLinearForecaster"}
    assert expected.periods_per_year == 252


@pytest.mark.parametrize("is_fitted", [False, True])
def test_a_tuned_system(prices, is_fitted):
    tuned = search()
    right = search().fit(prices, forward_returns(prices, 5)).best_estimator_
    if is_fitted:
        tuned.fit(prices.iloc[:150], forward_returns(prices.iloc[:150], 5))
        # What a search has found stays if the system that it found is passed.
        kept = tuned.best_estimator_
        again = by_hand(prices, system(alpha=kept.forecaster.alpha))
        assert dict(expect(prices, kept)) == again
    expected = expect(prices, tuned)
    assert dict(expected) == right.forecast().expected_returns.to_dict()
    assert set(expected.provenance["model"]) == {"BatchLinearForecaster"}


@pytest.mark.parametrize(
    ("forecaster", "options", "horizon"),
    [
        (system(7), {}, 7),
        (system(7), {"horizon": 2}, 2),
        (system([1, 7]), {"horizon": 2}, 2),
        (BatchLinearForecaster(horizon=4), {}, 4),
        (BatchLinearForecaster(horizon=4), {"config": FAST}, 4),
        (BatchLinearForecaster(), {}, 5),
        (pipeline(BatchLinearForecaster(horizon=4)), {}, 4),
        (search(system(6)), {}, 6),
    ],
)
def test_the_horizon_of_the_forecaster_counts(prices, forecaster, options, horizon):
    expected = expect(prices, forecaster, **options)
    assert expected.horizon == horizon
    assert np.isfinite(list(expected.values())).all()


@pytest.mark.parametrize("forecaster", [system(), pipeline(), BatchLinearForecaster()])
def test_individual_is_one_ticker_at_a_time(prices, forecaster):
    prices = prices.iloc[:, :3]
    options = {"method": "individual", "max_workers": 2}
    if isinstance(forecaster, BatchLinearForecaster):
        options["config"] = FAST
    expected = expect(prices, forecaster, **options)
    for ticker in prices:
        alone = by_hand(prices[[ticker]], system())
        assert expected[ticker] == pytest.approx(alone[ticker], rel=1e-9)
    assert set(expected.provenance["batch"]) == {"individual"}


class Own(BatchLinearForecaster):
    """A forecaster whose forecasts of a tail nobody has checked."""

    def predict(self, X):
        return 2 * super().predict(X)


CALIBRATED = {
    "system": system(),
    "pipeline": pipeline(),
    "forecaster": BatchLinearForecaster(),
    "default": BatchForecastingSystem(5, features=features()),
    "search": search(),
    "conformal search": search(
        pipeline(ConformalForecaster(BatchLinearForecaster())),
        conformalforecaster__estimator__alpha=[1.0, 2.0],
    ),
}


@pytest.mark.parametrize("name", CALIBRATED)
@pytest.mark.parametrize("method", ["batch", "individual"])
def test_intervals_of_any_forecaster(prices, name, method):
    forecaster = CALIBRATED[name]
    options = {"config": FAST} if name == "forecaster" else {}
    if method == "individual":  # Each ticker is another search.
        prices = prices.iloc[:, :2]
    plain = expect(prices, forecaster, method=method, **options)
    sure = expect(prices, forecaster, method=method, coverage=0.8, **options)
    np.testing.assert_allclose(sure.to_series(), plain.to_series(), rtol=1e-6)
    interval = sure.interval
    assert interval.attrs == {"coverage": 0.8, "horizon": 5}
    assert (interval["lower"] < sure.to_series()).all()
    assert (interval["upper"] > sure.to_series()).all()
    covariance = prices.pct_change().cov() * 5
    views = black_litterman_views(sure, covariance, covariance_periods=5)
    assert len(views.views) == prices.shape[1]


def test_intervals_are_those_of_the_pipeline(prices):
    model = pipeline()
    model.fit(prices, forward_returns(prices, 5))
    X = model[:-1].transform(prices.iloc[[-1]])
    lower, upper = model[-1].predict_interval(X, 0.7)
    found = expect(prices, pipeline(), coverage=0.7).interval
    np.testing.assert_array_equal(found["lower"], lower.iloc[-1])
    np.testing.assert_array_equal(found["upper"], upper.iloc[-1])


def test_names_units_and_missing_tickers_are_as_with_settings(prices):
    with pytest.warns(PortfolioWarning, match="NOPE"):
        expected = robust_forecast_returns(
            ["t001", "NOPE"], prices, forecaster=system()
        )
    right = by_hand(prices, system())
    assert list(expected) == ["t001", "NOPE"]
    assert expected["t001"] == pytest.approx((1 + right["T001"]) ** (252 / 5) - 1)


def test_a_forecaster_that_fails_has_reasons(prices):
    class Failing(BatchLinearForecaster):
        def fit(self, X, y):
            raise ModelFitError("planted")

    with pytest.warns(PortfolioWarning, match="planted"):
        expected = expect(prices, pipeline(Failing()))
    assert np.isnan(list(expected.values())).all()


def test_what_a_subclass_is_fitted_on_is_a_table(prices):
    class Own(BatchForecastingSystem):
        def fit(self, X, y=None):
            return super().fit(X.tail(200), y)

    own = Own(5, features=features(), forecaster=BatchLinearForecaster())
    assert dict(expect(prices, own)) == by_hand(prices.tail(200), system())


def test_nothing_is_cached(prices, fits):
    for _ in range(2):
        expect(prices, system())
        expect(prices, HistoricalMeanForecaster())
    assert len(fits) == 4
    assert len(MEMORY) == 0


def test_workers_are_those_of_the_forecaster(prices, monkeypatch):
    seen, fit = [], BatchForecastingSystem.fit

    def recorded(self, X, y=None):
        seen.append(self.n_jobs)
        return fit(self, X, y)

    monkeypatch.setattr(BatchForecastingSystem, "fit", recorded)
    expect(prices, system(n_jobs=2))
    expect(prices, system(n_jobs=2), max_workers=1)
    assert seen == [2, 1]


@pytest.mark.parametrize(
    ("forecaster", "options", "error", "message"),
    [
        (Ridge(), {}, TypeError, "must be a batch forecaster"),
        (BatchLinearForecaster, {}, TypeError, "must be a batch forecaster"),
        (search(Ridge(), alpha=[1]), {}, TypeError, "must be a batch forecaster"),
        (system(), {"method": "mean"}, ValueError, "'batch' or 'individual'"),
        (
            BatchLinearForecaster(),
            {"method": "linear"},
            ValueError,
            "'batch' or 'individual'",
        ),
        (system(), {"config": FAST}, ValueError, "Set its parameters instead"),
        (pipeline(), {"config": FAST}, ValueError, "Set its parameters instead"),
        (system([1, 5]), {}, ValueError, "one horizon"),
        (system(), {"horizon": 0}, ValueError, "int of at least 1"),
        (system(), {"max_workers": 0}, ValueError, "`max_workers` must be"),
        (search(pipeline(Own())), {"coverage": 0.9}, ValueError, "before the search"),
    ],
)
def test_wrong_arguments(prices, forecaster, options, error, message):
    with pytest.raises(error, match=message):
        expect(prices, forecaster, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "mean"},
        {"method": "linear", "coverage": 0.9},
        {"method": "individual", "config": FAST | {"model": {"kind": "linear"}}},
        {"config": FAST},
        {"forecaster": system()},
    ],
)
def test_prices_are_checked_once(prices, monkeypatch, options):
    """Whatever the name of the check: all of them arrange the table first."""
    from skbatch.panel import _check

    calls = {"check_panel": 0, "_arrange": 0}
    for name in calls:
        function = getattr(_check, name)

        def counted(*args, function=function, name=name, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        for module in list(sys.modules.values()):
            is_ours = getattr(module, "__name__", "").startswith(skbatch.__name__)
            if is_ours and vars(module).get(name) is function:
                monkeypatch.setattr(module, name, counted)
    robust_forecast_returns(None, prices, **options)
    assert calls == {"check_panel": 1, "_arrange": 1}
