"""Whoever is no member changes no bit of what members are forecast."""

import joblib
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    walk_forward,
)
from skbatch.datasets import make_panel
from skbatch.forecasting import BatchRegressorForecaster, ReturnTarget
from skbatch.panel import join_signals
from skbatch.testing import check_no_lookahead

OUTSIDERS, REASON = 3, "not a member of the universe"
FAMILIES = ["returns", "volatility", "relative", "rank", "market"]


@pytest.fixture(scope="module")
def prices():
    return make_panel(260, 10, random_state=0)


@pytest.fixture(scope="module")
def members(prices):
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.random((13, 10)) < 0.6, prices.index[::20], prices.columns)
    table.iloc[:, :OUTSIDERS], table.iloc[:, -3:] = False, True
    return table


def extractor(universe):
    return SharedFeatureExtractor(FAMILIES, [5, 21, 63], universe=universe)


def trees(**options):
    return BatchXGBoostForecaster(n_estimators=12, max_depth=3, **options)


FORECASTERS = {
    "trees": trees(),
    "ranked labels": trees(target=ReturnTarget(label="rank")),
    "plain labels": trees(target=ReturnTarget(scale=None, relative=False)),
    "per ticker": trees(strategy="per_ticker"),
    "linear": BatchLinearForecaster(),
    "any regressor": BatchRegressorForecaster(
        HistGradientBoostingRegressor(max_iter=8, early_stopping=False)
    ),
    "mean": HistoricalMeanForecaster(),
    "fallback": FallbackForecaster(trees(), BatchLinearForecaster()),
    "conformal": ConformalForecaster(BatchLinearForecaster()),
}


@pytest.mark.parametrize("forecaster", FORECASTERS.values(), ids=FORECASTERS)
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.BatchWarning")
def test_pipelines_do_not_see_outsiders(forecaster, prices, members):
    tables = []
    for panel in (prices, prices.iloc[:, OUTSIDERS:]):
        # Labels of all: it is the features that say who belongs.
        labels = forward_returns(panel, 5)
        model = make_pipeline(extractor(members), forecaster).fit(panel, labels)
        tables.append(model.predict(panel))
        features = model[0].transform(panel)
        _, provenance = model[1].predict_with_provenance(features)
    whole, part = tables
    assert_frame_equal(whole.iloc[:, OUTSIDERS:], part)
    assert whole.iloc[:, :OUTSIDERS].isna().all(axis=None)
    inside = members.reindex(panel.index, method="ffill")[panel.columns]
    assert part.iloc[70:].notna().equals(inside.iloc[70:])
    assert (provenance.reason.iloc[70:] == REASON).equals(~inside.iloc[70:])


def test_labels_of_members_train_the_same_model(prices, members):
    features = extractor(members).fit_transform(prices)
    forecasts = [
        trees().fit(features, labels).predict(features)
        for labels in (
            forward_returns(prices, 5),
            forward_returns(prices, 5, universe=members),
        )
    ]
    assert_frame_equal(*forecasts)


@pytest.mark.parametrize("batches", [None, 4])
def test_the_system_does_not_see_outsiders(prices, members, batches):
    results = []
    for panel in (prices, prices.iloc[:, OUTSIDERS:]):
        options = {} if batches is None else {"groups": dict.fromkeys(panel, "all")}
        system = BatchForecastingSystem(
            5, features=extractor(members), forecaster=trees(), **options
        )
        system.fit(panel.iloc[:-5])
        results.append((system.forecast(), system.forecast(panel.iloc[-5:])))
    for whole, part in zip(*results, strict=True):
        own = whole.expected_returns.iloc[OUTSIDERS:]
        assert_series_equal(own, part.expected_returns)
        assert (whole.provenance["reason"].iloc[:OUTSIDERS] == REASON).all()
        assert part.expected_returns.iloc[-3:].notna().all()


def test_the_system_and_the_pipeline_agree(prices, members):
    system = BatchForecastingSystem(
        5, features=extractor(members), forecaster=trees()
    ).fit(prices)
    labels = forward_returns(prices, 5)
    pipeline = make_pipeline(extractor(members), trees()).fit(prices, labels)
    assert_frame_equal(
        system.predict(prices.iloc[-20:]), pipeline.predict(prices.iloc[-20:])
    )


def test_walk_forward_does_not_see_outsiders(prices, members):
    results = [
        walk_forward(
            make_pipeline(extractor(members), BatchLinearForecaster()),
            panel,
            horizon=5,
            min_train=150,
            refit_every=50,
        )
        for panel in (prices, prices.iloc[:, OUTSIDERS:])
    ]
    whole, part = results
    assert_frame_equal(whole.forecasts[part.forecasts.columns], part.forecasts)
    assert_frame_equal(whole.returns[part.returns.columns], part.returns)
    # With few tickers some ICs are 0, but for last bits, of which some are positive.
    cards = [
        card.drop(columns="rank_ic_positive")
        for card in (whole.scorecard, part.scorecard)
    ]
    assert_frame_equal(*cards)
    # Of members every return is scored, and of others none.
    inside = members.reindex(prices.index, method="ffill").loc[whole.returns.index]
    scored = whole.returns.iloc[:-5].notna()
    assert scored.equals(inside.iloc[:-5].set_axis(scored.columns, axis=1))
    assert "had no forecast" not in whole.summary()


def test_a_field_says_who_belongs_and_survives_persistence(prices, members, tmp_path):
    table = members.reindex(prices.index, method="ffill")
    panel = join_signals(prices, {"member": table})
    systems = [
        BatchForecastingSystem(5, features=extractor(universe), forecaster=trees())
        for universe in ("member", members)
    ]
    by_field, by_table = (
        system.fit(X.iloc[:-1])
        for system, X in zip(systems, (panel, prices), strict=True)
    )
    joblib.dump(by_field, tmp_path / "system.joblib")
    by_field = joblib.load(tmp_path / "system.joblib")
    found = by_field.forecast(panel.iloc[[-1]]).expected_returns
    assert_series_equal(found, by_table.forecast(prices.iloc[[-1]]).expected_returns)


def peek(panel):
    """Choose the tickers that will rise."""
    return panel.shift(-1) > panel


def test_the_look_ahead_check_reads_universes(prices):
    panel = join_signals(prices.iloc[:120, :5], {"member": prices.iloc[:120, :5] > 90})
    features = SharedFeatureExtractor(["returns", "market"], [5], universe="member")
    model = make_pipeline(features, BatchLinearForecaster())
    check_no_lookahead(model, panel, n_cuts=1)
    model.set_params(sharedfeatureextractor__universe=peek)
    with pytest.raises(AssertionError, match="looks ahead"):
        check_no_lookahead(model, prices.iloc[:120, :5], n_cuts=1)
