"""Forecasts are the sum of their parts."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import FallbackWarning
from skbatch.forecasting import ReturnTarget

TREES = BatchXGBoostForecaster(n_estimators=15, n_jobs=1)
LINEAR = BatchLinearForecaster()
REST = ["model average", "shrinkage", "market expectation"]


@pytest.fixture(scope="module")
def frame():
    """Features of 8 tickers, of which one is new and one has no price in the end."""
    prices = make_panel(300, 8, signal="linear", strength=0.3, random_state=0)
    prices.iloc[:285, 3] = np.nan
    prices.iloc[-40:, 5] = np.nan
    families = ["returns", "volatility", "rank", "market"]
    return SharedFeatureExtractor(families, [3, 10]).fit_transform(prices), prices


def fit(model, frame, horizon=3):
    X, prices = frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        return model.fit(X, forward_returns(prices, horizon))


@pytest.mark.parametrize("horizon", [3, (1, 3)])
@pytest.mark.parametrize(
    "model",
    [
        TREES,
        BatchXGBoostForecaster("per_ticker", n_estimators=5, n_jobs=1),
        LINEAR,
        BatchLinearForecaster("vector"),
        BatchLinearForecaster("per_ticker", target=ReturnTarget(scale=None)),
        FallbackForecaster(TREES, min_labels=100),
        HistoricalMeanForecaster(),
        ConformalForecaster(LINEAR),
    ],
    ids=lambda model: type(model).__name__,
)
def test_parts_add_up_to_the_forecasts(frame, model, horizon):
    fit(model, frame, horizon)
    X = frame[0]
    forecasts = model.predict(X.iloc[[-1]]).iloc[0]
    parts = model.explain(X)
    assert parts.index.equals(forecasts.index)
    error = (parts.sum(axis=1, skipna=False) - forecasts).abs()
    assert error.isna().equals(forecasts.isna())
    assert forecasts.isna().any()
    assert error.max() <= 1e-6 * forecasts.std()
    assert parts.isna().any(axis=1).equals(parts.isna().all(axis=1))
    pd.testing.assert_frame_equal(model.explain(X.iloc[[-1]]), parts)


def test_contributions_of_trees_are_those_of_xgboost(frame):
    model = fit(TREES, frame)
    X = frame[0].iloc[[-1]]
    parts = model.explain(X).drop(columns=REST)
    [trained] = model.model_.models
    unit = X["T000__volatility_10"].iloc[0] * 3**0.5
    row = X[[f"T000__{n}" if "__" not in n else n for n in parts]].to_numpy()
    booster = trained.model.booster
    given = booster.predict(
        xgb.DMatrix(row), pred_contribs=True, validate_features=False
    )[0]
    np.testing.assert_allclose(parts.loc["T000"], given[:-1] * unit, rtol=1e-5)
    # What a tree forecasts knowing nothing is the same for all tickers.
    average = (
        model.explain(X)["model average"]
        / model.model_.transform.scale.matrix(model_table(model, X))[0]
    )
    np.testing.assert_allclose(average.dropna(), given[-1] * 3**0.5, rtol=1e-4)


def model_table(model, X):
    from skbatch.forecasting._label_layout import check_features

    return check_features(model, X, reset=False)


def test_contributions_of_the_ridge_are_coefficients_times_centred_inputs(frame):
    model = fit(BatchLinearForecaster(alpha=0.01), frame)
    X = frame[0].iloc[[-1]]
    [trained] = model.model_.models
    ridge, parts = trained.model, model.explain(X)
    unit = X["T001__volatility_10"].iloc[0] * 3**0.5
    total = 0.0
    for number, name in enumerate(parts.columns.drop(REST)):
        value = X[f"T001__{name}" if "__" not in name else name].iloc[0]
        score = np.clip((value - ridge.mean[number]) / ridge.deviation[number], -5, 5)
        expected = score * ridge.coef[number] * unit
        assert parts.loc["T001", name] == pytest.approx(expected, rel=1e-5)
        total += expected
    shrunk = (trained.shrinkage - 1) * total
    assert parts.loc["T001", "shrinkage"] == pytest.approx(shrunk)
    common = model.model_.transform
    expected = common.weight[1] * common.expectation[1]
    assert parts.loc["T001", "market expectation"] == pytest.approx(expected)
    assert np.abs(parts["model average"].dropna()).max() < 1e-12


def test_each_ticker_is_explained_by_the_model_that_serves_it(frame):
    model = fit(FallbackForecaster(TREES, LINEAR, min_labels=100), frame)
    parts = model.explain(frame[0])
    assert model.provenance_.loc["T003", "model"] == "BatchLinearForecaster"
    trees, linear = (
        model.estimator_.explain(frame[0]),
        model.fallback_.explain(frame[0]),
    )
    pd.testing.assert_series_equal(parts.loc["T003"], linear.loc["T003", parts.columns])
    pd.testing.assert_series_equal(parts.loc["T000"], trees.loc["T000", parts.columns])
    assert parts.loc["T005"].isna().all()


def test_what_cannot_be_explained_is_refused(frame):
    vector = fit(BatchXGBoostForecaster("vector", n_estimators=2, n_jobs=1), frame)
    with pytest.raises(
        ValueError, match="Got 'vector', for which XGBoost computes no contr"
    ):
        vector.explain(frame[0])


def test_arrays_are_explained_by_column():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3))
    model = BatchLinearForecaster(horizon=1).fit(X, X @ [0.02, -0.01, 0.0])
    parts = model.explain(X)
    assert list(parts.columns) == ["x0", "x1", "x2", *REST]
    assert parts.sum(axis=1).iloc[0] == pytest.approx(model.predict(X)[-1])
