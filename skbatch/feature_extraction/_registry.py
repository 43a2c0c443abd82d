"""Registration of features: one decorated function is all that a feature takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

CHOSEN = frozenset({"anomalies"})  # families that are computed only when named

Scope = Literal["ticker", "cross_section", "market"]
Function = TypeVar("Function", bound=Callable[..., np.ndarray])

_ENTRIES: dict[Callable[..., np.ndarray], Entry] = {}


@dataclass(frozen=True)
class Feature:
    """One feature: an entry of the catalogue with its window, if it has windows."""

    entry: Entry
    window: int | None
    grouping: str = "group"  # whose groups a feature with groups is relative to

    @property
    def name(self) -> str:
        """Name of the feature, without the ticker."""
        name = self.entry.function.__name__
        if self.grouping != "group":
            name = f"{self.grouping}{name.removeprefix('group')}"
        return name if self.window is None else f"{name}_{self.window}"

    @property
    def lookback(self) -> int:
        """How many rows before its own the feature reads."""
        return self.entry.lookback(self.window or 0)

    def __reduce__(self) -> tuple[Any, ...]:
        # By name: functions of the catalogue may move, and their rules may change.
        is_market = self.entry.scope == "market"
        name = self.entry.function.__name__
        return _load_feature, (is_market, name, self.window, self.grouping)

    def compute(self, context: Any) -> np.ndarray:
        """Compute the values in a context that fits the entry's scope."""
        if self.entry.needs_groups:
            context = context.grouped(self.grouping)
        if self.window is None:
            return self.entry.function(context)
        return self.entry.function(context, self.window)


@dataclass(frozen=True)
class Entry:
    """What the catalogue knows of a feature."""

    # Takes a block of tickers, the universe for other scopes, and the window. Returns
    # its values at the wanted rows. Its name and docstring are the feature's.
    function: Callable[..., np.ndarray]
    family: str  # by which users choose it
    # Whether a ticker's values depend on that ticker (and the market's series) alone,
    # on all tickers, or are shared by all.
    scope: Scope
    # Smallest and largest of the user's windows that it takes.
    windows: tuple[int, int | None] | None
    also: tuple[int, ...]  # windows that it has whatever the user's are
    needs: frozenset[str]  # fields ("close", "high", …), "dates" or "groups"
    lookback: Callable[[int], int]  # window → how many rows before its own it reads

    @property
    def needs_groups(self) -> bool:
        """Whether tickers are compared within groups."""
        return "groups" in self.needs

    def features(
        self, windows: Iterable[int], grouping: str = "group"
    ) -> Iterator[Feature]:
        """List the features that this entry makes of the user's windows."""
        if self.windows is None and not self.also:
            yield Feature(self, None, grouping)
            return
        low, high = self.windows or (1, 0)
        chosen = {w for w in windows if low <= w and (high is None or w <= high)}
        for window in sorted(chosen.union(self.also)):
            yield Feature(self, window, grouping)


def feature(
    family: str,
    *,
    scope: Scope = "ticker",
    windows: tuple[int, int | None] | None = None,
    also: tuple[int, ...] = (),
    needs: tuple[str, ...] = ("close",),
    lookback: Callable[[int], int] = lambda window: window,
) -> Callable[[Function], Function]:
    """Register a function as a feature of the catalogue; see `Entry`."""

    def register(function: Function) -> Function:
        _ENTRIES[function] = Entry(
            function, family, scope, windows, also, frozenset(needs), lookback
        )
        return function

    return register


def catalogue() -> tuple[Entry, ...]:
    """List all entries in the order of their columns."""
    return tuple(_ENTRIES.values())


def entry_of(function: Callable[..., np.ndarray]) -> Entry:
    """Find the entry of a registered function."""
    return _ENTRIES[function]


def _load_feature(
    is_market: bool, name: str, window: int | None, grouping: str
) -> Feature:
    """Find a pickled feature in the catalogue."""
    for entry in catalogue():
        if (entry.scope == "market") == is_market and entry.function.__name__ == name:
            return Feature(entry, window, grouping)
    raise ValueError(
        f"A saved extractor must use features of the catalogue. Got {name!r}, which "
        "this version of skbatch does not have. Fit the extractor again."
    )


def families() -> tuple[str, ...]:
    """List the names of all families."""
    return tuple(dict.fromkeys(entry.family for entry in catalogue()))
