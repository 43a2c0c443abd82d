import pytest

from skbatch.portfolio import _cache
from skbatch.portfolio._cache import MEMORY, open_folder, recall
from skbatch.portfolio._expected import ExpectedReturns


@pytest.fixture
def find():
    """Recall a forecast of as many rows as its key is long, and count what is made."""
    made = []

    def find(key, folder=None):
        def make():
            made.append(key)
            return ExpectedReturns({"A": 0.1}, horizon=len(key))

        assert recall(key, make, folder).horizon == len(key)
        return made

    return find


def test_a_forecast_is_made_once(find, tmp_path):
    for folder in (None, open_folder(True, tmp_path / "new" / "folder")):
        n_before = len(find("aa", folder))
        assert len(find("aa", folder)) == n_before
        assert len(find("b", folder)) == n_before + 1


def test_a_process_drops_what_was_used_least_recently(find, monkeypatch):
    monkeypatch.setattr(_cache, "MAX_ENTRIES", 2)
    for key in ("a", "bb", "a", "ccc"):
        find(key)
    assert list(MEMORY) == ["a", "ccc"]


def test_a_folder_stays_within_bounds(find, tmp_path, monkeypatch):
    monkeypatch.setitem(_cache.LIMITS, "items_limit", 2)
    (tmp_path / "mine.json").write_text("{}")
    for key in ("a", "bb", "ccc", "dddd"):
        find(key, open_folder(True, tmp_path))
    assert len(list(tmp_path.rglob("output.pkl"))) == 2
    assert (tmp_path / "mine.json").exists()


@pytest.mark.parametrize("damage", [b"", b"x"])
def test_a_damaged_file_is_made_anew(find, tmp_path, damage):
    find("a", open_folder(True, tmp_path))
    (path,) = tmp_path.rglob("output.pkl")
    path.write_bytes(damage)
    for _ in range(2):
        assert find("a", open_folder(True, tmp_path)) == ["a", "a"]


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_file_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"`cache_dir` must be a folder\. Got .*file"):
        open_folder(True, tmp_path / name)
