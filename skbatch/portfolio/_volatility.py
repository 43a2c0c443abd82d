"""How far returns strayed of late, which tells the units of a covariance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skbatch.panel import panel_fields, panel_tickers

__all__ = ["recent_volatility"]

# Rows from which the latest volatility is measured.
RECENT = 252


def recent_volatility(panel: pd.DataFrame) -> pd.Series:
    """Measure the standard deviation of the returns of a row.

    Parameters
    ----------
    panel : DataFrame of shape (n_dates, n_columns)
        Checked prices.

    Returns
    -------
    Series of shape (n_tickers,)
        Standard deviation of simple returns over the last 252 rows, by ticker; NaN
        where prices stand still, or fewer than two returns are known.
    """
    closes = panel_fields(panel)["close"][-RECENT - 1 :]
    returns = pd.DataFrame(closes).pct_change(fill_method=None)
    volatility = returns.std().to_numpy()
    # What stands still says nothing of the size of a covariance.
    volatility = np.where(volatility > 0, volatility, np.nan)
    return pd.Series(volatility, panel_tickers(panel), name="volatility")
