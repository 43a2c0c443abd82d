import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skbatch._kernels import distributions
from skbatch._kernels.distributions import (
    quantile_loss,
    rank_bin_membership,
    ranked_probability,
    sample_crps,
)


def test_quantile_loss_weighs_the_sides():
    actual, forecast = np.array([1.0, -1.0, np.nan]), np.zeros(3)
    assert quantile_loss(actual, forecast, 0.9)[:2] == pytest.approx([0.9, 0.1])
    assert np.isnan(quantile_loss(actual, forecast, 0.9)[2])


@given(
    returns=st.lists(st.integers(-3, 3), min_size=1, max_size=25),
    n_bins=st.integers(1, 7),
)
def test_membership_fills_bins_equally_and_treats_ties_alike(returns, n_bins):
    values = np.array(returns, dtype=float)
    table = rank_bin_membership(values, n_bins)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(table.sum(axis=0), len(values) / n_bins)
    for value in set(returns):
        rows = table[values == value]
        np.testing.assert_allclose(rows, rows[:1].repeat(len(rows), axis=0))


def test_membership_is_one_where_ranks_are_whole():
    returns = np.array([0.5, -1.0, 0.1, 2.0])
    expected = [[0, 1], [1, 0], [1, 0], [0, 1]]
    np.testing.assert_allclose(rank_bin_membership(returns, 2), expected, atol=1e-12)


def test_ranked_probability_by_hand():
    # Rank 1 of 5 with equal chances: 1/5 · (0.8² + 0.6² + 0.4² + 0.2²) = 0.24.
    scores = ranked_probability(np.eye(5), np.full((5, 5), 0.2))
    expected = [
        0.2**2 + 0.4**2 + 0.6**2 + 0.8**2,
        0.2**2 + 0.6**2 + 0.4**2 + 0.2**2,
        0.2**2 + 0.4**2 + 0.4**2 + 0.2**2,
        0.2**2 + 0.4**2 + 0.6**2 + 0.2**2,
        0.2**2 + 0.4**2 + 0.6**2 + 0.8**2,
    ]
    np.testing.assert_allclose(scores, np.array(expected) / 5)
    assert scores.mean() == pytest.approx(0.16)


@pytest.mark.parametrize("fair", [True, False])
@pytest.mark.parametrize("max_cells", [2**22, 40])
def test_crps_agrees_with_all_pairs(fair, max_cells, monkeypatch):
    monkeypatch.setattr(distributions, "MAX_CELLS", max_cells)
    random = np.random.default_rng(0)
    actual, samples = random.standard_normal(5), random.standard_normal((20, 5))
    pairs = np.abs(samples[:, None] - samples[None]).sum(axis=(0, 1))
    count = 20 * 19 if fair else 400
    expected = np.abs(samples - actual).mean(axis=0) - pairs / (2 * count)
    np.testing.assert_allclose(sample_crps(actual, samples, fair), expected)


def test_crps_of_a_normal_has_a_closed_form():
    # Gneiting and Raftery (2007), equation 21.
    samples = np.random.default_rng(0).normal(0.5, 2.0, (400_000, 1))
    z = (1.7 - 0.5) / 2.0
    density, cumulative = stats.norm.pdf(z), stats.norm.cdf(z)
    expected = 2.0 * (z * (2 * cumulative - 1) + 2 * density - 1 / np.sqrt(np.pi))
    found = sample_crps(np.array([1.7]), samples, True)
    assert found == pytest.approx(expected, abs=0.01)


def test_fair_crps_does_not_depend_on_the_number_of_draws():
    random = np.random.default_rng(0)
    actual = random.standard_normal(20_000)
    few, many = (
        sample_crps(actual, random.standard_normal((size, 20_000)), True).mean()
        for size in (3, 60)
    )
    # 1/√π for a standard normal forecast of a standard normal.
    assert few == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)
    assert many == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)
