import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import TimeSeriesSplit
from sklearn.utils import _safe_indexing

from skbatch import BatchLinearForecaster
from skbatch.datasets import make_panel
from skbatch.exceptions import HorizonWarning, PanelError
from skbatch.forecasting._feature_table import FeatureTable
from skbatch.forecasting._label_layout import check_labels
from skbatch.panel import forward_returns
from skbatch.panel.engine import PanelColumns

NAN = np.nan


@pytest.fixture
def table():
    names = ["A__f", "B__f", "A__g", "market__m"]
    values = np.arange(20, dtype=np.float32).reshape(5, 4)
    return FeatureTable(values, PanelColumns.parse(names), pd.RangeIndex(5))


def test_stacking_is_a_loop_over_rows(table):
    columns = table.series_columns(["B", "A"])
    dates, series = np.array([4, 0, 0, 2]), np.array([0, 0, 1, 1])
    stacked = table.gather(columns, dates, series)
    assert stacked.dtype == np.float32
    assert stacked.flags.f_contiguous
    names = {"B": ["B__f", None], "A": ["A__f", "A__g"]}
    position = {"A__f": 0, "B__f": 1, "A__g": 2}
    for row, (date, one) in enumerate(zip(dates, series, strict=True)):
        for column, name in enumerate(names["BA"[one]]):
            expected = NAN if name is None else table.values[date, position[name]]
            np.testing.assert_equal(stacked[row, column], np.float32(expected))


def test_a_ticker_is_observed_by_any_finite_feature_of_its_own(table):
    table.values[0, [0, 2]] = NAN
    table.values[1, 0] = NAN
    table.values[2, 1] = NAN
    observed = table.observed(["A", "B"])
    assert observed[:, 0].tolist() == [False, True, True, True, True]
    assert observed[:, 1].tolist() == [True, True, False, True, True]


def test_labels_without_tickers_have_no_columns_of_their_own(table):
    assert table.series_columns([None, "A"]).shape == (2, 0)


# Horizons -----------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_the_last_rows_of_labels_are_removed_and_y_is_not(table, horizon):
    y = pd.DataFrame(np.ones((5, 2)), columns=["A", "B"])
    y.attrs["horizon"] = horizon
    values, layout = check_labels(y, table, "auto")
    assert np.isnan(values[5 - horizon :]).all()
    assert (values[: 5 - horizon] == 1).all()
    assert layout.horizons == (horizon, horizon)
    assert (y == 1).all(axis=None)


def test_every_horizon_removes_its_own_rows(table, stack_horizons):
    ones = pd.DataFrame(np.ones((5, 2)), columns=["A", "B"])
    values, layout = check_labels(stack_horizons({3: ones, 1: ones}), table, "auto")
    assert layout.horizons == (3, 3, 1, 1)
    assert np.isnan(values).sum(axis=0).tolist() == [3, 3, 1, 1]


@pytest.mark.filterwarnings("error")
def test_the_recorded_horizon_survives_slicing(make_frames):
    X, y = make_frames(120, horizon=5)
    train, _ = next(TimeSeriesSplit(2).split(X))
    for part in (y.iloc[:40], y.loc[: y.index[39]], _safe_indexing(y, train)):
        model = BatchLinearForecaster().fit(X.iloc[: len(part)], part)
        assert model.horizon_ == 5


@pytest.mark.parametrize("recorded", [5, np.int64(5), (5,), [5]])
def test_a_recorded_horizon_may_be_any_integer_or_the_only_one(make_frames, recorded):
    X, y = make_frames()
    y.attrs["horizon"] = recorded
    model = BatchLinearForecaster().fit(X, y)
    assert model.horizon_ == 5
    assert type(model.horizon_) is int


@pytest.mark.parametrize("recorded", [0, -3, True, 2.5, "five", (1, 5), ()])
def test_a_recorded_horizon_that_fits_no_column_is_refused(make_frames, recorded):
    X, y = make_frames()
    y.attrs["horizon"] = recorded
    with pytest.raises(
        ValueError, match=r"y\.attrs\['horizon'\] must be .* Got .* Pass"
    ):
        BatchLinearForecaster().fit(X, y)


def test_one_horizon_of_several_must_be_named(make_frames, stack_horizons):
    X, _ = make_frames()
    prices = np.exp(np.random.default_rng(0).normal(0, 0.01, (200, 4)).cumsum(axis=0))
    prices = pd.DataFrame(prices, X.index, [f"T{n}" for n in range(4)])
    five = forward_returns(prices, (1, 5))[5]
    with pytest.raises(ValueError, match=r"Got \(1, 5\)"):
        BatchLinearForecaster().fit(X, five)
    assert BatchLinearForecaster(horizon=5).fit(X, five).horizon_ == 5


def test_an_explicit_horizon_must_agree_with_the_labels(make_frames, stack_horizons):
    X, y = make_frames(horizon=5)
    with pytest.raises(ValueError, match=r"horizon must agree .* Got horizon=1 .* 5"):
        BatchLinearForecaster(horizon=1).fit(X, y)
    assert BatchLinearForecaster(horizon=5).fit(X, y).horizon_ == 5
    both = stack_horizons({1: y, 5: y})
    with pytest.raises(ValueError, match=r"horizon must agree .* Got horizon=5"):
        BatchLinearForecaster(horizon=5).fit(X, both)
    assert BatchLinearForecaster().fit(X, both).horizon_ == (1, 5)
    assert BatchLinearForecaster(horizon=5).fit(X, both[[5]]).horizon_ == 5


def test_repeated_horizons_are_refused(make_frames, stack_horizons):
    X, y = make_frames()
    both = stack_horizons({1: y, 5: y})
    with pytest.raises(ValueError, match="unique column names"):
        BatchLinearForecaster().fit(X, pd.concat([both, both[[5]]], axis=1))


@pytest.mark.parametrize("level", ["T0", 0, -1, 1.5])
def test_a_first_level_that_is_no_horizon_is_refused(make_frames, level):
    X, y = make_frames()
    y.columns = pd.MultiIndex.from_product([[level], y.columns])
    with pytest.raises(PanelError, match=r"y must have columns \(horizon, ticker\)"):
        BatchLinearForecaster().fit(X, y)


def test_a_missing_horizon_is_told_once_and_at_the_users_line(make_frames, forecaster):
    X, y = make_frames()
    y.attrs.clear()
    with pytest.warns(HorizonWarning, match="horizon 1 is assumed") as caught:
        forecaster.fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    assert forecaster.horizon_ == 1


# Errors -------------------------------------------------------------------------------


def test_malformed_tables_are_refused_with_advice(make_frames, forecaster):
    X, y = make_frames()
    cases = {
        "X and y must have the same rows.*200 and 199": (X, y.iloc[:-1]),
        "X and y must have the same index.*2015-01-01.*at row 0": (
            X.iloc[:-1],
            y.iloc[1:],
        ),
        "Got labels without features: Z. .*T0": (X, y.rename(columns={"T1": "Z"})),
        "(?s)Expected unique column names.*'T0' 2": (X, y[["T0", "T1", "T0"]]),
        "(?s)Expected unique column names.*T0__f0": (X[[*X, "T0__f0"]], y),
        "X must have dates in increasing order.*sort_index": (X[::-1], y[::-1]),
        "X must have dates .* each once": (X.iloc[[0, 0, 1]], y.iloc[[0, 0, 1]]),
        "Input X contains infinity": (X.where(X < 2, np.inf), y),
        "Input y contains infinity": (X, y.where(y < 0.05, np.inf)),
        "y must hold finite labels.*Got none in 200 rows at horizon 1": (X, y * NAN),
        "y must hold finite labels.*horizon 300": (X, with_horizon(y, 300)),
        "the target y is None": (X, None),
    }
    for message, (features, labels) in cases.items():
        with pytest.raises(ValueError, match=message):
            forecaster.fit(features, labels)


def with_horizon(y, horizon):
    y = y.copy()
    y.attrs["horizon"] = horizon
    return y


def test_many_unknown_tickers_are_counted():
    X = pd.DataFrame(np.zeros((9, 7)), columns=[f"A{n}__f" for n in range(7)])
    y = pd.DataFrame(np.zeros((9, 7)), columns=[f"B{n}" for n in range(7)])
    with pytest.raises(PanelError, match=r"B0, B1, B2, B3, B4 and 2 more\. X has A0"):
        BatchLinearForecaster(horizon=1).fit(X, y)


def test_features_must_come_in_the_fitted_order(make_frames, forecaster):
    X, y = make_frames()
    forecaster.fit(X, y)
    with pytest.raises(ValueError, match="same order"):
        forecaster.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="feature names"):
        forecaster.predict(X.drop(columns="T0__f0"))


def test_an_unnamed_series_needs_the_name_of_its_ticker(make_frames):
    X, y = make_frames()
    with pytest.raises(PanelError, match=r"labels without features: 1 unnamed"):
        BatchLinearForecaster(horizon=1).fit(X, pd.Series(y["T0"].to_numpy(), y.index))


def test_a_frame_of_the_market_alone_is_refused(make_frames, forecaster):
    X, y = make_frames(market=True)
    with pytest.raises(PanelError, match="X must have a feature of each ticker"):
        forecaster.fit(X[["market__return"]], y)


def test_labels_that_were_moved_are_refused_by_every_forecaster(
    make_frames, forecaster
):
    X, _ = make_frames(300, horizon=5)
    prices = make_panel(300, 4, random_state=0).set_axis(X.index)
    y = forward_returns(prices.set_axis([f"T{n}" for n in range(4)], axis=1), 5)
    clone(forecaster).fit(X, y).fit(X.iloc[:200], y.iloc[:200])
    for part in (slice(None), slice(200)):
        with pytest.raises(PanelError, match="look further ahead"):
            forecaster.fit(X.iloc[part], y.shift(-1).iloc[part])


def test_moved_labels_without_a_record_go_with_a_horizon(make_frames):
    X, y = make_frames(300, horizon=5)
    moved = forward_returns(np.exp(y.cumsum()), 5).shift(-1)
    with pytest.raises(PanelError, match="pass horizon=h"):
        BatchLinearForecaster(horizon=6).fit(X, moved)
    del moved.attrs["horizon"]
    assert BatchLinearForecaster(horizon=6).fit(X, moved).horizon_ == 6
