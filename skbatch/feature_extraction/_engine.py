"""Computing the features of a plan, block by block of tickers."""

from __future__ import annotations

from collections.abc import Mapping

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

__all__ = ["call", "compute_features", "fill_shared", "make_universe"]


def compute_features(
    plan: FeaturePlan,
    panel: pd.DataFrame,
    functions: Mapping[str, Function],
    market_data: pd.DataFrame | None = None,
    groups: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the features of a panel.

    Parameters
    ----------
    plan : FeaturePlan
        What to compute.
    panel : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Canonical panel.
    functions : dict of str to callable
        The user's functions.
    market_data : DataFrame, default=None
        The user's market series, filled forward.
    groups : ndarray of shape (n_tickers,), dtype int, default=None
        Number of each ticker's group, negative for none.
    rows : ndarray of int, default=None
        Rows of the panel that are wanted; the others are only looked back on. None
        takes all.

    Returns
    -------
    ndarray of shape (n_rows, n_columns), dtype float32, C order
        All columns of the plan.
    """
    universe = make_universe(panel, groups, rows)
    out = np.empty((universe.n_wanted, plan.n_columns), dtype=np.float32)
    width = len(plan.tickers)
    own = out[:, : width * len(plan.ticker_names)]
    by_name = own.reshape(len(out), len(plan.ticker_names), width)
    shared = out[:, own.shape[1] :]
    _fill_built_in(plan, universe, by_name)
    for number, name in enumerate(plan.ticker_functions, len(plan.ticker_features)):
        values = call(name, functions, panel, plan)
        store(by_name[:, number], values[universe.rows])
    fill_shared(plan, universe, panel, functions, market_data, shared)
    return out


@np.errstate(all="ignore")
def fill_shared(
    plan: FeaturePlan,
    universe: Universe,
    panel: pd.DataFrame,
    functions: Mapping[str, Function],
    market_data: pd.DataFrame | None,
    shared: np.ndarray,
) -> None:
    """Compute what all tickers share, `(n_wanted, n_shared)`."""
    rows = universe.rows
    for number, feature in enumerate(plan.market_features):
        store(shared[:, number], feature.compute(universe)[rows])
    for number, name in enumerate(plan.market_functions, len(plan.market_features)):
        store(shared[:, number], call(name, functions, panel, plan)[rows])
    if market_data is not None:
        first = len(plan.market_features) + len(plan.market_functions)
        store(shared[:, first:], join_market_data(market_data, panel.index)[rows])


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
    name: str, functions: Mapping[str, Function], panel: pd.DataFrame, plan: FeaturePlan
) -> np.ndarray:
    """Call a user's function; it must return the kind of table it did in `fit`."""
    values = call_function(name, functions[name], panel, plan.tickers)
    if (values.ndim == 2) != (name in plan.ticker_functions):
        raise PanelError(
            f"`functions[{name!r}]` must always return the same kind of table. Got a "
            f"{'DataFrame' if values.ndim == 2 else 'Series'}, but not so in `fit`. "
            "Return one kind whatever the rows."
        )
    return values
