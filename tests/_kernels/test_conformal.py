import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from skbatch._kernels.conformal import (
    LEVELS,
    adapted_levels,
    calmer_factors,
    corrected_levels,
    independent_dates,
    shrunken_deviation,
)

NAN = np.nan


def test_levels_are_those_of_split_conformal_prediction():
    # 19 scores: the central 90% takes the level 0.9 · 20 / 19.
    low, high = corrected_levels(np.array([0.05, 0.95]), 19)
    assert high - low == pytest.approx(0.9 * 20 / 19)
    assert low + high == pytest.approx(1)
    assert corrected_levels(np.array([0.5]), 3) == pytest.approx(0.5)
    # No further than to half of the chance that the level leaves.
    assert corrected_levels(np.array([0.01, 0.99]), 2).tolist() == [0.005, 0.995]
    np.testing.assert_allclose(corrected_levels(LEVELS, 1e12), LEVELS, atol=1e-9)


@pytest.mark.parametrize("horizon", [1, 2, 5, 20])
def test_overlapping_returns_are_worth_fewer_dates(horizon):
    gaps = 1 - np.arange(1, horizon) / horizon
    expected = 600 / (1 + 2 * (gaps**2).sum())
    assert independent_dates(600, horizon) == pytest.approx(expected)


def test_the_spread_of_overlapping_returns_varies_as_that_of_fewer_dates():
    random = np.random.default_rng(0)
    steps = random.standard_normal((4000, 304))
    labels = np.lib.stride_tricks.sliding_window_view(steps, 5, axis=1).sum(axis=2)
    squares = (labels**2).mean(axis=1)
    # The mean of n squared normals of variance 5 has the variance 50 / n.
    assert 50 / squares.var() == pytest.approx(independent_dates(300, 5), rel=0.08)


def slow_adaptation(scores, pooled, step):
    """Gibbs and Candès (2021), equation 2, level by level and date by date."""
    found = []
    for target in LEVELS[1:-1]:
        level = target
        for row in scores:
            row = [score for score in row if np.isfinite(score)]
            if not row:
                continue
            places = [np.mean(pooled <= score) for score in row]
            share = np.mean([place <= level for place in places])
            level = min(1, max(0, level + step * (target - share)))
        found.append(level)
    return [0, *sorted(found), 1]


@pytest.mark.parametrize("step", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("decimals", [0, 20])  # with ties, and without
def test_adaptation_is_that_of_a_slow_reference(step, decimals):
    scores = np.random.default_rng(0).standard_t(3, (30, 7)).round(decimals)
    scores[np.random.default_rng(1).random(scores.shape) < 0.2] = NAN
    scores[4] = NAN
    pooled = np.sort(scores[np.isfinite(scores)])
    np.testing.assert_allclose(
        adapted_levels(scores, pooled, step), slow_adaptation(scores, pooled, step)
    )


def test_spreading_scores_move_levels_outwards():
    growth = np.linspace(0.5, 2, 200)[:, None]
    scores = growth * np.random.default_rng(0).standard_normal((200, 50))
    levels = adapted_levels(scores, np.sort(scores.ravel()), 0.02)
    low, high = np.interp([0.05, 0.95], LEVELS, levels)
    assert low < 0.03
    assert high > 0.97


@given(
    scores=npst.arrays(np.float64, (12, 3), elements=st.floats(-5, 5) | st.just(NAN)),
    step=st.floats(0, 1),
)
def test_adapted_levels_never_cross(scores, step):
    pooled = np.sort(scores[np.isfinite(scores)])
    if len(pooled):
        levels = adapted_levels(scores, pooled, step)
        assert (np.diff(levels) >= 0).all()
        assert (levels[0], levels[-1]) == (0, 1)


def test_short_columns_are_drawn_to_the_typical_deviation():
    residuals = np.full((40, 4), NAN)
    residuals[:, 0] = 1.0
    residuals[:, 1] = 3.0
    residuals[:10, 2] = 5.0
    # Mean squares 1, 9, 25 with median 9, which counts for ten residuals.
    expected = [np.sqrt(130 / 50), 3.0, np.sqrt(340 / 20), NAN]
    np.testing.assert_allclose(shrunken_deviation(residuals), expected)


def test_nothing_has_no_deviation():
    assert np.isnan(shrunken_deviation(np.zeros((5, 2)))).all()
    assert np.isnan(shrunken_deviation(np.full((5, 2), NAN))).all()


def slow_factors(scores, worth):
    """Sums of sizes over those of each date's mean, where that is significant."""
    sizes, means = np.abs(scores), np.full(len(scores), NAN)
    for date, row in enumerate(sizes):
        if np.isfinite(row).any():
            sizes[date] = row = np.minimum(row, 3 * np.nanmean(row))
            means[date] = np.nanmean(row)
    known = np.isfinite(sizes)
    weights = worth[:, None] * known
    variance = np.nansum(weights * (sizes / means[:, None] - 1) ** 2) / weights.sum()
    level = stats.norm.ppf(1 - 0.01 / known.any(axis=0).sum())
    factors = np.ones(scores.shape[1])
    for column in np.flatnonzero(known.any(axis=0)):
        weight, own, mean = (
            x[known[:, column]] for x in (worth, sizes[:, column], means)
        )
        ratio = (weight @ own) / (weight @ mean)
        error = np.sqrt(variance * (weight @ mean**2)) / (weight @ mean)
        if np.log(ratio) / error < -level:
            factors[column] = ratio
    return factors


def test_factors_are_those_of_a_slow_reference():
    random = np.random.default_rng(0)
    scores = random.standard_t(3, (150, 6)) * [0.1, 0.2, 0.9, 1, 1, 4]
    scores[random.random(scores.shape) < 0.2] = NAN
    scores[:70, 1], scores[7], scores[:, 3] = NAN, NAN, NAN
    worth = np.repeat([0.8, 0.3], 75)
    found = calmer_factors(scores, worth)
    np.testing.assert_allclose(found, slow_factors(scores, worth))
    assert found[0] < found[1] < 1
    assert found[3:].tolist() == [1, 1, 1]


def test_columns_that_are_alike_get_no_factor():
    random = np.random.default_rng(0)
    # Overlapping returns over five rows, with fat tails and shocks in common.
    steps = random.standard_t(4, (100, 304, 20)) * random.gamma(2, size=(100, 304, 1))
    labels = np.lib.stride_tricks.sliding_window_view(steps, 5, axis=1).sum(axis=-1)
    worth = np.full(300, independent_dates(1, 5))
    found = np.array([calmer_factors(world, worth) for world in labels])
    assert (found < 1).any(axis=1).mean() < 0.05
    # One that is calmer by half is found.
    labels[..., 0] *= 0.5
    found = np.array([calmer_factors(world, worth) for world in labels])
    assert np.mean(found[:, 0]) == pytest.approx(0.52, abs=0.04)
    assert (found[:, 1:] < 1).any(axis=1).mean() < 0.05


@pytest.mark.parametrize("scores", [np.ones((50, 1)), np.zeros((5, 3)), NAN, []])
def test_nothing_to_compare_with_gives_no_factor(scores):
    scores = np.reshape(np.full((5, 3), NAN) if scores is NAN else scores, (-1, 1))
    assert (calmer_factors(scores, np.ones(len(scores))) == 1).all()
