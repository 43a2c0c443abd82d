import json

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone

from skbatch import BatchXGBoostForecaster
from skbatch.exceptions import FallbackWarning

SMALL = {"n_estimators": 30, "n_jobs": 1}


def has_gpu():
    """Whether XGBoost trains on a GPU here: without one, it changes to the CPU."""
    if not xgb.build_info().get("USE_CUDA"):
        return False
    data = xgb.DMatrix(np.arange(8.0).reshape(-1, 1), np.arange(8.0))
    try:
        with xgb.config_context(verbosity=0):
            booster = xgb.train({"device": "cuda"}, data, 1)
    except xgb.core.XGBoostError:
        return False
    return device_of(booster).startswith("cuda")


def device_of(booster):
    return json.loads(booster.save_config())["learner"]["generic_param"]["device"]


on_gpu = pytest.mark.skipif(not has_gpu(), reason="XGBoost has no GPU here")
# What XGBoost says when it copies arrays to the GPU itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*mismatched devices")


@on_gpu
@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
def test_the_gpu_trains_and_forecasts_without_other_changes(make_frames, strategy):
    X, y = make_frames(n_dates=400, signal=1.0)
    model = BatchXGBoostForecaster(strategy, **SMALL)
    other = clone(model).set_params(device="cuda").fit(X, y)
    boosters = [task.model.booster for task in other.model_.models]
    assert all(device_of(booster).startswith("cuda") for booster in boosters)
    pair = [m.predict(X).to_numpy().ravel() for m in (model.fit(X, y), other)]
    # Rows are drawn by other random numbers, so that the trees are not the same.
    assert np.corrcoef(pair)[0, 1] > 0.9


@on_gpu
def test_a_model_from_the_gpu_forecasts_on_the_cpu(make_frames, tmp_path):
    X, y = make_frames(n_dates=400)
    model = BatchXGBoostForecaster(device="cuda", **SMALL).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    for task in loaded.model_.models:
        task.model.device = "cpu"
    np.testing.assert_allclose(loaded.predict(X), model.predict(X), rtol=1e-4)


@pytest.mark.skipif(has_gpu(), reason="this is about machines without a GPU")
@pytest.mark.filterwarnings("ignore:.*GPU")
def test_without_a_gpu_the_cpu_does_the_same(make_frames):
    X, y = make_frames(n_dates=200)
    expected = BatchXGBoostForecaster(**SMALL).fit(X, y).predict(X)
    forecasts = BatchXGBoostForecaster(device="cuda", **SMALL).fit(X, y).predict(X)
    np.testing.assert_array_equal(forecasts, expected)


@pytest.mark.skipif(has_gpu(), reason="XGBoost has a GPU here")
def test_without_a_gpu_one_warning_says_so(make_frames):
    X, y = make_frames(n_dates=400, signal=1.0)
    model = BatchXGBoostForecaster(device="cuda", **SMALL)
    with pytest.warns(FallbackWarning, match="device='cuda' must find a GPU") as told:
        model.fit(X, y)
    forecasts = model.predict(X)
    assert [warning.filename for warning in told] == [__file__]
    expected = model.set_params(device="cpu").fit(X, y).predict(X)
    pd.testing.assert_frame_equal(forecasts, expected)
