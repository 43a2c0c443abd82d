"""Whatever fails, every ticker has a forecast or a reason, the healthy ones theirs."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch._kernels.target import typical_volatility
from skbatch.batch import BatchErrorHandler
from skbatch.batch._checkpoint import Checkpoint
from skbatch.exceptions import BatchWarning, FallbackWarning, ModelFitError
from skbatch.feature_extraction import engine
from skbatch.forecasting import HistoricalMeanForecaster
from skbatch.forecasting._common_return import forward_common_return
from skbatch.forecasting.engine import Universe

TICKERS = list("ABCDEFGH")


def small_features():
    return SharedFeatureExtractor(windows=(5, 21, 63), cache_size=0)


@pytest.fixture(scope="module")
def expected(make_system, prices):
    """Forecasts of a run without a fault."""
    return make_system().fit(prices).forecast()


def steps(system):
    return list(system.events_["step"])


@pytest.mark.parametrize("params", [{}, {"max_batch_size": 3}], ids=["first", "later"])
def test_out_of_memory_halves_the_batch(
    make_system,
    make_faulty,
    prices,
    expected,
    fit_quietly,
    assert_accounted,
    assert_same,
    params,
):
    # Batches are A–B, C–E and F–H: the second fails.
    bad = TICKERS if not params else ["E"]
    faulty = make_faulty("memory", tickers=bad, largest=None)
    faulty = make_faulty("memory", largest=2) if not params else faulty
    system = fit_quietly(make_system(forecaster=faulty, **params), prices)
    result = system.forecast()
    assert_accounted(result, TICKERS)
    assert "halved" in steps(system)
    assert (system.events_["error"] == "MemoryError: planted").all()
    healthy = [t for t in TICKERS if t not in bad] if params else TICKERS
    assert_same(result, expected, healthy)


def test_a_ticker_that_never_fits_into_memory_gets_a_simpler_model(
    make_system, make_faulty, prices, expected, fit_quietly, assert_same
):
    system = fit_quietly(
        make_system(forecaster=make_faulty("memory", tickers=["C"])), prices
    )
    result = system.forecast()
    assert_same(result, expected, [t for t in TICKERS if t != "C"])
    assert result.provenance.loc["C", "model"] == "BatchLinearForecaster"
    assert (
        result.provenance.loc["C", "reason"]
        == "primary: fit failed (MemoryError: planted)"
    )
    assert np.isfinite(result.expected_returns["C"])
    assert steps(system) == ["halved"] * 3 + ["simpler model"]


def test_features_that_do_not_fit_into_memory_are_made_for_fewer_tickers(
    make_system, prices, expected, monkeypatch, fit_quietly, assert_same
):
    original = SharedFeatureExtractor.transform_blocks
    calls = []

    def transform_blocks(self, X, **options):
        if options["features"] is None and not calls:
            calls.append(X)
            raise MemoryError("Unable to allocate 9 GiB")
        return original(self, X, **options)

    monkeypatch.setattr(SharedFeatureExtractor, "transform_blocks", transform_blocks)
    monkeypatch.setattr(engine, "BLOCK_BYTES", 0)  # less is computed at once
    system = fit_quietly(make_system(), prices)
    assert steps(system) == ["halved"]
    assert_same(system.forecast(), expected, TICKERS)


@pytest.mark.parametrize("fault", ["model", "xgboost", "algebra"])
@pytest.mark.parametrize("bad", [["C"], ["A", "H"], ["B", "C", "D", "E"]])
def test_offenders_are_found_and_taken_out(
    make_system,
    make_faulty,
    prices,
    expected,
    fit_quietly,
    assert_accounted,
    assert_same,
    fault,
    bad,
):
    system = fit_quietly(make_system(forecaster=make_faulty(fault, bad)), prices)
    result = system.forecast()
    assert_accounted(result, TICKERS)
    assert_same(result, expected, [t for t in TICKERS if t not in bad])
    error = {"model": "ModelFitError", "xgboost": "XGBoostError"}
    reason = f"primary: fit failed ({error.get(fault, 'LinAlgError')}: planted)"
    served = result.provenance.loc[bad]
    assert (served["reason"] == reason).all()
    assert (served["model"] == "BatchLinearForecaster").all()
    assert steps(system) == ["taken out", "simpler model"]
    assert tuple(system.events_["tickers"][0]) == tuple(bad)


def test_the_pooled_model_learns_from_the_healthy_tickers_together(
    make_system, prices, fit_quietly, monkeypatch
):
    """The healthy tickers' model is that of a portfolio in which nobody else learns."""
    original = BatchXGBoostForecaster._fit_table
    seen = []

    def fit_table(self, features, labels, layout):
        if "C" in layout.tickers:
            raise ModelFitError("XGBoostError: planted")
        seen.append(layout.tickers)
        original(self, features, labels, layout)

    model = FallbackForecaster(BatchXGBoostForecaster(n_estimators=5, n_jobs=1))
    monkeypatch.setattr(BatchXGBoostForecaster, "_fit_table", fit_table)
    system = fit_quietly(make_system(forecaster=model), prices)
    healthy = [t for t in TICKERS if t != "C"]
    assert seen[-1] == tuple(healthy)
    result = system.forecast()
    assert list(result.provenance["model"] == "BatchLinearForecaster") == [
        t == "C" for t in TICKERS
    ]
    assert (
        result.provenance.loc["C", "reason"]
        == "primary: fit failed (XGBoostError: planted)"
    )
    # The same by hand: features of all, market of all, and a model of the healthy.
    y = forward_returns(prices, 5)
    X = small_features().fit_transform(prices)
    own = [
        [f"{t}__{name}" for t in TICKERS] for name in ("volatility_63", "volatility_21")
    ]
    long, short = (X[columns].to_numpy() for columns in own)
    volatility = np.where(long > 0, long, short)
    typical = pd.Series(typical_volatility(volatility), X.index)
    X = X[[c for c in X if not c.startswith("C__")]]
    X.attrs["universe"] = Universe(forward_common_return(y, volatility), typical)
    by_hand = FallbackForecaster(BatchXGBoostForecaster(n_estimators=5, n_jobs=1))
    by_hand.fit(X, y[healthy])
    np.testing.assert_allclose(
        by_hand.predict(X.iloc[[-1]]).iloc[0], result.expected_returns[healthy]
    )


def test_the_search_for_offenders_ends(
    make_system, make_faulty, prices, fit_quietly, tmp_path, assert_accounted
):
    log = tmp_path / "fits"
    faulty = make_faulty("model", TICKERS, log=str(log))
    handler = BatchErrorHandler(max_attempts=4)
    system = fit_quietly(make_system(forecaster=faulty, error_handler=handler), prices)
    assert len(log.read_text().splitlines()) <= 5
    assert_accounted(system.forecast(), TICKERS)
    assert set(system.provenance_["model"]) == {"BatchLinearForecaster"}


def test_the_ladder_goes_down_to_the_mean_and_to_nan(
    make_system, prices, fit_quietly, monkeypatch, assert_accounted, make_faulty
):
    """When the simpler model fails on two tickers, too, they get their mean."""
    original = BatchLinearForecaster.fit

    def fit(self, X, y):
        if type(self) is BatchLinearForecaster and {"C", "F"} & set(y.columns):
            raise ModelFitError("too simple")
        return original(self, X, y)

    monkeypatch.setattr(BatchLinearForecaster, "fit", fit)
    prices = prices.copy()
    prices.loc[prices.index[:-22], "F"] = np.nan  # no 21 labels
    system = make_system(forecaster=make_faulty("model", ["C", "F"]))
    system = fit_quietly(system, prices)
    result = system.forecast()
    assert_accounted(result, TICKERS)
    assert steps(system) == [
        "taken out",
        "simpler model",
        "one ticker at a time",
    ]
    assert result.provenance.loc["C", "model"] == "HistoricalMeanForecaster"
    returns = prices["C"].shift(-5) / prices["C"] - 1
    size = 10 * 1.4826 * returns.abs().median()
    assert result.expected_returns["C"] == pytest.approx(
        returns.clip(-size, size).mean(), rel=1e-3
    )
    assert result.provenance.loc["F", "model"] == "none"
    reason = (
        "primary: fit failed (ModelFitError: planted); "
        "fallback: fit failed (ModelFitError: too simple); mean: 17 labels, needs 21"
    )
    assert result.provenance.loc["F", "reason"].startswith(reason)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("argument", ValueError),
        ("program", AttributeError),
        ("stop", KeyboardInterrupt),
    ],
)
def test_what_is_no_failure_of_a_model_is_raised(
    make_system, make_faulty, prices, fault, error
):
    system = make_system(forecaster=make_faulty(fault, ["C"]))
    with pytest.raises(error):
        system.fit(prices)


def test_a_fault_is_told_once(make_system, make_faulty, prices):
    system = make_system(forecaster=make_faulty("model", ["C"]))
    with (
        pytest.warns(BatchWarning, match="took 2 steps.*ModelFitError: planted"),
        pytest.warns(FallbackWarning, match="cannot forecast 1 of 8 tickers: C. See"),
    ):
        system.fit(prices)


# Processes and disks ------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_process_that_dies_once_costs_nothing(
    make_system,
    make_faulty,
    prices,
    expected,
    fit_quietly,
    tmp_path,
    assert_same,
    assert_accounted,
):
    faulty = make_faulty("die", ["D"], times=str(tmp_path / "deaths"))
    system = make_system(forecaster=faulty, max_batch_size=3, n_jobs=2)
    system = fit_quietly(system, prices)
    result = system.forecast()
    assert_accounted(result, TICKERS)
    assert_same(result, expected, TICKERS)
    assert "tried again in its own process" in steps(system)
    assert (result.provenance["reason"] == "").all()


@pytest.mark.slow
def test_a_ticker_that_kills_its_process_gets_a_simpler_model(
    make_system, make_faulty, prices, expected, fit_quietly, assert_same
):
    faulty = make_faulty("die", ["D"])
    system = make_system(forecaster=faulty, max_batch_size=4, n_jobs=2)
    result = fit_quietly(system, prices).forecast()
    assert_same(result, expected, [t for t in TICKERS if t != "D"])
    assert result.provenance.loc["D", "model"] == "BatchLinearForecaster"
    assert "TerminatedWorkerError" in result.provenance.loc["D", "reason"]
    assert len(result.provenance.loc["D", "reason"]) < 500


def test_a_full_disk_costs_only_the_checkpoints(
    make_system, prices, expected, tmp_path, monkeypatch, assert_same
):
    written = []

    def save(self, task, outcome):
        written.append(task)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoint, "save", save)
    system = make_system(max_batch_size=3, checkpoint_dir=tmp_path / "run")
    with pytest.warns(BatchWarning) as caught:
        system.fit(prices)
    assert any("No space left on device" in str(w.message) for w in caught)
    assert len(written) == 1
    assert_same(system.forecast(), expected, TICKERS)


def test_a_disk_that_is_full_from_the_start_costs_only_the_checkpoints(
    make_system, prices, expected, tmp_path, monkeypatch, assert_same
):
    def write(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skbatch.batch._checkpoint.write_whole", write)
    system = make_system(max_batch_size=3, checkpoint_dir=tmp_path / "run")
    with pytest.warns(BatchWarning, match=r"No space left .* continues without"):
        system.fit(prices)
    assert_same(system.forecast(), expected, TICKERS)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_run_goes_on_where_it_was(
    make_system, make_faulty, prices, expected, tmp_path, assert_same
):
    """A run is killed by SIGKILL in its second batch, and started again."""
    prices.to_pickle(tmp_path / "prices.pkl")
    script = textwrap.dedent(
        """
        import os, signal, sys
        import pandas as pd
        from skbatch import BatchLinearForecaster, SharedFeatureExtractor
        from skbatch.batch import BatchForecastingSystem

        folder, kill = sys.argv[1], sys.argv[2] == "kill"
        fit = BatchLinearForecaster.fit

        def counted(self, X, y):
            with open(f"{folder}/fits", "a") as file:
                file.write(y.columns[0])
            if kill and "D" in y.columns:
                os.kill(os.getpid(), signal.SIGKILL)
            return fit(self, X, y)

        BatchLinearForecaster.fit = counted
        system = BatchForecastingSystem(
            features=SharedFeatureExtractor(windows=(5, 21, 63), cache_size=0),
            forecaster=BatchLinearForecaster("per_ticker"),
            max_batch_size=3,
            checkpoint_dir=f"{folder}/run",
        )
        system.fit(pd.read_pickle(f"{folder}/prices.pkl"))
        system.forecast().expected_returns.to_pickle(f"{folder}/forecasts.pkl")
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run([*command, "kill"], capture_output=True, check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "forecasts.pkl").exists()
    assert (tmp_path / "fits").read_text() == "AC"
    subprocess.run([*command, "live"], check=True)
    # The first batch is not fitted again.
    assert (tmp_path / "fits").read_text() == "ACCF"
    from pandas import read_pickle, testing

    testing.assert_series_equal(
        read_pickle(tmp_path / "forecasts.pkl"),
        expected.expected_returns,
        check_exact=True,
    )


def test_nothing_known_is_a_reason(make_system, prices, assert_accounted, fit_quietly):
    """A ticker whose returns are all unknown, alone in its batch."""
    prices = prices.copy()
    prices.loc[prices.index[:-30], "H"] = np.nan
    system = make_system(
        horizon=60, max_batch_size=1, forecaster=HistoricalMeanForecaster()
    )
    result = fit_quietly(system, prices).forecast()
    assert_accounted(result, TICKERS)
    assert "no return over the horizon is known" in result.provenance.loc["H", "reason"]
