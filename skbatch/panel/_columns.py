"""Names of feature columns, and the panel structure they carry."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

SEPARATOR = "__"
MARKET = "market"
IN_UNIVERSE = "in_universe"  # 1 for members of the universe, else NaN; no feature
CATEGORY = "_category"  # with which the names of features end that are categories
GROUPING = "_grouping"  # with which numbers of groups end, which are no feature
# Signals of this name, alone or after a word, are volatilities, of any unit.
IMPLIED_VOLATILITY = re.compile(r"(\w+_)?implied_volatility")


def join_column(ticker: str, feature: str) -> str:
    """Name the column of one ticker's feature: ``TICKER__feature``."""
    return f"{ticker}{SEPARATOR}{feature}"


def join_columns(tickers: Iterable[str], features: Iterable[str]) -> list[str]:
    """Name the columns of tickers' features, feature by feature."""
    return [f"{t}{SEPARATOR}{feature}" for feature in features for t in tickers]


def split_column(column: str) -> tuple[str | None, str]:
    """Split a column name at its last ``__`` into ticker and feature.

    Parameters
    ----------
    column : str
        A column name such as ``"AAPL__log_return_5"``.

    Returns
    -------
    ticker : str or None
        None when the name has no ``__``: the column is shared by all tickers.
    feature : str
        The feature's name.

    Examples
    --------
    >>> from skbatch.panel import split_column
    >>> split_column("BRK__B__volatility_21")
    ('BRK__B', 'volatility_21')
    >>> split_column("vix")
    (None, 'vix')
    """
    ticker, separator, feature = column.rpartition(SEPARATOR)
    return (ticker, feature) if separator else (None, column)


def are_among(names: pd.Index, chosen: Collection[str]) -> np.ndarray:
    """Mark the names that are among some."""
    # `Index.isin` converts text one by one, which takes a hundred times as long.
    known = set(chosen)
    return np.fromiter((name in known for name in names.tolist()), bool, len(names))


@dataclass(frozen=True)
class PanelColumns:
    """Where each ticker's features stand among the columns of a feature frame."""

    tickers: tuple[str, ...]  # empty without panel structure
    features: tuple[str, ...]
    positions: np.ndarray  # (n_tickers, n_features), -1 where a ticker lacks one
    shared: tuple[str, ...]  # market__*, or without __
    shared_positions: np.ndarray
    # By name, columns (n_tickers,) of what is no feature, -1 without one.
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def parse(cls, columns: Iterable[str]) -> PanelColumns:
        """Read the structure from column names."""
        tickers: dict[str, int] = {}
        features: dict[str, int] = {}
        cells: list[tuple[int, int, int]] = []
        shared: dict[str, int] = {}
        marks: dict[str, dict[int, int]] = {}
        if isinstance(columns, pd.Index):
            columns = columns.tolist()  # text is iterated over slowly
        for number, column in enumerate(columns):
            ticker, feature = split_column(column)
            if ticker is None or ticker == MARKET:
                shared[column] = number
                continue
            row = tickers.setdefault(ticker, len(tickers))
            if feature == IN_UNIVERSE or feature.endswith(GROUPING):
                marks.setdefault(feature, {})[row] = number
                continue
            cells.append((row, features.setdefault(feature, len(features)), number))
        positions = np.full((len(tickers), len(features)), -1, dtype=np.intp)
        if cells:
            rows, cols, numbers = np.asarray(cells, dtype=np.intp).T
            positions[rows, cols] = numbers
        marked = {
            name: np.array([own.get(row, -1) for row in range(len(tickers))], np.intp)
            for name, own in marks.items()
        }
        return cls(
            tickers=tuple(tickers),
            features=tuple(features),
            positions=positions,
            shared=tuple(shared),
            shared_positions=np.asarray(list(shared.values()), dtype=np.intp),
            marks=marked,
        )

    def equals(self, other: PanelColumns) -> bool:
        """Return whether columns have the same names, in the same order."""
        return self is other or (
            self.tickers == other.tickers
            and self.features == other.features
            and self.shared == other.shared
            and self.marks.keys() == other.marks.keys()
            and np.array_equal(self.positions, other.positions)
            and np.array_equal(self.shared_positions, other.shared_positions)
            and all(np.array_equal(self.marks[m], other.marks[m]) for m in self.marks)
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """Ticker features that are codes of categories, 0, 1, …, or NaN."""
        # Their names end with `_category`, such as sector_category.
        return tuple(name for name in self.features if name.endswith(CATEGORY))

    def of(self, name: str, tickers: Sequence[str | None]) -> np.ndarray:
        """Look up the columns of a feature or a mark of tickers, -1 where it lacks."""
        own = self.marks.get(name)
        if own is None:
            own = self.positions[:, self.features.index(name)]
        numbers: dict[str | None, int] = dict(zip(self.tickers, own, strict=True))
        return np.array([numbers.get(ticker, -1) for ticker in tickers], dtype=np.intp)

    @property
    def category_positions(self) -> np.ndarray:
        """Column numbers of these features, of all tickers."""
        found = [name.endswith(CATEGORY) for name in self.features]
        numbers = self.positions[:, found].ravel()
        return numbers[numbers >= 0]

    def kept(self, tickers: Collection[str]) -> np.ndarray:
        """Find the columns of some tickers and the shared ones."""
        wanted = set(tickers)
        rows = [row for row, ticker in enumerate(self.tickers) if ticker in wanted]
        marked = [numbers[rows] for numbers in self.marks.values()]
        own = np.concatenate([self.positions[rows].ravel(), *marked])
        return np.sort(np.concatenate([own[own >= 0], self.shared_positions]))
