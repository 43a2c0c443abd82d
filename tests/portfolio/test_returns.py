import math
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from skbatch import (
    BatchForecastingConfig,
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    HistoricalMeanForecaster,
    robust_forecast_returns,
)
from skbatch.config import ConfigError
from skbatch.datasets import load_sp500_prices
from skbatch.exceptions import (
    ModelFitError,
    PanelError,
    PortfolioError,
    PortfolioWarning,
)
from skbatch.portfolio import _cache
from skbatch.portfolio._cache import MEMORY
from skbatch.portfolio._models import Model

# Few features, so that short panels have all of them.
FAST = {"features": {"families": ["returns"], "windows": [2, 5]}}
SHALLOW = {**FAST, "model": {"n_estimators": 5, "max_depth": 2}}
LINEAR = {**FAST, "model": {"kind": "linear"}}


def own_system(config):
    return BatchForecastingConfig(**config).to_system()


@pytest.mark.parametrize(
    ("method", "config", "model"),
    [
        ("batch", SHALLOW, "BatchXGBoostForecaster"),
        ("batch", LINEAR, "BatchLinearForecaster"),
        ("linear", FAST, "BatchLinearForecaster"),
        ("mean", FAST, "HistoricalMeanForecaster"),
        ("individual", LINEAR, "BatchLinearForecaster"),
    ],
)
def test_every_method_forecasts_every_ticker(prices, method, config, model):
    expected = robust_forecast_returns(
        list(prices), prices, method, config=config, horizon=10
    )
    assert list(expected) == list(prices)
    assert all(math.isfinite(value) for value in expected.values())
    assert set(expected.provenance["model"]) == {model}
    is_own = method == "individual"
    assert set(expected.provenance["batch"]) == {"individual" if is_own else "all"}
    assert (expected.horizon, expected.annualized) == (10, True)
    assert expected.date == prices.index[-1]


def test_batch_is_the_system_annualised(prices):
    expected = robust_forecast_returns(None, prices, config=SHALLOW)
    raw = own_system(SHALLOW).fit(prices).forecast().expected_returns
    np.testing.assert_allclose(
        expected.to_series(), (1 + raw) ** (252 / 5) - 1, rtol=1e-10
    )
    same = robust_forecast_returns(None, prices, config=SHALLOW, annualize=False)
    assert dict(same) == raw.to_dict()


def test_mean_is_the_historical_mean(prices):
    expected = robust_forecast_returns(
        ["T001"], prices, "mean", horizon=3, annualize=False
    )
    closes = prices["T001"].to_numpy()
    mean = np.mean([closes[i + 3] / closes[i] - 1 for i in range(len(closes) - 3)])
    assert expected["T001"] == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize("max_workers", [None, 2])
def test_individual_knows_nothing_of_the_others(prices, max_workers):
    options = {"config": LINEAR, "max_workers": max_workers, "annualize": False}
    expected = robust_forecast_returns(None, prices, "individual", **options)
    for ticker in prices:
        own = own_system(LINEAR).fit(prices[[ticker]]).forecast().expected_returns
        assert expected[ticker] == own[ticker]
    others = prices.copy()
    others[["T000", "T002"]] *= np.random.default_rng(0).uniform(0.5, 1, (260, 2))
    changed = robust_forecast_returns(["T001"], others, "individual", **options)
    assert changed["T001"] == expected["T001"]


def test_one_ticker_that_fails_stops_no_other(prices, monkeypatch):
    fit = BatchForecastingSystem.fit

    def failing(self, X, y=None):
        if list(X.frame) == ["T002"]:
            raise ModelFitError("the matrix is singular")
        return fit(self, X, y)

    monkeypatch.setattr(BatchForecastingSystem, "fit", failing)
    with pytest.warns(PortfolioWarning, match="T002.*the matrix is singular"):
        expected = robust_forecast_returns(None, prices, "individual", config=LINEAR)
    assert [t for t, v in expected.items() if math.isnan(v)] == ["T002"]
    assert expected.provenance.loc["T002", "model"] == "none"


def test_a_wrong_argument_is_no_failure_of_a_ticker(prices, monkeypatch):
    def refusing(self, X, y=None):
        raise ValueError("`windows` must be positive")

    monkeypatch.setattr(BatchForecastingSystem, "fit", refusing)
    with pytest.raises(ValueError, match="`windows` must be positive"):
        robust_forecast_returns(None, prices, "individual", config=LINEAR)


def test_what_is_wrong_with_all_is_an_error(prices):
    for method in ("batch", "individual"):
        with pytest.raises(ValueError, match="horizon"):
            robust_forecast_returns(None, prices, method, config=FAST, horizon=260)


def test_disabled_batch_is_individual(prices, monkeypatch, tmp_path):
    individual = robust_forecast_returns(None, prices, "individual", config=LINEAR)
    disabled = {**LINEAR, "batch": {"enabled": False}}
    assert robust_forecast_returns(None, prices, config=disabled) == individual
    model = BatchForecastingConfig(**disabled)
    assert robust_forecast_returns(None, prices, config=model) == individual
    path = tmp_path / "skbatch.toml"
    path.write_text(model.to_toml())
    assert robust_forecast_returns(None, prices, config=path) == individual
    monkeypatch.setenv("SKBATCH_BATCH__ENABLED", "false")
    assert robust_forecast_returns(None, prices, config=LINEAR) == individual
    mean = robust_forecast_returns(None, prices, "mean")
    assert set(mean.provenance["batch"]) == {"individual"}
    monkeypatch.delenv("SKBATCH_BATCH__ENABLED")
    assert set(robust_forecast_returns(None, prices, "mean").provenance["batch"]) == {
        "all"
    }


def test_parameters_of_the_model_that_the_method_names(prices):
    strong = {**FAST, "model": {"kind": "linear", "alpha": 1e6}}
    expected = robust_forecast_returns(None, prices, "linear", config=strong)
    assert expected == robust_forecast_returns(None, prices, config=strong)
    assert expected != robust_forecast_returns(None, prices, "linear", config=FAST)


@pytest.mark.parametrize(
    ("freq", "year"), [("B", 252), ("D", 365), ("W", 52), ("ME", 12)]
)
def test_the_calendar_annualises(prices, freq, year):
    prices.index = pd.date_range("2001-01-01", periods=260, freq=freq)
    raw = robust_forecast_returns(None, prices, "mean", horizon=2, annualize=False)
    annual = robust_forecast_returns(None, prices, "mean", horizon=2)
    for ticker in prices:
        by_hand = (1 + raw[ticker]) ** (year / 2) - 1
        assert annual[ticker] == pytest.approx(by_hand, rel=1e-12)


def test_rows_that_do_not_tell_a_year(prices):
    hours = prices.set_axis(pd.date_range("2020", periods=260, freq="h"), axis=0)
    with pytest.raises(PanelError, match="several rows a day"):
        robust_forecast_returns(None, hours, "mean")
    assert robust_forecast_returns(None, hours, "mean", annualize=False)
    known = robust_forecast_returns(None, hours, "mean", periods_per_year=1638)
    assert known.periods_per_year == 1638
    numbered = prices.reset_index(drop=True)
    with pytest.warns(PortfolioWarning, match="252 a year") as record:
        expected = robust_forecast_returns(None, numbered, "mean")
    assert [w.filename for w in record] == [__file__]
    assert expected == robust_forecast_returns(None, prices, "mean")


def test_tickers_without_forecast_are_nan_and_named_once(gappy):
    asked = ["DEAD", "T001", "NOPE", "FLAT"]
    with pytest.warns(PortfolioWarning) as record:
        expected = robust_forecast_returns(asked, gappy, "mean")
    (told,) = record
    assert told.filename == __file__
    assert "No forecast for 3 of 4 tickers (NaN): DEAD (" in str(told.message)
    assert "NOPE (not in the data)" in str(told.message)
    assert "cannot forecast" not in str(told.message)
    assert list(expected) == asked
    assert [t for t, v in expected.items() if math.isnan(v)] == ["DEAD", "NOPE", "FLAT"]
    assert expected.provenance.loc["NOPE"].tolist() == ["none", "", "not in the data"]
    assert sorted(expected.stale) == ["DEAD", "FLAT"]


def test_tickers_without_forecast_are_dropped(gappy):
    with pytest.warns(PortfolioWarning, match="left out"):
        expected = robust_forecast_returns(
            ["DEAD", "T001", "NOPE"], gappy, "mean", on_missing="drop"
        )
    assert list(expected) == ["T001"]
    assert list(expected.provenance.index) == ["DEAD", "T001", "NOPE"]


def test_tickers_without_forecast_are_an_error(gappy, fits):
    with pytest.raises(PortfolioError, match=r"1: NOPE \(not in the data\)"):
        robust_forecast_returns(["T001", "NOPE"], gappy, "mean", on_missing="raise")
    assert not fits
    with pytest.raises(PortfolioError, match=r"1: DEAD \(quarantined \(stale\)"):
        robust_forecast_returns(["T001", "DEAD"], gappy, "mean", on_missing="raise")
    robust_forecast_returns(["T001"], gappy, "mean", on_missing="raise")


def test_nothing_is_fitted_for_nobody(prices, fits):
    with pytest.warns(PortfolioWarning, match="2 of 2"):
        expected = robust_forecast_returns(["NOPE", "NONE"], prices)
    assert all(map(math.isnan, expected.values()))
    assert not fits


def test_tickers_served_by_the_fallback_are_named(prices):
    prices["NEW"] = prices["T000"].where(np.arange(260) >= 225) * 1.5
    options = {"config": {**FAST, "fallback": {"min_labels": 200}}}
    with pytest.warns(PortfolioWarning, match="cannot forecast 1 of 5 .*: NEW. See"):
        robust_forecast_returns(None, prices, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        robust_forecast_returns(["T001"], prices, **options)


def test_names_as_they_were_asked_for(prices):
    data = prices.set_axis(["BRK.B", "BF-B", "AAPL", "T"], axis=1)
    expected = robust_forecast_returns(["brk-b", "BF.B", "T"], data, "mean")
    exact = robust_forecast_returns(["BRK.B", "BF-B", "T"], data, "mean")
    assert list(expected) == ["brk-b", "BF.B", "T"]
    assert list(expected.values()) == list(exact.values())
    assert list(expected.provenance.index) == ["brk-b", "BF.B", "T"]


def test_the_same_is_never_forecast_twice(prices, fits):
    first = robust_forecast_returns(["T000", "T001"], prices, config=LINEAR)
    again = robust_forecast_returns(["T000", "T001"], prices.copy(), config=LINEAR)
    assert len(fits) == 1
    assert again == first
    pd.testing.assert_frame_equal(again.provenance, first.provenance)
    # Other tickers, units and treatments of the same forecasts.
    robust_forecast_returns(
        ["T003"], prices, config=LINEAR, annualize=False, on_missing="drop"
    )
    assert len(fits) == 1


@pytest.mark.parametrize("row", [0, 130, -1])
def test_one_changed_price_is_forecast_anew(prices, fits, row):
    robust_forecast_returns(None, prices, config=LINEAR)
    changed = prices.copy()
    changed.iloc[row, 2] *= 1 + 1e-15 * 4
    assert changed.iloc[row, 2] != prices.iloc[row, 2]
    robust_forecast_returns(None, changed, config=LINEAR)
    assert len(fits) == 2
    if row >= 0:
        missing = prices.copy()
        missing.iloc[row, 2] = np.nan
        robust_forecast_returns(None, missing, config=LINEAR)
        assert len(fits) == 3


def test_whatever_else_changes_is_forecast_anew(prices, fits, monkeypatch):
    robust_forecast_returns(None, prices, "linear", config=FAST)
    calls = [
        ("mean", {"config": FAST}),
        ("individual", {"config": LINEAR}),
        ("linear", {"config": FAST, "horizon": 6}),
        ("linear", {"config": {**FAST, "fallback": {"min_history": 22}}}),
    ]
    for method, options in calls:
        n_before = len(fits)
        robust_forecast_returns(None, prices, method, **options)
        assert len(fits) > n_before, (method, options)
    n_before = len(fits)
    later = prices.set_axis(prices.index + pd.Timedelta(days=7), axis=0)
    renamed = prices.rename(columns={"T000": "X"})
    longer = pd.concat([prices.iloc[:1].shift(-1, freq="B"), prices])
    for other in (later, renamed, longer):
        robust_forecast_returns(None, other, "linear", config=FAST)
    assert len(fits) == n_before + 3
    monkeypatch.setattr(_cache, "__version__", "0.2.0")
    robust_forecast_returns(None, prices, "linear", config=FAST)
    assert len(fits) == n_before + 4


def test_who_does_the_work_is_not_asked_of_the_cache(prices, fits, tmp_path):
    first = robust_forecast_returns(None, prices, config=LINEAR)
    working = [
        {"max_workers": 1},
        {"config": {**LINEAR, "performance": {"n_jobs": 2}}},
        {"config": {**LINEAR, "batch": {"checkpoint_dir": str(tmp_path)}}},
    ]
    for options in working:
        again = robust_forecast_returns(None, prices, **{"config": LINEAR, **options})
        assert again == first
        assert len(fits) == 1


def test_versions_are_those_of_the_libraries(prices, monkeypatch):
    keys = {_cache.forecast_key(prices, {"method": "mean"})}
    for name in ("numpy", "pandas", "sklearn", "xgboost"):
        with monkeypatch.context() as patch:
            # Whatever its distribution is called, such as xgboost-cpu.
            patch.setattr(sys.modules[name], "__version__", "99.0")
            keys.add(_cache.forecast_key(prices, {"method": "mean"}))
    assert len(keys) == 5


def test_individual_asks_for_the_same_tickers(prices, fits):
    robust_forecast_returns(["T000", "T001"], prices, "individual", config=LINEAR)
    assert len(fits) == 2
    robust_forecast_returns(["T001", "T000"], prices, "individual", config=LINEAR)
    assert len(fits) == 2
    robust_forecast_returns(["T002"], prices, "individual", config=LINEAR)
    assert len(fits) == 3


def test_the_cache_can_be_switched_off_and_is_off_without_seed(prices, fits):
    for _ in range(2):
        robust_forecast_returns(None, prices, config=LINEAR, cache=False)
    assert (len(fits), len(MEMORY)) == (2, 0)
    unseeded = {**SHALLOW, "model": {**SHALLOW["model"], "random_state": "none"}}
    robust_forecast_returns(None, prices, config=unseeded)
    assert len(MEMORY) == 0


def test_nobody_spoils_the_cache(prices):
    first = robust_forecast_returns(None, prices, "mean")
    values, table = dict(first), first.provenance.copy()
    first["T000"] = 99.0
    first.provenance["reason"] = "spoilt"
    first.stale["T000"] = "spoilt"
    again = robust_forecast_returns(None, prices, "mean")
    assert dict(again) == values
    assert again.stale == {}
    pd.testing.assert_frame_equal(again.provenance, table)


def test_the_cache_of_the_process_is_bounded(prices, monkeypatch):
    monkeypatch.setattr(_cache, "MAX_ENTRIES", 3)
    for horizon in range(1, 8):
        robust_forecast_returns(None, prices, "mean", horizon=horizon)
        assert len(MEMORY) <= 3


def test_a_folder_serves_other_processes(gappy, tmp_path, fits):
    options = {"cache_dir": tmp_path / "cache", "on_missing": "drop"}
    with pytest.warns(PortfolioWarning, match="DEAD"):
        first = robust_forecast_returns(None, gappy, "mean", **options)
    assert len(MEMORY) == 0
    with pytest.warns(PortfolioWarning, match="DEAD"):
        again = robust_forecast_returns(None, gappy, "mean", **options)
    assert len(fits) == 1
    assert again == first
    assert again.stale == first.stale
    assert again.date == first.date
    pd.testing.assert_frame_equal(again.provenance, first.provenance)


def test_max_workers_are_workers_of_the_system(prices, monkeypatch):
    seen, fit = [], BatchForecastingSystem.fit

    def recorded(self, X, y=None):
        seen.append(self.n_jobs)
        return fit(self, X, y)

    monkeypatch.setattr(BatchForecastingSystem, "fit", recorded)
    options = {"method": "mean", "cache": False}
    robust_forecast_returns(None, prices, **options, max_workers=np.int64(2))
    robust_forecast_returns(
        None, prices, **options, config={"performance": {"n_jobs": -1}}
    )
    assert seen == [2, -1]


def test_files_and_tables_of_any_shape(prices, tmp_path):
    expected = robust_forecast_returns(None, prices, "mean", cache=False)
    path = tmp_path / "prices.csv"
    prices.to_csv(path)
    long = prices.rename_axis("date").reset_index().melt("date", var_name="ticker")
    fields = pd.concat({"Close": prices, "Volume": prices * 0 + 1e6}, axis=1)
    for data in (path, str(path), long, fields, fields.swaplevel(axis=1)):
        other = robust_forecast_returns(list(prices), data, "mean", cache=False)
        assert list(other) == list(prices)
        np.testing.assert_allclose(other.to_series(), expected.to_series(), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "btach"}, r"`method` must be one of 'batch'.*Got 'btach'"),
        ({"on_missing": "fill"}, r"`on_missing` must be one of 'nan'"),
        ({"max_workers": 0}, "`max_workers` must be an integer other than 0"),
        ({"max_workers": True}, "`max_workers` must be an integer"),
        ({"horizon": [1, 5]}, r"`horizon` must be one number.*Got \(1, 5\)"),
        ({"config": BatchForecastingSystem()}, "as `forecaster`"),
        ({"cache": "folder"}, "as `cache_dir`"),
        ({"cache": False, "cache_dir": "x"}, "must be None with cache=False"),
        ({"periods_per_year": -5}, "must be a positive number"),
        ({"periods_per_year": math.nan}, "must be a positive number. Got nan"),
        ({"tickers": "T000"}, "must be a list of tickers"),
        ({"data": None}, "`data` must be a table of prices or a file. Got None"),
        ({"data": {"A": [1.0]}}, "as `ticker_to_data`"),
    ],
)
def test_wrong_arguments(prices, options, message):
    with pytest.raises(ValueError, match=message):
        robust_forecast_returns(**{"tickers": ["T000"], "data": prices, **options})


def test_wrong_settings_are_named(prices):
    with pytest.raises(ConfigError, match=r"Did you mean `model\.max_depth`"):
        robust_forecast_returns(None, prices, config={"model": {"max_dept": 3}})
    with pytest.raises(ConfigError, match=r"`horizon` must be a whole number"):
        robust_forecast_returns(None, prices, horizon=0)
    with pytest.raises(FileNotFoundError):
        robust_forecast_returns(None, prices, config="missing.toml")


def test_real_prices():
    prices = load_sp500_prices().iloc[-700:]
    expected = robust_forecast_returns(["AAPL", "xom"], prices, "linear")
    assert expected.periods_per_year == 252
    assert all(-0.9 < value < 3 for value in expected.values())


def test_forecasters_of_the_simple_methods():
    def forecaster(method):
        return Model.choose(method, None, None, None, None, None).estimator.forecaster

    linear = forecaster("linear")
    assert type(linear.estimator) is BatchLinearForecaster
    assert type(linear.fallback) is HistoricalMeanForecaster
    assert type(forecaster("batch").estimator) is BatchXGBoostForecaster
    assert type(forecaster("mean")) is HistoricalMeanForecaster


@pytest.mark.parametrize("method", ["linear", "mean"])
def test_a_last_row_that_few_tickers_have_is_named(prices, method):
    partial = prices.copy()
    partial.iloc[-1, 1:] = np.nan
    text = rf"The last row, .* has prices of 1 of {prices.shape[1]} tickers.*iloc"
    with pytest.warns(PortfolioWarning, match=text):
        found = robust_forecast_returns(None, partial, method, config=FAST, horizon=10)
    assert np.isfinite(list(found.values())).sum() == 1
    whole = robust_forecast_returns(
        None, partial.iloc[:-1], method, config=FAST, horizon=10
    )
    assert np.isfinite(list(whole.values())).all()
