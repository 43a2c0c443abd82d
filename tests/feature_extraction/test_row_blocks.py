"""Features of blocks of rows are those of the whole panel, bit by bit."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch import SharedFeatureExtractor, check_panel
from skbatch.exceptions import HistoryWarning, PanelError, PanelWarning
from skbatch.feature_extraction import _feature_source, cache_info, list_features
from skbatch.feature_extraction._feature_source import cut_rows, default_block_rows
from skbatch.panel.engine import CheckedPanel

N_DATES = 420
OWN_NAMES = ["volatility_21", "beta_63", "rank_momentum_252", "own_mean", "rsi_14"]
# The first rows of a panel with late listings hold tickers without a price.
pytestmark = pytest.mark.filterwarnings("ignore:Tickers must have prices")


def own_mean(panel):
    """Carry sums from row to row, which depend on where the panel starts."""
    return panel["Close"].rolling(30, min_periods=1).mean()


def own_level(panel):
    """Look back on all rows."""
    return panel["Close"].expanding().mean().mean(axis=1)


def full_extractor(groups, **others):
    dates = pd.bdate_range("2014-06-01", periods=900)
    vix = pd.Series(np.arange(900.0), index=dates, name="vix")[::3]
    return SharedFeatureExtractor(
        **{
            "functions": {"own_mean": own_mean, "own_level": own_level},
            "market_data": vix,
            "groups": groups,
            "cache_size": 0,
            **others,
        }
    )


def cells(frame):
    return np.ascontiguousarray(frame).view(np.uint32)


def assert_blocks(frames, whole, rows, block_rows=None):
    """Compare blocks, bit by bit, with the rows of the whole, and check their size."""
    frames = list(frames)
    assert all(frame.columns is frames[0].columns for frame in frames)
    assert all(len(frame) for frame in frames)
    joined = pd.concat(frames) if frames else whole.iloc[:0]
    expected = whole.iloc[rows]
    pd.testing.assert_frame_equal(joined, expected, check_exact=True, check_freq=False)
    np.testing.assert_array_equal(cells(joined), cells(expected))
    for frame in frames if block_rows else ():
        positions = whole.index.get_indexer(frame.index)
        assert positions[-1] - positions[0] < block_rows


all_rows = st.none()
some_rows = st.sets(st.integers(0, N_DATES - 1), min_size=1).map(sorted)
thinned_rows = st.builds(
    lambda first, step: list(range(first, N_DATES, step)),
    st.integers(0, 30),
    st.integers(2, 21),
)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.one_of(all_rows, some_rows, thinned_rows),
    block_rows=st.one_of(st.none(), st.integers(1, 500)),
    missing=st.sampled_from([0.0, 0.04, 0.3]),
)
@settings(max_examples=12)
def test_blocks_are_rows_of_the_whole(
    make_ohlcv, groups, seed, rows, block_rows, missing
):
    panel = make_ohlcv(seed, n_dates=N_DATES, missing=missing)
    extractor = full_extractor(groups).fit(panel)
    whole = extractor.transform(panel)
    chosen = np.arange(N_DATES) if rows is None else np.array(rows)
    if block_rows is not None and len(chosen) / block_rows > 30:
        block_rows += 20  # not hundreds of blocks
    frames = extractor.transform_blocks(panel, rows=rows, block_rows=block_rows)
    assert_blocks(frames, whole, chosen, block_rows)


@given(
    seed=st.integers(0, 2**32 - 1),
    names=st.sets(st.sampled_from(OWN_NAMES), min_size=1).map(sorted),
    rows=st.one_of(all_rows, some_rows),
    block_rows=st.integers(20, 300),
)
@settings(max_examples=10)
def test_some_features_only(make_ohlcv, groups, seed, names, rows, block_rows):
    panel = make_ohlcv(seed, n_dates=N_DATES)
    extractor = full_extractor(groups).fit(panel)
    whole = extractor.transform(panel)
    own = [name for name in extractor.plan_.ticker_names if name in names]
    columns = [f"T{number}__{name}" for name in own for number in range(8)]
    frames = extractor.transform_blocks(
        panel, rows=rows, features=names, block_rows=block_rows
    )
    chosen = np.arange(N_DATES) if rows is None else np.array(rows)
    assert_blocks(frames, whole[columns], chosen, block_rows)


@pytest.fixture(scope="module")
def fitted_and_whole(ohlcv, groups):
    """Extractors by families, with the features of all rows."""

    @cache
    def of(families):
        extractor = full_extractor(groups, families=families).fit(ohlcv)
        return extractor, extractor.transform(ohlcv)

    return of


@pytest.mark.filterwarnings("ignore:`X` must have 1260 rows")
@pytest.mark.parametrize(
    ("name", "family"), list(list_features().query("not shared")["family"].items())
)
def test_each_feature_alone_is_that_of_the_whole(family, name, ohlcv, fitted_and_whole):
    families = "anomalies" if family == "anomalies" else None
    extractor, whole = fitted_and_whole(families)
    expected = whole[[f"T{number}__{name}" for number in range(8)]]
    frames = extractor.transform_blocks(ohlcv, features=[name], block_rows=97)
    assert_blocks(frames, expected, np.arange(len(ohlcv)), 97)


@given(cut=st.integers(260, N_DATES - 1), block_rows=st.integers(20, 160))
@settings(max_examples=6)
def test_rows_that_follow_look_back_on_fitted_ones(ohlcv, groups, cut, block_rows):
    extractor = full_extractor(groups).fit(ohlcv.iloc[:cut])
    later = ohlcv.iloc[cut:]
    expected = extractor.transform(later)
    frames = extractor.transform_blocks(later, block_rows=block_rows)
    assert_blocks(frames, expected, np.arange(len(later)))


@pytest.mark.parametrize("block_rows", [13, 100, None])
def test_holes_count_as_missing_rows(ohlcv, groups, block_rows):
    panel = ohlcv.drop(ohlcv.index[200:240])
    extractor = full_extractor(groups)
    with pytest.warns(HistoryWarning):
        extractor.fit(panel)
    whole = extractor.transform(panel)
    frames = extractor.transform_blocks(panel, block_rows=block_rows)
    assert_blocks(frames, whole, np.arange(len(panel)), block_rows)


@pytest.mark.parametrize("kind", ["range", "numbers", "periods", "time-zone"])
def test_every_kind_of_index(make_ohlcv, kind):
    closes = make_ohlcv(3)["Close"]
    index = {
        "range": pd.RangeIndex(len(closes)),
        "numbers": pd.Index(np.arange(len(closes)) / 2),
        "periods": pd.period_range("1980-01", periods=len(closes), freq="M"),
        "time-zone": closes.index.tz_localize("Asia/Tokyo"),
    }[kind]
    closes = closes.set_axis(index, axis=0)
    extractor = SharedFeatureExtractor(windows=(5, 21, 63), cache_size=0)
    whole = extractor.fit_transform(closes)
    frames = extractor.transform_blocks(closes, block_rows=60)
    assert_blocks(frames, whole, np.arange(len(closes)), 60)


def test_arrays_have_blocks_with_numbered_rows(ohlcv):
    values = ohlcv["Close"].to_numpy()
    extractor = SharedFeatureExtractor(windows=(5, 21), cache_size=0)
    expected = extractor.fit_transform(values)
    frames = list(extractor.transform_blocks(values, block_rows=100))
    np.testing.assert_array_equal(pd.concat(frames), expected)
    assert list(frames[1].index) == list(range(100, 200))


def test_checked_panels_are_not_checked_again(ohlcv, groups, monkeypatch):
    extractor = full_extractor(groups).fit(ohlcv)
    whole = extractor.transform(ohlcv)
    panel = CheckedPanel(check_panel(ohlcv))
    monkeypatch.setattr("skbatch.feature_extraction._additions.check_panel", None)
    frames = extractor.transform_blocks(panel, block_rows=150)
    assert_blocks(frames, whole, np.arange(len(ohlcv)), 150)


def test_warnings_come_once_and_before_the_blocks(ohlcv, groups):
    late = pd.Series([1.0, 2.0], index=ohlcv.index[[0, 1]], name="vix")
    extractor = full_extractor(groups, market_data=late)
    extractor.fit(ohlcv.iloc[:300])
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        frames = extractor.transform_blocks(ohlcv.iloc[310:], block_rows=20)
    assert [w.category for w in record] == [HistoryWarning, PanelWarning]
    assert {w.filename for w in record} == {__file__}
    assert len(list(frames)) == 6


def test_errors_come_before_the_blocks(ohlcv):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    for rows in ([3, 2], [1, 1], [-1, 2], [0, len(ohlcv)], [0.5], [True, False], [[1]]):
        with pytest.raises(ValueError, match="`rows` must be increasing positions"):
            extractor.transform_blocks(ohlcv, rows=rows)
    for names in (["volatility_9"], [], ["day_of_week"]):
        with pytest.raises(ValueError, match="`features` must hold names"):
            extractor.transform_blocks(ohlcv, features=names)
    for block_rows in (0, -1, 2.5, True):
        with pytest.raises(
            ValueError, match="`block_rows` must be an int of at least 1"
        ):
            extractor.transform_blocks(ohlcv, block_rows=block_rows)
    with pytest.raises(PanelError, match="sorted"):
        extractor.transform_blocks(ohlcv.iloc[::-1])


def test_no_rows_give_no_blocks(ohlcv):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    assert list(extractor.transform_blocks(ohlcv, rows=[])) == []


def test_the_cache_is_not_filled(ohlcv):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    list(extractor.transform_blocks(ohlcv))
    assert cache_info().entries == 0


def test_only_the_look_back_of_wanted_features_is_read(ohlcv, monkeypatch):
    extractor = SharedFeatureExtractor().fit(ohlcv)
    seen = []

    def make_universe(panel, *args):
        seen.append(panel.index)
        return original(panel, *args)

    original = _feature_source.make_universe
    monkeypatch.setattr(_feature_source, "make_universe", make_universe)
    rows = [300, 310, 319, 320, 400]
    frames = extractor.transform_blocks(
        ohlcv, rows=rows, features=["volatility_63"], block_rows=20
    )
    assert [len(frame) for frame in frames] == [3, 1, 1]
    spans = [(300 - 63, 319), (320 - 63, 320), (400 - 63, 400)]
    expected = [ohlcv.index[start : stop + 1] for start, stop in spans]
    assert all(a.equals(b) for a, b in zip(seen, expected, strict=True))


def test_one_block_is_gone_before_the_next_is_made(ohlcv, monkeypatch):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    alive = []

    class Tracked(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    compute = _feature_source.FeatureSource.compute

    def tracked(self, part):
        assert not alive
        values = compute(self, part).view(Tracked)
        alive.append(id(values))
        return values

    monkeypatch.setattr(_feature_source.FeatureSource, "compute", tracked)
    frames = extractor.transform_blocks(ohlcv, block_rows=50)
    n_blocks = sum(len(next(frames)) > 0 for _ in range(8))
    assert n_blocks == 8


@given(
    st.sets(st.integers(0, 3000), min_size=1).map(sorted).map(np.array),
    st.integers(1, 10**6),
)
def test_blocks_cover_each_wanted_row_once(rows, n_columns):
    most = default_block_rows(n_columns, rows)
    blocks = cut_rows(rows, None, n_columns)
    joined = np.concatenate([rows[block] for block in blocks])
    np.testing.assert_array_equal(joined, rows)
    assert all(rows[block][-1] - rows[block][0] < most for block in blocks)


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "expected"),
    [(1260, 108_000, 180), (1260, 27_000, 420), (1260, 500, 1260), (10, 10**7, 10)],
)
def test_blocks_are_of_one_size_and_about_64_mebibytes(n_rows, n_columns, expected):
    assert default_block_rows(n_columns, np.arange(n_rows)) == expected
