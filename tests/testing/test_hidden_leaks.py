"""Leaks that show on some rows, or in some calls, only."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin

from skbatch.testing import LookAheadError, check_no_lookahead


def make_prices(n_dates):
    rng = np.random.default_rng(0)
    returns = rng.normal(0.0, 0.02, size=(n_dates, 4))
    dates = pd.date_range("2024-01-01", periods=n_dates, freq="B")
    return pd.DataFrame(np.exp(returns.cumsum(axis=0)), dates, list("ABCD"))


@pytest.fixture(scope="module")
def prices():
    return make_prices(80)


class TwoFaced(TransformerMixin, BaseEstimator):
    """Honest in `fit_transform` and on new rows; `again` makes the fitted rows."""

    def __init__(self, again=None):
        self.again = again

    def fit(self, X, y=None):
        self.last_ = X.index[-1]
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).first(X)

    def transform(self, X):
        fitted = X.index[0] <= self.last_
        return self.again(X, self.first(X)) if fitted else self.first(X)

    def first(self, X):
        return X.pct_change(fill_method=None)


@pytest.mark.parametrize(
    "again",
    [
        lambda X, honest: honest.shift(-1),
        lambda X, honest: honest - honest.mean(),
        lambda X, honest: honest + 1e-12 * X.shift(-1).fillna(1.0),
        lambda X, honest: X.bfill().pct_change().where(honest.notna().cummax(), honest),
    ],
    ids=["shifted", "centred", "tiny", "gaps back-filled"],
)
def test_transform_of_fitted_rows_that_peeks_is_caught(again, prices):
    with pytest.raises(LookAheadError, match="by `transform` of fitted rows"):
        check_no_lookahead(TwoFaced(again), prices)


@pytest.mark.parametrize(
    "again",
    [
        lambda X, honest: honest,
        lambda X, honest: honest * (1 + 1e-15),
        lambda X, honest: honest.shift(1),
    ],
    ids=["the same", "rounding", "late"],
)
def test_transform_of_fitted_rows_that_is_honest_passes(again, prices):
    check_no_lookahead(TwoFaced(again), prices)


def test_transform_that_refuses_fitted_rows_passes(prices):
    def refuse(X, honest):
        raise ValueError("these rows are known")

    check_no_lookahead(TwoFaced(refuse), prices)


def test_transform_of_fitted_rows_must_repeat(prices):
    rng = np.random.default_rng(0)
    noisy = TwoFaced(lambda X, honest: honest + rng.normal(size=X.shape))
    with pytest.raises(ValueError, match="deterministic"):
        check_no_lookahead(noisy, prices)
