"""Weighted scores against scikit-learn, scipy on repeated pairs, and slow loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score, mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError
from skbatch.metrics import (
    directional_accuracy,
    information_coefficient,
    make_forecast_scorer,
    out_of_sample_r2,
    rank_information_coefficient,
)

SCORES = [
    information_coefficient,
    rank_information_coefficient,
    out_of_sample_r2,
    directional_accuracy,
]
FEATURES = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])


def tables(seed, n_dates=12, n_tickers=6):
    """Returns and forecasts with gaps, zeros and ties, and weights from 0 to 3."""
    random = np.random.default_rng(seed)
    shape = n_dates, n_tickers
    actual = random.normal(0, 0.02, shape).round(2)
    forecast = (0.3 * actual + random.normal(0, 0.01, shape)).round(2)
    actual[random.random(shape) < 0.1] = np.nan
    forecast[random.random(shape) < 0.1] = np.nan
    weights = random.integers(0, 4, shape).astype(float)
    weights[0] = 0
    index, columns = pd.RangeIndex(n_dates), [f"T{n}" for n in range(n_tickers)]
    return [pd.DataFrame(t, index, columns) for t in (actual, forecast, weights)]


def slow_mean(y_true, y_pred, weights, correlation):
    """Correlate each date's pairs, each as often as its weight; then average dates."""
    found, counts = [], []
    for t in range(len(y_true)):
        a, f, w = (table.to_numpy()[t] for table in (y_true, y_pred, weights))
        use = np.isfinite(a) & np.isfinite(f) & (w > 0)
        a, f, w = a[use], f[use], w[use]
        if len(a) < 3 or len(set(a)) == 1 or len(set(f)) == 1:
            continue
        repeats = w.astype(int)
        found.append(correlation(np.repeat(a, repeats), np.repeat(f, repeats))[0])
        counts.append(w.mean())
    return np.average(found, weights=counts)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_a_weight_is_a_number_of_pairs(seed):
    y_true, y_pred, weights = tables(seed)
    for score, correlation in (
        (information_coefficient, pearsonr),
        (rank_information_coefficient, spearmanr),
    ):
        expected = slow_mean(y_true, y_pred, weights, correlation)
        for scale in (1.0, 0.01):
            found = score(y_true, y_pred, sample_weight=scale * weights)
            assert found == pytest.approx(expected, abs=1e-12)


def test_pooled_scores_are_those_of_scikit_learn():
    y_true, y_pred, weights = tables(0)
    use = (y_true.notna() & y_pred.notna()).to_numpy()
    a, f, w = (table.to_numpy()[use] for table in (y_true, y_pred, weights))
    found = out_of_sample_r2(y_true, y_pred, "mean", weights)
    assert found == pytest.approx(r2_score(a, f, sample_weight=w))
    errors = [mean_squared_error(a, g, sample_weight=w) for g in (f, 0 * f)]
    found = out_of_sample_r2(y_true, y_pred, sample_weight=weights)
    assert found == pytest.approx(1 - errors[0] / errors[1])
    own = a != 0
    expected = accuracy_score(np.sign(a)[own], np.sign(f)[own], sample_weight=w[own])
    found = directional_accuracy(y_true, y_pred, weights)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("score", SCORES)
def test_equal_weights_change_nothing_and_zero_is_absence(score):
    y_true, y_pred, weights = tables(1)
    plain = score(y_true, y_pred)
    for equal in (np.full(12, 0.3), np.full((12, 6), 7.0), 0.0 * y_true.fillna(0) + 2):
        assert score(y_true, y_pred, sample_weight=equal) == pytest.approx(plain)
    some = (weights > 0) * 1.0
    only = score(y_true.where(weights > 0), y_pred)
    if score in (out_of_sample_r2, directional_accuracy):
        assert score(y_true, y_pred, sample_weight=some) == pytest.approx(only)
    dates = pd.Series(np.arange(12) % 2, y_true.index)
    half = score(y_true.iloc[1::2], y_pred.iloc[1::2])
    assert score(y_true, y_pred, sample_weight=dates) == pytest.approx(half)
    assert np.isnan(score(y_true, y_pred, sample_weight=np.zeros(12)))


@pytest.mark.parametrize("score", SCORES)
def test_weights_are_matched_by_date_and_ticker(score):
    y_true, y_pred, weights = tables(2)
    expected = score(y_true, y_pred, sample_weight=weights.to_numpy())
    shuffled = weights.iloc[::-1, ::-1].assign(other=1.0)
    assert score(y_true, y_pred, sample_weight=shuffled) == expected
    both = [pd.concat({1: t, 5: t}, axis=1) for t in (y_true, y_pred, weights)]
    for each in (both[2], weights, weights.to_numpy(), shuffled):
        assert score(*both[:2], sample_weight=each) == pytest.approx(expected)
    for wrong, error, message in (
        (np.ones(11), PanelError, "shape"),
        (np.ones((12, 5)), PanelError, "shape"),
        (-weights, ValueError, "not negative. Got -"),
        (weights.replace(0, np.nan), ValueError, "Got nan"),
        (weights.drop(columns="T1"), PanelError, "T1"),
        (weights.iloc[1:], PanelError, "dates"),
    ):
        with pytest.raises(error, match=message):
            score(y_true, y_pred, sample_weight=wrong)


def test_searches_route_weights_to_fit_and_score():
    panel = make_panel(150, 6, signal="linear", random_state=0)
    labels = forward_returns(panel, 2)
    random = np.random.default_rng(0)
    weights = pd.DataFrame(
        random.uniform(0.1, 3, labels.shape), labels.index, labels.columns
    )
    folds = list(TimeSeriesSplit(2).split(panel))
    scorer = make_forecast_scorer("rank_ic")
    with config_context(enable_metadata_routing=True):
        model = BatchLinearForecaster().set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        pipeline = make_pipeline(FEATURES, model)
        scorer.set_score_request(sample_weight=True)
        grid = {"batchlinearforecaster__strategy": ["pooled", "per_ticker"]}
        found = GridSearchCV(pipeline, grid, scoring=scorer, cv=folds)
        found.fit(panel, labels, sample_weight=weights)
    for number, (train, test) in enumerate(folds):
        for place, params in enumerate(found.cv_results_["params"]):
            plain = make_pipeline(FEATURES, BatchLinearForecaster()).set_params(
                **params
            )
            own = {"batchlinearforecaster__sample_weight": weights.iloc[train]}
            plain.fit(panel.iloc[train], labels.iloc[train], **own)
            known = labels.iloc[test].copy()
            known.iloc[-2:] = np.nan
            expected = rank_information_coefficient(
                known, plain.predict(panel.iloc[test]), weights.iloc[test]
            )
            score = found.cv_results_[f"split{number}_test_score"][place]
            assert score == pytest.approx(expected, rel=1e-12)


def test_functions_of_scikit_learn_get_the_weights_of_their_pairs():
    y_true, y_pred, weights = tables(3)

    class Fixed(BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, X):
            return y_pred

    scorer = make_forecast_scorer(mean_squared_error, greater_is_better=False)
    found = scorer(Fixed(), y_true, y_true, sample_weight=weights)
    use = (y_true.notna() & y_pred.notna()).to_numpy()
    a, f, w = (table.to_numpy()[use] for table in (y_true, y_pred, weights))
    assert found == pytest.approx(-mean_squared_error(a, f, sample_weight=w))


def test_searches_over_systems_route_weights_of_dates():
    panel = make_panel(150, 6, random_state=0)
    weights = np.linspace(0.1, 2, 150)
    system = BatchForecastingSystem(
        2, features=FEATURES, forecaster=BatchLinearForecaster()
    )
    folds = list(TimeSeriesSplit(2).split(panel))
    scorer = make_forecast_scorer("r2")
    with config_context(enable_metadata_routing=True):
        routed = clone(system).set_fit_request(sample_weight=True)
        scorer.set_score_request(sample_weight=True)
        found = GridSearchCV(routed, {"delay": [0, 1]}, scoring=scorer, cv=folds)
        found.fit(panel, sample_weight=weights)
    train, test = folds[1]
    system.fit(panel.iloc[train], sample_weight=weights[train])
    labels = forward_returns(panel.iloc[test], 2)
    forecasts = system.predict(panel.iloc[test])
    expected = out_of_sample_r2(labels, forecasts, sample_weight=weights[test])
    assert found.cv_results_["split1_test_score"][0] == pytest.approx(expected)
