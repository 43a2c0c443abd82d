"""Published examples, closed forms and slow loops for what a search costs."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from skbatch._kernels.evaluation import stationary_bootstrap_means
from skbatch._kernels.overfitting import (
    expected_maximum_sharpe,
    probabilistic_sharpe,
)
from skbatch.exceptions import PanelError
from skbatch.metrics import (
    deflated_sharpe_ratio,
    holm_adjusted,
    mean_inference,
    probability_of_backtest_overfitting,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def slow_holm(p_values, n_tests):
    """Reject the smallest p-values one by one, as Holm's procedure is worded."""

    def rejected(level):
        left, out = sorted(range(len(p_values)), key=p_values.__getitem__), set()
        for step, number in enumerate(left):
            if p_values[number] * (n_tests - step) > level:
                break
            out.add(number)
        return out

    levels = sorted({1.0, *(p * k for p in p_values for k in range(1, n_tests + 1))})
    return [
        min([1.0, *(level for level in levels if number in rejected(level))])
        for number in range(len(p_values))
    ]


@settings(max_examples=60)
@given(P_VALUES, st.integers(0, 3))
def test_adjusted_p_values_are_the_lowest_levels_that_reject(p_values, n_more):
    n_tests = len(p_values) + n_more
    expected = slow_holm(p_values, n_tests)
    np.testing.assert_allclose(holm_adjusted(p_values, n_tests), expected, rtol=1e-12)


def test_missing_tests_are_not_counted():
    table = [[0.01, math.nan], [0.02, 0.5]]
    expected = [[0.03, math.nan], [0.04, 0.5]]
    np.testing.assert_allclose(holm_adjusted(table), expected)
    with pytest.raises(ValueError, match="`p_values` must be between 0 and 1"):
        holm_adjusted([1.5])
    with pytest.raises(ValueError, match="`n_tests` must be an int of at least 2"):
        holm_adjusted([0.1, 0.2], 1)


# Bailey and López de Prado (2014), "A numerical example": an annual Sharpe ratio of
# 2.5 over five years of 250 days, trials whose annual Sharpe ratios have variance 1/2.
@pytest.mark.parametrize(
    ("n_trials", "skewness", "kurtosis", "expected"),
    [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)],
)
def test_the_published_deflated_sharpe_ratio(n_trials, skewness, kurtosis, expected):
    luck = expected_maximum_sharpe(0.5 / 250, n_trials)
    if n_trials == 100:
        assert luck == pytest.approx(0.1132, abs=5e-5)
    found = probabilistic_sharpe(2.5 / 250**0.5, luck, 1250, skewness, kurtosis)
    assert found == pytest.approx(expected, abs=5e-5)


# Bailey and López de Prado (2012): two years of monthly returns of a hedge fund.
@pytest.mark.parametrize(
    ("skewness", "kurtosis", "expected"), [(-2.448, 10.164, 0.913), (0, 3, 0.982)]
)
def test_the_published_probabilistic_sharpe_ratio(skewness, kurtosis, expected):
    found = probabilistic_sharpe(0.458, 0, 24, skewness, kurtosis)
    assert found == pytest.approx(expected, abs=5e-4)


def test_the_moments_are_those_of_the_returns():
    returns = np.random.default_rng(0).gamma(2.0, 0.01, 300) - 0.018
    sharpes = np.random.default_rng(1).normal(0.02, 0.05, 30)
    centered = returns - returns.mean()
    sharpe = returns.mean() / returns.std(ddof=1)
    skewness = np.mean(centered**3) / np.mean(centered**2) ** 1.5
    kurtosis = np.mean(centered**4) / np.mean(centered**2) ** 2
    euler = -sum(math.log(-math.log(u)) for u in (np.arange(2e5) + 0.5) / 2e5) / 2e5
    luck = np.std(sharpes, ddof=1) * (
        (1 - euler) * norm.ppf(1 - 1 / 30) + euler * norm.ppf(1 - 1 / (30 * math.e))
    )
    deviation = (1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2) ** 0.5
    expected = norm.cdf((sharpe - luck) * 299**0.5 / deviation)
    assert deflated_sharpe_ratio(returns, sharpes) == pytest.approx(expected, rel=1e-3)
    holes = np.insert(returns, [0, 7], math.nan)
    assert deflated_sharpe_ratio(pd.Series(holes), sharpes) == pytest.approx(
        deflated_sharpe_ratio(returns, sharpes)
    )


def test_the_best_of_many_without_skill_is_expected_to_be_half_significant():
    random = np.random.default_rng(0)
    best = []
    for _ in range(200):
        returns = random.normal(0, 0.01, (250, 20))
        sharpes = returns.mean(0) / returns.std(0, ddof=1)
        best.append(deflated_sharpe_ratio(returns[:, sharpes.argmax()], 20))
    # The expected maximum is about the 57% quantile of the maximum.
    assert 0.4 < np.mean(np.array(best) > 0.5) < 0.52
    assert np.mean(np.array(best) > 0.95) < 0.02


def test_returns_that_do_not_vary_have_no_sharpe_ratio():
    assert math.isnan(deflated_sharpe_ratio([0.01] * 30))
    assert math.isnan(deflated_sharpe_ratio([0.01, 0.02]))
    with pytest.raises(ValueError, match="`trials` must be an int of at least 1"):
        deflated_sharpe_ratio([0.1, 0.2, 0.3], 0)


def slow_overfitting(returns, n_splits):
    """Choose and rank in a loop over all halves."""
    blocks = np.array_split(np.arange(len(returns)), n_splits)
    poor = []
    for half in combinations(range(n_splits), n_splits // 2):
        inside = np.concatenate([blocks[n] for n in half])
        outside = np.setdiff1d(np.arange(len(returns)), inside)

        def sharpe(rows):
            return returns[rows].mean(0) / returns[rows].std(0)

        after = sharpe(outside)
        rank = 1 + np.sum(after < after[np.argmax(sharpe(inside))])
        poor.append(math.log(rank / (returns.shape[1] + 1 - rank)) <= 0)
    return np.mean(poor)


@pytest.mark.parametrize("n_splits", [2, 4, 8])
def test_overfitting_is_that_of_a_slow_loop(n_splits):
    returns = np.random.default_rng(n_splits).normal(0, 0.01, (101, 6))
    found = probability_of_backtest_overfitting(returns, n_splits)
    assert found == pytest.approx(slow_overfitting(returns, n_splits))
    with_gap = np.vstack([returns, np.full((1, 6), math.nan)])
    assert probability_of_backtest_overfitting(with_gap, n_splits) == found


def test_skill_is_not_overfitted_and_its_reverse_is():
    noise = np.random.default_rng(0).normal(0, 0.01, (640, 10))
    skilled = noise.copy()
    skilled[:, 3] += 0.01
    assert probability_of_backtest_overfitting(skilled) == 0.0
    # Returns that sum to zero: what is best in one half is worst in the other.
    fair = noise - noise.mean(0)
    assert probability_of_backtest_overfitting(fair) > 0.95
    many = [
        probability_of_backtest_overfitting(
            np.random.default_rng(seed).normal(0, 0.01, (320, 10)), 8
        )
        for seed in range(40)
    ]
    assert np.mean(many) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("shape", "n_splits", "error"),
    [((100, 1), 8, PanelError), ((10, 3), 8, PanelError), ((100, 3), 7, ValueError)],
)
def test_overfitting_needs_trials_rows_and_halves(shape, n_splits, error):
    with pytest.raises(error):
        probability_of_backtest_overfitting(np.ones(shape), n_splits)


def test_resampled_means_have_the_variance_of_the_stationary_bootstrap():
    random = np.random.default_rng(0)
    values = np.zeros(200)
    for t in range(1, 200):
        values[t] = 0.6 * values[t - 1] + random.normal()
    block, n = 8, len(values)
    # Politis and Romano (1994), lemma 1, with circular autocovariances.
    error = values - values.mean()
    circular = [error @ np.roll(error, -lag) / n for lag in range(n)]
    keep = 1 - 1 / block
    variance = circular[0] + 2 * sum(
        (1 - lag / n) * keep**lag * circular[lag] for lag in range(1, n)
    )
    means = stationary_bootstrap_means(values, block, 20_000, random)
    assert means.mean() == pytest.approx(
        values.mean(), abs=4 * means.std() / 20_000**0.5
    )
    assert means.var() == pytest.approx(variance / n, rel=0.04)


def test_the_bootstrap_finds_the_error_of_an_autoregression():
    random, phi, n = np.random.default_rng(1), 0.5, 20_000
    shocks, values = random.normal(size=n), np.zeros(n)
    for t in range(1, n):
        values[t] = phi * values[t - 1] + shocks[t]
    found = mean_inference(values, n_resamples=400)
    assert found.standard_error == pytest.approx(1 / (1 - phi) / n**0.5, rel=0.15)
    assert found.standard_error == pytest.approx(
        mean_inference(values).standard_error, rel=0.15
    )


def test_the_bootstrap_is_a_test_like_the_other():
    values = np.random.default_rng(2).normal(0.02, 1.0, 400)
    values[50:60] = math.nan
    found, other = mean_inference(values, n_resamples=999), mean_inference(values)
    assert (found.mean, found.std, found.n_dates) == (other.mean, other.std, 390)
    assert found.t_statistic == pytest.approx(found.mean / found.standard_error)
    assert (found.p_value < 0.05) == found.is_significant
    assert found == mean_inference(values, n_resamples=999)
    assert found != mean_inference(values, n_resamples=999, random_state=1)
    assert mean_inference(values + 1, n_resamples=99).p_value == 0.01
    with pytest.raises(ValueError, match="`n_resamples` must be an int of at least 0"):
        mean_inference(values, n_resamples=-1)
