"""What groups and exposures explain, beside a regression date by date."""

import numpy as np
import pytest

from skbatch._kernels.neutral import explained

NAN = np.nan


def explained_slowly(values, exposures, codes=None, weights=None):
    """Regress date by date on an intercept, exposures, and a dummy for each group."""
    codes = np.zeros(values.shape, dtype=int) if codes is None else codes
    weights = np.ones(values.shape) if weights is None else weights
    out = np.full(values.shape, NAN)
    for date in range(len(values)):
        use = np.isfinite(values[date]) & (codes[date] >= 0)
        for exposure in exposures:
            use &= np.isfinite(exposure[date])
        alone = [np.sum(codes[date, use] == code) == 1 for code in codes[date]]
        use &= ~np.array(alone)
        if not use.any():
            continue
        groups = np.unique(codes[date, use])
        dummies = (codes[date, use][:, None] == groups).astype(float)
        inputs = np.column_stack([dummies, *(e[date, use] for e in exposures)])
        root = np.sqrt(weights[date, use])
        coef, _, rank, _ = np.linalg.lstsq(
            inputs * root[:, None], values[date, use] * root, rcond=1e-6
        )
        if use.sum() > rank or not exposures:
            out[date, use] = inputs @ coef
    return out


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    values = random.normal(0, 0.02, (40, 15))
    exposures = [random.normal(3, 1, values.shape) for _ in range(2)]
    codes = random.integers(-1, 4, values.shape)
    for one in (values, *exposures):
        one[random.uniform(size=one.shape) < 0.1] = NAN
    values[5], values[6, 2:], exposures[0][7] = NAN, NAN, 5.0
    exposures.append(exposures[0] - 2 * exposures[1])  # says nothing more
    codes[8, 4:] = -1
    return values, exposures, codes, random.uniform(0.2, 2, values.shape)


@pytest.mark.parametrize("n_exposures", [0, 1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_explained_is_that_of_least_squares(table, n_exposures, weighted, grouped):
    values, exposures, codes, weights = table
    arguments = (
        values,
        exposures[:n_exposures],
        codes if grouped else None,
        weights if weighted else None,
    )
    found, expected = explained(*arguments), explained_slowly(*arguments)
    assert 100 < np.isfinite(found).sum() < found.size
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)
