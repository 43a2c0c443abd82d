"""Computing the features of a plan, block by block of tickers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skbatch.feature_extraction._context import TickerBlock, Universe, compute_block
from skbatch.feature_extraction._plan import FeaturePlan
from skbatch.feature_extraction._registry import Feature
from skbatch.panel import panel_fields

__all__ = ["compute_features"]


def compute_features(
    plan: FeaturePlan, panel: pd.DataFrame, groups: np.ndarray | None = None
) -> np.ndarray:
    """Compute the built-in features of a panel.

    Parameters
    ----------
    plan : FeaturePlan
        What to compute.
    panel : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Canonical panel.
    groups : ndarray of shape (n_tickers,), dtype int, default=None
        Number of each ticker's group, negative for none.

    Returns
    -------
    ndarray of shape (n_dates, n_columns), dtype float32, C order
        All columns of the plan; those of user functions and series are not filled.
    """
    dates = panel.index if isinstance(panel.index, pd.DatetimeIndex) else None
    universe = Universe(panel_fields(panel), dates, groups)
    out = np.empty((len(panel), plan.n_columns), dtype=np.float32)
    width = len(plan.tickers)
    places = {
        feature: out[:, number * width : (number + 1) * width]
        for number, feature in enumerate(plan.ticker_features)
    }
    own = {f: v for f, v in places.items() if f.entry.scope == "ticker"}
    for block in universe.blocks():
        _fill_block(block, own)
    for feature, values in own.items():
        universe.keep(feature, values)
    with np.errstate(all="ignore"):
        for feature, values in places.items():
            if feature.entry.scope == "cross_section":
                _store(values, feature.compute(universe))
        first = len(plan.ticker_names) * width
        for number, feature in enumerate(plan.market_features):
            _store(out[:, first + number], feature.compute(universe))
    return out


def _fill_block(block: TickerBlock, places: dict[Feature, np.ndarray]) -> None:
    """Compute the ticker features of a block."""
    for feature, values in places.items():
        compute_block(feature, block, values[:, block.columns])


def _store(out: np.ndarray, values: np.ndarray) -> None:
    """Write values, NaN where they are infinite."""
    out[...] = values
    np.copyto(out, np.nan, where=np.isinf(out))
