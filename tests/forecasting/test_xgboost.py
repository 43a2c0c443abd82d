import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone

from skbatch import BatchXGBoostForecaster, FallbackForecaster
from skbatch.exceptions import ModelFitError, PanelError
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting._booster import (
    StepCallback,
    bin_limits,
    masked_loss,
    tail_correlation,
)


def with_target(kind, *args, **params):
    """Make a forecaster; parameters of its target may stand beside its own."""
    names = ReturnTarget().get_params()
    target = {name: params.pop(name) for name in names if name in params}
    return kind(*args, target=ReturnTarget(**target), **params)


NAN = np.nan


def count_trees(model):
    return [m.model.booster.num_boosted_rounds() for m in model.model_.models]


# Early stopping -----------------------------------------------------------------------


def fading_signal(n_outputs, seed=4):
    """Labels that follow the inputs for 200 rows and hardly afterwards."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((300, 3)).astype(np.float32)
    follow = np.where(np.arange(300) < 200, 1.0, 0.1)[:, None]
    signal = follow * np.stack([X[:, 0], -X[:, 1]], axis=1)
    y = 0.01 * (signal + random.standard_normal((300, 2)))
    return X, y[:, :n_outputs]


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_kept_trees_have_the_best_correlation_with_the_tail(n_outputs):
    X, y = fading_signal(n_outputs)
    options = {
        "horizon": 1,
        "scale": None,
        "market_weight": 0.0,
        "thin": 1,
        "validation_size": 60,
        "n_estimators": 40,
        "learning_rate": 0.2,
        "max_depth": 3,
        "xgb_params": {"min_child_weight": 1.0},
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "max_bin": 64,
        "n_jobs": 1,
    }
    params = {
        "max_depth": 3,
        "learning_rate": 0.2,
        "reg_lambda": 10.0,
        "max_bin": 64,
        "base_score": 0.0,
        "multi_strategy": "multi_output_tree",
        "nthread": 1,
    }
    # Labels are known up to row 298, so the tail is 239 … 298.
    z = y - y[:299].mean(axis=0)
    train = xgb.QuantileDMatrix(X[:239], z[:239], max_bin=64)
    booster = xgb.train(params, train, 40)
    correlations = []
    for n_trees in range(1, 41):
        f = booster.inplace_predict(X[239:299], iteration_range=(0, n_trees))
        f, actual = f.ravel().astype(float), z[239:299].ravel()
        correlations.append(f @ actual / np.sqrt((f @ f) * (actual @ actual)))
    best = int(np.argmax(correlations)) + 1
    assert 1 < best < 40
    model = with_target(
        BatchXGBoostForecaster, "vector", early_stopping_rounds=40, **options
    )
    model.fit(X, y)
    assert count_trees(model) == [best]
    f = booster.inplace_predict(X[239:299], iteration_range=(0, best)).ravel()
    slope = np.linalg.lstsq(f[:, None], z[239:299].ravel(), rcond=None)[0][0]
    errors = (f * (z[239:299].ravel() - slope * f)).reshape(60, -1).sum(axis=1)
    variance = 60 / 59 * (errors @ errors) / (f.astype(float) @ f) ** 2
    prior = 0.1 + 0.2 * 239 / (239 + 20_000)
    assert abs(slope - prior) < 3 * np.sqrt(variance)
    slope = np.average([slope, prior], weights=[1 / variance, 1 / 0.1**2])
    forecast = booster.inplace_predict(X, iteration_range=(0, best))
    np.testing.assert_allclose(
        model.predict(X),
        max(slope, 0.1) * forecast.reshape(300, -1),
        rtol=1e-5,
        atol=1e-9,
    )
    patient = clone(model).set_params(early_stopping_rounds=None).fit(X, y)
    assert count_trees(patient) == [40]


def test_fewer_trees_are_kept_where_the_tail_contradicts(make_frames):
    X, y = make_frames(300, 4, signal=1.0)
    agreeing = BatchXGBoostForecaster(
        n_estimators=60,
        early_stopping_rounds=10,
        n_jobs=1,
        learning_rate=0.05,
        subsample=1.0,  # what XGBoost draws differs between its releases
        colsample_bytree=1.0,
        max_bin=64,
    )
    contradicting = clone(agreeing)
    reversed_y = y.copy()
    reversed_y.iloc[230:] = -y.iloc[230:]
    # Releases of XGBoost stop at different trees: 19 and more were seen.
    assert count_trees(agreeing.fit(X, y))[0] > 10
    assert count_trees(contradicting.fit(X, reversed_y))[0] < 5
    stubborn = agreeing.set_params(early_stopping_rounds=None).fit(X, reversed_y)
    assert count_trees(stubborn) == [60]
    assert stubborn.model_.models[0].shrinkage == 0.1


def test_without_a_tail_all_trees_are_kept(make_frames):
    X, y = make_frames(100)
    model = BatchXGBoostForecaster(
        n_estimators=7,
        early_stopping_rounds=1,
        n_jobs=1,
        target=ReturnTarget(validation_size=0),
    )
    assert count_trees(model.fit(X, y)) == [7]
    assert model.model_.models[0].shrinkage == 1.0


def test_tail_correlation_by_hand():
    y = np.array([[1.0, NAN], [-2.0, 0.5]])
    forecast = np.array([[2.0, 9.0], [1.0, 4.0]], dtype=np.float32)
    name, value = tail_correlation(y)(forecast.reshape(-1), None)
    expected = (1 * 2 - 2 * 1 + 0.5 * 4) / np.sqrt((1 + 4 + 0.25) * (4 + 1 + 16))
    assert name == "correlation"
    assert value == pytest.approx(expected)
    assert tail_correlation(y)(forecast * 100, None)[1] == pytest.approx(expected)
    assert tail_correlation(y)(forecast * 0, None)[1] == 0.0


def test_masked_loss_by_hand():
    y = np.array([[1.0, NAN], [NAN, 0.5]])
    forecast = np.array([[3.0, 9.0], [1.0, 0.25]], dtype=np.float32)
    gradient, hessian = masked_loss(y, {"objective": "reg:squarederror"})(
        forecast, None
    )
    np.testing.assert_array_equal(gradient, [[2.0, 0.0], [0.0, -0.25]])
    np.testing.assert_array_equal(hessian, [[1.0, 0.0], [0.0, 1.0]])


# Parameters ---------------------------------------------------------------------------


def test_automatic_leaves_hold_a_thousandth_of_the_rows(make_frames):
    X, y = make_frames(151, 20)
    automatic, explicit, other = (
        BatchXGBoostForecaster(
            n_estimators=5,
            max_depth=9,
            max_bin=1000,
            xgb_params=weight,
            n_jobs=1,
            target=ReturnTarget(validation_size=0),
        )
        .fit(X, y)
        .predict(X)
        for weight in (None, {"min_child_weight": 3.0}, {"min_child_weight": 4.0})
    )
    pd.testing.assert_frame_equal(automatic, explicit, check_exact=True)
    assert not automatic.equals(other)


def test_the_seed_decides_the_draws(make_frames):
    X, y = make_frames(120)

    def forecasts(seed):
        model = BatchXGBoostForecaster(n_estimators=5, random_state=seed, n_jobs=1)
        return model.fit(X, y).predict(X)

    assert forecasts(0).equals(forecasts(0))
    assert not forecasts(0).equals(forecasts(1))
    assert forecasts(np.random.RandomState(0)).equals(forecasts(0))
    assert not forecasts(None).equals(forecasts(None))


@pytest.mark.parametrize("device", ["nonsense", "cpu:0", "cuda:x", "", "CPU"])
def test_an_unknown_device_is_a_bad_argument_and_no_failed_fit(make_frames, device):
    X, y = make_frames(120)
    model = BatchXGBoostForecaster(device=device, n_jobs=1)
    for forecaster in (model, FallbackForecaster(model)):
        with pytest.raises(ValueError, match=r"'device' parameter .* Got "):
            forecaster.fit(X, y)


def test_what_xgboost_refuses_is_a_bad_argument_too(make_frames):
    X, y = make_frames(120)
    model = BatchXGBoostForecaster(max_depth=10**12, n_jobs=1)
    with pytest.raises(ValueError, match=r"Got: Invalid Parameter .*max_depth"):
        FallbackForecaster(model).fit(X, y)


def test_failures_inside_xgboost_are_failed_fits(make_frames, monkeypatch):
    def fail(*args, **kwargs):
        raise xgb.core.XGBoostError("[07:00] core.cc:1: out of memory\nStack trace:\n")

    X, y = make_frames(120)
    monkeypatch.setattr(xgb, "train", fail)
    with pytest.raises(ModelFitError, match=r"XGBoostError: .*out of memory$") as error:
        BatchXGBoostForecaster(n_jobs=1).fit(X, y)
    assert isinstance(error.value.__cause__, xgb.core.XGBoostError)
    per_ticker = BatchXGBoostForecaster("per_ticker", n_jobs=1)
    with pytest.raises(ModelFitError, match=r"4 labels\. Got none: XGBoostError"):
        per_ticker.fit(X, y)


# Bins ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_rows", "is_drawn"), [(127, False), (128, True)])
def test_bins_are_cut_from_a_sample_of_many_rows(monkeypatch, n_rows, is_drawn):
    """Training rows, each at most once; all rows are binned by them."""
    random = np.random.default_rng(3)
    X = random.standard_normal((n_rows, 2)).astype(np.float32)
    X[5, 1] = NAN
    y = 0.01 * random.standard_normal(n_rows)
    made = []

    class Matrix(xgb.QuantileDMatrix):
        def __init__(self, data, label=None, *, ref=None, **kwargs):
            made.append((self, np.array(data), ref))
            super().__init__(data, label, ref=ref, **kwargs)

    monkeypatch.setattr(xgb, "QuantileDMatrix", Matrix)
    monkeypatch.setattr(BatchXGBoostForecaster, "_bin_rows", 64)
    model = BatchXGBoostForecaster(
        horizon=1,
        n_estimators=2,
        n_jobs=1,
        target=ReturnTarget(thin=1, validation_size=0),
    )
    # The label of the last row is not known yet.
    X, y = np.vstack([X, [[0, 0]]]), np.append(y, NAN)
    model.fit(X, y)
    *drawn, (_, rows, reference) = made
    assert len(rows) == n_rows
    assert reference is (drawn[0][0] if is_drawn else None)
    assert len(drawn) == is_drawn
    if is_drawn:
        limits = drawn[0][1]
        missing = np.float32(-1e30)
        stored = np.where(np.isnan(X[:-1]), missing, X[:-1]).astype(np.float32)
        for values, bins in zip(stored.T, limits.T, strict=True):
            assert np.isin(bins, values).all()
            # Every second of the 64 drawn rows, in order, starts one of 32 bins.
            assert (np.diff(np.searchsorted(np.sort(values), bins)) >= 2).all()
        clone(model).set_params(random_state=1).fit(X, y)
        assert not np.array_equal(made[2][1], limits)


@pytest.mark.parametrize("n_rows", [1_000, 1_023])
def test_bins_hold_equally_many_rows(n_rows):
    random = np.random.default_rng(0)
    weekday = np.arange(n_rows) % 5
    rare = (np.arange(n_rows) == 7).astype(float)
    gaps = np.where(random.random(n_rows) < 0.3, -1e30, random.standard_normal(n_rows))
    columns = [random.standard_t(2, n_rows), weekday, rare, gaps]
    X = np.column_stack(columns).astype(np.float32)
    limits = bin_limits(X, 16)
    assert limits.shape == (16, 4)
    assert set(limits[:, 1]) == {0, 1, 2, 3, 4}
    assert set(limits[:, 2]) == {0, 1}
    counts = np.diff([*(X[:, [0]] < limits[:, 0]).sum(axis=0), n_rows])
    assert set(counts) <= {n_rows // 16, n_rows // 16 + 1}
    # XGBoost splits at these limits and at no others.
    matrix = xgb.QuantileDMatrix(
        X,
        random.standard_normal(n_rows),
        ref=xgb.QuantileDMatrix(limits, max_bin=16),
        max_bin=16,
    )
    booster = xgb.train({"max_bin": 16, "max_depth": 6}, matrix, 30)
    splits = booster.trees_to_dataframe().query("Feature != 'Leaf'")
    assert len(splits) > 300
    for number in range(4):
        found = splits.loc[splits["Feature"] == f"f{number}", "Split"]
        assert np.isin(found.astype(np.float32), limits[:, number]).all()
        assert len(set(found)) >= min(12, len(set(limits[:, number])) - 1)


# Threads ------------------------------------------------------------------------------


def test_xgboost_gets_the_threads_it_is_allowed(make_frames, monkeypatch):
    X, y = make_frames(120)
    threads = []
    for module in ("_xgboost", "_booster"):
        name = f"skbatch.forecasting.{module}.inner_threads"
        monkeypatch.setattr(name, lambda n_jobs: 40 + n_jobs)
    train, matrix, set_param = xgb.train, xgb.QuantileDMatrix, xgb.Booster.set_param

    def record_train(params, *args, **kwargs):
        threads.append(("train", params["nthread"]))
        return train({**params, "nthread": 1}, *args, **kwargs)

    def record_matrix(*args, nthread, **kwargs):
        threads.append(("matrix", nthread))
        return matrix(*args, nthread=1, **kwargs)

    def record_set_param(self, params, value=None):
        if isinstance(params, dict) and set(params) == {"nthread", "device"}:
            threads.append(("predict", params["nthread"]))
            params = {**params, "nthread": 1}
        return set_param(self, params, value)

    monkeypatch.setattr(xgb, "train", record_train)
    monkeypatch.setattr(xgb, "QuantileDMatrix", record_matrix)
    monkeypatch.setattr(xgb.Booster, "set_param", record_set_param)
    model = BatchXGBoostForecaster(n_estimators=2, n_jobs=2, early_stopping_rounds=1)
    model.fit(X, y)
    assert threads[:3] == [("matrix", 42), ("matrix", 42), ("train", 42)]
    threads.clear()
    model.predict(X)
    assert threads == [("predict", 42)]


def test_one_model_can_forecast_in_several_threads_at_once(make_frames):
    X, y = make_frames(150)
    model = BatchXGBoostForecaster(n_estimators=30, n_jobs=2).fit(X, y)
    expected = model.predict(X)

    def forecast(_):
        return all(model.predict(X).equals(expected) for _ in range(60))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(forecast, range(6)))


@pytest.fixture
def interruptible():
    """Python's own handler of Ctrl-C, which jobs in the background begin without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("moment", ["data", "tree"])
def test_an_interrupt_is_never_a_failed_fit(make_frames, monkeypatch, moment):
    X, y = make_frames(200, 3)
    trained = []

    def interrupt_in_data(self, rows, reference=None):
        signal.raise_signal(signal.SIGINT)
        return make_matrix(self, rows, reference)

    def interrupt_after_tree(self):
        trained.append(1)
        signal.raise_signal(signal.SIGINT)

    make_matrix = BatchXGBoostForecaster._matrix
    if moment == "data":
        monkeypatch.setattr(BatchXGBoostForecaster, "_matrix", interrupt_in_data)
    else:
        monkeypatch.setattr(
            StepCallback, "after_iteration", after_iteration_with(interrupt_after_tree)
        )
    handler = signal.getsignal(signal.SIGINT)
    model = FallbackForecaster(BatchXGBoostForecaster(n_estimators=50, n_jobs=1))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(trained) == (1 if moment == "tree" else 0)


def after_iteration_with(action):
    original = StepCallback.after_iteration

    def after_iteration(self, model, epoch, evals_log):
        action(self)
        return original(self, model, epoch, evals_log)

    return after_iteration


def test_standardised_volatilities_are_refused(make_frames):
    X, y = make_frames(100, 3)
    with pytest.raises(PanelError, match="must not be negative"):
        BatchXGBoostForecaster(n_estimators=2).fit((X - X.mean()) / X.std(), y)
