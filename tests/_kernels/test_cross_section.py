"""Cross-sectional kernels against pandas, and their indifference to order."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch._kernels.cross_section import (
    by_group,
    centred_rank,
    row_deviation,
    row_mean,
    row_sum,
)

seeds = st.integers(0, 2**32 - 1)
# Without the time limit per example, which a busy machine exceeds.
patient = settings(max_examples=60)


def random_values(seed, shape=(7, 23), missing=0.3):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 8, shape)
    values[rng.random(shape) < missing] = np.nan
    values[rng.random(shape) < 0.1] = 1.25  # ties
    return values


@patient
@given(seeds)
def test_statistics_are_those_of_pandas(seed):
    values = random_values(seed)
    frame = pd.DataFrame(values)
    total, count = row_sum(values)
    np.testing.assert_allclose(total, frame.sum(axis=1), rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(count, frame.count(axis=1))
    np.testing.assert_allclose(row_mean(values), frame.mean(axis=1), 1e-9, 1e-6)
    np.testing.assert_allclose(row_deviation(values), frame.std(axis=1), rtol=1e-9)


@patient
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50), st.integers(0, 60))
def test_sums_are_those_of_exact_arithmetic(values, n_missing):
    expected = math.fsum(values)
    (total,), (count,) = row_sum(np.array([values + [np.nan] * n_missing]))
    assert count == len(values)
    left_out = len(values) * max(map(abs, values)) * 2.0**-72
    tolerance = np.spacing(abs(expected)) + left_out + 2.0**-1060
    assert abs(total - expected) <= tolerance


def test_sums_of_many_tickers_are_those_of_exact_arithmetic():
    values = random_values(7, (20, 2**16), missing=0.1)
    expected = [math.fsum(row[np.isfinite(row)]) for row in values]
    total, _ = row_sum(values)
    left_out = 2.0**-56 * np.nanmax(np.abs(values), axis=1)
    assert (np.abs(total - expected) <= np.spacing(np.abs(expected)) + left_out).all()


def test_missing_tickers_change_no_bit():
    values = random_values(8, (50, 30))
    more = np.full((50, 700), np.nan)
    more[:, 100:700:20] = values
    for statistic in (row_mean, row_deviation):
        np.testing.assert_array_equal(statistic(more), statistic(values))


@patient
@given(seeds)
def test_rank_is_that_of_pandas(seed):
    frame = pd.DataFrame(random_values(seed))
    number = frame.count(axis=1)
    expected = frame.rank(axis=1).sub(1).div(number - 1, axis=0) - 0.5
    expected = expected[number >= 2]
    ranks = centred_rank(frame.to_numpy())[number >= 2]
    np.testing.assert_allclose(ranks, expected, atol=1e-12)


@pytest.mark.parametrize(
    "statistic",
    [row_mean, row_deviation, lambda values: row_sum(values)[0]],
    ids=["mean", "deviation", "sum"],
)
@patient
@given(seed=seeds)
def test_the_order_of_tickers_does_not_change_a_bit(statistic, seed):
    values = random_values(seed)
    order = np.random.default_rng(seed).permutation(values.shape[1])
    np.testing.assert_array_equal(statistic(values), statistic(values[:, order]))


@patient
@given(seed=seeds, start=st.integers(0, 6))
def test_a_date_does_not_depend_on_the_others(seed, start):
    values = random_values(seed, (7, 300))
    np.testing.assert_array_equal(row_mean(values)[start:], row_mean(values[start:]))


def test_dates_with_too_few_values_are_missing():
    values = np.array([[np.nan, np.nan, np.nan], [1.0, np.nan, np.nan], [1, 2, 4]])
    np.testing.assert_array_equal(row_mean(values), [np.nan, 1.0, 7 / 3])
    np.testing.assert_array_equal(row_mean(values, 2), [np.nan, np.nan, 7 / 3])
    assert np.isnan(row_deviation(values)[:2]).all()
    assert np.isnan(centred_rank(values)[:2]).all()
    np.testing.assert_array_equal(centred_rank(values)[2], [-0.5, 0, 0.5])


def test_infinite_values_are_left_out_of_sums():
    np.testing.assert_array_equal(row_mean(np.array([[1.0, np.inf, 3.0]])), [2.0])


@patient
@given(seed=seeds)
def test_groups_are_those_of_pandas(seed):
    values = random_values(seed, missing=0.1)
    groups = np.random.default_rng(seed).integers(-1, 4, values.shape[1])
    frame = pd.DataFrame(values)
    grouped = frame.T.groupby(np.where(groups < 0, np.nan, groups))
    means = by_group(row_mean, values, groups)
    np.testing.assert_allclose(means, grouped.transform("mean").T, 1e-9, 1e-6)
    ranks = by_group(centred_rank, values, groups)
    number = grouped.transform("count").T
    expected = (grouped.rank().T - 1) / (number.where(number > 1) - 1) - 0.5
    np.testing.assert_allclose(ranks, expected, atol=1e-12)
