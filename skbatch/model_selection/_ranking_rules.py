"""Rules in one line that rank tickers by past prices: reversal and momentum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from skbatch.exceptions import PanelError
from skbatch.panel import periods_per_year
from skbatch.panel.engine import WEEKDAYS_PER_YEAR


def _reversal(closes: pd.DataFrame) -> pd.DataFrame:
    """Rank by the loss over the last row."""
    return 1 - closes / closes.shift(1)


def _momentum(closes: pd.DataFrame) -> pd.DataFrame:
    """Rank by the return over the last twelve months without the latest."""
    try:
        rows_per_year = periods_per_year(closes.index)
    except PanelError:
        rows_per_year = WEEKDAYS_PER_YEAR
    year = max(round(rows_per_year), 2)
    # The latest month reverses, and would take from what the others continue.
    month = max(round(rows_per_year / 12), 1)
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
