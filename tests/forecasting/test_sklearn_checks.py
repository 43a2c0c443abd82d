"""scikit-learn's own conformance checks, without an expected failure."""

import pytest
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from skbatch import (
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)

# scikit-learn's checks pass plain labels without a horizon, which is worth a warning,
# and portfolios of a few rows, of which the fallback reports what it cannot serve.
pytestmark = [
    pytest.mark.filterwarnings("ignore::skbatch.exceptions.HorizonWarning"),
    pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning"),
]


@parametrize_with_checks(
    [
        BatchXGBoostForecaster(n_jobs=1, n_estimators=100, learning_rate=0.1),
        BatchXGBoostForecaster("vector", n_jobs=1, n_estimators=20, learning_rate=0.3),
        BatchXGBoostForecaster("per_ticker", n_jobs=1, learning_rate=0.1),
        BatchLinearForecaster(),
        BatchLinearForecaster("vector"),
        BatchLinearForecaster("per_ticker"),
        BatchRegressorForecaster(DecisionTreeRegressor(random_state=0)),
        BatchRegressorForecaster(DecisionTreeRegressor(random_state=0), "per_ticker"),
        HistoricalMeanForecaster(),
        FallbackForecaster(BatchLinearForecaster(), HistoricalMeanForecaster()),
        ConformalForecaster(BatchLinearForecaster()),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
