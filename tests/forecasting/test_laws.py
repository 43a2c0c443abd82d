"""Laws that hold for every panel: units, order, and what tickers mean to each other."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster
from skbatch.exceptions import ModelFitError, PanelError
from skbatch.forecasting import HistoricalMeanForecaster, ReturnTarget
from skbatch.panel import split_column
from skbatch.panel.engine import join_column

# The same examples every time: a sum in another order may tip a split of a tree.
few = settings(max_examples=12, derandomize=True)
seeds = st.integers(0, 10_000)
strategies = st.sampled_from(["pooled", "vector", "per_ticker"])
NAN = np.nan


def with_target(kind, *args, **params):
    """Make a forecaster; parameters of its target may stand beside its own."""
    names = ReturnTarget().get_params()
    target = {name: params.pop(name) for name in names if name in params}
    return kind(*args, target=ReturnTarget(**target), **params)


def linear(**options):
    return with_target(BatchLinearForecaster, **options)


def xgboost(**options):
    return with_target(BatchXGBoostForecaster, n_estimators=5, n_jobs=1, **options)


def scaled(X, factor):
    return X.mul(np.where(X.columns.str.contains("__volatility"), factor, 1.0))


@few
@given(seeds, strategies, st.booleans(), st.sampled_from([2.0**-7, 0.5, 4.0, 100.0]))
def test_forecasts_have_the_unit_of_the_labels(
    make_frames, seed, strategy, relative, factor
):
    X, y = make_frames(60, 3, missing=0.05, seed=seed)
    y.iloc[:20, 0] *= 100
    model = linear(strategy=strategy, relative=relative)
    expected = clone(model).fit(X, y).predict(X) * factor
    scaled_X, scaled_y = scaled(X, factor).astype(np.float32), y * factor
    scaled_y.attrs = y.attrs
    forecasts = clone(model).fit(scaled_X, scaled_y).predict(scaled_X)
    pd.testing.assert_frame_equal(forecasts, expected, rtol=1e-5, atol=1e-9)


@few
@given(seeds, st.booleans(), st.sampled_from([0.25, 2.0, 64.0]))
def test_without_scale_as_well(make_frames, seed, relative, factor):
    X, y = make_frames(60, 3, volatility=False, seed=seed)
    scaled_y = y * factor
    scaled_y.attrs = y.attrs
    # Powers of two change no digit, so that even trees stay where they are.
    for scale in (None, "auto"):
        for model in (
            linear(scale=scale, relative=relative, alpha=0.1),
            xgboost(scale="auto", relative=relative),
            HistoricalMeanForecaster(),
        ):
            expected = clone(model).fit(X, y).predict(X) * factor
            forecasts = clone(model).fit(X, scaled_y).predict(X)
            pd.testing.assert_frame_equal(forecasts, expected, rtol=1e-5, atol=1e-12)


@few
@given(seeds, strategies, st.permutations(range(4)))
def test_tickers_in_another_order_have_the_same_linear_forecasts(
    make_frames, seed, strategy, order
):
    X, y = make_frames(60, 4, missing=0.05, market=True, seed=seed)
    model = linear(strategy=strategy, market_features=True)
    expected = clone(model).fit(X, y).predict(X)
    columns = y.columns[list(order)]
    names = dict.fromkeys(c.rpartition("__")[2] for c in X if c[0] == "T")
    moved = X[["market__return", *(f"{t}__{name}" for name in names for t in columns)]]
    forecasts = clone(model).fit(moved, y[columns]).predict(moved)
    pd.testing.assert_frame_equal(forecasts[y.columns], expected, rtol=1e-5, atol=1e-9)


@few
@given(seeds, strategies, st.permutations(range(6)), st.sampled_from([xgboost, linear]))
def test_neither_names_nor_order_of_tickers_change_a_bit(
    make_frames, seed, strategy, order, make
):
    X, y = make_frames(60, 6, missing=0.05, seed=seed, market=True)
    y.iloc[:9, 3] = NAN
    expected = make(strategy=strategy).fit(X, y).predict(X)
    new = {ticker: f"{9 - number}{ticker[::-1]}" for number, ticker in enumerate(y)}
    columns = y.columns[list(order)]
    moved, labels = X["market__return"].to_frame(), y[columns].rename(columns=new)
    for feature in dict.fromkeys(split_column(c)[1] for c in X if c[0] == "T"):
        for ticker in columns:
            name = join_column(new[ticker], feature)
            moved[name] = X[join_column(ticker, feature)]
    labels.attrs = y.attrs
    forecasts = make(strategy=strategy).fit(moved, labels).predict(moved)
    found = forecasts[[new[ticker] for ticker in y]].to_numpy()
    np.testing.assert_array_equal(found, expected.to_numpy())


@few
@given(seeds, strategies, st.booleans())
def test_a_ticker_that_has_nothing_changes_nothing(
    make_frames, seed, strategy, relative
):
    X, y = make_frames(60, 3, missing=0.05, seed=seed)
    more_X, more_y = X.copy(), y.copy()
    for name in ("f0", "f1", "volatility_63"):
        more_X[f"NEW__{name}"] = np.float32(NAN)
    more_y["NEW"] = NAN
    for model in (
        linear(strategy=strategy, relative=relative),
        xgboost(strategy=strategy, relative=relative, colsample_bytree=1.0),
    ):
        expected = clone(model).fit(X, y).predict(X)
        forecasts = clone(model).fit(more_X, more_y).predict(more_X)
        assert forecasts.pop("NEW").isna().all()
        # The penalty and the leaves are sums over more outputs, all of them empty.
        pd.testing.assert_frame_equal(forecasts, expected, rtol=1e-4, atol=1e-8)


@few
@given(seeds)
def test_a_mean_knows_no_other_ticker(make_frames, seed):
    X, y = make_frames(60, 3, missing=0.05, seed=seed)
    alone = HistoricalMeanForecaster().fit(X, y).predict(X)
    wild = y.assign(T1=np.random.default_rng(seed).normal(0, 9, 60))
    wild.attrs = y.attrs
    beside = HistoricalMeanForecaster().fit(X, wild).predict(X)
    others = ["T0", "T2"]
    pd.testing.assert_frame_equal(beside[others], alone[others], check_exact=True)


@few
@given(seeds, strategies)
def test_a_halted_ticker_is_not_forecast(make_frames, seed, strategy):
    X, y = make_frames(60, 3, seed=seed)
    X["T1__volatility_63"], y["T1"] = np.float32(0.0), 0.0
    for model in (linear(strategy=strategy), xgboost(strategy=strategy)):
        forecasts = model.fit(X, y).predict(X)
        assert forecasts["T1"].isna().all()
        assert forecasts[["T0", "T2"]].notna().all(axis=None)


@few
@given(seeds, st.integers(1, 12), st.integers(1, 60))
def test_any_window_gives_numbers_or_says_why_not(make_frames, seed, horizon, n_dates):
    X, y = make_frames(n_dates + 2, 3, horizon=horizon, missing=0.3, seed=seed)
    for model in (linear(), linear(strategy="vector"), xgboost()):
        message = ""
        try:
            forecasts = model.fit(X, y).predict(X)
        except (ModelFitError, PanelError) as error:
            message = str(error)
        if message:
            assert "Pass" in message
            continue
        assert not np.isinf(forecasts).any(axis=None)
        own = pd.DataFrame(
            {t: X[[c for c in X if c.startswith(t)]].notna().any(axis=1) for t in y}
        )
        assert not (forecasts.notna() & ~own).any(axis=None)


@pytest.mark.parametrize("strategy", ["pooled", "vector", "per_ticker"])
def test_market_weight_adds_the_mean_of_the_common_return(make_frames, strategy):
    X, y = make_frames(80, 3)
    unit = X[[f"{t}__volatility_63" for t in y]].to_numpy(float)
    common = y.clip(-5 * unit, 5 * unit).iloc[:-1].mean(axis=1).mean()
    for model in (linear(strategy=strategy), xgboost(strategy=strategy)):
        with_market, without = (
            clone(model).set_params(target__market_weight=w).fit(X, y).predict(X)
            for w in (0.4, 0.0)
        )
        expected = (
            np.minimum(1, 2 * unit / np.median(unit, axis=1)[:, None]) * 0.4 * common
        )
        np.testing.assert_allclose(with_market - without, expected, rtol=1e-6)
