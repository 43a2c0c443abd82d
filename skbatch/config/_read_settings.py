"""Settings from files, the environment and arguments, and all that is wrong there."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import pandas as pd

from skbatch._messages import warn_user
from skbatch.config._rules import toml_key, toml_value
from skbatch.config._settings import SECTIONS, SETTINGS, Setting
from skbatch.exceptions import ConfigError, SkbatchWarning

__all__ = [
    "Values",
    "check",
    "complete",
    "config_error",
    "flatten",
    "plain",
    "read",
    "without_effect",
]

Values = dict[str, Any]
# Keys that earlier files may hold, and what to do about them.
_REMOVED = {
    "preset": "Remove it: the defaults take half the time that they took. Fewer trees, "
    "model.n_estimators = 100, are faster still."
}
_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_NAME = rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*"
_LINE = re.compile(rf"\s*\[{_NAME}\]|{_NAME}=")


def flatten(settings: Mapping[str, Any], section: str = "") -> Values:
    """Map paths to values; None is dropped for settings that cannot be None."""
    found: Values = {}
    for key, value in settings.items():
        path = f"{section}{toml_key(key)}"
        if path in SECTIONS and isinstance(value, Mapping):
            found |= flatten(value, f"{path}.")
            continue
        setting, value = SETTINGS.get(path), plain(value)
        if setting and setting.null and isinstance(value, str):
            families = path == "features.families"
            value = None if value == setting.null else (value,) if families else value
        if value is not None or (setting and setting.null):
            found[path] = value
    return found


def plain(value: Any) -> Any:
    """Turn what numpy and pandas have into Python's own values."""
    if isinstance(value, pd.Series) and value.index.is_unique:
        value = value.to_dict()
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return tuple(map(plain, value))
    if isinstance(value, Mapping):
        pairs = ((key, plain(item)) for key, item in value.items())
        # A ticker without a group is as good as one that is not listed.
        return {k: v for k, v in pairs if v is not None and v == v}
    return value


def without_effect(values: Values) -> dict[str, str]:
    """Map settings without effect to the choice that makes them so."""
    found = {}
    for path, setting in SETTINGS.items():
        unmet = [_unmet(needs, values) for needs in setting.needs]
        if unmet and all(unmet):
            found[path] = unmet[0]
    return found


def _unmet(needs: Mapping[str, tuple[Any, ...]], values: Values) -> str:
    """Name the first choice that was made otherwise."""
    made = {choice: values.get(choice, SETTINGS[choice].default) for choice in needs}
    others = (c for c, value in made.items() if value not in needs[c])
    return next((f"{c} = {toml_value(made[c])}" for c in others), "")


def complete(given: Values) -> Values:
    """Fill in the defaults."""
    return {path: setting.default for path, setting in SETTINGS.items()} | given


def read(
    path: str | os.PathLike[str] | None, env: bool, overrides: Mapping[str, Any]
) -> tuple[Values, dict[str, str]]:
    """Read all layers, and where each setting was made."""
    layers = [] if path is None else [_read_file(os.fspath(path))]
    layers += [_read_environment()] if env else []
    above = flatten(overrides)
    values: Values = {}
    origins: dict[str, str] = {}
    for layer, places in (*layers, (above, dict.fromkeys(above, "argument"))):
        for made in layer:  # a table is replaced as a whole, and its places with it
            values.pop(made, None)
            kept = (p for p in origins if p != made and not p.startswith(f"{made}."))
            origins = {p: origins[p] for p in kept}
        values, origins = values | layer, origins | places
    check(values, origins)
    return values, origins


def _read_file(name: str) -> tuple[Values, dict[str, str]]:
    """Read a TOML file, and find where in it each setting is."""
    with open(name, "rb") as file:
        content = file.read()
    try:
        # Some editors begin a file with a byte-order mark, which TOML does not allow.
        text = content.decode("utf-8-sig")
        values = flatten(tomllib.loads(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{name} must be a TOML file. Got: {error}. Put text in quotes, and write "
            "every key once, as `key = value`."
        ) from error
    places: dict[str, str] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _LINE.match(line):
            keys = re.findall(_KEY, match[1] or match[2])
            path = ".".join(toml_key(key.strip("\"'")) for key in keys)
            if match[1]:
                table = f"{path}."
            else:
                path = table + path
            places.setdefault(path, f"{name}, line {number}")
    return values, places | {path: _place(path, places) or name for path in values}


def _read_environment() -> tuple[Values, dict[str, str]]:
    """Read the variables that are settings, and warn of those that nearly are."""
    names = {setting.variable: path for path, setting in SETTINGS.items()}
    values: Values = {}
    origins = {}
    for name in sorted(os.environ):
        if path := names.get(name):
            value: Any = _parse(os.environ[name], path)
            for key in reversed(path.split(".")):
                value = {key: value}
            values |= {path: None, **flatten(value)}
            origins[path] = name
        elif (path := name[8:].lower()) in _REMOVED and name.startswith("SKBATCH_"):
            values[path], origins[path] = os.environ[name], name
        elif name.startswith("SKBATCH_"):
            # Platforms set variables of this prefix, such as SKBATCH_PORT.
            meant = _nearest(name[8:].lower().replace("__", "."), cutoff=0.8)
            if meant in SETTINGS:
                warn_user(
                    f"Variables must have the name of a setting. Got {name}, which is "
                    f"ignored. Did you mean {SETTINGS[meant].variable}?",
                    SkbatchWarning,
                )
    return values, origins


def _parse(text: str, path: str) -> Any:
    """Read a variable as TOML's value, else as text."""
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # Not more than the value; and a folder may be called 2024.
    value, accepts = values.pop("value"), SETTINGS[path].accepts
    return text if values or (accepts(text) and not accepts(plain(value))) else value


def check(values: Values, origins: Mapping[str, str] | None = None) -> None:
    """Raise an error that lists all problems, each with its place."""
    found = []
    for path, text in _problems(values):
        place = _place(path, origins or {})
        found.append(f"{place}: `{path}` {text}".removeprefix(": "))
    if found:
        raise config_error(found)


def config_error(found: list[str]) -> ConfigError:
    """Make one error of several."""
    listed = "\n".join(f"- {line}" for line in found)
    several = f"The configuration has {len(found)} problems:\n{listed}"
    return ConfigError(several if len(found) > 1 else found[0])


def _problems(values: Values) -> Iterator[tuple[str, str]]:
    """Find all that is wrong: the paths, and what is wrong with each."""
    idle = without_effect(values)
    for path, value in values.items():
        setting, got = SETTINGS.get(path), f"Got {_shorten(value)}."
        if path in SECTIONS:
            advice = f"Write its keys below [{path}]."
            yield path, f"must be a table of settings. {got} {advice}"
        elif setting is None:
            yield path, _unknown(path, got)
        elif not setting.accepts(value):
            entry = _wrong_entry(setting, value)
            if entry is not None:
                path += f".{toml_key(entry)}"
                got = f"Got {_shorten(value[entry])}."
            default = setting.text(setting.default)
            yield path, f"must be {setting.allowed}. {got} The default is {default}."
        elif path in idle and value is not None:
            reason = idle[path]
            advice = f"Remove it, or change {reason.partition(' = ')[0]}."
            yield path, f"must not be set with {reason}. {got} {advice}"


def _shorten(value: Any) -> str:
    """Write a value in a message, on one line that is not too long."""
    text = toml_value(value)
    if "\n" in text:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:56]} ..."


def _wrong_entry(setting: Setting, table: Any) -> Any:
    """Find the first entry of a table that is wrong, or unlike the first of all."""
    if not isinstance(table, dict) or not table:
        return None
    first = dict([next(iter(table.items()))])
    wrong = (k for k in table if not setting.accepts({**first, k: table[k]}))
    return next(wrong, None)


def _unknown(path: str, got: str) -> str:
    """Describe a key that does not exist: where it went, or what was meant."""
    section, _, key = path.rpartition(".")
    if path in _REMOVED:
        return f"must not be set: presets were removed. {got} {_REMOVED[path]}"
    if (moved := f"{section}.target.{key}") in SETTINGS:
        return f"must be set as `{moved}`. {got} Write it below [{section}.target]."
    if path == "model.min_child_weight":
        moved = "model.xgb_params"
        return f"must be set as `{moved}.{key}`. {got} Write it below [{moved}]."
    if meant := _nearest(path):
        advice = f"Did you mean `{meant}`?"
    else:
        valid = (p.rpartition(".") for p in (*SETTINGS, *SECTIONS))
        advice = f"Choose one of {', '.join(k for s, _, k in valid if s == section)}."
    return f"must be a key that skbatch knows. {got} {advice}"


def _nearest(path: str, cutoff: float = 0.7) -> str | None:
    """Find the setting or section that was probably meant."""
    section, _, key = path.rpartition(".")
    if (moved := f"{section}.target.{key}") in SETTINGS:
        return moved
    # The keys of the section come first, then those of others, with it or alone.
    near: dict[str, str] = {}
    others: dict[str, str] = {}
    for valid in (*SETTINGS, *(name for name in SECTIONS if "." not in name)):
        above, _, name = valid.rpartition(".")
        (near if above == section else others).setdefault(name, valid)
        others.setdefault(valid.replace(".", "_"), valid)
    for names in (near, others):
        if match := get_close_matches(key.lower(), names, 1, cutoff):
            return names[match[0]]
    return None


def _place(path: str, origins: Mapping[str, str]) -> str:
    """Find where a setting, or the table that it is in, was made."""
    while path and path not in origins:
        path = path.rpartition(".")[0]
    return origins.get(path, "")
