import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from skfolio.utils.stats import cs_pearson_correlation, cs_spearman_correlation
from sklearn.metrics import r2_score

from skbatch._kernels.scores import (
    cross_sectional_correlation,
    cross_sectional_rank_correlation,
    finite_mean,
    relative_squared_error,
    sign_agreement,
)


def scipy_by_date(correlation, actual, forecast):
    """Slow reference: one call of SciPy per date, on its finite pairs."""
    result = np.full(len(actual), np.nan)
    for date in range(len(actual)):
        use = np.isfinite(actual[date]) & np.isfinite(forecast[date])
        if use.sum() < 3:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.ConstantInputWarning)
            warnings.simplefilter("ignore", stats.NearConstantInputWarning)
            result[date] = correlation(actual[date, use], forecast[date, use])[0]
    return result


@pytest.fixture
def pair():
    """Returns and forecasts with ties, gaps, infinite values and thin dates."""
    rng = np.random.default_rng(0)
    actual = rng.standard_t(3, size=(60, 12)) * 0.02
    forecast = 0.1 * actual + rng.normal(size=actual.shape) * 0.01
    forecast[::3] = forecast[::3].round(2)
    actual[rng.random(actual.shape) < 0.2] = np.nan
    forecast[rng.random(actual.shape) < 0.2] = np.nan
    actual[5, 3], forecast[6, 4] = np.inf, -np.inf
    actual[7, 2:] = np.nan
    actual[8] = np.nan
    return actual, forecast


@pytest.mark.parametrize(
    ("kernel", "reference"),
    [
        (cross_sectional_correlation, stats.pearsonr),
        (cross_sectional_rank_correlation, stats.spearmanr),
    ],
)
def test_correlation_agrees_with_scipy_on_each_date(kernel, reference, pair):
    expected = scipy_by_date(reference, *pair)
    assert np.isnan(expected[[7, 8]]).all()
    np.testing.assert_allclose(kernel(*pair), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "reference"),
    [
        (cross_sectional_correlation, cs_pearson_correlation),
        (cross_sectional_rank_correlation, cs_spearman_correlation),
    ],
)
def test_correlation_agrees_with_skfolio(kernel, reference, pair):
    np.testing.assert_allclose(
        kernel(*pair), reference(*pair, axis=1), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    "kernel", [cross_sectional_correlation, cross_sectional_rank_correlation]
)
class TestCorrelation:
    @given(
        values=arrays(
            np.float64, (2, 4, 6), elements=st.integers(-50, 50).map(lambda n: n / 7)
        ),
        scale=st.floats(1e-3, 1e3),
        shift=st.floats(-10, 10),
        order=st.permutations(range(6)),
    )
    def test_laws(self, kernel, values, scale, shift, order):
        actual, forecast = values
        result = kernel(actual, forecast)
        assert np.all(np.isnan(result) | (np.abs(result) <= 1))
        np.testing.assert_array_equal(result, kernel(forecast, actual))
        # A line that rises does not change it, nor does another order of tickers.
        moved = kernel(actual, scale * forecast + shift)
        np.testing.assert_allclose(moved, result, rtol=0, atol=1e-9)
        permuted = kernel(actual[:, order], forecast[:, order])
        np.testing.assert_allclose(permuted, result, rtol=0, atol=1e-12)
        np.testing.assert_allclose(kernel(actual, -forecast), -result, atol=1e-12)

    def test_constant_side_has_none(self, kernel):
        varied = np.array([[1.0, 2.0, 3.0, 5.0]])
        for level in (0.0, 1.0, -2.5e-200, 1e300):
            constant = np.full((1, 4), level)
            assert np.isnan(kernel(varied, constant)).all()
            assert np.isnan(kernel(constant, varied)).all()
        rounding = np.array([[0.1, 0.3 / 3, 0.1 + 1e-17, np.nextafter(0.1, 1)]])
        assert np.isnan(kernel(varied, rounding)).all()

    @pytest.mark.parametrize("level", [1e-300, 1e-160, 1e160, 1e307])
    def test_extreme_levels_neither_overflow_nor_vanish(self, kernel, level):
        actual = np.array([[1.0, 2.0, 3.0, 4.0]])
        np.testing.assert_allclose(kernel(actual, level * actual), [1.0], rtol=1e-12)

    def test_huge_values_of_both_signs(self, kernel):
        actual = np.array([[-1.7e308, 0.0, 1.7e308]])
        np.testing.assert_allclose(kernel(actual, actual), [1.0], rtol=1e-12)

    def test_never_beyond_one(self, kernel):
        actual = np.random.default_rng(0).normal(size=(500, 7))
        assert np.all(kernel(actual, actual) <= 1.0)
        assert np.all(kernel(actual, -actual) >= -1.0)

    def test_small_dispersion_far_from_zero(self, kernel):
        actual = np.array([[1.0, 2.0, 3.0, 4.0]])
        np.testing.assert_allclose(kernel(actual, 1e6 + actual), [1.0], atol=1e-9)

    def test_float32_and_integers(self, kernel):
        actual = np.array([[1, 2, 3, 4]])
        forecast = np.array([[1, 2, 3, 5]], dtype=np.float32)
        expected = scipy_by_date(
            stats.pearsonr
            if kernel is cross_sectional_correlation
            else stats.spearmanr,
            actual,
            forecast,
        )
        np.testing.assert_allclose(kernel(actual, forecast), expected)

    @pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 2)])
    def test_no_pairs(self, kernel, shape):
        result = kernel(np.ones(shape), np.ones(shape))
        assert result.shape == (shape[0],)
        assert np.isnan(result).all()

    def test_input_is_not_changed(self, kernel, pair):
        before = [table.copy() for table in pair]
        kernel(*pair)
        np.testing.assert_array_equal(pair[0], before[0])
        np.testing.assert_array_equal(pair[1], before[1])


def test_rank_correlation_ranks_the_pairs_not_the_columns():
    actual = np.array([[1.0, 2.0, 3.0, np.nan, 4.0]])
    forecast = np.array([[1.0, 2.0, np.nan, 2.5, 3.0]])
    np.testing.assert_allclose(
        cross_sectional_rank_correlation(actual, forecast), [1.0]
    )


def test_relative_squared_error_agrees_with_sklearn(pair):
    actual, forecast = pair
    use = np.isfinite(actual) & np.isfinite(forecast)
    mean = np.full(actual.shape, actual[use].mean())
    np.testing.assert_allclose(
        1 - relative_squared_error(actual, forecast, mean),
        r2_score(actual[use], forecast[use]),
    )


def test_relative_squared_error_ignores_cells_without_a_benchmark():
    actual, forecast = np.array([1.0, 1.0]), np.array([0.5, 9.0])
    assert relative_squared_error(actual, forecast, np.array([0.0, np.nan])) == 0.25


def test_relative_squared_error_of_nothing():
    assert np.isnan(relative_squared_error(np.ones(2), np.zeros(2), np.ones(2)))
    assert np.isnan(relative_squared_error(np.full(2, np.nan), np.ones(2), np.ones(2)))


def test_sign_agreement_counts():
    actual = np.array([0.1, -0.1, 0.1, 0.0, np.nan, 0.2, -0.3])
    forecast = np.array([0.2, -9.0, -0.1, 0.1, 0.1, 0.0, np.nan])
    # Agree, agree, disagree, no return, no label, no side taken, no forecast.
    assert sign_agreement(actual, forecast) == 2 / 4


def test_sign_agreement_of_nothing():
    assert np.isnan(sign_agreement(np.zeros(3), np.ones(3)))


def test_finite_mean():
    assert finite_mean(np.array([1.0, np.nan, 3.0, np.inf])) == 2.0
    assert np.isnan(finite_mean(np.array([np.nan])))
    assert np.isnan(finite_mean(np.empty(0)))
