"""Rolling statistics of one series against pandas, and what series share."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch.feature_extraction._rolling import Presence, Rolling

N_DATES = 150
STATISTICS = ["mean", "variance", "skewness", "maximum", "minimum"]
PANDAS = dict(zip(STATISTICS, ["mean", "var", "skew", "max", "min"], strict=True))
seeds = st.integers(0, 2**32 - 1)
windows = st.sampled_from([3, 5, 10, 21, 63, 64, 126])
patient = settings(max_examples=30)


def series(seed, missing, n_tickers=4):
    """Simulate returns; missing values are scattered, or the same for all tickers."""
    rng = np.random.default_rng(seed)
    values = 0.02 * rng.standard_normal((N_DATES, n_tickers))
    if missing == "scattered":
        values[rng.random(values.shape) < 0.2] = np.nan
        values[:70, 0] = np.nan
    if missing == "dates":
        values[rng.random(N_DATES) < 0.2] = np.nan
    if missing == "first":
        values[0] = np.nan
    return values


@pytest.mark.parametrize("missing", ["none", "first", "dates", "scattered"])
@pytest.mark.parametrize("statistic", STATISTICS)
@patient
@given(seed=seeds, window=windows)
def test_statistics_are_those_of_pandas(statistic, missing, seed, window):
    values = series(seed, missing)
    least = max(3 if statistic == "skewness" else 2, -(-window // 2))
    rolling = pd.DataFrame(values).rolling(window, min_periods=least)
    expected = getattr(rolling, PANDAS[statistic])().to_numpy()
    with np.errstate(all="ignore"):
        actual = getattr(Rolling(values), statistic)(window)
    tolerance = 1e-12 + 1e-7 * np.abs(expected)
    if statistic == "skewness":
        # Sums of cubes lose what the mean is larger than the deviation, three times:
        # of values that are nearly equal, more than 1e-7.
        excess = np.abs(rolling.mean()) / rolling.std(ddof=0)
        tolerance += 64 * np.finfo(float).eps * excess.to_numpy() ** 3
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    known = ~np.isnan(expected)
    assert (np.abs(actual - expected)[known] <= tolerance[known]).all()


@patient
@given(seed=seeds, rows=st.sets(st.integers(0, N_DATES - 1), min_size=1).map(sorted))
def test_wanted_rows_are_those_of_all(seed, rows):
    values = series(seed, "scattered")
    for wanted in (np.array(rows), slice(rows[0], rows[-1] + 1)):
        some, all_rows = Rolling(values, rows=wanted), Rolling(values)
        with np.errstate(all="ignore"):
            for statistic in (*STATISTICS, "sum"):
                expected = getattr(all_rows, statistic)(10)
                pairs = (some, expected[wanted]), (some.everywhere, expected)
                for own, part in pairs:
                    actual = getattr(own, statistic)(10)
                    np.testing.assert_array_equal(actual, part)
            expected = all_rows.decayed_mean(10, 0.9)
            np.testing.assert_array_equal(some.decayed_mean(10, 0.9), expected[wanted])
            np.testing.assert_array_equal(
                some.everywhere.decayed_mean(10, 0.9), expected
            )


@pytest.mark.parametrize("missing", ["none", "first", "dates"])
@patient
@given(seed=seeds, window=windows)
def test_complete_tickers_are_computed_as_beside_one_that_is_not(missing, seed, window):
    values = series(seed, missing)
    beside = np.hstack([values, series(seed, "scattered", 1)])
    assert Presence(np.isfinite(values)).is_common
    assert not Presence(np.isfinite(beside)).is_common
    with np.errstate(all="ignore"):
        for statistic in STATISTICS:
            alone = getattr(Rolling(values), statistic)(window)
            among = getattr(Rolling(beside), statistic)(window)[:, :4]
            np.testing.assert_array_equal(
                np.ascontiguousarray(among).view(np.uint64), alone.view(np.uint64)
            )
        alone = Rolling(values).decayed_mean(window, 0.9)
        among = Rolling(beside).decayed_mean(window, 0.9)[:, :4]
        np.testing.assert_array_equal(among, alone)


@patient
@given(seed=seeds, chosen=st.lists(windows, min_size=1, max_size=4))
def test_a_window_does_not_depend_on_others(seed, chosen):
    values = series(seed, "scattered")
    shared = Rolling(values)
    with np.errstate(all="ignore"):
        for window in chosen:
            for statistic in STATISTICS:
                alone = getattr(Rolling(values), statistic)(window)
                actual = getattr(shared, statistic)(window)
                np.testing.assert_array_equal(actual, alone)


def test_infinite_values_are_missing():
    values = series(0, "none")
    missing = values.copy()
    values[[5, 90], [1, 2]] = np.inf, -np.inf
    missing[[5, 90], [1, 2]] = np.nan
    for statistic in ("mean", "variance", "maximum", "minimum"):
        np.testing.assert_array_equal(
            getattr(Rolling(values), statistic)(10),
            getattr(Rolling(missing), statistic)(10),
        )
