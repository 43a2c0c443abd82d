"""Rolling kernels against pandas and brute force, and their exactness."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch._kernels.rolling import (
    central_moments,
    decay_rows,
    decayed_sum,
    decayed_sum_at,
    difference,
    enough,
    lag,
    least_count,
    window_drawdown,
    window_maximum,
    window_maximum_at,
    window_sum,
    window_sum_at,
)

shapes = st.tuples(st.integers(1, 70), st.integers(1, 3))
windows = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)
# Without the time limit per example, which a busy machine exceeds.
patient = settings(max_examples=60)


def rolling_sum(values, window):
    return window_sum({1: values}, window)


def rolling_maximum(values, window):
    return window_maximum({1: values}, window)


def random_values(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape)


@patient
@given(seeds, shapes, windows)
def test_sum_is_that_of_pandas(seed, shape, window):
    values = random_values(seed, shape)
    expected = pd.DataFrame(values).rolling(window, min_periods=1).sum()
    np.testing.assert_allclose(rolling_sum(values, window), expected, atol=1e-12)


@patient
@given(seeds, shapes, windows)
def test_maximum_is_that_of_pandas(seed, shape, window):
    values = random_values(seed, shape)
    expected = pd.DataFrame(values).rolling(window, min_periods=1).max()
    np.testing.assert_array_equal(rolling_maximum(values, window), expected)


@patient
@given(seeds, shapes, windows, st.integers(0, 60))
def test_a_sum_is_the_same_wherever_the_table_starts(seed, shape, window, start):
    values = random_values(seed, shape)
    start = min(start, len(values) - 1)
    whole, part = rolling_sum(values, window), rolling_sum(values[start:], window)
    np.testing.assert_array_equal(whole[start + window - 1 :], part[window - 1 :])


@patient
@given(seeds, shapes, windows, st.integers(0, 60))
def test_a_maximum_is_the_same_wherever_the_table_starts(seed, shape, window, start):
    values = random_values(seed, shape)
    start = min(start, len(values) - 1)
    whole = rolling_maximum(values, window)
    part = rolling_maximum(values[start:], window)
    np.testing.assert_array_equal(whole[start + window - 1 :], part[window - 1 :])


@patient
@given(seeds, shapes, windows, st.data())
def test_some_rows_alone_have_the_bits_that_they_have_among_all(
    seed, shape, window, data
):
    values = random_values(seed, shape)
    rows = np.array(
        sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1)))
    )
    decay = 1 - 1 / (1 + window)
    missing = np.where(values > 1, np.nan, values)
    for all_rows, some in (
        (rolling_sum(values, window), window_sum_at(values, window, rows)),
        (rolling_maximum(values, window), window_maximum_at(values, window, rows)),
        (decayed_sum(missing, decay), decayed_sum_at(missing, decay, rows)),
    ):
        np.testing.assert_array_equal(all_rows[rows], some)


@pytest.mark.parametrize(
    ("window_statistic", "alone"),
    [(window_sum, rolling_sum), (window_maximum, rolling_maximum)],
    ids=["sum", "maximum"],
)
@patient
@given(seed=seeds, others=st.lists(windows, min_size=1, max_size=5))
def test_a_window_does_not_depend_on_others(window_statistic, alone, seed, others):
    values = random_values(seed, (50, 2))
    original = values.copy()
    shared = {1: values}
    for window in others:
        actual = window_statistic(shared, window)
        np.testing.assert_array_equal(actual, alone(original, window))
    for window in others:  # and what was given before is still the same
        actual = window_statistic(shared, window)
        np.testing.assert_array_equal(actual, alone(original, window))
    np.testing.assert_array_equal(values, original)


@patient
@given(seeds, shapes, windows, st.floats(0, 0.5))
def test_missing_values_count_for_nothing(seed, shape, window, share):
    values = random_values(seed, shape)
    values[np.random.default_rng(seed).random(shape) < share] = np.nan
    finite = np.isfinite(values)
    rolling = pd.DataFrame(values).rolling(window, min_periods=1)
    total = rolling_sum(np.where(finite, values, 0.0), window)
    np.testing.assert_allclose(total, rolling.sum().fillna(0), atol=1e-12)
    largest = rolling_maximum(np.where(finite, values, -np.inf), window)
    np.testing.assert_array_equal(largest, rolling.max().fillna(-np.inf))
    count = rolling_sum(finite * 1.0, window)
    np.testing.assert_array_equal(count, rolling.count())


def test_a_huge_value_leaves_no_error_behind():
    values = np.full(30, 0.1)
    values[5] = 1e20
    after = rolling_sum(values, 7)[12:]
    np.testing.assert_array_equal(after, rolling_sum(np.full(30, 0.1), 7)[12:])
    running = pd.Series(values).cumsum()
    assert np.abs((running - running.shift(7))[12:] - 0.7).max() > 0.1


@patient
@given(seeds, st.floats(0.05, 0.3), st.integers(1, 700))
def test_decayed_sum_is_pandas_exponential_mean(seed, alpha, n_dates):
    values = random_values(seed, (n_dates, 2))
    values[np.random.default_rng(seed).random(values.shape) < 0.2] = np.nan
    ratio = decayed_sum(values, 1 - alpha)
    with np.errstate(invalid="ignore"):
        ratio /= decayed_sum(np.where(np.isnan(values), np.nan, 1.0), 1 - alpha)
    expected = pd.DataFrame(values).ewm(alpha=alpha, ignore_na=False).mean()
    np.testing.assert_allclose(ratio, expected, atol=1e-6)


@pytest.mark.parametrize("decay", [0.1, 0.8, 11 / 13, 25 / 27, 13 / 14])
def test_decay_rows_are_the_smallest_sufficient_power_of_two(decay):
    rows = decay_rows(decay)
    assert np.log2(rows) % 1 == 0
    assert decay**rows < 1e-8 <= decay ** (rows / 2)


@patient
@given(seeds, st.floats(0.1, 0.9), st.integers(0, 200))
def test_decayed_sum_is_the_same_wherever_the_table_starts(seed, decay, start):
    values = random_values(seed, 400)
    rows = decay_rows(decay)
    whole, part = decayed_sum(values, decay), decayed_sum(values[start:], decay)
    np.testing.assert_array_equal(whole[start + rows - 1 :], part[rows - 1 :])


@patient
@given(seeds, st.integers(0, 12))
def test_lag_and_difference_are_shift_and_diff(seed, rows):
    values = random_values(seed, (9, 2))
    values[3, 0] = np.nan
    frame = pd.DataFrame(values)
    np.testing.assert_array_equal(lag(values, rows), frame.shift(rows))
    np.testing.assert_array_equal(difference(values, rows), frame.diff(rows))


@patient
@given(seeds, st.integers(1, 30))
def test_drawdown_is_that_of_the_index_level(seed, window):
    log_returns = 0.1 * random_values(seed, 60)
    level = pd.Series(np.exp(np.cumsum(log_returns)))
    expected = level / level.rolling(window, min_periods=1).max()
    # The first return leads from the level before the table to its first row, which
    # a longer table would show: both count from the first row on.
    np.testing.assert_allclose(
        np.exp(window_drawdown(np.r_[np.nan, log_returns[1:]], window)), expected
    )


@pytest.mark.parametrize(
    ("window", "at_least", "expected"),
    [(2, 2, 2), (5, 2, 3), (10, 2, 5), (21, 2, 11), (4, 3, 3), (1, 1, 1)],
)
def test_half_a_window_of_values_is_enough(window, at_least, expected):
    assert least_count(window, at_least) == expected


def test_mean_is_missing_with_too_few_values():
    mean = np.array([4.0, 4.0, 0.0]) / enough(np.array([2.0, 1.0, 0.0]), 2)
    np.testing.assert_array_equal(mean, [2.0, np.nan, np.nan])


@patient
@given(seeds, st.integers(3, 40), st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_central_moments_are_those_of_numpy(seed, n, shift, scale):
    values = scale * (random_values(seed, n) + shift)
    sums = [np.array([(values**power).sum()]) for power in (1, 2, 3)]
    second, third = central_moments(np.array([float(n)]), *sums)
    centered = values - values.mean()
    variance, square = (centered**2).mean(), (values**2).mean()
    np.testing.assert_allclose(second, variance, atol=2e-14 * square)
    if variance > 1e-6 * square:
        third /= variance**1.5
        expected = (centered**3).mean() / variance**1.5
        np.testing.assert_allclose(third, expected, atol=1e-5)


@patient
@given(
    st.floats(1e-6, 1e6),
    st.sampled_from([3, 5, 21, 63, 252]),
    st.integers(0, 2**32 - 1),
)
def test_a_constant_window_has_no_variance_at_all(value, window, seed):
    # Noise in the last bits, as returns of a price that grows at a constant rate have.
    noise = np.random.default_rng(seed).integers(-2, 3, 400)
    values = value + noise * np.spacing(value)
    sums = [rolling_sum(values**power, window) for power in (1, 2, 3)]
    count = rolling_sum(np.ones(400), window)
    second, third = central_moments(enough(count, 3), *sums)
    np.testing.assert_array_equal(second[window:], 0.0)
    assert np.isnan(third[window:]).all()


def test_moments_are_missing_with_too_few_values():
    sums = np.array([2.0, 2.0]), np.array([3.0, 3.0])
    (second,) = central_moments(enough(np.array([2.0, 1.0]), 2), *sums)
    np.testing.assert_array_equal(second, [0.5, np.nan])
    np.testing.assert_array_equal(sums, [[2.0, 2.0], [3.0, 3.0]])
