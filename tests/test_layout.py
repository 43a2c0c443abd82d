"""How the package is laid out: who may import what, and what files are called."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import skbatch

ROOT = Path(skbatch.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Words that say nothing about what is in a file.
EMPTY_NAMES = {
    "_joint",
    "_misc",
    "_page",
    "_parts",
    "_pool",
    "_run",
    "_stored",
    "_tasks",
    "_told",
    "_utils",
    "_ways",
    "_words",
    "_work",
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def imported_names(path):
    """Yield the full names of what a file imports from the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_subpackages_use_only_public_names_of_each_other(path):
    folders = path.relative_to(ROOT).parts[:-1]
    wrong = []
    for name in imported_names(path):
        package, _, rest = name.partition(".")
        owner, *inner = rest.split(".")
        if package == "skbatch" and [owner] != [*folders[:1]]:
            # What lies beside the subpackages, such as _messages, is for all of them.
            wrong += [name] if any(map(is_private, inner)) else []
    assert not wrong


def test_private_files_of_one_name_hold_the_same_kind_of_thing():
    places = defaultdict(list)
    for path in FILES:
        if is_private(path.name):
            places[path.name].append(path.relative_to(ROOT).as_posix())
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_files_are_named_by_what_is_in_them():
    assert not [path for path in FILES if path.stem in EMPTY_NAMES]
