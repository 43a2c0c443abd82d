"""Settings from files, the environment and arguments, and all that is wrong there."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import pandas as pd

from skbatch._messages import warn_user
from skbatch.config._settings import (
    SECTIONS,
    SETTINGS,
    idle_settings,
    toml_key,
    toml_value,
)
from skbatch.exceptions import ConfigError, SkbatchWarning

Values = dict[str, Any]
# Keys that earlier files may hold, and what to do about them.
_REMOVED = {
    "preset": "Remove it: the defaults take half the time that they took. Fewer trees, "
    "model.n_estimators = 100, are faster still.",
    "model.min_child_weight": "It is now `model.xgb_params.min_child_weight`.",
}


def flatten(settings: Mapping[str, Any], section: str = "") -> Values:
    """Map paths to values; None is dropped for settings that cannot be None."""
    found: Values = {}
    for key, value in settings.items():
        path = f"{section}{toml_key(key)}"
        if path in SECTIONS and isinstance(value, Mapping):
            found |= flatten(value, f"{path}.")
            continue
        value, null = plain(value), path in SETTINGS and SETTINGS[path].null
        if isinstance(value, str) and value == null:
            value = None
        elif isinstance(value, str) and path == "features.families":
            value = (value,)
        if value is not None or null:
            found[path] = value
    return found


def plain(value: Any) -> Any:
    """Turn what numpy, pandas and pathlib have into what files have."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, pd.Series) and value.index.is_unique:
        value = value.to_dict()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return tuple(map(plain, value))
    if isinstance(value, Mapping):
        # A ticker without a group is as good as one that is not listed.
        known = {key: v for key, v in value.items() if v is not None and v == v}
        return {key: plain(v) for key, v in known.items()}
    return value


def complete(given: Values) -> Values:
    """Fill in the defaults."""
    return {path: setting.default for path, setting in SETTINGS.items()} | given


def read_layers(
    path: str | os.PathLike[str] | None, env: bool, overrides: Mapping[str, Any]
) -> tuple[Values, dict[str, str]]:
    """Read all layers, and where each setting was made."""
    layers = [] if path is None else [(os.fspath(path), _read_file(os.fspath(path)))]
    layers += _read_environment() if env else []
    values: Values = {}
    origins: dict[str, str] = {}
    for origin, made in (*layers, ("argument", flatten(overrides))):
        values |= made
        origins |= dict.fromkeys(made, origin)
    check(values, origins)
    return values, origins


def _read_file(name: str) -> Values:
    with open(name, "rb") as file:
        content = file.read()
    try:
        # Some editors begin a file with a byte-order mark, which TOML does not allow.
        return flatten(tomllib.loads(content.decode("utf-8-sig")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{name} must be a TOML file. Got: {error}. Put text in quotes, and write "
            "every key once, as `key = value`."
        ) from error


def _read_environment() -> Iterator[tuple[str, Values]]:
    """Read the variables that are settings, and warn of those that nearly are."""
    names = {setting.variable: path for path, setting in SETTINGS.items()}
    names["SKBATCH_PRESET"] = "preset"
    for name in sorted(os.environ):
        if path := names.get(name):
            section, _, key = path.rpartition(".")
            made = flatten(
                {key: _parse(os.environ[name], path)}, section and f"{section}."
            )
            yield name, made
        elif name.startswith("SKBATCH_"):
            # Platforms set variables of this prefix, such as SKBATCH_PORT.
            meant = _nearest(name[8:].replace("__", "."), cutoff=0.8)
            if meant in SETTINGS:
                warn_user(
                    f"Variables must have the name of a setting. Got {name}, which is "
                    f"ignored. Did you mean {SETTINGS[meant].variable}?",
                    SkbatchWarning,
                )


def _parse(text: str, path: str) -> Any:
    """Read a variable as TOML's value, else as text."""
    if path not in SETTINGS:
        return text
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # Not more than the value; and a folder may be called 2024.
    value, accepts = values.pop("value"), SETTINGS[path].accepts
    return text if values or (accepts(text) and not accepts(plain(value))) else value


def check(values: Values, origins: Mapping[str, str] | None = None) -> None:
    """Raise an error that lists all problems, each with its place."""
    idle = idle_settings(values)
    found = []
    for path, value in values.items():
        if problem := _problem(path, value, idle, values):
            place = f"{origins[path]}: " if origins else ""
            found.append(f"{place}`{path}` {problem}")
    if found:
        raise join_problems(found)


def join_problems(found: list[str]) -> ConfigError:
    """Combine several errors into one."""
    listed = "\n".join(f"- {line}" for line in found)
    several = f"The configuration has {len(found)} problems:\n{listed}"
    return ConfigError(several if len(found) > 1 else found[0])


def _problem(path: str, value: Any, idle: Mapping[str, str], values: Values) -> str:
    """Describe what is wrong with a setting, if anything is."""
    setting = SETTINGS.get(path)
    if path in SECTIONS:
        rule, advice = "a table of settings", f"Write its keys below [{path}]."
    elif setting is None:
        rule, advice = "a key that skbatch knows", _suggest(path)
    elif not setting.accepts(value):
        rule, advice = (
            setting.allowed,
            f"The default is {setting.text(setting.default)}.",
        )
        if isinstance(value, dict):  # show the entries that are wrong
            value = {k: v for k, v in value.items() if not setting.accepts({k: v})}
    elif path in idle and value is not None:
        choice = idle[path]
        made = toml_value(SETTINGS[choice].chosen(values))
        rule = f"left out with {choice} = {made}"
        advice = f"Remove it, or change {choice}."
    else:
        return ""
    got = toml_value(value)
    if "\n" in got:
        got = f"a {type(value).__name__}"
    return (
        f"must be {rule}. Got {got if len(got) <= 60 else f'{got[:56]} ...'}. {advice}"
    )


def _suggest(path: str) -> str:
    """Name the key that was probably meant, or those that there are."""
    if path in _REMOVED:
        return _REMOVED[path]
    if meant := _nearest(path):
        return f"Did you mean `{meant}`?"
    section = path.rpartition(".")[0]
    keys = (valid.rpartition(".") for valid in (*SETTINGS, *SECTIONS))
    return f"Choose one of {', '.join(k for above, _, k in keys if above == section)}."


def _nearest(path: str, cutoff: float = 0.7) -> str | None:
    """Find the setting or section that was probably meant."""
    section, _, key = path.lower().rpartition(".")
    own_first = sorted((*SECTIONS, *SETTINGS), key=lambda p: not p.startswith(section))
    names: dict[str, str] = {}
    for valid in own_first:
        names.setdefault(valid.rpartition(".")[2], valid)
        names.setdefault(valid.replace(".", "_"), valid)
    match = get_close_matches(key, names, 1, cutoff)
    return names[match[0]] if match else None
