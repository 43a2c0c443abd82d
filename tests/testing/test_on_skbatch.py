"""The estimators of skbatch pass the checks; leaks planted in them are caught."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor

from skbatch import (
    BatchLinearForecaster,
    BatchRegressorForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
)
from skbatch.datasets import make_panel
from skbatch.metrics import make_forecast_scorer
from skbatch.testing import LookAheadError, check_batch_forecaster, check_no_lookahead

WINDOWS = (5, 21)


@pytest.fixture(scope="module")
def prices():
    return make_panel(160, 5, late_listings=1, random_state=0)


@pytest.fixture(scope="module")
def fields(prices):
    """Open, high, low, close and volume around the closes, with gaps."""
    rng = np.random.default_rng(0)
    open_ = prices.shift(1) * np.exp(rng.normal(0, 0.005, size=prices.shape))
    spread = np.exp(np.abs(rng.normal(0, 0.01, size=prices.shape)))
    panel = pd.concat(
        {
            "Open": open_,
            "High": np.maximum(open_, prices) * spread,
            "Low": np.minimum(open_, prices) / spread,
            "Close": prices,
            "Volume": prices * 0 + rng.lognormal(12, 1, size=prices.shape),
        },
        axis=1,
    )
    return panel.mask(rng.random(panel.shape) < 0.02)


class Forgetting:
    """Drops the labels that end later as if they had no delay."""

    def fit(self, X, y):
        if isinstance(y, pd.DataFrame) and y.columns.nlevels == 1:
            y = y.copy()
            y.attrs = {"horizon": int(y.attrs["horizon"])}
        return super().fit(X, y)


class ForgettingMean(Forgetting, HistoricalMeanForecaster):
    pass


def few_features(**kwargs):
    """Enough for forecasters; the others are checked by themselves."""
    families = ["returns", "volatility", "market"]
    return SharedFeatureExtractor(families, windows=WINDOWS, **kwargs)


def small_trees(**kwargs):
    return BatchXGBoostForecaster(
        n_estimators=8,
        max_depth=3,
        n_jobs=1,
        **kwargs,
    )


FORECASTERS = {
    "mean": HistoricalMeanForecaster(),
    "linear": BatchLinearForecaster(),
    "linear per ticker": BatchLinearForecaster(strategy="per_ticker"),
    "linear vector": BatchLinearForecaster(strategy="vector"),
    "trees": small_trees(),
    "trees stopped early": small_trees(early_stopping_rounds=3),
    "trees per ticker": small_trees(strategy="per_ticker"),
    "trees vector": small_trees(strategy="vector"),
    "regressor": BatchRegressorForecaster(
        DecisionTreeRegressor(max_depth=3, random_state=0)
    ),
    "fallback": FallbackForecaster(small_trees(), BatchLinearForecaster()),
    "conformal": ConformalForecaster(small_trees()),
}


# Others differ in what they train, not in when; they are checked among the slow tests.
FAST = ("mean", "linear", "trees", "fallback", "conformal")
NAMES = [
    pytest.param(name, marks=[] if name in FAST else pytest.mark.slow)
    for name in FORECASTERS
]


class TestExtractor:
    def test_closes(self, prices):
        check_no_lookahead(SharedFeatureExtractor(), prices, n_cuts=2)

    def test_fields_groups_and_market_data(self, fields):
        rng = np.random.default_rng(1)
        dates = fields.index[::3]
        vix = pd.DataFrame({"vix": rng.lognormal(3, 0.2, size=len(dates))}, dates)
        tickers = fields["Close"].columns
        extractor = SharedFeatureExtractor(
            windows=WINDOWS,
            market_data=vix,
            groups={ticker: "ab"[i % 2] for i, ticker in enumerate(tickers)},
        )
        check_no_lookahead(extractor, fields, n_cuts=2)

    def test_without_cache(self, prices):
        extractor = SharedFeatureExtractor(windows=WINDOWS, cache_size=0)
        check_no_lookahead(extractor, prices, n_cuts=1)

    @pytest.mark.parametrize(
        "function",
        [
            lambda panel: panel.shift(-1) / panel,
            lambda panel: panel / panel.rolling(5, center=True).mean(),
            lambda panel: panel / panel.mean(),
            lambda panel: panel.pct_change(fill_method=None).bfill(),
        ],
        ids=["shifted", "centered", "standardized", "back-filled"],
    )
    def test_leaking_function_is_caught(self, function, prices):
        extractor = SharedFeatureExtractor(
            windows=WINDOWS, functions={"mine": function}
        )
        with pytest.raises(LookAheadError, match=r"\(T00.__mine"):
            check_no_lookahead(extractor, prices)


class TestPipeline:
    @pytest.mark.parametrize("name", NAMES)
    def test_passes(self, name, prices):
        model = make_pipeline(few_features(), FORECASTERS[name])
        # A purge of either alone, or of the longer one, would be too short.
        check_no_lookahead(model, prices, horizon=2, delay=3, n_cuts=1)

    @pytest.mark.parametrize("name", ["mean", "linear", "trees"])
    def test_passes_with_labels_of_the_next_row(self, name, prices):
        model = make_pipeline(few_features(), FORECASTERS[name])
        check_no_lookahead(model, prices, horizon=1, n_cuts=1)

    def test_delays_of_several_horizons_pass(self, prices):
        model = make_pipeline(few_features(), FORECASTERS["linear"])
        check_no_lookahead(model, prices, horizon=(1, 5), delay=2, n_cuts=1)

    @pytest.mark.parametrize("name", ["mean", "linear", "trees", "trees vector"])
    def test_several_horizons_pass(self, name, prices):
        model = make_pipeline(few_features(), FORECASTERS[name])
        check_no_lookahead(model, prices, horizon=(1, 5), n_cuts=1)

    @pytest.mark.parametrize("name", ["mean", "linear", "trees"])
    def test_too_short_a_horizon_is_caught(self, name, prices):
        """A forecaster that takes labels of 5 rows for labels of 1 trains on 4."""

        class Forgetful(type(FORECASTERS[name])):
            def fit(self, X, y):
                y = y.copy()
                y.attrs = {"horizon": 1}
                return super().fit(X, y)

        params = FORECASTERS[name].get_params(deep=False)
        model = make_pipeline(few_features(), Forgetful(**params))
        with pytest.raises(LookAheadError, match="labels of the last `horizon` rows"):
            check_no_lookahead(model, prices, horizon=5)

    @pytest.mark.parametrize("name", ["mean", "linear", "trees"])
    def test_a_purge_of_the_horizon_alone_is_caught(self, name, prices):
        """A forecaster that forgets the delay trains on labels that end too late."""

        class Hasty(Forgetting, type(FORECASTERS[name])):
            pass

        hasty = Hasty(**FORECASTERS[name].get_params(deep=False))
        model = make_pipeline(few_features(), hasty)
        check_no_lookahead(model, prices, horizon=5, n_cuts=1)
        with pytest.raises(LookAheadError, match="of as many more as their `delay`"):
            check_no_lookahead(model, prices, horizon=5, delay=1)

    def test_step_before_the_extractor_is_caught(self, prices):
        centered = FunctionTransformer(lambda X: X.rolling(3, center=True).mean())
        model = make_pipeline(centered, few_features(), BatchLinearForecaster())
        with pytest.raises(LookAheadError, match="Forecasts must not depend on prices"):
            check_no_lookahead(model, prices)


class TestSearch:
    GRID = {"batchlinearforecaster__alpha": [1.0, 1000.0]}  # noqa: RUF012

    @pytest.mark.parametrize("scoring", [None, make_forecast_scorer()])
    def test_passes(self, scoring, prices):
        model = make_pipeline(few_features(), BatchLinearForecaster())
        search = GridSearchCV(model, self.GRID, cv=TimeSeriesSplit(2), scoring=scoring)
        check_no_lookahead(search, prices, horizon=5, n_cuts=1)
        check_no_lookahead(search, prices, horizon=4, delay=2, n_cuts=1)

    def test_of_a_leaking_pipeline_is_caught(self, prices):
        functions = {"mine": lambda panel: panel.shift(-1) / panel}
        model = make_pipeline(
            few_features(functions=functions),
            BatchLinearForecaster(),
        )
        search = GridSearchCV(model, self.GRID, cv=TimeSeriesSplit(2))
        with pytest.raises(LookAheadError, match="GridSearchCV looks ahead"):
            check_no_lookahead(search, prices, horizon=5, n_cuts=2)


@pytest.mark.parametrize("name", NAMES)
def test_forecasters_keep_their_promises(name):
    check_batch_forecaster(FORECASTERS[name])


def test_a_promise_holds_for_delayed_labels_too():
    with pytest.raises(AssertionError, match=r"last 5 rows were huge and y.attrs\['de"):
        check_batch_forecaster(ForgettingMean())


@pytest.mark.parametrize("horizon", [1, 4])
def test_fixed_horizons_keep_their_promises(horizon):
    check_batch_forecaster(BatchLinearForecaster(horizon=horizon))
    check_batch_forecaster(FallbackForecaster(BatchLinearForecaster(horizon=horizon)))
