"""The cache of feature frames: counts, safety from changes, bounds, keys."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import SharedFeatureExtractor
from skbatch.feature_extraction import cache_info, clear_cache
from skbatch.feature_extraction._cache import function_key

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
    panels = [closes.iloc[:200] * factor for factor in (1, 2, 3)]
    size = SharedFeatureExtractor(**SETTINGS).fit_transform(panels[0]).size * 4
    assert cache_info().size == size
    clear_cache()
    model = SharedFeatureExtractor(**SETTINGS, cache_size=2 * size + 10)
    for number in (0, 1, 0, 2):  # 1 leaves: 0 was used later
        model.fit_transform(panels[number])
    assert cache_info() == (1, 3, 2, 2 * size)
    model.fit_transform(panels[0])
    assert cache_info().hits == 2
    model.fit_transform(panels[1])
    assert cache_info().extractions == 4


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


class TestFunctions:
    """Functions are told apart, and what cannot be told apart is computed anew."""

    def test_the_same_function_is_found_also_by_a_clone(self, closes):
        model = SharedFeatureExtractor(
            **SETTINGS, functions={"level": lambda panel: panel}
        )
        model.fit_transform(closes)
        clone(model).fit_transform(closes)
        assert cache_info()[:2] == (1, 1)

    def test_other_functions_of_the_same_name_are_not(self, closes):
        for factor in (1.0, 2.0):
            frame = SharedFeatureExtractor(
                **SETTINGS, functions={"level": lambda panel, by=factor: by * panel}
            ).fit_transform(closes)
            level = factor * closes["T5"]
            np.testing.assert_allclose(frame["T5__level"], level, rtol=1e-6)

    def test_what_a_closure_holds_is_part_of_the_key(self, closes):
        factor = 1.0

        def level(panel):
            return panel * factor

        model = SharedFeatureExtractor(**SETTINGS, functions={"level": level})
        model.fit_transform(closes)
        factor = 2.0
        frame = model.fit_transform(closes)
        np.testing.assert_allclose(frame["T5__level"], 2 * closes["T5"], rtol=1e-6)

    def test_what_may_change_unseen_is_computed_anew(self, closes):
        factors = [1.0]
        functions = {"level": lambda panel: panel * factors[-1]}
        model = SharedFeatureExtractor(**SETTINGS, functions=functions)
        model.fit_transform(closes)
        factors.append(2.0)
        frame = model.fit_transform(closes)
        np.testing.assert_allclose(frame["T5__level"], 2 * closes["T5"], rtol=1e-6)
        assert cache_info().entries == 0

    @pytest.mark.parametrize("function", [partial(np.add, 1.0), np.log, [].append])
    def test_other_callables_have_no_key(self, function):
        assert function_key({"name": function}) is None

    def test_a_redefined_helper_is_seen(self, closes):
        space = {}
        exec("def helper(p): return p\ndef level(p): return helper(p)", space)
        functions = {"level": space["level"]}
        model = SharedFeatureExtractor(**SETTINGS, functions=functions)
        model.fit_transform(closes)
        exec("def helper(p): return 2 * p", space)
        frame = model.fit_transform(closes)
        np.testing.assert_allclose(frame["T5__level"], 2 * closes["T5"], rtol=1e-6)

    @pytest.mark.parametrize(
        "body",
        [
            "helper(p)",
            "(lambda: helper(p))()",
            "[helper(q) for q in p]",
            "p * len",
            "unknown(p)",
            "eval('helper(p)')",
        ],
    )
    def test_other_globals_than_modules_have_no_key(self, body):
        space = {"np": np, "helper": abs, "len": 3}
        function = eval(f"lambda p: {body}", space)
        assert function_key({"name": function}) is None

    def test_modules_and_builtins_have_a_key(self):
        function = eval("lambda p: max(np.log(q).sum() for q in p)", {"np": np})
        assert function_key({"name": function}) is not None

    def test_functions_with_attributes_or_empty_cells_have_no_key(self):
        def counted(panel):
            return panel

        counted.factor = 2
        assert function_key({"name": counted}) is None

        def unfinished(panel):
            return panel * later

        assert function_key({"name": unfinished}) is None
        later = 1.0
        assert function_key({"name": unfinished}) is not None
