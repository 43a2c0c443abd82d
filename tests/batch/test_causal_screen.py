"""Forecasts of many rows are those that each of them would have been given alone."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
)
from skbatch.batch import BatchErrorHandler
from skbatch.batch._screen import reasons_of
from skbatch.datasets import make_panel

N_TICKERS = 6


def corrupted(prices, random, n_faults):
    """Spoil prices as vendors do."""
    prices = prices.copy()
    n_rows, n_tickers = prices.shape
    for _ in range(n_faults):
        start = random.integers(n_rows)
        rows = slice(start, start + random.integers(1, 12))
        ticker, other = random.integers(n_tickers, size=2)
        kind = random.integers(7)
        if kind == 0:
            prices.iloc[rows, ticker] = np.nan
        elif kind == 1:
            prices.iloc[rows, ticker] = prices.iloc[start, ticker]
        elif kind == 2:
            prices.iloc[rows, ticker] *= random.choice([0.01, 100.0])
        elif kind == 3:
            prices.iloc[start, ticker] = random.choice([0.0, -1.0, np.inf])
        elif kind == 4:
            prices.iloc[:, ticker] = prices.iloc[:, other]
        elif kind == 5:
            prices.iloc[start:, ticker] = np.nan
        else:
            prices.iloc[:start, ticker] = np.nan
    return prices


def with_fields(closes, random):
    """Closes beside opens of which some are wrong, and volumes."""
    opens = closes * 1.01
    opens.iloc[random.integers(len(closes)), random.integers(closes.shape[1])] = -1.0
    return pd.concat({"Open": opens, "Close": closes, "Volume": closes * 10}, axis=1)


rules = st.fixed_dictionaries(
    {
        "recent": st.integers(1, 20),
        "min_history": st.integers(2, 6),
        "max_stale": st.integers(0, 6),
        "max_flat": st.integers(2, 8),
        "max_jump": st.sampled_from([1.05, 8.0]),
        "max_invalid_share": st.sampled_from([0.0, 0.05, 1.0]),
    }
)


@settings(max_examples=30)
@given(
    rules,
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(0, 8),
    st.booleans(),
)
def test_each_row_is_screened_by_the_rows_up_to_it(rules, seed, n_rows, n_faults, wide):
    random = np.random.default_rng(seed)
    prices = corrupted(make_panel(30, N_TICKERS, random_state=0), random, n_faults)
    handler = BatchErrorHandler(**rules)
    panel = with_fields(prices, random) if wide else prices
    found = handler.set_aside(panel, n_rows)
    assert found.shape == (n_rows, N_TICKERS)
    for row in random.choice(n_rows, 3):
        _, findings = handler.screen(panel.iloc[: 30 - n_rows + row + 1])
        expected = np.isin(prices.columns, list(reasons_of(findings)))
        assert found[row].tolist() == expected.tolist()


class Suspicious(BatchErrorHandler):
    """Trusts nobody whose last price is below the first."""

    def screen(self, prices):
        panel, findings = super().screen(prices)
        fell = panel.columns[panel.iloc[-1] < panel.iloc[0]]
        more = pd.DataFrame(
            {"rule": "fell", "action": "quarantined", "detail": ""},
            index=pd.Index(fell, name="ticker"),
        )
        findings = pd.concat([findings, more])
        return panel.drop(columns=fell), findings


def test_rules_of_others_are_asked_row_by_row():
    prices = make_panel(40, N_TICKERS, random_state=0)
    handler = Suspicious(min_history=2)
    found = handler.set_aside(prices, 10)
    expected = prices.iloc[-10:] < prices.iloc[0]
    np.testing.assert_array_equal(found, expected.to_numpy())
    assert 0 < found.mean() < 1


@pytest.fixture(scope="module")
def prices():
    return make_panel(160, N_TICKERS, random_state=0)


@pytest.fixture(scope="module")
def fitted(prices):
    system = BatchForecastingSystem(
        (1, 3),
        features=SharedFeatureExtractor(["returns", "volatility"], windows=[5]),
        forecaster=ConformalForecaster(BatchLinearForecaster()),
        error_handler=BatchErrorHandler(recent=10, max_flat=4, max_stale=2),
    )
    still = prices.iloc[:120].copy()
    still.iloc[-6:, 0] = still.iloc[-6, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return system.fit(still)


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.sampled_from([120, 110]))
def test_a_prediction_is_the_forecast_of_its_row(prices, fitted, seed, n_faults, start):
    new = prices.iloc[start : start + 12]
    new = corrupted(new, np.random.default_rng(seed), n_faults)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = fitted.predict(new)
        lower, upper = fitted.predict_interval(new)
        for row in range(0, len(new), 2):
            alone = fitted.forecast(new.iloc[: row + 1]).expected_returns
            np.testing.assert_allclose(together.iloc[row], alone, rtol=1e-9)
            for bound in (lower, upper):
                assert bound.iloc[row].isna().equals(together.iloc[row].isna())


def test_a_fault_is_forgotten_when_it_is_old(prices, fitted):
    """The jump of row 1 is recent for ten rows; the ticker of the fit stays aside."""
    new = prices.iloc[120:136].copy()
    new.iloc[1:, 2] *= 100
    aside = fitted.predict(new)[1].isna()
    assert aside["T000"].all()
    assert aside["T002"].tolist() == [False] + [True] * 10 + [False] * 5
    assert not aside.drop(columns=["T000", "T002"]).any(axis=None)
