"""Features of some tickers after others, which never exist all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from skbatch.feature_extraction._context import compute_block
from skbatch.feature_extraction._engine import (
    call,
    fill_shared,
    make_universe,
    store,
)
from skbatch.feature_extraction._inputs import Function
from skbatch.feature_extraction._plan import FeaturePlan

__all__ = ["compute_batches"]


def compute_batches(
    plan: FeaturePlan,
    panel: pd.DataFrame,
    functions: Mapping[str, Function],
    market_data: pd.DataFrame | None = None,
    groups: np.ndarray | None = None,
    *,
    batches: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    n_more: int = 0,
) -> Iterator[np.ndarray]:
    """Compute the features of some tickers after others, beside all of them.

    Parameters
    ----------
    plan, panel, functions, market_data, groups
        As for :func:`compute_features`.
    batches : sequence of ndarray of int
        Numbers of the tickers of each batch.
    names : sequence of str, default=None
        Ticker features to compute, without those that all share. None computes all.
    n_more : int, default=0
        Number of columns to leave room for at the end.

    Yields
    ------
    ndarray of shape (n_dates, n_columns + n_more), dtype float32, C order
        Columns of the batch's tickers, then those that all share. What depends on all
        tickers is computed once.
    """
    shared = _SharedFeatures(plan, panel, functions, market_data, groups, names)
    for tickers in batches:
        yield shared.batch(tickers, n_more)


class _SharedFeatures:
    """What the batches of a universe have in common."""

    def __init__(
        self,
        plan: FeaturePlan,
        panel: pd.DataFrame,
        functions: Mapping[str, Function],
        market_data: pd.DataFrame | None,
        groups: np.ndarray | None,
        names: Sequence[str] | None,
    ) -> None:
        self.plan = plan
        self.names = plan.ticker_names if names is None else list(names)
        self.universe = make_universe(panel, groups)
        self.by_name: dict[str, np.ndarray] = {}
        self._compute_cross_sections()
        for name in plan.ticker_functions:
            if name in self.names:
                values = np.empty(self.universe.close.shape, dtype=np.float32)
                store(values, call(name, functions, panel, plan))
                self.by_name[name] = values
        n_market = 0 if names is not None else len(plan.market_names)
        self.market = np.empty((len(panel), n_market), dtype=np.float32)
        if n_market:
            args = plan, self.universe, panel, functions, market_data
            fill_shared(*args, self.market)
        self.universe.forget()

    @np.errstate(all="ignore")
    def _compute_cross_sections(self) -> None:
        """Compute what compares all tickers of a date."""
        for feature in self.plan.ticker_features:
            if feature.entry.scope == "cross_section" and feature.name in self.names:
                values = np.empty(self.universe.close.shape, dtype=np.float32)
                store(values, feature.compute(self.universe))
                self.by_name[feature.name] = values

    def batch(self, tickers: np.ndarray, n_more: int) -> np.ndarray:
        """Lay out the features of some tickers, and those that all share."""
        n_dates, width = len(self.market), len(tickers)
        n_own = len(self.names) * width
        n_columns = n_own + self.market.shape[1]
        out = np.empty((n_dates, n_columns + n_more), dtype=np.float32)
        out[:, n_own:n_columns] = self.market
        by_name = out[:, :n_own].reshape(n_dates, len(self.names), width)
        places = {name: by_name[:, i] for i, name in enumerate(self.names)}
        for name, values in self.by_name.items():
            places[name][...] = values[:, tickers]
        own = [
            (feature, places[feature.name])
            for feature in self.plan.ticker_features
            if feature.entry.scope == "ticker" and feature.name in places
        ]
        for block, place in self.universe.blocks(tickers):
            for feature, values in own:
                compute_block(feature, block, values[:, place])
        return out
