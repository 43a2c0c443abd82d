"""Features of batches are those of the whole panel, computed without it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch import SharedFeatureExtractor
from skbatch.exceptions import PanelError
from skbatch.feature_extraction import _context, cache_info

TICKERS = [f"T{number}" for number in range(8)]
BATCHES = [["T5", "T1"], ["T0", "T2", "T3", "T4", "T6"], ["T7"]]


def own_mean(panel):
    return panel["Close"].rolling(5).mean()


def own_level(panel):
    return panel["Close"].mean(axis=1).rename(None)


def full_extractor(groups, **others):
    dates = pd.bdate_range("2014-06-01", periods=700)
    vix = pd.Series(np.arange(700.0), index=dates, name="vix")
    return SharedFeatureExtractor(
        windows=(5, 21, 63),
        functions={"own_mean": own_mean, "own_level": own_level},
        market_data=vix,
        groups=groups,
        **others,
    )


def select(frame, tickers):
    """Take the tickers' columns, feature by feature, then the market's."""
    names = dict.fromkeys(c.rpartition("__")[2] for c in frame if c[:2] == "T0")
    own = [f"{ticker}__{name}" for name in names for ticker in tickers]
    return frame[own + [c for c in frame if c.startswith("market__")]]


def test_batches_are_parts_of_the_whole(ohlcv, groups):
    extractor = full_extractor(groups)
    whole = extractor.fit_transform(ohlcv)
    frames = list(extractor.transform_batches(ohlcv, BATCHES))
    for tickers, frame in zip(BATCHES, frames, strict=True):
        expected = select(whole, tickers)
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)


def test_new_rows_look_back(ohlcv, groups):
    extractor = full_extractor(groups).fit(ohlcv.iloc[:-3])
    expected = extractor.transform(ohlcv.iloc[-3:])
    frames = extractor.transform_batches(ohlcv.iloc[-3:], BATCHES)
    for tickers, frame in zip(BATCHES, frames, strict=True):
        pd.testing.assert_frame_equal(
            frame, select(expected, tickers), check_exact=True
        )


@settings(max_examples=10, deadline=None)
@given(st.permutations(TICKERS), st.lists(st.integers(1, 7), max_size=3))
def test_any_partition_is_the_whole(ohlcv, order, cuts):
    extractor = SharedFeatureExtractor(windows=(5, 21), cache_size=0).fit(ohlcv)
    whole = extractor.transform(ohlcv)
    parts = [list(part) for part in np.split(np.array(order), sorted(set(cuts)))]
    frames = pd.concat(
        [f.filter(regex="^T") for f in extractor.transform_batches(ohlcv, parts)],
        axis=1,
    )
    expected = whole.filter(regex="^T")
    pd.testing.assert_frame_equal(frames[expected.columns], expected, check_exact=True)


def test_some_features_only(ohlcv):
    extractor = SharedFeatureExtractor(windows=(21, 63)).fit(ohlcv)
    names = ["volatility_63", "rank_volatility_63"]
    (frame,) = extractor.transform_batches(ohlcv, [["T2", "T0"]], names=names)
    columns = [f"{t}__{name}" for name in names for t in ("T2", "T0")]
    pd.testing.assert_frame_equal(
        frame, extractor.transform(ohlcv)[columns], check_exact=True
    )


def test_what_all_tickers_share_is_computed_once(ohlcv, groups, monkeypatch):
    extractor = full_extractor(groups, cache_size=0).fit(ohlcv)
    calls = []
    original = _context.Universe.feature

    def counted(self, function, window):
        calls.append((function, window))
        return original(self, function, window)

    monkeypatch.setattr(_context.Universe, "feature", counted)
    list(extractor.transform_batches(ohlcv, [TICKERS]))
    once = list(calls)
    assert once
    calls.clear()
    list(extractor.transform_batches(ohlcv, [[ticker] for ticker in TICKERS]))
    assert calls == once


def test_the_cache_is_not_filled(ohlcv):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    list(extractor.transform_batches(ohlcv, BATCHES))
    assert cache_info().entries == 0


def test_unknown_names_are_refused(ohlcv):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    with pytest.raises(ValueError, match=r"`batches` must hold names.*T9"):
        next(extractor.transform_batches(ohlcv, [["T1", "T9"]]))
    with pytest.raises(ValueError, match=r"`names` must hold names.*volatility_9"):
        next(extractor.transform_batches(ohlcv, [["T1"]], names=["volatility_9"]))
    with pytest.raises(PanelError, match="sorted"):
        next(extractor.transform_batches(ohlcv.iloc[::-1], [["T1"]]))


def test_more_columns_follow_each_batch(ohlcv):
    extractor = SharedFeatureExtractor(windows=(5,)).fit(ohlcv)
    level = np.arange(len(ohlcv))
    frames = extractor.transform_batches(ohlcv, BATCHES, extra={"market__level": level})
    for plain, frame in zip(
        extractor.transform_batches(ohlcv, BATCHES), frames, strict=True
    ):
        assert list(frame)[-1] == "market__level"
        assert list(frame["market__level"]) == list(level)
        pd.testing.assert_frame_equal(frame.iloc[:, :-1], plain, check_exact=True)
