"""Threads change no feature, and as few rows are computed as are wanted."""

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed

from skbatch import SharedFeatureExtractor
from skbatch._kernels import threads as _threads
from skbatch.feature_extraction import _context
from skbatch.feature_extraction._context import TickerBlock, Universe
from skbatch.feature_extraction._feature_source import FeatureSource
from skbatch.panel.engine import panel_fields

WINDOWS = (3, 5, 10, 21, 63)
pytestmark = pytest.mark.filterwarnings("ignore:Tickers must have prices")


def cells(frame):
    return np.ascontiguousarray(frame).view(np.uint32)


def extract(panel, groups, n_threads, block_cells, **parameters):
    """Extract with a number of threads, and with blocks of some size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_threads, "inner_threads", lambda n_jobs: n_threads)
        patch.setattr(_context, "_BLOCK_CELLS", block_cells)
        extractor = SharedFeatureExtractor(
            windows=WINDOWS, groups=groups, cache_size=0, **parameters
        )
        return extractor.fit_transform(panel)


@pytest.mark.parametrize("missing", [0.0, 0.04], ids=["complete", "gaps"])
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 5))
@settings(max_examples=6)
def test_threads_do_not_change_a_bit(missing, seed, width, make_ohlcv, groups):
    panel = make_ohlcv(seed, n_dates=150, missing=missing)
    if not missing:
        panel = panel.ffill().bfill()
    expected = extract(panel, groups, 1, 2**16)
    assert np.isfinite(expected.to_numpy()).mean() > 0.5
    for n_threads in (1, 2, 3):
        actual = extract(panel, groups, n_threads, 150 * width)
        np.testing.assert_array_equal(cells(actual), cells(expected))


def test_blocks_are_computed_in_as_many_threads_as_allowed(ohlcv, groups, monkeypatch):
    names = set()
    compute = TickerBlock.compute

    def record(self, *args):
        names.add(threading.current_thread().name)
        return compute(self, *args)

    monkeypatch.setattr(TickerBlock, "compute", record)
    extract(ohlcv, groups, 1, 420)
    assert names == {threading.main_thread().name}
    extract(ohlcv, groups, 2, 420)
    assert 2 <= len(names) <= 3  # one thread may be faster than the other is begun


def test_a_worker_uses_its_own_thread_only(ohlcv, monkeypatch):
    extractor = SharedFeatureExtractor(windows=WINDOWS, cache_size=0)
    expected = extractor.fit_transform(ohlcv)
    monkeypatch.setattr(_threads, "ThreadPoolExecutor", None)  # would fail if used
    workers = Parallel(n_jobs=2, backend="threading")
    for frame in workers([delayed(extractor.transform)(ohlcv)] * 2):
        np.testing.assert_array_equal(cells(frame), cells(expected))


def test_the_first_error_of_a_thread_is_raised():
    def fail(number):
        if number == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        _threads.for_each(fail, range(10), n_jobs=2)


@given(
    st.lists(st.integers(0, 149), min_size=1, max_size=9, unique=True).map(sorted),
    st.integers(1, 1000),
)
@settings(max_examples=10)
def test_some_rows_are_those_of_all(make_ohlcv, groups, rows, block_cells):
    panel = make_ohlcv(5, n_dates=150)
    extractor = SharedFeatureExtractor(windows=WINDOWS, groups=groups).fit(panel)
    everything = np.arange(len(panel))

    def compute(rows):
        return FeatureSource(
            extractor.plan_, panel, rows, {}, None, extractor.groups_
        ).compute()

    whole = compute(everything)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_context, "_BLOCK_CELLS", block_cells)
        part = compute(np.array(rows))
    assert part.shape == (len(rows), whole.shape[1])
    # Not bit by bit: NumPy before 2.3 gives NaN either sign.
    np.testing.assert_array_equal(part, whole[rows])


def test_series_are_given_back_when_no_feature_asks_for_them_again(ohlcv):
    universe = Universe(panel_fields(ohlcv), pd.DatetimeIndex(ohlcv.index))
    plan = SharedFeatureExtractor(windows=WINDOWS).fit(ohlcv).plan_
    own = [f for f in plan.ticker_features if f.entry.scope == "ticker"]
    done = universe.prepare(own)
    block = TickerBlock(universe, slice(0, 4))
    out = np.empty((len(ohlcv), 4), dtype=np.float32)
    computed = set()
    for feature in own:
        known = set(block._series)
        block.compute(feature, out)
        new = set(block._series) - known
        assert not new & computed  # nothing is computed twice
        computed |= new
        block.release(done[feature])
    assert computed
    assert not block._series
    assert not block._rolling
