"""What features are computed from: a block of tickers, or the whole universe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.rolling import lag
from skbatch._kernels.threads import for_each, slices
from skbatch.feature_extraction._registry import Feature, entry_of
from skbatch.feature_extraction._rolling import ALL_ROWS, Presence, Rolling, Rows

# Small series keep the temporaries of a feature in the processor's cache, and bound
# the memory of all the series that a block shares, of which each thread has its own.
_BLOCK_CELLS = 2**16
# Rows of so many values fill whole lines of the cache when they are written.
_LINE_CELLS = 16
# How many kinds of presence blocks share; a few if no value is missing.
_MOST_PRESENCES = 8

SeriesFunction = Callable[..., Any]


class _Context:
    """Fields of some tickers, and the series made of them, each computed once."""

    # A series has all rows, as others look back on it; a feature has the wanted ones.

    def __init__(
        self,
        fields: dict[str, np.ndarray],
        rows: Rows = ALL_ROWS,
        members: np.ndarray | None = None,
    ) -> None:
        self.fields = fields
        self.rows = rows
        self.members = members
        self._series: dict[tuple[Any, ...], Any] = {}
        self._rolling: dict[SeriesFunction, Rolling] = {}
        self._presences: list[Presence] = []

    @property
    def close(self) -> np.ndarray:
        """Closes; NaN is missing."""
        return self.fields["close"]

    def get(self, series: SeriesFunction, *arguments: int) -> Any:
        """Compute a series of this context, once."""
        key = (series, *arguments)
        if key not in self._series:
            self._series[key] = series(self, *arguments)
        return self._series[key]

    def now(self, series: SeriesFunction) -> np.ndarray:
        """Select the wanted rows of a series."""
        return self.get(series)[self.rows]

    def before(self, series: SeriesFunction, n_rows: int) -> np.ndarray:
        """Select a series some rows before the wanted ones, NaN where there is none."""
        return lag(self.get(series), n_rows)[self.rows]

    def change(self, series: SeriesFunction, window: int, until: int = 0) -> np.ndarray:
        """Subtract what a series was a window earlier, both some rows before."""
        last = self.before(series, until) if until else self.now(series)
        return last - self.before(series, until + window)

    def rolling(self, series: SeriesFunction) -> Rolling:
        """Find the rolling statistics of a series of this context."""
        if series not in self._rolling:
            values = self.get(series)
            presence = self.presence(np.isfinite(values))
            self._rolling[series] = Rolling(values, presence, self.rows)
        return self._rolling[series]

    def presence(self, finite: np.ndarray) -> Presence:
        """Find the presence of values, one for all series that have the same."""
        for presence in self._presences:
            if np.array_equal(presence.finite, finite):
                return presence
        presence = Presence(finite, self.rows)
        self._presences.append(presence)
        return presence


class TickerBlock(_Context):
    """Some tickers of a panel, on all rows."""

    def __init__(self, universe: Universe, columns: slice | np.ndarray) -> None:
        super().__init__(
            {
                name: np.ascontiguousarray(values[:, columns])
                for name, values in universe.fields.items()
            },
            universe.rows,
        )
        self._universe = universe
        self.reads_universe = False
        self.columns = columns
        self._presences.extend(universe.common)
        self._asked: set[tuple[Any, ...]] = set()
        missing = np.isnan(self.close[self.rows])
        if universe.members is not None:
            missing |= ~universe.members[self.rows][:, columns]
        self._missing = missing if missing.any() else None

    @property
    def universe(self) -> Universe:
        """All tickers, on whose common series some features depend."""
        self.reads_universe = True
        return self._universe

    def get(self, series: SeriesFunction, *arguments: int) -> Any:
        """Compute a series of this context, once."""
        self._asked.add((series, *arguments))
        return super().get(series, *arguments)

    def rolling(self, series: SeriesFunction) -> Rolling:
        """Find the rolling statistics of a series of this context."""
        self._asked.add((series,))
        return super().rolling(series)

    def presence(self, finite: np.ndarray) -> Presence:
        """Find the presence of values, with other blocks' where none is missing."""
        n_known = len(self._presences)
        presence = super().presence(finite)
        if len(self._presences) > n_known:
            self._universe.share(presence)
        return presence

    def asked(self) -> set[tuple[Any, ...]]:
        """List the series that were asked for since this was called last."""
        asked, self._asked = self._asked, set()
        return asked

    def release(self, series: set[tuple[Any, ...]]) -> None:
        """Drop series that are not asked for again."""
        for key in series:
            self._series.pop(key, None)
            self._rolling.pop(key[0], None)

    def compute(self, feature: Feature, out: np.ndarray) -> None:
        """Write the wanted rows of a feature; NaN where it is infinite, or no price."""
        with np.errstate(all="ignore"):
            # Contiguous memory is corrected before it is scattered.
            values = feature.compute(self).astype(np.float32)
        if self._missing is not None:
            np.copyto(values, np.nan, where=self._missing)
        store(out, values)


class RowBlock:
    """Some of the wanted rows, with the features of all tickers."""

    def __init__(self, universe: Universe, rows: slice, grouping: str = "") -> None:
        self._universe = universe
        self._rows = rows
        self._grouping = grouping
        self._signals: dict[str, np.ndarray] = {}

    def feature(self, function: SeriesFunction, window: int) -> np.ndarray:
        """Find a ticker feature, `(n_rows, n_tickers)` of float32."""
        return self._universe.feature(function, window)[self._rows]

    def grouped(self, name: str) -> RowBlock:
        """Return the same rows with the groups of a grouping."""
        return RowBlock(self._universe, self._rows, name)

    @property
    def codes(self) -> np.ndarray:
        """Numbers of the groups, of tickers or of dates and tickers; negative: none."""
        codes = self._universe.groups[self._grouping]
        return codes if codes.ndim == 1 else codes[self._places]

    def signal(self, name: str) -> np.ndarray:
        """Select a signal of the members that have a price, `(n_rows, n_tickers)`."""
        if name not in self._signals:
            values = self._universe.signals[name][self._places]
            self._signals[name] = np.where(self._missing, np.nan, values)
        return self._signals[name]

    def signal_before(self, name: str, n_rows: int) -> np.ndarray:
        """Select a signal some rows before, NaN where there is no row."""
        places = self._places - n_rows
        values = self._universe.signals[name][np.maximum(places, 0)]
        values[places < 0] = np.nan
        return values

    @cached_property
    def _places(self) -> np.ndarray:
        """Find the rows in the universe."""
        return np.arange(len(self._universe.close))[self._universe.rows][self._rows]

    @cached_property
    def _missing(self) -> np.ndarray:
        """Mark the tickers without a price, and those outside the universe."""
        missing = np.isnan(self._universe.close[self._places])
        if self._universe.members is not None:
            missing |= ~self._universe.members[self._places]
        return missing


class Universe(_Context):
    """All tickers of a panel, on all rows."""

    def __init__(
        self,
        fields: dict[str, np.ndarray],  # each (n_dates, n_tickers)
        dates: pd.DatetimeIndex | None = None,
        groups: Mapping[str, np.ndarray] | None = None,  # codes by grouping
        rows: np.ndarray | None = None,  # wanted ones; None for all
        signals: Mapping[str, np.ndarray] | None = None,  # each (n_dates, n_tickers)
        members: np.ndarray | None = None,  # (n_dates, n_tickers); None for all
    ) -> None:
        super().__init__(
            {name: np.ascontiguousarray(values) for name, values in fields.items()},
            ALL_ROWS if rows is None else _as_slice(rows),
            members,
        )
        self.dates = dates
        self.groups = groups or {}
        self.signals = signals or {}
        self.common: list[Presence] = []
        self._features: dict[Feature, np.ndarray] = {}

    @property
    def n_wanted(self) -> int:
        """Number of rows that are wanted."""
        return len(self.close[self.rows, 0])

    def compute(self, wanted: Mapping[Feature, np.ndarray]) -> None:
        """Write features of tickers into arrays `(n_wanted, n_tickers)`."""
        if not wanted:
            return
        done = self.prepare(wanted)
        n_dates, n_tickers = self.close.shape
        width = max(1, _BLOCK_CELLS // n_dates)
        if width > _LINE_CELLS:
            width -= width % _LINE_CELLS

        def compute_block(place: slice) -> None:
            block = TickerBlock(self, place)
            for feature, values in wanted.items():
                block.compute(feature, values[:, place])
                block.release(done[feature])

        for_each(compute_block, slices(n_tickers, width))

    def prepare(self, features: Iterable[Feature]) -> dict[Feature, set[Any]]:
        """Find for each feature the series of a block that none after it asks for."""
        # One ticker's ask for every series of the universe, where threads find them.
        block = TickerBlock(self, slice(0, 1))
        out = np.empty((self.n_wanted, 1), dtype=np.float32)
        last: dict[Any, Feature] = {}
        done: dict[Feature, set[Any]] = {}
        for feature in features:
            block.compute(feature, out)
            last.update(dict.fromkeys(block.asked(), feature))
            done[feature] = set()
        for series, feature in last.items():
            done[feature].add(series)
        return done

    def reads_universe(self, feature: Feature) -> bool:
        """Return whether a ticker's values of a feature depend on other tickers."""
        block = TickerBlock(self, slice(0, 1))
        block.compute(feature, np.empty((self.n_wanted, 1), dtype=np.float32))
        return block.reads_universe

    def grouped(self, name: str) -> RowBlock:
        """Return all wanted rows with the groups of a grouping."""
        return RowBlock(self, ALL_ROWS, name)

    def compare(self, wanted: Mapping[Any, np.ndarray]) -> None:
        """Write features that compare tickers into arrays `(n_wanted, n_tickers)`."""

        def compare_rows(rows: slice) -> None:
            block = RowBlock(self, rows)
            for feature, values in wanted.items():
                with np.errstate(all="ignore"):
                    store(values[rows], feature.compute(block))

        if wanted:
            self._for_rows(compare_rows)

    def across(self, statistic: Callable[[RowBlock], np.ndarray]) -> np.ndarray:
        """Compute statistics of all tickers' features, `(n_wanted, ...)`."""
        parts: dict[int, np.ndarray] = {}

        def compute_rows(rows: slice) -> None:
            with np.errstate(all="ignore"):
                parts[rows.start] = statistic(RowBlock(self, rows))

        self._for_rows(compute_rows)
        return np.concatenate([parts[start] for start in sorted(parts)])

    def _for_rows(self, function: Callable[[slice], None]) -> None:
        """Call a function with all wanted rows, some by some."""
        # The features that the first row asks for are there when threads ask for them.
        first = slice(0, 1)
        function(first)
        height = max(1, _BLOCK_CELLS // self.close.shape[1])
        for_each(function, slices(self.n_wanted, height))

    def by_date(
        self, series: SeriesFunction, statistic: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Compute a statistic of the members' values at all dates."""
        # The series reads the row before at most.
        n_dates, n_tickers = self.close.shape
        out = np.empty(n_dates)

        def compute_rows(rows: slice) -> None:
            before = min(rows.start, 1)
            part = slice(rows.start - before, rows.stop)
            context = _Context({name: v[part] for name, v in self.fields.items()})
            with np.errstate(all="ignore"):
                values = context.get(series)[before:]
                if self.members is not None:
                    values = np.where(self.members[rows], values, np.nan)
                out[rows] = statistic(values)

        height = max(1, _BLOCK_CELLS // n_tickers)
        for_each(compute_rows, slices(n_dates, height))
        return out

    def feature(self, function: SeriesFunction, window: int) -> np.ndarray:
        """Find a ticker feature of all tickers, `(n_wanted, n_tickers)` of float32."""
        wanted = Feature(entry_of(function), window)
        if wanted not in self._features:
            shape = self.n_wanted, self.close.shape[1]
            values = np.empty(shape, dtype=np.float32)
            self.compute({wanted: values})
            self._features[wanted] = values
        return self._features[wanted]

    def keep(self, features: Mapping[Feature, np.ndarray]) -> None:
        """Remember features that were computed already."""
        self._features.update(features)

    def share(self, presence: Presence) -> None:
        """Show a presence to later blocks, if all of its tickers have the same."""
        if presence.is_common and len(self.common) < _MOST_PRESENCES:
            self.common.append(presence)


@np.errstate(over="ignore")
def store(out: np.ndarray, values: np.ndarray) -> None:
    """Write values as float32, NaN where they are infinite."""
    values = np.asarray(values, dtype=np.float32, order="C")
    infinite = np.isinf(values)
    if infinite.any():
        values = np.where(infinite, np.float32(np.nan), values)
    if values.ndim == 2 and values.size and out.strides[1] == out.itemsize:
        # A row is one item, to be copied at once; numpy copies items one by one.
        row = np.dtype((np.void, values.shape[1] * values.itemsize))
        out, values = out.view(row), values.view(row)
    out[...] = values


def _as_slice(rows: np.ndarray) -> slice | np.ndarray:
    """Write consecutive rows as a slice, which copies nothing."""
    if len(rows) and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
