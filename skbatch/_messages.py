"""How messages write numbers, dates and lists of tickers, and where they appear."""

from __future__ import annotations

import re
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral
from typing import Any

# Modules that may lie between the user's line and the one that warns.
_CALLEES = ("skbatch.", "sklearn.", "skfolio.", "joblib.")
# `warnings.catch_warnings` changes the filters of all threads, and may leave them so.
_collected: ContextVar[list[tuple[type[Warning], str]] | None] = ContextVar(
    "collected", default=None
)
# What moves a terminal's cursor, changes its colors or turns the direction of text.
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
    # The message about a dead worker is several paragraphs long.
    message = textwrap.shorten(str(error), 300, placeholder=" …")
    name = type(error).__name__
    message = re.sub(r"^ModelFitError: (?=\w+: )", "", message)
    if name == "ModelFitError" and re.match(r"\w+(Error|Exception): ", message):
        return message
    return f"{name}: {message}" if message else name


def describe_delay(delay: int) -> str:
    """Continue a sentence on returns by the close that they start from."""
    if not delay:
        return ""
    return f", starting {count(delay, 'row')} after the forecast"


def check_int(value: Any, name: str, least: int, advice: str) -> None:
    """Raise unless a parameter is an int, and not too small."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if whole and int(value) >= least:
        return
    raise ValueError(
        f"`{name}` must be an int of at least {least}. Got {value!r}. {advice}"
    )


def check_choice(value: Any, name: str, choices: Iterable[str]) -> None:
    """Raise unless a parameter is one of several words."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, known))}. Got {value!r}. "
            "Choose one of these."
        )


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line that called skbatch, also through scikit-learn's wrappers."""
    collected = _collected.get()
    if collected is not None:
        collected.append((category, message))
        return
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_CALLEES):
        frame = frame.f_back
        level += 1
    warnings.warn(printable(message), category, stacklevel=level)


@contextmanager
def collect_warnings() -> Iterator[list[tuple[type[Warning], str]]]:
    """Collect the package's warnings of this thread instead of showing them."""
    collected: list[tuple[type[Warning], str]] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


@contextmanager
def silence_warnings(*categories: type[Warning]) -> Iterator[None]:
    """Drop the package's warnings of some categories, in this thread only."""
    with collect_warnings() as collected:
        yield
    for category, message in collected:
        if not issubclass(category, categories):
            warn_user(message, category)
