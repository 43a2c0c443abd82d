"""A commented file of all settings, and a table of what is in effect."""

from __future__ import annotations

import os
import re
from textwrap import fill, indent

from skbatch._messages import count
from skbatch.config._batch_forecasting_config import (
    BatchForecastingConfig,
    load,
    preset_values,
)
from skbatch.config._settings import SECTIONS, SETTINGS, Path, Setting, idle
from skbatch.config._toml import dotted

__all__ = ["effective_settings", "settings_template"]

_WIDTH = 88
_HEADER = """\
Settings of skbatch. To change one, remove the # before its key; until then it has the
value that is shown. Environment variables such as SKBATCH_HORIZON and
SKBATCH_MODEL__MAX_DEPTH win over this file, this file over the preset, and the preset
over the defaults.
"""


def settings_template(preset: str | None = None) -> str:
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
    own = preset_values({("preset",): config.preset})
    section: Path = ()
    blocks = [_comment(_HEADER)]
    for path, setting in SETTINGS.items():
        if path[:-1] != section:
            section = path[:-1]
            blocks.append(f"{_comment(SECTIONS[section])}[{dotted(section)}]\n")
        rule = f"{setting.allowed[0].upper()}{setting.allowed[1:]}."
        texts = [_plain_text(setting.description), f"{rule} {_only_for(setting)}"]
        if path in own:
            texts[1] += f" Without a preset {setting.text(setting.default)}."
        line = f"#{path[-1]} = {setting.text(own.get(path, setting.default))}\n"
        if path == ("preset",) and config.preset is not None:
            line = f"preset = {setting.text(config.preset)}\n"
        blocks.append("".join(_comment(text) for text in texts if text) + line)
    return "\n".join(blocks)


def effective_settings(
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
    given, origins = load(path, True, {})
    own, without_effect = preset_values(given), idle(given)
    rows = []
    for where, setting in SETTINGS.items():
        if where in without_effect:
            continue
        value, source = setting.default, "default"
        if where in given:
            value, source = given[where], origins[where]
        elif where in own:
            value, source = own[where], f"preset {given['preset',]}"
        text = setting.text(value)
        if isinstance(value, dict):
            text = f"table of {count(len(value))}"
        rows.append((dotted(where), text, source))
    return rows


def _only_for(setting: Setting) -> str:
    """Name the models for which a setting has an effect, if not for all."""
    for section, choice in (("model", "model.kind"), ("fallback", "fallback.model")):
        names = [part for part in setting.parts if part.startswith(f"{section}.")]
        kinds = [f'"{name.partition(".")[2]}"' for name in names]
        if '"target"' in kinds:
            kinds = ['"xgboost"', '"linear"'] if section == "model" else ['"linear"']
        if kinds and len(kinds) < {"model": 3, "fallback": 2}[section]:
            return f"For {choice} = {' or '.join(kinds)}."
    return ""


def _plain_text(description: str) -> str:
    """Remove the markup of a docstring."""
    text = re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"\1", description)
    return text.replace("`", "")


def _comment(text: str) -> str:
    """Wrap text as a comment."""
    wrapped = fill(" ".join(text.split()), _WIDTH - 2, break_long_words=False)
    return indent(wrapped, "# ") + "\n"
