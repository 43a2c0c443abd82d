"""Names of features that do not tell which ticker they are of."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skbatch import (
    BatchLinearForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.metrics import make_forecast_scorer


@pytest.fixture(scope="module")
def prices():
    return make_panel(300, 4, random_state=0)


@pytest.fixture
def extractor():
    return SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])


@pytest.fixture
def y(prices):
    return forward_returns(prices, 5)


STEPS = {
    "scaler": MaxAbsScaler(),
    "imputer": SimpleImputer(),
    "selector": VarianceThreshold(),
    "union": FeatureUnion([("all", "passthrough")]),
    "columns": ColumnTransformer([("all", "passthrough", slice(None))]),
    "reduction": make_pipeline(SimpleImputer(), PCA(5)),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_that_returns_an_array_is_refused(
    prices, extractor, y, forecaster, step
):
    model = make_pipeline(extractor, clone(step), forecaster)
    with pytest.raises(PanelError, match=r'set_output\(transform="pandas"\)'):
        model.fit(prices, y)


@pytest.mark.parametrize("name", ["imputer", "selector"])
def test_a_step_that_keeps_names_changes_nothing_it_does_not_change(
    prices, extractor, y, name
):
    # From a date on at which every feature is there.
    X, y = extractor.fit_transform(prices).iloc[30:], y.iloc[30:]
    step = clone(STEPS[name]).set_output(transform="pandas")
    model = make_pipeline(step, BatchLinearForecaster()).fit(X, y)
    expected = BatchLinearForecaster().fit(X, y).predict(X)
    pd.testing.assert_frame_equal(model.predict(X), expected)


def test_a_label_with_a_name_is_one_of_a_ticker(prices, extractor, y):
    X = extractor.fit_transform(prices).to_numpy()
    with pytest.raises(PanelError, match="set_output"):
        BatchLinearForecaster().fit(X, y.iloc[:, 0])
    named = pd.Series(y.iloc[:, 0].to_numpy(), name="target")
    BatchLinearForecaster(horizon=5).fit(X, named)


def test_labels_without_names_go_with_features_without_names(prices, extractor, y):
    X = extractor.fit_transform(prices).to_numpy()
    model = BatchLinearForecaster(horizon=5)
    forecasts = model.fit(X, y.to_numpy()).predict(X)
    numbered = y.set_axis(range(y.shape[1]), axis=1)
    # The order of arrays in memory depends on the release of pandas, and on that order
    # the last bit of a sum.
    np.testing.assert_allclose(
        clone(model).fit(X, numbered).predict(X), forecasts, rtol=1e-12, atol=1e-15
    )


def test_a_search_that_swaps_a_step_says_which_candidate_lost_its_names(
    prices, extractor, y
):
    model = Pipeline(
        [
            ("features", extractor),
            ("step", "passthrough"),
            ("model", BatchLinearForecaster()),
        ]
    )
    search = GridSearchCV(
        model,
        {"step": ["passthrough", VarianceThreshold()]},
        scoring=make_forecast_scorer(),
        cv=TimeSeriesSplit(2),
    )
    with (
        pytest.warns(UserWarning, match="non-finite"),
        pytest.warns(FitFailedWarning, match="set_output"),
    ):
        search.fit(prices, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).tolist() == [True, False]


@pytest.mark.parametrize(
    "step",
    [
        FeatureUnion([("all", "passthrough")]),
        ColumnTransformer([("all", "passthrough", slice(None))]),
        make_pipeline(FeatureUnion([("all", FeatureUnion([("b", "passthrough")]))])),
    ],
)
def test_prefixes_are_named_with_their_remedy(prices, extractor, y, step):
    model = make_pipeline(extractor, clone(step), BatchLinearForecaster())
    model.set_output(transform="pandas")
    with pytest.raises(PanelError, match="verbose_feature_names_out=False"):
        model.fit(prices, y)


def test_the_remedy_for_prefixes_works(prices, extractor, y):
    union = FeatureUnion([("all", "passthrough")], verbose_feature_names_out=False)
    model = make_pipeline(extractor, union, BatchLinearForecaster())
    model.set_output(transform="pandas").fit(prices, y)
    expected = make_pipeline(extractor, BatchLinearForecaster()).fit(prices, y)
    pd.testing.assert_frame_equal(model.predict(prices), expected.predict(prices))


@pytest.mark.parametrize(
    "rename", ["num__{}".format, "{}__num".format], ids=["before", "behind"]
)
@pytest.mark.parametrize("part", ["market", "ticker"])
def test_a_part_of_the_names_with_one_more_part_is_refused(prices, y, rename, part):
    X = SharedFeatureExtractor(["returns", "market"], [5]).fit_transform(prices)
    is_market = X.columns.str.startswith("market__")
    chosen = X.columns[is_market if part == "market" else ~is_market][:1]
    X = X.rename(columns={name: rename(name) for name in chosen})
    with pytest.raises(PanelError, match="one more part"):
        BatchLinearForecaster().fit(X, y)


def test_tickers_may_hold_the_separator(prices, extractor, y):
    tickers = ["BRK__B", "B", "C__D__E", "F"]
    prices = prices.set_axis(tickers, axis=1)
    X, y = extractor.fit_transform(prices), y.set_axis(tickers, axis=1)
    assert list(BatchLinearForecaster().fit(X, y).predict(X)) == tickers


def test_prices_in_place_of_features_are_refused(prices, y, forecaster):
    for part in (prices, prices.iloc[:, :1], prices.assign(market__vix=1.0)):
        with pytest.raises(PanelError, match="as tables of prices have"):
            clone(forecaster).fit(part, y)
    with pytest.raises(PanelError, match="as tables of prices have"):
        forecaster.fit(prices, y.iloc[:, 0])


def test_a_panel_with_fields_in_place_of_features_is_refused(prices, y):
    fields = pd.concat({"Close": prices, "Volume": prices}, axis=1)
    with pytest.raises(PanelError, match="without such names"):
        BatchLinearForecaster().fit(fields, y)


def test_features_that_name_no_ticker_are_shared_with_a_warning(prices, extractor, y):
    X = extractor.fit_transform(prices).iloc[30:]
    reduced = PCA(2).set_output(transform="pandas").fit_transform(X)
    with pytest.warns(PanelWarning, match="all tickers share.*PCA"):
        BatchLinearForecaster().fit(reduced, y.iloc[30:])


def test_scaled_volatilities_are_refused(prices, extractor, y):
    model = make_pipeline(extractor, StandardScaler(), BatchLinearForecaster())
    with pytest.raises(PanelError, match="standardized"):
        model.set_output(transform="pandas").fit(prices, y)
