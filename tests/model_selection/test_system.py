"""The walk of a whole batch system, which goes from prices to forecasts by itself."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skbatch import BatchForecastingSystem, BatchLinearForecaster

from .conftest import HORIZON, make_extractor, make_model

START, EVERY = 150, 40
BATCHES = pytest.mark.parametrize("max_batch_size", [None, 3])


def make_system(max_batch_size=None):
    return BatchForecastingSystem(
        HORIZON,
        features=make_extractor(),
        forecaster=BatchLinearForecaster(),
        max_batch_size=max_batch_size,
    )


def slow_walk(system, prices):
    """Fit on the rows before each refit, and predict those up to the next."""
    parts = []
    with warnings.catch_warnings():
        # T003 has no prices yet at the first refit.
        warnings.simplefilter("ignore")
        for stop in range(START, len(prices), EVERY):
            fitted = clone(system).fit(prices.iloc[:stop])
            parts.append(fitted.predict(prices.iloc[stop : stop + EVERY]))
    return pd.concat(parts)


@BATCHES
def test_forecasts_are_those_of_a_loop_by_hand(quiet_walk, prices, max_batch_size):
    system = make_system(max_batch_size)
    result = quiet_walk(system, benchmarks={})
    expected = slow_walk(system, prices)
    pd.testing.assert_frame_equal(
        result.forecasts, expected, check_exact=True, check_freq=False
    )
    assert result.forecasts.drop(columns="T003").notna().all(axis=None)
    assert result.provenance.iloc[0, 0] == "BatchLinearForecaster"
    assert len(result.refits) == 3
    # A pooled model learns from all tickers, whatever the size of batches.
    assert len(result.estimator.fitted_.members) == 1


@BATCHES
def test_a_ticker_that_is_set_aside_has_no_forecast_but_a_reason(
    quiet_walk, prices, max_batch_size
):
    still = prices.copy()
    still.iloc[100:, 2] = still.iloc[100, 2]
    result = quiet_walk(make_system(max_batch_size), still, benchmarks={})
    assert result.forecasts["T002"].isna().all()
    assert set(result.provenance["T002"]) == {"none"}
    reasons = result.reasons.xs("T002", level="ticker")
    assert list(reasons.index) == list(result.refits.index)
    assert reasons["reason"].str.startswith("quarantined (constant)").all()
    assert result.forecasts[["T000", "T001", "T004"]].notna().all(axis=None)


@BATCHES
def test_later_prices_change_no_earlier_forecast(quiet_walk, prices, max_batch_size):
    system = make_system(max_batch_size)
    cut = 215  # between two refits
    garbage = prices.copy()
    random = np.random.default_rng(0)
    garbage.iloc[cut + 1 :] = random.uniform(1, 1e6, garbage.iloc[cut + 1 :].shape)
    before, after = (
        quiet_walk(system, panel, benchmarks={}) for panel in (prices, garbage)
    )
    known = prices.index[START : cut + 1]
    for name in ("forecasts", "provenance"):
        pd.testing.assert_frame_equal(
            getattr(before, name).loc[known],
            getattr(after, name).loc[known],
            check_exact=True,
        )
    assert not before.forecasts.equals(after.forecasts)


def test_prices_that_cannot_be_are_screened_as_in_a_fit_of_its_own(quiet_walk, prices):
    """They are no missing prices: the feed is wrong, and the ticker set aside."""
    wrong = prices.copy()
    wrong.iloc[[140, 145], 0] = 0.0
    result = quiet_walk(make_system(), wrong, benchmarks={})
    pd.testing.assert_frame_equal(
        result.forecasts,
        slow_walk(make_system(), wrong),
        check_exact=True,
        check_freq=False,
    )
    reasons = result.reasons.xs("T000", level="ticker")
    assert reasons["reason"].str.startswith("quarantined (invalid").all()
    assert len(reasons) == len(result.refits)


@pytest.mark.parametrize("make", [make_system, make_model])
def test_tables_of_polars_are_walked_like_those_of_pandas(quiet_walk, prices, make):
    polars = pytest.importorskip("polars")
    dirty = prices.copy()
    dirty.iloc[100, 2] = -1.0  # screening has to see it
    table = polars.from_pandas(dirty.rename_axis("date").reset_index())
    expected, result = (quiet_walk(make(), panel) for panel in (dirty, table))
    pd.testing.assert_frame_equal(
        result.forecasts, expected.forecasts, check_freq=False
    )
    pd.testing.assert_frame_equal(result.scorecard, expected.scorecard)
    pd.testing.assert_frame_equal(result.reasons, expected.reasons)
