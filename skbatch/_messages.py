"""How messages write numbers, dates and lists of tickers, and where they appear."""

from __future__ import annotations

import re
import sys
import textwrap
import warnings
from collections.abc import Iterable
from typing import Any

__all__ = [
    "count",
    "date_text",
    "describe_error",
    "format_tickers",
    "printable",
    "warn_user",
]

# What moves a terminal's cursor, changes its colours or turns the direction of text.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    """Write control characters, except ends of lines, as their escapes."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], str(text))


def count(number: float, noun: str = "ticker") -> str:
    """Count things: "1 ticker", "2 tickers"."""
    shown = int(number) if number == int(number) else number
    return f"{shown} {noun}" if shown == 1 else f"{shown} {noun}s"


def date_text(label: Any) -> str:
    """Write a date without the time if it has none; other labels as they are."""
    return str(label).removesuffix(" 00:00:00")


def format_tickers(tickers: Iterable[object], limit: int = 5) -> str:
    """Join tickers for a message: the first `limit`, then "and N more"."""
    names = [printable(ticker).replace("\n", r"\n") for ticker in tickers]
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


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line that called skbatch, also through scikit-learn's wrappers."""
    level, frame = 2, sys._getframe(1)
    packages = ("skbatch.", "sklearn.")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(packages):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
