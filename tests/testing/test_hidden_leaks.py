"""Leaks that show on some rows, or in some calls, only."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import FunctionTransformer

from skbatch.exceptions import ModelFitError
from skbatch.testing import LookAheadError, check_no_lookahead
from skbatch.testing._panel_cuts import draw_cuts


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
    ids=["shifted", "centered", "tiny", "gaps back-filled"],
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


def is_friday(index):
    return index.day_of_week == 4


def is_month_end(index):
    return np.append(np.diff(index.month) != 0, False)


def is_quarter_end(index):
    return np.append(np.diff(index.quarter) != 0, False)


DAYS = {"Fridays": is_friday, "month ends": is_month_end, "quarters": is_quarter_end}


def peek_on(days, X):
    """Give the last return, and on some days the next one."""
    returns = X.pct_change(fill_method=None)
    values = np.where(days(X.index)[:, None], returns.shift(-1), returns)
    return pd.DataFrame(values, X.index, X.columns)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", DAYS)
def test_leak_on_some_days_is_caught(name, seed):
    peeking = FunctionTransformer(partial(peek_on, DAYS[name]))
    with pytest.raises(LookAheadError, match="must not depend on prices"):
        check_no_lookahead(peeking, make_prices(160), random_state=seed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["Fridays", "month ends"])
def test_leak_on_some_days_among_new_rows_is_caught(name, seed):
    """The first date is missing only in calls for new rows."""

    def peek(X):
        if X.index[0] > pd.Timestamp("2024-01-01"):
            return peek_on(DAYS[name], X)
        return X.pct_change(fill_method=None)

    with pytest.raises(LookAheadError, match="new rows must not depend on prices"):
        check_no_lookahead(
            FunctionTransformer(peek), make_prices(160), random_state=seed
        )


def test_days_of_features_matter_to_honest_ones(prices):
    """What is known of the day itself is no look ahead."""

    def on_fridays(X):
        return X.mul(is_friday(X.index), axis=0)

    check_no_lookahead(FunctionTransformer(on_fridays), prices)


@pytest.mark.parametrize("seed", range(6))
def test_rows_to_cut_at(seed):
    index = make_prices(160).index
    ends = np.flatnonzero(is_month_end(index))
    for cut in draw_cuts(index, 1, 3, seed):
        rows = {cut.last, *cut.others}
        assert cut.last not in cut.others
        assert set(range(cut.last - 4, cut.last + 1)) <= rows
        assert set(index[list(rows)].day_of_week) == {0, 1, 2, 3, 4}
        near = sorted(ends, key=lambda row: abs(row - cut.last))[:3]
        assert set(near) <= rows
        assert len(rows) <= 8
        assert max(rows) < len(index) - 1


def test_rows_to_cut_at_without_dates():
    for cut in draw_cuts(pd.RangeIndex(80), 1, 3, 0):
        assert cut.others == tuple(range(cut.last - 4, cut.last))


def refuse(error, looks_odd, X):
    if looks_odd(X):
        raise error("these prices are odd")
    return X.pct_change(fill_method=None)


ODD = {
    "huge": lambda X: (X > 100).any(axis=None),
    "constant": lambda X: (X.iloc[-2:] == 1.0).all(axis=None),
    "missing": lambda X: X.isna().any(axis=None),
}
REFUSALS = [ValueError, ModelFitError, ZeroDivisionError, FloatingPointError]


# Which errors are refusals does not depend on what is refused.
@pytest.mark.parametrize(
    ("name", "error"),
    [
        *((name, ValueError) for name in ODD),
        *(("huge", error) for error in [*REFUSALS[1:], np.linalg.LinAlgError]),
    ],
)
def test_refusal_of_odd_prices_passes(name, error, prices):
    assert not ODD[name](prices)
    picky = FunctionTransformer(partial(refuse, error, ODD[name]))
    check_no_lookahead(picky, prices)


@pytest.mark.parametrize("error", REFUSALS)
def test_refusal_of_orderly_prices_is_raised(error, prices):
    def is_shorter(X):
        return X.index[0] == prices.index[0] and len(X) < len(prices) - 20

    picky = FunctionTransformer(partial(refuse, error, is_shorter))
    with pytest.raises(error, match="these prices are odd"):
        check_no_lookahead(picky, prices)


def test_other_errors_on_odd_prices_are_raised(prices):
    broken = FunctionTransformer(partial(refuse, RuntimeError, ODD["huge"]))
    with pytest.raises(RuntimeError, match="these prices are odd"):
        check_no_lookahead(broken, prices)


def test_leak_of_what_refuses_odd_prices_is_caught(prices):
    def peek(X):
        return refuse(ModelFitError, ODD["constant"], X).shift(-1)

    with pytest.raises(LookAheadError):
        check_no_lookahead(FunctionTransformer(peek), prices)
