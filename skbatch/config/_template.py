"""A commented file of all settings, and a table of what is in effect."""

from __future__ import annotations

import os
from textwrap import fill, indent

from pydantic.fields import FieldInfo

from skbatch._messages import count
from skbatch.config._base import (
    allowed,
    default_text,
    null_word,
    sections,
    settings_of,
)
from skbatch.config._config import BatchForecastingConfig
from skbatch.config._errors import dotted, origin_of, shown
from skbatch.config._load import load
from skbatch.config._parts import (
    FALLBACKS,
    KINDS,
    MISSING,
    Path,
    fallback_paths,
    inapplicable,
    look_up,
    model_paths,
)
from skbatch.config._presets import preset_settings

__all__ = ["effective", "template"]

_WIDTH = 88
_HEADER = """\
Settings of skbatch. To change one, remove the # before its key; until then it has the
value that is shown. Environment variables such as SKBATCH_HORIZON and
SKBATCH_MODEL__MAX_DEPTH win over this file, this file over the preset, and the preset
over the defaults.
"""


def template(preset: str | None = None) -> str:
    """Write a file with every key, its default and its description.

    Parameters
    ----------
    preset : {"speed", "accuracy"} or None, default=None
        Preset that the file sets.

    Returns
    -------
    str
        A TOML document in which every key but the preset is commented out.

    Raises
    ------
    ConfigError
        If there is no such preset.
    """
    config = BatchForecastingConfig(preset=preset)
    own = {} if config.preset is None else preset_settings(config.preset, {})
    section: Path = ()
    blocks = [_comment(_HEADER)]
    for path, field in settings_of(BatchForecastingConfig).items():
        if path[:-1] != section:
            section = path[:-1]
            documentation = sections(BatchForecastingConfig)[section[0]].__doc__ or ""
            blocks.append(f"{_comment(documentation)}[{dotted(section)}]\n")
        value = shown(own[path]) if path in own else default_text(field)
        line = f"#{path[-1]} = {value}\n"
        if path == ("preset",) and config.preset is not None:
            line = f"preset = {shown(config.preset)}\n"
        texts = (field.description or "", _allowed(path, field, path in own))
        blocks.append("".join(map(_comment, texts)) + line)
    return "\n".join(blocks)


def effective(
    path: str | os.PathLike[str] | None,
) -> list[tuple[str, str, str]]:
    """List what is in effect, and where it comes from.

    Parameters
    ----------
    path : path-like or None
        TOML file; None for the environment alone.

    Returns
    -------
    list of (str, str, str)
        Path, value, and origin of every setting that has an effect.

    Raises
    ------
    ConfigError
        Listing everything that is wrong.
    OSError
        If the file cannot be read.
    """
    config, origins = load(BatchForecastingConfig, path, True, {})
    settings, chosen = config.model_dump(), config.model_dump(exclude_unset=True)
    preset = config.preset
    own = set() if preset is None else set(preset_settings(preset, chosen))
    idle = {where for where, _ in inapplicable(settings)}
    rows = []
    for where, field in settings_of(BatchForecastingConfig).items():
        if where in idle:
            continue
        value, origin = look_up(settings, where), origin_of(where, origins)
        source = f"preset {preset}" if where in own else "default"
        if look_up(chosen, where) is not MISSING and origin is not None:
            source = origin.text
        rows.append((dotted(where), _value_text(value, field), source))
    return rows


def _value_text(value: object, field: FieldInfo) -> str:
    """Write a value; a table by its length."""
    if isinstance(value, dict):
        return f"table of {count(len(value))}"
    return shown(null_word(field) if value is None else value)


def _only_for(path: Path) -> list[str]:
    """Name the choices for which a setting has an effect, if not for all."""
    of_models = {kind: set(model_paths(kind).values()) for kind in KINDS}
    of_fallbacks = {kind: set(fallback_paths(kind).values()) for kind in FALLBACKS}
    texts = []
    for name, paths in (("model.kind", of_models), ("fallback.model", of_fallbacks)):
        kinds = [kind for kind, own in paths.items() if path in own]
        if 0 < len(kinds) < len(paths):
            texts.append(f"For {name} = {' or '.join(map(shown, kinds))}.")
    return texts


def _allowed(path: Path, field: FieldInfo, has_preset: bool) -> str:
    """Say what is allowed, and when."""
    rule = allowed(field)
    texts = [f"{rule[0].upper()}{rule[1:]}.", *_only_for(path)]
    if has_preset:
        texts.append(f"Without a preset {default_text(field)}.")
    return " ".join(texts)


def _comment(text: str) -> str:
    """Wrap text as a comment."""
    wrapped = fill(" ".join(text.split()), _WIDTH - 2, break_long_words=False)
    return indent(wrapped, "# ") + "\n"
