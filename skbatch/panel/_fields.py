"""Columns of panels that hold several fields (open, high, low, close, volume)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import product

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._spellings import (
    ADJUSTED,
    EXTRA,
    FIELDS,
    PRICE,
    UNADJUSTED,
    canonical_field,
    canonical_fields,
    has_close,
    is_derived,
    is_value,
    may_be_adjusted,
)

COLUMN_NAMES = ["field", "ticker"]
_HELD = {*FIELDS, ADJUSTED}


def arrange_fields(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Order columns by field and ticker, prices first; drop what vendors add."""
    level = _field_level(frame.columns)
    # As lists, because an index looks up one name after the other slowly.
    names, tickers = (
        frame.columns.get_level_values(each).to_list() for each in (level, 1 - level)
    )
    held = hold_fields(frame.columns.unique(level), level)
    check_no_second_price(held)
    pairs: dict[int, tuple[Hashable, Hashable]] = {
        number: (held[name] or name, ticker)
        for number, (name, ticker) in enumerate(zip(names, tickers, strict=True))
        if held[name] != EXTRA
    }
    _check_pairs(list(pairs.values()), [names[number] for number in pairs])
    order = _field_major(pairs)
    columns = pd.MultiIndex.from_tuples([pairs[i] for i in order], names=COLUMN_NAMES)
    if order != list(range(frame.shape[1])):
        frame = frame.iloc[:, order]
    if not frame.columns.identical(columns):
        frame = frame.set_axis(columns, axis=1)
    return frame, _warn_derived(held)


def hold_fields(
    names: Iterable[Hashable], level: int | None = None
) -> dict[Hashable, str | None]:
    """Map names to the fields of a panel, extra, or None for signals."""
    names = list(names)
    doubtful = [name for name in names if may_be_adjusted(name)]
    if doubtful:
        raise _doubtful_fields(doubtful, level)
    fields = canonical_fields(names)
    present = set(fields)
    close = next((f for f in ("Close", UNADJUSTED, PRICE) if f in present), None)
    raw = close is not None or not present.isdisjoint({"Open", "High", "Low"})
    meaning: dict[str | None, str] = {field: field for field in (*_HELD, EXTRA)}
    meaning[UNADJUSTED] = EXTRA
    for field in ("Open", "High", "Low", "Volume"):
        if field in present:
            meaning[f"Adj {field}"] = EXTRA
        elif not raw or field == "Volume":
            meaning[f"Adj {field}"] = field
    if close is not None and "Close" not in present:
        meaning[close] = "Close"
    if close is None and ADJUSTED in present:
        if not present.isdisjoint({"Open", "High", "Low"}):
            raise PanelError(
                "`X` with Open, High or Low beside Adj Close must hold Close, too, "
                "which shows how to adjust them. Got no Close. Add it, or drop these "
                "fields."
            )
        meaning[ADJUSTED] = "Close"
    held = {n: meaning.get(f) for n, f in zip(names, fields, strict=True)}
    return {n: EXTRA if is_derived(n) else f for n, f in held.items()}


def check_no_second_price(held: dict[Hashable, str | None]) -> None:
    """Raise if prices stand beside closes, which may be either those or a signal."""
    unsure = [
        name
        for name, field in held.items()
        if field is None and canonical_field(name) == PRICE and not is_value(name)
    ]
    if unsure:
        raise PanelError(
            "One field must hold the closes, and no signal may be named like prices. "
            f"Got {unsure[0]!r} beside closes. Drop it, or rename it if it is a signal."
        )


def _warn_derived(held: dict[Hashable, str | None]) -> list[str]:
    """Warn of fields that are ignored because they repeat what prices hold."""
    derived = [n for n in held if held[n] == EXTRA and is_derived(n)]
    if not derived:
        return []
    return [
        "Fields beside prices are signals, unless they are other prices or past "
        f"returns. Got {format_tickers(derived)}, which is ignored. Drop it, or rename "
        "it to keep it as a signal."
    ]


def _doubtful_fields(names: list[Hashable], level: int | None) -> PanelError:
    """Create the error for fields that may be adjusted prices, or factors of such."""
    name = names[0]
    where = "" if level is None else f", level={level}"
    return PanelError(
        "Adjusted prices must have a name that is known, so that they are neither "
        f"mistaken nor dropped. Got {format_tickers(map(repr, names))}. If these are "
        f'adjusted closes, use `X.rename(columns={{{name!r}: "Adj Close"}})`. If the '
        "closes are adjusted already, drop them with "
        f"`X.drop(columns={names!r}{where})`. A factor has to be applied to the closes "
        "first."
    )


def _field_level(columns: pd.Index) -> int:
    """Find the level that holds the fields, by what it holds."""
    if columns.nlevels != 2:
        raise PanelError(
            "`X.columns` must have one level (tickers) or two (field, ticker). Got "
            f"{columns.nlevels} levels. Drop the others with `X.droplevel`."
        )
    names = [set(columns.unique(level)) for level in (0, 1)]
    scores = [_field_score(level) for level in names]
    best = max(scores)
    if not best[1]:
        raise PanelError(
            "`X` with two column levels must hold the field Close. Got columns such as "
            f"{columns[0]!r}. Name the fields {', '.join(FIELDS)}, or pass a wide "
            "table of closes."
        )
    if scores[0] == scores[1]:
        raise PanelError(
            "One level of `X.columns` must hold fields, the other tickers. Got field "
            "names in both. Spell the fields as Open, High, Low, Close, Volume."
        )
    return scores.index(best)


def _field_score(names: set[Hashable]) -> tuple[bool, bool, bool]:
    """Rate how well a level fits as the level of fields."""
    fields = set(canonical_fields(sorted(names, key=str)))
    return (
        None not in fields,
        has_close(names) or (None not in fields and PRICE in fields),
        fields - {None, EXTRA} <= names,
    )


def _check_pairs(pairs: list[tuple[Hashable, Hashable]], names: list[Hashable]) -> None:
    """Raise if a column comes twice, or a ticker has no close (or adjusted close)."""
    unique = set(pairs)
    if len(unique) < len(pairs):
        twice = [pair for pair, n in Counter(pairs).items() if n > 1]
        told = [f"{ticker} ({field})" for field, ticker in twice]
        spelled = [n for n, pair in zip(names, pairs, strict=True) if pair == twice[0]]
        advice = "Keep the first with `X.loc[:, ~X.columns.duplicated()]`."
        if len(set(spelled)) > 1:
            advice = f"Drop all but one of {', '.join(map(repr, spelled))}."
        raise PanelError(
            "`X` must hold every field of a ticker once. Got several columns for "
            f"{format_tickers(told)}. {advice}"
        )
    tickers = list(dict.fromkeys(ticker for _, ticker in pairs))
    for field in ("Close", ADJUSTED):
        missing = [ticker for ticker in tickers if (field, ticker) not in unique]
        if len(missing) == len(tickers) and field == ADJUSTED:
            continue
        if missing:
            raise PanelError(
                f"`X` must hold {field} for every ticker or for none. Got none for "
                f"{format_tickers(missing)}. Drop these tickers, or add the column."
            )


def _field_major(pairs: dict[int, tuple[Hashable, Hashable]]) -> list[int]:
    """Order column numbers by field, then by the place of the ticker's close."""
    tickers = [ticker for field, ticker in pairs.values() if field == "Close"]
    numbers = {pair: number for number, pair in pairs.items()}
    signals = dict.fromkeys(f for f, _ in pairs.values() if f not in _HELD)
    cells = product((*FIELDS, ADJUSTED, *signals), tickers)
    return [numbers[cell] for cell in cells if cell in numbers]


def count_prices(columns: pd.Index) -> int:
    """Count the columns of an arranged panel that are prices or volume."""
    if columns.nlevels == 1:
        return len(columns)
    return int(columns.get_level_values("field").isin(_HELD).sum())


def field_slices(columns: pd.Index) -> dict[Hashable, slice]:
    """Find where each field of an arranged panel stands."""
    fields = columns.get_level_values("field")
    codes, names = pd.factorize(fields)
    stops = np.cumsum(np.bincount(codes, minlength=len(names))).tolist()
    return {
        name: slice(start, stop)
        for name, start, stop in zip(names, [0, *stops], stops, strict=False)
    }


def adjust_prices(frame: pd.DataFrame) -> pd.DataFrame:
    """Scale prices by Adj Close / Close, so that returns include dividends, splits."""
    if ADJUSTED not in frame.columns.get_level_values("field"):
        return frame
    adjusted = frame[ADJUSTED]
    factor = adjusted / frame["Close"]
    parts = {}
    for field in frame.columns.unique("field"):
        part = frame[field]
        if field in ("Open", "High", "Low"):
            parts[field] = part * factor[part.columns]
        elif field != ADJUSTED:
            parts[field] = adjusted if field == "Close" else part
    return pd.concat(parts, axis=1, names=COLUMN_NAMES)


def panel_tickers(panel: pd.DataFrame) -> list[str]:
    """Get the tickers of a panel, in panel order."""
    columns = panel.columns
    if columns.nlevels == 1:
        return columns.tolist()
    return columns.get_level_values("ticker")[_is_field(columns, "Close")].tolist()


def panel_fields(panel: pd.DataFrame) -> dict[str, np.ndarray]:
    """Get the fields of a panel as arrays with the same tickers in the same order."""
    # A ticker that lacks a field has NaN. Do not write to them: they may share memory
    # with the panel.
    if panel.columns.nlevels == 1:
        return {"close": panel.to_numpy()}
    prices = panel.iloc[:, : count_prices(panel.columns)]
    columns, values = prices.columns, prices.to_numpy()
    assert isinstance(columns, pd.MultiIndex)
    # By codes: to compare names takes longer than what is done with the values.
    names, tickers = (columns.levels[columns.names.index(n)] for n in COLUMN_NAMES)
    kinds, owners = (columns.codes[columns.names.index(n)] for n in COLUMN_NAMES)
    closes = owners[kinds == names.get_loc("Close")]
    places = np.full(len(tickers), -1)
    places[closes] = np.arange(len(closes))
    fields = {}
    for kind in pd.unique(kinds):
        numbers = np.flatnonzero(kinds == kind)
        found = _spread(values[:, numbers], places[owners[numbers]], len(closes))
        fields[str(names[int(kind)]).lower()] = found
    return fields


def _spread(values: np.ndarray, places: np.ndarray, n_tickers: int) -> np.ndarray:
    """Place each column at its ticker, with NaN at tickers that lack it."""
    spread = np.full((len(values), n_tickers), np.nan)
    spread[:, places] = values
    return spread


def _is_field(columns: pd.Index, field: str) -> np.ndarray:
    """Mark the columns of one field."""
    return np.asarray(columns.get_level_values("field") == field)
