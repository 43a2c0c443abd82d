"""Columns of panels that hold several fields (open, high, low, close, volume)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import product

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError

COLUMN_NAMES = ["field", "ticker"]
FIELDS = ("Open", "High", "Low", "Close", "Volume")
ADJUSTED = "Adj Close"
_EXTRA = "extra"  # what data vendors put beside the prices, and panels do not hold

_ALIASES = {
    **{field.lower(): field for field in FIELDS},
    "adjclose": ADJUSTED,
    "adjustedclose": ADJUSTED,
    "dividends": _EXTRA,
    "stocksplits": _EXTRA,
    "capitalgains": _EXTRA,
    "repaired?": _EXTRA,
}


def canonical_field(name: object) -> str | None:
    """Spell a field as panels do ("adj_close" → "Adj Close"), None if unknown."""
    if not isinstance(name, str):
        return None
    return _ALIASES.get(name.lower().replace(" ", "").replace("_", ""))


def has_close(names: Iterable[Hashable]) -> bool:
    """Tell whether a close, adjusted or not, is among the names."""
    return not {"Close", ADJUSTED}.isdisjoint(map(canonical_field, names))


def is_single_ticker(columns: Iterable[Hashable]) -> bool:
    """Tell whether flat columns are the fields of one ticker, not tickers.

    A field or two are no proof among other names: OPEN and LOW are tickers, too.
    """
    fields = [canonical_field(column) for column in columns]
    known = {field for field in fields if field is not None}
    enough = 2 if None not in fields else 3
    return len(known) >= enough and not known.isdisjoint({"Close", ADJUSTED})


def arrange_fields(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Order columns by field, then ticker; drop what panels do not hold, and tell.

    "Adj Close" stays, for :func:`adjust_prices`.
    """
    level = _field_level(frame.columns)
    names = frame.columns.get_level_values(level)
    fields = _close_from_adjusted([canonical_field(name) for name in names])
    tickers = frame.columns.get_level_values(1 - level)
    pairs: dict[int, tuple[str | None, Hashable]] = {
        number: (field, ticker)
        for number, (field, ticker) in enumerate(zip(fields, tickers, strict=True))
        if field not in (None, _EXTRA)
    }
    _check_pairs(list(pairs.values()))
    order = _field_major(pairs)
    columns = pd.MultiIndex.from_tuples([pairs[i] for i in order], names=COLUMN_NAMES)
    if order != list(range(frame.shape[1])):
        frame = frame.iloc[:, order]
    if not frame.columns.identical(columns):
        frame = frame.set_axis(columns, axis=1)
    return frame, _unknown_fields(names, fields)


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
    """Find the level that holds the fields, by what it holds.

    Tickers such as OPEN and LOW exist: the fields are where there is nothing but
    fields, then where a close is, then where the spelling is ours.
    """
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
    fields = {canonical_field(name) for name in names}
    return (
        None not in fields,
        has_close(names),
        fields - {None, _EXTRA} <= names,
    )


def _close_from_adjusted(fields: list[str | None]) -> list[str | None]:
    """Take "Adj Close" for the close if there is no other."""
    present = set(fields)
    if "Close" in present:
        return fields
    if not present.isdisjoint({"Open", "High", "Low"}):
        raise PanelError(
            "`X` with Open, High or Low beside Adj Close must hold Close, too, which "
            "tells how to adjust them. Got no Close. Add it, or drop these fields."
        )
    return ["Close" if field == ADJUSTED else field for field in fields]


def _check_pairs(pairs: list[tuple[str | None, Hashable]]) -> None:
    """Raise if a column comes twice, or a ticker has no close (or adjusted close)."""
    unique = set(pairs)
    if len(unique) < len(pairs):
        twice = [
            f"{pair[1]} ({pair[0]})" for pair, n in Counter(pairs).items() if n > 1
        ]
        raise PanelError(
            "`X` must hold every field of a ticker once. Got several columns for "
            f"{format_tickers(twice)}. Keep the first with "
            "`X.loc[:, ~X.columns.duplicated()]`."
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
