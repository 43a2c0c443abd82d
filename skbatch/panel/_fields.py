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
    canonical_fields,
    has_close,
    may_be_adjusted,
)

COLUMN_NAMES = ["field", "ticker"]
_HELD = {*FIELDS, ADJUSTED}


def arrange_fields(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Order columns by field, then ticker; drop what panels do not hold, and tell."""
    level = _field_level(frame.columns)
    names = frame.columns.get_level_values(level)
    held = hold_fields(frame.columns.unique(level), level)
    fields = [held[name] for name in names]
    tickers = frame.columns.get_level_values(1 - level)
    pairs: dict[int, tuple[str | None, Hashable]] = {
        number: (field, ticker)
        for number, (field, ticker) in enumerate(zip(fields, tickers, strict=True))
        if field in _HELD
    }
    _check_pairs(list(pairs.values()), [names[number] for number in pairs])
    order = _field_major(pairs)
    columns = pd.MultiIndex.from_tuples([pairs[i] for i in order], names=COLUMN_NAMES)
    if order != list(range(frame.shape[1])):
        frame = frame.iloc[:, order]
    if not frame.columns.identical(columns):
        frame = frame.set_axis(columns, axis=1)
    return frame, _unknown_fields(names, fields)


def hold_fields(
    names: Iterable[Hashable], level: int | None = None
) -> dict[Hashable, str | None]:
    """Map names to the fields of a panel, extra, or None where there is no use for it.

    Raises where an adjusted close may be among the names and cannot be told.
    """
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
                "which tells how to adjust them. Got no Close. Add it, or drop these "
                "fields."
            )
        meaning[ADJUSTED] = "Close"
    return {n: meaning.get(f) for n, f in zip(names, fields, strict=True)}


def _doubtful_fields(names: list[Hashable], level: int | None) -> PanelError:
    """Make the error of fields that may be adjusted prices, or factors of such."""
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


def _unknown_fields(names: pd.Index, fields: list[str | None]) -> list[str]:
    """Say which fields are ignored because skbatch has no use for them."""
    unknown = {
        str(name) for name, field in zip(names, fields, strict=True) if field is None
    }
    if not unknown:
        return []
    return [
        f"Fields must be among {', '.join(FIELDS)} and {ADJUSTED}. Got "
        f"{format_tickers(sorted(unknown))}, which is ignored. Drop or rename it."
    ]


def _field_level(columns: pd.Index) -> int:
    """Find the level that holds the fields, by what it holds."""
    if columns.nlevels != 2:
        raise PanelError(
            "`X.columns` must have one level (tickers) or two (field, ticker). Got "
            f"{columns.nlevels} levels. Drop the others with `X.droplevel`."
        )
    names = [set(columns.get_level_values(level)) for level in (0, 1)]
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


def _check_pairs(
    pairs: list[tuple[str | None, Hashable]], names: list[Hashable]
) -> None:
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


def _field_major(pairs: dict[int, tuple[str | None, Hashable]]) -> list[int]:
    """Order column numbers by field, then by the place of the ticker's close."""
    tickers = [ticker for field, ticker in pairs.values() if field == "Close"]
    numbers = {pair: number for number, pair in pairs.items()}
    cells = product((*FIELDS, ADJUSTED), tickers)
    return [numbers[cell] for cell in cells if cell in numbers]


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
    """Get the tickers of a panel, in panel order.

    Parameters
    ----------
    panel : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Panel as :func:`check_panel` returns it.

    Returns
    -------
    list of str
        Tickers in the order of the closes.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import check_panel
    >>> from skbatch.panel.engine import panel_tickers
    >>> prices = pd.DataFrame({("AAPL", "Close"): [3.0], ("AAPL", "Volume"): [9.0]})
    >>> panel_tickers(check_panel(prices))
    ['AAPL']
    """
    columns = panel.columns
    if columns.nlevels == 1:
        return list(columns)
    return list(columns.get_level_values("ticker")[_is_field(columns, "Close")])


def panel_fields(panel: pd.DataFrame) -> dict[str, np.ndarray]:
    """Get the fields of a panel as arrays with the same tickers in the same order.

    Parameters
    ----------
    panel : DataFrame of shape (n_dates, n_tickers) or (n_dates, n_fields * n_tickers)
        Panel as :func:`check_panel` returns it.

    Returns
    -------
    dict of str to ndarray of shape (n_dates, n_tickers), dtype float64
        ``{"close": ...}`` for a wide panel; else also ``"open"``, ``"high"``,
        ``"low"`` and ``"volume"``, as far as the panel has them. A ticker that lacks
        a field has NaN there. Do not write to them: they may share memory with the
        panel.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import check_panel
    >>> from skbatch.panel.engine import panel_fields
    >>> prices = pd.DataFrame({("AAPL", "Close"): [3.0], ("AAPL", "Volume"): [9.0]})
    >>> panel_fields(check_panel(prices))
    {'close': array([[3.]]), 'volume': array([[9.]])}
    """
    columns, values = panel.columns, panel.to_numpy()
    if columns.nlevels == 1:
        return {"close": values}
    tickers = columns.get_level_values("ticker")
    closes = tickers[_is_field(columns, "Close")]
    fields = {}
    for field in columns.unique("field"):
        numbers = np.flatnonzero(_is_field(columns, field))
        places = closes.get_indexer(tickers[numbers])
        fields[field.lower()] = _spread(values[:, numbers], places, len(closes))
    return fields


def _spread(values: np.ndarray, places: np.ndarray, n_tickers: int) -> np.ndarray:
    """Put each column at its ticker's place, NaN at the tickers that lack it."""
    spread = np.full((len(values), n_tickers), np.nan)
    spread[:, places] = values
    return spread


def _is_field(columns: pd.Index, field: str) -> np.ndarray:
    """Mark the columns of one field."""
    return np.asarray(columns.get_level_values("field") == field)
