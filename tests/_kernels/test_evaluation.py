"""Sorted portfolios and long-run variances against slow, readable references."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch._kernels.evaluation import (
    bandwidth,
    critical_value,
    long_run_variance,
    quantile_means,
    rank_weights,
    weighted_returns,
)


def slow_long_run_variance(values, lags):
    """The textbook's double sum over all pairs of dates."""
    known = [t for t, value in enumerate(values) if math.isfinite(value)]
    mean = sum(values[t] for t in known) / len(known)
    total = 0.0
    for t in known:
        for s in known:
            if abs(t - s) <= lags:
                weight = 1 - abs(t - s) / (lags + 1)
                total += weight * (values[t] - mean) * (values[s] - mean)
    return total / len(known) ** 2


def slow_quantile_means(actual, forecast, n_quantiles):
    rows = []
    for returns, scores in zip(actual, forecast, strict=True):
        pairs = [
            (score, value)
            for score, value in zip(scores, returns, strict=True)
            if math.isfinite(score) and math.isfinite(value)
        ]
        ordered = [score for score, _ in pairs]
        if len(pairs) < max(3, n_quantiles) or len(set(ordered)) == 1:
            rows.append([math.nan] * n_quantiles)
            continue
        bounds = np.quantile(ordered, [k / n_quantiles for k in range(n_quantiles + 1)])
        rows.append([])
        for low, high in itertools.pairwise(bounds):
            inside = [v for s, v in pairs if low - 1e-9 <= s <= high + 1e-9]
            rows[-1].append(sum(inside) / len(inside) if inside else math.nan)
    return np.array(rows)


def table(seed, shape=(30, 12), missing=0.2):
    random = np.random.default_rng(seed)
    values = random.normal(size=shape)
    values[random.uniform(size=shape) < missing] = np.nan
    return values


@pytest.mark.parametrize("lags", [0, 1, 4, 29, 200])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_variance_is_the_double_sum_over_pairs_of_dates(lags, missing):
    values = table(0, (60, 1), missing)[:, 0]
    expected = slow_long_run_variance(values, lags)
    assert long_run_variance(values, lags) == pytest.approx(max(expected, 0), abs=1e-12)


def test_variance_without_lags_is_that_of_independent_values():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    assert long_run_variance(values, 0) == pytest.approx(values.var() / 4)


@given(st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_variance_is_never_negative(seed, lags):
    assert long_run_variance(table(seed, (25, 1))[:, 0], lags) >= 0


def test_variance_of_nothing_is_unknown():
    assert math.isnan(long_run_variance(np.full(5, np.nan), 2))


@pytest.mark.parametrize(
    ("n_dates", "horizon", "lags"),
    [(100, 1, 13), (100, 5, 13), (100, 21, 40), (1250, 5, 46), (3, 21, 2), (1, 1, 0)],
)
def test_bandwidth_follows_the_longer_of_both_rules(n_dates, horizon, lags):
    # ⌈1.3 √100⌉ = 13; 2 (21 − 1) = 40; ⌈1.3 √1250⌉ = ⌈45.96⌉.
    assert bandwidth(n_dates, horizon) == lags


def test_critical_value_is_normal_without_lags_and_grows_with_them():
    assert critical_value(10**9, 0) == pytest.approx(1.96, abs=1e-6)
    # Kiefer and Vogelsang (2005), table 1, Bartlett: b = 0.1 gives 2.2605.
    assert critical_value(1000, 99) == pytest.approx(2.2606, abs=1e-3)


def test_overlapping_returns_seldom_look_significant():
    """Of means of independent returns over 5 rows, about one in 20 is called real."""
    random = np.random.default_rng(0)
    rejected, naive = 0, 0
    for _ in range(400):
        sums = np.cumsum(random.normal(size=605))
        values = sums[5:] - sums[:-5]
        lags = bandwidth(600, 5)
        t = abs(values.mean()) / long_run_variance(values, lags) ** 0.5
        rejected += t > critical_value(600, lags)
        naive += abs(values.mean()) / long_run_variance(values, 0) ** 0.5 > 1.96
    assert 0.02 <= rejected / 400 <= 0.09
    assert naive / 400 > 0.25


@pytest.mark.parametrize("n_quantiles", [2, 3, 5, 12])
def test_bins_are_those_of_a_slow_loop(n_quantiles):
    actual, forecast = table(1), np.round(table(2), 1)  # with ties
    expected = slow_quantile_means(actual, forecast, n_quantiles)
    np.testing.assert_allclose(
        quantile_means(actual, forecast, n_quantiles), expected, rtol=1e-12
    )


def test_dates_whose_forecasts_do_not_differ_have_no_bins():
    actual = np.arange(10.0).reshape(2, 5)
    forecast = np.array([[0.1] * 5, [1, 2, 3, 4, np.inf]])
    assert np.isnan(quantile_means(actual, forecast, 2)[0]).all()
    assert np.isfinite(quantile_means(actual, forecast, 2)[1]).all()
    assert quantile_means(actual[:0], forecast[:0], 2).shape == (0, 2)


def test_rank_weights_by_hand():
    # Ranks 1, 3, 2 less 2 are −1, 1, 0; their absolute sum of 2 is the gross of 2.
    np.testing.assert_allclose(
        rank_weights(np.array([[0.1, 9.0, 0.2, np.nan]])), [[-1.0, 1.0, 0.0, 0.0]]
    )


@given(st.integers(0, 2**32 - 1))
def test_rank_weights_are_one_unit_long_and_one_short(seed):
    forecast = np.round(table(seed, (8, 6), 0.3), 1)
    weights = rank_weights(forecast)
    some = np.isfinite(weights).any(axis=1)
    np.testing.assert_allclose(weights[some].clip(min=0).sum(axis=1), 1.0)
    np.testing.assert_allclose(weights[some].clip(max=0).sum(axis=1), -1.0)
    few = np.isfinite(forecast).sum(axis=1) < 3
    assert np.isnan(weights[few]).all()


def test_a_ticker_without_a_return_earns_nothing():
    weights = np.array([[-1.0, 1.0], [-1.0, 1.0], [np.nan, np.nan]])
    actual = np.array([[0.1, np.nan], [np.nan, np.nan], [0.1, 0.2]])
    np.testing.assert_allclose(
        weighted_returns(weights, actual), [-0.1, np.nan, np.nan]
    )
