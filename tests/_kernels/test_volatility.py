import numpy as np
import pytest
from scipy.optimize import minimize

from skbatch._kernels.volatility import fit_log_volatility


@pytest.mark.parametrize("ridge", [0.0, 300.0, np.array([10.0, 300.0, 3000.0])])
def test_the_fit_minimises_the_penalised_likelihood(ridge):
    rng = np.random.default_rng(0)
    base, inputs = rng.normal(-4, 0.3, 400), rng.standard_normal((400, 2))
    truth = np.array([0.2, 0.5, -0.3])
    sigma = np.exp(base + truth[0] + inputs @ truth[1:])
    squares = (sigma * rng.standard_normal(400)) ** 2

    def loss(coef):
        eta = base + coef[0] + inputs @ coef[1:]
        penalty = (ridge * coef**2).sum() / 2
        return (0.5 * squares * np.exp(-2 * eta) + eta).sum() + penalty

    expected = minimize(loss, np.zeros(3), tol=1e-12).x
    found = fit_log_volatility(base, inputs, squares, ridge)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if np.all(ridge == 0):
        np.testing.assert_allclose(found, truth, atol=0.15)


def test_one_crash_moves_little():
    rng = np.random.default_rng(0)
    base, inputs = np.full(500, -4.0), rng.standard_normal((500, 1))
    squares = np.exp(-8.0) * rng.standard_normal(500) ** 2
    before = fit_log_volatility(base, inputs, squares, 10.0)
    squares[3] *= 1e9
    after = fit_log_volatility(base, inputs, squares, 10.0)
    assert np.abs(after - before).max() < 0.1
