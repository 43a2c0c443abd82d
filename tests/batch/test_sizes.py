"""Portfolios of every size run end to end, as the default system does it."""

import numpy as np
import pytest

from skbatch.batch import BatchForecastingSystem
from skbatch.datasets import make_panel


@pytest.mark.parametrize(
    ("n_tickers", "max_batch_size"),
    [(n, None) for n in (1, 2, 10, 50, 500)] + [(200, 80)],
)
def test_a_portfolio_of_any_size(assert_accounted, n_tickers, max_batch_size):
    prices = make_panel(300, n_tickers, random_state=0)
    system = BatchForecastingSystem(max_batch_size=max_batch_size)
    system.set_params(forecaster__estimator__n_estimators=5)
    result = system.fit(prices).forecast()
    assert_accounted(result, prices.columns)
    assert np.isfinite(result.expected_returns).all()
    assert set(result.provenance["model"]) == {"BatchXGBoostForecaster"}
    # A pooled model learns from all tickers, whatever the size of batches.
    assert result.provenance["batch"].nunique() == 1
