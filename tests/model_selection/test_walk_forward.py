"""The walk itself, against a loop that does every step by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import BatchLinearForecaster, HistoricalMeanForecaster, forward_returns
from skbatch.exceptions import FallbackWarning, ModelFitError, PanelError
from skbatch.model_selection import _walk_forward as module
from skbatch.testing import check_no_lookahead

from .conftest import HORIZON, PricesOnly, make_extractor, make_model


def slow_walk(model, prices, *, start=150, every=40, window=None, horizon=HORIZON):
    """Refit on prices cut off at each refit, with plain scikit-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pd.concat(slow_folds(model, prices, start, every, window, horizon))


def slow_folds(model, prices, start, every, window, horizon):
    for stop in range(start, len(prices), every):
        past = prices.iloc[:stop]
        labels = forward_returns(past, horizon)
        extractor, forecaster = clone(model[0]), clone(model[1])
        features = extractor.fit_transform(past)
        first = 0 if window is None else stop - window
        forecaster.fit(features.iloc[first:], labels.iloc[first:])
        ahead = prices.iloc[stop : stop + every]
        yield forecaster.predict(extractor.transform(ahead))


@pytest.fixture
def no_sharing(monkeypatch):
    """Have every refit compute its own features."""
    monkeypatch.setattr(module, "share_features", lambda *_: (None, None))


def assert_same(result, expected):
    pd.testing.assert_frame_equal(result, expected, check_exact=True, check_freq=False)


@pytest.mark.parametrize("window", [None, 90])
def test_forecasts_are_those_of_a_loop_by_hand(quiet_walk, prices, window):
    expected = slow_walk(make_model(), prices, window=window)
    result = quiet_walk(window="expanding" if window is None else window)
    assert result.attrs["shared_features"]
    assert_same(result.forecasts, expected)


@pytest.mark.usefixtures("no_sharing")
@pytest.mark.parametrize("window", ["expanding", 90])
def test_shared_features_change_no_bit(quiet_walk, window, request):
    own = quiet_walk(window=window)
    assert not own.attrs["shared_features"]
    request.getfixturevalue("monkeypatch").undo()
    shared = quiet_walk(window=window)
    assert shared.attrs["shared_features"]
    assert_same(shared.forecasts, own.forecasts)
    for name, table in own.benchmarks.items():
        assert_same(shared.benchmarks[name], table)


def test_gaps_are_kept_and_bridged(quiet_walk, prices, mean_model):
    cv = TimeSeriesSplit(2, test_size=30, gap=7)
    result = quiet_walk(mean_model, cv=cv, min_train=None, refit_every=None)
    for fold, start in enumerate((200, 230)):
        past = prices.iloc[: start - 7]
        mean = forward_returns(past, HORIZON).mean()
        forecasts = result.forecasts.iloc[30 * fold : 30 * fold + 30]
        np.testing.assert_allclose(forecasts, np.tile(mean, (30, 1)))


def test_models_of_prices_see_the_rows_of_a_gap(prices):
    class FromPrices(PricesOnly):
        def predict(self, X):
            assert X.index[0] == prices.index[prices.index.get_loc(self.last_) + 1]
            return super().predict(X)

    cv = TimeSeriesSplit(2, test_size=30, gap=7)
    result = module.walk_forward(
        FromPrices(), prices, horizon=HORIZON, cv=cv, benchmarks={}
    )
    assert_same(result.forecasts.index.to_frame(), prices.index[200:].to_frame())


def test_labels_not_known_at_a_window_s_end_are_not_trained_on(prices):
    class Spy(BaseEstimator):
        def fit(self, X, y):
            assert y.iloc[:-HORIZON].notna().any(axis=None)
            assert y.iloc[-HORIZON:].isna().all(axis=None)
            assert y.attrs["horizon"] == HORIZON
            self.columns_ = y.columns
            return self

        def predict(self, X):
            return pd.DataFrame(0.0, X.index, self.columns_)

    for model in (Spy(), make_pipeline(make_extractor(), Spy())):
        result = module.walk_forward(model, prices, horizon=HORIZON, min_train=150)
        assert (result.forecasts == 0).all(axis=None)


def test_folds_in_parallel_give_the_same(quiet_walk, result, capsys):
    parallel = quiet_walk(n_jobs=2, callbacks=[ProgressBar()])
    assert "walk forward" in capsys.readouterr().out
    assert_same(parallel.forecasts, result.forecasts)
    pd.testing.assert_frame_equal(parallel.provenance, result.provenance)
    pd.testing.assert_frame_equal(parallel.scorecard, result.scorecard)


def test_estimators_that_make_their_labels_are_fitted_on_prices(quiet_walk, prices):
    result = quiet_walk(PricesOnly())
    expected = forward_returns(prices.iloc[:190], HORIZON).mean()
    expected.iloc[3] = np.nan  # 20 prices by then
    np.testing.assert_allclose(result.forecasts.iloc[40], expected)
    assert set(result.provenance.iloc[40, :3]) == {"Mean"}
    assert result.provenance.iloc[40, 3] == "none"
    assert result.reasons.loc[prices.index[190], "reason"].to_dict() == {
        "T003": "too few prices"
    }
    assert result.name == "PricesOnly"
    names = ["historical mean", "linear model", "reversal", "momentum"]
    assert list(result.benchmarks) == names


def test_their_horizon_must_be_the_one_asked_for(walk):
    with pytest.raises(
        ValueError, match=r"that of the estimator, 5\. Got 3\. Pass hor"
    ):
        walk(PricesOnly(horizon=5))
    with pytest.raises(ValueError, match=r"that of the estimator, \(1, 3\)"):
        walk(PricesOnly(horizon=[1, 3]))
    with pytest.raises(ValueError, match="that of the estimator, 5"):
        walk(GridSearchCV(PricesOnly(horizon=5), {"seen": [1]}))


def test_searches_walk_too(quiet_walk):
    search = GridSearchCV(
        make_model(HistoricalMeanForecaster()),
        {"historicalmeanforecaster__min_labels": [5, 10]},
        cv=TimeSeriesSplit(2),
    )
    result = quiet_walk(search, refit_every=80)
    assert result.attrs["shared_features"]  # those of the benchmarks
    assert result.first_choice == ("HistoricalMeanForecaster",)
    assert np.isfinite(result.forecasts).any(axis=None)


def test_several_horizons_are_walked_at_once(quiet_walk, linear_model, prices):
    both = quiet_walk(linear_model, horizon=(1, 3))
    assert list(both.forecasts.columns.unique(0)) == [1, 3]
    alone = quiet_walk(linear_model, horizon=3)
    pd.testing.assert_frame_equal(
        both.of_horizon(both.forecasts, 3), alone.forecasts, check_names=False
    )
    pd.testing.assert_frame_equal(
        both.cards(3), alone.scorecard, check_exact=False, rtol=1e-9
    )
    assert list(both.scorecard.index.unique(0)) == [1, 3]


def test_benchmarks_are_refitted_on_the_same_rows(result, prices, linear_model):
    expected = slow_walk(linear_model, prices)
    assert_same(result.benchmarks["linear model"], expected)
    means = slow_walk(make_model(HistoricalMeanForecaster()), prices)
    assert_same(result.benchmarks["historical mean"], means)


def test_benchmarks_can_be_chosen(quiet_walk, mean_model):
    rivals = {"ridge": BatchLinearForecaster(alpha=1.0)}
    chosen = quiet_walk(mean_model, benchmarks=rivals)
    names = ["HistoricalMeanForecaster", "ridge", "zero"]
    assert list(chosen.scorecard.index) == names
    assert chosen.scorecard["r2_mean"].isna().all()
    none = quiet_walk(mean_model, benchmarks={})
    assert list(none.scorecard.index) == [names[0], names[2]]


def test_fields_and_arrays_are_panels_too(quiet_walk, prices, mean_model):
    closes = quiet_walk(mean_model)
    fields = pd.concat({"Close": prices, "Volume": prices * 10}, axis=1)
    assert_same(
        quiet_walk(mean_model, fields).returns.set_axis(closes.returns.columns, axis=1),
        closes.returns,
    )
    array = quiet_walk(mean_model, prices.to_numpy())
    np.testing.assert_array_equal(array.forecasts, closes.forecasts)


def test_a_failed_fit_leaves_its_rows_empty(quiet_walk):
    class Unwilling(HistoricalMeanForecaster):
        def _fit_table(self, features, labels, layout):
            if len(labels) == 190:
                raise ModelFitError("not today")
            super()._fit_table(features, labels, layout)

    result = quiet_walk(make_model(Unwilling(min_labels=5)))
    failed = result.forecasts.iloc[40:80]
    assert failed.isna().all(axis=None)
    assert (result.provenance.iloc[40:80] == "none").all(axis=None)
    assert result.forecasts.iloc[80:].notna().any(axis=None)
    assert set(result.reasons["reason"]) == {"fit failed (ModelFitError: not today)"}


def test_programming_errors_are_raised(walk):
    class Broken(HistoricalMeanForecaster):
        def _fit_table(self, features, labels, layout):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        walk(make_model(Broken()))


def test_fallbacks_are_told_once(walk):
    with pytest.warns(
        FallbackWarning,
        match=r"Warnings in . of 3 refits, the first: \w+ cannot forecast 1 of 8 t",
    ) as seen:
        walk()
    assert [w.category for w in seen].count(FallbackWarning) == 1


def test_threads_lose_no_warning_and_leave_no_filter(walk, result):
    filters = list(warnings.filters)
    with pytest.warns(FallbackWarning) as alone:
        walk()
    for _ in range(2):
        with pytest.warns(FallbackWarning) as seen, parallel_backend("threading"):
            walked = walk(n_jobs=4)
        assert [str(w.message) for w in seen] == [str(w.message) for w in alone]
        assert_same(walked.forecasts, result.forecasts)
    assert warnings.filters == filters


def test_tickers_without_prices_stay_nan(quiet_walk, prices):
    panel = prices.copy()
    panel["T005"] = np.nan
    result = quiet_walk(panel=panel)
    for table in (result.forecasts, result.returns, *result.benchmarks.values()):
        assert table["T005"].isna().all()
    assert (result.provenance["T005"] == "none").all()
    sized = result.scorecard.drop(index=["reversal", "momentum"])
    assert np.isfinite(sized["mae"]).all()


def test_infinite_forecasts_are_none(prices):
    class Infinite(BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, X):
            return np.where(np.arange(8) == 2, np.inf, np.zeros((len(X), 8)))

    result = module.walk_forward(Infinite(), prices, min_train=200)
    assert list(result.forecasts.isna().all()) == [n == 2 for n in range(8)]


@pytest.mark.parametrize("window", ["expanding", 90])
def test_the_future_changes_no_forecast_and_no_score(
    quiet_walk, prices, result, window
):
    """Prices after a date are replaced by garbage: all before stays as it is."""
    result = quiet_walk(window=window)
    cut = 215
    garbage = prices.copy()
    random = np.random.default_rng(0)
    garbage.iloc[cut + 1 :] = random.uniform(1, 1e6, garbage.iloc[cut + 1 :].shape)
    other = quiet_walk(panel=garbage, window=window)
    known = prices.index[150 : cut + 1]
    for before, after in zip(
        (result.forecasts, result.provenance, *result.benchmarks.values()),
        (other.forecasts, other.provenance, *other.benchmarks.values()),
        strict=True,
    ):
        assert_same(before.loc[known], after.loc[known])
    assert not result.forecasts.equals(other.forecasts)
    scored = prices.index[150 : cut + 1 - HORIZON]
    pd.testing.assert_frame_equal(
        result.rank_ic().loc[scored], other.rank_ic().loc[scored]
    )


def test_the_small_model_itself_does_not_look_ahead(prices):
    check_no_lookahead(make_model(BatchLinearForecaster()), prices, horizon=3, n_cuts=1)


def test_estimators_and_prices_are_left_alone(quiet_walk, prices):
    model, before = make_model(), prices.copy()
    quiet_walk(model)
    assert not hasattr(model[-1], "estimator_")
    assert not hasattr(model[0], "plan_")
    pd.testing.assert_frame_equal(prices, before)


def test_the_last_model_can_go_on(result, prices):
    forecasts = result.estimator.predict(prices.iloc[230:])
    assert_same(forecasts, result.forecasts.iloc[80:])


@pytest.mark.parametrize(
    ("estimator", "options", "error", "message"),
    [
        (
            BatchLinearForecaster,
            {},
            TypeError,
            "must be an instance with `fit`, `pre",
        ),
        (make_extractor(), {}, TypeError, "Got SharedFeatureExtractor. Pass a pipel"),
        (None, {"horizon": 0}, ValueError, "`horizon` must be an int of at least 1"),
        (None, {"n_quantiles": 1}, ValueError, "`n_quantiles` must be an int of at"),
        (None, {"benchmarks": 3}, ValueError, "`benchmarks` must be a dict of names"),
        (None, {"benchmarks": {"a": 3}}, ValueError, "Got 'a': int. The name must be"),
        (
            None,
            {"benchmarks": {"zero": HistoricalMeanForecaster()}},
            ValueError,
            "other than 'equal weight' and 'zero'",
        ),
        (
            None,
            {"name": "zero"},
            ValueError,
            "`name` must be text other than the name of a be",
        ),
        (None, {"name": ""}, ValueError, "Got ''. Choose another"),
        (None, {"panel": pd.DataFrame()}, PanelError, "must have at least one date"),
    ],
)
def test_errors_say_what_to_do(walk, estimator, options, error, message):
    with pytest.raises(error, match=message):
        walk(estimator, **options)


@pytest.mark.parametrize(
    ("forecasts", "message"),
    [
        (lambda X: np.zeros((len(X), 3)), r"one forecast per date and ticker, \(40, 8"),
        (lambda X: pd.DataFrame(0.0, X.index, ["A"]), "Got columns such as A"),
        (lambda X: pd.DataFrame(0.0, X.index[1:], X.columns), "39 rows of other dates"),
    ],
)
def test_forecasts_of_other_dates_or_tickers_are_refused(walk, forecasts, message):
    class Odd(BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, X):
            return forecasts(X)

    with pytest.raises(PanelError, match=message):
        walk(Odd())
