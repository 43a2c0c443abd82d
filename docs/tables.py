"""Write the tables that are made from the package: features, settings, commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

from numpydoc.docscrape import NumpyDocString
from typer.main import get_command

import skbatch.feature_extraction  # noqa: F401  (fills the catalogue)
from skbatch.cli import app
from skbatch.config.engine import SECTIONS, SETTINGS
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.feature_extraction._registry import Entry, catalogue


def write(folder: Path) -> None:
    """Write all tables into a folder, and leave what has not changed."""
    folder.mkdir(exist_ok=True)
    tables = {"features": features(), "configuration": configuration()}
    tables["commands"] = commands()
    for name, lines in tables.items():
        path, text = folder / f"{name}.inc.rst", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- features


def features() -> Iterator[str]:
    """Write a table for each family of the catalogue."""
    entries = catalogue()
    for family in dict.fromkeys(entry.family for entry in entries):
        own = [entry for entry in entries if entry.family == family]
        yield from (f"``{family}``", "~" * (len(family) + 4), "")
        head = ["feature", "what it is", "windows", "source"]
        yield from _table(head, map(_feature, own), widths="20 45 15 20")


def _feature(entry: Entry) -> list[str]:
    parsed = NumpyDocString(inspect.getdoc(entry.function))
    text = [" ".join(parsed["Summary"]), "", *parsed["Extended Summary"]]
    name = f"``{entry.function.__name__}``"
    if entry.scope == "market":
        name = f"``market__{entry.function.__name__}``"
    needs = sorted(entry.needs - {"close", "dates"})
    if needs:
        name += f"\n\nneeds {', '.join(needs)}"
    return [name, "\n".join(text), _windows(entry), _source(parsed)]


def _windows(entry: Entry) -> str:
    """Say which windows an entry has, and which of them by default."""
    if entry.windows is None:
        return ", ".join(map(str, entry.also)) or "none"
    low, high = entry.windows
    rule = f"from {low}" if high is None else f"{low} to {high}"
    if entry.also:
        rule = f"{', '.join(map(str, entry.also))}, and {rule}"
    default = inspect.signature(SharedFeatureExtractor).parameters["windows"].default
    own = ", ".join(str(f.window) for f in entry.features(default))
    return f"{rule}\n\nby default {own}"


def _source(parsed: NumpyDocString) -> str:
    """Shorten the reference to family names and year, linked where there is a DOI."""
    text = " ".join(" ".join(parsed["References"]).split())
    if not text:
        return ""
    authors, _, rest = text.partition(" (")
    names = [name for name in re.split(", | and ", authors) if "." not in name]
    *others, last = names
    shown = f"{', '.join(others)} and {last}" if others else last
    year, _, rest = rest.partition(")")
    link = re.search(r"https?://\S+", rest)
    return f"`{shown} ({year}) <{link[0]}>`__" if link else f"{shown} ({year})"


# ---------------------------------------------------------------- settings


def configuration() -> Iterator[str]:
    """Write a table for each section of the configuration."""
    for section, text in {"": "", **SECTIONS}.items():
        title = f"``[{section}]``" if section else "Above all sections"
        yield from (title, "~" * len(title), "", text, "")
        rows = (
            [
                f"``{path.rpartition('.')[2]}``",
                f"{setting.description}\n\n{_sentence(setting.allowed)}\n\n"
                f"``{setting.variable}``",
                f"``{setting.text(setting.default)}``",
            ]
            for path, setting in SETTINGS.items()
            if path.rpartition(".")[0] == section
        )
        yield from _table(["setting", "what it does", "default"], rows, "22 58 20")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# ---------------------------------------------------------------- commands


def commands() -> Iterator[str]:
    """Write a section for each command: what it does, arguments and options."""
    for name, command in _commands("skbatch", get_command(app)):
        yield from (f"``{name}``", "~" * (len(name) + 4), "")
        yield from (_literal_options(inspect.cleandoc(command.help or "")), "")
        rows = [_parameter(each) for each in command.params if each.name != "help"]
        if rows:
            yield from _table(["argument or option", "what it is"], rows, "30 70")


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Find all commands, those of groups under the names of both."""
    for own, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(f"{name} {own}", inner)
    if not hasattr(command, "commands"):
        yield name, command


def _parameter(parameter: Any) -> list[str]:
    """Describe an argument or option, and its default."""
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper()
    else:
        shown = f"{parameter.opts[-1]} {parameter.metavar or ''}".rstrip()
    default = parameter.show_default
    if not isinstance(default, str):
        given = None if callable(parameter.default) else parameter.default
        default = getattr(given, "value", given)
    text = _literal_options(parameter.help or "")
    if default not in (None, False, "", []):
        text += f"\n\nDefault: {default}"
    return [f"``{shown}``", text]


def _literal_options(text: str) -> str:
    """Mark options as code: in prose, Sphinx turns two hyphens into a dash."""
    return re.sub(r"(?<![\w`-])--[a-z-]+(?: \d+(?:\.\d+)?)?", r"``\g<0>``", text)


# ---------------------------------------------------------------- all


def _table(head: list[str], rows: Iterable[list[str]], widths: str) -> Iterator[str]:
    """Write a list-table."""
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    for row in [head, *rows]:
        for number, cell in enumerate(row):
            mark = "   * - " if number == 0 else "     - "
            yield mark + indent(cell, "       ").lstrip()
    yield ""
