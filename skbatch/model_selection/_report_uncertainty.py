"""The part of the report about how sure the forecasts were, and whether rightly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skbatch._html import draw_figure, grid, section, table
from skbatch._messages import date_text
from skbatch.metrics import (
    ForecastFanDisplay,
    IntervalCalibrationDisplay,
    interval_coverage,
    interval_width,
)
from skbatch.model_selection._verdict import percent

if TYPE_CHECKING:
    from skbatch.model_selection._walk_forward_result import WalkForwardResult


def uncertainty_section(result: WalkForwardResult, horizon: int, suffix: str) -> str:
    """Compare the intervals of one horizon with the returns, where there are some."""
    returns = result.of_horizon(result.returns, horizon)
    tables = {
        level: result.of_horizon(quantiles, horizon)
        for level, quantiles in result.quantiles.items()
    }
    known = [returns.notna() & bound.notna() for bound in tables.values()]
    if not any(cells.any(axis=None) for cells in known):
        return ""
    figures = [
        draw_figure(
            lambda ax: IntervalCalibrationDisplay.from_predictions(
                returns, tables, horizon=horizon, ax=ax
            ),
            "Calibration of the quantiles",
            "On the dashed line, as many returns fell below each quantile as should. "
            "Whiskers: 95% intervals over dates.",
        ),
        _fan(result, tables, horizon),
    ]
    return section(
        f"How sure the forecasts were{suffix}",
        grid(figures),
        _coverage_by_year(returns, tables),
    )


def _fan(
    result: WalkForwardResult, tables: dict[float, pd.DataFrame], horizon: int
) -> str:
    """Draw the fan of an average ticker at the last date whose return is known."""
    levels = sorted(tables)
    width = tables[levels[-1]] - tables[levels[0]]
    # The returns that are forecast start at the close of `delay` rows later.
    closes = result.whole_closes.loc[width.index[0] :]
    starts = closes.shift(-result.delay).reindex(width.index)
    ends = result.of_horizon(result.returns, horizon)
    width = width.where(starts.notna() & ends.notna()).dropna(how="all").iloc[-1:]
    order = width.iloc[0].dropna().sort_values().index
    ticker = order[(len(order) - 1) // 2]
    (date,) = width.index
    later = result.whole_closes.index[result.whole_closes.index >= date]
    start = later[result.delay]
    fan = {
        level: bounds.loc[[date]].set_axis([start]) for level, bounds in tables.items()
    }
    # So much of the past that the fan is not lost beside it.
    n_history = min(126, max(21, 6 * horizon))
    made = f", made {result.delay} rows before" if result.delay else ""
    return draw_figure(
        lambda ax: ForecastFanDisplay.from_predictions(
            result.whole_closes,
            fan,
            ticker=ticker,
            horizon=horizon,
            n_history=n_history,
            ax=ax,
        ),
        f"Forecast of {ticker} from {date_text(start)}, and what came of it",
        f"The last forecast whose return is known{made}, of the ticker whose interval "
        "is of average width.",
    )


def _coverage_by_year(returns: pd.DataFrame, tables: dict[float, pd.DataFrame]) -> str:
    """Count year by year how many returns the intervals held."""
    levels = sorted(tables)
    pairs = list(zip(levels, levels[::-1], strict=True))[: len(levels) // 2]
    names = [f"{100 * (high - low):.0f}% interval" for low, high in pairs]
    years = np.asarray(getattr(returns.index, "year", np.zeros(len(returns))))
    parts = {str(year): years == year for year in np.unique(years)}
    # A single year is the whole.
    parts = (parts if len(parts) > 1 else {}) | {"all": np.full(len(years), True)}
    rows = []
    for name, use in parts.items():
        bounds = [(tables[low][use], tables[high][use]) for low, high in pairs]
        held = [interval_coverage(returns[use], *bound) for bound in bounds]
        width = interval_width(*bounds[0])
        rows.append([name, *(percent(share, 1) for share in (*held, width))])
    return table(["returns inside", *names, f"width of the {names[0]}"], rows)
