"""A commented file of all settings, and a table of what is in effect."""

from __future__ import annotations

import os
import re
from textwrap import fill, indent

from skbatch._messages import count
from skbatch.config._read_settings import complete, read, without_effect
from skbatch.config._rules import toml_value
from skbatch.config._settings import SECTIONS, SETTINGS, Setting

__all__ = ["effective_settings", "settings_template"]

_WIDTH = 88
_HEADER = """\
Settings of skbatch. To change one, remove the # before its key; until then it has the
value that is shown. Environment variables such as SKBATCH_HORIZON and
SKBATCH_MODEL__MAX_DEPTH win over this file.
"""


def settings_template() -> str:
    """Write a file with every key, its default and its description.

    Returns
    -------
    str
        A TOML document in which every key is commented out.
    """
    section = ""
    blocks = [_comment(_HEADER)]
    for path, setting in SETTINGS.items():
        above, _, key = path.rpartition(".")
        if above != section:
            section = above
            blocks.append(f"{_comment(SECTIONS[section])}[{section}]\n")
        rule = f"{setting.allowed[0].upper()}{setting.allowed[1:]}."
        texts = [_plain_text(setting.description), f"{rule} {_only_for(setting)}"]
        line = f"#{key} = {setting.text(setting.default)}\n"
        blocks.append("".join(map(_comment, texts)) + line)
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
    given, origins = read(path, True, {})
    values = complete(given)
    rows = []
    for where in SETTINGS.keys() - without_effect(given).keys():
        value = values[where]
        table = isinstance(value, dict)
        text = f"table of {count(len(value))}" if table else SETTINGS[where].text(value)
        rows.append((where, text, origins.get(where, "default")))
    return sorted(rows, key=lambda row: list(SETTINGS).index(row[0]))


def _only_for(setting: Setting) -> str:
    """Name the models for which a setting has an effect, if not for all."""
    for choice, n_kinds in (("model.kind", 3), ("fallback.model", 2)):
        kinds = [kind for needs in setting.needs for kind in needs.get(choice, ())]
        if kinds and len(kinds) < n_kinds:
            return f"For {choice} = {' or '.join(map(toml_value, kinds))}."
    return ""


def _plain_text(description: str) -> str:
    """Remove the markup of a docstring."""
    text = re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"\1", description)
    return text.replace("`", "")


def _comment(text: str) -> str:
    """Wrap text as a comment."""
    wrapped = fill(" ".join(text.split()), _WIDTH - 2, break_long_words=False)
    return indent(wrapped, "# ") + "\n"
