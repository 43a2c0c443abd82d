"""Messages that the page on troubleshooting names are messages that skbatch gives."""

import ast
import re
from pathlib import Path

import pytest

import skbatch

PACKAGE = Path(skbatch.__file__).parent
PAGE = PACKAGE.parent / "docs" / "troubleshooting.rst"
pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="The package is installed without its repository."
)
# Made by Python, and named because skbatch passes it on.
FOREIGN = {"MemoryError"}


def literals():
    """Give all texts of the package, with a gap where a value is put in."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    part.value if isinstance(part, ast.Constant) else "\0"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def named():
    """List the messages of the page's table."""
    if not PAGE.exists():
        return
    table = PAGE.read_text(encoding="utf-8").partition("the message says | read\n")[2]
    for line in table.partition("\n\n")[0].splitlines():
        # One that begins at a backtick of its own has lost it to the markup.
        yield from re.findall(r"``(.+?)``(?=,| \|)", line.partition(":ref:")[0])


@pytest.fixture(scope="module")
def texts():
    return "\n".join(literals()).replace("`", "")


def test_an_invented_message_is_not_found(texts):
    assert "must be a number that skbatch likes" not in texts


@pytest.mark.parametrize("message", list(named()))
def test_messages_exist(message, texts):
    assert message.replace("`", "") in texts or message in FOREIGN


def test_the_table_is_read_as_a_whole():
    assert len(list(named())) > 30
