"""Signals: the fields of a panel that are neither prices nor volume."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._columns import SEPARATOR
from skbatch.panel._fields import (
    check_no_second_price,
    count_prices,
    field_slices,
    hold_fields,
    panel_tickers,
)
from skbatch.panel._numbers import is_number_text

_NUMBERS = {"floating", "integer", "mixed-integer-float", "decimal", "boolean"}


def check_signals(signals: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Convert each signal to one type, and drop infinite values."""
    slices = field_slices(signals.columns)
    _check_names(list(slices))
    if any(dtype != np.float64 for dtype in signals.dtypes.unique()):
        given = [signals.iloc[:, columns] for columns in slices.values()]
        parts = [
            settle_signal(part, name) for part, name in zip(given, slices, strict=True)
        ]
        if any(new is not old for new, old in zip(parts, given, strict=True)):
            signals = pd.concat(parts, axis=1)
    return _drop_infinite(signals, slices)


def panel_signals(panel: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Get the signals of a panel as tables with the same tickers in the same order."""
    # Do not write to them: they may share memory with the panel.
    if panel.columns.nlevels == 1:
        return {}
    tickers = pd.Index(panel_tickers(panel), name="ticker")
    signals = panel.iloc[:, count_prices(panel.columns) :]
    tables = {}
    for name, columns in field_slices(signals.columns).items():
        table = signals.iloc[:, columns]
        table = table.set_axis(table.columns.get_level_values("ticker"), axis=1)
        if len(table.columns) < len(tickers):
            table = table.reindex(columns=tickers)
        tables[str(name)] = settle_signal(table, name)
    return tables


def check_new_signals(columns: pd.Index, names: Iterable[Hashable]) -> None:
    """Raise unless signals of these names can join the fields of a panel."""
    names, fields = list(names), list(columns.unique("field"))
    _check_names(names)
    if not names:
        raise PanelError("`signals` must hold signals. Got none. Add a column.")
    twice = [name for name in names if name in fields or names.count(name) > 1]
    if twice:
        raise PanelError(
            f"Signals must have unique names. Got {twice[0]!r} twice, or in the "
            "panel already. Rename or drop one of them."
        )
    held = hold_fields([*fields, *names])
    check_no_second_price(held)
    spelled = [name for name in names if held[name] is not None]
    if spelled:
        raise PanelError(
            "Signals must not be named like prices, volume, returns or dividends. Got "
            f"{format_tickers(map(repr, spelled))}. Rename it, or drop it."
        )


def _check_names(names: list[Hashable]) -> None:
    """Raise unless features can be named by the signals."""
    for name in names:
        if not isinstance(name, str) or not name.strip() or SEPARATOR in name:
            raise PanelError(
                "Fields beside prices are signals, whose names must be text without "
                f"{SEPARATOR!r}. Got {name!r}. Rename or drop it."
            )


def settle_signal(table: pd.DataFrame, name: Hashable) -> pd.DataFrame:
    """Convert a signal to float64, bool or categories; one of these is returned."""
    dtypes = set(table.dtypes)
    if len(dtypes) == 1:
        dtype = next(iter(dtypes))
        if dtype in (np.float64, np.bool_) or isinstance(dtype, pd.CategoricalDtype):
            return table
    kinds = {_kind(table.iloc[:, number]) for number in range(table.shape[1])}
    kinds -= {"empty"}
    if kinds <= _NUMBERS:
        if kinds == {"boolean"} and not table.isna().any(axis=None):
            return table.astype(bool)
        values = table.to_numpy(dtype=np.float64, na_value=np.nan)
        return pd.DataFrame(values, table.index, table.columns, copy=False)
    if kinds <= {"string", "categorical"}:
        return _to_categories(table, name)
    raise PanelError(
        "Signals must be numbers, bools or categories, and each signal one of these. "
        f"Got {' and '.join(sorted(kinds))} values in {name!r}. Convert or drop it; "
        "dates become numbers as differences, in days."
    )


def _kind(values: pd.Series) -> str:
    """Name what a column holds, "empty" if nothing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "categorical" if values.notna().any() else "empty"
    if types.is_numeric_dtype(values.dtype) and not types.is_complex_dtype(values):
        if types.is_bool_dtype(values.dtype):
            return "boolean"
        return "floating" if values.notna().any() else "empty"
    return str(types.infer_dtype(values, skipna=True))


def _to_categories(table: pd.DataFrame, name: Hashable) -> pd.DataFrame:
    """Assign the same categories to all tickers, in alphabetical order."""
    columns = [table.iloc[:, number] for number in range(table.shape[1])]
    found = {value for column in columns for value in column.dropna().unique()}
    texts = [value for value in found if is_number_text(value)]
    given = any(isinstance(column.dtype, pd.CategoricalDtype) for column in columns)
    if found and len(texts) == len(found) and not given:
        raise PanelError(
            f"Signals must be numbers or categories. Got text of numbers in {name!r}, "
            f"such as {texts[0]!r}. Convert it with `pd.to_numeric`; if these are "
            'codes, use `astype("category")`.'
        )
    try:
        categories = sorted(found)
    except TypeError:
        categories = sorted(found, key=lambda value: (type(value).__name__, str(value)))
    return table.astype(pd.CategoricalDtype(categories))


def _drop_infinite(
    signals: pd.DataFrame, slices: dict[Hashable, slice]
) -> tuple[pd.DataFrame, list[str]]:
    """Replace infinite values by NaN, and report in which signals."""
    wrong = []
    for name, columns in slices.items():
        part = signals.iloc[:, columns]
        if part.dtypes.iloc[0] == np.float64 and np.isinf(part.to_numpy()).any():
            wrong.append(name)
    if not wrong:
        return signals, []
    signals = signals.copy()
    for name in wrong:
        signals[name] = signals[name].where(~np.isinf(signals[name]))
    return signals, [
        f"Signals must be finite. Got infinite values in {format_tickers(wrong)}, "
        "treated as missing. Set them to NaN yourself."
    ]
