"""The settings one by one, for the command line and the documentation.

This module is for the other subpackages. It may change with any release.
"""

from __future__ import annotations

import os
import re
from textwrap import fill, indent

from skbatch._messages import count
from skbatch.config._layers import complete, read_layers
from skbatch.config._settings import (
    CHOICES,
    KINDS,
    SECTIONS,
    SETTINGS,
    Setting,
    idle_settings,
    toml_value,
)

__all__ = [
    "SECTIONS",
    "SETTINGS",
    "Setting",
    "effective_settings",
    "settings_template",
]
_HEADER = """\
Settings of skbatch. To change one, remove the # before its key; until then it has the
value that is shown. Environment variables such as SKBATCH_HORIZON and
SKBATCH_MODEL__MAX_DEPTH take precedence over this file, and it over the defaults.
"""


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


def effective_settings(
    path: str | os.PathLike[str] | None,
) -> list[tuple[str, str, str]]:
    """List path, value and origin of every setting that has an effect."""
    given, origins = read_layers(path, True, {})
    values = complete(given)
    rows = []
    for where in (path for path in SETTINGS if path not in idle_settings(given)):
        value = values[where]
        table = isinstance(value, dict)
        text = f"table of {count(len(value))}" if table else SETTINGS[where].text(value)
        rows.append((where, text, origins.get(where, "default")))
    return rows


def _only_for(path: str) -> str:
    """Name the models for which a setting has an effect, if not for all."""
    for choice in ("model.kind", "fallback.model"):
        kinds = [k for k in KINDS if CHOICES[choice].accepts(k)]
        used = [k for k in kinds if path not in idle_settings({choice: k})]
        if path.startswith(choice.partition(".")[0]) and 0 < len(used) < len(kinds):
            return f"For {choice} = {' or '.join(map(toml_value, used))}."
    return ""


def _comment(text: str) -> str:
    """Wrap text as a comment, without the markup of docstrings."""
    text = re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"\1", text).replace("`", "")
    lines = fill(" ".join(text.split()), 86, break_long_words=False)
    return indent(lines, "# ") + "\n"
