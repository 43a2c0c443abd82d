"""How messages and reports write numbers, dates and lists of tickers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["count", "date_text", "format_tickers"]


def count(number: float, noun: str = "ticker") -> str:
    """Count things: "1 ticker", "2 tickers"."""
    shown = int(number) if number == int(number) else number
    return f"{shown} {noun}" if shown == 1 else f"{shown} {noun}s"


def date_text(label: Any) -> str:
    """Write a date without the time if it has none; other labels as they are."""
    return str(label).removesuffix(" 00:00:00")


def format_tickers(tickers: Iterable[object], limit: int = 5) -> str:
    """Join tickers for a message: the first `limit`, then "and N more"."""
    names = [str(ticker) for ticker in tickers]
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
