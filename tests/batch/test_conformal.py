"""Calibrated forecasters inside a batch system."""

import numpy as np
import pandas as pd
import pytest

from skbatch import BatchLinearForecaster, ConformalForecaster, FallbackForecaster
from skbatch.exceptions import FallbackWarning
from skbatch.forecasting import HistoricalMeanForecaster

BATCHES = pytest.mark.parametrize("max_batch_size", [None, 3])


@BATCHES
@pytest.mark.parametrize("horizon", [5, (1, 5)])
def test_calibration_changes_no_forecast(make_system, prices, max_batch_size, horizon):
    """The forecasts are those of a system of the forecaster inside."""
    plain = BatchLinearForecaster()
    options = {"max_batch_size": max_batch_size}
    system = make_system(horizon, forecaster=ConformalForecaster(plain), **options)
    result = system.fit(prices).forecast()
    expected = make_system(horizon, forecaster=plain, **options).fit(prices).forecast()
    pd.testing.assert_series_equal(result.expected_returns, expected.expected_returns)
    assert result.expected_returns.notna().all()
    assert set(result.provenance["model"]) == {"BatchLinearForecaster"}
    assert system.events_.empty
    # A pooled model learns from all tickers, whatever the size of batches.
    assert len(system.fitted_.members) == 1


@BATCHES
def test_every_batch_is_calibrated(make_system, prices, max_batch_size):
    forecaster = ConformalForecaster(BatchLinearForecaster(), calibration_size=80)
    system = make_system(forecaster=forecaster, max_batch_size=max_batch_size)
    system.fit(prices)
    n_labels = 0
    for member in system.fitted_.members:
        scores = member.forecaster.calibration_.scores
        assert np.isfinite(scores).all()
        assert len(scores) == 80
        n_labels += scores.shape[1]
    assert n_labels == prices.shape[1]


def test_models_of_single_tickers_are_the_same_in_any_batches(make_system, prices):
    forecaster = ConformalForecaster(BatchLinearForecaster("per_ticker"))
    one, several = (
        make_system(forecaster=forecaster, max_batch_size=size).fit(prices)
        for size in (None, 3)
    )
    new = prices.tail(30)
    pd.testing.assert_frame_equal(one.predict(new), several.predict(new))


def test_provenance_is_that_of_the_forecaster_inside(make_system, prices, fit_quietly):
    young = prices.copy()
    young.loc[young.index[:-60], "B"] = np.nan
    inner = FallbackForecaster(HistoricalMeanForecaster(), BatchLinearForecaster())
    system = make_system(forecaster=ConformalForecaster(inner))
    plain = fit_quietly(make_system(forecaster=inner), young)
    with pytest.warns(FallbackWarning, match="1 of 8 tickers.*: B"):
        system.fit(young)
    pd.testing.assert_frame_equal(system.provenance_, plain.provenance_)
    pd.testing.assert_frame_equal(
        system.forecast().provenance, plain.forecast().provenance
    )
