"""Which features an extractor computes, and what their columns are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

import skbatch.feature_extraction.catalogue  # noqa: F401  registers the features
from skbatch._messages import format_tickers
from skbatch.feature_extraction._registry import (
    CHOSEN,
    Feature,
    catalogue,
    families,
)
from skbatch.feature_extraction._signals import SignalFeature
from skbatch.panel.engine import (
    FIELDS,
    GROUPING,
    IMPLIED_VOLATILITY,
    IN_UNIVERSE,
    MARKET,
    PanelColumns,
    join_columns,
)

# Scales by which labels are divided, so that they are never compared across tickers.
# Nor are the volatilities that the expected volatility is estimated from.
_RAW = {"volatility", "beta", "idiosyncratic_volatility", "parkinson_volatility"}


@dataclass(frozen=True)
class FeaturePlan:
    """The features of a fitted extractor, in the order of their columns."""

    tickers: tuple[str, ...]
    ticker_features: tuple[Feature, ...]
    signals: tuple[SignalFeature, ...]
    ticker_functions: tuple[str, ...]  # names of those with a value for each ticker
    market_features: tuple[Feature, ...]
    market_functions: tuple[str, ...]  # names of those with a value shared by all
    market_data: tuple[str, ...]  # names of the user's series
    cross_section: str | None = None  # how the tickers' features are compared
    groupings: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()  # columns of groups and membership, no features

    @property
    def features(self) -> tuple[Feature | SignalFeature, ...]:
        """All features but those of the user's functions and series."""
        return self.ticker_features + self.signals + self.market_features

    @property
    def own_features(self) -> tuple[Feature | SignalFeature, ...]:
        """Features of each ticker, without those of the user's functions."""
        return self.ticker_features + self.signals

    @property
    def compared(self) -> np.ndarray:
        """Mark the ticker features that `cross_section` compares across tickers."""
        own = [
            feature.entry.scope == "ticker"
            and feature.entry.function.__name__ not in _RAW
            for feature in self.ticker_features
        ]
        signals = [
            feature.kind in ("value", "change")
            and not IMPLIED_VOLATILITY.fullmatch(feature.name)
            for feature in self.signals
        ]
        functions = [True for _ in self.ticker_functions]
        return np.array([*own, *signals, *functions, *(False for _ in self.marks)])

    @cached_property
    def ticker_names(self) -> list[str]:
        """Names of what each ticker has."""
        names = [feature.name for feature in self.own_features]
        return [*names, *self.ticker_functions, *self.marks]

    @cached_property
    def market_names(self) -> list[str]:
        """Names of what all tickers share."""
        names = [feature.name for feature in self.market_features]
        return [*names, *self.market_functions, *self.market_data]

    def frame(self, values: np.ndarray, index: pd.Index) -> pd.DataFrame:
        """Create the feature frame, and record which feature shows a missing signal."""
        # A view, so that renaming the columns of one frame does not rename those of
        # others.
        frame = pd.DataFrame(values, index, self.index.view(), copy=False)
        named: dict[str, str] = {}
        for feature in sorted(self.signals, key=lambda feature: feature.window > 0):
            named.setdefault(feature.signal, feature.name)
        if named:
            frame.attrs["signals"] = named
        return frame

    @property
    def n_columns(self) -> int:
        """Number of columns of the feature frame."""
        return len(self.ticker_names) * len(self.tickers) + len(self.market_names)

    @property
    def lookback(self) -> int:
        """How many rows before its own the longest feature reads."""
        return max((feature.lookback for feature in self.features), default=0)

    @property
    def longest_window(self) -> int:
        """The longest window of the features."""
        built_in = self.ticker_features + self.market_features
        return max((feature.window or 0 for feature in built_in), default=0)

    def part(self, names: Iterable[str]) -> FeaturePlan:
        """Choose some ticker features by name, without what all tickers share."""
        chosen = frozenset(names)
        unknown = sorted(chosen.difference(self.ticker_names))
        if unknown or not chosen:
            raise ValueError(
                "`features` must hold names of ticker features seen in `fit`. Got "
                f"{format_tickers(unknown) or 'none'}. Correct them, or fit again."
            )
        return FeaturePlan(
            self.tickers,
            tuple(f for f in self.ticker_features if f.name in chosen),
            tuple(f for f in self.signals if f.name in chosen),
            tuple(name for name in self.ticker_functions if name in chosen),
            (),
            (),
            (),
            self.cross_section,
            self.groupings,
            tuple(name for name in self.marks if name in chosen),
        )

    def check_groupings(self, groups: Iterable[str]) -> None:
        """Raise unless groupings are those of the fit."""
        if tuple(groups) != self.groupings:
            raise ValueError(
                f"`groups` must be those seen in `fit`. Got {list(groups)}, fitted on "
                f"{list(self.groupings)}. Fit again."
            )

    def columns(self, tickers: Sequence[str] | None = None) -> np.ndarray:
        """Name the columns: feature by feature, then what all tickers share."""
        if tickers is None:
            return self._names.copy()
        own = join_columns(tickers, self.ticker_names)
        return np.array(own + self._shared_names, dtype=object)

    @cached_property
    def index(self) -> pd.Index:
        """Names of all columns, made once."""
        return pd.Index(self._names)

    @cached_property
    def _names(self) -> np.ndarray:
        return self.columns(self.tickers)

    @property
    def _shared_names(self) -> list[str]:
        return join_columns([MARKET], self.market_names)

    @property
    def panel_columns(self) -> PanelColumns:
        """The structure of the columns, which need not be parsed for it."""
        n_names = len(self.ticker_names)
        tickers = self.tickers if n_names else ()
        n_tickers = len(tickers)
        numbers = np.arange(n_names * n_tickers).reshape(n_names, n_tickers).T
        n_features = n_names - len(self.marks)
        marks = numbers[:, n_features:].T
        shared = self._shared_names
        return PanelColumns(
            tickers,
            tuple(self.ticker_names[:n_features]),
            np.ascontiguousarray(numbers[:, :n_features]),
            tuple(shared),
            numbers.size + np.arange(len(shared)),
            dict(zip(self.marks, marks, strict=True)),
        )

    def __getstate__(self) -> dict[str, Any]:
        # Creating the names again is faster than reading them from a file.
        made = "index", "_names"
        return {name: v for name, v in self.__dict__.items() if name not in made}


def available_needs(panel: pd.DataFrame, has_groups: bool) -> frozenset[str]:
    """List what features may need and the panel has."""
    has_fields = panel.columns.nlevels > 1
    fields = panel.columns.unique("field") if has_fields else ["Close"]
    available = {field.lower() for field in fields if field in FIELDS}
    if isinstance(panel.index, pd.DatetimeIndex):
        available.add("dates")
    if has_groups:
        available.add("groups")
    return frozenset(available)


def check_windows(windows: Any) -> tuple[int, ...]:
    """Check that windows are unique integers of at least 2, and sort them."""
    values = tuple(windows) if isinstance(windows, Iterable) else (None,)
    valid = all(
        isinstance(w, (int, np.integer)) and not isinstance(w, bool) and w >= 2
        for w in values
    )
    if not valid or len(set(values)) < len(values):
        raise ValueError(
            "`windows` must be a sequence of unique integers of at least 2. Got "
            f"{windows!r}. Pass numbers of rows, such as (5, 21, 63)."
        )
    return tuple(sorted(int(window) for window in values))


def check_families(chosen: Any, available: frozenset[str]) -> frozenset[str]:
    """Find the families to compute, and check that the panel has what they need."""
    default = frozenset(families()) - CHOSEN
    if chosen is None:
        return default
    names = {chosen} if isinstance(chosen, str) else set(chosen)
    named = frozenset(names - {"default"})
    for name in sorted(named):
        _check_needs(name, available)
    return named | default if "default" in names else named


def _check_needs(family: str, available: frozenset[str]) -> None:
    """Raise if the panel lacks what every feature of a family needs."""
    needs = [entry.needs for entry in catalogue() if entry.family == family]
    if not any(need <= available for need in needs):
        lacking = sorted(min(needs, key=len) - available)
        raise ValueError(
            f"`families` must be computable from the panel. Got {family!r} without "
            f"{', '.join(lacking)}. Pass a panel with fields (field, ticker), a "
            "DatetimeIndex or `groups`, or leave this family out."
        )


def make_plan(
    families: Any,
    windows: Any,
    available: frozenset[str],
    tickers: Sequence[str],
    functions: Mapping[str, int],
    market_data: Iterable[str],
    signals: tuple[SignalFeature, ...] = (),
    cross_section: str | None = None,
    groupings: Sequence[str] = ("group",),
    has_universe: bool = False,
) -> FeaturePlan:
    """Choose the features of the families that the panel allows, and name them."""
    names = check_families(families, available)
    windows = check_windows(windows)
    features = [
        feature
        for entry in catalogue()
        if entry.family in names and entry.needs <= available
        for grouping in (groupings if entry.needs_groups else ["group"])
        for feature in entry.features(windows, grouping)
    ]
    marks = [f"{name}{GROUPING}" for name in groupings]
    plan = FeaturePlan(
        tickers=tuple(tickers),
        ticker_features=tuple(f for f in features if f.entry.scope != "market"),
        signals=signals,
        ticker_functions=tuple(name for name, ndim in functions.items() if ndim == 2),
        market_features=tuple(f for f in features if f.entry.scope == "market"),
        market_functions=tuple(name for name, ndim in functions.items() if ndim == 1),
        market_data=tuple(market_data),
        cross_section=cross_section,
        groupings=tuple(groupings),
        marks=(*marks, IN_UNIVERSE) if has_universe else tuple(marks),
    )
    _check_names(plan)
    return plan


def _check_names(plan: FeaturePlan) -> None:
    """Raise if there is no feature, or two have the same name."""
    if not plan.n_columns:
        raise ValueError(
            "`families` and `windows` must leave at least one feature. Got none. Add "
            "a family or a window."
        )
    for names in (plan.ticker_names, plan.market_names):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                "Signals and the names in `functions`, `groups` and `market_data` must "
                "make feature names that differ from each other and from those of the "
                f"built-in features. Got {format_tickers(twice)} twice. "
                "Rename them."
            )


def list_features(windows: Sequence[int] = (5, 10, 21, 63, 126, 252)) -> pd.DataFrame:
    """List the built-in features.

    Parameters
    ----------
    windows : sequence of int, default=(5, 10, 21, 63, 126, 252)
        Windows in rows, at least 2, as :class:`SharedFeatureExtractor` takes them.

    Returns
    -------
    DataFrame of shape (n_features, 6)
        One row per feature in the order of columns, with its family, whether that is
        computed by default, whether all tickers share it, what it needs of the panel,
        how many rows before its own it reads, and a summary. The index holds the names
        as they are in columns, after ``TICKER__`` or ``market__``.

    Examples
    --------
    >>> from skbatch.feature_extraction import list_features
    >>> features = list_features(windows=[63])
    >>> features.loc["momentum_63", ["family", "needs", "lookback"]]
    family      returns
    needs         close
    lookback         63
    Name: momentum_63, dtype: object
    """
    rows = [
        {
            "feature": feature.name,
            "family": entry.family,
            "default": entry.family not in CHOSEN,
            "shared": entry.scope == "market",
            "needs": ", ".join(sorted(entry.needs)),
            "lookback": feature.lookback,
            "summary": str(entry.function.__doc__).partition("\n")[0],
        }
        for entry in catalogue()
        for feature in entry.features(check_windows(windows))
    ]
    return pd.DataFrame(rows).set_index("feature")
