"""Regressors of one target in place of batch forecasters."""

import pytest
import xgboost as xgb
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
)
from skbatch.datasets import make_panel

REGRESSORS = {
    "xgboost": xgb.XGBRegressor(),
    "sklearn": LinearRegression(),
    "pipeline": make_pipeline(FunctionTransformer(), xgb.XGBRegressor()),
    "search": GridSearchCV(LinearRegression(), {}),
}


@pytest.mark.parametrize("regressor", REGRESSORS.values(), ids=REGRESSORS)
def test_a_plain_regressor_is_no_batch_forecaster(make_frames, regressor):
    X, y = make_frames()
    for model in (
        FallbackForecaster(regressor),
        FallbackForecaster(BatchLinearForecaster(), regressor),
        ConformalForecaster(regressor),
        ConformalForecaster(FallbackForecaster(regressor)),
    ):
        with pytest.raises(ValueError, match=r"must be a batch forecaster.*Regress"):
            model.fit(X, y)
    with pytest.raises(ValueError, match="`forecaster` must be a batch forecaster"):
        BatchForecastingSystem(5, forecaster=regressor).fit(make_panel(300, 3))


def test_a_batch_forecaster_at_the_end_of_a_pipeline_is_one(make_frames):
    X, y = make_frames()
    last = make_pipeline(FunctionTransformer(), BatchLinearForecaster(horizon=1))
    for model in (last, GridSearchCV(last, {}, cv=2)):
        FallbackForecaster(model).fit(X, y)
