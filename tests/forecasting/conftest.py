"""Small feature frames and labels for the forecasters' tests."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)


@pytest.fixture(scope="session")
def make_frames():
    """A function that makes a random feature frame and labels that depend on it."""

    def make(
        n_dates=200,
        n_tickers=4,
        *,
        n_features=2,
        horizon=1,
        volatility=True,
        market=False,
        signal=0.5,
        missing=0.0,
        seed=0,
    ):
        random = np.random.default_rng(seed)
        tickers = [f"T{number}" for number in range(n_tickers)]
        shape = (n_dates, n_tickers)
        features = {f"f{n}": random.standard_normal(shape) for n in range(n_features)}
        scale = 0.02 * np.exp(random.normal(0, 0.3, shape))
        if volatility:
            features["volatility_63"] = scale
        X = pd.concat(
            [
                pd.DataFrame(values, columns=[f"{t}__{name}" for t in tickers])
                for name, values in features.items()
            ],
            axis=1,
        )
        if market:
            X["market__return"] = random.standard_normal(n_dates)
        score = signal * features["f0"] + random.standard_normal(shape)
        common = random.normal(0.001, 0.01, (n_dates, 1))
        y = pd.DataFrame(common + scale * np.sqrt(horizon) * score, columns=tickers)
        X[random.uniform(size=X.shape) < missing] = np.nan
        y[random.uniform(size=y.shape) < missing] = np.nan
        dates = pd.bdate_range("2015-01-01", periods=n_dates, name="date")
        X, y = X.astype(np.float32).set_axis(dates), y.set_axis(dates)
        y.attrs["horizon"] = horizon
        return X, y

    return make


@pytest.fixture(scope="session")
def stack_horizons():
    """A function that puts labels of several horizons side by side."""

    def stack(labels):
        y = pd.concat(labels, axis=1, names=["horizon", "ticker"])
        y.attrs["horizon"] = tuple(labels)
        return y

    return stack


FORECASTERS = {
    "mean": HistoricalMeanForecaster(min_labels=5),
    "linear-pooled": BatchLinearForecaster(),
    "linear-vector": BatchLinearForecaster("vector"),
    "linear-per_ticker": BatchLinearForecaster("per_ticker"),
    "xgboost-pooled": BatchXGBoostForecaster(n_estimators=8, n_jobs=1),
    "xgboost-vector": BatchXGBoostForecaster("vector", n_estimators=8, n_jobs=1),
    "xgboost-per_ticker": BatchXGBoostForecaster(
        "per_ticker", n_estimators=8, n_jobs=1
    ),
    "regressor-pooled": BatchRegressorForecaster(
        DecisionTreeRegressor(max_depth=2, random_state=0)
    ),
    "regressor-per_ticker": BatchRegressorForecaster(
        # Sums of linear algebra depend, in their last bits, on the number of rows.
        make_pipeline(
            SimpleImputer(keep_empty_features=True),
            DecisionTreeRegressor(max_depth=2, random_state=0),
        ),
        "per_ticker",
    ),
    "fallback": FallbackForecaster(
        BatchXGBoostForecaster(n_estimators=8, n_jobs=1), min_labels=10
    ),
    "conformal": ConformalForecaster(BatchLinearForecaster()),
}


@pytest.fixture(params=FORECASTERS)
def forecaster(request):
    """Every kind of forecaster and strategy, small and unfitted."""
    return clone(FORECASTERS[request.param])
