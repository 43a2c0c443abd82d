"""Forecasters of some of a universe's tickers know what is common to all of them."""

import numpy as np
import pandas as pd
import pytest

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster, FallbackForecaster
from skbatch._kernels.target import typical_volatility
from skbatch.exceptions import PanelError
from skbatch.forecasting import ReturnTarget
from skbatch.forecasting._common_return import forward_common_return
from skbatch.forecasting._label_layout import check_labels
from skbatch.forecasting._label_scale import volatility_names
from skbatch.forecasting.engine import (
    FeatureTable,
    Universe,
    universe_common_return,
)
from skbatch.panel.engine import PanelColumns

N_DATES, TICKERS, HORIZON = 160, list("ABCDE"), 3


@pytest.fixture
def universe():
    """Features with volatilities of their own, and labels with a common part."""
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2020-01-01", periods=N_DATES)
    size = (N_DATES, len(TICKERS))
    signal = rng.normal(size=size)
    volatility = 0.01 * np.exp(rng.normal(size=size) * 0.2 + np.arange(5) - 3)
    columns = [f"{t}__{name}" for name in ("signal", "volatility_63") for t in TICKERS]
    X = pd.DataFrame(np.hstack([signal, volatility]), dates, columns).astype("float32")
    noise = rng.normal(size=size) + rng.normal(size=(N_DATES, 1)) + 0.2
    y = pd.DataFrame((noise + signal) * volatility, dates, TICKERS)
    y.attrs["horizon"] = HORIZON
    return X, y


def own_volatility(X):
    return X[[f"{t}__volatility_63" for t in TICKERS]].to_numpy(np.float64)


def known_of_all(X, y):
    volatility = own_volatility(X)
    typical = pd.Series(typical_volatility(volatility), X.index)
    common, calendars = universe_common_return(y, volatility)
    return Universe(common, typical, calendars)


def part(X, tickers):
    return X[[c for c in X if c.rpartition("__")[0] in tickers]]


def as_frame(X, y, tickers):
    own = part(X, tickers)
    own.attrs["universe"] = known_of_all(X, y)
    return own


def as_table(X, y, tickers):
    names = X.columns.to_numpy()
    table = FeatureTable(X.to_numpy(), PanelColumns.parse(X), X.index, names)
    return table.select(tickers, known_of_all(X, y))


@pytest.mark.parametrize("give", [as_frame, as_table])
@pytest.mark.parametrize("kind", [BatchLinearForecaster, BatchXGBoostForecaster])
@pytest.mark.parametrize("tickers", [["A"], ["E", "B"]])
def test_a_ticker_is_forecast_alike_alone_and_in_its_universe(
    universe, kind, tickers, give
):
    X, y = universe
    expected = kind("per_ticker").fit(X, y).predict(X)[tickers]
    own = give(X, y, tickers)
    actual = kind("per_ticker").fit(own, y[tickers]).predict(own)
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)
    # Without the universe, they are relative to something else.
    alone = kind("per_ticker").fit(part(X, tickers), y[tickers])
    assert not np.allclose(alone.predict(part(X, tickers)), expected)


def test_rows_of_a_frame_keep_what_is_known_of_their_dates(universe):
    X, y = universe
    own = as_frame(X, y, ["E", "B"])
    model = BatchLinearForecaster("per_ticker").fit(own, y[["E", "B"]])
    pd.testing.assert_frame_equal(
        model.predict(own.iloc[100:110]), model.predict(own).iloc[100:110]
    )


def test_the_common_return_is_the_mean_of_winsorised_labels(universe):
    X, y = universe
    volatility = own_volatility(X)
    y.iloc[7, 2], y.iloc[9, 1:], y.iloc[11, 0] = 50.0, np.nan, np.nan
    common = forward_common_return(y, volatility)
    assert list(common.columns) == [HORIZON]
    for row in range(N_DATES):
        limit = 5 * volatility[row] * HORIZON**0.5
        pairs = zip(y.iloc[row], limit, strict=True)
        bounded = [min(max(v, -u), u) for v, u in pairs if np.isfinite(v)]
        known = len(bounded) >= 2 and row < N_DATES - HORIZON
        expected = sum(bounded) / len(bounded) if known else np.nan
        assert common.iloc[row, 0] == pytest.approx(expected, nan_ok=True)


def test_without_volatilities_labels_are_bounded_by_their_deviation(universe):
    _, y = universe
    y.iloc[5, 0] = 9.0
    known = y.iloc[:-HORIZON]
    # One wrong price does not make its ticker's deviation.
    typical = 10 * 1.4826 * known.abs().median()
    limit = 5 * known.clip(-typical, typical, axis=1).std(ddof=0)
    assert limit["A"] < 1
    expected = known.clip(-limit, limit, axis=1).mean(axis=1)
    actual = forward_common_return(y, None)[HORIZON].iloc[:-HORIZON]
    np.testing.assert_allclose(actual, expected)


def benchmark_model(benchmark, **params):
    return BatchLinearForecaster(target=ReturnTarget(benchmark=benchmark), **params)


def test_horizons_have_a_benchmark_each(universe, stack_horizons):
    X, y = universe
    both = stack_horizons({3: y, 5: 2 * y})
    common = forward_common_return(both, own_volatility(X))
    assert list(common.columns) == [3, 5]
    expected = forward_common_return(y, own_volatility(X))[3]
    pd.testing.assert_series_equal(common[3], expected)
    benchmark_model(common).fit(X, both)
    with pytest.raises(PanelError, match=r"column for every horizon.*without 5"):
        benchmark_model(common[[3]]).fit(X, both)


def test_a_benchmark_of_all_tickers_is_what_labels_are_relative_to_anyway(universe):
    X, y = universe
    benchmark = forward_common_return(y, own_volatility(X))[HORIZON]
    actual = benchmark_model(benchmark).fit(X, y).predict(X)
    expected = BatchLinearForecaster().fit(X, y).predict(X)
    pd.testing.assert_frame_equal(actual, expected)


def test_the_latest_returns_of_a_benchmark_are_never_used(universe):
    X, y = universe
    benchmark = forward_common_return(y, own_volatility(X)).fillna(7.0)
    other = benchmark.copy()
    other.iloc[-HORIZON:] = -99.0
    fits = [
        benchmark_model(given[HORIZON]).fit(X, y).predict(X)
        for given in (benchmark, other)
    ]
    pd.testing.assert_frame_equal(*fits, check_exact=True)


def test_the_fallback_hands_the_universe_on(universe):
    X, y = universe
    own = as_table(X, y, ["A"])
    direct = BatchLinearForecaster().fit(own, y[["A"]]).predict(own)
    actual = FallbackForecaster(BatchLinearForecaster()).fit(own, y[["A"]])
    pd.testing.assert_frame_equal(actual.predict(own), direct)


@pytest.mark.parametrize("change", ["dates", "array"])
def test_a_benchmark_of_other_dates_is_refused(universe, change):
    X, y = universe
    benchmark = forward_common_return(y, own_volatility(X))
    if change == "dates":
        benchmark.index = benchmark.index + pd.Timedelta(days=5000)
        with pytest.raises(PanelError, match="finite returns on dates of X"):
            benchmark_model(benchmark).fit(X, y)
    else:
        with pytest.raises(PanelError, match="features that have dates"):
            benchmark_model(benchmark, horizon=3).fit(X.to_numpy(), y.to_numpy())


def test_volatilities_are_tried_from_a_quarter_outwards():
    names = ["volatility_5", "volatility_252", "beta_63", "volatility_42", "volatility"]
    assert volatility_names(names) == [
        "volatility_42",
        "volatility_252",
        "volatility_5",
    ]


# Calendars ----------------------------------------------------------------------------

STOCKS, COINS = ["A", "C", "E"], ["B", "D"]


@pytest.fixture
def mixed(universe):
    """Every day of the week, with features and labels of B and D on all of them."""
    X, y = universe
    days = pd.date_range("2020-01-01", periods=N_DATES)
    X, y = X.set_axis(days), y.set_axis(days)
    y[COINS] += 0.05
    weekend = days.day_of_week >= 5
    y.loc[weekend, STOCKS] = np.nan
    X.loc[weekend, [c for c in X if c.rpartition("__")[0] in STOCKS]] = np.nan
    return X, y


def target_of(X, y):
    """What the labels of a panel become, and what is common to them."""
    table = FeatureTable(X.to_numpy(), PanelColumns.parse(X), X.index, X.columns)
    labels, layout = check_labels(y, table, "auto")
    transform, _ = ReturnTarget().transform_labels(labels, table, layout)
    return labels, transform.weight * transform.expectation


def test_what_trades_on_other_days_does_not_change_what_labels_are_relative_to(mixed):
    X, y = mixed
    labels, common = target_of(X, y)
    for tickers in (STOCKS, COINS):
        use = [TICKERS.index(ticker) for ticker in tickers]
        own, alone = target_of(part(X, tickers), y[tickers])
        np.testing.assert_array_equal(labels[:, use], own)
        np.testing.assert_array_equal(common[use], alone)


def test_one_ticker_of_another_calendar_is_relative_to_its_own_mean(mixed):
    X, y = mixed
    y = y.drop(columns="D")
    labels, common = target_of(X, y)
    own, alone = target_of(part(X, ["B"]), y[["B"]])
    np.testing.assert_array_equal(labels[:, [1]], own)
    assert common[1] == alone[0]


def test_gaps_and_late_listings_are_no_other_calendar(universe):
    X, y = universe
    rng = np.random.default_rng(0)
    y = y.mask(rng.random(y.shape) < 0.4)
    y.iloc[:90, 0] = y.iloc[63:, 1] = np.nan
    labels, _ = target_of(X, y)
    calendarless = X.reset_index(drop=True), y.reset_index(drop=True)
    np.testing.assert_array_equal(labels, target_of(*calendarless)[0])


@pytest.mark.parametrize("lacking", ["", "D"])
@pytest.mark.parametrize("tickers", [["A"], ["B"], ["A", "B"], ["B", "E", "C"]])
def test_batches_of_mixed_calendars_are_forecast_as_in_their_universe(
    mixed, tickers, lacking
):
    X, y = mixed
    every = [ticker for ticker in TICKERS if ticker != lacking]
    X, y = part(X, every), y[every]
    model = BatchLinearForecaster("per_ticker")
    expected = model.fit(X, y).predict(X)[tickers]
    own = part(X, tickers)
    volatility = X[[f"{t}__volatility_63" for t in every]].to_numpy(np.float64)
    common, calendars = universe_common_return(y, volatility)
    assert len(set(calendars.values())) == 2
    typical = pd.Series(typical_volatility(volatility), X.index)
    own.attrs["universe"] = Universe(common, typical, calendars)
    actual = BatchLinearForecaster("per_ticker").fit(own, y[tickers]).predict(own)
    pd.testing.assert_frame_equal(actual, expected)


def test_the_first_label_in_another_unit_does_not_own_the_common_mean(universe):
    X, y = universe
    X.iloc[0, X.columns.str.endswith("__volatility_63")] = np.nan
    _, right = target_of(X, y)
    y.iloc[0, 1] = 99.0
    _, found = target_of(X, y)
    np.testing.assert_allclose(found, right, atol=1e-4)
    volatility = own_volatility(X)
    assert forward_common_return(y, volatility).iloc[0, 0] < 1
