"""Settings from files, from the environment and from arguments, one over the other."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from skbatch.config._base import (
    Section,
    find_problems,
    sections,
    settings_of,
    takes_only_text,
)
from skbatch.config._errors import ENVIRONMENT, Origin, config_error, origin_of
from skbatch.config._parts import Path
from skbatch.config._toml import line_numbers
from skbatch.exceptions import ConfigError

__all__ = ["load", "merged", "nested", "validated"]

Config = TypeVar("Config", bound=Section)
Origins = dict[Path, Origin]


def load(
    config: type[Config],
    path: str | os.PathLike[str] | None,
    env: bool,
    explicit: Mapping[str, Any],
) -> tuple[Config, Origins]:
    """Read all layers, and tell where each setting was made.

    Parameters
    ----------
    config : type of Section
        Class of the whole configuration.
    path : path-like or None
        TOML file.
    env : bool
        Whether to read environment variables.
    explicit : mapping
        Settings that win over both.

    Returns
    -------
    config : Section
        The configuration.
    origins : dict
        Path → origin, of what was set.

    Raises
    ------
    ConfigError
        Listing everything that is wrong.
    OSError
        If the file cannot be read.
    """
    settings: dict[str, Any] = {}
    origins: Origins = {}
    if path is not None:
        settings, origins = _read_file(path)
    layers = [*_read_environment(config)] if env else []
    layers.append((dict(explicit), Origin("argument", "argument")))
    for layer, origin in layers:
        settings = merged(settings, layer)
        for where in _leaves(layer):
            replaced = [old for old in origins if old[: len(where)] == where]
            for old in replaced:
                del origins[old]
            origins[where] = origin
    return validated(config, settings, origins), origins


def validated(
    config: type[Config], settings: Mapping[str, Any], origins: Mapping[Path, Origin]
) -> Config:
    """Make a configuration, or say what is wrong and where it was set."""
    try:
        return config.model_validate(settings)
    except ValidationError as error:
        problems = find_problems(config, error, origins)
        raise config_error(problems, origins) from None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over others, key by key within the sections.

    A table that is a setting, such as `groups`, replaces the one below.
    """
    result = dict(below)
    for name, value in above.items():
        under = result.get(name)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            result[name] = {**under, **value}
        else:
            result[name] = value
    return result


def _read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Origins]:
    """Read a TOML file, and find the line of each key."""
    name = os.fspath(path)
    with open(name, "rb") as file:
        content = file.read()
    try:
        # Some editors begin a file with a byte-order mark, which TOML does not allow.
        text = content.decode("utf-8-sig")
        settings = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{name} must be a TOML file. Got: {error}. Text must be in quotes, and "
            "every key stand once, as `key = value`."
        ) from error
    lines = {
        where: Origin("file", f"{name}, line {number}")
        for where, number in sorted(line_numbers(text).items(), key=lambda x: x[1])
    }
    whole = Origin("file", name)
    leaves = {where: origin_of(where, lines) or whole for where in _leaves(settings)}
    return settings, {**lines, **leaves}


def _read_environment(
    config: type[Section],
) -> Iterator[tuple[dict[str, Any], Origin]]:
    """Read the variables that begin as ours do, each as a layer of settings."""
    fields, inner = settings_of(config), sections(config)
    # Sections come before the settings in them.
    for name in sorted(os.environ):
        if name.startswith(ENVIRONMENT):
            key = name.removeprefix(ENVIRONMENT).lower()
            section, separator, rest = key.partition("__")
            where = (section, rest) if separator and section in inner else (key,)
            value = _parsed(os.environ[name], fields.get(where))
            yield nested(where, value), Origin("environment", name)


def _parsed(text: str, field: FieldInfo | None) -> Any:
    """Read a variable as TOML's value, else as text."""
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # Not more than the value; and a folder may be called 2024.
    is_text = field is not None and takes_only_text(field)
    value = values["value"]
    return text if len(values) > 1 or (is_text and type(value) is not str) else value


def nested(where: Path, value: Any) -> dict[str, Any]:
    """Put a value into the table that it belongs to."""
    for name in reversed(where):
        value = {name: value}
    return dict(value)


def _leaves(settings: Mapping[str, Any]) -> Iterator[Path]:
    """List the paths of settings; a table within a section is one setting."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from ((name, key) for key in value)
        else:
            yield (name,)
