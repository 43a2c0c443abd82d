"""Any scikit-learn regressor learns from all tickers."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchRegressorForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.forecasting import ReturnTarget

RAW = ReturnTarget(False, scale=None, thin=1, validation_size=0, market_weight=1)
DEFAULT = BatchRegressorForecaster(DecisionTreeRegressor(max_depth=2, random_state=0))


def stacked(X, y, ticker=None):
    """Stack (date, ticker) rows one by one."""
    rows, labels = [], []
    for date in y.index[:-1]:
        for name in [ticker] if ticker else y.columns:
            own = X.loc[date, [c for c in X if c.startswith(f"{name}__")]]
            shared = X.loc[date, [c for c in X if c.startswith("market__")]]
            if np.isfinite(y.loc[date, name]):
                rows.append([*own, *shared])
                labels.append(y.loc[date, name])
    return np.array(rows), np.array(labels)


@pytest.mark.parametrize("strategy", ["pooled", "per_ticker"])
def test_forecasts_are_those_of_the_regressor_on_stacked_rows(make_frames, strategy):
    X, y = make_frames(60, 3, volatility=False, market=True)
    model = BatchRegressorForecaster(LinearRegression(), strategy, target=RAW)
    forecasts = model.fit(X, y).predict(X)
    for name in y:
        ticker = name if strategy == "per_ticker" else None
        # The level is the mean of the date's mean over tickers (pooled) or its own.
        level = (y if ticker is None else y[[ticker]])[:-1].mean(axis=1).mean()
        expected = LinearRegression().fit(*stacked(X, y - level, ticker))
        own = X[[c for c in X if c.startswith((f"{name}__", "market__"))]]
        np.testing.assert_allclose(
            forecasts[name], level + expected.predict(own.to_numpy()), rtol=1e-3
        )


def test_a_huge_penalty_makes_ridge_the_linear_forecaster(make_frames):
    X, y = make_frames(120)
    target = ReturnTarget(validation_size=0)
    linear = BatchLinearForecaster(alpha=0.5, target=target)
    values = X[[c for c in X if c.startswith("T0__")]].to_numpy()
    n_rows = len(range(0, 119)) * 4
    ridge = make_pipeline(StandardScaler(), Ridge(0.5 * n_rows, fit_intercept=False))
    forecasts = BatchRegressorForecaster(ridge, target=target).fit(X, y).predict(X)
    # Scores beyond five deviations are winsorized by the linear forecaster only.
    assert np.abs(values).max() < 5
    pd.testing.assert_frame_equal(forecasts, linear.fit(X, y).predict(X), rtol=1e-3)


@pytest.mark.parametrize(
    "regressor",
    [
        HistGradientBoostingRegressor(max_iter=60, random_state=0),
        make_pipeline(
            SimpleImputer(),
            StandardScaler(),
            MLPRegressor(hidden_layer_sizes=(4,), tol=1e-2, random_state=0),
        ),
        GridSearchCV(
            make_pipeline(SimpleImputer(), Ridge()),
            {"ridge__alpha": [1e-3, 1.0]},
            cv=TimeSeriesSplit(2),
        ),
    ],
    ids=["trees", "network", "search"],
)
def test_regressors_with_and_without_gaps_learn_the_signal(make_frames, regressor):
    X, y = make_frames(400, 5, missing=0.1, signal=1.0)
    model = BatchRegressorForecaster(regressor).fit(X[:300], y[:300])
    forecasts, signal = model.predict(X[300:]), X[300:].filter(like="__f0")
    both = forecasts.notna().to_numpy() & signal.notna().to_numpy()
    assert np.corrcoef(forecasts.to_numpy()[both], signal.to_numpy()[both])[0, 1] > 0.6
    # The tail found them worth more than the least.
    assert model.model_.models[0].shrinkage > 0.1


def test_missing_inputs_are_explained(make_frames):
    X, y = make_frames(missing=0.1)
    model = BatchRegressorForecaster(Ridge())
    message = r"must accept missing inputs \(NaN\).* Got Ridge, .*SimpleImputer"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(ValueError, match=message):
        # The user's arguments are no failure that a fallback answers.
        FallbackForecaster(model).fit(X, y)
    whole, labels = make_frames()
    model.fit(whole, labels)
    with pytest.raises(ValueError, match=message):
        model.predict(X)


class Failing(RegressorMixin, BaseEstimator):
    def __init__(self, error=None):
        self.error = error

    def fit(self, X, y):
        raise self.error

    def predict(self, X):
        raise NotImplementedError


def test_numerical_failures_fall_back_and_errors_of_arguments_do_not(make_frames):
    X, y = make_frames()
    for error in (np.linalg.LinAlgError("singular"), FloatingPointError("overflow")):
        model = FallbackForecaster(BatchRegressorForecaster(Failing(error)))
        with pytest.warns(match="BatchRegressor.* cannot forecast 4 of 4 tickers"):
            model.fit(X, y)
        assert type(error).__name__ in model.failures_["primary"]
    for error in (ValueError("max_depth"), TypeError("x"), RuntimeError("NaN")):
        model = FallbackForecaster(BatchRegressorForecaster(Failing(error)))
        with pytest.raises(type(error), match=str(error)):
            model.fit(X, y)


def test_a_batch_forecaster_is_no_regressor(make_frames):
    with pytest.raises(ValueError, match="is a batch forecaster itself"):
        BatchRegressorForecaster(BatchLinearForecaster()).fit(*make_frames())


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what it is given."""

    def __init__(self, n_jobs=None, warm=0):
        self.n_jobs = n_jobs
        self.warm = warm

    def fit(self, X, y):
        self.X_, self.y_, self.threads_ = X, y, self.n_jobs
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_inputs_are_named_float32_rows_in_the_order_of_dates(make_frames):
    X, y = make_frames(30, 3, market=True)
    model = BatchRegressorForecaster(Recorder(), target=ReturnTarget(thin=1))
    (fitted,) = model.fit(X, y).regressors_
    assert list(fitted.X_) == ["f0", "f1", "volatility_63", "market__return"]
    assert set(fitted.X_.dtypes) == {np.dtype("f4")}
    # Those of a date are in an order of their own.
    expected = X.filter(like="__f0").to_numpy()[: len(fitted.X_) // 3]
    found = fitted.X_["f0"].to_numpy().reshape(-1, 3)
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))
    model = clone(model).set_params(horizon=1)
    (fitted,) = model.fit(X.to_numpy(), y.to_numpy()[:, 0]).regressors_
    assert isinstance(fitted.X_, np.ndarray)


def test_inputs_can_be_chosen_by_name(make_frames):
    X, y = make_frames(signal=1.0)
    model = BatchRegressorForecaster(
        HistGradientBoostingRegressor(max_iter=20, monotonic_cst={"f0": -1})
    )
    higher = X.assign(**{c: X[c] + 1 for c in X if c.endswith("__f0")})
    assert (model.fit(X, y).predict(higher) <= model.predict(X)).all(axis=None)
    chosen = make_column_transformer(("passthrough", ["f1"]))
    model = BatchRegressorForecaster(make_pipeline(chosen, LinearRegression()))
    assert model.fit(X, y).regressors_[0][-1].n_features_in_ == 1


class Scaled(StandardScaler):
    """Counts jobs of its own, which are not threads."""

    def __init__(self, n_jobs=None):
        super().__init__()
        self.n_jobs = n_jobs


def _fitted(model, X, y):
    return model.fit(X, y).regressors_[0]


def _threads(model, X, y):
    return model.fit(X, y).regressors_[0].threads_


def test_workers_get_one_thread_each_where_the_regressor_does_not_say(make_frames):
    X, y = make_frames(30)
    model, chosen = (BatchRegressorForecaster(Recorder(n)) for n in (None, 3))
    assert _threads(model, X, y) is None
    with joblib.parallel_config("threading", n_jobs=2):
        call = joblib.delayed(_threads)
        found = joblib.Parallel()(call(m, X, y) for m in (model, chosen))
        assert found == [1, 3]
        # Of a pipeline, what it ends in; no parameter is found by how its name ends.
        piped = BatchRegressorForecaster(make_pipeline(Scaled(), Recorder()))
        found = joblib.Parallel()(
            joblib.delayed(_fitted)(m, X, y) for m in (piped, piped)
        )
    for regressor in found:
        assert (regressor[0].n_jobs, regressor[-1].threads_) == (None, 1)


def test_nested_parameters_are_searched(make_frames):
    X, y = make_frames(120)
    model = FallbackForecaster(DEFAULT, min_labels=10)
    grid = {"estimator__regressor__max_depth": [1, 2], "estimator__target__thin": [1]}
    search = GridSearchCV(model, grid, cv=TimeSeriesSplit(2)).fit(X, y)
    found = search.best_estimator_.estimator_.regressors_[0]
    assert found.max_depth == search.best_params_["estimator__regressor__max_depth"]
    assert DEFAULT.regressor.max_depth == 2


def test_each_horizon_has_a_regressor(make_frames, stack_horizons):
    X, y = make_frames(120)
    both = stack_horizons({1: y, 3: y})
    model = clone(DEFAULT).fit(X, both)
    assert len(model.regressors_) == 2
    assert model.predict(X).columns.equals(both.columns)


def test_the_system_takes_it():
    prices = make_panel(300, 4, random_state=0)
    features = SharedFeatureExtractor(["returns", "volatility"], [5, 21, 63])
    trees = BatchRegressorForecaster(
        HistGradientBoostingRegressor(max_iter=5, random_state=0)
    )
    system = BatchForecastingSystem(5, features=features, forecaster=trees)
    forecasts = system.fit(prices).predict(prices)
    assert (system.provenance_["model"] == "BatchRegressorForecaster").all()
    per_ticker = clone(system).set_params(
        forecaster__strategy="per_ticker", max_batch_size=2
    )
    assert per_ticker.fit(prices).predict(prices).shape == forecasts.shape
