"""The scores of one set of forecasts over one horizon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from skbatch._kernels.scores import finite_mean
from skbatch.metrics import (
    MeanInference,
    coverage,
    directional_accuracy,
    information_coefficient_series,
    mean_inference,
    out_of_sample_r2,
    quantile_returns,
    rank_information_coefficient_series,
    rank_portfolio_returns,
    rank_turnover,
)
from skbatch.metrics.alignment import Table

# Name → what it is, for tables that are read by people.
SCORES = {
    "rank_ic": "mean over dates of the rank correlation of forecasts and returns "
    "across tickers",
    "rank_ic_ir": "its information ratio: mean over standard deviation, per date",
    "rank_ic_t": "its Newey–West t-statistic, for returns that overlap",
    "rank_ic_positive": "share of dates with a positive rank IC",
    "ic": "mean over dates of the correlation across tickers",
    "ic_ir": "its information ratio",
    "ic_t": "its Newey–West t-statistic",
    "hit_rate": "share of forecasts with the sign of the return",
    "r2_zero": "out-of-sample R² against forecasting zero",
    "r2_zero_t": "Newey–West t-statistic of each date's mean squared error saved "
    "against zero (Diebold–Mariano); positive is better than zero",
    "r2_mean": "out-of-sample R² against each ticker's historical mean",
    "mae": "mean absolute error, in returns over the horizon",
    "spread": "mean return of the highest quantile of forecasts less the lowest's, "
    "over the horizon",
    "spread_t": "its Newey–West t-statistic",
    "rank_return": "mean return over the horizon of a portfolio weighted by the ranks "
    "of the forecasts, one unit of capital long and one short",
    "turnover": "turnover of that portfolio each time the horizon has passed, at most "
    "4",
    "break_even_bps": "rank_return over turnover, in basis points of the traded value: "
    "higher transaction costs would have exceeded the profit",
    "coverage": "share of the returns that have a forecast",
    "n_dates": "number of dates with a rank IC",
    "critical_t": "absolute value that a t-statistic exceeds by chance once in twenty "
    "times",
}
# Scores of the size of forecasts, which those that only rank tickers do not have.
SIZE_SCORES = ("hit_rate", "r2_zero", "r2_zero_t", "r2_mean", "mae")


def score_card(
    returns: pd.DataFrame,
    forecasts: pd.DataFrame,
    mean: pd.DataFrame | None,
    horizon: int,
    n_quantiles: int,
    *,
    has_size: bool = True,
) -> dict[str, float]:
    """Score forecasts over one horizon; those that only rank have no errors."""
    rank_ic = _test(rank_information_coefficient_series(returns, forecasts), horizon)
    ic = _test(information_coefficient_series(returns, forecasts), horizon)
    bins = quantile_returns(returns, forecasts, n_quantiles)
    spread = _test(bins[n_quantiles] - bins[1], horizon)
    earned = finite_mean(np.asarray(rank_portfolio_returns(returns, forecasts)))
    traded = finite_mean(np.asarray(rank_turnover(forecasts, horizon)))
    error = (returns - forecasts).abs().to_numpy()
    takes_sides = bool(forecasts.abs().gt(0).to_numpy().any())
    card = {
        "rank_ic": rank_ic.mean,
        "rank_ic_ir": rank_ic.ratio,
        "rank_ic_t": rank_ic.t_statistic,
        "rank_ic_positive": rank_ic.positive_share,
        "ic": ic.mean,
        "ic_ir": ic.ratio,
        "ic_t": ic.t_statistic,
        "hit_rate": (
            directional_accuracy(returns, forecasts) if takes_sides else float("nan")
        ),
        "r2_zero": out_of_sample_r2(returns, forecasts),
        "r2_zero_t": _test(_saved_error(returns, forecasts), horizon).t_statistic,
        "r2_mean": (
            float("nan") if mean is None else out_of_sample_r2(returns, forecasts, mean)
        ),
        "mae": finite_mean(error),
        "spread": spread.mean,
        "spread_t": spread.t_statistic,
        "rank_return": earned,
        "turnover": traded,
        "break_even_bps": 1e4 * earned / traded if traded > 0 else float("nan"),
        "coverage": coverage(returns, forecasts),
        "n_dates": rank_ic.n_dates,
        "critical_t": rank_ic.critical_value,
    }
    return card if has_size else card | dict.fromkeys(SIZE_SCORES, float("nan"))


def decay_table(
    returns_after: Callable[[int, int], pd.DataFrame],
    forecasts: pd.DataFrame,
    horizon: int,
    delay: int,
    n_windows: int,
) -> pd.DataFrame:
    """Test the rank IC of forecasts with the returns of later and later windows."""
    rows = []
    for number in range(n_windows):
        first = delay + number * horizon
        later = returns_after(horizon, first).set_axis(forecasts.columns, axis=1)
        result = _test(rank_information_coefficient_series(later, forecasts), horizon)
        rows.append(
            {
                "first_row": first + 1,
                "last_row": first + horizon,
                "rank_ic": result.mean,
                "rank_ic_t": result.t_statistic,
                "critical_t": result.critical_value,
                "n_dates": result.n_dates,
            }
        )
    return pd.DataFrame(rows, index=pd.RangeIndex(1, n_windows + 1, name="window"))


def delay_scores(
    returns: pd.DataFrame, forecasts: pd.DataFrame, horizon: int, n_quantiles: int
) -> dict[str, float]:
    """Test rank IC and quantile spread of forecasts with returns that start later."""
    bins = quantile_returns(returns, forecasts, n_quantiles)
    rank_ic = _test(rank_information_coefficient_series(returns, forecasts), horizon)
    spread = _test(bins[n_quantiles] - bins[1], horizon)
    return {
        "rank_ic": rank_ic.mean,
        "rank_ic_error": rank_ic.standard_error,
        "rank_ic_t": rank_ic.t_statistic,
        "critical_t": rank_ic.critical_value,
        "spread": spread.mean,
        "spread_error": spread.standard_error,
        "spread_t": spread.t_statistic,
        "n_dates": rank_ic.n_dates,
    }


def _test(series: Table, horizon: int) -> MeanInference:
    return mean_inference(series, horizon=horizon)


def _saved_error(returns: pd.DataFrame, forecasts: pd.DataFrame) -> pd.Series:
    """Mean over tickers of the squared error that forecasts save, date by date."""
    return (returns**2 - (returns - forecasts) ** 2).mean(axis=1)
