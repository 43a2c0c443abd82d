"""Implied volatility is an input of the expected volatility, and so of intervals."""

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.exceptions import PanelError
from skbatch.panel import join_signals

N_DATES, N_TICKERS, END = 900, 12, 700


@pytest.fixture(scope="module")
def panel():
    """Prices whose volatility jumps every 40 rows, which options know."""
    random = np.random.default_rng(0)
    tickers = [f"T{number}" for number in range(N_TICKERS)]
    dates = pd.bdate_range("2015-01-01", periods=N_DATES, name="date")
    levels = np.exp(random.normal(0, 0.6, (N_DATES // 40 + 1, N_TICKERS)))
    volatility = 0.01 * np.repeat(levels, 40, axis=0)[:N_DATES]
    moves = volatility * random.standard_normal(volatility.shape)
    prices = pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), dates, tickers)
    implied = pd.DataFrame(volatility, dates, tickers)
    implied = implied.where(random.uniform(size=implied.shape) > 0.2)
    return join_signals(prices, {"implied_volatility": implied.shift(-1)[:-1]})


def intervals(panel, cross_section=None, **renamed):
    """Fit on the first rows, and bound the returns of the others."""
    panel = panel.rename(columns=renamed, level="field")
    extractor = SharedFeatureExtractor(
        ["returns", "volatility"], (5, 21, 63), cross_section=cross_section
    )
    X = extractor.fit_transform(panel)
    y = forward_returns(panel["Close"], 1)
    model = BatchLinearForecaster().fit(X[:END], y[:END])
    lower, upper = model.predict_interval(X[END:-1])
    y = y[END:-1]
    return upper - lower, ((y >= lower) & (y <= upper)).to_numpy().mean()


def test_intervals_follow_it(panel):
    width, coverage = intervals(panel)
    other, _ = intervals(panel, implied_volatility="value")
    known = panel["implied_volatility"][END:-1]
    assert coverage == pytest.approx(0.9, abs=0.03)
    correlations = [
        np.log(table).stack().corr(np.log(known).stack()) for table in (width, other)
    ]
    assert correlations[0] > 0.9
    assert correlations[0] > correlations[1] + 0.2


def test_its_unit_does_not_matter(panel):
    other = panel.copy()
    other["implied_volatility"] *= 100 * np.sqrt(252)
    expected, actual = intervals(panel)[0], intervals(other)[0]
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-4)


def test_a_comparison_of_features_leaves_it_as_it_is(panel):
    width, coverage = intervals(panel, cross_section="rank")
    known = panel["implied_volatility"][END:-1]
    assert np.log(width).stack().corr(np.log(known).stack()) > 0.9
    assert coverage == pytest.approx(0.9, abs=0.03)


def test_the_system_follows_it(panel):
    features = SharedFeatureExtractor(["returns", "volatility"], (5, 21, 63))
    system = BatchForecastingSystem(
        1, features=features, forecaster=BatchLinearForecaster()
    ).fit(panel[:END])
    calm = panel[: END + 1].copy()
    wild = calm.copy()
    place = wild.columns.get_level_values("field") == "implied_volatility"
    wild.iloc[-1, place] = 4 * calm.iloc[-1, place].max()
    widths = []
    for table in (calm, wild):
        forecast = system.forecast(table).to_frame()
        widths.append(forecast["upper"] - forecast["lower"])
    assert (widths[1] > widths[0]).all()


def test_it_is_not_negative(panel):
    other = panel.copy()
    other.loc[other.index[5], ("implied_volatility", "T3")] = -0.1
    with pytest.raises(PanelError, match=r"not be negative.*-0\.1 .* of T3\."):
        SharedFeatureExtractor().fit(other)
