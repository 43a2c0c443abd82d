"""Flat column names: tickers, or fields that must not be taken for tickers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.panel._spellings import (
    ADJUSTED,
    CLOSES,
    OTHER,
    PRICE,
    UNADJUSTED,
    canonical_field,
    canonical_fields,
    is_letter,
    is_spelled,
    may_be_adjusted,
    plain,
)

Pair = tuple[str, str]  # field, as it is spelled, and ticker
_BARS = {"Open", "High", "Low"}
_TUPLE = re.compile(r"""\(\s*(['"])(.*?)\1\s*,\s*(['"])(.*?)\3\s*\)""")
# Between words, and where the case changes: "Close_AAPL", "AAPL Close", "closeAAPL".
_BREAK = re.compile(
    r"[\s_.|:/@,;~#>$\[\](-]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])"
)
_ENDS = ",; '\"()[]<>"
# Names without any of these words are tickers, which spares a look at each; the
# fields of one ticker are few.
_WORDS = re.compile(
    r"close|open|high|low|vol|adj|last|pri?c|settl|turn|[\s_.|:/@,;~#>$\[(-][cv]['\")\]]*$"
    r"|^['\"(\[]*[cv][\s_.|:/@,;~#>$\[('\"-]",
    re.IGNORECASE | re.MULTILINE,
)
_FEW = 24
# Fields in capitals may be tickers: short ones of the first kind, all but long ones of
# the second, which has nothing to do with prices.
_SHORT_NAME = 4
_LONG_NAME = 6


def is_single_ticker(columns: Iterable[Hashable]) -> bool:
    """Return whether flat columns are the fields of one ticker, not tickers."""
    fields = canonical_fields(columns)
    known = set(fields) - {None}
    if None not in fields:
        return not known.isdisjoint({*CLOSES, PRICE})
    bars = known >= {*_BARS, PRICE}
    return len(known) >= 3 and (bars or not known.isdisjoint(CLOSES))


def split_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert flat columns that name a field and a ticker to two levels."""
    names: list[Any] = frame.columns.tolist()
    if all(isinstance(name, tuple) and len(name) == 2 for name in names):
        return frame.set_axis(pd.MultiIndex.from_tuples(names), axis=1)
    texts = [name for name in names if isinstance(name, str)]
    suspect = len(texts) <= _FEW or _WORDS.search("\n".join(texts))
    if not suspect or len(texts) < len(names):
        return frame
    pairs = _pairs_of(tuple(texts))
    if pairs is None:
        return frame
    if {canonical_field(field) for field, _ in pairs} in ({"Close"}, {ADJUSTED}):
        return frame.set_axis(pd.Index([ticker for _, ticker in pairs]), axis=1)
    return frame.set_axis(pd.MultiIndex.from_tuples(pairs), axis=1)


# A panel, its history and its new rows have the same columns.
@lru_cache(maxsize=8)
def _pairs_of(texts: tuple[str, ...]) -> list[Pair] | None:
    """Split names into fields and tickers; None where they are tickers."""
    if is_single_ticker(texts):
        raise PanelError(
            "`X.columns` must be tickers, or have two levels (field, ticker). Got the "
            f"fields {format_tickers(texts)} of one ticker. Name it with "
            '`pd.concat({"TICKER": X}, axis=1)`. If these are tickers, use '
            '`pd.concat({"Close": X}, axis=1)`.'
        )
    pairs = _split_all(texts) or _split_signals(texts)
    if pairs is None:
        _check_no_fields(texts)
    return pairs


def _split_all(names: Sequence[str]) -> list[Pair] | None:
    """Split all names in the same order; None if that cannot be, or gives no close."""
    orders = [[_split(name, first) for name in names] for first in (True, False)]
    whole = [[pair for pair in pairs if pair] for pairs in orders]
    found = [
        pairs for pairs in whole if len(pairs) == len(names) and _have_close(pairs)
    ]
    if len(found) > 1:
        raise PanelError(
            "`X.columns` must name a field and a ticker each, in one order. Got "
            f"{format_tickers(names)}, where either part may be the field. Give the "
            "table two column levels with `pd.MultiIndex.from_tuples`."
        )
    return found[0] if found else None


def _split_signals(names: Sequence[str]) -> list[Pair] | None:
    """Split names of closes, and of other fields and signals of the same tickers."""
    for first in (True, False):
        pairs = {name: _split(name, first) for name in names}
        tickers = {
            pair[1]
            for pair in pairs.values()
            if pair and canonical_field(pair[0]) in CLOSES and not pair[0].isupper()
        }
        found = [
            pair if pair and pair[1] in tickers else _split_known(name, tickers, first)
            for name, pair in pairs.items()
        ]
        if tickers and all(found):
            return [pair for pair in found if pair]
    return None


def _split_known(name: str, tickers: set[str], field_first: bool) -> Pair | None:
    """Split a name where one part is a ticker that has a close."""
    for sign in _BREAK.finditer(name):
        parts = name[: sign.start()], name[sign.end() :]
        field, ticker = parts if field_first else parts[::-1]
        if field and ticker in tickers:
            return field, ticker
    return None


def _have_close(pairs: Iterable[Pair]) -> bool:
    """Return whether a close is among fields, all of which are known."""
    names = {field for field, _ in pairs}
    spelled = dict(zip(names, canonical_fields(names), strict=True))
    unknown = [n for n, field in spelled.items() if not (field or may_be_adjusted(n))]
    closes = [n for n, field in spelled.items() if field in {*CLOSES, PRICE}]
    # ADJ.DE and LAST.L are tickers.
    sure = any(not _is_short(name) for name in closes) or {*spelled.values()} >= _BARS
    return not unknown and bool(closes) and sure


def _is_short(field: str) -> bool:
    """Return whether the name of a field may be a ticker as well."""
    return field.isupper() and len(field) <= _SHORT_NAME


def _split(name: str, field_first: bool) -> Pair | None:
    """Split a name into field and ticker, the longest field there is."""
    if is_spelled(name):
        return None
    match = _TUPLE.fullmatch(name.strip())
    if match:
        parts = [(match.group(2), match.group(4))]
    else:
        breaks = list(_BREAK.finditer(name))
        parts = [(name[: b.start()], name[b.end() :]) for b in breaks]
    pairs = parts[::-1] if field_first else [(right, left) for left, right in parts]
    for known in (is_spelled, is_letter, canonical_field, may_be_adjusted):
        for field, ticker in pairs:
            if known(field.lstrip(_ENDS)) and _trim(ticker):
                return field.lstrip(_ENDS), _trim(ticker)
    return None


def _trim(ticker: str) -> str:
    """Remove what is left of a list, or of unbalanced brackets."""
    whole = all(ticker.count(a) == ticker.count(b) for a, b in ("()", "[]", "<>"))
    return ticker.strip(_ENDS[:4] if whole else _ENDS)


def _check_no_fields(names: Sequence[str]) -> None:
    """Raise if fields stand among what should be tickers."""
    wrong = [*dict.fromkeys([*_bare_fields(names), *_fields_of_tickers(names)])]
    if wrong:
        raise PanelError(
            "`X.columns` must be tickers, or name a field and a ticker each. Got "
            f"{format_tickers(map(repr, wrong))}, which may be fields, among "
            f"{len(names)} columns. If they are, drop them with "
            f"`X.drop(columns={wrong!r})`, or give every column such a name, as in "
            "Close_AAPL. If these are tickers, use "
            '`pd.concat({"Close": X}, axis=1)`, with the dates as the index.'
        )


def _bare_fields(names: Iterable[str]) -> Iterator[str]:
    """Find names that are fields rather than tickers; OPEN, LOW, NET are tickers."""
    for name in names:
        field = canonical_field(name)
        if field is None or (field in _BARS and not name.istitle()):
            continue
        never = field in {"Volume", ADJUSTED, UNADJUSTED} or field.startswith("Adj ")
        long = field == OTHER and len(plain(name)) >= _LONG_NAME
        if never or long or not name.isupper():
            yield name


def _fields_of_tickers(names: Sequence[str]) -> Iterator[str]:
    """Find names that hold a field of a ticker which the table has otherwise, too."""
    known = set(names)
    fields: dict[str, dict[str, str | None]] = defaultdict(dict)
    for name in names:
        for pair in (_split(name, True), _split(name, False)):
            if pair is None:
                continue
            field, ticker = canonical_field(pair[0]), pair[1]
            if _is_short(pair[0]) and name == f"{pair[0]}.{ticker}":
                continue  # OPEN.L and ADJ.DE are tickers
            fields[ticker][name] = field
            if field in {"Volume", ADJUSTED} or (field and ticker in known):
                yield name
    for found in fields.values():
        if len(found) > 1 and not CLOSES.isdisjoint(found.values()):
            yield from found
