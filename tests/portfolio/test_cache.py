import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch._writing import lock
from skbatch.exceptions import PortfolioWarning
from skbatch.portfolio._cache import DiskCache, MemoryCache


def test_memory_finds_what_was_put():
    cache = MemoryCache()
    assert cache.get("a") is None
    cache.put("a", "é")
    assert cache.get("a") == "é"
    cache.put("a", "b")
    assert (cache.get("a"), len(cache), cache.n_bytes) == ("b", 1, 1)
    cache.clear()
    assert cache.get("a") is None


def test_memory_keeps_what_was_read():
    cache = MemoryCache(max_entries=2)
    for key in "ab":
        cache.put(key, key)
    cache.get("a")
    cache.put("c", "c")
    assert [cache.get(key) for key in "abc"] == ["a", None, "c"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.booleans())),
    st.integers(1, 4),
    st.integers(1, 60),
)
def test_memory_stays_within_bounds_and_drops_the_least_recent(steps, entries, n_bytes):
    cache, kept = MemoryCache(entries, n_bytes), []
    for key, size, is_read in steps:
        name = str(key)
        known = dict(kept).get(name)
        if is_read:
            assert cache.get(name) == known
            if known is None:
                continue
            text = known
        else:
            text = "x" * size
            cache.put(name, text)
        # The slow reference: a list, the most recent at its end.
        kept = [pair for pair in kept if pair[0] != name] + [(name, text)]
        while len(kept) > entries or sum(len(t) for _, t in kept) > n_bytes:
            kept.pop(0)
        assert len(cache) == len(kept) <= entries
        assert cache.n_bytes <= n_bytes
    assert all(cache.get(name) == text for name, text in kept)


def test_disk_finds_what_another_put(tmp_path):
    DiskCache(tmp_path / "new" / "folder").put("a", "é\n{}")
    assert DiskCache(tmp_path / "new" / "folder").get("a") == "é\n{}"
    assert DiskCache(tmp_path).get("a") is None


def names(folder):
    return sorted(path.name.split(".")[0] for path in folder.glob("*.json"))


def test_disk_stays_within_bounds_and_drops_the_least_recent(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    cache = DiskCache(tmp_path, max_entries=3, max_bytes=200)
    for number, key in enumerate("abc"):
        cache.put(key, "x" * 20)
        os.utime(next(tmp_path.glob(f"{key}.*")), (number, number))
    assert cache.get("a")
    cache.put("d", "x" * 20)
    assert names(tmp_path) == ["a", "c", "d", "mine"]
    cache.put("e", "x" * 150)
    assert names(tmp_path) == ["d", "e", "mine"]
    cache.put("f", "x" * 500)
    assert names(tmp_path) == ["mine"]


@pytest.mark.parametrize("damage", [b"", b"x", b"00000000\n{}", None])
def test_a_damaged_entry_is_none(tmp_path, damage):
    cache = DiskCache(tmp_path)
    cache.put("a", "x" * 100)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    with pytest.warns(PortfolioWarning, match="is damaged"):
        assert cache.get("a") is None
    cache.put("a", "y")
    assert cache.get("a") == "y"


def test_a_folder_that_cannot_be_written_costs_no_forecast(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    cache = DiskCache(tmp_path)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.warns(PortfolioWarning, match="could not be written.*No space left"):
        cache.put("a", "x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_deleted(tmp_path):
    old, new = (tmp_path / f".{n}.0123abcd.unfinished" for n in ("old", "new"))
    old.touch()
    with new.open("xb") as file:
        assert lock(file)
        DiskCache(tmp_path).put("a", "x")
        assert not old.exists()
        assert new.exists()


def test_many_write_and_read_at_once(tmp_path):
    def use(number):
        cache = DiskCache(tmp_path, max_entries=5)
        cache.put(str(number % 9), "x" * 5000)
        return cache.get(str(number % 9))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(use, range(200)))
    assert set(found) <= {None, "x" * 5000}
    # Each deletes by its own list of the files, so that fewer may be left than fit, and
    # spares what another has used since, so that each of the eight may leave one more.
    assert 1 <= len(list(tmp_path.iterdir())) <= 5 + 8
    for key in "abcde":
        DiskCache(tmp_path, max_entries=5).put(key, "x")
    assert len(list(tmp_path.iterdir())) == 5


def test_what_another_uses_meanwhile_is_not_deleted(tmp_path, monkeypatch):
    cache = DiskCache(tmp_path, max_entries=2)
    for second, key in enumerate("ab"):
        cache.put(key, key)
        os.utime(next(tmp_path.glob(f"{key}.*")), (second, second))
    files = DiskCache._files

    def list_then_read(self, suffix):
        listed = list(files(self, suffix))
        DiskCache(tmp_path).get("a")
        return listed

    monkeypatch.setattr(DiskCache, "_files", list_then_read)
    cache.put("c", "c")
    monkeypatch.undo()
    assert names(tmp_path) == ["a", "b", "c"]
    cache.put("d", "d")
    assert "b" not in names(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_file_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"`cache_dir` must be a folder\. Got .*file"):
        DiskCache(tmp_path / name)
