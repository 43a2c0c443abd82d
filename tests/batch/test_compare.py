import re
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.batch import _compare
from skbatch.batch._compare import compare_batch_vs_individual
from skbatch.batch._usage import Usage
from skbatch.datasets import make_panel
from skbatch.exceptions import FallbackWarning, ModelFitError, PanelError
from skbatch.feature_extraction import cache_info
from skbatch.forecasting import ReturnTarget

TEST = 40


def features():
    return SharedFeatureExtractor(families=["returns", "volatility"], windows=[5, 21])


def compare(prices, **options):
    defaults = {
        "forecaster": BatchLinearForecaster(),
        "features": features(),
        "test_size": TEST,
    }
    return compare_batch_vs_individual(prices, **{**defaults, **options})


@pytest.fixture(scope="module")
def prices():
    return make_panel(200, 4, signal="linear", random_state=0)


@pytest.fixture(scope="module")
def comparison(prices):
    return compare(prices)


def by_hand(prices, horizon=5):
    """Fit on the first rows and forecast the last with scikit-learn's own means."""
    model = make_pipeline(features(), BatchLinearForecaster())
    labels = forward_returns(prices, horizon)
    model.fit(prices.iloc[:-TEST], labels.iloc[:-TEST])
    return model.predict(prices.iloc[-TEST:])


# ---------------------------------------------------------------- what is compared


def test_forecasts_are_those_of_each_way(prices, comparison):
    pd.testing.assert_frame_equal(comparison.forecasts["batch"], by_hand(prices))
    single = pd.concat([by_hand(prices[[t]]) for t in prices], axis=1)
    pd.testing.assert_frame_equal(comparison.forecasts["individual"], single)
    assert comparison.failures == {}
    assert comparison.n_tickers == 4


def slow_scores(actual, forecast):
    """Score date by date and cell by cell."""
    correlations, errors, squares, base = [], [], 0.0, 0.0
    for y, f in zip(actual.to_numpy(), forecast.to_numpy(), strict=True):
        known = [n for n in range(len(y)) if np.isfinite(y[n]) and np.isfinite(f[n])]
        if len(known) > 2:
            correlations.append(stats.spearmanr(y[known], f[known]).statistic)
        for n in known:
            errors.append(abs(y[n] - f[n]))
            squares += (y[n] - f[n]) ** 2
            base += y[n] ** 2
    return [np.mean(correlations), np.mean(errors), 1 - squares / base], len(errors)


def test_scores_are_those_of_the_slow_reference(prices, comparison):
    actual = forward_returns(prices, 5).iloc[-TEST:]
    for way, forecast in comparison.forecasts.items():
        expected, n_scored = slow_scores(actual, forecast)
        found = comparison.table.loc[way, ["rank_ic", "mae", "r2"]]
        np.testing.assert_allclose(found.astype(float), expected, rtol=1e-9)
        assert comparison.n_scored == n_scored == 4 * (TEST - 5)


def test_differences_are_batch_less_individual(comparison):
    table = comparison.table
    assert list(table.index) == ["batch", "individual"]
    assert list(table.columns) == ["seconds", "peak_bytes", "rank_ic", "mae", "r2"]
    for name, difference in comparison.differences.items():
        single = table.loc["individual", name]
        assert difference == table.loc["batch", name] - single
    assert list(comparison.differences.index) == ["rank_ic", "mae", "r2"]


def test_several_horizons(prices):
    comparison = compare(prices, horizon=(1, 5))
    forecasts = comparison.forecasts["individual"]
    assert forecasts.columns.equals(forward_returns(prices, (1, 5)).columns)
    own = by_hand(prices[["T002"]], (1, 5))
    pd.testing.assert_frame_equal(forecasts[own.columns], own)
    actual = forward_returns(prices, (1, 5)).iloc[-TEST:]
    scores = [slow_scores(actual[h], forecasts[h])[0] for h in (1, 5)]
    found = comparison.table.loc["individual", ["rank_ic", "mae", "r2"]].astype(float)
    np.testing.assert_allclose(found, np.mean(scores, axis=0), rtol=1e-9)
    assert comparison.n_scored == 4 * (2 * TEST - 6)


def test_panels_with_fields(prices):
    shuffled = prices[prices.columns[::-1]]
    panel = pd.concat({"Volume": shuffled * 0 + 5, "Close": prices}, axis=1)
    comparison = compare(panel)
    single = pd.concat([by_hand(prices[[t]]) for t in prices], axis=1)
    found = comparison.forecasts["individual"]
    pd.testing.assert_frame_equal(found, single, check_names=False)


def test_arrays(prices, comparison):
    found = compare(prices.to_numpy())
    assert list(found.forecasts["individual"].columns) == ["x0", "x1", "x2", "x3"]
    scores = ["rank_ic", "mae", "r2"]
    pd.testing.assert_frame_equal(found.table[scores], comparison.table[scores])


def test_one_ticker(prices):
    comparison = compare(prices[["T001"]])
    forecasts = comparison.forecasts
    pd.testing.assert_frame_equal(forecasts["batch"], forecasts["individual"])
    assert np.isnan(comparison.table["rank_ic"]).all()
    assert (comparison.differences[["mae", "r2"]] == 0).all()
    assert "rank IC" not in comparison.summary()


def test_the_cache_is_not_used(prices):
    extractor = features()
    before = cache_info()
    compare(prices, features=extractor)
    after = cache_info()
    assert (after.hits, after.entries) == (before.hits, before.entries)
    assert extractor.cache_size > 0


class Levels(TransformerMixin, BaseEstimator):
    """Features that know nothing of a cache."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.log(X).rename(columns="{}__level".format)


def test_any_transformer_makes_features(prices):
    forecaster = BatchLinearForecaster(target=ReturnTarget(scale=None))
    comparison = compare(prices, features=Levels(), forecaster=forecaster)
    assert comparison.n_scored == 140


# ---------------------------------------------------------------- what fails


class Refusing(BatchLinearForecaster):
    """Fails for some tickers if they come alone, and for others always."""

    def fit(self, X, y):
        columns = list(y.columns)
        if columns == ["T001"]:
            raise ModelFitError("refused")
        if columns == ["T003"]:
            raise FloatingPointError("odd")
        return super().fit(X, y)


def test_tickers_that_fail_individually_are_named_and_not_scored():
    prices = make_panel(200, 5, random_state=1)
    comparison = compare(prices, forecaster=Refusing())
    assert comparison.failures == {
        "T001": "ModelFitError: refused",
        "T003": "FloatingPointError: odd",
    }
    assert comparison.forecasts["individual"][["T001", "T003"]].isna().all(axis=None)
    assert comparison.forecasts["batch"].notna().all(axis=None)
    assert comparison.n_scored == 3 * (TEST - 5)
    assert comparison.n_tickers == 5
    actual = forward_returns(prices, 5).iloc[-TEST:]
    served = comparison.forecasts["batch"].drop(columns=["T001", "T003"])
    expected, _ = slow_scores(actual[served.columns], served)
    found = comparison.table.loc["batch", ["rank_ic", "mae", "r2"]].astype(float)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert comparison.summary().endswith("2 failed individually: T001, T003.")


def test_failures_are_those_of_the_forecasts_that_are_scored(prices):
    calls = []

    class Late(BatchLinearForecaster):
        def fit(self, X, y):
            calls.append(list(y.columns))
            if len(calls) == 1:
                raise ModelFitError("not ready")
            return super().fit(X, y)

    comparison = compare(prices, forecaster=Late())
    tickers = list(prices)
    assert calls == [["T000"], tickers, *[[ticker] for ticker in tickers]]
    assert comparison.failures == {}


@pytest.mark.filterwarnings("ignore:.*T002:skbatch.exceptions.PanelWarning")
def test_a_ticker_without_labels_fails_alone(prices):
    late = prices.copy()
    late.iloc[:-TEST, 2] = np.nan
    comparison = compare(late)
    assert list(comparison.failures) == ["T002"]
    assert comparison.failures["T002"].startswith("PanelError: ")
    assert comparison.forecasts["individual"]["T002"].isna().all()


@pytest.mark.parametrize("error", [ModelFitError, KeyboardInterrupt, TypeError])
def test_failures_of_the_batch_are_raised(prices, error):
    class Failing(BatchLinearForecaster):
        def fit(self, X, y):
            if y.shape[1] > 1:
                raise error("all")
            return super().fit(X, y)

    with pytest.raises(error, match="all"):
        compare(prices, forecaster=Failing())


@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError, MemoryError])
def test_programming_errors_are_raised_individually_too(prices, error):
    class Failing(BatchLinearForecaster):
        def fit(self, X, y):
            if list(y.columns) == ["T002"]:
                raise error("mine")
            return super().fit(X, y)

    with pytest.raises(error, match="mine"):
        compare(prices, forecaster=Failing())


def test_only_the_first_batch_warns(prices):
    late = prices.copy()
    late.iloc[:100, 2] = np.nan
    model = FallbackForecaster(BatchLinearForecaster(), min_labels=80)
    with pytest.warns(FallbackWarning) as told:
        compare(late, forecaster=model, repeats=2)
    assert len(told) == 1


# ---------------------------------------------------------------- time and memory


class Clock:
    """Stand in for measurements with given seconds and bytes."""

    def __init__(self, *readings):
        self.readings = iter(readings)

    @contextmanager
    def __call__(self):
        usage = Usage()
        yield usage
        usage.seconds, usage.start_bytes, usage.peak_bytes = next(self.readings)


def test_time_is_of_the_middle_repeat_and_memory_the_largest(prices, monkeypatch):
    clock = Clock(
        (1.0, 100, 150),
        (50.0, 100, 110),
        (3.0, 100, 190),
        (24.0, 100, 120),
        (10.0, 100, 110),
        (20.0, 100, 115),
    )
    monkeypatch.setattr(_compare, "measure", clock)
    comparison = compare(prices, repeats=3)
    assert comparison.table["seconds"].tolist() == [3.0, 24.0]
    assert comparison.table["peak_bytes"].tolist() == [90, 20]
    assert comparison.speed_up == 8.0
    assert comparison.time_saved == 0.875


def test_summary(prices, comparison, monkeypatch):
    mebibyte = 2**20
    clock = Clock((2.0, 0, 300 * mebibyte), (15.0, 0, 20 * mebibyte))
    monkeypatch.setattr(_compare, "measure", clock)
    batch, single = (comparison.table.loc[way] for way in comparison.table.index)
    assert compare(prices).summary() == (
        "4 tickers took 2.00 s as a batch and 15.00 s one at a time: 7.5 times as "
        "long, so the batch saves 87%. Memory grew by 300 MiB and 20 MiB. On 140 "
        f"returns, rank IC {batch['rank_ic']:+.4f} and {single['rank_ic']:+.4f}, mean "
        f"absolute error {batch['mae']:.5f} and {single['mae']:.5f}, R² against zero "
        f"{100 * batch['r2']:+.2f}% and {100 * single['r2']:+.2f}%."
    )


def test_a_batch_that_takes_longer_is_told_as_such(prices, monkeypatch):
    monkeypatch.setattr(_compare, "measure", Clock((5.0, 0, 0), (4.0, 0, 0)))
    words = compare(prices[["T000"]]).summary()
    assert words.startswith("1 ticker took 5.00 s as a batch and 4.00 s one at a time:")
    assert "0.8 times as long, so the batch takes 25% longer." in words


def test_measurements_are_real(comparison):
    assert (comparison.table["seconds"] > 0).all()
    assert (comparison.table["peak_bytes"] >= 0).all()
    seconds = comparison.table["seconds"]
    assert comparison.speed_up == seconds["individual"] / seconds["batch"]
    assert "BatchComparison" in repr(comparison)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_size": 5}, "`test_size` must be an int of at least 6. Got 5."),
        ({"test_size": 195}, "`test_size` must be at most 194. Got 195. Pass fewer"),
        ({"test_size": 0.2}, "`test_size` must be an int of"),
        ({"test_size": True}, "`test_size` must be an int of"),
        ({"repeats": 0}, "`repeats` must be an int of at least 1. Got 0."),
        ({"horizon": 0}, "`horizon` must be"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(prices, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        compare(prices, **options)


def test_the_shortest_and_the_longest_test(prices):
    assert compare(prices, test_size=6).n_scored == 4
    with warnings.catch_warnings(action="ignore"), pytest.raises(ModelFitError):
        compare(prices, test_size=194)  # one label, without features


def test_malformed_prices_are_refused(prices):
    with pytest.raises(PanelError, match="must be sorted"):
        compare(prices.iloc[::-1])
