import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster
from skbatch.forecasting import ReturnTarget, _training
from skbatch.forecasting._return_target import split_tail

sizes = st.integers(0, 200) | st.floats(0, 1, exclude_max=True) | st.just("auto")


def labels_at(dates, n_rows=None):
    known = np.zeros(n_rows or max(dates, default=0) + 1, dtype=bool)
    known[list(dates)] = True
    return known


@given(
    st.integers(0, 10_000),
    st.integers(0, 120),
    st.integers(1, 30),
    sizes,
    st.integers(1, 7),
)
def test_the_tail_is_the_latest_rows_and_purged(seed, n_dates, horizon, size, thin):
    steps = np.random.default_rng(seed).integers(1, 6, n_dates)
    dates = steps.cumsum().tolist()
    train, tail = split_tail(labels_at(dates), horizon, size, thin)
    first, last = (dates[0], dates[-1]) if dates else (0, 0)
    n_rows = size
    if size == "auto":
        n_rows = min((last - first + 1) // 5, 504)
    elif isinstance(size, float):
        n_rows = int((last - first + 1) * size)
    expected = [date for date in dates if last - date < n_rows]
    before = [date for date in dates if expected and date + horizon <= expected[0]]
    if len(expected) < 5 * thin or len(before) < 5 * thin:
        before, expected = dates, []
    kept = [date for count, date in enumerate(before) if count % thin == 0]
    assert (list(train), list(tail)) == (kept, expected)


def test_the_automatic_tail_is_two_years_at_most():
    train, tail = split_tail(labels_at(range(4000)), 5, "auto", 1)
    assert (tail[0], tail[-1], train[-1]) == (4000 - 504, 3999, 4000 - 504 - 5)


def test_a_share_of_the_rows_counts_rows_between_dates():
    _, tail = split_tail(labels_at(range(0, 200, 4)), 5, 0.25, 1)
    # 197 rows from the first to the last date.
    assert list(tail) == list(range(148, 200, 4))


def test_a_new_day_leaves_the_choice_of_dates_as_it_is():
    first = split_tail(labels_at(range(300)), 5, 60, 3)
    later = split_tail(labels_at(range(301)), 5, 60, 3)
    assert list(first[0]) == list(range(0, 236, 3))
    assert list(later[0]) == list(range(0, 237, 3))
    assert list(first[1]) == list(range(240, 300))
    assert list(later[1]) == list(range(241, 301))
    assert set(np.diff(first[0])) == set(np.diff(later[0])) == {3}


def test_a_tail_too_short_to_tell_leaves_little_of_a_forecast(make_frames):
    X, y = make_frames(80, horizon=10, signal=1.0)
    # Every fifth of 70 known dates is used; the automatic tail of 14 is less than five.
    cautious, unchecked = (
        BatchLinearForecaster(
            alpha=1.0, target=ReturnTarget(market_weight=0.0, validation_size=size)
        )
        .fit(X, y)
        .predict(X)
        for size in ("auto", 0)
    )
    pd.testing.assert_frame_equal(cautious, 0.1 * unchecked)


@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
def test_blocks_of_dates_are_forecast_like_the_whole(
    make_frames, monkeypatch, strategy
):
    X, y = make_frames(120, missing=0.2, market=True)
    for model in (
        BatchLinearForecaster(strategy, market_features=True),
        BatchXGBoostForecaster(strategy, n_estimators=4, n_jobs=1),
    ):
        whole = model.fit(X, y).predict(X)
        for cells in (1, 50):
            monkeypatch.setattr(_training, "MAX_CELLS", cells)
            blocks = model.predict(X)
            pd.testing.assert_frame_equal(blocks, whole, check_exact=True)
        monkeypatch.undo()
