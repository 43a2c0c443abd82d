"""Labels that were changed keep no horizon that is too short."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, train_test_split

from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError
from skbatch.panel import forward_returns
from skbatch.panel.engine import recorded_delay, recorded_horizon, recorded_reach


@pytest.fixture(scope="module", params=[1, 2, 8, 300])
def prices(request):
    return make_panel(400, request.param, random_state=0)


@pytest.fixture(scope="module", params=[(1, 0), (5, 2), (63, 0)], ids=str)
def reach(request):
    """Horizon and delay."""
    return request.param


@pytest.fixture(scope="module")
def labels(prices, reach):
    return forward_returns(prices, *reach)


def ffilled(y):
    """Labels of every fifth day on all days."""
    return y.iloc[::5].reindex(y.index, method="ffill")


MOVED = {
    "shift up": lambda y: y.shift(-1),
    "one ticker": lambda y: (
        y.shift(-2)
        if y.shape[1] < 3
        else y.assign(**{y.columns[1]: y.iloc[:, 1].shift(-2)})
    ),
    "shift down": lambda y: y.shift(3),
    "index": lambda y: y.shift(-1, freq="B"),
    "sum of later labels": lambda y: y + y.shift(-1),
    "sum of five": lambda y: sum(y.shift(-k) for k in range(5)),
    "rolling sum": lambda y: y.rolling(5).sum().shift(-4),
    "rolling sum backwards": lambda y: y[::-1].rolling(5).sum()[::-1],
    "product": lambda y: (1 + y) * (1 + y.shift(-2)) - 1,
    "mean": lambda y: (y + y.shift(-1) + y.shift(-2)) / 3,
    "filled forward": lambda y: y.shift(-2).ffill(),
    "days into weeks": ffilled,
    "fold of moved labels": lambda y: y.shift(-1).iloc[:200],
    "ranks of moved labels": lambda y: y.shift(-1).rank(axis=1) + y.shift(-1).rank(),
    "concat of moved rows": lambda y: pd.concat([y.shift(-1)[:200], y.shift(-1)[200:]]),
    "cast": lambda y: y.shift(-1).astype("float32"),
}
KEPT = {
    "itself": lambda y: y,
    "cut": lambda y: y.iloc[:100],
    "latest": lambda y: y.loc[y.index[250] :],
    "every fifth": lambda y: y.iloc[::5],
    "float32": lambda y: y.astype("float32"),
    "copy": copy.deepcopy,
    "pickle": lambda y: pickle.loads(pickle.dumps(y)),
    "tickers": lambda y: y.iloc[:, : max(1, y.shape[1] // 2)],
    "other order": lambda y: y.iloc[:, ::-1],
    "winsorized": lambda y: y.clip(-0.02, 0.02),
    "winsorized by ticker": lambda y: y.clip(
        y.quantile(0.02), y.quantile(0.98), axis=1
    ),
    "winsorized by date": lambda y: y.clip(
        y.quantile(0.1, axis=1), y.quantile(0.9, axis=1), axis=0
    ),
    "ranks": lambda y: y.rank(axis=1, pct=True),
    "relative": lambda y: y.sub(y.mean(axis=1), axis=0),
    "relative in time": lambda y: y - y.mean(),
    "scores": lambda y: y.sub(y.mean(axis=1), axis=0).div(y.std(axis=1) + 1, axis=0),
    "percent": lambda y: 100 * y,
    "log": np.log1p,
    "signs": np.sign,
    "masked": lambda y: y.where(y.abs() < 0.03),
    "filled": lambda y: y.fillna(0.0),
    "reindexed": lambda y: y.reindex(y.index[50:300:2]),
    "with later rows": lambda y: y.reindex(
        y.index.append(pd.bdate_range(y.index[-1], periods=9)[1:])
    ),
    "concat": lambda y: pd.concat([y.iloc[:50], y.iloc[80:200]]),
    "half": lambda y: train_test_split(y, shuffle=False)[0],
    "fold": lambda y: y.iloc[next(KFold(3).split(y))[0]],
    "empty": lambda y: y.iloc[:0],
    "unknown": lambda y: y.iloc[-1:],
    "one row": lambda y: y.iloc[[17]],
    "time zone": lambda y: y.tz_localize("America/New_York"),
    "renamed": lambda y: y.add_suffix(".US"),
    "numbered": lambda y: y.set_axis(range(y.shape[1]), axis=1),
    "coarser unit": lambda y: y.set_axis(y.index.as_unit("s")),
}


@pytest.mark.parametrize("change", MOVED.values(), ids=MOVED)
def test_labels_moved_in_time_are_refused(labels, change):
    y = change(labels)
    if y.attrs:
        with pytest.raises(PanelError, match="look further ahead"):
            recorded_horizon(y)


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_labels_that_end_where_they_did_keep_their_horizon(labels, reach, change):
    y = change(labels)
    found = recorded_horizon(y), recorded_delay(y), recorded_reach(y)
    assert found == (*reach, sum(reach))
    assert [type(number) for number in found] == [int, int, int]


def test_a_delay_that_was_changed_is_refused(prices):
    y = forward_returns(prices, (1, 5), delay=2)
    # Lost with the record of the frame, it is still with that of the horizon.
    del y.attrs["delay"]
    assert (recorded_delay(y), recorded_reach(y)) == (2, 7)
    for delay in (0, 1, 3, -2, None):
        y.attrs["delay"] = delay
        with pytest.raises(ValueError, match="at least 0, and 2 for these labels"):
            recorded_delay(y)


@pytest.mark.parametrize("delay", [-1, 0.5, "1", None, True])
def test_a_delay_of_other_labels_is_a_number_of_rows(delay):
    y = pd.DataFrame({"A": [0.1, 0.2]})
    assert recorded_delay(y) == recorded_delay(y.to_numpy()) == recorded_reach(y) == 0
    y.attrs["delay"] = delay
    with pytest.raises(ValueError, match=r"an int of at least 0\. Got"):
        recorded_delay(y)


@pytest.mark.parametrize("change", ["shift up", "sum of five", "days into weeks"])
def test_one_of_several_horizons_moved_is_found(prices, change):
    y = forward_returns(prices, (1, 5))
    assert recorded_horizon(y.iloc[:200]) == (1, 5)
    part = MOVED[change](y[5])
    moved = pd.concat({1: y[1], 5: part}, axis=1)
    moved.attrs = y.attrs
    with pytest.raises(PanelError, match="its horizon, 5"):
        recorded_horizon(moved)


def test_a_series_is_one_ticker(prices):
    y = forward_returns(prices, 5).iloc[:, 0]
    assert recorded_horizon(y) == recorded_horizon(y.rank()) == 5
    with pytest.raises(PanelError):
        recorded_horizon(y.shift(-1))


def test_prices_that_stand_still_tell_nothing(prices):
    still = prices.copy()
    still.iloc[:, 0] = 5.0
    y = forward_returns(still, 5)
    assert recorded_horizon(y) == 5
    if y.shape[1] == 1:
        assert recorded_horizon(y.shift(-1)) == 5


def test_what_is_recorded_elsewhere_is_believed():
    y = pd.DataFrame({"A": [0.1, 0.2]})
    assert recorded_horizon(y) is None
    assert recorded_horizon(y.to_numpy()) is None
    y.attrs["horizon"] = 2
    assert recorded_horizon(y.shift(-1)) == 2


def test_the_record_is_small_and_a_number():
    prices = make_panel(400, 300, random_state=0)
    horizon = forward_returns(prices, 5).attrs["horizon"]
    assert repr(horizon) == json.dumps(horizon) == "5"
    assert len(pickle.dumps(horizon)) < 400_000
    assert copy.deepcopy(horizon) is copy.copy(horizon) is horizon
    assert (horizon + 1, hash(horizon)) == (6, hash(5))
