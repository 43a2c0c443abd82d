import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sklearn.model_selection import TimeSeriesSplit
from sklearn.utils import _safe_indexing

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import forward_returns
from skbatch.panel.engine import mask_late


def make_prices(n_dates=12, tickers=("A", "B", "C"), seed=0):
    dates = pd.bdate_range("2024-01-01", periods=n_dates, name="date")
    random = np.random.default_rng(seed)
    values = np.exp(random.normal(0, 0.1, (n_dates, len(tickers))).cumsum(axis=0))
    values[random.uniform(size=values.shape) < 0.1] = np.nan
    return pd.DataFrame(values, index=dates, columns=list(tickers))


@given(st.integers(2, 12), st.data())
def test_labels_are_the_returns_cell_by_cell(n_dates, data):
    prices = make_prices(n_dates)
    horizon = data.draw(st.integers(1, n_dates - 1))
    delay = data.draw(st.integers(0, n_dates - 1 - horizon))
    labels = forward_returns(prices, horizon, delay)
    assert labels.shape == prices.shape
    for row, ticker in np.ndindex(prices.shape):
        later = row + delay + horizon
        if later >= n_dates:
            expected = np.nan
        else:
            expected = prices.iat[later, ticker] / prices.iat[row + delay, ticker] - 1
        np.testing.assert_allclose(labels.iat[row, ticker], expected)


def test_labels_agree_with_pandas():
    prices = make_prices()
    labels = forward_returns(prices, 5)
    expected = prices.pct_change(5, fill_method=None).shift(-5)
    assert_frame_equal(labels, expected)
    assert labels.attrs == {"horizon": 5, "delay": 0}


def test_several_horizons_stand_side_by_side():
    prices = make_prices()
    labels = forward_returns(prices, (5, 1))
    assert labels.attrs == {"horizon": (5, 1), "delay": 0}
    assert labels.columns.names == ["horizon", "ticker"]
    assert list(labels.columns) == [(h, t) for h in (5, 1) for t in "ABC"]
    for horizon in (5, 1):
        expected = forward_returns(prices, horizon)
        assert_frame_equal(labels[horizon], expected, check_names=False)


def test_a_delay_moves_the_labels_of_every_horizon():
    prices = make_prices()
    labels, now = (forward_returns(prices, (5, 1), delay) for delay in (2, 0))
    assert_frame_equal(labels, now.shift(-2))
    assert labels.attrs == {"horizon": (5, 1), "delay": 2}


@pytest.mark.parametrize("delay", [-1, 1.5, True, None, "1"])
def test_a_delay_is_a_number_of_rows(delay):
    with pytest.raises(ValueError, match="`delay` must be an int of at least 0"):
        forward_returns(make_prices(), 1, delay)


def test_horizon_and_delay_must_leave_a_label():
    prices = make_prices()
    assert forward_returns(prices, 9, 2).notna().any(axis=None)
    with pytest.raises(ValueError, match="`horizon` plus `delay` must be less than"):
        forward_returns(prices, 9, 3)


@pytest.mark.parametrize("horizon", [np.int64(3), [3], np.array([3]), range(3, 4)])
def test_horizons_of_any_integer_type(horizon):
    labels = forward_returns(make_prices(), horizon)
    sequence = np.ndim(horizon) > 0
    assert labels.attrs["horizon"] == ((3,) if sequence else 3)
    assert labels.columns.nlevels == 1 + sequence


def test_labels_of_an_array():
    labels = forward_returns(np.array([[2.0, 1.0], [3.0, 1.0], [6.0, 3.0]]))
    expected = {"x0": [0.5, 1.0, np.nan], "x1": [0.0, 2.0, np.nan]}
    assert_frame_equal(labels, pd.DataFrame(expected))


def test_labels_are_taken_from_adjusted_closes():
    closes = make_prices()
    fields = {"Open": closes, "Close": closes * 2, "Adj Close": closes}
    panel = pd.concat(fields, axis=1).swaplevel(axis=1)
    labels = forward_returns(panel, 2)
    expected = forward_returns(closes, 2)
    assert_frame_equal(labels, expected, check_names=False)
    assert labels.columns.names == ["ticker"]


def test_the_horizon_survives_selection_and_pickling():
    labels = forward_returns(make_prices(), 2)
    for train, test in TimeSeriesSplit(3).split(labels):
        for rows in (train, test):
            assert _safe_indexing(labels, rows).attrs["horizon"] == 2
    assert labels.iloc[:-1].attrs["horizon"] == 2
    assert labels[["B", "A"]].attrs["horizon"] == 2
    assert pickle.loads(pickle.dumps(labels)).attrs["horizon"] == 2


def test_the_prices_are_not_changed():
    prices = make_prices()
    before = prices.copy()
    forward_returns(prices, (1, 2))
    assert_frame_equal(prices, before)
    assert prices.attrs == {}


@pytest.mark.parametrize(
    "horizon", [0, -1, 1.0, True, "5", None, [], [1, 1], [1, 2.5], [1, True], [[1]]]
)
def test_a_horizon_must_be_whole_and_positive(horizon):
    with pytest.raises(ValueError, match="`horizon` must be an int of at least 1"):
        forward_returns(make_prices(), horizon)


@pytest.mark.parametrize(("n_dates", "horizon"), [(12, 12), (12, [1, 30]), (1, 1)])
def test_a_horizon_must_fit_into_the_history(n_dates, horizon):
    with pytest.raises(ValueError, match="Pass a longer history or a shorter horizon"):
        forward_returns(make_prices(n_dates), horizon)


def test_a_series_is_refused():
    with pytest.raises(PanelError, match=r'to_frame\("TICKER"\)'):
        forward_returns(make_prices()["A"])


def test_an_impossible_price_has_no_return():
    prices = pd.DataFrame({"A": [1.0, 0.0, 2.0, 4.0], "B": [1e-300, 1e300, 1.0, 1.0]})
    with pytest.warns(PanelWarning, match=r"1 other value in A"):
        labels = forward_returns(prices)
    np.testing.assert_array_equal(labels["A"], [np.nan, np.nan, 1.0, np.nan])
    assert np.isnan(labels["B"].iloc[0])


def test_a_ticker_without_prices_gives_empty_labels_silently():
    prices = make_prices().assign(B=np.nan)
    assert forward_returns(prices)["B"].isna().all()


def gone(n_rows, last, n_dates=30):
    """One ticker stays, one ends at a row."""
    closes = pd.DataFrame({"A": 100 + 5 * np.sin(np.arange(n_dates)), "B": 8.0})
    closes.loc[last + 1 :, "B"] = np.nan
    return closes.iloc[:n_rows]


def test_labels_beyond_the_last_price_end_with_the_final_return():
    closes = gone(30, 12)
    closes.loc[11, "B"] = 10.0
    labels = forward_returns(closes, [1, 3], delisting_return=-0.25)
    expected = np.full(30, np.nan)
    expected[:12] = closes["B"].pct_change(fill_method=None).iloc[1:13]
    expected[12] = -0.25
    np.testing.assert_allclose(labels[1, "B"], expected)
    np.testing.assert_allclose(labels.loc[10:12, (3, "B")], [-0.25, -0.4, -0.25])
    assert labels.loc[13:, (3, "B")].isna().all()
    plain = forward_returns(closes, [1, 3])
    pd.testing.assert_series_equal(labels[3, "A"], plain[3, "A"])
    assert np.isnan(plain.loc[12, (1, "B")])
    delayed = forward_returns(closes, 2, 1, delisting_return=-0.25)["B"]
    np.testing.assert_allclose(delayed.loc[10:11], [-0.4, -0.25])
    assert delayed.loc[12:].isna().all()


@pytest.mark.parametrize(("n_rows", "known"), [(22, False), (23, True)])
def test_who_is_quiet_for_a_few_rows_is_not_gone(n_rows, known):
    labels = forward_returns(gone(n_rows, 12), delisting_return=-1)
    assert np.isfinite(labels.loc[12, "B"]) == known
    gap = (
        gone(30, 12)
        .fillna({"B": 8.0})
        .mask(gone(30, 12).isna() & (np.arange(30) < 29)[:, None])
    )
    pd.testing.assert_frame_equal(
        forward_returns(gap, delisting_return=-1), forward_returns(gap)
    )


def test_final_returns_by_ticker():
    labels = forward_returns(gone(30, 12), delisting_return=pd.Series({"X": 0.0}))
    assert np.isnan(labels.loc[12, "B"])
    labels = forward_returns(gone(30, 12), delisting_return=pd.Series({"B": 0.5}))
    assert labels.loc[12, "B"] == 0.5
    with pytest.raises(ValueError, match="of at least -1"):
        forward_returns(gone(30, 12), delisting_return=-30)


def slow_labels(closes, horizon, delay, final):
    """Compute each label on its own, as forward_returns documents them."""
    labels = np.full(closes.shape, np.nan)
    for column in range(closes.shape[1]):
        known = [t for t, price in enumerate(closes[:, column]) if price == price]
        last = known[-1] if known else None
        gone = known and len(closes) - 1 - last >= 10
        for t in range(len(closes) - horizon - delay):
            start, end = closes[t + delay, column], closes[t + delay + horizon, column]
            if gone and t + delay + horizon > last:
                end = closes[last, column] * (1 + final[column])
            labels[t, column] = end / start - 1
    return labels


@settings(max_examples=60)
@given(st.data())
def test_labels_with_final_returns_are_those_of_a_slow_loop(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    n_dates, n_tickers = data.draw(st.integers(12, 40)), data.draw(st.integers(1, 4))
    closes = np.exp(random.normal(0, 0.1, (n_dates, n_tickers)).cumsum(0))
    closes[random.random(closes.shape) < 0.1] = np.nan
    for column in range(n_tickers):
        closes[data.draw(st.integers(1, n_dates)) :, column] = np.nan
    final = random.choice([np.nan, -1.0, -0.3, 0.2], n_tickers)
    tickers = list("ABCD")[:n_tickers]
    panel = pd.DataFrame(closes, pd.bdate_range("2020-01-01", periods=n_dates), tickers)
    horizon, delay = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 2))
    given_returns = pd.Series(final, tickers).dropna()
    labels = forward_returns(panel, horizon, delay, delisting_return=given_returns)
    expected = slow_labels(closes, horizon, delay, final)
    np.testing.assert_allclose(labels, expected, rtol=1e-12)
    # At an earlier end, forecasters see what could be computed there, and no more.
    stop = data.draw(st.integers(horizon + delay + 1, n_dates))
    seen = labels.iloc[:stop].to_numpy(copy=True)
    mask_late(seen, labels.iloc[:stop])
    seen[stop - horizon - delay :] = np.nan
    known = forward_returns(
        panel.iloc[:stop], horizon, delay, delisting_return=given_returns
    )
    np.testing.assert_array_equal(seen, known)
