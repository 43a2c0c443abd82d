"""Fitted forecasters on disk: equal forecasts, a stable format, a bounded size."""

import copy
import pickle
import subprocess
import sys

import joblib
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster, FallbackForecaster
from skbatch.forecasting import HistoricalMeanForecaster

LOAD_AND_FORECAST = """
import sys, joblib
models, X = joblib.load(sys.argv[1])
joblib.dump([(m.predict(X), m.predict_batch(X)) for m in models], sys.argv[2])
"""


def test_a_fresh_process_forecasts_the_same(make_frames, stack_horizons, tmp_path):
    X, y = make_frames(missing=0.05)
    both = stack_horizons({1: y, 5: y})
    small = {"n_estimators": 6, "n_jobs": 1}
    models = [
        HistoricalMeanForecaster().fit(X, y),
        BatchLinearForecaster("vector").fit(X, y),
        BatchXGBoostForecaster(**small, early_stopping_rounds=2).fit(X, both),
        BatchXGBoostForecaster("vector", **small).fit(X, y["T1"]),
        BatchXGBoostForecaster("per_ticker", **small).fit(X, y),
        FallbackForecaster(BatchXGBoostForecaster(**small)).fit(X, y),
    ]
    joblib.dump((models, X), tmp_path / "models.joblib")
    subprocess.run(
        [sys.executable, "-c", LOAD_AND_FORECAST, "models.joblib", "forecasts.joblib"],
        cwd=tmp_path,
        check=True,
    )
    there = joblib.load(tmp_path / "forecasts.joblib")
    for model, (forecasts, last) in zip(models, there, strict=True):
        expected = model.predict(X)
        is_frame = isinstance(expected, pd.DataFrame)
        equal = getattr(pd.testing, f"assert_{'frame' if is_frame else 'series'}_equal")
        equal(forecasts, expected, check_exact=True)
        assert last == pytest.approx(model.predict_batch(X), nan_ok=True)


@pytest.mark.parametrize(
    "make_copy", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_forecast_the_same_and_again(make_frames, forecaster, make_copy):
    X, y = make_frames()
    forecaster.fit(X, y)
    expected = forecaster.predict(X)
    twin = make_copy(make_copy(forecaster))
    pd.testing.assert_frame_equal(twin.predict(X), expected, check_exact=True)
    assert twin.get_params().keys() == forecaster.get_params().keys()
    other_X, other_y = make_frames(seed=1)
    pd.testing.assert_frame_equal(
        twin.fit(other_X, other_y).predict(other_X),
        clone(forecaster).fit(other_X, other_y).predict(other_X),
        check_exact=True,
    )


@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
def test_boosters_are_kept_in_their_stable_format(make_frames, monkeypatch, strategy):
    def refuse(*args):
        raise AssertionError("XGBoost's memory snapshot is not stable")

    X, y = make_frames()
    model = BatchXGBoostForecaster(strategy, n_estimators=3, n_jobs=1).fit(X, y)
    expected = model.predict(X)
    with monkeypatch.context() as patch:
        patch.setattr(xgb.Booster, "__getstate__", refuse)
        patch.setattr(xgb.Booster, "__setstate__", refuse)
        patch.setattr(xgb.Booster, "__deepcopy__", refuse)
        kept = pickle.dumps(model)
        loaded = pickle.loads(kept)
    pd.testing.assert_frame_equal(loaded.predict(X), expected, check_exact=True)
    for fitted in model.model_.models:
        raw = bytes(fitted.model.booster.save_raw("ubj"))
        assert raw in kept
        # UBJSON objects open with a brace; the number of its bytes follows the key.
        assert raw.startswith(b"{L")


def test_no_training_data_is_kept(make_frames, forecaster):
    sizes = []
    for n_dates in (150, 1500):
        X, y = make_frames(n_dates, n_features=20)
        forecaster.fit(X, y)
        sizes.append(len(pickle.dumps(forecaster)))
    # Ten times the data would be a megabyte more; only the trees grow a little.
    assert sizes[1] < sizes[0] + 30_000
