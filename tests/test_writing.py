"""Files are there whole or not at all, and locks end with their process."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from skbatch._writing import lock, remove_unfinished, write_whole, written_whole

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")
CONTENT = "σ" * 100_000


def test_new_and_old_files_have_the_content_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.csv"
    for content in ("first", CONTENT):
        write_whole(path, content)
        assert path.read_text("utf-8") == content
        assert list(tmp_path.iterdir()) == [path]


def fail_in_write(path):
    with written_whole(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def fail_in_fsync(path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        write_whole(path, CONTENT)


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_changes_nothing(tmp_path, monkeypatch, there):
    path = tmp_path / "a.csv"
    if there:
        path.write_text("yesterday")
    with pytest.raises(OSError, match="No space"):
        fail_in_fsync(path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fail_in_write(path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["yesterday"] * there


def test_a_file_that_another_drops_meanwhile_is_written_anew(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    monkeypatch.setattr(type(path), "is_file", lambda _: True)
    with written_whole(path) as file:
        assert not path.exists()
        file.write(b"new")
    assert path.read_bytes() == b"new"


@posix
def test_links_and_permissions_are_kept(tmp_path):
    target, link = tmp_path / "deep" / "a.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(os.path.join("deep", "a.csv"))
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@posix
def test_a_new_file_has_the_permissions_that_open_gives(tmp_path):
    (tmp_path / "a").touch()
    write_whole(tmp_path / "b", "new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@posix
@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write all")
def test_a_file_that_is_protected_is_not_replaced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        write_whole(path, "new")
    assert path.read_text() == "old"


@posix
def test_a_pipe_gets_the_content(tmp_path):
    path, got = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    write_whole(path, "content")
    reader.join()
    assert got == [b"content"]
    assert stat.S_ISFIFO(path.stat().st_mode)


HALF = """
import sys, time
from skbatch._writing import written_whole
with written_whole(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    time.sleep(600)
"""


@posix
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    path, other = tmp_path / "a.csv", tmp_path / ".b.csv.0123abcd.unfinished"
    other.touch()
    command = [sys.executable, "-c", HALF, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        write_whole(path, "meanwhile")
        assert len(list(tmp_path.iterdir())) == 3, "another's unfinished file is needed"
        process.send_signal(signal.SIGKILL)
    write_whole(path, "next")
    assert path.read_text() == "next"
    assert sorted(tmp_path.iterdir()) == [other, path]
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_for_one(tmp_path):
    path = tmp_path / "lock"
    with path.open("ab") as first, path.open("ab") as second:
        assert lock(first)
        assert not lock(second)
        first.close()
        assert lock(second)
