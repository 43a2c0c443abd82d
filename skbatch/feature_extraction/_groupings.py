"""Groupings of tickers, and how those of a date are compared, all or in groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.cross_section import (
    by_group,
    centred_rank,
    clipped_score,
    gap_from_mean,
)
from skbatch._messages import format_tickers
from skbatch.feature_extraction._additions import check_dates, check_name
from skbatch.panel.engine import GROUPING, panel_fields, panel_signals, panel_tickers

GROUP = "group"  # what a grouping without a name is called

_One = Mapping[str, Hashable] | pd.Series | pd.DataFrame | str
Grouping = _One | Sequence[str] | Mapping[str, _One]

# By grouping, each group's number, negative for none: of each ticker, or of each date
# and ticker.
Codes = dict[str, np.ndarray]

Statistic = Callable[[np.ndarray], np.ndarray]

COMPARISONS: dict[str, Statistic] = {
    "rank": centred_rank,
    "zscore": clipped_score,
    "gap": gap_from_mean,
}


def name_groupings(groups: Any) -> dict[str, Any]:
    """Name each grouping that the user gave."""
    if groups is None:
        return {}
    if isinstance(groups, str):
        return {groups: groups}
    if isinstance(groups, (list, tuple)) and all(isinstance(g, str) for g in groups):
        return {name: name for name in groups}
    if isinstance(groups, (pd.Series, pd.DataFrame)):
        return {GROUP: groups}
    if not isinstance(groups, Mapping):
        raise ValueError(
            "`groups` must be a dict or Series of ticker → group, a table of dates × "
            "tickers, the name of a signal, or a dict of names to any of these. Got "
            f'{type(groups).__name__}. For example, pass {{"AAPL": "tech"}}.'
        )
    tables = (Mapping, pd.Series, pd.DataFrame)
    if not any(isinstance(value, tables) for value in groups.values()):
        return {GROUP: groups}
    for name in groups:
        check_name(name, "groups")
    return dict(groups)


def fixed_codes(groups: Any, tickers: tuple[str, ...]) -> Codes:
    """Find the codes of the groupings that hold for all dates."""
    return {
        name: _number(source, tickers)
        for name, source in name_groupings(groups).items()
        if isinstance(source, (Mapping, pd.Series))
    }


def group_codes(groups: Any, fixed: Codes, panel: pd.DataFrame) -> Codes:
    """Find the codes of all groupings beside the rows of an encoded panel."""
    codes: Codes = {}
    for name, source in name_groupings(groups).items():
        if name in fixed:
            codes[name] = fixed[name]
        elif isinstance(source, pd.DataFrame):
            codes[name] = _number_table(name, source, panel)
        else:
            codes[name] = _number_signal(source, panel)
    return codes


def group_marks(
    groups: Any, codes: Codes, panel: pd.DataFrame, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """List by column the numbers of groups in some rows, `(n_rows, n_tickers)`."""
    marks: dict[str, np.ndarray] = {}
    sources = name_groupings(groups)
    if not sources:
        return marks
    priced = np.isfinite(panel_fields(panel)["close"])
    for name, source in sources.items():
        values = np.where(codes[name] >= 0, codes[name], np.nan)
        if isinstance(source, str):
            values = panel_signals(panel)[source].to_numpy()
        marks[f"{name}{GROUPING}"] = np.where(priced, values, np.nan)[rows]
    return marks


def _number(groups: Any, tickers: tuple[str, ...]) -> np.ndarray:
    """Find the number of each ticker's group, −1 for none."""
    if isinstance(groups, pd.Series) and not groups.index.is_unique:
        twice = groups.index[groups.index.duplicated()]
        raise ValueError(
            "`groups` must hold every ticker once. Got duplicates of "
            f"{format_tickers(twice)}. Drop them with "
            "`groups[~groups.index.duplicated()]`."
        )
    # By all groups given, so that numbers do not depend on the other tickers.
    given = dict(groups.items())
    codes, _ = pd.factorize(pd.Series(list(given.values()), dtype=object))
    number = dict(zip(given, codes.tolist(), strict=True))
    numbers = np.array([number.get(ticker, -1) for ticker in tickers], dtype=np.intp)
    if (numbers < 0).all():
        _raise_strange(groups.keys(), tickers)
    return numbers


def _raise_strange(keys: Any, tickers: tuple[str, ...]) -> None:
    raise ValueError(
        "`groups` must name a group for some of the panel's tickers. Got groups of "
        f"{format_tickers(keys)}, the panel has {format_tickers(tickers)}."
        " Use the panel's tickers as keys."
    )


def _number_table(name: str, table: pd.DataFrame, panel: pd.DataFrame) -> np.ndarray:
    """Select each ticker's latest group at or before each date."""
    check_dates(table, panel.index, "groups")
    tickers = panel_tickers(panel)
    if not table.columns.is_unique:
        raise ValueError(
            f"`groups` must hold every ticker once. Got duplicates in {name!r}. Drop "
            "them with `table.loc[:, ~table.columns.duplicated()]`."
        )
    if table.columns.isin(tickers).sum() == 0:
        _raise_strange(table.columns, tuple(tickers))
    numbers, _ = pd.factorize(table.astype(object).to_numpy().ravel())
    codes = pd.DataFrame(numbers.reshape(table.shape), table.index, table.columns)
    codes = codes.where(codes >= 0).ffill().reindex(columns=tickers)
    known = codes.reindex(panel.index, method="ffill")
    return known.fillna(-1).to_numpy().astype(np.intp)


def _number_signal(name: Any, panel: pd.DataFrame) -> np.ndarray:
    """Find codes of the values of a signal."""
    signals = panel_signals(panel)
    if not isinstance(name, str) or name not in signals:
        raise ValueError(
            "`groups` must be a dict or Series of ticker → group, a table of dates × "
            f"tickers, or the name of a signal. Got {name!r}, the panel has "
            f"{format_tickers(signals) or 'no signals'}. Correct the name."
        )
    values = signals[name].to_numpy()
    numbers = np.full(values.shape, -1, dtype=np.intp)
    known = np.isfinite(values)
    numbers[known] = np.unique(values[known], return_inverse=True)[1].ravel()
    return numbers


def split_comparison(text: str, groupings: Collection[str]) -> tuple[str, str] | None:
    """Split ``GROUPING_rank``; the grouping is empty for all tickers."""
    if text in COMPARISONS:
        return "", text
    grouping, _, kind = text.rpartition("_")
    return (grouping, kind) if grouping in groupings and kind in COMPARISONS else None


def check_cross_section(chosen: object, groupings: Collection[str]) -> None:
    """Raise unless a way of comparison is known."""
    if chosen is None:
        return
    found = split_comparison(chosen, groupings) if isinstance(chosen, str) else None
    if found is None or found[1] == "gap":
        kinds = ("rank", "zscore")
        within = [f"{group}_{kind}" for group in groupings for kind in kinds]
        raise ValueError(
            f"`cross_section` must be None or among {', '.join([*kinds, *within])}. "
            f"Got {chosen!r}. Correct it, or name the grouping in `groups`."
        )


def compare(values: np.ndarray, statistic: Statistic, codes: np.ndarray | None) -> None:
    """Replace values `(n_dates, n_tickers)` by what they are beside the others."""
    if codes is None:
        values[...] = statistic(values)
    else:
        values[...] = by_group(statistic, values, codes)
