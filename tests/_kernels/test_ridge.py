import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from skbatch._kernels import ridge
from skbatch._kernels.ridge import (
    linear_forecast,
    moments,
    normal_equations,
    part_moments,
    path_errors,
    ridge_path,
    solved_path,
    standardize,
)

NAN = np.nan
ALPHAS = np.array([1e-3, 0.1, 10.0])


def make_inputs(n_rows, n_inputs, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(3.0, 2.0, (n_rows, n_inputs)).astype(np.float32)
    X[random.uniform(size=X.shape) < 0.1] = NAN
    return X, random.normal(0, 1, (n_rows, 2))


def scikit_learn_ridge(X, Y, alpha):
    """Coefficients of sklearn's own standardizer and ridge, mean-imputed."""
    scores = StandardScaler().fit_transform(X.astype(np.float64))
    scores = np.clip(np.where(np.isnan(scores), 0.0, scores), -5, 5)
    model = Ridge(alpha=alpha * len(X), fit_intercept=False, solver="svd")
    return model.fit(scores, Y).coef_.T


@pytest.mark.parametrize(("n_rows", "n_inputs"), [(60, 7), (7, 7), (9, 40), (2, 3)])
def test_path_is_scikit_learns_ridge_at_every_penalty(n_rows, n_inputs):
    X, Y = make_inputs(n_rows, n_inputs)
    path = ridge_path(X, Y, *moments([part_moments(X)]), ALPHAS)
    assert path.shape == (3, n_inputs, 2)
    for coef, alpha in zip(path, ALPHAS, strict=True):
        np.testing.assert_allclose(coef, scikit_learn_ridge(X, Y, alpha), atol=1e-10)


def test_path_of_collinear_inputs_is_the_minimum_norm_one():
    X, Y = make_inputs(50, 3)
    X = np.hstack([X, X, np.full((50, 1), 4.0, np.float32)])
    coef = ridge_path(X, Y, *moments([part_moments(X)]), np.array([1e-6]))[0]
    np.testing.assert_allclose(coef[:3], coef[3:6], atol=1e-8)
    np.testing.assert_allclose(coef, scikit_learn_ridge(X, Y, 1e-6), atol=1e-8)
    assert (coef[6] == 0).all()


def test_blocks_of_rows_sum_to_the_whole(monkeypatch):
    X, Y = make_inputs(61, 4)
    whole = ridge_path(X, Y, *moments([part_moments(X)]), ALPHAS)
    monkeypatch.setattr(ridge, "BLOCK_CELLS", 4 * 10)
    np.testing.assert_allclose(
        ridge_path(X, Y, *moments([part_moments(X)]), ALPHAS), whole, rtol=1e-9
    )


def test_moments_are_those_of_the_finite_values():
    X, _ = make_inputs(80, 5)
    X[3, 2] = np.inf
    mean, deviation = moments([part_moments(X)])
    finite = np.where(np.isfinite(X), X, NAN).astype(np.float64)
    np.testing.assert_allclose(mean, np.nanmean(finite, axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, np.nanstd(finite, axis=0), rtol=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6, -3e-5])
def test_constant_and_empty_columns_have_no_deviation_and_become_zero(level):
    X = np.full((1001, 2), np.float32(level))
    X[:, 1] = NAN
    X[::3, 0] = NAN
    mean, deviation = moments([part_moments(X)])
    np.testing.assert_allclose(mean, [np.float32(level), 0.0], rtol=1e-12)
    assert (deviation == 0).all()
    assert (standardize(X + np.float32(level) + 1, mean, deviation) == 0).all()


def test_the_rounding_noise_of_a_constant_is_no_deviation():
    X = np.full((1000, 1), np.float32(123.4))
    X[7] = np.nextafter(X[7], np.float32(200))
    mean, deviation = moments([part_moments(X)])
    assert deviation[0] == 0
    assert mean[0] == pytest.approx(123.4)


def test_moments_of_a_small_spread_on_a_high_level_survive():
    random = np.random.default_rng(0)
    X = (1e4 + random.normal(0, 1, (500, 1))).astype(np.float32)
    assert moments([part_moments(X)])[1][0] == pytest.approx(1.0, rel=0.1)


@given(st.integers(0, 2**32 - 1))
def test_scores_are_clipped_standardised_and_imputed_by_the_mean(seed):
    random = np.random.default_rng(seed)
    X = random.standard_t(2, (40, 3)).astype(np.float32)
    X[random.uniform(size=X.shape) < 0.2] = NAN
    mean, deviation = random.normal(0, 1, 3), np.array([0.1, 1.0, 0.0])
    scores = standardize(X, mean, deviation)
    for (row, column), score in np.ndenumerate(scores):
        value = float(X[row, column])
        if np.isnan(value) or column == 2:
            assert score == 0
        else:
            expected = max(-5.0, min(5.0, (value - mean[column]) / deviation[column]))
            assert score == pytest.approx(expected, abs=1e-12)


def test_inputs_are_left_as_they_were():
    X, Y = make_inputs(30, 4)
    before = X.copy(), Y.copy()
    standardize(X, *moments([part_moments(X)]))
    ridge_path(X, Y, *moments([part_moments(X)]), ALPHAS)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


@pytest.mark.parametrize("shape", [(7,), (7, 5)])
def test_forecasts_are_the_matrix_product_row_by_row(shape, monkeypatch):
    monkeypatch.setattr(ridge, "BLOCK_CELLS", 7 * 16)  # several blocks
    random = np.random.default_rng(0)
    X, coef = random.standard_normal((50, 7)), random.standard_normal(shape)
    mean, deviation = random.standard_normal(7), random.uniform(0.5, 1, 7)
    forecast = linear_forecast(X, mean, deviation, coef)
    expected = standardize(X, mean, deviation) @ coef
    np.testing.assert_allclose(forecast, expected, rtol=1e-12, atol=1e-14)
    for row in range(50):
        one = np.asfortranarray(X[row : row + 1])
        alone = linear_forecast(one, mean, deviation, coef)
        np.testing.assert_array_equal(alone[0], forecast[row])


def test_errors_of_a_path_are_sums_over_known_pairs(monkeypatch):
    monkeypatch.setattr(ridge, "BLOCK_CELLS", 4 * 16)
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((50, 4)), random.standard_normal((50, 3))
    path = random.standard_normal((2, 4, 3))
    Y[random.uniform(size=Y.shape) < 0.3] = NAN
    path[:, :, 2] = NAN  # an output that had no label in training
    mean, deviation = np.zeros(4), np.ones(4)
    expected = [
        sum(
            (Y[row, column] - np.clip(X[row], -5, 5) @ coef[:, column]) ** 2
            for row in range(50)
            for column in range(2)
            if np.isfinite(Y[row, column])
        )
        for coef in path
    ]
    np.testing.assert_allclose(
        path_errors(X, Y, mean=mean, deviation=deviation, path=path), expected
    )
    nothing = path_errors(
        X, np.full_like(Y, NAN), mean=mean, deviation=deviation, path=path
    )
    assert np.isnan(nothing).all()


@given(
    cuts=st.lists(st.integers(0, 60), max_size=4),
    level=st.floats(-1e3, 1e3),
    seed=st.integers(0, 2**16),
)
def test_parts_of_the_rows_give_what_all_rows_give(cuts, level, seed):
    """Moments are NumPy's of all rows, and the path is that of one table."""
    rng = np.random.default_rng(seed)
    X = level + rng.standard_normal((60, 3))
    X[rng.random(X.shape) < 0.2] = np.nan
    Y = rng.standard_normal((60, 1))
    edges = [0, *sorted(cuts), 60]
    parts = [slice(*edge) for edge in itertools.pairwise(edges)]
    mean, deviation = moments([part_moments(X[rows]) for rows in parts])
    np.testing.assert_allclose(mean, np.nanmean(X, axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(deviation, np.nanstd(X, axis=0), rtol=1e-7)
    equations = [
        normal_equations(X[r], Y[r], mean=mean, deviation=deviation) for r in parts
    ]
    path = solved_path(equations, 60, ALPHAS)
    expected = ridge_path(X, Y, mean, deviation, ALPHAS)
    np.testing.assert_allclose(path, expected, rtol=1e-7, atol=1e-12)
