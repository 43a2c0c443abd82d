"""Parameters handed on to XGBoost, its boosters, and importances by name."""

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)
from skbatch.exceptions import ModelFitError
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting._booster import masked_loss
from skbatch.model_selection import feature_importances

HUBER = {"objective": "reg:pseudohubererror", "huber_slope": 0.5}


def trees(strategy="pooled", **options):
    options = {"n_estimators": 20, "subsample": 1.0, "n_jobs": 1, **options}
    return BatchXGBoostForecaster(strategy, learning_rate=0.3, **options)


def moved(X, feature, size=1.0):
    """Raise a feature of all tickers."""
    return X.assign(**{c: X[c] + size for c in X if c.endswith(f"__{feature}")})


@pytest.mark.parametrize("strategy", ["pooled", "per_ticker"])
@pytest.mark.parametrize("sign", [1, -1])
def test_forecasts_are_monotone_in_the_features_that_are_named(
    make_frames, strategy, sign
):
    X, y = make_frames(missing=0.1, market=True)
    free, bound = (
        trees(strategy, xgb_params=p).fit(X, y)
        for p in (None, {"monotone_constraints": {"f1": sign, "market__return": 0}})
    )

    def falls(model):
        step = model.predict(moved(X, "f1")) - model.predict(X)
        return (sign * step < 0).any(axis=None)

    assert falls(free)
    assert not falls(bound)


def test_features_interact_only_where_that_is_allowed(make_frames):
    X, y = make_frames(signal=0)
    y = y + 0.02 * (X.filter(like="f0").to_numpy() * X.filter(like="f1").to_numpy())
    y.attrs["horizon"] = 1
    model = trees(
        colsample_bytree=1.0,
        target=ReturnTarget(scale=None),
        xgb_params={"interaction_constraints": [["f0", "volatility_63"], ["f1"]]},
    ).fit(X, y)
    # The effect of f1 does not depend on f0.
    step = model.predict(moved(X, "f1")) - model.predict(X)
    other = model.predict(moved(moved(X, "f0"), "f1")) - model.predict(moved(X, "f0"))
    pd.testing.assert_frame_equal(step, other, atol=1e-8)


@pytest.mark.parametrize("name", ["monotone_constraints", "interaction_constraints"])
def test_constraints_name_features_of_the_model(make_frames, name):
    X, y = make_frames()
    value = {"T0__f0": 1} if name.startswith("m") else [["T0__f0"]]
    model = trees(xgb_params={name: value})
    with pytest.raises(ValueError, match=f"`{name}` must name .* T0__f0; .* has f0,"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="inputs without names"):
        clone(model).set_params(horizon=1).fit(X.to_numpy(), y.to_numpy())
    with pytest.raises(ValueError, match="no constraints with strategy='vector'"):
        clone(model).set_params(strategy="vector").fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gama": 1}, "XGBoost uses with this objective. Got 'gama'"),
        ({"huber_slope": 1}, "XGBoost uses with this objective. Got 'huber_slope'"),
        ({"gamma": "high"}, "must be valid parameters of XGBoost. Got: .*high"),
        ({"max_leaves": -3}, "must be valid parameters of XGBoost. Got: .*max_leaves"),
        (
            {"grow_policy": "zigzag"},
            "must be valid parameters of XGBoost. Got: .*zigzag",
        ),
        ({"eta": 0.1}, "of the forecaster itself. Got 'eta'. Pass learning_rate="),
        ({"max_bin": 8}, "Pass max_bin="),
        ({"booster": "gblinear"}, "that the forecaster sets. Got 'booster'"),
        ({"objective": "reg:quantileerror"}, "objective of expected values"),
        ({"monotone_constraints": {"f0": 2}}, "must be -1, 0 or 1. Got 2"),
        ({"monotone_constraints": (1, 0)}, r"a dict of feature .* Got \(1, 0\)"),
        ({"monotone_constraints": "(1,0)"}, "a dict of feature"),
        ({"interaction_constraints": "[[0, 1]]"}, "lists of features. Got"),
    ],
)
def test_wrong_parameters_raise_also_inside_a_fallback(make_frames, params, message):
    X, y = make_frames(60)
    model = trees(xgb_params=params)
    for forecaster in (model, FallbackForecaster(model)):
        with pytest.raises(ValueError, match=message):
            forecaster.fit(X, y)


def test_every_parameter_of_the_forecaster_is_refused_a_second_time(make_frames):
    X, y = make_frames(60)
    names = set(BatchXGBoostForecaster().get_params(deep=False))
    names -= {"strategy", "horizon", "target", "market_features", "xgb_params"}
    for name in names:
        with pytest.raises(ValueError, match=f"Pass {name}= instead"):
            trees(xgb_params={name: 1}).fit(X, y)
    assert len(BatchXGBoostForecaster().get_params(deep=False)) <= 16


def test_parameters_reach_xgboost(make_frames):
    X, y = make_frames()
    default = trees().fit(X, y)
    assert trees(xgb_params={}).fit(X, y).predict(X).equals(default.predict(X))
    stumps = trees(xgb_params={"gamma": 1e9}).fit(X, y)
    assert not stumps.feature_importances_.any()
    assert feature_importances(stumps).empty


def test_pseudo_huber_is_xgboosts(make_frames):
    X, y = make_frames(120, 1, volatility=False)
    target = ReturnTarget(False, scale=None, thin=1, validation_size=0, market_weight=0)
    params = {**HUBER, "min_child_weight": 0.1}
    options = {"colsample_bytree": 1.0, "target": target, "max_bin": 64}
    model = trees(xgb_params=params, reg_lambda=1.0, **options).fit(X, y)
    z = (y - y[:119].mean())[:119].to_numpy()
    own = {"max_bin": 64, "base_score": 0.0, "max_depth": 4, "learning_rate": 0.3}
    rows = xgb.QuantileDMatrix(X[:119].to_numpy(), z, max_bin=64)
    expected = xgb.train({**params, **own}, rows, 20).predict(xgb.DMatrix(X.to_numpy()))
    np.testing.assert_allclose(model.predict(X)["T0"], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:pseudohubererror"])
def test_gradients_are_those_of_the_loss(objective):
    params = {"objective": objective, "huber_slope": 0.7}
    labels = np.array([[0.3, -2.0, np.nan]])
    forecast = np.array([[-0.4, 1.0, 5.0]])

    def loss(z):
        if objective == "reg:squarederror":
            return z**2 / 2
        return 0.49 * (np.sqrt(1 + (z / 0.7) ** 2) - 1)

    gradient, hessian = masked_loss(labels, params)(forecast, None)
    z, step = (forecast - labels)[:, :2], 1e-4
    slope = (loss(z + step) - loss(z - step)) / (2 * step)
    curve = (loss(z + step) - 2 * loss(z) + loss(z - step)) / step**2
    np.testing.assert_allclose(gradient, np.append(slope, [[0]], axis=1), rtol=1e-5)
    np.testing.assert_allclose(hessian, np.append(curve, [[0]], axis=1), rtol=1e-4)


def test_pseudo_huber_vectors_are_less_moved_by_outliers(make_frames):
    X, y = make_frames(150, 3, volatility=False)
    wild = y.copy()
    wild.iloc[7, 1] = 9.0
    target = ReturnTarget(False, scale=None, validation_size=0, market_weight=0)

    def effect(params):
        model = trees("vector", xgb_params=params, target=target, n_estimators=5)
        return (model.fit(X, wild).predict(X) - model.fit(X, y).predict(X)).abs().max()

    assert effect({**HUBER, "huber_slope": 0.05})["T1"] < effect(None)["T1"] / 10


def test_boosters_have_names_and_give_the_forecasts(make_frames):
    X, y = make_frames(150, missing=0.05)
    target = ReturnTarget(False, scale=None, validation_size=0, market_weight=0)
    model = trees(target=target).fit(X, y)
    (booster,) = model.boosters_
    assert booster.feature_names == ["f0", "f1", "volatility_63"]
    rows = X.filter(like="T2__").fillna(-1e30).set_axis(booster.feature_names, axis=1)
    raw = booster.predict(xgb.DMatrix(rows))
    np.testing.assert_allclose(model.predict(X)["T2"], raw, rtol=1e-5)
    vector = trees("vector", n_estimators=2).fit(X, y)
    assert set(vector.boosters_[0].feature_names) == set(X)
    assert len(trees("per_ticker").fit(X, y).boosters_) == 4
    with pytest.raises(NotFittedError):
        trees().boosters_  # noqa: B018


# Importances --------------------------------------------------------------------------


def test_importances_are_the_share_of_the_gain_by_name(make_frames, stack_horizons):
    X, y = make_frames(market=True)
    model = trees().fit(X, stack_horizons({1: y, 3: y}))
    shares = []
    for booster in model.boosters_:
        gains = pd.Series(booster.get_score(importance_type="total_gain"))
        shares.append(gains / gains.sum())
    expected = pd.concat(shares, axis=1).fillna(0).mean(axis=1)
    found = model.feature_importances_
    assert list(found.index) == ["f0", "f1", "volatility_63", "market__return"]
    pd.testing.assert_series_equal(found, expected[found.index], check_names=False)
    assert found.idxmax() == "f0"
    table = feature_importances(model)["importance"]
    pd.testing.assert_series_equal(
        table.sort_index(), found.sort_index(), check_names=False
    )


@pytest.mark.parametrize("strategy", ["vector", "per_ticker"])
def test_importances_of_tickers_are_added_up(make_frames, strategy):
    X, y = make_frames()
    for model in (trees(strategy), BatchLinearForecaster(strategy)):
        found = model.fit(X, y).feature_importances_
        assert set(found.index) == {"f0", "f1", "volatility_63"}
        assert found.sum() == pytest.approx(1)


def test_regressors_have_the_importances_or_coefficients_that_they_have(make_frames):
    X, y = make_frames()
    tree = BatchRegressorForecaster(DecisionTreeRegressor(max_depth=3)).fit(X, y)
    np.testing.assert_allclose(
        tree.feature_importances_, tree.regressors_[0].feature_importances_
    )
    line = BatchRegressorForecaster(LinearRegression()).fit(X, y)
    size = np.abs(line.regressors_[0].coef_)
    np.testing.assert_allclose(line.feature_importances_, size / size.sum())
    arrays = BatchRegressorForecaster(LinearRegression(), horizon=1)
    arrays.fit(X.to_numpy(), y.to_numpy())
    assert list(arrays.feature_importances_.index)[:2] == ["x0", "x1"]


def test_without_importances_there_is_no_attribute(make_frames):
    from sklearn.neighbors import KNeighborsRegressor

    model = BatchRegressorForecaster(KNeighborsRegressor())
    with pytest.raises(NotFittedError):
        model.feature_importances_  # noqa: B018
    assert not hasattr(model.fit(*make_frames()), "feature_importances_")
    with pytest.raises(TypeError, match="with `feature_importances_`"):
        feature_importances(model)


def test_a_failure_to_train_is_no_wrong_parameter(make_frames, monkeypatch):
    def fail(*_, **__):
        raise xgb.core.XGBoostError("out of memory")

    model = trees(xgb_params={"gamma": 0.0})
    monkeypatch.setattr(BatchXGBoostForecaster, "_train", fail)
    with pytest.raises(ModelFitError, match="out of memory"):
        model.fit(*make_frames(60))
