import itertools
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time

import psutil
import pytest

from skbatch.batch import _usage
from skbatch.batch._usage import Usage, available_memory, format_bytes, measure, rss

MEGABYTE = 2**20


def take(megabytes):
    """Take memory that the system really has to give, for a moment."""
    return b"x" * (megabytes * MEGABYTE)


def wait_for_a_look(*usages, megabytes):
    """Wait, however busy the machine is, until memory that was taken has been seen."""
    for _ in range(6000):
        if all(u.peak_bytes - u.start_bytes > megabytes * MEGABYTE for u in usages):
            return
        time.sleep(0.01)


def run_alone(code):
    """Run code in a process of its own, with the module but not the package."""
    load = (
        "import importlib.util, sys\n"
        f"path = {_usage.__file__!r}\n"
        "spec = importlib.util.spec_from_file_location('_usage', path)\n"
        "_usage = importlib.util.module_from_spec(spec)\n"
        "sys.modules['_usage'] = _usage\n"
        "spec.loader.exec_module(_usage)\n"
    )
    return subprocess.check_output([sys.executable, "-c", load + code], text=True)


def test_seconds_are_wall_time_and_cpu_seconds_are_work():
    """In a process of its own: threads of other tests would count, too."""
    code = (
        "import time\n"
        "start = time.perf_counter()\n"
        "with _usage.measure() as sleeping:\n"
        "    time.sleep(0.3)\n"
        "passed = time.perf_counter() - start\n"
        "start = time.process_time()\n"
        "with _usage.measure() as working:\n"
        "    while time.process_time() < start + 0.1: pass\n"
        "spent = time.process_time() - start\n"
        "print(sleeping.seconds, sleeping.cpu_seconds, passed)\n"
        "print(working.seconds, working.cpu_seconds, spent)\n"
    )
    sleeping, working = (
        map(float, row.split()) for row in run_alone(code).splitlines()
    )
    seconds, cpu_seconds, passed = sleeping
    assert 0.3 <= seconds <= passed
    assert cpu_seconds < 0.15
    seconds, cpu_seconds, spent = working
    assert 0.08 < cpu_seconds <= spent
    assert seconds > 0.08


def test_the_peak_is_found_although_it_passes():
    take(300)  # the record of the process says nothing new
    before = rss()
    with measure() as usage:
        memory = take(200)
        wait_for_a_look(usage, megabytes=190)
        del memory
    assert abs(usage.start_bytes - before) < 20 * MEGABYTE
    assert 190 * MEGABYTE < usage.peak_bytes - usage.start_bytes < 260 * MEGABYTE
    with measure() as later:
        pass
    assert later.peak_bytes - later.start_bytes < 50 * MEGABYTE


@pytest.mark.skipif(sys.platform == "darwin", reason="the system keeps no record")
def test_a_peak_between_two_looks_is_found_on_record():
    """In a process of its own, which starts with a record of its own."""
    code = (
        "_usage._INTERVAL = 10.0\n"
        "with _usage.measure() as usage: b'x' * 200_000_000\n"
        "print(usage.peak_bytes - usage.start_bytes)"
    )
    assert int(run_alone(code)) > 190_000_000


def test_measurements_may_be_nested():
    with measure() as outer:
        with measure() as first:
            memory = take(150)
            wait_for_a_look(outer, first, megabytes=120)
            del memory
        with measure() as second:
            time.sleep(0.02)
    assert outer.seconds >= first.seconds + second.seconds
    assert outer.peak_bytes >= first.peak_bytes
    assert first.peak_bytes - second.peak_bytes > 100 * MEGABYTE


def test_measurements_in_threads_do_not_disturb_each_other():
    results = {}
    all_measure = threading.Event()

    def work(seconds):
        start = time.perf_counter()
        with measure() as usage:
            all_measure.wait()
            time.sleep(seconds)
        results[seconds] = usage, time.perf_counter() - start

    pauses = [0.01 * n for n in range(1, 9)]
    threads = [threading.Thread(target=work, args=[pause]) for pause in pauses]
    for thread in threads:
        thread.start()
    while len(_usage._SAMPLER._watching) < len(threads):
        time.sleep(0.001)
    assert sum(t.name == "skbatch" for t in threading.enumerate()) == 1
    all_measure.set()
    for thread in threads:
        thread.join()
    for pause in pauses:
        usage, passed = results[pause]
        assert pause <= usage.seconds <= passed
        assert usage.peak_bytes >= usage.start_bytes > 0


def test_the_thread_ends_with_the_last_measurement():
    with measure():
        assert any(t.name == "skbatch" for t in threading.enumerate())
    for thread in threading.enumerate():
        if thread.name == "skbatch":
            assert thread.daemon
            thread.join()  # within one interval


def test_an_exception_passes_and_leaves_the_measurement():
    with pytest.raises(ZeroDivisionError), measure() as usage:  # noqa: PT012
        time.sleep(0.01)
        1 / 0  # noqa: B018
    assert usage.seconds >= 0.01
    assert usage.peak_bytes > 0
    assert not _usage._SAMPLER._watching


def test_measurements_survive_pickling():
    with measure() as usage:
        pass
    assert pickle.loads(pickle.dumps(usage)) == usage
    assert Usage() == Usage(0.0, 0.0, 0, 0)


def _measure_in_child():
    with measure() as usage:
        memory = take(120)
        wait_for_a_look(usage, megabytes=100)
        del memory
    return usage.peak_bytes - usage.start_bytes


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_processes_measure_for_themselves():
    with measure(), multiprocessing.get_context("fork").Pool(1) as pool:
        for _ in range(5):
            assert pool.apply(_measure_in_child) > 100 * MEGABYTE


def test_measuring_is_cheap(monkeypatch):
    """Memory is looked at before and after, and once an interval in between."""
    looks = itertools.count()

    def counted():
        next(looks)
        return rss()

    monkeypatch.setattr(_usage, "rss", counted)
    monkeypatch.setattr(_usage, "_INTERVAL", 0.5)
    start = time.perf_counter()
    with measure():
        for _ in range(50):
            with measure():
                pass
    n_intervals = (time.perf_counter() - start) / 0.5
    assert next(looks) <= 2 * 51 + n_intervals + 1


def test_the_memory_of_this_process():
    assert abs(rss() - psutil.Process().memory_info().rss) < 20 * MEGABYTE


# ---------------------------------------------------------------- what is left


def write_group(folder, limit, usage, cached, version):
    """Write what the kernel tells of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    limit_name, usage_name, key = _usage._CGROUP_FILES[version]
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / usage_name).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{key} {cached}\nslab 1\n")


@pytest.fixture
def groups(tmp_path):
    """Give a function that lists the room in control groups under a folder."""

    def room(text):
        (tmp_path / "own").write_text(text)
        return list(_usage._cgroup_room(tmp_path / "sys", tmp_path / "own"))

    return room


def test_limits_of_a_container(groups, tmp_path):
    """The container sees its own group as the root: version 2 of the files."""
    write_group(tmp_path / "sys", 1000, 700, 50, version=2)
    assert groups("0::/\n") == [350]


def test_limits_of_every_group_above_count(groups, tmp_path):
    write_group(tmp_path / "sys/user/job", "max", 10, 0, version=2)
    write_group(tmp_path / "sys/user", 500, 100, 20, version=2)
    assert groups("0::/user/job\n") == [420]
    write_group(tmp_path / "sys/user/job", 90, 10, 0, version=2)
    assert groups("0::/user/job\n") == [80, 420]


def test_limits_of_the_first_version(groups, tmp_path):
    write_group(tmp_path / "sys/memory/job", 1000, 700, 50, version=1)
    write_group(tmp_path / "sys/cpu/job", 1, 1, 0, version=1)
    assert groups("4:memory:/job\n3:cpu:/job\n1:name=systemd:/x:y\n0::/\n") == [350]
    assert groups("4:blkio,memory:/job\n") == [350]


def test_groups_that_are_not_shown_are_passed_over(groups, tmp_path):
    """In a container the path may be one of the host, of which only the root shows."""
    write_group(tmp_path / "sys/memory", 1000, 700, 50, version=1)
    assert groups("4:memory:/docker/af01\n") == [350]
    assert list(_usage._cgroup_room(tmp_path, tmp_path / "nothing")) == []


@pytest.mark.parametrize(
    ("room", "expected"), [([], 900), ([5000], 900), ([70, 400], 70), ([-3], 0)]
)
def test_the_lowest_limit_decides(monkeypatch, room, expected):
    class Memory:
        available = 900

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    monkeypatch.setattr(_usage, "_cgroup_room", lambda: iter(room))
    assert available_memory() == expected


def test_this_machine_has_memory_left():
    assert 0 < available_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 MiB"),
        (512 * 2**20, "512 MiB"),
        (2**30, "1.0 GiB"),
        (3 * 2**29, "1.5 GiB"),
    ],
)
def test_bytes_are_written_for_people(size, text):
    assert format_bytes(size) == text
