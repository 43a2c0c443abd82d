"""Computing the features of a plan, in all rows of a panel or block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch.exceptions import PanelError
from skbatch.feature_extraction._context import Universe, store
from skbatch.feature_extraction._inputs import (
    Function,
    call_function,
    join_market_data,
)
from skbatch.feature_extraction._plan import FeaturePlan
from skbatch.panel import panel_fields

__all__ = ["FeatureSource", "call", "fill_shared", "make_universe"]


@dataclass(frozen=True)
class FeatureSource:
    """What the features of a plan are computed from.

    Attributes
    ----------
    plan : FeaturePlan
        What to compute.
    panel : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Canonical panel.
    rows : ndarray of int
        Rows of the panel that are wanted; the others are only looked back on.
    called : dict of str to ndarray of shape (n_wanted, n_tickers) or (n_wanted,)
        Values of the user's functions in the wanted rows. They are called once with
        the whole panel, since how far they read is not known.
    market_data : DataFrame or None
        The user's market series, filled forward.
    groups : ndarray of shape (n_tickers,), dtype int, or None
        Number of each ticker's group, negative for none.
    """

    plan: FeaturePlan
    panel: pd.DataFrame
    rows: np.ndarray
    called: dict[str, np.ndarray]
    market_data: pd.DataFrame | None = None
    groups: np.ndarray | None = None

    def compute(self, part: slice = slice(None)) -> np.ndarray:
        """Compute all columns of the plan, `(n_rows, n_columns)` of float32, C order.

        Only as many rows before the part's first are read as the features look back.
        """
        plan, rows = self.plan, self.rows[part]
        start = max(0, int(rows[0]) - plan.lookback)
        panel = self.panel.iloc[start : int(rows[-1]) + 1]
        universe = make_universe(panel, self.groups, rows - start)
        called = {name: values[part] for name, values in self.called.items()}
        out = np.empty((universe.n_wanted, plan.n_columns), dtype=np.float32)
        width = len(plan.tickers)
        own = out[:, : width * len(plan.ticker_names)]
        by_name = own.reshape(len(out), len(plan.ticker_names), width)
        _fill_built_in(plan, universe, by_name)
        for number, name in enumerate(plan.ticker_functions, len(plan.ticker_features)):
            by_name[:, number] = called[name]
        fill_shared(
            plan,
            universe,
            called,
            self.market_data,
            panel.index,
            out[:, own.shape[1] :],
        )
        return out


@np.errstate(all="ignore")
def fill_shared(
    plan: FeaturePlan,
    universe: Universe,
    called: Mapping[str, np.ndarray],
    market_data: pd.DataFrame | None,
    index: pd.Index,
    shared: np.ndarray,
) -> None:
    """Compute what all tickers share, `(n_wanted, n_shared)`."""
    for number, feature in enumerate(plan.market_features):
        store(shared[:, number], feature.compute(universe))
    for number, name in enumerate(plan.market_functions, len(plan.market_features)):
        shared[:, number] = called[name]
    if plan.market_data and market_data is not None:
        first = len(plan.market_features) + len(plan.market_functions)
        joined = join_market_data(market_data, index[universe.rows])
        store(shared[:, first:], joined)


def make_universe(
    panel: pd.DataFrame, groups: np.ndarray | None, rows: np.ndarray | None
) -> Universe:
    """Gather what built-in features are computed from."""
    dates = panel.index if isinstance(panel.index, pd.DatetimeIndex) else None
    return Universe(panel_fields(panel), dates, groups, rows)


def _fill_built_in(plan: FeaturePlan, universe: Universe, by_name: np.ndarray) -> None:
    """Compute the tickers' built-in features: of blocks, then across tickers."""
    places = {feature: by_name[:, i] for i, feature in enumerate(plan.ticker_features)}
    own = {f: out for f, out in places.items() if f.entry.scope == "ticker"}
    universe.compute(own)
    universe.keep(own)
    others = {f: out for f, out in places.items() if f.entry.scope == "cross_section"}
    universe.compare(others)


def call(
    functions: Mapping[str, Function],
    panel: pd.DataFrame,
    plan: FeaturePlan,
    rows: np.ndarray | slice,
) -> dict[str, np.ndarray]:
    """Call the user's functions of a plan, and keep their values in some rows.

    Raises
    ------
    PanelError
        If one returns another kind of table than in `fit`.
    """
    called = {}
    for name in (*plan.ticker_functions, *plan.market_functions):
        values = call_function(name, functions[name], panel, plan.tickers)
        if (values.ndim == 2) != (name in plan.ticker_functions):
            raise PanelError(
                f"`functions[{name!r}]` must always return the same kind of table. Got "
                f"a {'DataFrame' if values.ndim == 2 else 'Series'}, but not so in "
                "`fit`. Return one kind whatever the rows."
            )
        wanted = values[rows]
        called[name] = np.empty(wanted.shape, dtype=np.float32)
        store(called[name], wanted)
    return called
