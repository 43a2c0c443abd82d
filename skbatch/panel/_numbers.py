"""Numbers as text: separators, currency signs, and marks for what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import date_text
from skbatch.exceptions import PanelError
from skbatch.panel._spellings import plain

# fmt: off
MISSING = [
    "", "NA", "N/A", "n/a", "N.A.", "n.a.", "#N/A", "#N/A N/A", "NaN", "nan", "NaT",
    "<NA>", "None", "null", "NULL", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}", ".",
    "\N{MINUS SIGN}",
]
# fmt: on
# As data terminals write them: "#N/A Invalid Security", "#N/A Requesting Data...".
_UNAVAILABLE = re.compile(r"#N/A\b.*")
_GROUP = re.compile(r"(?<=\d)[\s'\N{RIGHT SINGLE QUOTATION MARK}](?=\d{3}(?!\d))")
_SIGN = r"[A-Z]{1,2}\$|[A-Z]{3}|[$€£¥₹₩₽₿]"
_AMOUNT = re.compile(
    rf"(?P<before>{_SIGN})?\s*(?P<minus>[-+\N{{MINUS SIGN}}])?\s*(?P<inner>{_SIGN})?\s*"
    r"(?P<digits>\d[\d.,]*|[.,]\d+)(?P<power>[eE][-+]?\d+)?\s*(?P<unit>[KMBT])?\s*"
    rf"(?P<after>{_SIGN})?"
)
_SIMPLE = re.compile(r"\d+(?:[.,]\d+)?")
# By threes, or in India by twos before the last three.
_GROUPED = re.compile(r"[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*|[1-9]\d?(,\d\d)+,\d{3}")
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class _Amount(NamedTuple):
    """A number as text, taken apart; which sign is decimal shows in other cells."""

    digits: str
    decimals: str  # the signs that may be its decimal sign
    factor: float
    currency: str


def is_text(dtype: Any) -> bool:
    """Return whether a column may hold text."""
    return (
        types.is_object_dtype(dtype)
        or types.is_string_dtype(dtype)
        or isinstance(dtype, pd.CategoricalDtype)
    )


def is_number_text(text: object) -> bool:
    """Return whether something is the text of a number, with or without separators."""
    return isinstance(text, str) and _take_apart(text, volume=True) is not None


def describe_cell(frame: pd.DataFrame, row: int, column: int) -> str:
    """Name a cell for a message: "'n/k' in AAPL at 2024-01-02"."""
    name = frame.columns[column]
    name = (
        next((part for part in reversed(name) if part), "")
        if isinstance(name, tuple)
        else name
    )
    cell = frame.iloc[row, column]
    shown = repr(cell) if isinstance(cell, str) else date_text(cell)
    return f"{shown} in {name} at {date_text(frame.index[row])}"


def texts_to_numbers(frame: pd.DataFrame, columns: Iterable[int]) -> pd.DataFrame:
    """Convert columns of text, given by number, to numbers."""
    texts = {
        number: _Texts.of(frame, number)
        for number in columns
        if is_text(frame.dtypes.iloc[number])
    }
    if not texts:
        return frame
    decimal = _find_decimal(frame, texts)
    parts = {
        number: texts[number].values(decimal)
        if number in texts
        else frame.iloc[:, number].array
        for number in range(frame.shape[1])
    }
    return pd.DataFrame(parts, index=frame.index).set_axis(frame.columns, axis=1)


@dataclass(frozen=True)
class _Texts:
    """The distinct cells of a column, read as far as each can be by itself."""

    codes: np.ndarray
    amounts: list[float | _Amount]
    volume: bool

    @classmethod
    def of(cls, frame: pd.DataFrame, column: int) -> _Texts:
        """Read the distinct cells of a column, all in one currency."""
        codes, cells = pd.factorize(frame.iloc[:, column].to_numpy(dtype=object))
        name = frame.columns[column]
        parts = name if isinstance(name, tuple) else (name,)
        volume = any("vol" in plain(part) for part in parts)
        amounts: list[float | _Amount] = []
        for code, cell in enumerate(cells):
            amount = _read(cell, volume)
            if amount is None:
                raise _no_number(frame, int(np.argmax(codes == code)), column)
            amounts.append(amount)
        signs = {a.currency for a in amounts if isinstance(a, _Amount)} - {""}
        if len(signs) > 1:
            raise PanelError(
                "Prices of a ticker must have one currency. Got "
                f"{', '.join(sorted(signs))} in {parts[-1]}. Convert them to one."
            )
        return cls(codes, amounts, volume)

    def first(self, decimals: str) -> int | None:
        """Find the first row of a cell with these possible decimal signs."""
        for code, amount in enumerate(self.amounts):
            if isinstance(amount, _Amount) and amount.decimals == decimals:
                return int(np.argmax(self.codes == code))
        return None

    def values(self, decimal: str) -> np.ndarray:
        """Get the numbers of all cells, NaN where there is none."""
        other = "," if decimal == "." else "."
        numbers = [
            float(amount.digits.replace(other, "").replace(",", ".")) * amount.factor
            if isinstance(amount, _Amount)
            else amount
            for amount in self.amounts
        ]
        return np.array([*numbers, np.nan], dtype=np.float64)[self.codes]


def _read(cell: object, volume: bool) -> float | _Amount | None:
    """Read a cell; None if it neither is a number nor means a missing one."""
    if isinstance(cell, str):
        text = cell.strip()
        if text in MISSING or _UNAVAILABLE.fullmatch(text):
            return float("nan")
        return _take_apart(text, volume)
    if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (Real, Decimal)):
        return None
    return float(cell)


def _take_apart(text: str, volume: bool) -> _Amount | None:
    """Split a number into parts; only volumes are counted in thousands and millions."""
    if _SIMPLE.fullmatch(text):
        decimals = _possible_decimals(text)
        return None if decimals is None else _Amount(text, decimals, 1.0, "")
    match = _AMOUNT.fullmatch(_GROUP.sub("", text.strip()))
    if match is None or (match["unit"] and not volume):
        return None
    signs = [match[part] for part in ("before", "inner", "after") if match[part]]
    decimals = _possible_decimals(match["digits"])
    if decimals is None or len(signs) > 1:
        return None
    factor = _UNITS.get(match["unit"] or "", 1.0) * float(f"1{match['power'] or ''}")
    if match["minus"] not in (None, "+"):
        factor = -factor
    return _Amount(match["digits"], decimals, factor, "".join(signs))


def _possible_decimals(digits: str) -> str | None:
    """Return the possible decimal signs: both in 1,234; "" if there is none."""
    point, comma = digits.rfind("."), digits.rfind(",")
    if point == comma:
        return ""
    last, other = (".", ",") if point > comma else (",", ".")
    if min(point, comma) >= 0:
        whole = digits[: max(point, comma)]
        return last if _GROUPED.fullmatch(whole) and last not in whole else None
    grouped = _GROUPED.fullmatch(digits) is not None
    if digits.count(last) > 1:
        return other if grouped else None
    return ".," if grouped else last


def _find_decimal(frame: pd.DataFrame, texts: dict[int, _Texts]) -> str:
    """Find out from all cells whether the decimal sign is a point or a comma."""
    cells = {
        sign: next(
            ((row, n) for n, t in texts.items() if (row := t.first(sign)) is not None),
            None,
        )
        for sign in (".", ",")
    }
    if cells["."] and cells[","]:
        raise PanelError(
            "Numbers must have one decimal sign. Got "
            f"{describe_cell(frame, *cells['.'])}, and "
            f"{describe_cell(frame, *cells[','])}. Write all of them with a point."
        )
    if cells["."] or cells[","]:
        return "." if cells["."] else ","
    doubtful = [(t.first(".,"), n) for n, t in texts.items() if not t.volume]
    for row, number in doubtful:
        if row is None or _has_fractions(frame, texts):
            continue
        cell = str(frame.iloc[row, number])
        if "," in cell:
            raise _two_readings(frame, row, number)
    return "."


def _has_fractions(frame: pd.DataFrame, texts: dict[int, _Texts]) -> bool:
    """Return whether other columns were read with a decimal point."""
    rest = frame.iloc[:, [n for n in range(frame.shape[1]) if n not in texts]]
    values = rest.select_dtypes([np.floating]).to_numpy(dtype=np.float64)
    return bool((np.isfinite(values) & (values % 1 != 0)).any())


def _two_readings(frame: pd.DataFrame, row: int, column: int) -> PanelError:
    """Create the error for a comma that may be a separator or the decimal sign."""
    cell = str(frame.iloc[row, column]).strip()
    return PanelError(
        "Numbers must have one meaning only. Got "
        f"{describe_cell(frame, row, column)}, which may be "
        f"{cell.replace(',', '')} or {cell.replace(',', '.')}. For the first, use "
        '`read_panel(X.replace(",", "", regex=True))`; for the second, '
        '`read_panel(X.replace(",", ".", regex=True))`. A file becomes `X` by '
        "`pd.read_csv(path, dtype=str)`."
    )


def _no_number(frame: pd.DataFrame, row: int, column: int) -> PanelError:
    """Create the error for a cell that is not a number."""
    cell = frame.iloc[row, column]
    advice = f"`X.replace({cell!r}, np.nan)`" if isinstance(cell, str) else "NaN"
    return PanelError(
        f"Prices must be numbers. Got {describe_cell(frame, row, column)}. Correct it, "
        f"or if it means that there is no price, replace it by {advice}."
    )
