"""Rules in one line that rank tickers by past prices: reversal and momentum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from skbatch.panel.engine import WEEKDAYS_PER_YEAR, rows_per_year


def _reversal(closes: pd.DataFrame) -> pd.DataFrame:
    """Rank by the loss over the last row."""
    return 1 - closes / closes.shift(1)


def _momentum(closes: pd.DataFrame) -> pd.DataFrame:
    """Rank by the return over the last twelve months without the latest."""
    n_rows = rows_per_year(closes.index)
    n_rows = n_rows if np.isfinite(n_rows) else WEEKDAYS_PER_YEAR
    year = max(round(n_rows), 2)
    # The latest month reverses, and would take from what the others continue.
    month = max(round(n_rows / 12), 1)
    return closes.shift(month) / closes.shift(year) - 1


def _finite(
    rule: Callable[[pd.DataFrame], pd.DataFrame],
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def scores(closes: pd.DataFrame) -> pd.DataFrame:
        table = rule(closes)
        return table.where(np.isfinite(table))

    return scores


# Name → function of all closing prices; each row of its result uses earlier rows only.
RANKING_RULES = {"reversal": _finite(_reversal), "momentum": _finite(_momentum)}
