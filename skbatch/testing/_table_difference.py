"""What differs between two outputs of an estimator."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import date_text, format_tickers

# Relative rounding error that another number of rows may cause in float32 output.
ROUNDING = 1e-5


def as_table(output: object, index: pd.Index) -> pd.DataFrame:
    """Convert an estimator's output to a DataFrame."""
    if isinstance(output, pd.DataFrame):
        return output
    if isinstance(output, pd.Series):
        return output.to_frame()
    names = getattr(output, "columns", None)
    values = np.asarray(output.toarray() if hasattr(output, "toarray") else output)
    values = values.reshape(len(values), -1)
    if len(values) != len(index):
        raise ValueError(
            "Outputs must have one row per row of the input, or a pandas index. Got "
            f"{len(values)} rows for {len(index)}. Keep all rows, NaN where undefined."
        )
    columns = [f"x{i}" for i in range(values.shape[1])] if names is None else names
    return pd.DataFrame(values, index, list(columns))


@dataclass(frozen=True)
class _Difference:
    """Columns that differ, and where they do so first."""

    columns: list[Any]
    n_columns: int
    row: Any = None
    column: Any = None
    expected: Any = None
    got: Any = None
    largest: float = float("nan")

    def __str__(self) -> str:
        names = format_tickers([spell(column) for column in self.columns])
        text = f"changes in {len(self.columns)} of {self.n_columns} columns ({names})"
        if self.row is None:
            return f"{text}: they, or some of their rows, come and go"
        text = (
            f"{text}, the first of {spell(self.column)} at {spell(self.row)}, where "
            f"{_change(self.expected, self.got)}"
        )
        if np.isfinite(self.largest):
            text += f" (largest difference: {self.largest:.3g})"
        return text


def _change(old: Any, new: Any) -> str:
    """Describe a change to six digits, or to all where these are the same."""
    numbers = isinstance(old, float | np.floating) and isinstance(new, type(old))
    if numbers and f"{old:g}" != f"{new:g}":
        return f"{old:g} became {new:g}"
    return f"{old!s} became {new!s}"


def find_difference(
    expected: pd.DataFrame, got: pd.DataFrame, rows: pd.Index, *, exact: bool = True
) -> _Difference | None:
    """Find where two tables differ on some rows."""
    before, after = (table.loc[table.index.isin(rows)] for table in (expected, got))
    columns = list(before.columns)
    if not before.columns.equals(after.columns):
        odd = before.columns.symmetric_difference(after.columns, sort=False)
        n_columns = len(before.columns.union(after.columns, sort=False))
        return _Difference(list(odd) or columns, n_columns)
    if not before.index.equals(after.index):
        return _Difference(columns, len(columns))
    old, new = before.to_numpy(), after.to_numpy()
    differs = (old != new) & ~(pd.isna(old) & pd.isna(new))
    if not exact and differs.any():
        differs &= ~_is_rounding(old, new)
    if not differs.any():
        return None
    row, column = np.argwhere(differs)[0]
    return _Difference(
        columns=[columns[i] for i in np.flatnonzero(differs.any(axis=0))],
        n_columns=len(columns),
        row=before.index[row],
        column=columns[column],
        expected=old[row, column],
        got=new[row, column],
        largest=_largest_gap(old[differs], new[differs]),
    )


def _is_rounding(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Mark numbers that differ by little, compared to their columns."""
    try:
        old, new = old.astype(np.float64), new.astype(np.float64)
    except (TypeError, ValueError):
        return np.zeros(old.shape, dtype=bool)
    level = np.nanmax(np.abs(np.nan_to_num(old)), axis=0, initial=0.0)
    return np.abs(old - new) <= ROUNDING * level


def _largest_gap(old: np.ndarray, new: np.ndarray) -> float:
    """Return the largest difference of numbers; NaN if there are none."""
    try:
        gaps = np.abs(old.astype(np.float64) - new.astype(np.float64))
    except (TypeError, ValueError):
        return float("nan")
    finite = gaps[np.isfinite(gaps)]
    return float(finite.max()) if finite.size else float("nan")


def spell(label: Hashable) -> str:
    """Name a row or column: days without a time, several levels as words."""
    if isinstance(label, tuple):
        return " ".join(map(str, label))
    return date_text(label)
