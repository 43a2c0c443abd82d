"""Series that several topics of the catalogue share."""

from __future__ import annotations

import numpy as np

from skbatch._kernels.cross_section import row_mean
from skbatch._kernels.rolling import difference, lag
from skbatch.feature_extraction._context import TickerBlock, Universe

# Returns beyond it count as this. One price that is off by a factor of 100, as in real
# data, would otherwise move the mean of 500 tickers by 20%, and with it every
# ticker's beta for a year.
MAX_RETURN = 0.5


def close(context: TickerBlock | Universe) -> np.ndarray:
    """Select the closes."""
    return context.close


def log_close(context: TickerBlock | Universe) -> np.ndarray:
    """Compute log closes."""
    return np.log(context.close)


def log_return_1(context: TickerBlock | Universe) -> np.ndarray:
    """Compute log returns from row to row."""
    return difference(context.get(log_close), 1)


def simple_return(context: TickerBlock | Universe) -> np.ndarray:
    """Compute simple returns from row to row."""
    change = context.close / lag(context.close, 1) - 1.0
    return np.where(np.isfinite(change), change, np.nan)


def market_return(universe: Universe) -> np.ndarray:
    """Average the finite simple returns of each date, equally weighted."""
    return universe.by_date(simple_return, _clipped_mean)


def _clipped_mean(returns: np.ndarray) -> np.ndarray:
    return row_mean(np.clip(returns, -MAX_RETURN, MAX_RETURN))


def market_log_return(universe: Universe) -> np.ndarray:
    """Compute the log of one plus the market return."""
    return np.log1p(universe.get(market_return))
