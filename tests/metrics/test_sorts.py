"""What sorted portfolios earn and trade, against skfolio and by hand."""

import numpy as np
import pandas as pd
import pytest
from skfolio.alpha import alpha_forecast_evaluation
from skfolio.containers import AssetPanel
from sklearn.base import BaseEstimator

from skbatch.exceptions import PanelError
from skbatch.metrics import (
    information_coefficient_series,
    quantile_returns,
    rank_information_coefficient_series,
    rank_portfolio_returns,
    rank_turnover,
)

SCORES = {
    "spearman_ic": rank_information_coefficient_series,
    "pearson_ic": information_coefficient_series,
    "rank_weighted_portfolio_return": rank_portfolio_returns,
}


class GivenForecasts(BaseEstimator):
    """An alpha model of skfolio that forecasts what it is told."""

    def fit_transform(self, X, y=None):
        return X["forecast"]


@pytest.fixture(scope="module")
def tables():
    random = np.random.default_rng(0)
    y = pd.DataFrame(random.normal(0, 0.02, (60, 12))).add_prefix("T")
    forecasts = pd.DataFrame(0.1 * y + random.normal(0, 0.01, y.shape))
    forecasts = forecasts.mask(random.uniform(size=y.shape) < 0.1)
    return y, forecasts


@pytest.fixture(scope="module")
def evaluation(tables):
    """skfolio's view: its target at t + 1 is our label at t."""
    y, forecasts = tables
    later = np.vstack([np.zeros((1, y.shape[1])), y.to_numpy()[:-1]])
    fields = {"forecast": forecasts.to_numpy(), "target": later}
    panel = AssetPanel(fields, y.index.to_numpy(), y.columns.to_numpy())
    return alpha_forecast_evaluation(
        GivenForecasts(),
        panel,
        target="target",
        factor_exposures=None,
        factor_correlation_method=None,
        quantiles=(0.2, 0.5),
    )


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_skfolio(name, tables, evaluation):
    ours = SCORES[name](*tables).to_numpy()[:-1]
    np.testing.assert_allclose(ours, getattr(evaluation, name), atol=1e-12)


@pytest.mark.parametrize(("column", "n_quantiles"), [(0, 5), (1, 2)])
def test_spread_is_that_of_skfolio(column, n_quantiles, tables, evaluation):
    bins = quantile_returns(*tables, n_quantiles)
    spread = (bins[n_quantiles] - bins[1]).to_numpy()[:-1]
    np.testing.assert_allclose(spread, evaluation.quantile_spread[:, column], rtol=1e-9)


def test_turnover_is_that_of_skfolio(tables, evaluation):
    ours = rank_turnover(tables[1]).to_numpy()[:-1]
    np.testing.assert_allclose(ours, evaluation.rank_weighted_turnover, rtol=1e-9)


def test_turnover_over_a_horizon_compares_dates_that_far_apart():
    forecasts = np.array([[1, 2, 3], [3, 2, 1], [1, 2, 3], [3, 2, 1.0]])
    np.testing.assert_allclose(rank_turnover(forecasts, 2), [np.nan, np.nan, 0, 0])
    np.testing.assert_allclose(rank_turnover(forecasts, 1), [np.nan, 4, 4, 4])
    assert np.isnan(rank_turnover(forecasts, 9)).all()


def test_a_ticker_that_loses_its_forecast_is_sold():
    # Weights −1, 0, 0, 1 times 3/4 and 1/4: ranks 1..4 less 2.5, over 4, times 2.
    forecasts = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, np.nan]])
    # Before: −.75, −.25, .25, .75. After: −1, 0, 1, 0.
    np.testing.assert_allclose(rank_turnover(forecasts)[1], 0.25 + 0.25 + 0.75 + 0.75)


def test_several_horizons_are_scored_side_by_side(tables):
    y, forecasts = tables
    both = [pd.concat({1: t, 5: -t}, axis=1) for t in (y, forecasts)]
    bins = quantile_returns(*both, 3)
    assert list(bins.columns) == [(h, q) for h in (1, 5) for q in (1, 2, 3)]
    pd.testing.assert_frame_equal(bins[1], quantile_returns(y, forecasts, 3))
    for score in (rank_portfolio_returns(*both), rank_turnover(both[1], 2)):
        assert list(score.columns) == [1, 5]


def test_tables_are_aligned_by_their_labels(tables):
    y, forecasts = tables
    shuffled = forecasts.iloc[:, ::-1]
    pd.testing.assert_frame_equal(
        quantile_returns(y, shuffled), quantile_returns(y, forecasts)
    )


@pytest.mark.parametrize("n_quantiles", [1, 2.0, True, "5"])
def test_bins_must_be_two_at_least(n_quantiles):
    with pytest.raises(ValueError, match="`n_quantiles` must be an int of at least 2"):
        quantile_returns([[1.0, 2.0]], [[1.0, 2.0]], n_quantiles)


@pytest.mark.parametrize("step", [0, 1.5, True])
def test_steps_must_be_rows(step):
    with pytest.raises(ValueError, match="`step` must be an int of at least 1"):
        rank_turnover([[1.0, 2.0, 3.0]], step)


def test_tables_of_other_tickers_are_refused(tables):
    y, forecasts = tables
    with pytest.raises(PanelError, match="must have the columns of `y_true`"):
        quantile_returns(y, forecasts.add_prefix("other"))
