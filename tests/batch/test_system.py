"""The system is a scikit-learn estimator that goes from prices to forecasts."""

import subprocess
import sys
from contextlib import contextmanager
from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.batch import (
    BatchErrorHandler,
    BatchForecastingSystem,
    BatchPerformanceMonitor,
)
from skbatch.exceptions import (
    BatchWarning,
    FallbackWarning,
    ModelFitError,
    PanelError,
)
from skbatch.forecasting import HistoricalMeanForecaster, ReturnTarget
from skbatch.metrics import make_forecast_scorer
from skbatch.testing import check_no_lookahead

TICKERS = list("ABCDEFGH")


def trees(strategy="pooled"):
    return FallbackForecaster(
        BatchXGBoostForecaster(strategy, n_estimators=5, n_jobs=1),
        BatchLinearForecaster(strategy),
    )


# From prices to forecasts -------------------------------------------------------------


def test_one_batch_is_the_pipeline(make_system, prices):
    system = make_system(forecaster=trees()).fit(prices)
    features = SharedFeatureExtractor(windows=(5, 21, 63))
    pipeline = make_pipeline(features, trees()).fit(prices, forward_returns(prices, 5))
    expected = pipeline.predict(prices.iloc[-9:])
    actual = system.predict(prices.iloc[-9:])
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)
    result = system.forecast()
    assert result.date == prices.index[-1]
    assert result.horizon == system.horizon_ == 5
    np.testing.assert_array_equal(result.expected_returns, expected.iloc[-1])
    assert result.provenance.loc["A"].tolist() == ["BatchXGBoostForecaster", "all", ""]
    pd.testing.assert_frame_equal(result.provenance, system.provenance_)


SINGLE = {"linear": BatchLinearForecaster("per_ticker"), "trees": trees("per_ticker")}


@pytest.fixture(scope="module")
def in_one_batch(make_system, prices):
    """Forecasts of models of single tickers that were fitted in one batch."""

    @cache
    def of(strategy):
        system = make_system(forecaster=SINGLE[strategy]).fit(prices.iloc[-200:])
        forecasts = [system.predict(prices.iloc[-n_rows:]) for n_rows in (140, 1)]
        return forecasts, system.forecast().expected_returns

    return of


@pytest.mark.parametrize("strategy", SINGLE)
@pytest.mark.parametrize(
    "params",
    [
        {"max_batch_size": 3},
        {"max_batch_size": 1},
        {"max_batch_size": 3, "groups": dict(zip(TICKERS, "xyxyxyzz", strict=True))},
        {"max_batch_size": 3, "groups": "correlation"},
        {"max_batch_size": 2, "n_jobs": 2},
    ],
    ids=["three", "single", "groups", "correlation", "parallel"],
)
def test_batches_change_nothing_for_models_of_single_tickers(
    make_system, prices, in_one_batch, strategy, params
):
    forecasts, expected_returns = in_one_batch(strategy)
    many = make_system(forecaster=SINGLE[strategy], **params).fit(prices.iloc[-200:])
    assert len(many.fitted_.batches) > 2
    # The order of arrays in memory depends on the release of pandas, and on that order
    # the last bit of a sum.
    same = {"check_exact": False, "rtol": 1e-12, "atol": 1e-15}
    for one in forecasts:
        rows = prices.iloc[-len(one) :]
        pd.testing.assert_frame_equal(many.predict(rows), one, **same)
    pd.testing.assert_series_equal(
        many.forecast().expected_returns, expected_returns, **same
    )


def test_a_scale_of_ones_own_changes_nothing_either(make_system, prices):
    model = BatchLinearForecaster(
        "per_ticker", target=ReturnTarget(scale="volatility_21")
    )
    one = make_system(forecaster=model).fit(prices)
    many = make_system(forecaster=model, max_batch_size=3).fit(prices)
    pd.testing.assert_frame_equal(
        many.predict(prices), one.predict(prices), check_exact=True
    )


def test_features_without_volatility_can_be_batched(make_system, prices):
    features = SharedFeatureExtractor(families=["returns", "market"], windows=(5, 21))
    one = make_system(features=features).fit(prices)
    many = make_system(features=features, max_batch_size=3).fit(prices)
    pd.testing.assert_frame_equal(
        many.predict(prices), one.predict(prices), check_exact=True
    )


def test_several_horizons_are_side_by_side(make_system, prices):
    both = make_system(horizon=(3, 10), max_batch_size=3).fit(prices)
    result = both.forecast()
    assert result.horizon == (3, 10)
    for horizon in (3, 10):
        alone = make_system(horizon=horizon).fit(prices).forecast()
        np.testing.assert_allclose(
            result.expected_returns[horizon], alone.expected_returns
        )
    assert result.provenance.index.names == ["horizon", "ticker"]


@pytest.mark.parametrize("horizon", [3, (3, 10)])
def test_new_rows_are_forecast_without_fitting_anew(make_system, prices, horizon):
    system = make_system(horizon, max_batch_size=3).fit(prices.iloc[:-4])
    result = system.forecast(prices.iloc[-4:])
    assert result.date == prices.index[-1]
    expected = system.predict(prices.iloc[-4:]).iloc[-1]
    np.testing.assert_array_equal(result.expected_returns, expected)
    whole = make_system(horizon).fit(prices).fitted_.extractor.transform(prices)
    assert whole.iloc[-1].notna().any()


def test_new_prices_that_cannot_be_used_are_no_forecast(
    make_system, prices, assert_accounted
):
    system = make_system().fit(prices.iloc[:-2])
    new = prices.iloc[-2:].copy()
    new.iloc[0, 1] *= 100
    new.iloc[1, 2] = -1.0
    result = system.forecast(new)
    assert_accounted(result, TICKERS)
    assert list(result.expected_returns.index[result.expected_returns.isna()]) == [
        "B",
        "C",
    ]
    assert "quarantined (jump)" in result.provenance.loc["B", "reason"]
    assert "quarantined (invalid)" in result.provenance.loc["C", "reason"]
    good = system.forecast(prices.iloc[-2:])
    assert good.expected_returns.notna().all()


def test_one_ticker(make_system, prices, assert_accounted):
    result = make_system().fit(prices[["A"]]).forecast()
    assert_accounted(result, ["A"])
    assert np.isfinite(result.expected_returns["A"])


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.BatchWarning")
def test_all_tickers_unusable(make_system, prices, assert_accounted):
    system = make_system().fit(prices * 0 + 7.0)
    result = system.forecast()
    assert_accounted(result, TICKERS)
    assert result.expected_returns.isna().all()
    assert system.predict(prices).isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.iloc[:, :0], "`X` must have tickers"),
        (lambda p: p.iloc[:0], "`X` must have at least one date"),
        (lambda p: p.iloc[::-1], "sorted"),
        (lambda p: p.iloc[:4], "`horizon` must be less than the number of dates"),
    ],
    ids=["no tickers", "no dates", "reversed", "too short"],
)
def test_malformed_prices_are_refused(make_system, prices, change, message):
    with pytest.raises(ValueError, match=message):
        make_system().fit(change(prices))


def test_quarantined_tickers_have_no_part_in_the_market(make_system, prices):
    dirty = prices.assign(Z=prices["A"].where(prices.index != prices.index[-9], 1e6))
    with pytest.warns(BatchWarning, match=r"Prices of 1 of 9 tickers.*: Z\. See"):
        result = make_system().fit(dirty).forecast()
    expected = make_system().fit(prices).forecast()
    np.testing.assert_array_equal(
        result.expected_returns[TICKERS], expected.expected_returns
    )
    assert np.isnan(result.expected_returns["Z"])
    assert result.provenance.loc["Z", "reason"].startswith("quarantined (jump): ")


def test_columns_of_fit_are_demanded(make_system, prices):
    system = make_system().fit(prices)
    with pytest.raises(PanelError, match=r"columns seen in `fit`. Got 1 fewer \(C\)"):
        system.predict(prices.drop(columns="C"))
    expected = system.predict(prices)
    pd.testing.assert_frame_equal(system.predict(prices[TICKERS[::-1]]), expected)


def test_arrays_in_arrays_out(make_system, prices):
    system = make_system().fit(prices.to_numpy()[:-1])
    forecasts = system.predict(prices.to_numpy()[-1:])
    frame = make_system().fit(prices.iloc[:-1].reset_index(drop=True))
    expected = frame.predict(prices.reset_index(drop=True).iloc[-1:])
    assert isinstance(forecasts, np.ndarray)
    np.testing.assert_array_equal(forecasts, expected)
    assert list(system.forecast().expected_returns.index)[:2] == ["x0", "x1"]


def test_ohlcv_panels_in_either_order_of_levels(make_system, prices):
    fields = {name: prices * k for name, k in [("Close", 1), ("High", 1.01)]}
    fields |= {"Low": prices * 0.99, "Open": prices, "Volume": prices * 1e4}
    panel = pd.concat(fields, axis=1)
    system = make_system(max_batch_size=3).fit(panel)
    swapped = panel.swaplevel(axis=1).sort_index(axis=1)
    pd.testing.assert_frame_equal(
        system.predict(swapped.iloc[-3:]), system.predict(panel.iloc[-3:])
    )
    other = make_system().fit(swapped).forecast()
    np.testing.assert_allclose(
        other.expected_returns[TICKERS], system.forecast().expected_returns[TICKERS]
    )


def test_one_call_from_prices_to_a_dict(make_system, prices):
    system = make_system()
    with pytest.warns(BatchWarning, match="Got X without prices"):
        returns = system.forecast_batch_returns(["C", "X", "A"], prices, periods=3)
    expected = make_system(horizon=3).fit(prices).forecast().expected_returns
    assert list(returns) == ["C", "X", "A"]
    assert returns["C"] == expected["C"]
    assert returns["A"] == expected["A"]
    assert np.isnan(returns["X"])
    assert not hasattr(system, "fitted_")
    assert system.horizon == 5


# It is scikit-learn -------------------------------------------------------------------


def test_default_parts_have_parameters(prices):
    system = BatchForecastingSystem()
    assert system.features is None
    params = system.get_params()
    trees = BatchXGBoostForecaster()
    assert params["forecaster__estimator__max_depth"] == trees.max_depth
    assert params["features__windows"] == SharedFeatureExtractor().windows
    assert params["error_handler__max_jump"] == BatchErrorHandler().max_jump
    system.set_params(forecaster__estimator__max_depth=2)
    assert system.features is None
    assert system.forecaster.estimator.max_depth == 2
    assert system.get_params()["forecaster__estimator__max_depth"] == 2
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        system.set_params(forecaster__depth=2)


def test_clones_are_equal_and_unfitted(make_system, prices):
    for system in (BatchForecastingSystem(), make_system().fit(prices)):
        copy = clone(system)
        assert not hasattr(copy, "fitted_")
        assert repr(copy) == repr(system)
        assert "BatchForecastingSystem" in system._repr_html_()


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_a_grid_search_needs_no_labels(make_system, prices):
    system = make_system(forecaster=None)
    grid = {
        "forecaster__estimator__max_depth": [2, 3],
        "forecaster__estimator__n_estimators": [3],
    }
    search = GridSearchCV(system, grid, cv=TimeSeriesSplit(3)).fit(prices)
    assert search.best_estimator_.forecaster.estimator.n_estimators == 3
    # By hand: every fold's score is R² over the labels that the fold's prices give.
    chosen = search.best_estimator_
    for fold, (train, test) in enumerate(TimeSeriesSplit(3).split(prices)):
        model = clone(chosen).fit(prices.iloc[train])
        y = forward_returns(prices.iloc[test], 5).to_numpy()
        forecast = model.predict(prices.iloc[test]).to_numpy()
        use = np.isfinite(y) & np.isfinite(forecast)
        error = ((y - forecast)[use] ** 2).sum()
        expected = 1 - error / ((y[use] - y[use].mean()) ** 2).sum()
        found = search.cv_results_[f"split{fold}_test_score"][search.best_index_]
        assert found == pytest.approx(expected)


def test_scorers_of_labels_take_labels(make_system, prices):
    y = forward_returns(prices, 5)
    scores = cross_val_score(
        make_system(),
        prices,
        y,
        scoring=make_forecast_scorer("rank_ic"),
        cv=TimeSeriesSplit(3),
    )
    assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="`y` must have the horizon of the system, 5"):
        make_system().fit(prices, forward_returns(prices, 3))


def test_a_fold_without_known_labels_has_no_score(make_system, prices):
    system = make_system().fit(prices)
    assert np.isnan(system.score(prices.iloc[-5:]))
    rows = prices.iloc[:-9]
    y = forward_returns(prices, 5).iloc[:-9]
    known = y.copy()
    known.iloc[-5:] = np.nan
    assert system.score(rows) == pytest.approx(system.score(rows, known))
    assert system.score(rows) != pytest.approx(system.score(rows, y))


def test_nothing_looks_ahead(prices):
    model = BatchLinearForecaster()
    system = BatchForecastingSystem(
        3,
        forecaster=model,
        features=SharedFeatureExtractor(["returns", "volatility", "market"], (5, 21)),
        max_batch_size=3,
    )
    check_no_lookahead(system, prices.iloc[:150, :4], horizon=3, n_cuts=2)


@pytest.mark.slow
def test_a_saved_system_forecasts_the_same_elsewhere(make_system, prices, tmp_path):
    system = make_system(forecaster=trees(), max_batch_size=3).fit(prices)
    joblib.dump(system, tmp_path / "system.joblib")
    prices.iloc[-3:].to_pickle(tmp_path / "rows.pkl")
    code = (
        "import joblib, pandas as pd, sys\n"
        "system = joblib.load(sys.argv[1] + '/system.joblib')\n"
        "rows = pd.read_pickle(sys.argv[1] + '/rows.pkl')\n"
        "system.predict(rows).to_pickle(sys.argv[1] + '/out.pkl')\n"
        "print(system.forecast())\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    pd.testing.assert_frame_equal(
        pd.read_pickle(tmp_path / "out.pkl"),
        system.predict(prices.iloc[-3:]),
        check_exact=True,
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"horizon": 0}, "horizon"),
        ({"forecaster": "xgboost"}, "forecaster"),
        ({"features": 3}, "features"),
        ({"max_batch_size": 0}, "max_batch_size"),
        (
            {"memory_budget": "much"},
            "'memory_budget' parameter .* a size such as \"4GiB\"",
        ),
        ({"memory_budget": -1.0}, "memory_budget"),
        ({"memory_budget": "1KiB"}, "`memory_budget` must be at least"),
        ({"groups": 3}, "groups"),
        ({"n_jobs": "all"}, "n_jobs"),
        ({"error_handler": BatchErrorHandler(max_jump=1)}, "max_jump"),
        ({"error_handler": BatchErrorHandler(max_attempts=0)}, "max_attempts"),
    ],
)
def test_bad_arguments_are_refused(make_system, prices, params, message):
    with pytest.raises(ValueError, match=message):
        make_system(**params).fit(prices)


def test_tickers_of_other_models_are_named_once(make_system, prices):
    young = prices.copy()
    young.loc[young.index[:-40], ["B", "G"]] = np.nan
    with pytest.warns(FallbackWarning, match="2 of 8 tickers.*: B, G") as caught:
        system = make_system(forecaster=trees(), max_batch_size=3).fit(young)
    assert len(caught) == 1
    reason = system.provenance_.loc["B", "reason"]
    assert reason == "primary: 35 labels, needs 63"
    assert system.forecast().provenance.loc["B", "reason"] == reason


def test_forecasters_without_provenance_are_named(make_system, prices):
    model = HistoricalMeanForecaster(min_labels=100)
    young = prices.assign(B=prices["B"].where(prices.index > prices.index[-60]))
    with pytest.warns(FallbackWarning, match="1 of 8 tickers.*: B"):
        system = make_system(forecaster=model).fit(young)
    result = system.forecast()
    pd.testing.assert_frame_equal(result.provenance, system.provenance_)
    assert result.provenance.loc["A", "model"] == "HistoricalMeanForecaster"
    assert result.provenance.loc["B"].tolist() == [
        "none",
        "all",
        "forecast not finite",
    ]
    assert "7 of 8 expected returns" in repr(result)
    expected = "expected_return lower upper volatility p_positive model batch reason"
    assert list(result.to_frame()) == expected.split()


# What a reviewer found ----------------------------------------------------------------


def test_a_fit_that_fails_leaves_the_last_one_as_it_was(make_system, prices):
    system = make_system().fit(prices.iloc[:-3])
    before = system.forecast().expected_returns
    with pytest.raises(ValueError, match="`groups`"):
        system.set_params(groups={"nobody": "x"}, max_batch_size=2).fit(prices)
    after = system.forecast()
    assert after.date == prices.index[-4]
    pd.testing.assert_series_equal(after.expected_returns, before)
    with pytest.raises(NotFittedError):
        clone(system).predict(prices)


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_predict_batch_is_forecast(make_system, prices, kind):
    table = prices if kind == "frame" else prices.to_numpy()
    system = make_system().fit(table[:-3])
    expected = system.forecast(table[-3:]).expected_returns
    assert system.predict_batch(table[-3:]) == expected.to_dict()


def test_new_rows_in_an_array_are_screened_too(make_system, prices):
    table = prices.to_numpy()
    system = make_system().fit(table[:-1])
    new = table[-1:].copy()
    new[0, 0] *= 100
    new[0, 1] = -1.0
    result = system.forecast(new)
    assert result.expected_returns.isna().to_list() == [True, True] + [False] * 6
    reasons = result.provenance["reason"]
    assert "quarantined (jump)" in reasons["x0"]
    assert "quarantined (invalid)" in reasons["x1"]


def test_tickers_that_were_fitted_are_old_enough_for_new_rows(make_system, prices):
    system = make_system(error_handler=BatchErrorHandler(recent=10))
    result = system.fit(prices.iloc[:-1]).forecast(prices.iloc[-1:])
    assert result.expected_returns.notna().all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p.assign(ZZZ=1.0), PanelError, r"1 more \(ZZZ\)"),
        (lambda p: p.iloc[:0], PanelError, "at least one date"),
        (lambda p: p.tz_localize("UTC"), PanelError, "must both have a time zone"),
    ],
)
def test_new_rows_of_another_shape_are_refused(
    make_system, prices, change, error, message
):
    system = make_system().fit(prices.iloc[:-2])
    for method in (system.forecast, system.predict):
        with pytest.raises(error, match=message):
            method(change(prices.iloc[-2:]))


def test_new_rows_with_fields_in_another_order(make_system, prices):
    panel = pd.concat({"Close": prices, "Volume": prices * 1e4}, axis=1)
    system = make_system().fit(panel.iloc[:-2])
    swapped = panel.rename(columns=str.lower, level=0).swaplevel(axis=1)
    pd.testing.assert_series_equal(
        system.forecast(swapped.iloc[-2:]).expected_returns,
        system.forecast(panel.iloc[-2:]).expected_returns,
    )


class Plain(RegressorMixin, BaseEstimator):
    """A regressor of scikit-learn's kind: arrays out, and missing labels allowed."""

    def __init__(self, fails=False):
        self.fails = fails

    def fit(self, X, y):
        self.mean_ = np.nanmean(y, axis=0)
        return self

    def predict(self, X):
        if self.fails:
            raise ModelFitError("planted")
        return np.tile(self.mean_, (len(X), 1))


def test_forecasters_that_know_no_tables(make_system, prices):
    system = make_system(forecaster=Plain(), max_batch_size=3).fit(prices)
    known = forward_returns(prices, 5).mean()
    np.testing.assert_allclose(system.predict(prices).iloc[-1], known)
    np.testing.assert_allclose(system.forecast().expected_returns, known)


def test_a_model_that_fails_when_it_forecasts_is_a_reason(make_system, prices):
    with pytest.warns(FallbackWarning, match="8 of 8"):
        system = make_system(forecaster=Plain(fails=True)).fit(prices)
    result = system.forecast()
    assert result.expected_returns.isna().all()
    reason = "forecast failed (ModelFitError: planted)"
    assert set(result.provenance["reason"]) == {reason}
    with pytest.warns(BatchWarning, match="Batch all has no forecasts: ModelFitError"):
        assert system.predict(prices).isna().all(axis=None)


def test_a_ticker_without_a_recent_price_is_told_so(make_system, prices):
    gone = prices.copy()
    gone.iloc[-3:, 3] = np.nan
    with pytest.warns(FallbackWarning):
        system = make_system().fit(gone)
    expected = ["none", "all", "no price at this date, or no finite feature of its own"]
    assert system.provenance_.loc["D"].tolist() == expected
    assert system.forecast().provenance.loc["D"].tolist() == expected


def test_features_with_another_output_are_taken_as_they_are(make_system, prices):
    features = SharedFeatureExtractor(windows=(5, 21, 63)).set_output(
        transform="polars"
    )
    system = make_system(features=features).fit(prices)
    expected = make_system().fit(prices).predict(prices)
    pd.testing.assert_frame_equal(system.predict(prices), expected)


def test_what_went_otherwise_is_one_warning(make_system, make_faulty, prices):
    dirty = prices.assign(Z=7.0)
    with pytest.warns(BatchWarning) as caught:
        make_system(forecaster=make_faulty("memory", largest=4)).fit(dirty)
    assert len(caught) == 1
    assert "Prices of 1 of 9 tickers" in str(caught[0].message)
    assert "Recovery took 1 step (halved)" in str(caught[0].message)


def test_the_performance_of_a_result_stays_its_own(make_system, prices):
    system = make_system().fit(prices)
    first = system.forecast()
    before = first.performance.report()
    system.forecast()
    pd.testing.assert_frame_equal(first.performance.report(), before)
    assert ("stage", "forecast") in before.index


@pytest.mark.parametrize("strategy", ["pooled", "per_ticker"])
def test_the_stage_of_features_is_that_in_which_they_are_computed(
    strategy, make_system, prices, monkeypatch
):
    stages, seen = [], []
    measured = BatchPerformanceMonitor.stage

    @contextmanager
    def stage(self, name, *sizes, **more):
        stages.append(name)
        with measured(self, name, *sizes, **more):
            yield
        stages.pop()

    def probe(prices):
        seen.append(list(stages))
        return prices

    monkeypatch.setattr(BatchPerformanceMonitor, "stage", stage)
    features = SharedFeatureExtractor(windows=(5, 21), functions={"probe": probe})
    make_system(features=features, forecaster=BatchLinearForecaster(strategy)).fit(
        prices
    )
    # The first call finds out what kind of function it is.
    assert seen[0] == ["prepare"]
    assert len(seen) > 1
    assert all(open[-1] == "features" for open in seen[1:])


def test_a_table_of_quarantined_tickers_does_not_stop_the_rest(make_system, prices):
    dirty = prices.assign(Z=7.0)
    system = make_system(groups={"Z": "odd"}, max_batch_size=4)
    with pytest.warns(BatchWarning, match="1 of 9 tickers"):
        assert len(system.fit(dirty).fitted_.batches) == 2


def test_a_text_is_no_list_of_tickers(make_system, prices):
    with pytest.raises(ValueError, match=r"Pass \['A'\]"):
        make_system().forecast_batch_returns("A", prices)
