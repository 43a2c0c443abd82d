"""Write the tables that are made from the package: features and settings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent, indent

from numpydoc.docscrape import NumpyDocString
from pydantic import BaseModel

import skbatch.feature_extraction  # noqa: F401  (fills the catalogue)
from skbatch.batch.config import BatchForecastingConfig
from skbatch.batch.config._base import allowed, default_text, sections, settings_of
from skbatch.batch.config._errors import dotted, variable
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.feature_extraction._registry import Entry, catalogue


def write(folder: Path) -> None:
    """Write all tables into a folder, and leave what has not changed."""
    folder.mkdir(exist_ok=True)
    tables = {"features": features(), "configuration": configuration()}
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
    """Shorten the references to authors and year, linked where there is a DOI."""
    text = " ".join(" ".join(parsed["References"]).split())
    if not text:
        return ""
    authors, _, rest = text.partition(" (")
    names = [name.split(",")[0] for name in authors.split("., ")]
    last = names.pop().split(" and ")
    names += [last[0], *(part.split(",")[0] for part in last[1:])]
    # "Bali, T. G., Cakici, N. and Whitelaw, R. F.": what is left are family names.
    families = [name for name in names if len(name) > 2]
    shown = families[0] if len(families) == 1 else " and ".join(families)
    if len(families) > 2:
        shown = f"{', '.join(families[:-1])} and {families[-1]}"
    year = rest.partition(")")[0]
    link = text.rpartition("https://")[2] if "https://" in text else ""
    return f"`{shown} ({year}) <https://{link}>`__" if link else f"{shown} ({year})"


# ---------------------------------------------------------------- settings


def configuration() -> Iterator[str]:
    """Write a table for each section of the configuration."""
    groups: dict[tuple[str, ...], list] = {}
    for path, field in settings_of(BatchForecastingConfig).items():
        groups.setdefault(path[:-1], []).append((path, field))
    for section, settings in groups.items():
        title = f"``[{dotted(section)}]``" if section else "Above all sections"
        yield from (title, "~" * len(title), "")
        if section:
            documentation = sections(BatchForecastingConfig)[section[0]].__doc__ or ""
            yield from (dedent(documentation).strip(), "")
        rows = (
            [
                f"``{path[-1]}``",
                f"{field.description}\n\n{_sentence(allowed(field))}\n\n"
                f"``{variable(path)}``",
                f"``{default_text(field)}``",
            ]
            for path, field in settings
        )
        yield from _table(["setting", "what it does", "default"], rows, "22 58 20")


def attributes(section: type[BaseModel]) -> list[str]:
    """Write the settings of a section as the attributes of a class."""
    lines = ["", "Attributes", "----------"]
    for name, field in section.model_fields.items():
        lines.append(f"{name} : {allowed(field)}, default={default_text(field)}")
        lines.append(f"    {field.description}")
    return [*lines, ""]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# ---------------------------------------------------------------- both


def _table(head: list[str], rows: Iterable[list[str]], widths: str) -> Iterator[str]:
    """Write a list-table."""
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    for row in [head, *rows]:
        for number, cell in enumerate(row):
            mark = "   * - " if number == 0 else "     - "
            yield mark + indent(cell, "       ").lstrip()
    yield ""
