"""How messages and reports write numbers, dates and lists of tickers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Any

__all__ = ["count", "date_text", "describe_error", "format_tickers"]


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


def describe_error(error: BaseException) -> str:
    """Write the class and message of an error in one line."""
    # A dead worker's message goes on for paragraphs.
    message = textwrap.shorten(str(error), 300, placeholder=" …")
    name = type(error).__name__
    message = re.sub(r"^ModelFitError: (?=\w+: )", "", message)
    if name == "ModelFitError" and re.match(r"\w+(Error|Exception): ", message):
        return message
    return f"{name}: {message}" if message else name
