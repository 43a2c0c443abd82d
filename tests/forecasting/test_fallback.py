import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices
from skbatch.exceptions import FallbackWarning, HorizonWarning, ModelFitError
from skbatch.forecasting import HistoricalMeanForecaster, ReturnTarget

NAN = np.nan


class Stub(RegressorMixin, BaseEstimator):
    """Forecasts one number; NaN where `missing(dates, ticker)` says so."""

    def __init__(self, value=1.0, missing=None, error=None, horizon="auto", knob=0):
        self.value = value
        self.missing = missing
        self.error = error
        self.horizon = horizon
        self.knob = knob

    def fit(self, X, y):
        if self.error is not None:
            raise self.error
        self.columns_, self.horizon_ = y.columns, self.horizon
        return self

    def predict(self, X):
        forecasts = pd.DataFrame(self.value, index=X.index, columns=self.columns_)
        for ticker, dates in (self.missing or {}).items():
            forecasts.loc[X.index.isin(dates), ticker] = NAN
        return forecasts


class Other(Stub):
    """Another class name for provenance."""


def fit(model, X, y):
    """Fit and give the only warning's text, empty without one."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert [w.category for w in caught] in ([], [FallbackWarning])
    assert all(w.filename == __file__ for w in caught)
    return str(caught[0].message) if caught else ""


# Who serves ---------------------------------------------------------------------------


def test_a_primary_that_can_serve_does_without_a_warning(make_frames):
    X, y = make_frames()
    model = FallbackForecaster(Stub(), Other(2.0))
    assert fit(model, X, y) == ""
    assert (model.predict(X) == 1.0).all(axis=None)
    expected = pd.DataFrame(
        {"model": ["Stub"] * 4, "reason": [""] * 4},
        index=pd.Index(["T0", "T1", "T2", "T3"], name="ticker"),
    )
    pd.testing.assert_frame_equal(model.provenance_, expected)
    assert model.failures_ == {}


def test_a_failed_fit_is_served_by_the_fallback_and_says_why(make_frames):
    X, y = make_frames()
    model = FallbackForecaster(Stub(error=ModelFitError("out of luck")), Other(2.0))
    message = fit(model, X, y)
    assert message.startswith("Stub cannot forecast 4 of 4 tickers: T0, T1, T2, T3.")
    assert model.estimator_ is None
    assert (model.predict(X) == 2.0).all(axis=None)
    reason = "primary: fit failed (ModelFitError: out of luck)"
    assert (model.provenance_ == ["Other", reason]).all(axis=None)
    assert model.failures_ == {"primary": "ModelFitError: out of luck"}


def test_a_kind_of_failed_fit_counts_as_one(make_frames):
    class OutOfMemoryError(ModelFitError):
        pass

    X, y = make_frames()
    model = FallbackForecaster(Stub(error=OutOfMemoryError("8 GiB")))
    fit(model, X, y)
    assert model.provenance_["reason"].str.contains("OutOfMemoryError: 8 GiB").all()


def test_the_mean_serves_when_both_fail_and_then_nobody(make_frames):
    X, y = make_frames()
    y.iloc[:190, 2] = NAN
    model = FallbackForecaster(
        Stub(error=ModelFitError("one")), Other(error=ModelFitError("two"))
    )
    fit(model, X, y)
    both = "primary: fit failed (ModelFitError: one); "
    both += "fallback: fit failed (ModelFitError: two)"
    mean, none = "HistoricalMeanForecaster", "none"
    assert model.provenance_["model"].tolist() == [mean, mean, none, mean]
    assert model.provenance_.loc["T0", "reason"] == both
    assert model.provenance_.loc["T2", "reason"] == f"{both}; mean: 9 labels, needs 21"
    forecasts = model.predict(X)
    np.testing.assert_allclose(forecasts["T0"], y["T0"].iloc[:-1].mean())
    assert forecasts["T2"].isna().all()
    assert model.predict_batch(X)["T2"] != model.predict_batch(X)["T2"]


@pytest.mark.parametrize(
    "error", [ValueError("v"), TypeError("t"), KeyError("k"), RuntimeError("r")]
)
def test_only_declared_failures_fall_back(make_frames, error):
    X, y = make_frames()
    for model in (
        FallbackForecaster(Stub(error=error)),
        FallbackForecaster(Stub(error=ModelFitError("x")), Other(error=error)),
    ):
        with pytest.raises(type(error)):
            model.fit(X, y)


def test_an_interrupt_is_no_failure(make_frames):
    X, y = make_frames()
    with pytest.raises(KeyboardInterrupt):
        FallbackForecaster(Stub(error=KeyboardInterrupt())).fit(X, y)


@pytest.mark.parametrize(
    "bad", [{"max_depth": 0}, {"strategy": "other"}, {"target__scale": "x"}]
)
def test_bad_arguments_of_the_primary_are_raised(make_frames, bad):
    X, y = make_frames()
    model = BatchXGBoostForecaster(n_jobs=1).set_params(**bad)
    with pytest.raises(ValueError, match=next(iter(bad)).removeprefix("target__")):
        FallbackForecaster(model).fit(X, y)
    with pytest.raises(ValueError, match="min_labels"):
        FallbackForecaster(Stub(), min_labels=0).fit(X, y)
    with pytest.raises(ValueError, match="estimator"):
        FallbackForecaster("no forecaster").fit(X, y)


@pytest.mark.parametrize("n_labels", [61, 62, 63, 64])
def test_too_few_labels_for_the_primary(make_frames, n_labels):
    X, y = make_frames()
    y.iloc[: 199 - n_labels, 1] = NAN
    model = FallbackForecaster(Stub(), Other(2.0))
    fit(model, X, y)
    assert model.n_known_.tolist() == [199, n_labels, 199, 199]
    forecasts = model.predict(X)
    if n_labels < 63:
        reason = f"primary: {n_labels} labels, needs 63"
        assert model.provenance_.loc["T1"].tolist() == ["Other", reason]
        assert (forecasts["T1"] == 2.0).all()
    else:
        assert (forecasts["T1"] == 1.0).all()
    assert (forecasts.drop(columns="T1") == 1.0).all(axis=None)


@pytest.mark.parametrize(
    ("min_labels", "for_mean"), [(1, 1), (60, 20), (61, 21), (63, 21)]
)
def test_the_mean_needs_a_third_of_the_labels(make_frames, min_labels, for_mean):
    X, y = make_frames()
    model = FallbackForecaster(Stub(), min_labels=min_labels).fit(X, y)
    assert model.mean_.min_labels == for_mean
    assert for_mean >= min_labels / 3 > for_mean - 1


class Eager(FallbackForecaster):
    """Fits its fallback whether or not a ticker may need it."""

    def _needs_fallback(self):
        return True


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_a_fallback_that_no_ticker_can_need_is_not_fitted():
    """Forecasts, provenance and calibration are those of one that is fitted."""
    prices = load_sp500_prices().iloc[-600:, :6].copy()
    prices.iloc[300:420, 2] = NAN  # a halt; its labels and features come back
    X = SharedFeatureExtractor(["returns", "volatility"], [5, 63]).fit_transform(prices)
    y = forward_returns(prices, 5)
    trees = BatchXGBoostForecaster(n_estimators=3, n_jobs=1)
    lazy = FallbackForecaster(trees).fit(X, y)
    eager = Eager(trees).fit(X, y)
    assert lazy.fallback_ is None
    assert eager.fallback_ is not None
    forecasts, provenance = lazy.predict_with_provenance(X)
    expected, of_eager = eager.predict_with_provenance(X)
    pd.testing.assert_frame_equal(forecasts, expected, check_exact=True)
    pd.testing.assert_frame_equal(provenance.model, of_eager.model)
    pd.testing.assert_frame_equal(provenance.reason, of_eager.reason)
    assert set(of_eager.model.to_numpy().ravel()) > {"BatchXGBoostForecaster"}
    np.testing.assert_array_equal(lazy.calibration_.scores, eager.calibration_.scores)
    pd.testing.assert_frame_equal(
        lazy.predict_quantiles(X, [0.1, 0.9]),
        eager.predict_quantiles(X, [0.1, 0.9]),
        check_exact=True,
    )
    y.iloc[50:, 4] = NAN
    assert FallbackForecaster(trees).fit(X, y).fallback_ is not None


@pytest.mark.parametrize(
    "fallback",
    [
        BatchLinearForecaster("per_ticker"),
        BatchLinearForecaster(target=ReturnTarget(scale=None)),
        BatchLinearForecaster(target=ReturnTarget(relative=False)),
        Stub(),
    ],
)
def test_a_fallback_that_may_know_more_is_fitted(make_frames, fallback):
    X, y = make_frames()
    trees = BatchXGBoostForecaster(n_estimators=3, n_jobs=1)
    assert FallbackForecaster(trees, fallback).fit(X, y).fallback_ is not None
    assert FallbackForecaster(fallback, trees).fit(X, y).fallback_ is not None


def test_the_last_labels_are_not_counted(make_frames):
    X, y = make_frames(horizon=10)
    model = FallbackForecaster(Stub()).fit(X, y)
    assert model.n_known_.tolist() == [190] * 4


def test_forecasts_that_are_not_finite_are_filled_cell_by_cell(make_frames):
    X, y = make_frames()
    late, early = X.index[150:], X.index[:20]
    primary = Stub(missing={"T1": late, "T2": X.index, "T3": early})
    fallback = Other(np.inf, missing={"T1": late[:10]})
    model = FallbackForecaster(primary, fallback)
    fit(model, X, y)
    forecasts, served = model.predict(X), model.predict_with_provenance(X)[1].model
    means = y.iloc[:-1].mean()
    numbers = {"Stub": 1.0, "Other": np.inf}
    for ticker in y:
        for date in X.index:
            server = served.at[date, ticker]
            expected = numbers.get(server, means[ticker])
            assert forecasts.at[date, ticker] == pytest.approx(expected)
            assert (server == "Stub") == (date not in (primary.missing.get(ticker, [])))
            assert server != "Other"
    assert model.provenance_["model"].tolist() == [
        "Stub",
        "HistoricalMeanForecaster",
        "HistoricalMeanForecaster",
        "Stub",
    ]
    reason = "primary: forecast not finite; fallback: forecast not finite"
    assert model.provenance_.loc["T2", "reason"] == reason


def test_an_infinite_forecast_is_none(make_frames):
    X, y = make_frames()
    y.iloc[:190, 1] = NAN
    model = FallbackForecaster(Stub(np.inf), Other(-np.inf))
    fit(model, X, y)
    assert model.predict(X)["T1"].isna().all()
    assert model.provenance_.loc["T1", "model"] == "none"


def test_a_ticker_without_features_at_the_last_date(make_frames):
    X, y = make_frames()
    X.loc[X.index[-2:], X.columns.str.startswith("T3__")] = NAN
    model = FallbackForecaster(BatchLinearForecaster())
    message = fit(model, X, y)
    assert message.startswith("BatchLinearForecaster cannot forecast 1 of 4 tickers")
    assert "T3" in message
    assert model.provenance_.loc["T3"].tolist() == [
        "none",
        "no price at this date, or no finite feature of its own",
    ]
    served = model.predict_with_provenance(X)[1].model
    assert served["T3"].tolist()[-3:] == ["BatchLinearForecaster", "none", "none"]
    assert (served == "none").equals(model.predict(X).isna())


def test_one_ticker_whose_own_model_fails(make_frames):
    X, y = make_frames()
    y["T2"] = NAN
    model = FallbackForecaster(
        BatchXGBoostForecaster("per_ticker", n_estimators=3, n_jobs=1),
        Other(2.0),
        min_labels=1,
    )
    fit(model, X, y)
    # Without a single label the count already says why.
    assert model.provenance_.loc["T2"].tolist()[0] == "Other"
    y.iloc[50, 2] = 0.01
    fit(model, X, y)
    assert model.provenance_["model"].tolist().count("Other") == 1
    reason = model.provenance_.loc["T2", "reason"]
    assert reason.startswith("primary: fit failed (T2 must have at least 2 dates")
    assert (model.predict(X)["T2"] == 2.0).all()


def test_a_ticker_whose_own_model_fails_at_one_horizon(make_frames, stack_horizons):
    X, y = make_frames()
    short = y.copy()
    short.iloc[1:, 1] = NAN
    primary = BatchLinearForecaster("per_ticker")
    model = FallbackForecaster(primary, Other(2.0), min_labels=1)
    fit(model, X, stack_horizons({1: y, 20: short}))
    assert list(model.estimator_.failures_) == ["T1 at horizon 20"]
    others = model.provenance_[model.provenance_["model"] == "Other"]
    assert others.index.tolist() == [(20, "T1")]
    assert others["reason"].iloc[0].startswith("primary: fit failed (T1 at horizon 20")


def test_the_warning_names_five_tickers_and_counts_the_rest(make_frames):
    X, y = make_frames(n_tickers=8)
    y.iloc[:180, 1:] = NAN
    model = FallbackForecaster(Stub(), Other())
    message = fit(model, X, y)
    assert message == (
        "Stub cannot forecast 7 of 8 tickers: T1, T2, T3, T4, T5 and 2 more. "
        "See provenance_ for reasons."
    )


def test_several_horizons_have_a_row_each(make_frames, stack_horizons):
    X, y = make_frames()
    late = y.copy()
    late.iloc[:130, 1] = NAN
    model = FallbackForecaster(Stub(), Other(2.0))
    both = stack_horizons({1: y, 20: late})
    message = fit(model, X, both)
    assert message.startswith("Stub cannot forecast 1 of 4 tickers: T1.")
    pd.testing.assert_index_equal(model.provenance_.index, both.columns)
    others = model.provenance_[model.provenance_["model"] != "Stub"]
    assert others.index.tolist() == [(20, "T1")]
    assert others["reason"].tolist() == ["primary: 50 labels, needs 63"]
    assert model.predict_with_provenance(X)[1].model.columns.equals(both.columns)
    assert model.horizon_ == (1, 20)


def test_plain_arrays_have_numbered_rows():
    random = np.random.default_rng(0)
    X, y = random.standard_normal((100, 3)), random.standard_normal((100, 2))
    model = FallbackForecaster(BatchLinearForecaster(horizon=1)).fit(X, y)
    assert model.provenance_.index.tolist() == ["y0", "y1"]
    served = model.predict_with_provenance(X)[1].model
    assert isinstance(served, np.ndarray)
    assert (served == "BatchLinearForecaster").all()
    assert served.shape == (100, 2)


def test_a_series_has_one_row(make_frames):
    X, y = make_frames()
    model = FallbackForecaster(BatchLinearForecaster()).fit(X, y["T2"])
    assert model.provenance_.index.tolist() == ["T2"]
    assert model.predict_with_provenance(X)[1].model.name == "T2"


def test_forecasts_are_matched_by_name(make_frames):
    class Reversed(Stub):
        def predict(self, X):
            forecasts = super().predict(X)
            forecasts[:] = np.arange(4.0)
            return forecasts[forecasts.columns[::-1]]

    X, y = make_frames()
    model = FallbackForecaster(Reversed()).fit(X, y)
    assert model.predict(X).iloc[0].tolist() == [0.0, 1.0, 2.0, 3.0]


# An estimator among estimators --------------------------------------------------------


def test_predict_does_not_change_the_fitted_object(make_frames):
    X, y = make_frames()
    y.iloc[:150, 0] = NAN
    model = FallbackForecaster(BatchXGBoostForecaster(n_estimators=3, n_jobs=1))
    fit(model, X, y)
    before = pickle.dumps(model)
    model.predict(X)
    model.predict_with_provenance(X.iloc[:7])
    model.predict_batch(X)
    model.score(X, y)
    assert pickle.dumps(model) == before


def test_the_given_estimators_stay_unfitted(make_frames):
    X, y = make_frames()
    primary, fallback = Stub(), Other()
    model = FallbackForecaster(primary, fallback).fit(X, y)
    assert not hasattr(primary, "columns_")
    assert not hasattr(fallback, "columns_")
    assert (primary.horizon, model.estimator_.horizon) == ("auto", 1)


def test_parameters_reach_inside(make_frames):
    X, y = make_frames()
    model = FallbackForecaster(BatchLinearForecaster(), HistoricalMeanForecaster())
    assert {"estimator__alpha", "fallback__min_labels", "min_labels"} <= set(
        model.get_params()
    )
    twin = clone(model.set_params(estimator__alpha=0.5, fallback__min_labels=3))
    assert twin.estimator is not model.estimator
    assert twin.fit(X, y).estimator_.alpha == 0.5
    assert twin.fallback_.min_labels == 3


def test_a_grid_search_over_the_primarys_parameters(make_frames):
    X, y = make_frames(300, signal=0.6)
    model = FallbackForecaster(
        BatchLinearForecaster(target=ReturnTarget(market_weight=0.0))
    )
    grid = {"estimator__alpha": [0.1, 1e6]}
    search = GridSearchCV(model, grid, cv=TimeSeriesSplit(3)).fit(X, y)
    assert search.best_params_ == {"estimator__alpha": 0.1}
    assert search.best_estimator_.estimator_.alpha == 0.1


def test_a_fallback_that_has_a_length(make_frames):
    class Ensemble(Stub):
        def __len__(self):
            return 0

    X, y = make_frames()
    model = FallbackForecaster(Stub(), Ensemble())
    assert isinstance(model.fit(X, y).fallback_, Ensemble)


def test_nobody_inside_sees_a_label_that_is_not_known_yet(make_frames):
    class Recorder(Stub):
        def fit(self, X, y):
            self.seen_ = y
            return super().fit(X, y)

    X, y = make_frames(horizon=5)
    model = FallbackForecaster(Recorder(), Recorder()).fit(X, y)
    for inside in (model.estimator_, model.fallback_):
        assert inside.seen_.attrs == {"horizon": 5}
        assert inside.seen_.iloc[-5:].isna().all(axis=None)
        pd.testing.assert_frame_equal(inside.seen_.iloc[:-5], y.iloc[:-5])


def test_a_wrong_price_does_not_become_a_mean(make_frames):
    X, y = make_frames(200, 3)
    y.iloc[50, 1] = 1e4
    y.iloc[60:, 1] = 0.0
    failing = Stub(error=ModelFitError("no"))
    with pytest.warns(FallbackWarning):
        model = FallbackForecaster(failing, failing).fit(X, y)
    sizes = sorted(abs(v) for v in y.iloc[:199, 1] if v != 0)
    bound = 10 * 1.4826 * (sizes[len(sizes) // 2] + sizes[(len(sizes) - 1) // 2]) / 2
    expected = (y.iloc[:50, 1].sum() + bound + y.iloc[51:199, 1].sum()) / 199
    forecast = model.predict(X).iloc[-1, 1]
    assert forecast == pytest.approx(expected)
    assert abs(forecast) < 0.01


# Horizons -----------------------------------------------------------------------------


class Passthrough(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


def without_horizon(y):
    y = y.copy()
    y.attrs.clear()
    return y


@pytest.mark.parametrize(
    "primary",
    [
        Stub(horizon=7),
        make_pipeline(Passthrough(), BatchLinearForecaster(horizon=7)),
        FallbackForecaster(BatchLinearForecaster(horizon=7)),
        FallbackForecaster(Stub(), BatchLinearForecaster(horizon=7)),
    ],
)
@pytest.mark.parametrize("wrap", [lambda model: model, FallbackForecaster])
def test_one_explicit_horizon_is_everybodys(make_frames, primary, wrap):
    X, y = make_frames()
    model = wrap(FallbackForecaster(primary)).fit(X, without_horizon(y))
    assert model.horizon_ == model.mean_.horizon_ == model.fallback_.horizon_ == 7


class Damped(RegressorMixin, BaseEstimator):
    """A regressor whose `horizon` is how many rows it remembers."""

    def __init__(self, horizon=250):
        self.horizon = horizon


class OwnForecaster(Stub):
    """A user's forecaster around a regressor."""

    def __init__(self, estimator=None, fallback=None, horizon="auto"):
        super().__init__(horizon=horizon)
        self.estimator = estimator
        self.fallback = fallback


@pytest.mark.parametrize("wrap", [FallbackForecaster, ConformalForecaster])
@pytest.mark.parametrize("remembers", [250, "auto", None])
def test_a_horizon_of_another_meaning_is_neither_read_nor_set(
    make_frames, wrap, remembers
):
    X, y = make_frames(horizon=3)
    inside = OwnForecaster(Damped(remembers), fallback=Damped(remembers))
    for primary in (inside, make_pipeline(Passthrough(), clone(inside))):
        model = wrap(primary).fit(X, y)
        assert model.horizon_ == 3
        fitted = model.estimator_
        fitted = fitted if isinstance(fitted, OwnForecaster) else fitted[-1]
        assert fitted.horizon == 3
        assert (fitted.estimator.horizon, fitted.fallback.horizon) == (remembers,) * 2


def test_a_batch_forecaster_inside_a_users_one_has_the_horizon_of_all(make_frames):
    X, y = make_frames()
    inside = OwnForecaster(BatchLinearForecaster(horizon=7))
    model = ConformalForecaster(FallbackForecaster(inside))
    model.fit(X, without_horizon(y))
    assert model.horizon_ == model.estimator_.fallback_.horizon_ == 7


def test_a_search_inside_has_the_horizon_of_its_forecaster(make_frames):
    X, y = make_frames()
    inner = BatchLinearForecaster(horizon=7)
    search = GridSearchCV(inner, {"alpha": [1.0]}, cv=TimeSeriesSplit(3))
    assert FallbackForecaster(search).fit(X, without_horizon(y)).horizon_ == 7


def test_explicit_horizons_must_agree(make_frames):
    X, y = make_frames()
    model = FallbackForecaster(Stub(horizon=7), BatchLinearForecaster(horizon=1))
    with pytest.raises(ValueError, match=r"same horizon\. Got 1 and 7\. Pass"):
        model.fit(X, without_horizon(y))


def test_a_missing_horizon_is_told_once_also_for_a_pipeline_inside(make_frames):
    X, y = make_frames()
    primary = make_pipeline(Passthrough(), BatchLinearForecaster())
    with pytest.warns(HorizonWarning) as caught:
        FallbackForecaster(primary).fit(X, without_horizon(y))
    assert len(caught) == 1


def test_a_grid_search_tells_it_once_for_each_fit(make_frames):
    X, y = make_frames()
    model = FallbackForecaster(BatchLinearForecaster())
    search = GridSearchCV(model, {"min_labels": [5, 9]}, cv=TimeSeriesSplit(3))
    with pytest.warns(HorizonWarning) as caught:
        search.fit(X, without_horizon(y))
    assert len(caught) == 2 * 3 + 1
