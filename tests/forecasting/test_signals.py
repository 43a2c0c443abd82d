"""From prices to forecasts: a planted signal is found, and nothing where none is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel

WINDOWS = (5, 21, 63)


def correlations(actual, forecast, *, ranks=False):
    """Cross-sectional correlation of each date, by pandas."""
    if ranks:
        actual, forecast = actual.rank(axis=1), forecast.rank(axis=1)
    return forecast.corrwith(actual, axis=1)


def forecast_last_part(model, prices, horizon=1, **options):
    """Fit on the first rows and forecast the last, whose labels are given as well."""
    cut = int(0.7 * len(prices))
    labels = forward_returns(prices, horizon)
    train = labels.iloc[:cut]
    pipeline = make_pipeline(SharedFeatureExtractor(**options), model).fit(
        prices.iloc[:cut], train
    )
    rows = slice(cut, len(prices) - horizon)
    return pipeline.predict(prices.iloc[rows]), labels.iloc[rows]


# The expected return of the non-linear signal has two levels. Ranks would mostly order
# the ties among them, so what is recovered is measured in Pearson correlation.
@pytest.mark.parametrize(
    ("signal", "model"),
    [
        ("nonlinear", BatchXGBoostForecaster(n_jobs=1)),
        ("linear", BatchLinearForecaster()),
    ],
)
def test_a_planted_signal_is_recovered_out_of_sample(signal, model):
    prices, oracle = make_panel(
        1000, 80, signal=signal, random_state=0, return_oracle=True
    )
    forecasts, actual = forecast_last_part(model, prices)
    best = correlations(actual, oracle.loc[actual.index]).mean()
    assert 0.15 < best < 0.3
    assert correlations(actual, forecasts).mean() >= 0.9 * best


def test_a_linear_model_cannot_see_the_nonlinear_signal():
    prices, oracle = make_panel(
        600, 60, signal="nonlinear", random_state=0, return_oracle=True
    )
    forecasts, actual = forecast_last_part(BatchLinearForecaster(), prices)
    best = correlations(actual, oracle.loc[actual.index]).mean()
    assert correlations(actual, forecasts).mean() < 0.4 * best


def t_statistic(values):
    return values.mean() / values.std(ddof=1) * np.sqrt(len(values))


@pytest.mark.parametrize(
    "model",
    [
        FallbackForecaster(BatchXGBoostForecaster(n_jobs=1)),
        BatchLinearForecaster(),
    ],
    ids=["xgboost", "linear"],
)
@pytest.mark.parametrize("horizon", [1, 5])
def test_nothing_is_found_in_random_walks(model, horizon):
    found = []
    for seed in range(8):
        prices = make_panel(360, 20, random_state=seed)
        forecasts, actual = forecast_last_part(model, prices, horizon, windows=WINDOWS)
        # Labels that overlap are no new evidence: every horizon-th date is.
        found.append(correlations(actual, forecasts, ranks=True).iloc[::horizon])
    # Of all panels together: that of a single one is beyond 3 for some draws of trees.
    assert abs(t_statistic(pd.concat(found))) < 3


def test_a_feature_that_peeks_is_found_at_once():
    prices = make_panel(360, 20, random_state=0)
    labels = forward_returns(prices, 1)
    noise = np.random.default_rng(0).normal(0, 0.05, labels.shape)
    X = SharedFeatureExtractor(windows=WINDOWS).fit_transform(prices)
    peeking = (labels + noise).fillna(0.0).add_suffix("__peek")
    X = pd.concat([X, peeking.astype(np.float32)], axis=1)
    for model in (BatchXGBoostForecaster(n_jobs=1), BatchLinearForecaster()):
        forecasts = model.fit(X.iloc[:252], labels.iloc[:252]).predict(X.iloc[252:-1])
        ic = correlations(labels.iloc[252:-1], forecasts, ranks=True)
        assert t_statistic(ic) > 5
