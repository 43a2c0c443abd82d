import math
import pickle

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchForecastingConfig,
    BatchLinearForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    robust_forecast_returns,
)
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio import black_litterman_views, preflight, to_pypfopt

# Few features, so that short panels have all of them.
FAST = {"features": {"families": ["returns"], "windows": [2, 5]}}
LINEAR = {**FAST, "model": {"kind": "linear"}}


@pytest.mark.parametrize("method", ["batch", "individual", "linear", "mean"])
def test_every_result_knows_how_far_returns_stray(prices, method):
    data = prices.rename(columns={"T000": "BRK.B"})
    data.loc[data.index[-22:], "T003"] = 7.0
    data.iloc[:-1, 1] = np.nan
    asked = ["brk-b", "NOPE", "T001", "T002", "T003"]
    for _ in range(2):
        with pytest.warns(PortfolioWarning):
            expected = robust_forecast_returns(asked, data, method, config=LINEAR)
        closes = data.iloc[-253:].to_numpy()
        by_hand = np.std(closes[1:] / closes[:-1] - 1, axis=0, ddof=1)
        assert list(expected.volatility.index) == asked
        np.testing.assert_allclose(
            expected.volatility,
            [by_hand[0], np.nan, np.nan, *by_hand[2:]],
            rtol=1e-12,
        )
        expected.past_volatility[:] = 99.0
    pickled = pickle.loads(pickle.dumps(expected.in_units(annualized=False)))
    assert pickled.volatility["brk-b"] == 99.0


def test_a_covariance_of_other_units_is_known_by_the_volatility(prices):
    mu = robust_forecast_returns(None, prices, "mean")
    returns = prices.pct_change().iloc[1:]
    to_pypfopt(mu, returns.cov() * 252, risk_free_rate=None)
    # 100 / √252 = 6.3 times those of a year, and plausible for one.
    with pytest.raises(
        PortfolioError, match=r"are 6\.[0-9]+ times larger than.* single price"
    ):
        to_pypfopt(mu, (returns * 100).cov(), risk_free_rate=None)
    with pytest.raises(PortfolioError, match=r"are 1[5-7][.0-9]* times smaller than"):
        to_pypfopt(mu, returns.cov(), risk_free_rate=None, covariance_periods=252)
    report = preflight(mu, (returns * 100).cov(), risk_free_rate=None)
    assert report.failed == ["size"]


def test_preflight_needs_no_prices_for_the_dispersion(prices):
    mu = robust_forecast_returns(None, prices, "mean")
    own, given = preflight(mu), preflight(mu, prices=prices)
    detail = own.checks.at["dispersion", "detail"]
    assert "that of a typical return over 5 rows is" in detail
    assert detail == given.checks.at["dispersion", "detail"]


WITH_INTERVALS = {
    "batch": (LINEAR, BatchLinearForecaster()),
    "linear": (FAST, BatchLinearForecaster()),
    "mean": (FAST, HistoricalMeanForecaster()),
    "individual": (LINEAR, BatchLinearForecaster()),
}


@pytest.mark.parametrize("method", WITH_INTERVALS)
def test_intervals_are_those_of_the_system(prices, method, fits):
    config, model = WITH_INTERVALS[method]
    options = {"config": config, "horizon": 3, "coverage": 0.8}
    expected = robust_forecast_returns(["t002", "T000"], prices, method, **options)
    if method != "mean":
        model = FallbackForecaster(model, HistoricalMeanForecaster())
    system = BatchForecastingConfig(**config, horizon=3).to_system()
    system.set_params(forecaster=model)
    if method == "mean":
        system.set_params(features=SharedFeatureExtractor("returns", windows=[2]))
    by_hand = []
    for ticker in ("T002", "T000"):
        panel = prices[[ticker]] if method == "individual" else prices
        lower, upper = system.fit(panel).predict_interval(None, coverage=0.8)
        by_hand.append([lower[ticker].iloc[-1], upper[ticker].iloc[-1]])
    assert list(expected.interval) == ["lower", "upper"]
    assert list(expected.interval.index) == ["t002", "T000"]
    np.testing.assert_allclose(expected.interval, by_hand, rtol=1e-12)
    assert expected.interval.attrs == {"coverage": 0.8, "horizon": 3}
    # Forecasts are those without intervals, and the cache keeps both apart.
    without = robust_forecast_returns(
        ["t002", "T000"], prices, method, **options | {"coverage": None}
    )
    assert without == expected
    assert without.interval is None
    n_before = len(fits)
    again = robust_forecast_returns(["t002", "T000"], prices, method, **options)
    assert len(fits) == n_before
    pd.testing.assert_frame_equal(again.interval, expected.interval)
    assert again.interval.attrs == expected.interval.attrs
    robust_forecast_returns(["t002"], prices, method, **options | {"coverage": 0.7})
    assert len(fits) > n_before


def test_tickers_without_forecast_have_no_interval(gappy, tmp_path):
    asked = ["DEAD", "T001", "NOPE"]
    for method in ("batch", "individual"):
        for _ in range(2):
            with pytest.warns(PortfolioWarning, match="2 of 3"):
                expected = robust_forecast_returns(
                    asked,
                    gappy,
                    method,
                    config=LINEAR,
                    coverage=0.9,
                    cache_dir=tmp_path,
                )
            known = expected.interval.notna().all(axis=1)
            assert known.to_dict() == {"DEAD": False, "T001": True, "NOPE": False}


def test_views_need_nothing_but_a_result_with_intervals(prices):
    covariance = prices.pct_change().iloc[1:].cov() * 252
    options = {"config": LINEAR, "horizon": 5}
    expected = robust_forecast_returns(None, prices, coverage=0.8, **options)
    views = black_litterman_views(expected, covariance)
    assert views.views.to_dict() == pytest.approx(dict(expected))
    width = expected.interval["upper"] - expected.interval["lower"]
    omega = (width / 2 / 1.2815515655446004) ** 2 * 252 / 5
    np.testing.assert_allclose(views.omega, omega, rtol=1e-9)
    with pytest.raises(PortfolioError, match=r"robust_forecast_returns\(.*coverage"):
        black_litterman_views(
            robust_forecast_returns(None, prices, **options), covariance
        )


@pytest.mark.parametrize("coverage", [0, 1, 90, "0.9", True, math.nan])
def test_coverage_is_a_share(prices, coverage):
    with pytest.raises(ValueError, match="`coverage` must be between 0 and 1"):
        robust_forecast_returns(None, prices, "mean", coverage=coverage)
