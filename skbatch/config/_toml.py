"""Writing TOML, and finding lines of it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from skbatch.config._parts import Path

__all__ = ["line_numbers", "render_key", "render_toml", "render_value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
# A key or a table's name: bare, or quoted, or several of these joined by dots.
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_NAME = rf"({_PART}(?:[ \t]*\.[ \t]*{_PART})*)"
_TABLE = re.compile(rf"[ \t]*\[[ \t]*{_NAME}[ \t]*\]")
_KEY = re.compile(rf"[ \t]*{_NAME}[ \t]*=")


def render_value(value: Any) -> str:
    """Write a value as TOML does; tables in a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's; it only leaves the delete character as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(render_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{render_key(k)} = {render_value(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    raise TypeError(f"Values must be TOML's. Got {value!r}.")


def render_key(key: str) -> str:
    """Write a key, in quotes if it needs them."""
    return key if _BARE.fullmatch(key) else render_value(key)


def render_toml(tables: Mapping[str, Any], name: str = "") -> str:
    """Write nested tables, what is no table first.

    Parameters
    ----------
    tables : mapping of str to values or mappings
        What to write. Empty tables are written, too.
    name : str, default=""
        Name of the table that these are in.

    Returns
    -------
    str
        A TOML document.
    """
    values = {k: v for k, v in tables.items() if not isinstance(v, Mapping)}
    lines = [f"{render_key(k)} = {render_value(v)}\n" for k, v in values.items()]
    if name:
        lines.insert(0, f"[{name}]\n")
    blocks = ["".join(lines)] if lines else []
    for key, value in tables.items():
        if isinstance(value, Mapping):
            path = f"{name}.{render_key(key)}" if name else render_key(key)
            blocks.append(render_toml(value, path))
    return "\n".join(blocks)


def line_numbers(text: str) -> dict[Path, int]:
    """Find the line of each key and table.

    Only for messages: a line within text of several lines that looks like a key is
    taken for one.
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _TABLE.match(line):
            table = _parts(match[1])
            lines.setdefault(table, number)
        elif match := _KEY.match(line):
            path = table + _parts(match[1])
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _parts(name: str) -> Path:
    """Split a dotted name, and take quotes off."""
    parts = re.findall(_PART, name)
    return tuple(
        json.loads(part, strict=False) if part[0] == '"' else part.strip("'")
        for part in parts
    )
