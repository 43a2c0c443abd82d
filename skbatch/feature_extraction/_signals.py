"""Features from signals, the fields of a panel that are neither prices nor volume."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.cross_section import by_group
from skbatch._messages import count, format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.feature_extraction._additions import check_name
from skbatch.feature_extraction._context import RowBlock
from skbatch.feature_extraction._groupings import COMPARISONS, split_comparison
from skbatch.panel.engine import (
    CATEGORY,
    IMPLIED_VOLATILITY,
    panel_fields,
    panel_signals,
    panel_tickers,
)

_CHANGE = re.compile(r"change_(\d+)")
_VALUE, _CODE, _ONE = "value", CATEGORY[1:], "one_hot"

Categories = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class SignalFeature:
    """One feature made of a signal."""

    signal: str
    kind: str  # value, category, change, or the name of a comparison
    window: int = 0  # of a change
    grouping: str = ""  # within which the tickers are compared
    category: str = ""  # whose bearers have 1, others 0
    code: int = -1  # of that category

    @property
    def name(self) -> str:
        """Name of the feature, without the ticker."""
        words = [self.signal, self.grouping, self.kind, str(self.window or "")]
        if self.kind == _ONE:
            words = [self.signal, self.category]
        if self.kind == _VALUE:
            words = [self.signal]
        return "_".join(filter(None, words))

    @property
    def lookback(self) -> int:
        """How many rows before its own the feature reads."""
        return self.window

    def compute(self, block: RowBlock) -> np.ndarray:
        """Compute the values of all tickers in some rows; NaN without a price."""
        values = block.signal(self.signal)
        if self.kind in (_VALUE, _CODE):
            return values
        if self.kind == _ONE:
            return np.where(np.isnan(values), np.nan, values == self.code)
        if self.window:
            return values - block.signal_before(self.signal, self.window)
        statistic = COMPARISONS[self.kind]
        if not self.grouping:
            return statistic(values)
        return by_group(statistic, values, block.grouped(self.grouping).codes)


def learn_categories(panel: pd.DataFrame) -> Categories:
    """List the categories of each signal that has some, in the order of their dates."""
    # A category that comes later does not change the codes of those before it. Those
    # of one date are in the order of the signal's own categories.
    found: Categories = {}
    for name, table in panel_signals(panel).items():
        dtype = table.dtypes.iloc[0]
        if isinstance(dtype, pd.CategoricalDtype):
            codes = np.column_stack([table[ticker].cat.codes for ticker in table])
            known, first = np.unique(codes.ravel(), return_index=True)
            rows = first // codes.shape[1]
            order = np.lexsort((known, rows))
            values = dtype.categories
            found[name] = tuple(values[i] for i in known[order] if i >= 0)
    return found


def encode_signals(panel: pd.DataFrame, categories: Categories) -> pd.DataFrame:
    """Turn bools to 0 and 1, and categories to their numbers; NaN if not known."""
    if (panel.dtypes == np.float64).all():
        return panel
    fields = panel.columns.get_level_values("field")
    signals = panel_signals(panel)
    parts = [panel.loc[:, ~fields.isin(list(signals))].to_numpy()]
    unseen: list[str] = []
    for name, table in signals.items():
        dtype = table.dtypes.iloc[0]
        if isinstance(dtype, pd.CategoricalDtype):
            values, strange = _encode(table, dtype, categories.get(name, ()))
            unseen += [f"{name} {value!r}" for value in strange]
        else:
            values = table.to_numpy(dtype=np.float64)
        given = panel.columns[fields == name].get_level_values("ticker")
        parts.append(values[:, table.columns.get_indexer(given)])
    if unseen:
        warn_user(
            "Categories must be among those seen in `fit`. Got "
            f"{format_tickers(unseen)}, which {'is' if len(unseen) == 1 else 'are'} "
            "treated as missing. Fit again on rows that contain all categories.",
            PanelWarning,
        )
    values = np.concatenate(parts, axis=1)
    return pd.DataFrame(values, panel.index, panel.columns, copy=False)


def _encode(
    table: pd.DataFrame, dtype: pd.CategoricalDtype, known: Sequence[Any]
) -> tuple[np.ndarray, list[Any]]:
    """Find the codes of a signal's categories, and list those without one."""
    codes = np.column_stack([table[ticker].cat.codes for ticker in table])
    places = {value: float(place) for place, value in enumerate(known)}
    numbers = np.array([places.get(v, np.nan) for v in dtype.categories] + [np.nan])
    used = np.unique(codes[codes >= 0])
    strange = [dtype.categories[i] for i in used if np.isnan(numbers[i])]
    return numbers[codes], strange  # a missing one has the code −1, the last


def choose_signals(
    signals: Any,
    panel: pd.DataFrame,
    categories: Categories,
    windows: Sequence[int],
    groupings: Collection[str],
    universe: Any = None,
) -> tuple[SignalFeature, ...]:
    """List the features of the signals that the user chose, or of all by default."""
    tables = panel_signals(panel)
    if signals is None:
        field = universe if isinstance(universe, str) else None
        signals = [name for name in tables if name != field]
    if isinstance(signals, str) or not isinstance(signals, Iterable):
        raise ValueError(
            "`signals` must be a dict of signal → list of features, or a list of "
            f"signals. Got {signals!r}. For example, pass "
            f'{{"earnings_yield": ["rank"]}}.'
        )
    kinds = signals if isinstance(signals, Mapping) else dict.fromkeys(signals)
    unknown = [name for name in kinds if name not in tables]
    if unknown:
        raise ValueError(
            "`signals` must be fields of the panel other than prices and volume. Got "
            f"{format_tickers(map(repr, unknown))}, the panel has "
            f"{format_tickers(tables) or 'none'}. Correct the names, or join them with "
            "`join_signals`."
        )
    chosen: list[SignalFeature] = []
    for name, kind in kinds.items():
        check_name(name, "signals")
        if IMPLIED_VOLATILITY.fullmatch(name):
            _check_volatility(name, tables[name])
        if kind is None:
            kind = _default_kinds(tables[name], name in categories, windows)
        words = [kind] if isinstance(kind, str) else list(kind)
        if name in categories and _ONE in words:
            chosen += _one_hot(name, categories[name])
            words.remove(_ONE)
        chosen += [_parse(name, w, name in categories, groupings) for w in words]
    return tuple(dict.fromkeys(chosen))


def _check_volatility(signal: str, table: pd.DataFrame) -> None:
    """Refuse volatilities below zero, such as standardized ones."""
    low = table.min(numeric_only=True)
    if (low < 0).any():
        raise PanelError(
            "Signals named implied_volatility must not be negative, because the "
            f"expected volatility is derived from them. Got {low.min():g} in "
            f"{signal!r} of {format_tickers(low.index[low < 0])}. Correct the values, "
            "or rename it."
        )


def _one_hot(signal: str, categories: Sequence[Any]) -> list[SignalFeature]:
    """List a feature for each category, 1 for its bearers and 0 for others."""
    found = [
        SignalFeature(signal, _ONE, category=str(value), code=code)
        for code, value in enumerate(categories)
    ]
    for feature in found:
        check_name(feature.name, "signals")
    return found


def _default_kinds(
    table: pd.DataFrame, is_category: bool, windows: Sequence[int]
) -> list[str]:
    """Choose a category's code, or the value, its rank, and its change."""
    if is_category:
        return [_CODE]
    if table.dtypes.iloc[0] == np.bool_:
        return [_VALUE]
    changes = [f"change_{windows[len(windows) // 2]}"] if windows else []
    return [_VALUE, "rank", *changes]


def _parse(
    signal: str, kind: Any, is_category: bool, groupings: Collection[str]
) -> SignalFeature:
    """Read what a feature is called."""
    text = kind if isinstance(kind, str) else ""
    if is_category or text in (_CODE, _ONE):
        if not (is_category and text == _CODE):
            raise ValueError(
                f"`signals[{signal!r}]` must be category or one_hot for categories, "
                f"and neither for numbers. Got {kind!r}. Pass codes as text or "
                "categories."
            )
        return SignalFeature(signal, _CODE)
    change, comparison = _CHANGE.fullmatch(text), split_comparison(text, groupings)
    if text == _VALUE and not signal.endswith(CATEGORY):
        return SignalFeature(signal, _VALUE)
    if change and int(change[1]):
        return SignalFeature(signal, "change", int(change[1]))
    if comparison:
        return SignalFeature(signal, comparison[1], grouping=comparison[0])
    if text == _VALUE:
        raise ValueError(
            f"Names of numeric signals must not end in {CATEGORY!r}, which marks codes "
            f"of categories. Got {signal!r}. Rename it, or convert it with "
            '`astype("category")`.'
        )
    within = [f"{group}_rank" for group in groupings]
    raise ValueError(
        f"`signals[{signal!r}]` must be among value, change_N with N rows, "
        f"{', '.join([*COMPARISONS, *within])}. Got {kind!r}. Correct it, or name "
        "the grouping in `groups`."
    )


def missing_at_end(panel: pd.DataFrame, names: Iterable[str]) -> dict[str, str]:
    """Find the signals that each ticker with a last price lacks, and since when."""
    signals, priced = panel_signals(panel), np.isfinite(panel_fields(panel)["close"])
    tickers, texts = panel_tickers(panel), dict[str, list[str]]()
    for name in dict.fromkeys(names):
        known = np.isfinite(signals[name].to_numpy())
        age = np.argmax(known[::-1], axis=0)  # 0 where it is never known
        for number in np.flatnonzero(priced[-1] & ~known[-1]):
            since = f"in the last {count(len(panel), 'row')}"
            if age[number]:
                since = f"(last known {count(age[number], 'row')} ago)"
            text = f"no {name} {since}"
            texts.setdefault(tickers[number], []).append(text)
    return {ticker: ", ".join(found) for ticker, found in texts.items()}
