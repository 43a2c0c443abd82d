"""New tickers never get what belongs to one that was fitted."""

import numpy as np
import pytest

from skbatch import (
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError


def features(prices, families=("returns", "volatility")):
    with np.errstate(all="ignore"):
        return SharedFeatureExtractor(list(families), [5, 21]).fit_transform(prices)


@pytest.fixture
def fitted():
    prices = make_panel(420, 8, random_state=0)
    model = ConformalForecaster(FallbackForecaster(BatchLinearForecaster()))
    return model.fit(features(prices), forward_returns(prices, 5))


def test_a_new_ticker_never_gets_the_mean_of_another(fitted):
    prices = make_panel(420, 3, random_state=5).set_axis(list("ABC"), axis=1)
    prices.iloc[:415] = np.nan
    prices["D"] = make_panel(420, 1, random_state=9).iloc[:, 0]
    forecasts = fitted.predict(features(prices).tail(1)).iloc[0]
    assert forecasts[["A", "B", "C"]].isna().all()
    assert np.isfinite(forecasts["D"])
    other = fitted.predict(features(prices[["C", "D", "A", "B"]]).tail(1)).iloc[0]
    np.testing.assert_array_equal(other[forecasts.index], forecasts)


def test_new_tickers_stray_as_the_others_where_no_feature_tells():
    prices = make_panel(420, 8, random_state=0)
    model = ConformalForecaster(BatchLinearForecaster())
    model.fit(features(prices, ["returns"]), forward_returns(prices, 5))
    new = make_panel(420, 3, random_state=5).set_axis(list("ABC"), axis=1)
    X = features(new, ["returns"]).tail(1)
    known = model.predict(X).notna()
    assert known.any(axis=None)
    lower, upper = model.predict_interval(X)
    assert ((upper > lower) == known).all(axis=None)
    own = model.predict_interval(features(prices, ["returns"]).tail(1))
    widths = (own.upper - own.lower).iloc[0]
    # At the median deviation of the fitted tickers: within their widths.
    width = (upper - lower).iloc[0].dropna().iloc[0]
    assert widths.min() < width < widths.max()


def test_a_date_to_draw_from_is_needed(fitted):
    X = features(make_panel(420, 8, random_state=0))
    for method in (fitted.predict_scenarios, fitted.predict_rank_proba):
        with pytest.raises(PanelError, match="X must have a row"):
            method(X.iloc[:0])
    with pytest.raises(ValueError, match="`n_samples` must be an int"):
        fitted.predict_scenarios(X, n_samples=True)


def test_a_fallback_of_the_same_class_has_a_name_of_its_own():
    prices = make_panel(420, 8, random_state=0)
    prices.iloc[:380, 0] = np.nan
    model = FallbackForecaster(BatchLinearForecaster())
    with pytest.warns(match="BatchLinearForecaster cannot forecast 1 of 8 tickers"):
        model.fit(features(prices), forward_returns(prices, 5))
    names = model.provenance_["model"]
    assert names.iloc[0] == "BatchLinearForecaster (fallback)"
    assert set(names.iloc[1:]) == {"BatchLinearForecaster"}
