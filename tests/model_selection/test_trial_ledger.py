"""A ledger counts what a search has tried, and judges the best of it."""

import numpy as np
import pandas as pd
import pytest

from skbatch import BatchLinearForecaster
from skbatch.metrics import (
    deflated_sharpe_ratio,
    mean_inference,
    probability_of_backtest_overfitting,
)
from skbatch.model_selection import TrialLedger

from .conftest import HORIZON, make_model


@pytest.fixture(scope="module")
def trials(walk, prices):
    ledger = TrialLedger(costs=5)
    results = [
        walk(
            make_model(BatchLinearForecaster(alpha=alpha)),
            prices.drop(columns="T003"),
            benchmarks={},
            name=f"alpha {alpha}",
            n_trials=ledger,
        )
        for alpha in (0.01, 10.0)
    ]
    both = walk(
        make_model(BatchLinearForecaster()),
        prices.drop(columns="T003"),
        horizon=(1, 3),
        benchmarks={},
        n_trials=ledger,
    )
    return ledger, [*results, both]


def test_every_horizon_of_every_walk_is_a_trial(trials):
    ledger, results = trials
    assert [result.n_trials for result in results] == [1, 2, 4]
    assert repr(ledger) == "TrialLedger(4 trials)"
    table = ledger.to_frame()
    assert list(table.index[:2]) == ["alpha 0.01", "alpha 10.0"]
    assert list(table["horizon"]) == [HORIZON, HORIZON, 1, 3]


def test_trials_have_the_scores_of_their_results(trials):
    ledger, results = trials
    table = ledger.to_frame()
    test = mean_inference(results[1].rank_ic()["alpha 10.0"], horizon=HORIZON)
    assert table["rank_ic"].iloc[1] == test.mean
    assert table["rank_ic_t"].iloc[1] == test.t_statistic
    assert table["p_holm"].min() == pytest.approx(min(1, 4 * table["p_value"].min()))
    portfolio = results[1].backtest(costs=5)
    pd.testing.assert_series_equal(
        ledger.returns[1].dropna(), portfolio.returns["net"], check_names=False
    )
    assert table["sharpe"].iloc[1] == portfolio.measures["sharpe_net"]


def test_the_best_trial_is_judged_by_all(trials):
    ledger, _ = trials
    summary, returns = ledger.summary(), ledger.returns
    sharpes = returns.mean() / returns.std()
    best = sharpes.argmax()
    assert summary["best"] == ledger.to_frame().index[best]
    assert summary["n_trials"] == 4
    assert summary["sharpe"] == pytest.approx(sharpes.max() * 252**0.5)
    assert summary["deflated_sharpe_ratio"] == pytest.approx(
        deflated_sharpe_ratio(returns[best], sharpes)
    )
    assert summary[
        "probability_of_backtest_overfitting"
    ] == probability_of_backtest_overfitting(returns)


def test_a_ledger_without_trials_judges_nothing():
    with pytest.raises(ValueError, match="The ledger must hold a result"):
        TrialLedger().summary()
    assert len(TrialLedger().to_frame()) == 0


def test_a_single_trial_cannot_be_overfitted_by_choice(walk, linear_model):
    ledger = TrialLedger()
    walk(linear_model, benchmarks={}, n_trials=ledger)
    summary = ledger.summary()
    assert np.isnan(summary["probability_of_backtest_overfitting"])
    assert 0 <= summary["deflated_sharpe_ratio"] <= 1
