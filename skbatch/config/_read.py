"""Settings from files, the environment and arguments, and all that is wrong there."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import warn_user
from skbatch.config._settings import PREFIX, SECTIONS, SETTINGS, Path, idle
from skbatch.config._toml import dotted, line_numbers, shorten
from skbatch.exceptions import ConfigError, SkbatchWarning

__all__ = [
    "config_error",
    "flatten",
    "plain",
    "problems",
    "read_environment",
    "read_file",
]

Values = dict[Path, Any]
Origins = Mapping[Path, str]


def flatten(settings: Mapping[str, Any], section: Path = ()) -> Values:
    """Map paths to values; None is dropped for settings that cannot be None."""
    found: Values = {}
    for key, value in settings.items():
        path = (*section, str(key))
        if path in SECTIONS and isinstance(value, Mapping):
            found |= flatten(value, path)
            continue
        setting = SETTINGS.get(path)
        value = plain(value)
        if isinstance(value, str) and setting is not None and setting.null:
            families = path == ("features", "families")
            value = None if value == setting.null else (value,) if families else value
        if value is not None or (setting is not None and setting.null):
            found[path] = value
    return found


def plain(value: Any) -> Any:
    """Turn what numpy and pandas have into Python's own values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | pd.Index):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return tuple(map(plain, value))
    if isinstance(value, pd.Series) and not value.index.is_unique:
        return value
    if isinstance(value, pd.Series | Mapping):
        pairs = ((key, plain(item)) for key, item in value.items())
        # A ticker without a group is as good as one that is not listed.
        return {k: v for k, v in pairs if v is not None and v == v}
    return value


def read_file(path: str | os.PathLike[str]) -> tuple[Values, dict[Path, str]]:
    """Read a TOML file, and find where in it each setting is."""
    name = os.fspath(path)
    with open(name, "rb") as file:
        content = file.read()
    try:
        # Some editors begin a file with a byte-order mark, which TOML does not allow.
        text = content.decode("utf-8-sig")
        settings = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{name} must be a TOML file. Got: {error}. Put text in quotes, and write "
            "every key once, as `key = value`."
        ) from error
    values, lines = flatten(settings), line_numbers(text)
    places = {path: f"{name}, line {line}" for path, line in lines.items()}
    origins = places | {path: _place(path, places) or name for path in values}
    return values, origins


def read_environment() -> tuple[Values, dict[Path, str]]:
    """Read the variables that are settings, and warn of those that nearly are."""
    names = {setting.variable: path for path, setting in SETTINGS.items()}
    values: Values = {}
    for name in sorted(os.environ):
        if name in names:
            path = names[name]
            values |= {path: None, **_nested(path, _parse(os.environ[name], path))}
        elif name.startswith(PREFIX):
            # Platforms set variables of this prefix, such as SKBATCH_PORT.
            meant = nearest(tuple(name[len(PREFIX) :].lower().split("__")), cutoff=0.8)
            if meant in SETTINGS:
                warn_user(
                    f"Variables must have the name of a setting. Got {name}, which is "
                    f"ignored. Did you mean {SETTINGS[meant].variable}?",
                    SkbatchWarning,
                )
    return values, {path: SETTINGS[path].variable for path in values}


def _nested(path: Path, value: Any) -> Values:
    """Bring the value of one setting into the form that `flatten` gives it."""
    for key in reversed(path):
        value = {key: value}
    return flatten(value)


def _parse(text: str, path: Path) -> Any:
    """Read a variable as TOML's value, else as text."""
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # Not more than the value; and a folder may be called 2024.
    is_text = path == ("batch", "checkpoint_dir") and not isinstance(
        values["value"], str
    )
    return text if len(values) > 1 or is_text else values["value"]


def problems(values: Values) -> Iterator[tuple[Path, str]]:
    """Find all that is wrong: the paths, and what is wrong with each."""
    without_effect = idle(values)
    for path, value in values.items():
        setting, got = SETTINGS.get(path), f"Got {shorten(value)}."
        if path in SECTIONS:
            advice = f"Write its keys below [{dotted(path)}]."
            yield path, f"must be a table of settings. {got} {advice}"
        elif setting is None:
            yield path, _unknown(path, got)
        elif not setting.accepts(value):
            entry, got = _entry(value, got)
            advice = f"The default is {setting.text(setting.default)}."
            rule = f"must be {setting.allowed}. {got} {advice}"
            yield (*path, *entry), rule
        elif path in without_effect and value is not None:
            reason = without_effect[path]
            advice = f"Remove it, or change {reason.split(' = ')[0]}."
            yield path, f"must not be set with {reason}. {got} {advice}"


def _entry(value: Any, got: str) -> tuple[Path, str]:
    """Find the entry of a table of groups that is like none of the others."""
    if isinstance(value, dict):
        first = next(iter(value.values()), None)
        for key, item in value.items():
            good = isinstance(item, str if isinstance(first, str) else int | float)
            if isinstance(item, bool) or not good or item in (np.inf, -np.inf):
                return (str(key),), f"Got {shorten(item)}."
    return (), got


def _unknown(path: Path, got: str) -> str:
    """Describe a key that does not exist: where it went, or what was meant."""
    section, key = path[:-1], path[-1]
    meant = nearest(path)
    if meant == (*section, "target", key):
        table = dotted(meant[:-1])
        return f"must be set as `{dotted(meant)}`. {got} Write it below [{table}]."
    valid = [p[-1] for p in (*SETTINGS, *SECTIONS) if p[:-1] == section]
    advice = f"Choose one of {', '.join(valid)}."
    if meant is not None:
        advice = f"Did you mean `{dotted(meant)}`?"
    return f"must be a key that skbatch knows. {got} {advice}"


def nearest(path: Path, cutoff: float = 0.7) -> Path | None:
    """Find the setting or section that was probably meant.

    First among the keys of the same section, then the same key of another one, then
    anything similar.
    """
    *section, key = path
    if (moved := (*section, "target", key)) in SETTINGS:
        return moved
    valid = [*SETTINGS, *(top for top in SECTIONS if len(top) == 1)]
    siblings = {p[-1]: p for p in valid if list(p[:-1]) == section}
    names = {p[-1]: p for p in reversed(valid)}
    # A section in front of the key counts only where it was not told apart.
    full = {} if section else {"_".join(p): p for p in valid}
    for candidates, wanted, least in (
        (siblings, key, cutoff),
        (names, key, 1.0),
        (full, key, max(cutoff, 0.8)),
        (names, key, cutoff),
    ):
        if match := get_close_matches(wanted.lower(), candidates, 1, least):
            return candidates[match[0]]
    return None


def config_error(
    found: Iterable[tuple[Path, str]], origins: Origins | None = None
) -> ConfigError:
    """Make the error that lists all problems, each with its place."""
    lines = []
    for path, text in found:
        starts = (path[:n] for n in range(len(path), 0, -1))
        place = (
            next((origins[s] for s in starts if s in origins), "") if origins else ""
        )
        lines.append(f"{place}: `{dotted(path)}` {text}".removeprefix(": "))
    if len(lines) == 1:
        return ConfigError(lines[0])
    listed = "\n".join(f"- {line}" for line in lines)
    return ConfigError(f"The configuration has {len(lines)} problems:\n{listed}")


def _place(path: Path, origins: Origins) -> str:
    """Find where a setting, or the table that it is in, was made."""
    starts = (path[:length] for length in range(len(path), 0, -1))
    return next((origins[start] for start in starts if start in origins), "")
