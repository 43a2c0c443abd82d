"""What must hold for every panel: history, isolation, permutation, causality."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch import SharedFeatureExtractor

OWN = ["returns", "volatility", "trend", "oscillators", "range", "volume"]
SHORT = {
    "families": [*OWN, "relative", "rank", "group", "market", "calendar", "anomalies"],
    "windows": (3, 5, 10, 21, 63),
}
seeds = st.integers(0, 2**32 - 1)
# The first rows of a panel with late listings hold tickers without a price.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Tickers must have prices"),
    pytest.mark.filterwarnings("ignore:`X` must have 1260 rows"),
]


def volume_trend(panel):
    return np.log1p(panel["Volume"]).diff(4)


def spread(panel):
    return panel["Close"].max(axis=1) - panel["Close"].min(axis=1)


def extractor(groups, dates, **parameters):
    """Build an extractor with everything that users can add."""
    index = pd.Series(
        [9.0, 8.0, np.nan, 7.0, 6.0], index=dates[[3, 50, 90, 130, -1]], name="vix"
    )
    return SharedFeatureExtractor(
        functions={"volume_trend": volume_trend, "spread": spread},
        market_data=index,
        groups=groups,
        cache_size=0,
        **parameters,
    )


def cells(frame):
    return frame.to_numpy().view(np.uint32)


@given(seed=seeds, cut=st.integers(8, 219))
@settings(max_examples=15)
def test_later_rows_see_their_history(seed, cut, make_ohlcv, groups):
    panel = make_ohlcv(seed, n_dates=220)
    parameters = {
        "windows": (2, 5, 8),
        "families": [*OWN[:3], *SHORT["families"][4:-1]],
    }
    model = extractor(groups, panel.index, **parameters)
    whole = model.fit_transform(panel)
    assert model.lookback_ < 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skbatch.feature_extraction._history._OVERLAP", 0)
        model.fit(panel.iloc[:cut])
    assert len(model.history_.tail) < 10
    part = model.transform(panel.iloc[cut:])
    np.testing.assert_array_equal(cells(part), cells(whole.iloc[cut:]))


@given(seed=seeds, cut=st.integers(253, 519))
@settings(max_examples=5)
def test_later_rows_see_their_history_with_all_features(seed, cut, make_ohlcv, groups):
    panel = make_ohlcv(seed, n_dates=520)
    model = extractor(groups, panel.index)
    whole = model.fit_transform(panel)
    part = model.fit(panel.iloc[:cut]).transform(panel.iloc[cut:])
    np.testing.assert_array_equal(cells(part), cells(whole.iloc[cut:]))
    again = model.transform(panel.iloc[:cut])
    np.testing.assert_array_equal(cells(again), cells(whole.iloc[:cut]))


def corrupt(values, how):
    if how == "missing":
        return values * np.nan
    if how == "constant":
        return values * 0.0 + 7.0
    steps = np.where(np.arange(len(values)) % 2, 1e12, 1e-12)
    return values * (steps if how == "huge" else 1e200)


@pytest.mark.parametrize("how", ["missing", "constant", "huge", "overflowing"])
@given(seed=seeds)
@settings(max_examples=8)
def test_own_features_do_not_depend_on_other_tickers(how, seed, make_ohlcv):
    panel = make_ohlcv(seed, n_dates=150)
    corrupted = panel.copy()
    for field in panel.columns.unique("field"):
        column = corrupt(panel[field, "T4"].to_numpy(), how)
        corrupted[field, "T4"] = np.minimum(column, 1e300)
    parameters = {"families": OWN, "windows": SHORT["windows"], "cache_size": 0}
    clean = SharedFeatureExtractor(**parameters).fit_transform(panel)
    model = SharedFeatureExtractor(**parameters)
    dirty = model.fit_transform(corrupted)
    others = [name for name in clean if not name.startswith("T4__")]
    np.testing.assert_array_equal(cells(dirty[others]), cells(clean[others]))
    assert not np.isinf(dirty.to_numpy()).any()


@given(seed=seeds)
@settings(max_examples=10)
def test_tickers_in_another_order_give_columns_in_another_order(
    seed, make_ohlcv, groups
):
    panel = make_ohlcv(seed, n_dates=150)
    order = np.random.default_rng(seed).permutation(panel["Close"].columns)
    shuffled = panel.loc[:, [(f, t) for f in panel.columns.unique(0) for t in order]]
    model = extractor(groups, panel.index, **SHORT)
    expected, actual = model.fit_transform(panel), model.fit_transform(shuffled)
    assert list(actual) != list(expected)
    np.testing.assert_array_equal(cells(actual[list(expected)]), cells(expected))


@given(seed=seeds, last=st.integers(0, 148))
@settings(max_examples=15)
def test_features_do_not_depend_on_later_rows(seed, last, make_ohlcv, groups):
    panel = make_ohlcv(seed, n_dates=150)
    rng = np.random.default_rng(seed)
    garbage = panel.copy()
    noise = np.exp(5 * rng.standard_normal(panel.iloc[last + 1 :].shape))
    noise[rng.random(noise.shape) < 0.3] = np.nan
    garbage.iloc[last + 1 :] = panel.iloc[last + 1 :].to_numpy() * noise
    model = extractor(groups, panel.index, **SHORT)
    expected = model.fit_transform(panel).iloc[: last + 1]
    actual = model.fit_transform(garbage).iloc[: last + 1]
    np.testing.assert_array_equal(cells(actual), cells(expected))


@given(seed=seeds, block=st.integers(1, 1000))
@settings(max_examples=8)
def test_the_size_of_blocks_does_not_change_a_bit(seed, block, make_ohlcv, groups):
    panel = make_ohlcv(seed, n_dates=150)
    model = extractor(groups, panel.index, **SHORT)
    expected = model.fit_transform(panel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skbatch.feature_extraction._context._BLOCK_CELLS", block)
        actual = model.fit_transform(panel)
    np.testing.assert_array_equal(cells(actual), cells(expected))


@given(seed=seeds)
@settings(max_examples=10)
def test_no_price_no_own_feature(seed, make_ohlcv, groups):
    panel = make_ohlcv(seed, n_dates=150, missing=0.3)
    frame = SharedFeatureExtractor(groups=groups, **SHORT).fit_transform(panel)
    for ticker, close in panel["Close"].items():
        own = frame[[name for name in frame if name.startswith(f"{ticker}__")]]
        assert own[close.isna()].isna().to_numpy().all()
        assert own[close.notna()].notna().to_numpy().any()


@given(
    st.lists(
        st.one_of(st.floats(1e-300, 1e300), st.just(np.nan), st.just(5.0)),
        min_size=60,
        max_size=60,
    )
)
@settings(max_examples=40)
def test_extreme_prices_give_no_infinite_values_and_no_numpy_warnings(prices):
    closes = np.array(prices + [1.0] * 30).reshape(-1, 1)
    panel = np.hstack([closes, np.full((90, 1), 3.0), closes[::-1]])
    values = SharedFeatureExtractor(windows=(2, 5, 63), cache_size=0).fit_transform(
        panel
    )
    assert not np.isinf(values).any()


@pytest.mark.parametrize("growth", [1.0, 1.01, 0.97])
def test_constant_returns_have_no_volatility(growth):
    closes = pd.DataFrame({"A": 100 * growth ** np.arange(300.0), "B": 3.0})
    frame = SharedFeatureExtractor().fit_transform(closes)
    last = frame.iloc[-1]
    for window in (10, 21, 63, 126, 252):
        assert last[f"A__volatility_{window}"] == 0.0
    for name in ("A__skewness_126", "B__channel_position_63", "B__rsi_14"):
        assert np.isnan(last[name])
    assert np.isnan(last["A__beta_63"])  # the market is constant, too
    assert last["B__drawdown_252"] == last["B__log_return_5"] == 0.0
    assert np.isnan(last["B__idiosyncratic_volatility_63"])


@pytest.mark.parametrize("growth", [1.0, 1.01, 0.97])
def test_a_constant_return_does_not_move_with_the_market(growth, make_ohlcv):
    closes = make_ohlcv(3, missing=0.0)["Close"][["T4", "T5", "T6"]]
    closes["T4"] = 100 * growth ** np.arange(420.0)
    last = SharedFeatureExtractor().fit_transform(closes).iloc[-1]
    assert last["T4__beta_63"] == last["T4__idiosyncratic_volatility_63"] == 0.0
    assert np.isnan(last["T4__correlation_126"])
