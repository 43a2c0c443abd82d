"""Whether forecasts are better than a benchmark's by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from skbatch.metrics import (
    holm_adjusted,
    mean_inference,
    quantile_returns,
    rank_information_coefficient_series,
)

if TYPE_CHECKING:
    from skbatch.model_selection._walk_forward_result import WalkForwardResult

ZERO = "zero"
EQUAL_WEIGHT = "equal weight"
# Benchmarks that a walk has without being given them, and that order no tickers.
DERIVED = (EQUAL_WEIGHT, ZERO)


def compare(result: WalkForwardResult, horizon: int, n_resamples: int) -> pd.DataFrame:
    """Test the forecasts of one horizon against each benchmark."""
    scores = PairedScores(
        result.of_horizon(result.returns, horizon),
        result.of_horizon(result.forecasts, horizon),
        result.n_quantiles,
    )
    tables = {
        name: mean_differences(
            scores.less(
                result.of_horizon(table, horizon),
                has_order=name not in DERIVED,
                has_size=name not in result.ranking_rules,
            ),
            horizon,
            n_resamples,
        )
        for name, table in result.named_forecasts()
        if name != result.name
    }
    table = pd.concat(tables, names=["benchmark", "score"])
    # Zero and equal weight order no tickers: where both forecast the same ones, their
    # rank IC and spread are one comparison.
    once = table.reset_index("score").drop_duplicates()["p_value"].dropna()
    adjusted = holm_adjusted(once, max(1, len(once)) * result.n_trials)
    # Equal p-values are adjusted alike.
    return table.assign(
        p_holm=table["p_value"].map(dict(zip(once, adjusted, strict=True)))
    )


class PairedScores:
    """Scores of forecasts date by date, to be compared with benchmarks one by one."""

    def __init__(
        self, returns: pd.DataFrame, forecasts: pd.DataFrame, n_quantiles: int
    ) -> None:
        self.returns = returns
        self.forecasts = forecasts
        self.n_quantiles = n_quantiles
        self.known = forecasts.notna()
        self.scores = self._score(forecasts)

    def less(
        self, benchmark: pd.DataFrame, *, has_order: bool, has_size: bool
    ) -> pd.DataFrame:
        """Subtract a benchmark's scores; positive where the forecasts are better."""
        # What one of them does not forecast must not decide between them.
        both = self.known & benchmark.notna()
        own = self.forecasts.where(both)
        differences = self.scores if both.equals(self.known) else self._score(own)
        if has_order:
            differences = differences - self._score(benchmark.where(both))
        # Without an order, the benchmark earns zero on average.
        saved = ((self.returns - benchmark) ** 2 - (self.returns - own) ** 2).mean(
            axis=1
        )
        return differences.assign(squared_error=saved if has_size else float("nan"))

    def _score(self, forecasts: pd.DataFrame) -> pd.DataFrame:
        """Compute the rank IC and the quantile spread of each date."""
        ic = rank_information_coefficient_series(self.returns, forecasts)
        bins = quantile_returns(self.returns, forecasts, self.n_quantiles)
        spread = bins[self.n_quantiles] - bins[1]
        return pd.DataFrame({"rank_ic": ic, "squared_error": 0.0, "spread": spread})


def mean_differences(
    differences: pd.DataFrame, horizon: int, n_resamples: int
) -> pd.DataFrame:
    """Test the mean of each column."""
    rows = {}
    for score, series in differences.items():
        result = mean_inference(series, horizon=horizon, n_resamples=n_resamples)
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
