"""scikit-learn's own conformance checks."""

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


EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "It shuffles and repeats rows, "
    "which are dates: the labels of the last ones are not known, and the latest are "
    "held out. That a weight counts repetitions of a ticker, and zero a missing label, "
    "is tested in test_weights.py."
}


# Strategies differ in the same way for all classes: trees have each of them.
@parametrize_with_checks(
    [
        BatchXGBoostForecaster(n_jobs=1, n_estimators=100, learning_rate=0.1),
        BatchXGBoostForecaster("vector", n_jobs=1, n_estimators=20, learning_rate=0.3),
        BatchXGBoostForecaster("per_ticker", n_jobs=1, learning_rate=0.1),
        BatchLinearForecaster(),
        BatchLinearForecaster("vector"),
        BatchRegressorForecaster(DecisionTreeRegressor(random_state=0)),
        HistoricalMeanForecaster(),
        FallbackForecaster(BatchLinearForecaster(), HistoricalMeanForecaster()),
        ConformalForecaster(BatchLinearForecaster()),
    ],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
