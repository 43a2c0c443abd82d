"""Computing the features of a plan, block by block of tickers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skbatch.exceptions import PanelError
from skbatch.feature_extraction._context import Universe, compute_block
from skbatch.feature_extraction._inputs import (
    Function,
    call_function,
    join_market_data,
)
from skbatch.feature_extraction._plan import FeaturePlan
from skbatch.panel import panel_fields

__all__ = ["call", "compute_features", "fill_shared", "make_universe", "store"]


def compute_features(
    plan: FeaturePlan,
    panel: pd.DataFrame,
    functions: Mapping[str, Function],
    market_data: pd.DataFrame | None = None,
    groups: np.ndarray | None = None,
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

    Returns
    -------
    ndarray of shape (n_dates, n_columns), dtype float32, C order
        All columns of the plan.
    """
    out = np.empty((len(panel), plan.n_columns), dtype=np.float32)
    width = len(plan.tickers)
    own = out[:, : width * len(plan.ticker_names)]
    by_name = own.reshape(len(panel), len(plan.ticker_names), width)
    shared = out[:, own.shape[1] :]
    universe = make_universe(panel, groups)
    _fill_built_in(plan, universe, by_name)
    for number, name in enumerate(plan.ticker_functions, len(plan.ticker_features)):
        store(by_name[:, number], call(name, functions, panel, plan))
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
    """Compute what all tickers share, `(n_dates, n_shared)`."""
    for number, feature in enumerate(plan.market_features):
        store(shared[:, number], feature.compute(universe))
    for number, name in enumerate(plan.market_functions, len(plan.market_features)):
        store(shared[:, number], call(name, functions, panel, plan))
    if market_data is not None:
        first = len(plan.market_features) + len(plan.market_functions)
        store(shared[:, first:], join_market_data(market_data, panel.index))


def make_universe(panel: pd.DataFrame, groups: np.ndarray | None) -> Universe:
    """Gather what built-in features are computed from."""
    dates = panel.index if isinstance(panel.index, pd.DatetimeIndex) else None
    return Universe(panel_fields(panel), dates, groups)


@np.errstate(all="ignore")
def _fill_built_in(plan: FeaturePlan, universe: Universe, by_name: np.ndarray) -> None:
    """Compute the tickers' built-in features: of blocks, then across tickers."""
    numbers = {feature: i for i, feature in enumerate(plan.ticker_features)}
    own = {f: by_name[:, i] for f, i in numbers.items() if f.entry.scope == "ticker"}
    for block, place in universe.blocks():
        for feature, values in own.items():
            compute_block(feature, block, values[:, place])
    for feature, values in own.items():
        universe.keep(feature, values)
    for feature, number in numbers.items():
        if feature.entry.scope == "cross_section":
            store(by_name[:, number], feature.compute(universe))


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


@np.errstate(over="ignore")
def store(out: np.ndarray, values: np.ndarray) -> None:
    """Write values, NaN where they are infinite."""
    out[...] = values
    np.copyto(out, np.nan, where=np.isinf(out))
