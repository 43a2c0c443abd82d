"""Computing the features of a plan, in all rows of a panel or block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
import pandas as pd

from skbatch._kernels.threads import for_each
from skbatch._messages import check_int
from skbatch.exceptions import PanelError
from skbatch.feature_extraction._additions import (
    Function,
    call_function,
)
from skbatch.feature_extraction._context import Universe, store
from skbatch.feature_extraction._feature_plan import FeaturePlan
from skbatch.feature_extraction._frame_cache import table_key
from skbatch.feature_extraction._groupings import (
    COMPARISONS,
    Codes,
    compare,
    split_comparison,
)
from skbatch.feature_extraction._known_features import known_features
from skbatch.feature_extraction._rolling import ALL_ROWS
from skbatch.panel.engine import panel_fields, panel_signals

BLOCK_BYTES = 2**26
_LEAST_ROWS = 192


@dataclass(frozen=True)
class FeatureSource:
    """What the features of a plan are computed from."""

    plan: FeaturePlan
    panel: pd.DataFrame  # checked
    rows: np.ndarray  # that are wanted; the others are only looked back on
    # Values of the user's functions in the wanted rows. They are called once with the
    # whole panel: how far they read is not known, and the sums that pandas carries
    # from row to row depend on where a panel starts.
    called: dict[str, np.ndarray]
    market_data: pd.DataFrame | None = None  # filled forward
    groups: Codes = field(default_factory=dict)  # in all rows of the panel
    members: np.ndarray | None = None  # of the universe, in all rows of the panel
    marks: dict[str, np.ndarray] = field(default_factory=dict)  # in the wanted rows

    def key(self) -> str:
        """Identify what features are computed from, but for the user's functions."""
        plan, market_data = self.plan, self.market_data
        names = plan.ticker_names, plan.market_names, plan.signals, plan.cross_section
        series = None if market_data is None else table_key(market_data)
        key = table_key(self.panel), self.rows, names, self.groups, series
        return str(joblib.hash((*key, self.members)))

    def shape(self, part: slice = ALL_ROWS) -> tuple[int, int]:
        """Count the rows and columns of the features."""
        return len(self.rows[part]), self.plan.n_columns

    def compute(self, part: slice = ALL_ROWS) -> np.ndarray:
        """Compute all columns of the plan, `(n_rows, n_columns)` of float32."""
        out = np.empty(self.shape(part), dtype=np.float32)
        self.compute_built_in(out, part)
        self.fill_called(out, part)
        return out

    def compute_built_in(self, out: np.ndarray, part: slice = ALL_ROWS) -> None:
        """Compute all columns but those of the user's functions."""
        plan, rows = self.plan, self.rows[part]
        # No more rows are read than the features look back on.
        start = max(0, int(rows[0]) - plan.lookback)
        whole = slice(start, int(rows[-1]) + 1)
        panel = self.panel.iloc[whole]
        groups = {
            name: codes[whole] if codes.ndim == 2 else codes
            for name, codes in self.groups.items()
        }
        members = None if self.members is None else self.members[whole]
        universe = make_universe(panel, groups, rows - start, members)
        by_name, shared = self._columns(out)
        _fill_built_in(plan, panel, rows - start, universe, by_name)
        fill_market(plan, universe, self.market_data, panel.index, shared)
        # Last, as others are computed from the tickers' own features.
        self._compare(by_name, slice(0, len(plan.own_features)), part)

    def fill_called(self, out: np.ndarray, part: slice = ALL_ROWS) -> None:
        """Write the columns of the user's functions."""
        plan, (by_name, shared) = self.plan, self._columns(out)
        first = len(plan.own_features)
        for number, name in enumerate(plan.ticker_functions, first):
            by_name[:, number] = self.called[name][part]
        for number, name in enumerate(plan.marks, -len(plan.marks)):
            by_name[:, number] = self.marks[name][part] if name in self.marks else 1.0
        if self.members is not None:
            outside = ~self.members[self.rows[part]]
            for number in range(first, len(plan.ticker_names)):
                np.copyto(by_name[:, number], np.nan, where=outside)
        self._compare(by_name, slice(first, None), part)
        for number, name in enumerate(plan.market_functions, len(plan.market_features)):
            shared[:, number] = self.called[name][part]

    def _compare(self, by_name: np.ndarray, features: slice, part: slice) -> None:
        """Compare features across the tickers of each date, if that is wanted."""
        plan = self.plan
        if plan.cross_section is None:
            return
        found = split_comparison(plan.cross_section, plan.groupings)
        assert found is not None
        grouping, statistic = found[0], COMPARISONS[found[1]]
        codes = self.groups[grouping] if grouping else None
        if codes is not None and codes.ndim == 2:
            codes = codes[self.rows[part]]
        numbers = np.flatnonzero(plan.compared)
        chosen = numbers[np.isin(numbers, np.arange(by_name.shape[1])[features])]
        for_each(lambda number: compare(by_name[:, number], statistic, codes), chosen)

    def _columns(self, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """View what each ticker has, by name and ticker, and what all share."""
        n_names, n_tickers = len(self.plan.ticker_names), len(self.plan.tickers)
        by_name = out[:, : n_names * n_tickers]
        shared = out[:, n_names * n_tickers :]
        return by_name.reshape(len(out), n_names, n_tickers), shared


@np.errstate(all="ignore")
def fill_market(
    plan: FeaturePlan,
    universe: Universe,
    market_data: pd.DataFrame | None,
    index: pd.Index,
    shared: np.ndarray,
) -> None:
    """Compute what all tickers share, `(n_wanted, n_shared)`, without functions."""
    for number, feature in enumerate(plan.market_features):
        store(shared[:, number], feature.compute(universe))
    if plan.market_data and market_data is not None:
        joined = market_data.reindex(index[universe.rows], method="ffill").to_numpy()
        store(shared[:, -len(plan.market_data) :], joined)


def make_universe(
    panel: pd.DataFrame,
    groups: Codes,
    rows: np.ndarray | None,
    members: np.ndarray | None = None,
) -> Universe:
    """Gather what built-in features are computed from."""
    dates = panel.index if isinstance(panel.index, pd.DatetimeIndex) else None
    signals = {name: table.to_numpy() for name, table in panel_signals(panel).items()}
    return Universe(panel_fields(panel), dates, groups, rows, signals, members)


def _fill_built_in(
    plan: FeaturePlan,
    panel: pd.DataFrame,
    rows: np.ndarray,
    universe: Universe,
    by_name: np.ndarray,
) -> None:
    """Compute the tickers' built-in features: of blocks, then across tickers."""
    places = {feature: by_name[:, i] for i, feature in enumerate(plan.ticker_features)}
    own = {f: out for f, out in places.items() if f.entry.scope == "ticker"}
    known = known_features()
    left: Mapping[Any, np.ndarray] = own
    if known is not None:
        left = known.fill(own, rows, panel, plan.tickers, universe)
    universe.compute(left)
    universe.keep(own)
    others: dict[Any, np.ndarray] = {
        f: out for f, out in places.items() if f.entry.scope == "cross_section"
    }
    for number, feature in enumerate(plan.signals, len(plan.ticker_features)):
        others[feature] = by_name[:, number]
    universe.compare(others)


def call(
    functions: Mapping[str, Function],
    panel: pd.DataFrame,
    plan: FeaturePlan,
    rows: np.ndarray | slice,
) -> dict[str, np.ndarray]:
    """Call the user's functions of a plan, and keep their values in some rows."""
    called = {}
    for name in (*plan.ticker_functions, *plan.market_functions):
        values = call_function(name, functions[name], panel, plan.tickers)
        if (values.ndim == 2) != (name in plan.ticker_functions):
            raise PanelError(
                f"`functions[{name!r}]` must always return the same kind of table. Got "
                f"a {'DataFrame' if values.ndim == 2 else 'Series'}, unlike in `fit`. "
                "Return the same kind for any rows."
            )
        wanted = values[rows]
        called[name] = np.empty(wanted.shape, dtype=np.float32)
        store(called[name], wanted)
    return called


def check_rows(rows: Sequence[int] | np.ndarray | None, n_rows: int) -> np.ndarray:
    """Check that positions are increasing and within a panel; None takes all rows."""
    if rows is None:
        return np.arange(n_rows)
    wanted = np.asarray(rows)
    is_integer = wanted.ndim == 1 and (
        np.issubdtype(wanted.dtype, np.integer) or not wanted.size
    )
    wanted = wanted.astype(np.intp) if is_integer else np.empty(0, np.intp)
    inside = not wanted.size or (wanted[0] >= 0 and wanted[-1] < n_rows)
    if not is_integer or not inside or (np.diff(wanted) <= 0).any():
        raise ValueError(
            f"`rows` must be increasing positions from 0 to {n_rows - 1}. Got "
            f"{rows!r}. Sort them, and turn a mask into positions with "
            "`np.flatnonzero(mask)`."
        )
    return wanted


def default_block_rows(n_columns: int, rows: np.ndarray) -> int:
    """Choose how many rows a block covers, of which only some may be wanted."""
    # Its output stays near 64 MiB, but every block computes its lookback again, so
    # that a block of few rows is not worth its time.
    n_stored = max(_LEAST_ROWS, BLOCK_BYTES // (4 * n_columns))
    extent = int(rows[-1] - rows[0]) + 1
    most = n_stored * extent // len(rows)
    # Blocks of one size: a last one of few rows would compute a whole lookback.
    n_blocks = -(-extent // most)
    return -(-extent // n_blocks)


def cut_rows(rows: np.ndarray, block_rows: int | None, n_columns: int) -> list[slice]:
    """Split wanted rows into blocks that cover at most `block_rows` rows each."""
    if not len(rows):
        return []
    if block_rows is None:
        block_rows = default_block_rows(n_columns, rows)
    check_int(block_rows, "block_rows", 1, "Pass a number of rows.")
    return list(_cut(rows, block_rows))


def _cut(rows: np.ndarray, block_rows: int) -> Iterator[slice]:
    """Start a block at the next wanted row, as rows in between need no work."""
    start = 0
    while start < len(rows):
        stop = int(np.searchsorted(rows, rows[start] + block_rows))
        yield slice(start, stop)
        start = stop
