"""Labels of wrong prices: three old rows in another unit move nothing."""

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel


@pytest.fixture(scope="module")
def panels():
    """A panel, and the same with three old rows of one ticker in pence."""
    prices = make_panel(500, 5, random_state=0)
    wrong = prices.copy()
    wrong.iloc[300:303, 0] *= 100
    return prices, wrong


@pytest.mark.parametrize("horizon", [1, 5, 63])
def test_the_mean_is_that_of_labels_of_at_most_ten_times_the_usual(panels, horizon):
    for prices in panels:
        y = forward_returns(prices, horizon)
        mean = HistoricalMeanForecaster(horizon).fit(np.zeros((500, 1)), y.to_numpy())
        known = y.iloc[:-horizon]
        bound = 10 * 1.4826 * known.abs().median()
        expected = known.clip(-bound, bound, axis=1).mean()
        np.testing.assert_allclose(mean.mean_, expected, rtol=1e-12)


def test_old_rows_in_another_unit_do_not_move_the_mean(panels):
    right, found = (
        HistoricalMeanForecaster(5).fit(
            np.zeros((500, 1)), forward_returns(p, 5).to_numpy()
        )
        for p in panels
    )
    np.testing.assert_allclose(found.mean_, right.mean_, atol=0.002)


@pytest.mark.parametrize("features", ["arrays", "returns", "volatility"])
def test_a_linear_model_forecasts_no_more_than_without_them(panels, features):
    largest = []
    for prices in panels:
        y = forward_returns(prices, 5)
        families = (
            ["returns", "volatility"] if features == "volatility" else ["returns"]
        )
        X = SharedFeatureExtractor(families, windows=[5, 21]).fit_transform(prices)
        if features == "arrays":
            X, y = np.nan_to_num(X.to_numpy()), y.to_numpy()
        forecasts = BatchLinearForecaster(horizon=5).fit(X, y).predict(X)
        largest.append(np.nanmax(np.abs(np.asarray(forecasts))[-60:]))
    assert largest[1] < 2 * largest[0]


def test_intervals_by_their_own_residuals_are_no_wider(panels):
    widths = []
    for prices in panels:
        y = forward_returns(prices, 5)
        X = SharedFeatureExtractor(["returns"], windows=[5]).fit_transform(prices)
        model = ConformalForecaster(BatchLinearForecaster(), scale=None).fit(X, y)
        lower, upper = model.predict_interval(X.tail(1))
        widths.append(upper - lower)
    assert (widths[1] < 2 * widths[0]).all(axis=None)


@pytest.mark.filterwarnings("ignore:Tickers should share one calendar")
def test_forecasts_of_stocks_do_not_rest_on_what_trades_at_weekends():
    stocks = make_panel(600, 8, random_state=0)
    days = pd.date_range(stocks.index[0], stocks.index[-1])
    rng = np.random.default_rng(0)
    moves = rng.normal(0.004, 0.045, (len(days), 2))
    coins = pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), days, ["BTC", "ETH"])
    features = SharedFeatureExtractor(["returns", "volatility"], windows=[21, 63])
    system = BatchForecastingSystem(
        7, features=features, forecaster=BatchLinearForecaster()
    )
    beside = pd.concat([stocks, coins], axis=1, sort=True)
    # Seven days of the week have five rows of the stocks.
    alone = system.set_params(horizon=5).fit(stocks).forecast().expected_returns
    found = system.set_params(horizon=7).fit(beside).forecast().expected_returns
    assert abs(found[alone.index].mean() - alone.mean()) < 0.001
