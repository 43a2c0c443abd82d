"""The other packages' halves of the pages on migration.

The halves of skbatch are doctests of the page. The others run where the package can be
imported, by this Python or by the one that the variable PEERS_PYTHON names.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import skbatch
from skbatch.datasets import load_sp500_prices

PAGES = Path(skbatch.__file__).parents[1] / "docs" / "migration"
PAGE = PAGES / "forecasting.rst"
PEERS = ("mlforecast", "skforecast", "sktime")
BLOCK = re.compile(
    r"^( *)\.\. code-block:: python\n\1   :class: peer-(\w+)\n((?:\n|\1   .*\n)+)",
    re.MULTILINE,
)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)
pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="The package is installed without its repository."
)


def blocks_of(peer):
    """Cut a package's blocks out of the page, in their order."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return [textwrap.dedent(code) for _, name, code in found if name == peer]


def python_with(peer):
    """Find a Python that has a package, without importing it in this process."""
    python = os.environ.get("PEERS_PYTHON", sys.executable)
    call = f"import importlib.util as u, sys; sys.exit(u.find_spec('{peer}') is None)"
    if subprocess.run([python, "-I", "-c", call], check=False).returncode:
        pytest.skip(f"{peer} is not installed; PEERS_PYTHON may name a Python with it.")
    return python


def test_every_python_block_of_the_page_is_run():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(".. code-block:: python") == len(BLOCK.findall(text))
    assert {name for _, name, _ in BLOCK.findall(text)} == set(PEERS)


@pytest.mark.parametrize("peer", PEERS)
def test_the_other_half_of_each_task_compiles_and_says_what_it_prints(peer):
    blocks = blocks_of(peer)
    assert len(blocks) == (2 if peer == "sktime" else 3)
    for number, code in enumerate(blocks):
        compile(code, f"{peer}, block {number}", "exec")
        assert len(PRINTED.findall(code)) == code.count("print(") == 1


@pytest.mark.parametrize("page", ["factors", "qlib", "skfolio"])
def test_code_for_other_packages_compiles(page):
    # These packages need other versions of pandas, or a data store, to be run here.
    text = (PAGES / f"{page}.rst").read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    assert text.count(".. code-block:: python") == len(found)
    for _, peer, code in found:
        compile(textwrap.dedent(code), f"{page}, {peer}", "exec")


@pytest.mark.parametrize("peer", PEERS)
def test_the_other_half_runs_and_prints_what_the_page_says(peer, tmp_path):
    python = python_with(peer)
    load_sp500_prices().iloc[-1500:].to_csv(tmp_path / "prices.csv")
    code = "\n".join(blocks_of(peer))
    run = subprocess.run(
        [python, "-I", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.splitlines() == PRINTED.findall(code)


def test_the_table_of_sizes_agrees_with_the_blocks():
    text = PAGE.read_text(encoding="utf-8")
    sizes = {peer: PRINTED.findall(blocks_of(peer)[0])[0] for peer in PEERS}
    doctests = r">>> print\(round\(100 \* week\.std\(\), 1\)\)\n *([\d.]+)\n"
    sizes["loop"], sizes["skbatch"] = re.findall(doctests, text)
    for name, size in sizes.items():
        assert f"\n   {name} | {size}%\n" in text
