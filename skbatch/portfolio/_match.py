"""Which column of the data is meant by a ticker."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skbatch._messages import format_tickers
from skbatch.exceptions import PortfolioError

# Vendors write the share class of BRK.B as BRK-B, BRK/B, BRK_B or BRK B.
_SEPARATORS = re.compile(r"[.\-/_\s]+")


def asked_tickers(tickers: Any, columns: Sequence[str]) -> list[str]:
    """List the tickers that are asked for, each once; None asks for all columns."""
    if tickers is None:
        return list(columns)
    if isinstance(tickers, str) or not isinstance(tickers, Iterable):
        raise ValueError(
            f"`tickers` must be a list of tickers. Got {tickers!r}. Pass "
            f"[{str(tickers)!r}], or None for all of the data."
        )
    names = list(tickers)
    strange = [name for name in names if not isinstance(name, str) or not name.strip()]
    if strange:
        raise ValueError(
            f"`tickers` must be strings. Got {format_tickers(map(repr, strange))}. "
            'Pass the names of columns, such as "AAPL".'
        )
    if not names:
        raise ValueError(
            "`tickers` must name at least one ticker. Got none. For example, pass "
            '["AAPL"], or None for all of the data.'
        )
    # As keys of a dict they could not come twice anyway.
    return list(dict.fromkeys(names))


def match_columns(
    tickers: Sequence[str],
    columns: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> dict[str, str | None]:
    """Find the column of each ticker, None where there is none."""
    aliases, exact = aliases or {}, set(columns)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for column in columns:
        alike[_parts(column)].append(column)
    called: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for alias, column in aliases.items():
        called[_parts(alias)].add(column)
    found: dict[str, str | None] = {}
    for ticker in tickers:
        names = [aliases[ticker]] if ticker in aliases else []
        if not names and ticker not in exact:
            names = sorted(called.get(_parts(ticker), []))
        if len(names) > 1:
            raise _unclear(ticker, names)
        name = names[0] if names else ticker
        fitting = [name] if name in exact else alike.get(_parts(name), [])
        if len(fitting) > 1:
            raise _unclear(ticker, fitting)
        found[ticker] = fitting[0] if fitting else None
    _check_distinct(found)
    return found


def _unclear(ticker: str, columns: Sequence[str]) -> PortfolioError:
    return PortfolioError(
        f"`tickers` must be unambiguous. Got {ticker!r}, which may be any of "
        f"{format_tickers(map(repr, columns))}. Write it as the data do."
    )


def _parts(name: str) -> tuple[str, ...]:
    """Split a name where vendors separate the share class."""
    return tuple(filter(None, _SEPARATORS.split(name.casefold())))


def _check_distinct(found: Mapping[str, str | None]) -> None:
    """Raise if an optimizer would get the same asset under two names."""
    names = defaultdict(list)
    for ticker, column in found.items():
        if column is not None:
            names[column].append(ticker)
    for column, tickers in names.items():
        if len(tickers) > 1:
            raise PortfolioError(
                "`tickers` must be of different assets. Got "
                f"{format_tickers(map(repr, tickers))}, which all mean {column!r}. "
                "Keep one of them."
            )
