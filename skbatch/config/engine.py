"""Settings from files, the environment and arguments, and all that is wrong there.

This module is for the other subpackages. It may change with any release.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from textwrap import fill, indent
from typing import Any

import pandas as pd

from skbatch._messages import warn_user
from skbatch.config._settings import (
    KINDS,
    SECTIONS,
    SETTINGS,
    Setting,
    Values,
    choose,
    show,
    used_settings,
)
from skbatch.exceptions import ConfigError, SkbatchWarning

__all__ = ["SECTIONS", "SETTINGS", "Setting", "effective_settings", "settings_template"]

_HEADER = """\
Settings of skbatch. To change one, remove the # before its key; until then it has the
value that is shown. Environment variables such as SKBATCH_HORIZON and
SKBATCH_MODEL__MAX_DEPTH take precedence over this file, and this file takes precedence
over the defaults.
"""
# Keys that earlier files may hold, and what to do about them.
_REMOVED = {
    "preset": "Remove it: the defaults now take half the time. Fewer trees, such as "
    "model.n_estimators = 100, are faster still.",
    "model.min_child_weight": "It is now `model.xgb_params.min_child_weight`.",
}


def flatten(settings: Mapping[str, Any], section: str = "") -> Values:
    """Map paths to values; None is dropped for settings that cannot be None."""
    found: Values = {}
    for key, value in settings.items():
        path = f"{section}{key}"
        if path not in SETTINGS and not re.fullmatch(r"[\w-]+", str(key)):
            path = f"{section}{show(str(key))}"
        if path in SECTIONS and isinstance(value, Mapping):
            found |= flatten(value, f"{path}.")
            continue
        value, null = plain(value), path in SETTINGS and SETTINGS[path].null
        if value is None or (isinstance(value, str) and value == null):
            found |= {path: None} if null else {}
        else:
            found[path] = value
    return found


def plain(value: Any) -> Any:
    """Turn what numpy, pandas and pathlib have into what files have."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, pd.Series) and value.index.is_unique:
        value = value.to_dict()
    if isinstance(value, Mapping):
        # A ticker without a group is treated like one that is not listed.
        return {k: plain(v) for k, v in value.items() if v is not None and v == v}
    value = value.tolist() if hasattr(value, "tolist") else value
    several = isinstance(value, list | tuple | range)
    return tuple(map(plain, value)) if several else value


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
            f"{name} must be a valid TOML file. Got: {error}. Put text in quotes, and "
            "write every key once, as `key = value`."
        ) from error


def _read_environment() -> Iterator[tuple[str, Values]]:
    """Read the variables that are settings, and warn about misspelled ones."""
    names = {setting.variable: path for path, setting in SETTINGS.items()}
    for name in sorted(os.environ):
        if name in names:
            yield name, flatten({names[name]: _parse(os.environ[name], names[name])})
        elif name.startswith("SKBATCH_"):
            # Platforms set variables of this prefix, such as SKBATCH_PORT.
            meant = _nearest(name[8:].replace("__", "."), cutoff=0.8)
            if meant in SETTINGS:
                warn_user(
                    "Environment variables must have the name of a setting. Got "
                    f"{name}, which is ignored. Did you mean "
                    f"{SETTINGS[meant].variable}?",
                    SkbatchWarning,
                )


def _parse(text: str, path: str) -> Any:
    """Read a variable as TOML's value, else as text."""
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # The text must be a single value; and a folder may be called 2024.
    value, accepts = values.pop("value"), SETTINGS[path].accepts
    return text if values or (accepts(text) and not accepts(plain(value))) else value


def check(
    values: Values, origins: Mapping[str, str] | None = None, others: Iterable[str] = ()
) -> None:
    """Raise an error that lists all problems, each with its place, and others."""
    used, found = used_settings(values), [*others]
    for path, value in values.items():
        if problem := _problem(path, value, used, values):
            place = f"{origins[path]}: " if origins else ""
            found.append(f"{place}`{path}` must be {problem}")
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        listed = "\n".join(f"- {line}" for line in found)
        raise ConfigError(f"The configuration has {len(found)} problems:\n{listed}")


def _problem(path: str, value: Any, used: set[str], values: Values) -> str:
    """Continue "must be" with what is wrong with a setting, if anything is."""
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
    elif path not in used and value is not None:
        section = path.partition(".")[0].replace("performance", "model")
        made = {c: show(v) for c, v in choose(values).items() if c.startswith(section)}
        rule = f"left out with {' and '.join(f'{c} = {made[c]}' for c in made)}"
        advice = f"Remove it, or change {' or '.join(made)}."
    else:
        return ""
    return f"{rule}. Got {_shorten(show(value))}. {advice}"


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:56]} ..."


def _suggest(path: str) -> str:
    """Name the key that was probably meant, or those that there are."""
    if path in _REMOVED:
        return _REMOVED[path]
    if meant := _nearest(path):
        return f"Did you mean `{meant}`?"
    section = max((s for s in SECTIONS if path.startswith(f"{s}.")), default="")
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


def settings_template() -> str:
    """Write a TOML file with every key, its default and its description."""
    section, blocks = "", [_comment(_HEADER)]
    for path, setting in SETTINGS.items():
        above, _, key = path.rpartition(".")
        if above != section:
            section = above
            blocks.append(f"{_comment(SECTIONS[section])}[{section}]\n")
        rule = f"{setting.allowed[0].upper()}{setting.allowed[1:]}. {_only_for(path)}"
        line = f"#{key} = {setting.text(setting.default)}\n"
        blocks.append(_comment(setting.description) + _comment(rule) + line)
    return "\n".join(blocks)


def _only_for(path: str) -> str:
    """Name the models for which a setting has an effect, if not for all."""
    section = path.partition(".")[0]
    choice = "fallback.model" if section == "fallback" else "model.kind"
    kinds = [kind for kind in KINDS if SETTINGS[choice].accepts(kind)]
    used = [show(k) for k in kinds if path in used_settings({choice: k})]
    return f"For {choice} = {' or '.join(used)}." if len(used) < len(kinds) else ""


def _comment(text: str) -> str:
    """Wrap text as a comment, without the markup of docstrings."""
    text = re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"\1", text).replace("`", "")
    lines = fill(" ".join(text.split()), 86, break_long_words=False)
    return indent(lines, "# ") + "\n"


def effective_settings(
    path: str | os.PathLike[str] | None,
) -> list[tuple[str, str, str]]:
    """List path, value and origin of every setting that has an effect."""
    given, origins = read_layers(path, True, {})
    used, values = used_settings(given), complete(given)
    return [
        (where, _shorten(setting.text(values[where])), origins.get(where, "default"))
        for where, setting in SETTINGS.items()
        if where in used
    ]
