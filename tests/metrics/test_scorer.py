import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    TimeSeriesSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.metrics import (
    coverage,
    directional_accuracy,
    information_coefficient,
    make_forecast_scorer,
    out_of_sample_r2,
    rank_information_coefficient,
)
from skbatch.panel import forward_returns


class Momentum(RegressorMixin, BaseEstimator):
    """Forecasts `slope` times the last return of each ticker."""

    def __init__(self, slope=1.0):
        self.slope = slope

    def fit(self, X, y):
        self.columns_ = y.columns
        return self

    def predict(self, X):
        tickers = self.columns_.get_level_values(-1)
        forecasts = self.slope * np.log(X).diff()[tickers]
        return forecasts.set_axis(self.columns_, axis=1)


@pytest.fixture
def prices():
    rng = np.random.default_rng(0)
    returns = np.zeros((80, 8))
    for row in range(1, 80):
        returns[row] = 0.4 * returns[row - 1] + rng.normal(0, 0.01, size=8)
    dates = pd.date_range("2024-01-01", periods=80, freq="B")
    return pd.DataFrame(np.exp(returns.cumsum(axis=0)), dates, list("ABCDEFGH"))


NAMED = {
    "rank_ic": rank_information_coefficient,
    "ic": information_coefficient,
    "r2": out_of_sample_r2,
    "directional_accuracy": directional_accuracy,
}


@pytest.mark.parametrize("name", NAMED)
def test_names_are_the_functions(name, prices):
    y = forward_returns(prices, 2)
    model = Momentum().fit(prices, y)
    expected = NAMED[name](y, model.predict(prices))
    assert make_forecast_scorer(name)(model, prices, y) == expected
    assert make_forecast_scorer(NAMED[name])(model, prices, y) == expected


def test_rank_ic_is_the_default(prices):
    y = forward_returns(prices, 1)
    model = Momentum().fit(prices, y)
    assert make_forecast_scorer()(model, prices, y) == rank_information_coefficient(
        y, model.predict(prices)
    )


def test_arguments_reach_the_score(prices):
    y = forward_returns(prices, 1)
    model = Momentum().fit(prices, y)
    scorer = make_forecast_scorer("r2", benchmark="mean")
    expected = out_of_sample_r2(y, model.predict(prices), benchmark="mean")
    assert scorer(model, prices, y) == expected


def test_grid_search_chooses_the_better_forecasts(prices):
    y = forward_returns(prices, 2)
    search = GridSearchCV(
        Momentum(),
        {"slope": [-1.0, 1.0]},
        scoring=make_forecast_scorer(),
        cv=TimeSeriesSplit(3),
        error_score="raise",
    ).fit(prices, y)
    assert search.best_params_ == {"slope": 1.0}
    assert search.best_score_ > 0.1


def test_benchmark_table_serves_every_fold(prices):
    y = forward_returns(prices, 1)
    scorer = make_forecast_scorer("r2", benchmark=y.expanding().mean().shift(1))
    scores = cross_val_score(
        Momentum(),
        prices,
        y,
        scoring=scorer,
        cv=TimeSeriesSplit(3),
        error_score="raise",
    )
    assert np.isfinite(scores).all()


def test_several_scores_at_once(prices):
    y = forward_returns(prices, 1)
    scoring = {name: make_forecast_scorer(name) for name in NAMED}
    results = cross_validate(
        Momentum(), prices, y, scoring=scoring, cv=TimeSeriesSplit(2)
    )
    assert all(np.isfinite(results[f"test_{name}"]).all() for name in NAMED)


class TestPurge:
    @pytest.mark.parametrize("name", NAMED)
    @pytest.mark.parametrize("horizon", [1, 3])
    def test_labels_that_end_later_do_not_matter(self, name, horizon, prices):
        fold = slice(20, 50)
        y = forward_returns(prices, horizon)
        changed = prices.copy()
        changed.iloc[50:] = changed.iloc[50:].to_numpy()[::-1] * 3
        garbled = forward_returns(changed, horizon)
        assert not y.iloc[fold].equals(garbled.iloc[fold])
        model = Momentum().fit(prices, y)
        scores = [
            make_forecast_scorer(name)(model, prices.iloc[fold], labels.iloc[fold])
            for labels in (y, garbled)
        ]
        assert scores[0] == scores[1]
        kept = y.iloc[20 : 50 - horizon]
        forecasts = model.predict(prices.iloc[fold]).iloc[:-horizon]
        assert scores[0] == pytest.approx(NAMED[name](kept, forecasts))

    def test_zero_scores_all_rows(self, prices):
        y = forward_returns(prices, 3).iloc[20:50]
        X = prices.iloc[20:50]
        model = Momentum().fit(X, y)
        expected = rank_information_coefficient(y, model.predict(X))
        assert make_forecast_scorer(purge=0)(model, X, y) == expected
        y.attrs.clear()
        assert make_forecast_scorer()(model, X, y) == expected

    def test_rows_by_number(self, prices):
        y = forward_returns(prices, 3).iloc[20:50]
        X = prices.iloc[20:50]
        model = Momentum().fit(X, y)
        scorer = make_forecast_scorer(purge=7)
        expected = rank_information_coefficient(y[:-7], model.predict(X)[:-7])
        assert scorer(model, X, y) == pytest.approx(expected)
        frameless = make_forecast_scorer(purge=7)._score_func
        result = frameless(y.to_numpy(), model.predict(X).to_numpy())
        assert result == pytest.approx(expected)

    def test_each_horizon_loses_its_own_rows(self, prices):
        y = forward_returns(prices, (1, 4)).iloc[20:50]
        X = prices.iloc[20:50]
        model = Momentum().fit(X, y)
        forecasts = model.predict(X)
        expected = np.mean(
            [information_coefficient(y[h][:-h], forecasts[h][:-h]) for h in (1, 4)]
        )
        assert make_forecast_scorer("ic")(model, X, y) == pytest.approx(expected)

    @pytest.mark.parametrize("horizon", [3, (1, 4)])
    def test_a_delay_loses_as_many_more(self, horizon, prices):
        y = forward_returns(prices, horizon, delay=2).iloc[20:50]
        X = prices.iloc[20:50]
        model = Momentum().fit(X, y)
        known = y.copy()
        for column in range(y.shape[1]):
            rows = 2 + (y.columns[column][0] if np.ndim(horizon) else 3)
            known.iloc[-rows:, column] = np.nan
        expected = rank_information_coefficient(known, model.predict(X))
        assert make_forecast_scorer()(model, X, y) == pytest.approx(expected)

    def test_fold_within_the_horizon_has_no_score(self, prices):
        y = forward_returns(prices, 5).iloc[20:25]
        model = Momentum().fit(prices, y)
        assert np.isnan(make_forecast_scorer()(model, prices.iloc[20:25], y))

    def test_labels_are_not_modified(self, prices):
        y = forward_returns(prices, 3).iloc[20:50]
        before = y.copy()
        make_forecast_scorer()(Momentum().fit(prices, y), prices.iloc[20:50], y)
        pd.testing.assert_frame_equal(y, before)
        assert y.attrs == {"horizon": 3, "delay": 0}

    def test_series(self, prices):
        y = forward_returns(prices, 2)["A"].iloc[20:50]
        scorer = make_forecast_scorer("directional_accuracy", purge=2)._score_func
        forecasts = y.where(np.arange(30) < 28, -y)
        assert scorer(y, forecasts) == 1.0

    @pytest.mark.parametrize("purge", [-1, 1.5, "none", None])
    def test_must_be_a_number_of_rows(self, purge):
        with pytest.raises(ValueError, match="`purge` must be an int of at least 0"):
            make_forecast_scorer(purge=purge)


class TestCallable:
    def test_gets_finite_pairs(self, prices):
        y = forward_returns(prices, 2)
        model = Momentum().fit(prices, y)
        scorer = make_forecast_scorer(mean_absolute_error, greater_is_better=False)
        error = (y - model.predict(prices)).abs().stack().mean()
        assert scorer(model, prices, y) == pytest.approx(-error)

    def test_horizons_are_averaged(self, prices):
        y = forward_returns(prices, (1, 4))
        model = Momentum().fit(prices, y)
        scorer = make_forecast_scorer(mean_absolute_error)
        errors = (y - model.predict(prices)).abs()
        expected = np.mean([errors[h].stack().mean() for h in (1, 4)])
        assert scorer(model, prices, y) == pytest.approx(expected)

    def test_without_pairs_is_nan(self, prices):
        y = forward_returns(prices, 2)
        model = Momentum().fit(prices, y)
        scorer = make_forecast_scorer(mean_absolute_error)
        assert np.isnan(scorer(model, prices, y * np.nan))

    def test_other_scores_of_the_module_get_pairs_too(self, prices):
        y = forward_returns(prices, 2)
        model = Momentum().fit(prices, y)
        assert make_forecast_scorer(coverage)(model, prices, y) == 1.0


def test_survives_clone_and_pickle(prices):
    y = forward_returns(prices, 1)
    model = Momentum().fit(prices, y)
    scorer = make_forecast_scorer("r2", benchmark="mean")
    expected = scorer(model, prices, y)
    for copy in (pickle.loads(pickle.dumps(scorer)), clone(scorer, safe=False)):
        assert copy(model, prices, y) == expected


def test_repr_names_the_score():
    scorer = make_forecast_scorer("r2", benchmark="mean")
    assert "out_of_sample_r2" in repr(scorer)
    assert "benchmark=mean" in repr(scorer)


def test_unknown_score():
    with pytest.raises(ValueError, match=r"'rank_ic', 'ic'.* Got 'sharpe'"):
        make_forecast_scorer("sharpe")


def test_unknown_argument():
    with pytest.raises(TypeError, match=r"Got \['benchmark'\] for rank_information"):
        make_forecast_scorer("rank_ic", benchmark=0.0)


# Without labels -----------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [5, (1, 5)])
@pytest.mark.parametrize("several", [False, True])
def test_a_search_without_labels_scores_against_the_returns(horizon, several):
    prices = make_panel(200, 4, random_state=0)
    system = BatchForecastingSystem(
        horizon,
        features=SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21]),
        forecaster=BatchLinearForecaster(),
    )
    scorer = make_forecast_scorer()
    search = GridSearchCV(
        system,
        {"forecaster__alpha": [0.1, 1.0]},
        scoring={"ic": scorer, "r2": make_forecast_scorer("r2")} if several else scorer,
        refit="ic" if several else True,
        cv=TimeSeriesSplit(2),
        error_score="raise",
    )
    for estimator in (search, make_pipeline("passthrough", search)):
        estimator.fit(prices)
    name = "mean_test_ic" if several else "mean_test_score"
    expected = []
    for alpha in (0.1, 1.0):
        model = clone(system).set_params(forecaster__alpha=alpha)
        scores = []
        for train, test in TimeSeriesSplit(2).split(prices):
            fold = prices.iloc[test]
            forecasts = model.fit(prices.iloc[train]).predict(fold)
            y = forward_returns(fold, horizon)
            scores.append(rank_information_coefficient(y, forecasts))
        expected.append(np.mean(scores))
    np.testing.assert_allclose(search.cv_results_[name], expected)


def test_a_fold_of_no_more_rows_than_the_horizon_has_no_score():
    prices = make_panel(300, 5, random_state=0)
    system = BatchForecastingSystem(
        5,
        features=SharedFeatureExtractor(["returns"], windows=[5]),
        forecaster=BatchLinearForecaster(),
    ).fit(prices)
    assert np.isnan(make_forecast_scorer()(system, prices.iloc[-5:]))


def test_an_estimator_that_makes_no_labels_needs_them():
    model = LinearRegression().fit([[1.0], [2.0]], [0.01, 0.02])
    with pytest.raises(ValueError, match="`y` must be passed"):
        make_forecast_scorer()(model, [[1.0]])
