"""Features of some tickers after others, which never exist all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch.feature_extraction._context import Universe
from skbatch.feature_extraction._engine import call, fill_market, make_universe
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
        These tickers, with the series of all tickers that their features need, and
        the rows that are wanted.
    names : list of str
        Ticker features to compute.
    own : list of Feature
        Those of them that are computed from a ticker's own prices and these series.
    by_name : dict of str to ndarray of shape (n_rows, n_tickers)
        The others, computed beside all tickers.
    columns : Index
        Names of the columns of the frame.
    index : Index
        Dates of the rows of the frame.
    """

    universe: Universe
    names: list[str]
    own: list[Feature]
    by_name: dict[str, np.ndarray]
    columns: pd.Index
    index: pd.Index

    def frame(self, shared: np.ndarray, n_jobs: int | None = 1) -> pd.DataFrame:
        """Compute the features of the batch.

        Parameters
        ----------
        shared : ndarray of shape (n_rows, n_shared)
            The columns that all tickers share.
        n_jobs : int, default=1
            Threads to use; None for all cores, or one inside a joblib worker. With
            one, as many batches can be computed at once as there are cores.

        Returns
        -------
        DataFrame of shape (n_rows, n_columns), dtype float32
            Columns of the batch's tickers, then those that all share.
        """
        n_rows, width = len(self.index), self.universe.close.shape[1]
        n_own = len(self.names) * width
        out = np.empty((n_rows, n_own + shared.shape[1]), dtype=np.float32)
        out[:, n_own:] = shared
        by_name = out[:, :n_own].reshape(n_rows, len(self.names), width)
        places = {name: by_name[:, i] for i, name in enumerate(self.names)}
        for name, values in self.by_name.items():
            places[name][...] = values
        self.universe.compute({f: places[f.name] for f in self.own}, n_jobs)
        return pd.DataFrame(out, self.index, self.columns, copy=False)


class BatchRecipes:
    """What the batches of a universe have in common, computed once.

    Parameters
    ----------
    plan, panel, functions, market_data, groups
        As for :class:`FeatureSource`; functions by name.
    names : sequence of str or None
        Ticker features to compute, without those that all share. None computes all.
    index : Index
        Dates of the rows that are wanted.
    rows : ndarray of int
        Which rows of the panel these are.

    Attributes
    ----------
    shared : ndarray of shape (n_rows, n_shared)
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
        self.chosen = None if names is None else list(names)
        self.names = list(plan.ticker_names) if names is None else list(names)
        self.own = self._features("ticker")
        self.universe = make_universe(panel, groups, rows)
        self.by_name: dict[str, np.ndarray] = {}
        self._compute_cross_sections()
        called = call(functions, panel, plan, self.universe.rows)
        self.by_name.update({n: v for n, v in called.items() if n in self.names})
        n_market = 0 if names is not None else len(plan.market_names)
        self.shared = np.empty((self.universe.n_wanted, n_market), dtype=np.float32)
        if n_market:
            args = plan, self.universe, market_data, panel.index
            fill_market(*args, self.shared)
            first = len(plan.market_features)
            for number, name in enumerate(plan.market_functions, first):
                self.shared[:, number] = called[name]
        self.universe.forget()

    def _features(self, scope: str) -> list[Feature]:
        """List the wanted features of a scope."""
        return [
            feature
            for feature in self.plan.ticker_features
            if feature.entry.scope == scope and feature.name in self.names
        ]

    def _empty(self) -> np.ndarray:
        """Make room for a feature of all tickers."""
        shape = self.universe.n_wanted, len(self.plan.tickers)
        return np.empty(shape, dtype=np.float32)

    def _compute_cross_sections(self) -> None:
        """Compute what compares all tickers of a date."""
        wanted = {feature: self._empty() for feature in self._features("cross_section")}
        self.universe.compare(wanted)
        for feature, values in wanted.items():
            self.by_name[feature.name] = values
        self.universe.prepare(self.own)

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
        )

    def recipes(
        self, batches: Sequence[np.ndarray], extra: Sequence[str]
    ) -> Iterator[BatchRecipe]:
        """Give the recipe of one batch after the other."""
        for tickers in batches:
            yield self.recipe(tickers, extra)
