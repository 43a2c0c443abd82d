"""Features of a panel, in memory or computed block by block of dates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd

from skbatch.forecasting._row_store import RowStore, Storage, fill_rows, numbered
from skbatch.panel.engine import IN_UNIVERSE, KeptWhole, PanelColumns

# What absent tickers are: the codes of the reasons, by number; 0 is present.
ABSENT = ("", "unobserved", "not_member")


@dataclass(frozen=True, eq=False)
class Universe(KeptWhole):
    """What forecasters of some tickers have to know of all of them."""

    # Forward return by horizon, or (horizon, calendar); None where only forecasts are.
    common: pd.DataFrame | None
    typical: pd.Series | None  # volatility
    calendars: dict[str, int] | None = None


class Rows(NamedTuple):
    """Stacked (date, series) rows with a known label."""

    X: RowStore
    y: np.ndarray  # (n_rows,) or (n_rows, n_outputs)
    dates: np.ndarray
    series: np.ndarray  # number of each row's series in its task
    names: tuple[str, ...] | None = None
    weight: np.ndarray | None = None  # of each label, 1 on average
    horizon: int = 1
    categories: tuple[int, ...] = ()  # numbers of the inputs that are some


class FeatureBlocks(ABC):
    """Features of a panel, read in blocks of dates."""

    # Forecasters of this package take one in place of a feature frame.
    columns: PanelColumns
    names: np.ndarray | None
    index: pd.Index | None
    universe: Universe | None  # where these are some of its tickers
    storage: Storage

    @property
    @abstractmethod
    def n_dates(self) -> int:
        """Number of rows."""

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        own = (self.columns.positions, *self.columns.marks.values())
        n_own = sum(int((numbers >= 0).sum()) for numbers in own)
        return n_own + len(self.columns.shared)

    @abstractmethod
    def tables(
        self, dates: np.ndarray | None = None, features: Sequence[str] | None = None
    ) -> Iterator[tuple[np.ndarray, FeatureTable]]:
        """Read blocks: row numbers, and a table of these rows."""
        # Given increasing `dates` or `features`, a block holds at least these.

    @abstractmethod
    def rows(self, start: int, stop: int) -> FeatureBlocks:
        """Select the rows from `start` to before `stop`."""

    @abstractmethod
    def select(
        self, tickers: Collection[str], universe: Universe | None = None
    ) -> FeatureBlocks:
        """Select the columns of some tickers, and those that all share."""

    @abstractmethod
    def load(self) -> FeatureTable:
        """Compute all features at once."""

    def frame(self) -> pd.DataFrame | np.ndarray:
        """Return all features as a forecaster of another package accepts them."""
        values = self.load().values
        if self.names is None:
            return values
        frame = pd.DataFrame(values, self.index, self.names, copy=False)
        frame.attrs["from_blocks"] = True
        if self.universe is not None:
            frame.attrs["universe"] = self.universe
        return frame

    def last(self, n_rows: int = 1) -> FeatureTable:
        """Load the last rows."""
        return self.rows(max(0, self.n_dates - n_rows), self.n_dates).load()

    def observed(self, tickers: Sequence[str | None]) -> np.ndarray:
        """Where each ticker has a finite feature of its own, `(n_dates, n_labels)`."""
        seen = np.zeros((self.n_dates, len(tickers)), dtype=bool)
        for dates, table in self.tables():
            seen[dates] = table.observed_here(table.series_columns(tickers))
            del table  # before the next block is computed
        return seen

    def own_feature(self, name: str, tickers: Sequence[str | None]) -> np.ndarray:
        """Read a feature or mark of each label's ticker, `(n_dates, n_labels)`."""
        out = np.full((self.n_dates, len(tickers)), np.nan, np.float32)
        for dates, table in self.tables(features=[name]):
            columns = table.columns.of(name, tickers)
            out[dates] = np.where(columns >= 0, table.values[:, columns], np.nan)
            del table  # before the next block is computed
        return out

    def members(self, tickers: Sequence[str | None]) -> np.ndarray | None:
        """Where each ticker belongs to the universe, None without a universe."""
        if not self.member_columns(tickers).size:
            return None
        inside = np.empty((self.n_dates, len(tickers)), dtype=bool)
        for dates, table in self.tables(features=[IN_UNIVERSE]):
            inside[dates] = table.members_here(tickers)
        return inside

    def absence(self, tickers: Sequence[str | None]) -> np.ndarray:
        """Find where tickers cannot be forecast from features; see `ABSENT`."""
        absent = np.zeros((self.n_dates, len(tickers)), dtype=np.intp)
        if self.series_columns(tickers).shape[1]:
            absent[~self.observed(tickers)] = ABSENT.index("unobserved")
        members = self.members(tickers)
        if members is not None:
            absent[~members] = ABSENT.index("not_member")
        return absent

    def member_columns(self, tickers: Sequence[str | None]) -> np.ndarray:
        """Look up the column that marks each label's membership; empty without one."""
        if IN_UNIVERSE not in self.columns.marks:
            return np.empty(0, dtype=np.intp)
        found = self.columns.of(IN_UNIVERSE, tickers)
        return found if (found >= 0).all() else np.empty(0, dtype=np.intp)

    def series_columns(self, tickers: Sequence[str | None]) -> np.ndarray:
        """Look up each label's own column numbers, `(n_labels, n_features)`."""
        numbers = {ticker: row for row, ticker in enumerate(self.columns.tickers)}
        rows = [numbers[t] for t in tickers if t is not None and t in numbers]
        if len(rows) != len(tickers):
            return np.empty((len(tickers), 0), dtype=np.intp)
        return self.columns.positions[rows]

    def category_inputs(self, columns: np.ndarray) -> tuple[int, ...]:
        """Find which inputs, made of columns `(n_series, n_inputs)`, are categories."""
        if not self.columns.categories:
            return ()
        found = np.isin(columns.max(axis=0), self.columns.category_positions)
        return tuple(np.flatnonzero(found).tolist())

    def stack(
        self,
        columns: np.ndarray,
        dates: np.ndarray,
        series: np.ndarray,
        n_first: int,
        *,
        keep: bool,
    ) -> tuple[RowStore, RowStore]:
        """Stack (date, series) rows, which are in the order of their dates."""
        # `columns` are (n_series, n_inputs), -1 where a series lacks an input; the
        # first `n_first` rows get a store of their own. `keep` keeps both for the next
        # learner that asks for the same.
        key = joblib.hash((columns, dates, series, n_first))
        if key in self._stores:
            return self._stores[key]
        width, both = columns.shape[1], self.storage
        stores = (
            RowStore(n_first, width, both),
            RowStore(len(dates) - n_first, width, both),
        )
        for block, table in self.tables(np.unique(dates)) if len(dates) else ():
            first, end = np.searchsorted(dates, [block[0], block[-1] + 1])
            for store, offset, low, high in (
                (stores[0], 0, first, min(end, n_first)),
                (stores[1], n_first, max(first, n_first), end),
            ):
                for start in range(low, high, store.chunk_rows):
                    stop = min(high, start + store.chunk_rows)
                    local = np.searchsorted(block, dates[start:stop])
                    space = store.space(start - offset, stop - offset)
                    table.gather(columns, local, series[start:stop], out=space)
                    store.put(start - offset, space)
            del table  # before the next block is computed
        if keep:
            self._stores[key] = stores
        return stores

    @property
    def _stores(self) -> dict[Any, tuple[RowStore, RowStore]]:
        return self.__dict__.setdefault("_kept", {})


@dataclass(eq=False)
class FeatureTable(FeatureBlocks):
    """Features in memory."""

    values: np.ndarray
    columns: PanelColumns
    index: pd.Index | None
    names: np.ndarray | None = None
    universe: Universe | None = None

    def __post_init__(self) -> None:
        # If all features fit in memory, there is room for a part of them.
        self.storage = Storage(memory_limit=None)

    @property
    def n_dates(self) -> int:
        """Number of rows."""
        return len(self.values)

    def tables(
        self, dates: np.ndarray | None = None, features: Sequence[str] | None = None
    ) -> Iterator[tuple[np.ndarray, FeatureTable]]:
        """Return the table itself as the only block."""
        yield np.arange(self.n_dates), self

    def rows(self, start: int, stop: int) -> FeatureTable:
        """Select the rows from `start` to before `stop`, without copying them."""
        index = None if self.index is None else self.index[start:stop]
        values = self.values[start:stop]
        return FeatureTable(values, self.columns, index, self.names, self.universe)

    def select(
        self, tickers: Collection[str], universe: Universe | None = None
    ) -> FeatureTable:
        """Select the columns of some tickers, and those that all share."""
        assert self.names is not None
        universe = universe or self.universe
        kept = self.columns.kept(tickers)
        names = self.names[kept]
        return FeatureTable(
            self.values[:, kept], PanelColumns.parse(names), self.index, names, universe
        )

    def load(self) -> FeatureTable:
        """Return the table itself."""
        return self

    def members_here(self, tickers: Sequence[str | None]) -> np.ndarray:
        """Where each ticker belongs to the universe."""
        return np.isfinite(self.values[:, self.member_columns(tickers)])

    def observed_here(self, own: np.ndarray) -> np.ndarray:
        """Where one of the columns `own` of each label is finite."""
        seen = np.zeros((self.n_dates, len(own)), dtype=bool)
        for numbers in own.T:
            seen |= np.isfinite(self.values[:, numbers]) & (numbers >= 0)
        return seen

    def gather(
        self,
        columns: np.ndarray,
        dates: np.ndarray,
        series: np.ndarray,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Stack rows into one model input, NaN, or 0 of categories, where missing."""
        if out is None:
            out = np.empty((len(dates), columns.shape[1]), np.float32, order="F")
        fill_rows(out, self.values, columns, dates, series)
        for number in self.category_inputs(columns):
            out[:, number] = numbered(out[:, number])
        return out


# Reads features of given rows (None: all) and ticker features (None: all of them, and
# the shared ones), in blocks of consecutive rows.
Reader = Callable[[np.ndarray | None, Sequence[str] | None], Iterator[pd.DataFrame]]


class FeatureStream(FeatureBlocks):
    """Features that are computed block by block of dates when they are read."""

    def __init__(
        self,
        read: Reader,
        names: np.ndarray,
        index: pd.Index,
        storage: Storage | None = None,
        universe: Universe | None = None,
        make_universe: Callable[[], Universe] | None = None,
        columns: PanelColumns | None = None,
    ) -> None:
        self.read = read
        self.names: np.ndarray = names
        self.storage = Storage() if storage is None else storage
        self.universe = universe
        self.make_universe = make_universe
        self.columns = PanelColumns.parse(names) if columns is None else columns
        self.index: pd.Index = index
        self._n_all, self._start = len(index), 0
        self._loaded: FeatureTable | None = None

    @property
    def n_dates(self) -> int:
        """Number of rows."""
        return len(self.index)

    @property
    def is_loaded(self) -> bool:
        """Whether all features are in memory."""
        return self._loaded is not None

    def tables(
        self, dates: np.ndarray | None = None, features: Sequence[str] | None = None
    ) -> Iterator[tuple[np.ndarray, FeatureTable]]:
        """Compute blocks, unless all features have been loaded."""
        if self._loaded is not None:
            yield from self._loaded.tables()
            return
        wanted = np.arange(self.n_dates) if dates is None else np.asarray(dates)
        whole = dates is None and self.n_dates == self._n_all
        parsed = self.columns if features is None else None
        start = 0
        rows = None if whole else wanted + self._start
        for frame in self.read(rows, features):
            block = wanted[start : start + len(frame)]
            start += len(frame)
            if parsed is None:
                parsed = PanelColumns.parse(frame.columns)
            values = frame.to_numpy()
            names = self.names if features is None else frame.columns.to_numpy()
            index, universe = frame.index, self.universe
            yield block, FeatureTable(values, parsed, index, names, universe)
            del frame, values

    def rows(self, start: int, stop: int) -> FeatureBlocks:
        """Select the rows from `start` to before `stop`; nothing is computed."""
        if self._loaded is not None:
            return self._loaded.rows(start, stop)
        part = self.__class__.__new__(self.__class__)
        part.__dict__.update(self.__dict__)
        for kept in ("_kept", "_scales", "_read_once"):
            part.__dict__.pop(kept, None)
        part.index = self.index[start:stop]
        part._start = self._start + start
        return part

    def known_of_all(self) -> Universe | None:
        """Gather what forecasters of some of the tickers have to know of all."""
        if self.universe is None and self.make_universe is not None:
            self.universe = self.make_universe()
            if self._loaded is not None:
                self._loaded.universe = self.universe
        return self.universe

    def select(
        self, tickers: Collection[str], universe: Universe | None = None
    ) -> FeatureStream:
        """Select the columns of some tickers, and those that all share."""
        universe = universe or self.known_of_all()
        kept = self.columns.kept(tickers)
        read = _Selected(self, frozenset(tickers))
        part = FeatureStream(read, self.names[kept], self.index, self.storage, universe)
        if self._loaded is not None:
            part._loaded = self._loaded.select(tickers, universe)
        return part

    def holding(self, values: np.ndarray) -> FeatureTable:
        """Create a table of these columns of features that have been computed."""
        return FeatureTable(values, self.columns, self.index, self.names, self.universe)

    def __getstate__(self) -> dict[str, Any]:
        # What has been computed is computed again where it is needed.
        dropped = {"_kept": None, "_scales": None, "_read_once": None, "_loaded": None}
        state = {k: v for k, v in self.__dict__.items() if k not in dropped}
        return {**state, "_loaded": None}

    def load(self) -> FeatureTable:
        """Compute all features at once, and keep them."""
        if self._loaded is None:
            self._loaded = self.holding(self._all_values())
            self._loaded.storage = self.storage
        return self._loaded

    def _all_values(self) -> np.ndarray:
        values = np.empty((self.n_dates, len(self.names)), np.float32)
        for dates, table in self.tables():
            if len(dates) == self.n_dates:
                return table.values
            values[dates[0] : dates[-1] + 1] = table.values
            del table  # before the next block is computed
        return values


@dataclass(frozen=True)
class _Selected:
    """Reads the columns of some tickers from a stream."""

    source: FeatureStream
    tickers: frozenset[str]

    def __call__(
        self, rows: np.ndarray | None, features: Sequence[str] | None
    ) -> Iterator[pd.DataFrame]:
        columns = None
        for _, table in self.source.tables(rows, features):
            if columns is None:
                columns = table.columns.kept(self.tickers)
            frame = pd.DataFrame(table.values, table.index, table.names, copy=False)
            yield frame.iloc[:, columns]
