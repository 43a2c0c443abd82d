"""Writing TOML, and finding lines of it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["dotted", "line_numbers", "shorten", "toml_value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_NAME = rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*"
_LINE = re.compile(rf"\s*\[{_NAME}\]|{_NAME}=")
_WIDTH = 60


def toml_value(value: Any) -> str:
    """Write a value as TOML does; tables in a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that it leaves the delete character alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{dotted([str(k)])} = {toml_value(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def dotted(path: Any) -> str:
    """Write a path as TOML does."""
    return ".".join(key if _BARE.fullmatch(key) else toml_value(key) for key in path)


def shorten(value: Any) -> str:
    """Write a value in a message, on one line that is not too long."""
    text = toml_value(value)
    if "\n" in text:
        text = f"a {type(value).__name__}"
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 4]} ..."


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """Find the line of each key and table, for messages."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _LINE.match(line):
            parts = re.findall(_KEY, match[1] or match[2])
            path = tuple(part.strip("\"'") for part in parts)
            if match[1]:
                table = path
            else:
                path = table + path
            lines.setdefault(path, number)
    return lines
