"""What is wrong with a configuration, told all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from skbatch.config._parts import Path
from skbatch.config._toml import render_key, render_value
from skbatch.exceptions import ConfigError

__all__ = [
    "ENVIRONMENT",
    "Origin",
    "Problem",
    "config_error",
    "dotted",
    "nearest",
    "origin_of",
    "shown",
    "variable",
]

ENVIRONMENT = "SKBATCH_"
_WIDTH = 60


@dataclass(frozen=True)
class Origin:
    """Where a setting was made.

    Attributes
    ----------
    source : {"file", "environment", "argument", "parameter"}
        The kind of place.
    text : str
        The place in words, such as ``"skbatch.toml, line 3"``.
    """

    source: str
    text: str


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    path : tuple of str
        Which setting.
    rule : str
        What it must be or do.
    got : str
        What it is.
    advice : str
        What to do.
    """

    path: Path
    rule: str
    got: str
    advice: str

    def describe(self, origin: Origin | None) -> str:
        """Say what is wrong, and where."""
        place = "" if origin is None else f"{origin.text}: "
        text = f"{place}`{dotted(self.path)}` must {self.rule}. Got {self.got}."
        return f"{text} {self.advice}".rstrip()


def config_error(
    problems: Iterable[Problem], origins: Mapping[Path, Origin] | None = None
) -> ConfigError:
    """Make the error that lists all problems, in the order of their places."""
    origins = origins or {}
    found = list(problems)
    places = list(dict.fromkeys(origins.values()))

    def order(problem: Problem) -> int:
        origin = origin_of(problem.path, origins)
        return len(places) if origin is None else places.index(origin)

    found.sort(key=order)
    lines = [p.describe(origin_of(p.path, origins)) for p in found]
    if len(lines) == 1:
        return ConfigError(lines[0])
    listed = "\n".join(f"- {line}" for line in lines)
    return ConfigError(f"The configuration has {len(lines)} problems:\n{listed}")


def origin_of(path: Path, origins: Mapping[Path, Origin]) -> Origin | None:
    """Find where a setting, or the table that it is in, was made."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return None


def dotted(path: Path) -> str:
    """Write a path as TOML does."""
    return ".".join(map(render_key, path))


def variable(path: Path) -> str:
    """Name the environment variable of a setting."""
    return ENVIRONMENT + "__".join(path).upper()


def nearest(path: Path, paths: Iterable[Path]) -> Path | None:
    """Find the valid path that was probably meant.

    First among the keys of the same section, then the same key of another section,
    then anything similar.
    """
    valid = [other for other in paths if other != path]
    *section, key = path
    siblings = {p[-1]: p for p in valid if list(p[:-1]) == section}
    names: dict[str, Path] = {}
    for other in valid:
        names.setdefault(other[-1], other)
    # A section in front of the key counts only where it was not told apart.
    full = {} if section else {dotted(other): other for other in valid}
    for candidates, wanted, cutoff in (
        (siblings, key, 0.7),
        # A ticker, or anything else, below a setting that is a table.
        (siblings, key.partition("__")[0], 1.0),
        (names, key, 1.0),
        (full, dotted(path), 0.7),
        (names, key, 0.7),
    ):
        if match := get_close_matches(wanted.lower(), candidates, 1, cutoff):
            return candidates[match[0]]
    return None


def shown(value: Any) -> str:
    """Write a value in a message, on one line that is not too long."""
    try:
        text = render_value(value)
    except TypeError:
        text = repr(value)
        if "\n" in text:
            text = f"a {type(value).__name__}"
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 4]} ..."
