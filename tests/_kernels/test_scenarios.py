import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from skbatch._kernels.scenarios import (
    bin_weights,
    dependence,
    draw_normal,
    rank_bin_chances,
    rank_bin_shares,
    relative_scale,
    select_dependence,
)

NAN = np.nan


def make_scores(n_dates=50, n_tickers=6, seed=0):
    random = np.random.default_rng(seed)
    loading = np.linspace(0.2, 0.9, n_tickers)
    common = random.standard_normal((n_dates, 1))
    own = random.standard_normal((n_dates, n_tickers))
    return loading * common + np.sqrt(1 - loading**2) * own


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_draws_have_the_shrunken_correlations(shrinkage):
    scores = make_scores()
    draws = draw_normal(dependence(scores), 60_000, shrinkage, np.random.default_rng(1))
    # A slow reference: correlations, and loadings on the mean of standardized scores.
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    loading = np.array([np.corrcoef(column, z.mean(axis=1))[0, 1] for column in z.T])
    sample = np.corrcoef(scores, rowvar=False)
    expected = (1 - shrinkage) * sample + shrinkage * np.outer(loading, loading)
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(np.cov(draws, rowvar=False), expected, atol=0.025)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.02)


def test_outliers_do_not_own_the_correlations():
    scores = make_scores(400)
    expected = np.corrcoef(scores, rowvar=False)
    scores[7] = 1e4
    rows = dependence(scores).rows
    np.testing.assert_allclose(rows.T @ rows, expected, atol=0.15)


@pytest.mark.parametrize("n_known", [0, 19])
def test_a_ticker_with_few_scores_is_an_average_one(n_known):
    scores = make_scores()
    scores[n_known:, 2] = NAN
    given_ = dependence(scores)
    others = [0, 1, 3, 4, 5]
    mean = given_.loading[others].mean()
    assert given_.loading[2] == pytest.approx(mean)
    draws = draw_normal(given_, 60_000, 0.2, np.random.default_rng(1))
    correlation = np.corrcoef(draws, rowvar=False)[2, others]
    np.testing.assert_allclose(correlation, mean * given_.loading[others], atol=0.025)
    assert draws[:, 2].std() == pytest.approx(1, abs=0.01)


def test_a_ticker_that_was_never_seen_is_an_average_one():
    whole = dependence(make_scores())
    part = select_dependence(whole, np.array([5, -1, 0]))
    np.testing.assert_array_equal(part.rows[:, [0, 2]], whole.rows[:, [5, 0]])
    draws = draw_normal(part, 60_000, 0.2, np.random.default_rng(1))
    expected = whole.loading.mean() * whole.loading[[5, 0]]
    correlation = np.corrcoef(draws, rowvar=False)[1, [0, 2]]
    np.testing.assert_allclose(correlation, expected, atol=0.025)


def test_no_history_at_all_gives_independent_draws():
    draws = draw_normal(
        dependence(np.full((5, 3), NAN)), 50_000, 0.2, np.random.default_rng(0)
    )
    np.testing.assert_allclose(np.cov(draws, rowvar=False), np.eye(3), atol=0.03)


@given(n_tickers=st.integers(1, 60), n_bins=st.integers(1, 12))
def test_bins_are_equally_filled_and_ranks_wholly_used(n_tickers, n_bins):
    weights = bin_weights(n_tickers, n_bins)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=0), n_tickers / n_bins)
    if n_tickers % n_bins == 0:
        expected = np.repeat(np.eye(n_bins), n_tickers // n_bins, axis=0)
        np.testing.assert_allclose(weights, expected, atol=1e-9)


def test_shares_count_ranks():
    samples = np.random.default_rng(0).standard_normal((50, 6))
    expected = np.zeros((6, 3))
    for row in samples:
        for ticker, value in enumerate(row):
            expected[ticker, int((row < value).sum()) // 2] += 1
    shares = rank_bin_shares(samples, bin_weights(6, 3))
    np.testing.assert_allclose(shares, expected, atol=1e-9)


@pytest.mark.parametrize("n_bins", [1, 2, 5])
def test_chances_lie_between_quantiles_of_the_mean_distribution(n_bins):
    random = np.random.default_rng(0)
    location, scale = random.standard_normal(7), np.exp(random.standard_normal(7))
    ways = [stats.t(5, m, s) for m, s in zip(location, scale, strict=True)]
    limits = [
        brentq(lambda x, q=q: np.mean([way.cdf(x) for way in ways]) - q, -99, 99)
        for q in np.arange(1, n_bins) / n_bins
    ]
    below = [[0, *way.cdf(limits), 1] for way in ways]
    found = rank_bin_chances(location, scale, n_bins)
    np.testing.assert_allclose(found, np.diff(below), atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=0), 7 / n_bins)


def test_chances_are_those_of_many_draws():
    random = np.random.default_rng(0)
    location = 0.3 * random.standard_normal(200)
    scale = np.exp(0.5 * random.standard_normal(200))
    draws = location + scale * random.standard_t(5, (4000, 200))
    expected = rank_bin_shares(draws, bin_weights(200, 5)) / 4000
    found = rank_bin_chances(location, scale, 5)
    # Four standard errors of a share, and the limits move a little from draw to draw.
    np.testing.assert_allclose(found, expected, atol=0.035)


def test_the_scale_is_that_of_returns_relative_to_the_median_ticker():
    moves = 0.01 * np.random.default_rng(0).standard_t(5, (300, 9))
    moves[:, 1] *= 3
    moves[250:, 2] = NAN  # too few of the last 63 rows
    moves[:270, 3] = NAN
    moves[-40:, 4] = NAN
    relative = pd.DataFrame(moves).sub(np.nanmedian(moves, axis=1), axis=0).abs()
    size = np.sqrt(relative[-63:].mean() * relative[-252:].mean())
    # The mean size of a t variable with 5 degrees of freedom.
    expected = np.array(size / stats.t(5).expect(np.abs))
    expected[2] = NAN
    found = relative_scale(moves)
    np.testing.assert_allclose(found, expected)
    assert found[1] == pytest.approx(0.03, rel=0.2)


def test_prices_that_stand_still_have_no_scale():
    moves = np.random.default_rng(0).standard_normal((252, 3))
    moves[:, 1] = 0.0
    same = np.zeros((252, 3))
    assert np.isnan(relative_scale(same)).all()
    assert np.isfinite(relative_scale(moves)).all()
