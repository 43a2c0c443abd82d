"""Forecasters of some of a universe's tickers are told about the market of them all."""

import numpy as np
import pandas as pd
import pytest

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster, FallbackForecaster
from skbatch._kernels.target import typical_volatility
from skbatch.exceptions import PanelError
from skbatch.forecasting import ReturnTarget, market_return, volatility_features
from skbatch.panel import TYPICAL_VOLATILITY

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
    X[TYPICAL_VOLATILITY] = typical_volatility(X.iloc[:, 5:].to_numpy())
    return X, y


def part(X, y, tickers):
    own = [c for c in X if c.rpartition("__")[0] in (*tickers, "market")]
    return X[own], y[tickers]


def own_volatility(X):
    return X[[f"{t}__volatility_63" for t in TICKERS]].to_numpy(np.float64)


@pytest.mark.parametrize("kind", [BatchLinearForecaster, BatchXGBoostForecaster])
@pytest.mark.parametrize("tickers", [["A"], ["E", "B"]])
def test_a_ticker_is_forecast_alike_alone_and_in_its_universe(universe, kind, tickers):
    X, y = universe
    market = market_return(y, own_volatility(X))
    whole = kind("per_ticker").fit(X.drop(columns=TYPICAL_VOLATILITY), y)
    some = kind("per_ticker", market_return=market).fit(*part(X, y, tickers))
    expected = whole.predict(X.drop(columns=TYPICAL_VOLATILITY))[tickers]
    actual = some.predict(part(X, y, tickers)[0])
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)
    # Without being told, they are relative to something else.
    alone = kind("per_ticker").fit(*part(X, y, tickers)).predict(part(X, y, tickers)[0])
    assert not np.allclose(alone, expected)


def test_the_market_return_is_the_mean_of_winsorised_labels(universe):
    X, y = universe
    volatility = own_volatility(X)
    y.iloc[7, 2], y.iloc[9, 1:], y.iloc[11, 0] = 50.0, np.nan, np.nan
    market = market_return(y, volatility)
    assert list(market.columns) == [HORIZON]
    for row in range(N_DATES):
        limit = 5 * volatility[row] * HORIZON**0.5
        pairs = zip(y.iloc[row], limit, strict=True)
        bounded = [min(max(v, -u), u) for v, u in pairs if np.isfinite(v)]
        known = len(bounded) >= 2 and row < N_DATES - HORIZON
        expected = sum(bounded) / len(bounded) if known else np.nan
        assert market.iloc[row, 0] == pytest.approx(expected, nan_ok=True)


def test_without_volatilities_labels_are_bounded_by_their_deviation(universe):
    _, y = universe
    y.iloc[5, 0] = 9.0
    known = y.iloc[:-HORIZON]
    limit = 5 * known.std(ddof=0)
    expected = known.clip(-limit, limit, axis=1).mean(axis=1)
    actual = market_return(y, None)[HORIZON].iloc[:-HORIZON]
    np.testing.assert_allclose(actual, expected)


def test_horizons_have_a_market_each(universe, stack_horizons):
    X, y = universe
    both = stack_horizons({3: y, 5: 2 * y})
    market = market_return(both, own_volatility(X))
    assert list(market.columns) == [3, 5]
    expected = market_return(y, own_volatility(X))[3]
    pd.testing.assert_series_equal(market[3], expected)
    BatchLinearForecaster(market_return=market).fit(X, both)
    with pytest.raises(PanelError, match=r"column for every horizon.*without 5"):
        BatchLinearForecaster(market_return=market[[3]]).fit(X, both)


def test_the_latest_market_returns_are_never_used(universe):
    X, y = universe
    market = market_return(y, own_volatility(X)).fillna(7.0)
    other = market.copy()
    other.iloc[-HORIZON:] = -99.0
    fits = [
        BatchLinearForecaster(market_return=m[HORIZON]).fit(X, y).predict(X)
        for m in (market, other)
    ]
    pd.testing.assert_frame_equal(*fits, check_exact=True)


def test_the_typical_volatility_is_no_input(universe):
    X, y = universe
    other = X.assign(**{TYPICAL_VOLATILITY: 1e-9})
    # Beside hardly any volatility nobody is calm, so only that may differ.
    model = BatchXGBoostForecaster(
        n_estimators=5, target=ReturnTarget(market_weight=0.0)
    )
    forecasts = [model.fit(table, y).predict(table) for table in (X, other)]
    pd.testing.assert_frame_equal(*forecasts, check_exact=True)


def test_the_fallback_hands_it_on(universe):
    X, y = universe
    market = market_return(y, own_volatility(X))
    own, labels = part(X, y, ["A"])
    model = FallbackForecaster(BatchLinearForecaster(market_return=market))
    direct = BatchLinearForecaster(market_return=market).fit(own, labels)
    actual = model.fit(own, labels).predict(own)
    pd.testing.assert_frame_equal(actual, direct.predict(own))


@pytest.mark.parametrize("change", ["dates", "array"])
def test_a_market_of_other_dates_is_refused(universe, change):
    X, y = universe
    market = market_return(y, own_volatility(X))
    if change == "dates":
        market.index = market.index + pd.Timedelta(days=5000)
        with pytest.raises(PanelError, match="finite returns at dates of X"):
            BatchLinearForecaster(market_return=market).fit(X, y)
    else:
        with pytest.raises(PanelError, match="features that have dates"):
            BatchLinearForecaster(horizon=3, market_return=market).fit(
                X.to_numpy(), y.to_numpy()
            )


def test_volatilities_are_tried_from_a_quarter_outwards():
    names = ["volatility_5", "volatility_252", "beta_63", "volatility_42", "volatility"]
    assert volatility_features(names) == [
        "volatility_42",
        "volatility_252",
        "volatility_5",
    ]
