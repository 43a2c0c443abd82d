import json
import logging
import math
import pickle
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from skbatch.batch import _monitor
from skbatch.batch._advice import Record, Run, advise
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.batch._usage import Usage, rss
from skbatch.feature_extraction import SharedFeatureExtractor, clear_cache

MIB, GIB = 2**20, 2**30
COLUMNS = [
    "seconds",
    "cpu_seconds",
    "peak_bytes",
    "n_tickers",
    "n_rows",
    "n_fallback",
    "n_failed",
    "cache_hits",
    "extractions",
]


def usage(seconds=3.14, cpu=5.0, start=100 * MIB, peak=512 * MIB):
    return Usage(seconds, cpu, start, peak)


def monitor_of_two_batches():
    monitor = BatchPerformanceMonitor()
    monitor.n_batches = 2
    with monitor.stage("fit", n_rows=2484, n_tickers=80):
        monitor.record_batch("Energy", 50, 2484, usage(), n_fallback=1)
        monitor.record_batch("Banks", 30, 2484, usage(), n_failed=2, events=["mean: X"])
    return monitor


# ---------------------------------------------------------------- stages


def test_stages_are_measured():
    monitor = BatchPerformanceMonitor()
    start = time.perf_counter()
    with monitor.stage("features", n_rows=7, n_tickers=3):
        memory = b"x" * (150 * MIB)
        time.sleep(0.05)
    passed = time.perf_counter() - start
    del memory
    with monitor.stage("fit"):
        pass
    report = monitor.report()
    assert list(report.columns) == COLUMNS
    assert list(report.index) == [("stage", "features"), ("stage", "fit")]
    features, fit = report.iloc[0], report.iloc[1]
    assert 0.05 <= features["seconds"] <= passed
    assert features["peak_bytes"] - fit["peak_bytes"] > 100 * MIB
    assert (features["n_rows"], features["n_tickers"]) == (7, 3)
    assert fit.isna()[["n_rows", "n_tickers", "n_fallback", "n_failed"]].all()


def test_stages_that_come_again_are_added():
    monitor = BatchPerformanceMonitor()
    start = time.perf_counter()
    for pause, size in [(0.05, 100 * MIB), (0.01, 0)]:
        before = rss()
        with monitor.stage("forecast", n_tickers=4):
            memory = b"x" * size
            time.sleep(pause)
        del memory
    passed = time.perf_counter() - start
    report = monitor.report()
    assert report["peak_bytes"].item() - before > 80 * MIB
    assert list(report.index) == [("stage", "forecast")]
    assert 0.06 <= report["seconds"].item() <= passed
    assert report["n_tickers"].item() == 4


def test_a_stage_that_fails_is_measured_and_its_error_passes():
    monitor = BatchPerformanceMonitor()
    with pytest.raises(KeyboardInterrupt), monitor.stage("fit"):
        raise KeyboardInterrupt
    assert list(monitor.report().index) == [("stage", "fit")]
    with monitor.stage("other"):
        pass
    monitor.record_batch("all", 1, 1, usage())
    assert monitor._summary().total_seconds == pytest.approx(
        monitor.report().loc["stage", "seconds"].sum()
    )


def test_nested_stages_count_once_in_the_total():
    monitor = BatchPerformanceMonitor()
    with monitor.stage("fit"), monitor.stage("features"):
        time.sleep(0.02)
    monitor.record_batch("all", 1, 1, usage())
    seconds = monitor.report().loc[("stage", "fit"), "seconds"]
    assert monitor._summary().total_seconds == seconds


def test_the_use_of_the_cache_of_features_is_counted():
    clear_cache()
    rng = np.random.default_rng(0)
    prices = pd.DataFrame(
        np.exp(0.01 * rng.standard_normal((60, 2)).cumsum(axis=0)), columns=["A", "B"]
    )
    extractor = SharedFeatureExtractor(families=["returns"], windows=[5])
    monitor = BatchPerformanceMonitor()
    for _ in range(3):
        extractor.fit_transform(prices)
    for _ in range(2):
        with monitor.stage("features"):
            extractor.fit_transform(prices)
    with monitor.stage("features"):
        extractor.fit_transform(prices)
        extractor.fit_transform(prices * 2)
    with monitor.stage("cleared"):
        clear_cache()
    report = monitor.report()
    counts = report[["cache_hits", "extractions"]]
    assert counts.loc[("stage", "features")].tolist() == [3, 1]
    assert counts.loc[("stage", "cleared")].tolist() == [0, 0]


# ---------------------------------------------------------------- batches


def test_batches_are_reported():
    report = monitor_of_two_batches().report()
    assert list(report.index) == [
        ("stage", "fit"),
        ("batch", "Energy"),
        ("batch", "Banks"),
    ]
    energy = report.loc[("batch", "Energy")]
    assert energy[COLUMNS[:7]].tolist() == [3.14, 5.0, 512 * MIB, 50, 2484, 1, 0]
    assert energy.isna()[["cache_hits", "extractions"]].all()


def test_the_report_of_nothing_is_an_empty_table_of_the_same_types():
    empty, full = BatchPerformanceMonitor().report(), monitor_of_two_batches().report()
    assert empty.empty
    assert list(empty.columns) == COLUMNS
    assert (empty.dtypes == full.dtypes).all()
    assert empty.index.names == full.index.names == ["kind", "name"]


def test_every_batch_is_a_line_at_level_info(caplog):
    with caplog.at_level(logging.INFO, logger="skbatch"):
        monitor = monitor_of_two_batches()
        monitor.record_batch("Banks, simpler model", 1, 2484, usage())
        monitor = BatchPerformanceMonitor()
        monitor.record_batch("all", 7, 30, usage())
    assert {record.name for record in caplog.records} == {"skbatch"}
    assert caplog.messages == [
        "batch 1 of 2 (Energy): 50 tickers, 2484 rows, 3.1 s, peak 512 MiB, 1 by "
        "fallback, 0 without forecast",
        "batch 2 of 2 (Banks): 30 tickers, 2484 rows, 3.1 s, peak 512 MiB, 0 by "
        "fallback, 2 without forecast; mean: X",
        "batch 3 (Banks, simpler model): 1 ticker, 2484 rows, 3.1 s, peak 512 MiB, 0 "
        "by fallback, 0 without forecast",
        "batch 1 (all): 7 tickers, 30 rows, 3.1 s, peak 512 MiB, 0 by fallback, 0 "
        "without forecast",
    ]


def test_stages_are_lines_at_level_debug(caplog):
    monitor = BatchPerformanceMonitor()
    with caplog.at_level(logging.DEBUG, logger="skbatch"), monitor.stage("fit"):
        pass
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert caplog.messages[0].startswith("fit: 0.0 s, peak ")


def test_nothing_is_shown_until_the_application_configures_logging():
    code = (
        "from skbatch.batch._monitor import BatchPerformanceMonitor, Usage\n"
        "import logging; logging.getLogger('skbatch').setLevel(logging.DEBUG)\n"
        "BatchPerformanceMonitor().record_batch('all', 1, 1, Usage())\n"
        "print(logging.getLogger('skbatch').handlers, logging.getLogger().handlers)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True
    )
    assert run.stdout == "[<NullHandler (NOTSET)>] []\n"
    assert run.stderr == ""


def test_rates_are_shares_of_the_tickers_of_the_run():
    monitor = monitor_of_two_batches()
    assert monitor.fallback_rate == 1 / 80
    assert monitor.failure_rate == 2 / 80
    # A ticker that is tried again is still one.
    monitor.record_batch("Banks, simpler model", 3, 2484, usage(), n_fallback=3)
    assert monitor.fallback_rate == 4 / 80


def test_rates_without_a_stage_are_shares_of_the_batches():
    monitor = BatchPerformanceMonitor()
    assert math.isnan(monitor.fallback_rate)
    assert math.isnan(monitor.failure_rate)
    monitor.record_batch("x", 6, 10, usage(), n_fallback=3)
    monitor.record_batch("y", 2, 10, usage(), n_failed=1)
    assert (monitor.fallback_rate, monitor.failure_rate) == (3 / 8, 1 / 8)


# ---------------------------------------------------------------- hand-over


def test_json(tmp_path):
    monitor = monitor_of_two_batches()
    text = monitor.to_json(tmp_path / "run.json")
    content = json.loads(text, parse_constant=pytest.fail)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == content
    assert [stage["name"] for stage in content["stages"]] == ["fit"]
    assert content["stages"][0]["n_fallback"] is None
    assert content["batches"][1]["events"] == ["mean: X"]
    report = monitor.report().loc["batch"]
    for record, (name, row) in zip(content["batches"], report.iterrows(), strict=True):
        assert record["name"] == name
        known = row.drop(["cache_hits", "extractions"])
        assert {key: record[key] for key in known.index} == known.to_dict()
    assert content["fallback_rate"] == 1 / 80
    assert monitor.to_json() == text


def test_json_of_nothing():
    content = json.loads(
        BatchPerformanceMonitor().to_json(), parse_constant=pytest.fail
    )
    assert content == {
        "stages": [],
        "batches": [],
        "fallback_rate": None,
        "failure_rate": None,
    }


def test_monitors_survive_pickling():
    monitor = monitor_of_two_batches()
    copy = pickle.loads(pickle.dumps(monitor))
    pd.testing.assert_frame_equal(copy.report(), monitor.report())
    copy.record_batch("more", 1, 1, usage())
    assert len(copy.report()) == len(monitor.report()) + 1


def test_monitors_show_themselves(monkeypatch):
    # The peak of the stage is this process's, which other tests may have made large.
    monkeypatch.setattr(_monitor, "measure", lambda: nullcontext(usage(seconds=0.04)))
    monitor = monitor_of_two_batches()
    assert (
        repr(BatchPerformanceMonitor())
        == "BatchPerformanceMonitor: nothing measured yet"
    )
    assert repr(monitor) == (
        "BatchPerformanceMonitor: 80 tickers in 2 batches, 0.0 s, peak 512 MiB, 1.2% "
        "by fallback, 2.5% without forecast"
    )
    monitor.record_batch("<b>", 1, 1, usage())
    html = monitor._repr_html_()
    assert "80 tickers in 3 batches" in html
    assert "Energy" in html
    assert "<b>" not in html


# ---------------------------------------------------------------- recommendations


def run(n_tickers=100, batches=(100,), **values):
    """Make the summary of a run of which nothing is to be said."""
    growth = values.pop("growth", 2 * MIB)
    defaults = {
        "total_seconds": 100.0,
        "features_seconds": 20.0,
        "fit_seconds": 60.0,
        "fit_cpu_seconds": 220.0,
        "peak_bytes": GIB,
    }
    records = [
        Record(f"b{n}", 1.0, 1.0, GIB // 2, GIB // 2 + growth * n, n_tickers=n)
        for n in batches
    ]
    return Run(**{**defaults, **values}, n_tickers=n_tickers, batches=records)


def advice(*args, **kwargs):
    return advise(run(*args, **kwargs), n_cores=4, memory=8 * GIB)


def test_nothing_is_said_when_all_is_well():
    assert advice() == []
    assert advice(batches=(100, 3)) == []  # three were tried again
    assert advice(horizon=5, thin=5) == []
    assert advice(horizon=1, thin=1) == []


def test_smaller_batches_when_the_memory_is_nearly_full():
    assert advice(peak_bytes=int(6.3 * GIB)) == []
    assert advice(peak_bytes=int(6.5 * GIB)) == [
        "Smaller batches: the peak of 6.5 GiB was 81% of the 8.0 GiB available. Set "
        'memory_budget to "5.6GiB", or max_batch_size to 50.'
    ]
    (words,) = advice(n_tickers=1, batches=(1,), peak_bytes=8 * GIB)
    assert "max_batch_size" not in words


def test_one_batch_when_all_would_fit():
    assert advice(batches=(50, 30, 20)) == [
        "One batch: 50 tickers took 100 MiB, so all 100 would need about 712 MiB of "
        "the 8.0 GiB available. One model of all tickers learns from more: leave out "
        "max_batch_size."
    ]
    assert advice(batches=(50, 50), growth=40 * MIB) == []
    assert advice(batches=(50, 50), growth=0) == []
    assert advice(batches=(50, 50), peak_bytes=5 * GIB) == []


def test_fewer_threads_when_cores_are_idle():
    assert advice(fit_cpu_seconds=66.0) == [
        "Fewer threads: fits kept 1.1 of 4 cores busy (66.0 s of CPU time in 60.0 s). "
        "With n_jobs=2, the forecaster leaves the others to other work."
    ]
    several = run(batches=(50, 50), growth=0, fit_cpu_seconds=66.0)
    assert advise(several, 4, 8 * GIB) == [
        "Fewer threads, more workers: fits kept 1.1 of 4 cores busy (66.0 s of CPU "
        "time in 60.0 s). Run 2 batches at a time with n_jobs=2."
    ]
    assert advice(fit_cpu_seconds=121.0) == []
    assert advise(run(fit_cpu_seconds=55.0), 1, 8 * GIB) == []
    assert advise(run(fit_seconds=4.0, fit_cpu_seconds=4.0), 4, 8 * GIB) == []


def test_no_workers_are_recommended_where_there_is_no_core_for_them():
    several = run(batches=(50, 50), growth=0, fit_cpu_seconds=66.0)
    assert advise(several, 3, 8 * GIB)[0].startswith("Fewer threads: fits kept 1.1 of")


def test_fewer_workers_when_there_are_too_many():
    assert advice(fit_cpu_seconds=280.0) == []
    assert advice(fit_cpu_seconds=300.0) == [
        "Fewer workers or threads: fits kept 5.0 of 4 cores busy (300.0 s of CPU time "
        "in 60.0 s). Lower n_jobs."
    ]


def test_thinner_labels_when_fits_dominate_and_labels_overlap():
    long = {"fit_seconds": 75.0, "fit_cpu_seconds": 280.0}
    assert advice(**long, horizon=5, thin=3) == [
        "Thinner labels: fits took 75.0 of 100.0 s with thin=3, although labels of "
        "horizon 5 overlap. thin=5 trains on 60% of these rows."
    ]
    assert "thin=21 trains on 5%" in advice(**long, horizon=(5, 21), thin=1)[0]
    assert advice(**long, horizon=5) == []
    assert advice(horizon=5, thin=3) == []


def test_fewer_features_when_they_dominate():
    assert advice(features_seconds=49.0) == []
    assert advice(features_seconds=52.0) == [
        "Fewer features: they took 52.0 of 100.0 s. Choose fewer families or windows, "
        "or functions that compute all tickers at once."
    ]
    short = {"total_seconds": 6.0, "features_seconds": 4.0, "fit_seconds": 1.0}
    assert advice(**short) == []


def test_monitors_recommend_from_what_they_measured():
    monitor = BatchPerformanceMonitor()
    assert monitor.recommendations() == []
    monitor.horizon, monitor.thin = 5, 1
    monitor.record_batch("all", 10, 100, usage(10.0, cpu=9.0, peak=7 * GIB))
    words = monitor.recommendations(n_cores=4, available=8 * GIB)
    assert [sentence.split(":")[0] for sentence in words] == [
        "Smaller batches",
        "Fewer threads",
        "Thinner labels",
    ]
    assert "10.0 of 10.0 s" in words[2]
    assert "Smaller batches" not in str(monitor.recommendations(4, 80 * GIB))


def test_by_default_all_cores_and_the_memory_that_is_left_count(monkeypatch):
    monkeypatch.setattr(_monitor, "available_memory", lambda: 3 * GIB)
    monkeypatch.setattr(_monitor, "rss", lambda: GIB)
    monkeypatch.setattr(_monitor.joblib, "cpu_count", lambda: 6)
    monitor = BatchPerformanceMonitor()
    monitor.record_batch("all", 10, 100, usage(10.0, cpu=9.0, peak=4 * GIB))
    memory, cores = monitor.recommendations()
    assert "was 100% of the 4.0 GiB available" in memory
    assert "0.9 of 6 cores" in cores


@pytest.mark.parametrize(
    ("stage_cpu", "batch_cpu", "expected"),
    [(8.0, [4.0, 4.0], 8.0), (8.0, [8.0, 8.0], 8.0), (1.0, [4.0, 4.0], 9.0)],
    ids=["one after another", "threads", "processes"],
)
def test_cpu_time_is_counted_once_wherever_batches_run(stage_cpu, batch_cpu, expected):
    monitor = BatchPerformanceMonitor()
    monitor._stages["fit"] = Record("fit", 10.0, stage_cpu, 0, 0)
    for cpu in batch_cpu:
        monitor.record_batch("b", 1, 1, usage(5.0, cpu))
    assert monitor._summary().fit_cpu_seconds == expected
    assert monitor._summary().fit_seconds == 10.0
