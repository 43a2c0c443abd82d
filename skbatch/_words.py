"""Numbers of things and dates, as messages and reports write them."""

from __future__ import annotations

from typing import Any

__all__ = ["count", "date_text"]


def count(number: float, noun: str = "ticker") -> str:
    """Count things: "1 ticker", "2 tickers"."""
    shown = int(number) if number == int(number) else number
    return f"{shown} {noun}" if shown == 1 else f"{shown} {noun}s"


def date_text(label: Any) -> str:
    """Write a date without the time if it has none; other labels as they are."""
    return str(label).removesuffix(" 00:00:00")
