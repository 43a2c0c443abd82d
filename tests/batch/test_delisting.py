"""Final returns of tickers whose prices end: in systems, walks, scorers, settings."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    SharedFeatureExtractor,
    forward_returns,
    walk_forward,
)
from skbatch.config import BatchForecastingConfig
from skbatch.datasets import make_panel
from skbatch.exceptions import BatchWarning, ConfigError, PanelWarning, SkbatchWarning
from skbatch.metrics import make_forecast_scorer

H = 3
FEATURES = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])
MODEL = BatchLinearForecaster()


@pytest.fixture(scope="module")
def panel():
    """Twelve tickers, of which one ends early and one nine rows before the end."""
    prices = make_panel(260, 12, random_state=0)
    prices.iloc[180:, 0] = np.nan
    prices.iloc[251:, 1] = np.nan
    return prices


def system(final, **changes):
    return BatchForecastingSystem(
        H, features=FEATURES, forecaster=MODEL, delisting_return=final, **changes
    )


@pytest.mark.parametrize("delay", [0, 1])
def test_a_system_learns_from_tickers_that_ended_but_does_not_forecast_them(
    panel, delay
):
    final = pd.Series({"T000": -0.4})
    with pytest.warns(BatchWarning, match="T000, T001"):
        fitted = system(final, delay=delay).fit(panel)
    pipeline = make_pipeline(FEATURES, MODEL)
    labels = forward_returns(panel, H, delay, delisting_return=final)
    assert labels["T000"].iloc[:180].isna().sum() == delay
    expected = pipeline.fit(panel, labels).predict(panel.iloc[[-1]]).iloc[0]
    result = fitted.forecast()
    gone = ["T000", "T001"]
    assert result.expected_returns[gone].isna().all()
    assert result.provenance.loc[gone, "reason"].str.contains("stale").all()
    assert (fitted.provenance_.loc[gone, "model"] == "none").all()
    pd.testing.assert_series_equal(
        result.expected_returns.drop(gone), expected.drop(gone), check_names=False
    )
    with pytest.warns(BatchWarning):
        other = system(None, delay=delay).fit(panel)
    assert not np.allclose(other.predict(panel)["T005"], fitted.predict(panel)["T005"])


def test_a_system_scores_with_final_returns(panel):
    fitted = system(-0.4).fit(panel.iloc[:150])
    rows = panel.iloc[150:]
    labels = forward_returns(rows, H, delisting_return=-0.4)
    assert fitted.score(rows) == fitted.score(rows, labels)
    assert fitted.score(rows) != fitted.score(rows, forward_returns(rows, H))
    scorer = make_forecast_scorer("r2")
    assert scorer(fitted, rows) == scorer(fitted, rows, labels)


@pytest.mark.parametrize("stop", [181, 184, 189, 190, 191, 200])
def test_a_forecaster_learns_no_final_return_before_it_is_known(panel, stop):
    features = FEATURES.fit_transform(panel)
    labels = forward_returns(panel, H, delisting_return=-0.9)
    known = forward_returns(panel.iloc[:stop], H, delisting_return=-0.9)
    seen, own = (
        clone(MODEL).fit(features.iloc[:stop], y.iloc[:stop]).predict(features)
        for y in (labels, known)
    )
    pd.testing.assert_frame_equal(seen, own)
    assert (known["T000"].iloc[:180].notna().sum() == 180) == (stop >= 190)


def test_a_scorer_leaves_out_what_its_last_row_did_not_know(panel):
    model = make_pipeline(FEATURES, MODEL)
    plain = forward_returns(panel, H)
    labels = forward_returns(panel, H, delisting_return=-0.9)
    folds = [(np.arange(160), np.arange(160, stop)) for stop in (189, 195)]
    scorer = make_forecast_scorer("r2")
    late, early = (
        cross_val_score(model, panel, y, cv=folds, scoring=scorer)
        for y in (labels, plain)
    )
    assert late[0] == early[0]
    assert late[1] != early[1]


@pytest.mark.parametrize("final", [-0.4, pd.Series({"T000": -0.4})])
def test_a_walk_learns_and_scores_final_returns_once_they_are_known(panel, final):
    model = make_pipeline(FEATURES, MODEL)
    options = {"horizon": H, "min_train": 185, "refit_every": 8, "benchmarks": {}}
    panel = panel.iloc[:209, :6]
    walk = walk_forward(model, panel, **options, delisting_return=final)
    features = FEATURES.fit_transform(panel)
    for start in (185, 193, 201):
        labels = forward_returns(panel.iloc[:start], H, delisting_return=final)
        fitted = clone(MODEL).fit(features.iloc[:start], labels)
        expected = fitted.predict(features.iloc[start : start + 8])
        pd.testing.assert_frame_equal(walk.forecasts.iloc[start - 185 :][:8], expected)
    with pytest.warns(SkbatchWarning, match="T000"):
        own = walk_forward(system(final), panel, **options)
    assert own.delisting_return is final or own.delisting_return.equals(final)
    with pytest.raises(ValueError, match="must be that of the estimator"):
        walk_forward(system(final), panel, **options, delisting_return=-0.1)


def test_scores_and_backtests_of_a_walk_end_with_the_final_return(panel):
    model = make_pipeline(FEATURES, MODEL)
    options = {"horizon": H, "min_train": 150, "refit_every": 200, "benchmarks": {}}
    walk = walk_forward(model, panel, **options, delisting_return=-0.4)
    labels = forward_returns(panel, H, delisting_return=-0.4)
    pd.testing.assert_frame_equal(
        walk.returns, labels.iloc[150:], check_names=False, check_freq=False
    )
    assert walk.returns["T000"].iloc[27:30].between(-0.7, -0.2).all()
    rule = {"weights": lambda *_: np.eye(12)[0], "costs": 0, "rebalance_every": 500}
    wealth = walk.backtest(**rule).wealth["net"]
    ratio = 0.6 * panel["T000"].iloc[179] / panel["T000"].iloc[151]
    assert wealth.iloc[-1] == pytest.approx(ratio)
    plain = walk_forward(model, panel, **options)
    assert plain.returns["T000"].iloc[27:].isna().all()
    with pytest.warns(PanelWarning, match="count as sold at the last price: T000"):
        assert plain.backtest(**rule).wealth["net"].iloc[-1] == pytest.approx(
            ratio / 0.6
        )


def test_configurations_hold_a_final_return():
    config = BatchForecastingConfig(delisting_return=-0.3)
    assert config.to_toml() == "delisting_return = -0.3\n"
    made = config.to_system()
    assert made.delisting_return == -0.3
    assert BatchForecastingConfig.from_system(made) == config
    with pytest.raises(ConfigError, match="`delisting_return` must be"):
        BatchForecastingConfig(delisting_return=-30)
    with pytest.raises(ConfigError, match="`delisting_return`"):
        BatchForecastingConfig.from_system(system(pd.Series({"A": -0.3})))


def test_a_search_over_systems_may_split_by_time(panel):
    # Each fold's labels are made of its own rows.
    with pytest.warns(BatchWarning):
        found = cross_val_score(system(-0.4), panel, cv=TimeSeriesSplit(3))
    assert np.isfinite(found).all()
