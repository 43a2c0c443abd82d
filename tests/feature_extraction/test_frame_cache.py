"""The cache of feature frames: counts, safety from changes, bounds, keys."""

import mmap
import os
import pickle
from functools import partial
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skbatch import SharedFeatureExtractor
from skbatch.feature_extraction import _frame_cache, cache_info, clear_cache

SETTINGS = {"families": ["returns", "market"], "windows": (5, 10)}


@pytest.fixture
def closes(ohlcv):
    return ohlcv["Close"]


class LastReturn(RegressorMixin, BaseEstimator):
    """The smallest forecaster that has something to search."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.nan_to_num(self.factor * X["T5__log_return_1"].to_numpy())


def test_a_search_extracts_once_per_fold_and_side(closes):
    model = make_pipeline(SharedFeatureExtractor(**SETTINGS), LastReturn())
    grid = {"lastreturn__factor": [-1.0, 0.0, 0.5, 1.0]}
    search = GridSearchCV(model, grid, cv=TimeSeriesSplit(3), refit=False)
    search.fit(closes.iloc[140:], closes["T5"].fillna(0).iloc[140:])
    info = cache_info()
    assert info.extractions == 3 * 2
    assert info.hits == 3 * 2 * 3
    assert info.entries == 6


def test_equal_content_is_found_and_other_content_is_not(closes):
    first = SharedFeatureExtractor(**SETTINGS).fit_transform(closes)
    again = SharedFeatureExtractor(**SETTINGS).fit_transform(closes.copy())
    pd.testing.assert_frame_equal(first, again)
    assert cache_info()[:2] == (1, 1)
    for other in (
        closes.iloc[1:],
        closes * 2,
        closes.add_prefix("A"),
        closes.set_axis(closes.index + pd.Timedelta(days=1)),
        closes.tz_localize("UTC"),
        closes.drop(index=closes.index[350]),
    ):
        before = cache_info().extractions
        SharedFeatureExtractor(**SETTINGS).fit_transform(other)
        assert cache_info().extractions == before + 1


@pytest.mark.parametrize(
    "change",
    [
        {"families": ["returns"]},
        {"windows": (5, 11)},
        {"functions": {"level": lambda panel: panel}},
        {"market_data": pd.Series([1.0], [pd.Timestamp("2015-03-01")], name="vix")},
        {"groups": {"T4": "x", "T5": "x"}, "families": ["returns", "market", "group"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_are_part_of_the_key(closes, change):
    SharedFeatureExtractor(**SETTINGS).fit_transform(closes)
    SharedFeatureExtractor(**{**SETTINGS, **change}).fit_transform(closes)
    assert cache_info().extractions == 2


def test_contents_of_settings_are_part_of_the_key(closes):
    vix = pd.Series([1.0], [closes.index[0]], name="vix")
    frames = [
        SharedFeatureExtractor(
            [*SETTINGS["families"], "group"], (5,), market_data=vix * factor, groups=g
        ).fit_transform(closes)
        for factor in (1, 2)
        for g in ({"T4": "x", "T5": "x"}, {"T4": "x", "T5": "y"})
    ]
    assert cache_info().extractions == 4
    assert not frames[0].equals(frames[1])
    assert frames[3]["market__vix"].iloc[-1] == 2


def test_the_history_is_part_of_the_key(closes):
    later = closes.iloc[300:]
    whole = SharedFeatureExtractor(**SETTINGS).fit_transform(closes)
    alone = SharedFeatureExtractor(**SETTINGS).fit_transform(later)
    model = SharedFeatureExtractor(**SETTINGS).fit(closes.iloc[:300])
    for _ in range(2):
        pd.testing.assert_frame_equal(
            model.transform(later), whole.iloc[300:], check_freq=False
        )
    assert not alone.equals(whole.iloc[300:])
    assert cache_info()[:2] == (1, 3)


def test_the_same_rows_with_and_without_history_are_told_apart(closes):
    whole = SharedFeatureExtractor(**SETTINGS).fit_transform(closes)
    model = SharedFeatureExtractor(**SETTINGS)
    with pytest.warns(UserWarning, match="Got 5"):
        model.fit(closes.iloc[150:155])
    rows = model.transform(closes.iloc[155:])
    assert len(rows) == len(closes) - 155
    model.fit_transform(closes.iloc[150:])
    assert cache_info()[:2] == (0, 3)
    np.testing.assert_array_equal(rows.iloc[20:], whole.iloc[175:])


def test_changes_to_a_result_do_not_reach_the_cache(closes):
    model = SharedFeatureExtractor(**SETTINGS)
    first = model.fit_transform(closes)
    expected = first.copy(deep=True)
    first.iloc[:, :] = 0.0
    first["T5__log_return_5"] = 1.0
    first.columns = [f"changed {name}" for name in first]
    second = model.fit_transform(closes)
    pd.testing.assert_frame_equal(second, expected)
    second.loc[second.index[3]] = -1.0
    pd.testing.assert_frame_equal(model.fit_transform(closes), expected)
    assert cache_info()[:2] == (2, 1)


def test_changes_to_an_array_do_not_reach_the_cache(closes):
    model = SharedFeatureExtractor(**SETTINGS)
    first = model.fit_transform(closes.to_numpy())
    expected = first.copy()
    first[:] = 0.0
    np.testing.assert_array_equal(model.fit_transform(closes.to_numpy()), expected)
    assert cache_info().hits == 1


def test_labels_of_a_found_frame_are_the_caller_s(closes):
    model = SharedFeatureExtractor(**SETTINGS)
    model.fit_transform(closes)
    found = model.fit_transform(closes.rename_axis(index="date"))
    assert cache_info().hits == 1
    assert found.index.name == "date"


def test_the_least_recently_used_frames_leave_beyond_the_limit(closes):
    panels = [closes.iloc[:200] * factor for factor in range(1, 6)]
    size = SharedFeatureExtractor(**SETTINGS).fit_transform(panels[0]).size * 4
    assert cache_info().size == size
    clear_cache()
    model = SharedFeatureExtractor(**SETTINGS, cache_size=4 * size + 10)
    for number in (0, 1, 2, 3, 0, 4):  # 1 leaves: 0 was used later
        model.fit_transform(panels[number])
    assert cache_info() == (1, 5, 4, 4 * size)
    model.fit_transform(panels[0])
    assert cache_info().hits == 2
    model.fit_transform(panels[1])
    assert cache_info().extractions == 6


def test_a_frame_beyond_the_limit_is_not_held(closes):
    model = SharedFeatureExtractor(**SETTINGS, cache_size=100)
    model.fit_transform(closes)
    assert cache_info() == (0, 1, 0, 0)


def test_no_cache(closes):
    model = SharedFeatureExtractor(**SETTINGS, cache_size=0)
    model.fit_transform(closes)
    model.fit_transform(closes)
    assert cache_info() == (0, 2, 0, 0)


def test_a_pickle_does_not_carry_the_cache(closes):
    model = SharedFeatureExtractor(**SETTINGS)
    before = len(pickle.dumps(model.fit(closes)))
    frame = model.fit_transform(closes)
    after = pickle.dumps(model)
    assert len(after) < before + 100
    assert len(after) < frame.to_numpy().nbytes
    pd.testing.assert_frame_equal(pickle.loads(after).transform(closes), frame)


@pytest.mark.parametrize("as_array", [False, True], ids=["frame", "array"])
def test_a_step_that_works_in_place_does_not_reach_the_cache(closes, as_array):
    panel = closes.ffill().bfill()
    panel = panel.to_numpy() if as_array else panel
    model = SharedFeatureExtractor(**SETTINGS)
    expected = np.array(model.fit_transform(panel))
    clear_cache()
    for _ in range(3):  # of what was computed, and of what was found
        mine = model.fit_transform(panel)
        np.testing.assert_array_equal(mine, expected)
        MinMaxScaler(copy=False).fit_transform(mine)
    assert cache_info()[:2] == (2, 1)


def test_what_is_found_can_be_written_to(closes):
    model = SharedFeatureExtractor(**SETTINGS)
    for _ in range(2):
        found = model.fit_transform(closes.to_numpy())
        found += 1.0
        assert found.flags.owndata


def test_frames_of_which_few_fit_are_not_held(closes):
    size = SharedFeatureExtractor(**SETTINGS, cache_size=0).fit_transform(closes).size
    for cache_size, n_entries in ((4 * 4 * size - 1, 0), (4 * 4 * size, 1)):
        SharedFeatureExtractor(**SETTINGS, cache_size=cache_size).fit_transform(closes)
        assert cache_info().entries == n_entries


class TestFunctions:
    """Functions are called each time: nobody can tell what they depend on."""

    def test_built_in_features_are_found_and_functions_called(self, closes):
        calls = []

        def level(panel):
            calls.append(len(panel))
            return panel

        model = SharedFeatureExtractor(**SETTINGS, functions={"level": level})
        first = model.fit_transform(closes)
        again = clone(model).fit_transform(closes)
        assert cache_info()[:2] == (1, 1)
        assert len(calls) == 4  # in each fit on trial, and on all rows
        pd.testing.assert_frame_equal(first, again)

    def test_columns_of_functions_are_not_those_of_another(self, closes):
        for factor in (1.0, 2.0):
            functions = {
                "level": lambda panel, by=factor: by * panel,
                "mean": lambda panel, by=factor: by * panel.mean(axis=1),
            }
            model = SharedFeatureExtractor(**SETTINGS, functions=functions)
            frame = model.fit_transform(closes)
            level, mean = factor * closes["T5"], factor * closes.mean(axis=1)
            np.testing.assert_allclose(frame["T5__level"], level, rtol=1e-6)
            np.testing.assert_allclose(frame["market__mean"], mean, rtol=1e-6)

    def test_what_a_function_reads_may_change(self, closes, tmp_path):
        module, path = ModuleType("settings"), tmp_path / "factor.txt"
        held = {"factor": 1.0}

        def from_module(panel):
            return panel * module.factor

        def from_file(panel):
            return panel * float(path.read_text())

        def from_object(panel):
            return panel * held["factor"]

        own = {"module": from_module, "file": from_file, "object": from_object}
        model = SharedFeatureExtractor(**SETTINGS, functions=own)
        for factor in (1.0, 2.0):
            module.factor = held["factor"] = factor
            path.write_text(str(factor))
            frame = model.fit_transform(closes)
            for name in own:
                level = factor * closes["T5"]
                np.testing.assert_allclose(frame[f"T5__{name}"], level, rtol=1e-6)

    def test_any_callable_will_do(self, closes):
        functions = {"log": np.log, "twice": partial(np.multiply, 2.0)}
        model = SharedFeatureExtractor(**SETTINGS, functions=functions)
        for _ in range(2):
            frame = model.fit_transform(closes)
            log = np.log(closes["T5"])
            np.testing.assert_allclose(frame["T5__log"], log, rtol=1e-6)
        assert cache_info()[:2] == (1, 1)


@pytest.fixture(params=["shared", "copied"])
def large(request, monkeypatch):
    """Count arrays of any size as large, which share their memory where they can."""
    monkeypatch.setattr(_frame_cache, "_LEAST_SHARED", 0)
    monkeypatch.setattr(_frame_cache, "_MOST_SHARED", 2**40)
    if request.param == "copied":
        monkeypatch.delattr(os, "memfd_create", raising=False)


def test_who_changes_a_large_frame_changes_his_own(large, closes):
    first = SharedFeatureExtractor(**SETTINGS).fit_transform(closes)
    expected = first.to_numpy(copy=True)
    first.iloc[:, :] = 0.0
    again = SharedFeatureExtractor(**SETTINGS).fit_transform(closes)
    np.testing.assert_array_equal(again, expected)
    assert (first.to_numpy() == 0.0).all()
    clear_cache()
    np.testing.assert_array_equal(again, expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)), expected)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux shares memory")
def test_open_files_of_large_frames_are_closed(closes):
    def count_files():
        return len(os.listdir("/proc/self/fd"))

    before = count_files()
    held = _frame_cache._held((2**11, 2**11), 2**30)
    held.to_fill()[:] = 1.0
    frame = held.copy()
    assert count_files() == before + 2
    del held
    assert (frame == 1.0).all()
    del frame
    assert count_files() == before
    assert isinstance(_frame_cache._held((9, 9), 2**30), _frame_cache._CopiedArray)


def test_large_frames_are_no_files_to_joblib():
    """Workers would look for the file of an array whose base is a memory map."""
    held = _frame_cache._held((2**11, 2**11), 2**30)
    base = held.copy()
    while base is not None:
        assert not isinstance(base, mmap.mmap)
        base = getattr(base, "base", None)
