"""Features of some tickers after others, which never exist all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch.feature_extraction._context import Universe, compute_block
from skbatch.feature_extraction._engine import (
    call,
    fill_shared,
    make_universe,
    store,
)
from skbatch.feature_extraction._inputs import Function
from skbatch.feature_extraction._plan import FeaturePlan
from skbatch.feature_extraction._registry import Feature

__all__ = ["BatchRecipe", "BatchRecipes"]


@dataclass
class BatchRecipe:
    """What the features of some tickers are computed from, here or elsewhere.

    Attributes
    ----------
    universe : Universe
        These tickers, with the series of all tickers that their features need.
    names : list of str
        Ticker features to compute.
    own : list of Feature
        Those of them that are computed from a ticker's own prices and these series.
    by_name : dict of str to ndarray of shape (n_dates, n_tickers)
        The others, computed beside all tickers.
    columns : Index
        Names of the columns of the frame.
    index : Index
        Dates of the rows of the frame.
    rows : ndarray of int
        Which of the computed rows these are.
    """

    universe: Universe
    names: list[str]
    own: list[Feature]
    by_name: dict[str, np.ndarray]
    columns: pd.Index
    index: pd.Index
    rows: np.ndarray

    def frame(self, shared: np.ndarray) -> pd.DataFrame:
        """Compute the features of the batch.

        Parameters
        ----------
        shared : ndarray of shape (n_dates, n_shared)
            The columns that all tickers share.

        Returns
        -------
        DataFrame of shape (n_rows, n_columns), dtype float32
            Columns of the batch's tickers, then those that all share.
        """
        n_dates, width = self.universe.close.shape
        n_own = len(self.names) * width
        out = np.empty((n_dates, n_own + shared.shape[1]), dtype=np.float32)
        out[:, n_own:] = shared
        by_name = out[:, :n_own].reshape(n_dates, len(self.names), width)
        places = {name: by_name[:, i] for i, name in enumerate(self.names)}
        for name, values in self.by_name.items():
            places[name][...] = values
        for block, place in self.universe.blocks():
            for feature in self.own:
                compute_block(feature, block, places[feature.name][:, place])
        if len(self.rows) < n_dates:
            out = out[self.rows]
        return pd.DataFrame(out, self.index, self.columns, copy=False)


class BatchRecipes:
    """What the batches of a universe have in common, computed once.

    Parameters
    ----------
    plan, panel, functions, market_data, groups
        As for :func:`compute_features`.
    names : sequence of str or None
        Ticker features to compute, without those that all share. None computes all.
    index : Index
        Dates of the rows that are wanted.
    rows : ndarray of int
        Which rows of the panel these are.

    Attributes
    ----------
    shared : ndarray of shape (n_dates, n_shared)
        The columns that all tickers share.
    """

    def __init__(
        self,
        plan: FeaturePlan,
        panel: pd.DataFrame,
        functions: Mapping[str, Function],
        market_data: pd.DataFrame | None,
        groups: np.ndarray | None,
        names: Sequence[str] | None,
        index: pd.Index,
        rows: np.ndarray,
    ) -> None:
        self.plan = plan
        self.index = index
        self.rows = rows
        self.chosen = None if names is None else list(names)
        self.names = list(plan.ticker_names) if names is None else list(names)
        self.own = self._features("ticker")
        self.universe = make_universe(panel, groups)
        self.by_name: dict[str, np.ndarray] = {}
        self._compute_cross_sections()
        for name in plan.ticker_functions:
            if name in self.names:
                values = np.empty(self.universe.close.shape, dtype=np.float32)
                store(values, call(name, functions, panel, plan))
                self.by_name[name] = values
        n_market = 0 if names is not None else len(plan.market_names)
        self.shared = np.empty((len(panel), n_market), dtype=np.float32)
        if n_market:
            args = plan, self.universe, panel, functions, market_data
            fill_shared(*args, self.shared)
        self.universe.forget()

    def _features(self, scope: str) -> list[Feature]:
        """List the wanted features of a scope."""
        return [
            feature
            for feature in self.plan.ticker_features
            if feature.entry.scope == scope and feature.name in self.names
        ]

    @np.errstate(all="ignore")
    def _compute_cross_sections(self) -> None:
        """Compute what compares all tickers of a date."""
        for feature in self._features("cross_section"):
            values = np.empty(self.universe.close.shape, dtype=np.float32)
            store(values, feature.compute(self.universe))
            self.by_name[feature.name] = values
        # One ticker's features ask for every series of the universe that any needs.
        block, _ = next(self.universe.blocks(np.array([0])))
        out = np.empty(block.close.shape, dtype=np.float32)
        for feature in self.own:
            compute_block(feature, block, out)

    def recipe(self, tickers: np.ndarray, extra: Sequence[str]) -> BatchRecipe:
        """Write down what the features of some tickers are computed from.

        Parameters
        ----------
        tickers : ndarray of int
            Numbers of the tickers.
        extra : sequence of str
            Names of columns after those that all share.
        """
        plan = self.plan
        names = [plan.tickers[number] for number in tickers]
        return BatchRecipe(
            self.universe.part(tickers),
            self.names,
            self.own,
            {name: values[:, tickers] for name, values in self.by_name.items()},
            pd.Index([*plan.columns(names, self.chosen), *extra]),
            self.index,
            self.rows,
        )

    def recipes(
        self, batches: Sequence[np.ndarray], extra: Sequence[str]
    ) -> Iterator[BatchRecipe]:
        """Give the recipe of one batch after the other."""
        for tickers in batches:
            yield self.recipe(tickers, extra)
