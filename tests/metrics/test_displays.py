"""Pictures show the numbers they are given, on the axes they are given."""

import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbatch.exceptions import PanelError
from skbatch.metrics import (
    ForecastFanDisplay,
    InformationCoefficientDisplay,
    IntervalCalibrationDisplay,
    QuantileReturnsDisplay,
    mean_inference,
    quantile_returns,
    rank_information_coefficient_series,
)

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@pytest.fixture(autouse=True)
def no_window():
    matplotlib.use("agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def tables():
    random = np.random.default_rng(0)
    dates = pd.bdate_range("2020-01-01", periods=300)
    y = pd.DataFrame(random.normal(0, 0.02, (300, 10)), dates).add_prefix("T")
    y.attrs["horizon"] = 5
    return y, 0.1 * y + random.normal(0, 0.02, y.shape)


@pytest.fixture(scope="module")
def quantiles(tables):
    y, _ = tables
    return {q: y * 0 + 0.02 * norm.ppf(q) for q in LEVELS}


class Model(BaseEstimator):
    """A fitted model that forecasts what it is told."""

    horizon_ = 5

    def __init__(self, forecasts=None, quantiles=None):
        self.forecasts = forecasts
        self.quantiles = quantiles
        if quantiles is not None:
            self.predict_quantiles = lambda X, levels: quantiles(X, levels)

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return self.forecasts


def make(name, tables, quantiles, ax=None):
    y, forecasts = tables
    if name == "ic":
        return InformationCoefficientDisplay.from_predictions(y, forecasts, ax=ax)
    if name == "bins":
        return QuantileReturnsDisplay.from_predictions(y, forecasts, ax=ax)
    if name == "calibration":
        return IntervalCalibrationDisplay.from_predictions(y, quantiles, ax=ax)
    return ForecastFanDisplay.from_predictions(
        100 * (1 + y).cumprod(), quantiles, ticker="T1", horizon=5, ax=ax
    )


NAMES = ["ic", "bins", "calibration", "fan"]


@pytest.mark.parametrize("name", NAMES)
def test_displays_draw_on_the_axes_they_are_given(name, tables, quantiles):
    ax = Figure().subplots()
    display = make(name, tables, quantiles, ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_title(loc="left")
    assert ax.get_ylabel()


@pytest.mark.parametrize("name", NAMES)
def test_displays_make_axes_of_their_own(name, tables, quantiles):
    first, second = (make(name, tables, quantiles) for _ in range(2))
    assert first.ax_ is not second.ax_
    again = first.plot()
    assert again is first
    assert first.ax_ is not second.ax_


@pytest.mark.parametrize("name", NAMES)
def test_without_matplotlib_they_say_what_to_install(
    name, tables, quantiles, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"needs matplotlib.*'skbatch\[plot\]'"):
        make(name, tables, quantiles)


# Information coefficient --------------------------------------------------------------


def test_ic_line_is_the_rolling_mean(tables):
    display = InformationCoefficientDisplay.from_predictions(*tables, window=20)
    ic = rank_information_coefficient_series(*tables)
    rolling = ic.rolling(20, min_periods=10).mean()
    np.testing.assert_allclose(display.line_.get_ydata(), rolling)
    assert display.inference_ == mean_inference(ic, horizon=5)
    np.testing.assert_allclose(display.points_.get_offsets()[:, 1].data, ic)


def test_ic_may_be_summed_up_and_of_values(tables):
    display = InformationCoefficientDisplay.from_predictions(
        *tables, kind="cumulative", method="pearson", horizon=1
    )
    np.testing.assert_allclose(display.line_.get_ydata()[-1], display.ic.sum())
    assert display.horizon == 1
    assert "IC" in display.ax_.get_ylabel()


def test_ic_of_an_estimator_and_of_arrays(tables):
    y, forecasts = tables
    display = InformationCoefficientDisplay.from_estimator(Model(forecasts), None, y)
    arrays = InformationCoefficientDisplay.from_predictions(
        y.to_numpy(), forecasts.to_numpy()
    )
    np.testing.assert_allclose(display.ic, arrays.ic)
    assert (display.horizon, arrays.horizon) == (5, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "kendall"}, "one of 'rank', 'pearson'. Got 'kendall'"),
        ({"kind": "bars"}, "`kind` must be one of 'rolling', 'cumulative'. Got 'bars'"),
    ],
)
def test_ic_errors_say_what_to_do(tables, options, message):
    with pytest.raises(ValueError, match=message):
        InformationCoefficientDisplay.from_predictions(*tables, **options)


@pytest.mark.parametrize(
    "display", [InformationCoefficientDisplay, QuantileReturnsDisplay]
)
def test_pictures_are_of_one_horizon(tables, display):
    both = [pd.concat({1: t, 5: t}, axis=1) for t in tables]
    with pytest.raises(PanelError, match=r"must have one horizon. Got \[1, 5\]"):
        display.from_predictions(*both)


# Quantile returns ---------------------------------------------------------------------


def test_bars_are_the_mean_returns_in_percent(tables):
    display = QuantileReturnsDisplay.from_predictions(*tables, n_quantiles=4)
    bins = quantile_returns(*tables, 4)
    heights = [bar.get_height() for bar in display.bars_.patches]
    np.testing.assert_allclose(heights, 100 * bins.mean())
    assert display.spread_ == mean_inference(bins[4] - bins[1], horizon=5)


def test_whiskers_are_the_interval_of_the_relative_return(tables):
    y, forecasts = tables
    display = QuantileReturnsDisplay.from_estimator(Model(forecasts), None, y)
    bins = display.returns
    relative = mean_inference(bins[1] - bins.mean(axis=1), horizon=5)
    half = relative.mean / relative.t_statistic * relative.critical_value
    low, high = display.bars_.errorbar.lines[2][0].get_segments()[0][:, 1]
    assert (high - low) / 200 == pytest.approx(abs(half))


# Calibration --------------------------------------------------------------------------


def test_observed_shares_are_counted(tables, quantiles):
    y, _ = tables
    display = IntervalCalibrationDisplay.from_predictions(y, quantiles)
    for level, table in quantiles.items():
        expected = (y <= table).to_numpy().mean()
        assert display.shares.loc[level, "observed"] == pytest.approx(expected)
    np.testing.assert_allclose(
        display.line_.get_ydata(), 100 * display.shares["observed"]
    )


def test_shares_of_intervals_and_missing_returns(tables, quantiles):
    y = tables[0].mask(tables[0] > 0.05)
    bounds = {0.9: (quantiles[0.05], quantiles[0.95])}
    display = IntervalCalibrationDisplay.from_predictions(y, bounds)
    inside = (y >= quantiles[0.05]) & (y <= quantiles[0.95])
    expected = inside.to_numpy().sum() / y.notna().to_numpy().sum()
    assert display.shares.loc[0.9, "observed"] == pytest.approx(expected)
    assert display.of_intervals
    assert "inside" in display.ax_.get_ylabel()


def test_error_of_a_share_is_that_of_the_daily_shares(tables, quantiles):
    y, _ = tables
    shares = IntervalCalibrationDisplay.from_predictions(y, quantiles).shares
    daily = mean_inference((y <= quantiles[0.75]).mean(axis=1), horizon=5)
    half = daily.mean / daily.t_statistic * daily.critical_value
    assert shares.loc[0.75, "error"] == pytest.approx(half)


@pytest.mark.parametrize("order", [["quantile", "ticker"], ["ticker", "quantile"]])
def test_quantiles_may_be_a_level_of_the_columns(tables, quantiles, order):
    y, _ = tables
    table = pd.concat(quantiles, axis=1, names=["quantile", "ticker"])
    wide = table.reorder_levels(order, axis=1)
    expected = IntervalCalibrationDisplay.from_predictions(y, quantiles).shares
    for made in (
        IntervalCalibrationDisplay.from_predictions(y, wide),
        IntervalCalibrationDisplay.from_estimator(
            Model(quantiles=lambda X, levels: wide), None, y, quantiles=LEVELS
        ),
        IntervalCalibrationDisplay.from_estimator(
            Model(quantiles=lambda X, levels: np.stack([quantiles[q] for q in levels])),
            None,
            y,
            quantiles=LEVELS,
        ),
    ):
        pd.testing.assert_frame_equal(made.shares, expected)


@pytest.mark.parametrize(
    ("forecasts", "message"),
    [
        ({}, "must map levels between 0 and 1 to forecasts. Got dict"),
        ({5: 1, 95: 2}, r"Got \[5, 95\]. Pass \{0.05: lower, 0.95: upper\}"),
        ({"low": 1}, r"Got \['low'\]"),
        (pd.DataFrame([[1.0]]), "Got DataFrame"),
    ],
)
def test_calibration_errors_say_what_to_do(tables, forecasts, message):
    with pytest.raises(ValueError, match=message):
        IntervalCalibrationDisplay.from_predictions(tables[0], forecasts)


def test_quantiles_and_intervals_are_not_mixed(tables, quantiles):
    mixed = {0.5: quantiles[0.5], 0.9: (quantiles[0.05], quantiles[0.95])}
    with pytest.raises(ValueError, match="must hold quantiles or intervals"):
        IntervalCalibrationDisplay.from_predictions(tables[0], mixed)


@pytest.mark.parametrize("display", [IntervalCalibrationDisplay, ForecastFanDisplay])
def test_estimators_must_forecast_quantiles(display, tables):
    y, forecasts = tables
    options = {} if display is IntervalCalibrationDisplay else {"ticker": "T1"}
    with pytest.raises(TypeError, match=r"must have `predict_quantiles`\. Got Model"):
        display.from_estimator(Model(forecasts), y, y, **options)


# Fan ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closes(tables):
    return 100 * (1 + tables[0]).cumprod()


def test_fan_by_hand(closes, quantiles):
    date = closes.index[200]
    display = ForecastFanDisplay.from_predictions(
        closes, quantiles, ticker="T1", horizon=5, date=date, n_history=30
    )
    assert len(display.history) == 30
    assert display.history.index[-1] == date
    pd.testing.assert_series_equal(
        display.realized, closes["T1"].iloc[200:206], check_freq=False
    )
    last = closes.loc[date, "T1"]
    corners = display.bands_[0].get_paths()[0].vertices[:, 1]
    assert corners.max() == pytest.approx(last * (1 + quantiles[0.95].iloc[0, 1]))
    assert corners.min() == pytest.approx(last * (1 + quantiles[0.05].iloc[0, 1]))
    assert len(display.bands_) == 2


def test_fan_of_several_horizons_at_the_end_of_the_data(closes, quantiles):
    columns = {q: pd.concat({1: t, 5: 2 * t}, axis=1) for q, t in quantiles.items()}
    display = ForecastFanDisplay.from_predictions(
        closes, columns, ticker="T3", horizon=(1, 5)
    )
    assert display.realized is None
    assert display.returns.index.tolist() == [1, 5]
    assert display.returns.loc[5, 0.95] == pytest.approx(0.04 * norm.ppf(0.95))
    ahead = display.bands_[0].get_paths()[0].vertices[:, 0]
    last = matplotlib.dates.date2num(closes.index[-1])
    assert ahead.max() == last + 7  # five business days


def test_fan_of_an_estimator(closes, quantiles):
    model = Model(
        quantiles=lambda X, _: {q: t.loc[X.index] for q, t in quantiles.items()}
    )
    pipeline = make_pipeline(FunctionTransformer(lambda X: X.iloc[-3:]), model)
    for estimator in (model, pipeline):
        display = ForecastFanDisplay.from_estimator(
            estimator, closes.iloc[:250], closes, ticker="T1"
        )
        assert display.history.index[-1] == closes.index[249]
        assert len(display.realized) == 6


def test_fan_of_numbered_rows(closes, quantiles):
    numbered = closes.reset_index(drop=True)
    forecasts = {q: t.reset_index(drop=True) for q, t in quantiles.items()}
    display = ForecastFanDisplay.from_predictions(
        numbered, forecasts, ticker="T1", horizon=5
    )
    assert display.bands_[0].get_paths()[0].vertices[:, 0].max() == 299 + 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ticker": "X"}, "must hold the ticker and the date. Got T0, T1"),
        ({"date": pd.Timestamp("1999-01-01")}, "or no 1999-01-01"),
        ({"ticker": "T4"}, "must have a price of T4 at"),
    ],
)
def test_fan_errors_say_what_to_do(closes, quantiles, options, message):
    prices = closes.assign(T4=np.nan)
    options = {"ticker": "T1", "horizon": 5, **options}
    with pytest.raises(PanelError, match=message):
        ForecastFanDisplay.from_predictions(prices, quantiles, **options)


def test_fan_needs_forecasts_of_its_ticker(closes, quantiles):
    others = {q: t.drop(columns="T1") for q, t in quantiles.items()}
    with pytest.raises(PanelError, match="`y_pred` must forecast T1 over 5 rows at"):
        ForecastFanDisplay.from_predictions(closes, others, ticker="T1", horizon=5)
