"""Missing labels, missing features, late listings: NaN where nothing is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
)
from skbatch.exceptions import FallbackWarning, ModelFitError
from skbatch.forecasting import HistoricalMeanForecaster, ReturnTarget


def with_target(kind, *args, **params):
    """Make a forecaster; parameters of its target may stand beside its own."""
    names = ReturnTarget().get_params()
    target = {name: params.pop(name) for name in names if name in params}
    return kind(*args, target=ReturnTarget(**target), **params)


NAN = np.nan
XGB = {"n_estimators": 8, "n_jobs": 1}


def strategies(**options):
    for strategy in ("pooled", "vector", "per_ticker"):
        yield with_target(BatchLinearForecaster, strategy, **options)
        yield with_target(BatchXGBoostForecaster, strategy, **XGB, **options)


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
@pytest.mark.parametrize("volatility", [True, False])
def test_a_ticker_without_labels_disturbs_nobody(make_frames, forecaster, volatility):
    X, y = make_frames(volatility=volatility)
    y["T1"] = NAN
    forecasts = forecaster.fit(X, y).predict(X)
    assert forecasts.drop(columns="T1").notna().all(axis=None)
    learns_from_others = volatility and (
        isinstance(forecaster, ConformalForecaster | FallbackForecaster)
        or getattr(forecaster, "strategy", "") == "pooled"
    )
    if learns_from_others:
        assert forecasts["T1"].notna().all()
    else:
        assert forecasts["T1"].isna().all()


def test_labels_known_only_in_the_tail_train_no_output_of_a_vector(make_frames):
    X, y = make_frames()
    y.iloc[:180, 1] = NAN
    for model in (
        BatchLinearForecaster("vector"),
        BatchXGBoostForecaster("vector", **XGB),
    ):
        forecasts = model.fit(X, y).predict(X)
        assert forecasts["T1"].isna().all()
        assert forecasts.drop(columns="T1").notna().all(axis=None)


def test_a_tail_of_other_tickers_than_the_training_rows(make_frames):
    X, y = make_frames()
    y.iloc[:150, 2:] = NAN
    y.iloc[150:, :2] = NAN
    for model in strategies(validation_size=49):
        forecasts = model.fit(X, y).predict(X)
        served = ["T0", "T1"] if model.strategy == "vector" else list(y)
        assert list(forecasts.columns[forecasts.notna().all()]) == served


def test_a_masked_label_has_no_influence(make_frames, monkeypatch):
    X, y = make_frames(150, 3)
    y.iloc[10:40, 1] = NAN
    y.iloc[90:, 2] = NAN
    model = BatchXGBoostForecaster("vector", early_stopping_rounds=3, **XGB)
    expected = model.fit(X, y).predict(X)
    make_matrix = BatchXGBoostForecaster._matrix
    filled = []

    def matrix_with_garbage(self, rows, *args, **kwargs):
        filled.append(int(np.isnan(rows.y).sum()))
        garbage = rows._replace(y=np.where(np.isnan(rows.y), 1e6, rows.y))
        return make_matrix(self, garbage, *args, **kwargs)

    monkeypatch.setattr(BatchXGBoostForecaster, "_matrix", matrix_with_garbage)
    forecasts = model.fit(X, y).predict(X)
    assert min(filled) > 10
    pd.testing.assert_frame_equal(forecasts, expected, check_exact=True)


def test_a_row_without_any_label_is_as_good_as_absent(make_frames):
    X, y = make_frames(160)
    gaps = [30, 31, 77]
    y.iloc[gaps] = NAN
    for model in strategies(validation_size=0):
        with_gaps = clone(model).fit(X, y).predict(X)
        kept = np.delete(np.arange(160), gaps)
        without = clone(model).fit(X.iloc[kept], y.iloc[kept]).predict(X)
        pd.testing.assert_frame_equal(with_gaps, without)


def test_a_late_listing_is_trained_on_from_its_first_day(make_frames, forecaster):
    X, y = make_frames()
    own = X.columns.str.startswith("T3__")
    X.iloc[:120, own] = NAN
    y.iloc[:120, 3] = NAN
    forecasts = forecaster.fit(X, y).predict(X)
    assert forecasts["T3"].isna().tolist() == [True] * 120 + [False] * 80
    assert forecasts.drop(columns="T3").notna().all(axis=None)


def test_a_scale_that_is_missing_or_zero_is_taken_from_the_next_window(make_frames):
    X, y = make_frames()
    for ticker in y:
        X[f"{ticker}__volatility_21"] = X[f"{ticker}__volatility_63"] * 2
        X[f"{ticker}__volatility_252"] = X[f"{ticker}__volatility_63"] * 3
    X.loc[X.index[-1], "T0__volatility_63"] = NAN
    X.loc[X.index[-1], "T1__volatility_63"] = 0
    X.loc[X.index[-1], ["T2__volatility_63", "T2__volatility_21"]] = [0, NAN]
    X.loc[X.index[-1], X.columns.str.startswith("T3__vol")] = 0
    model = BatchLinearForecaster(target=ReturnTarget(market_weight=0.0)).fit(X, y)
    forecasts = model.predict(X).iloc[-1]
    fitted = model.model_.models[0]
    for ticker, factor in {"T0": 2, "T1": 2, "T2": 3}.items():
        inputs = X[[c for c in X if c.startswith(ticker)]].iloc[[-1]].to_numpy()
        scale = X[f"{ticker}__volatility_252"].iloc[-1] / 3 * factor
        expected = fitted.model.predict(inputs)[0] * fitted.shrinkage * scale
        assert forecasts[ticker] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(forecasts["T3"])


# Too little to learn from -------------------------------------------------------------


@pytest.mark.parametrize("relative", [True, False])
def test_one_labelled_ticker_of_two(make_frames, relative):
    X, y = make_frames(n_tickers=2)
    y["T1"] = NAN
    for model in strategies(relative=relative):
        if relative:
            with pytest.raises(ModelFitError, match="relative=False"):
                model.fit(X, y)
        else:
            assert model.fit(X, y).predict(X)["T0"].notna().all()


def test_too_few_dates_are_a_failed_fit_that_says_what_to_do(make_frames):
    X, y = make_frames(8, horizon=7)
    for model in strategies():
        with pytest.raises(ModelFitError, match=r"Got .*1 date.* Pass "):
            model.fit(X, y)


def test_the_mean_needs_its_labels(make_frames):
    X, y = make_frames(50)
    y.iloc[:40, 2] = NAN
    model = HistoricalMeanForecaster(min_labels=9).fit(X, y)
    assert model.n_known_.tolist() == [49, 49, 9, 49]
    known = y.iloc[:-1]
    expected = [known[ticker].dropna().to_numpy().mean() for ticker in y]
    np.testing.assert_allclose(model.mean_, expected, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X), np.tile(expected, (50, 1)), rtol=1e-12)
    model.set_params(min_labels=10).fit(X, y)
    assert np.isnan(model.mean_).tolist() == [False, False, True, False]


def test_the_default_fallback_serves_what_it_can(make_frames):
    X, y = make_frames()
    y.iloc[:150, 0] = NAN
    model = FallbackForecaster(BatchXGBoostForecaster(**XGB))
    with pytest.warns(FallbackWarning):
        model.fit(X, y)
    assert model.provenance_["model"].tolist() == [
        "BatchLinearForecaster",
        *["BatchXGBoostForecaster"] * 3,
    ]
