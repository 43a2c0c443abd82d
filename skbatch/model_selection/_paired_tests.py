"""Whether forecasts are better than a benchmark's by more than chance."""

from __future__ import annotations

import pandas as pd

from skbatch.metrics import (
    mean_inference,
    quantile_returns,
    rank_information_coefficient_series,
)

__all__ = ["mean_differences", "paired_differences"]


def paired_differences(
    returns: pd.DataFrame,
    forecasts: pd.DataFrame,
    benchmark: pd.DataFrame,
    n_quantiles: int,
    *,
    has_order: bool,
    has_size: bool,
) -> pd.DataFrame:
    """Subtract the benchmark's scores date by date; positive where forecasts win."""
    # What one of them does not forecast must not decide between them.
    both = forecasts.notna() & benchmark.notna()
    pair = forecasts.where(both), benchmark.where(both)
    ic, rival_ic = (rank_information_coefficient_series(returns, t) for t in pair)
    spread, rival_spread = (_spread(returns, table, n_quantiles) for table in pair)
    own_error, rival_error = ((returns - table) ** 2 for table in pair)
    saved = (rival_error - own_error).mean(axis=1)
    return pd.DataFrame(
        {
            # Without an order, the benchmark earns what chance does: nothing.
            "rank_ic": ic - rival_ic if has_order else ic,
            "squared_error": saved if has_size else float("nan"),
            "spread": spread - rival_spread if has_order else spread,
        },
        returns.index,
    )


def mean_differences(differences: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Test the mean of each column."""
    rows = {}
    for score, series in differences.items():
        result = mean_inference(series, horizon=horizon)
        lower, upper = result.confidence_interval
        rows[score] = {
            "difference": result.mean,
            "t_statistic": result.t_statistic,
            "critical_t": result.critical_value,
            "lower": lower,
            "upper": upper,
            "p_value": result.p_value,
            "n_dates": result.n_dates,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _spread(
    returns: pd.DataFrame, forecasts: pd.DataFrame, n_quantiles: int
) -> pd.Series:
    """Return of the highest quantile less that of the lowest, date by date."""
    bins = quantile_returns(returns, forecasts, n_quantiles)
    return bins[n_quantiles] - bins[1]
