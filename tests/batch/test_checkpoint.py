"""Runs that were interrupted go on, and only with what belongs to them."""

import logging
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
)
from skbatch.batch import _fit_batches
from skbatch.batch._checkpoint import Checkpoint
from skbatch.exceptions import BatchWarning, CheckpointError, ModelFitError
from skbatch.panel import liquid

TICKERS = list("ABCDEFGH")


@pytest.fixture
def fits(monkeypatch):
    """First tickers of the batches that were fitted."""
    seen = []
    fit = BatchLinearForecaster.fit

    def counted(self, X, y):
        seen.append(y.columns[0])
        return fit(self, X, y)

    monkeypatch.setattr(BatchLinearForecaster, "fit", counted)
    return seen


@pytest.fixture
def run(make_system, prices, tmp_path):
    """A function that runs in one and the same folder."""

    def run(prices=prices, **params):
        params = {"max_batch_size": 3, "checkpoint_dir": tmp_path / "run", **params}
        return make_system(**params).fit(prices)

    run.folder = tmp_path / "run"
    return run


def outcomes(folder):
    return sorted(folder.glob("batch-*.skbatch"))


def test_a_finished_run_fits_nothing_again(run, fits):
    first = run()
    assert fits == ["A", "C", "F"]
    assert len(outcomes(run.folder)) == 3
    second = run()
    assert fits == ["A", "C", "F"]
    pd.testing.assert_series_equal(
        second.forecast().expected_returns,
        first.forecast().expected_returns,
        check_exact=True,
    )
    pd.testing.assert_frame_equal(second.provenance_, first.provenance_)


def test_what_is_missing_is_redone(run, fits):
    first = run()
    outcomes(run.folder)[1].unlink()
    second = run(n_jobs=1)
    assert fits == ["A", "C", "F", "C"]
    pd.testing.assert_series_equal(
        second.forecast().expected_returns, first.forecast().expected_returns
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: content[:-9] + b"x" + content[-8:],
    ],
    ids=["truncated", "header", "empty", "changed"],
)
def test_damaged_outcomes_are_redone(run, fits, damage, caplog):
    first = run()
    path = outcomes(run.folder)[2]
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING, "skbatch"):
        second = run()
    assert fits == ["A", "C", "F", "F"]
    assert "is damaged; its work will be repeated" in caplog.text
    pd.testing.assert_series_equal(
        second.forecast().expected_returns, first.forecast().expected_returns
    )
    run()
    assert len(fits) == 4


def test_other_prices_are_refused(run, prices):
    run()
    changed = prices.copy()
    changed.iloc[50, 2] *= 1.0001
    with pytest.raises(CheckpointError, match=r"made with other prices\. Name another"):
        run(changed)
    with pytest.raises(CheckpointError, match="other prices"):
        run(prices.iloc[:-1])


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"horizon": 6}, "horizon"),
        ({"max_batch_size": 4}, "max_batch_size"),
        (
            {"forecaster": BatchLinearForecaster("per_ticker", alpha=0.5)},
            "forecaster__alpha",
        ),
        ({"groups": "correlation"}, "groups"),
    ],
)
def test_other_settings_are_refused_by_name(run, params, name):
    run()
    with pytest.raises(CheckpointError, match=f"made with other {name}. Name"):
        run(**params)


def test_how_it_is_run_may_change(run, fits):
    run()
    run(n_jobs=2, memory_budget=None)
    assert len(fits) == 3


def test_another_version_is_refused(run, monkeypatch):
    run()
    monkeypatch.setattr("skbatch.batch._checkpoint.__version__", "0.0.1")
    with pytest.raises(CheckpointError, match="made with other skbatch"):
        run()


@pytest.mark.parametrize("content", ["", "{", '{"identity": {}}', "[1]"])
def test_a_manifest_that_is_none_is_refused(run, content):
    run.folder.mkdir()
    (run.folder / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match="a manifest that cannot be read"):
        run()


def test_a_budget_may_find_another_machine(run, fits, monkeypatch):
    """The batches are those of the first run, whatever memory there is now."""
    sizes, plan = iter([3, 2]), _fit_batches.plan_memory
    monkeypatch.setattr(
        _fit_batches,
        "plan_memory",
        lambda *args: replace(plan(*args), batch_size=next(sizes)),
    )
    run(max_batch_size=None, memory_budget=0.5)
    run(max_batch_size=None, memory_budget=0.9)
    assert fits == ["A", "C", "F"]


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skbatch._writing.os.fsync", fail)
    with Checkpoint(tmp_path, {}) as checkpoint:
        with pytest.raises(OSError, match="No space left"):
            checkpoint.start([])
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_recovered_tickers_are_kept_too(run, prices, monkeypatch):
    fit, strategies = BatchLinearForecaster.fit, []

    def picky(self, X, y):
        strategies.append(self.strategy)
        if "C" in y.columns and self.strategy == "per_ticker":
            raise ModelFitError("planted")
        return fit(self, X, y)

    monkeypatch.setattr(BatchLinearForecaster, "fit", picky)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = run().forecast()
        n_fits = len(strategies)
        second = run().forecast()
    assert len(strategies) == n_fits
    pd.testing.assert_frame_equal(second.to_frame(), first.to_frame())
    assert (
        second.provenance.loc["C", "reason"]
        == "primary: fit failed (ModelFitError: planted)"
    )
    assert np.isfinite(second.expected_returns["C"])


def test_what_cannot_be_pickled_costs_only_the_checkpoints(run, make_faulty):
    with pytest.warns(BatchWarning, match="Forecasters must be picklable") as caught:
        system = run(forecaster=make_faulty("model"))
    assert len(caught) == 2
    assert outcomes(run.folder) == []
    assert system.forecast().expected_returns.notna().all()


class Other(BatchLinearForecaster):
    """The same parameters, other forecasts."""


def twice(panel):
    return panel.pct_change(2, fill_method=None)


def thrice(panel):
    return panel.pct_change(3, fill_method=None)


def test_another_class_with_the_same_parameters_is_refused(run):
    run()
    with pytest.raises(CheckpointError, match="made with other forecaster"):
        run(forecaster=Other("per_ticker"))


def test_another_function_of_the_same_name_is_refused(run):
    def features(function):
        own = {"mine": function}
        return SharedFeatureExtractor(windows=(5, 21, 63), functions=own, cache_size=0)

    run(features=features(twice))
    run(features=features(twice))
    with pytest.raises(CheckpointError, match="made with other features__functions"):
        run(features=features(thrice))


def test_a_function_is_known_by_what_it_returns(run, fits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def from_a_file(panel):
        rows = int(pd.read_csv("rows.csv").iloc[0, 0])
        return panel.pct_change(rows, fill_method=None)

    own = SharedFeatureExtractor(["returns"], functions={"mine": from_a_file})
    pd.DataFrame([2]).to_csv("rows.csv", index=False)
    run(features=own)
    n_fits = len(fits)
    run(features=own)
    assert len(fits) == n_fits
    pd.DataFrame([3]).to_csv("rows.csv", index=False)
    with pytest.raises(CheckpointError, match="made with other features__functions"):
        run(features=own)


def test_rules_of_a_universe_are_known(run, fits):
    own = SharedFeatureExtractor(["returns"], universe=liquid(min_price=1.0))
    for _ in range(2):
        run(features=own)
    assert len(fits) == 3


def test_other_functions_are_refused(run):
    model = BatchXGBoostForecaster(xgb_params={"own": lambda panel: panel})
    with pytest.raises(CheckpointError, match="forecaster__xgb_params, which is not"):
        run(forecaster=model)


def test_horizons_are_the_same_in_a_list_and_a_tuple(run, fits):
    run(horizon=[3, 5])
    run(horizon=(3, 5))
    assert len(fits) == 3


def test_a_resumed_batch_took_no_time(run):
    run()
    report = run().performance_.report()
    assert (report.loc["batch", "seconds"] == 0).all()


def test_a_folder_that_cannot_be_made_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="`checkpoint_dir` must be a folder"):
        run(checkpoint_dir=tmp_path / "file")


def test_a_folder_in_use_is_refused_by_name(run, tmp_path):
    run()
    with (
        Checkpoint(tmp_path / "held", {}),
        pytest.raises(CheckpointError, match=f"in use by process {os.getpid()} on "),
    ):
        run(checkpoint_dir=tmp_path / "held")
    assert [path.name for path in (tmp_path / "held").iterdir()] == ["lock"]
    run(checkpoint_dir=tmp_path / "held")


def test_a_run_that_fails_lets_the_folder_go(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_fit_batches, "plan_memory", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    run()
    with pytest.raises(CheckpointError, match="other horizon"):
        run(horizon=6)
    run()


HOLD = """
import sys, time
from skbatch.batch._checkpoint import Checkpoint
with Checkpoint(sys.argv[1], {}):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_run_holds_no_folder_and_leaves_nothing_unfinished(run):
    command = [sys.executable, "-c", HOLD, str(run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(CheckpointError, match=f"in use by process {process.pid}"):
            run()
        process.send_signal(signal.SIGKILL)
    unfinished = run.folder / ".batch-0000-012345.skbatch.0123abcd.unfinished"
    unfinished.touch()
    run()
    assert not unfinished.exists()
