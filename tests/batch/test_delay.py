"""Systems whose forecasts are traded some rows later."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    forward_returns,
    walk_forward,
)
from skbatch.batch import compare_batch_vs_individual
from skbatch.metrics import make_forecast_scorer, rank_information_coefficient
from skbatch.portfolio import robust_forecast_returns
from skbatch.testing import check_no_lookahead

from .conftest import small_features

HORIZON, DELAY = 4, 3
REACH = HORIZON + DELAY


def pooled_system(horizon=HORIZON, delay=DELAY):
    return BatchForecastingSystem(
        horizon,
        delay=delay,
        features=small_features(),
        forecaster=BatchLinearForecaster(),
    )


@pytest.mark.parametrize("horizon", [HORIZON, (1, HORIZON)])
def test_forecasts_are_those_of_a_pipeline_with_delayed_labels(prices, horizon):
    model = make_pipeline(small_features(), BatchLinearForecaster())
    model.fit(prices.iloc[:-5], forward_returns(prices.iloc[:-5], horizon, DELAY))
    expected = model.predict(prices.iloc[-5:])
    system = pooled_system(horizon).fit(prices.iloc[:-5])
    got = system.predict(prices.iloc[-5:])
    pd.testing.assert_frame_equal(got, expected, check_freq=False)
    assert (system.horizon_, system.delay_) == (horizon, DELAY)
    now = pooled_system(horizon, 0).fit(prices.iloc[:-5]).predict(prices.iloc[-5:])
    assert not np.allclose(now, got)


@pytest.mark.parametrize(
    ("strategy", "max_batch_size"), [("pooled", None), ("pooled", 3), ("per_ticker", 3)]
)
def test_batches_learn_nothing_that_ends_later(prices, strategy, max_batch_size):
    """Not even the return common to all tickers, which batches are told."""
    system = pooled_system().set_params(
        forecaster__strategy=strategy,
        max_batch_size=max_batch_size,
        features__families=["returns", "volatility", "market"],
    )
    few = prices.iloc[:160, :5]
    check_no_lookahead(system, few, horizon=HORIZON, delay=DELAY, n_cuts=1)


def test_the_result_says_which_close_returns_start_from(prices):
    result = pooled_system().fit(prices).forecast()
    assert "over 4 rows, starting 3 rows after the forecast" in repr(result)
    attrs = result.to_frame().attrs
    assert (attrs["horizon"], attrs["delay"]) == (HORIZON, DELAY)
    now = pooled_system(delay=0).fit(prices).forecast()
    assert "starting" not in repr(now)
    assert now.delay == 0


def test_scores_are_of_the_returns_that_are_earned(prices):
    system = pooled_system().fit(prices.iloc[:200])
    rows = prices.iloc[200:]
    y = forward_returns(rows, HORIZON, DELAY)
    assert system.score(rows) == system.score(rows, y)
    expected = rank_information_coefficient(y, system.predict(rows))
    assert make_forecast_scorer()(system, rows) == pytest.approx(expected)
    assert np.isnan(system.score(rows.iloc[:REACH]))
    assert np.isnan(make_forecast_scorer()(system, rows.iloc[:REACH]))
    search = GridSearchCV(
        pooled_system(),
        {"delay": [0, DELAY]},
        cv=TimeSeriesSplit(2),
        scoring=make_forecast_scorer(),
        error_score="raise",
    )
    assert np.isfinite(search.fit(prices).cv_results_["mean_test_score"]).all()


def test_labels_of_another_delay_are_refused(prices):
    system = pooled_system()
    system.fit(prices, forward_returns(prices, HORIZON, DELAY))
    with pytest.raises(ValueError, match=r"`y` must have the delay of the system, 3"):
        system.fit(prices, forward_returns(prices, HORIZON))


@pytest.mark.parametrize("delay", [-1, 1.5, None])
def test_a_delay_is_a_number_of_rows(prices, delay):
    with pytest.raises(ValueError, match="'delay' parameter"):
        pooled_system(delay=delay).fit(prices)


def test_a_walk_has_the_delay_of_the_system(prices):
    walk = {"horizon": HORIZON, "min_train": 200, "benchmarks": {}}
    result = walk_forward(pooled_system(), prices, delay=DELAY, **walk)
    expected = pooled_system().fit(prices.iloc[:200]).predict(prices.iloc[200:])
    pd.testing.assert_frame_equal(result.forecasts, expected, check_freq=False)
    with pytest.raises(ValueError, match="`delay` must be that of the estimator, 3"):
        walk_forward(pooled_system(), prices, **walk)


def test_a_comparison_scores_the_returns_that_are_earned(prices):
    model = BatchLinearForecaster()
    comparison = compare_batch_vs_individual(
        prices,
        horizon=HORIZON,
        delay=DELAY,
        forecaster=model,
        features=small_features(),
        test_size=40,
    )
    assert comparison.n_scored == (40 - REACH) * 8
    y = forward_returns(prices, HORIZON, DELAY).iloc[-40:]
    expected = rank_information_coefficient(y, comparison.forecasts["batch"])
    assert comparison.table.loc["batch", "rank_ic"] == pytest.approx(expected)


@pytest.mark.parametrize("method", ["batch", "individual"])
def test_portfolios_take_the_delay_of_the_system(prices, method):
    prices = prices[list("ABC")]
    expected = robust_forecast_returns(
        list(prices), prices, method, forecaster=pooled_system(), annualize=False
    )
    if method == "batch":
        own = pooled_system().fit(prices).forecast().expected_returns
        assert dict(expected) == pytest.approx(own.to_dict())
    search = GridSearchCV(
        pooled_system(), {"forecaster__alpha": [1.0]}, cv=TimeSeriesSplit(2)
    )
    searched = robust_forecast_returns(
        list(prices), prices, method, forecaster=search, annualize=False
    )
    assert set(searched) == set(expected)
    assert np.isfinite(list(searched.values())).all()


def test_intervals_follow_returns_only_once_they_are_known(prices):
    system = pooled_system().set_params(
        forecaster=ConformalForecaster(BatchLinearForecaster(), adaptation=0.5)
    )
    system.fit(prices.iloc[:200])
    new = prices.iloc[200:230]
    garbled = new.copy()
    garbled.iloc[21:] *= 3.0
    bounds = [system.predict_interval(rows) for rows in (new, garbled, new.iloc[:21])]
    for lower, upper in bounds[1:]:
        pd.testing.assert_frame_equal(lower.iloc[:21], bounds[0].lower.iloc[:21])
        pd.testing.assert_frame_equal(upper.iloc[:21], bounds[0].upper.iloc[:21])
