"""What the pages show is run, and what the package offers is on the pages."""

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import skbatch.datasets
from skbatch.config import BatchForecastingConfig
from skbatch.feature_extraction._registry import families

DOCS = Path(skbatch.__file__).parents[1] / "docs"
pytestmark = pytest.mark.skipif(
    not DOCS.exists(), reason="The package is installed without its repository."
)
MADE = ("_build", "_generated", "auto_examples", "generated")
PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for page in (*DOCS.rglob("*.rst"), *DOCS.rglob("*.md"))
    if not set(page.relative_to(DOCS).parts) & set(MADE)
)
ROOMS = [
    f"skbatch{room}"
    for room in (
        "",
        ".batch",
        ".config",
        ".datasets",
        ".exceptions",
        ".feature_extraction",
        ".forecasting",
        ".metrics",
        ".model_selection",
        ".panel",
        ".portfolio",
        ".testing",
    )
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page, language):
    """Cut the code blocks of a language out of a page."""
    return [block for _, _, block in captioned_blocks(page, language)]


def captioned_blocks(page, *languages):
    """Cut code blocks out of a page, with language and caption, in their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    wanted = "|".join(languages)
    if page.endswith(".md"):
        found = re.findall(rf"^```({wanted})\n(.*?)^```$", text, re.M | re.S)
        return [(language, "", block) for language, block in found]
    found = re.findall(
        rf"^( *)\.\. code-block:: ({wanted})\n((?:\1 +\S.*\n|\s*\n)*)",
        text + "\n",
        re.M,
    )
    captions = [re.search(r"^\s*:caption: (.*)", block, re.M) for *_, block in found]
    return [
        (
            language,
            caption[1] if caption else "",
            dedent(re.sub(r"^\s*:\w+:.*\n", "", block, flags=re.M)).strip(),
        )
        for (_, language, block), caption in zip(found, captions, strict=True)
    ]


def having(language):
    return [page for page in PAGES if blocks(page, language)]


def languages(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    opening = r"^```\{?(\w*)\}?" if page.endswith(".md") else r"code-block::\s*(\S*)"
    return set(re.findall(opening, text, re.M)) - {"", "include"}


def documented():
    """List what the reference documents, by the names that pages refer to it with."""
    room = ""
    pages = sorted((DOCS / "api").glob("*.rst"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for line in text.splitlines():
        if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            room = match[1]
        elif match := re.fullmatch(r"   (\w+)|\.\. py:data:: (\w+)", line):
            yield room, match[1] or match[2]


def test_the_rooms_are_all_there_are():
    found = [
        ".".join(path.parent.relative_to(DOCS.parent).parts)
        for path in (DOCS.parent / "skbatch").rglob("__init__.py")
    ]
    public = {name for name in found if "._" not in name}
    private = {"skbatch.cli", "skbatch.feature_extraction.catalogue"}
    assert public - private == set(ROOMS) - {"skbatch.exceptions"}


def test_the_reference_has_every_public_name_once():
    names = list(documented())
    assert len(names) == len(set(names))
    # Each name is a promise: what only the package itself needs is in no `__all__`.
    # Ten more for backtests, explanations and the count of trials.
    assert len(names) <= 101
    shown = {}
    for room, name in names:
        value = getattr(importlib.import_module(room), name)
        assert name in importlib.import_module(room).__all__
        assert shown.setdefault(id(value), (room, name)) == (room, name)
    for room in ROOMS:
        for name in set(importlib.import_module(room).__all__) - {"__version__"}:
            assert id(getattr(importlib.import_module(room), name)) in shown, name


@pytest.mark.parametrize("page", PAGES)
def test_no_code_is_shown_that_no_test_runs(page):
    # Python stands behind >>>, where pytest runs it. Code for other packages, in
    # migration, has a test of its own.
    run = {"console", "toml", "text"} | ({"python"} if "migration" in page else set())
    # Records of measurements say how they were made; that takes minutes and a panel.
    if page.endswith(".md"):
        run |= {"bash"}
    assert languages(page) <= run


@pytest.fixture(scope="module")
def prices_csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    skbatch.datasets.load_sp500_prices().iloc[-1500:].to_csv(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("page", having("console"))
def test_commands_print_what_the_page_says(page, tmp_path, prices_csv):
    (tmp_path / "prices.csv").write_bytes(prices_csv.read_bytes())
    here = Path(sys.executable).parent
    environment = {
        **os.environ,
        "COLUMNS": "100",
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
    }
    alone = ""  # what a command printed that is shown in the next block
    for language, caption, block in captioned_blocks(page, "console", "toml", "text"):
        if language != "console":
            if caption:
                (tmp_path / caption).write_text(block, encoding="utf-8")
            elif alone:
                assert re.fullmatch(_pattern(block), _shape(alone)), alone
            alone = ""
            continue
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.replace("\\\n", " ").partition("\n")
            if re.search(r"\bpip install\b|\bactivate\b|-m venv\b", command):
                continue
            result = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
            )
            printed = result.stdout + result.stderr
            assert result.returncode == 0, printed
            if shown.strip():
                assert _as_shown(shown, printed), f"{command}\n{printed}"
            alone = "" if shown.strip() else printed


def _as_shown(shown, printed):
    """Compare as doctest does, without the spaces at the ends of lines."""
    shown, printed = (
        "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"
        for text in (shown, printed)
    )
    return doctest.OutputChecker().check_output(shown, printed, FLAGS)


def _shape(text):
    """Leave out what depends on the release of XGBoost: numbers, order and widths."""
    names = {
        "TICKER": "|".join(skbatch.datasets.load_sp500_prices()),
        "FAMILY": "|".join(families()),
        "FEATURE": r"[a-z]+(?:_+[a-z0-9]+)+",
    }
    for name, pattern in names.items():
        text = re.sub(rf"\b(?:{pattern})\b", name, text)
    text = re.sub("─+", "─", text)  # as wide as the longest name
    text = re.sub(r"[-+]?\d+\.(\d+)", lambda found: "#." + "#" * len(found[1]), text)
    return " ".join(re.sub(r"\d+(?=%| positions)", "#", text).split())


def _pattern(shown):
    """Match output of the shape that is shown; `[...]` stands for anything."""
    return r"(?s:.*)".join(map(re.escape, _shape(shown).split("[...]")))


@pytest.mark.parametrize("page", having("toml"))
def test_settings_on_pages_are_settings(page, tmp_path):
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        BatchForecastingConfig.from_file(file, env=False)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_a_slip_of_its_writer(page):
    """Outputs are filled in by running the code, which may have been wrong."""
    text = (DOCS / page).read_text(encoding="utf-8")
    slips = r"object has no|object is not|NameError|SyntaxError|unexpected keyword"
    assert not re.search(rf"{slips}|TODO|FIXME|SHOWN", text)


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("backtest transaction costs", "how_to/backtest.rst"),
        ("prediction confidence interval", "how_to/intervals.rst"),
        ("fundamentals signals", "how_to/signals.rst"),
        ("look-ahead bias", "how_to/lookahead.rst"),
        ("leakage", "guide/leakage.rst"),
        ("point-in-time universe survivorship bias", "how_to/universe.rst"),
        ("tune overfitting", "how_to/tuning.rst"),
        ("run every evening", "how_to/evening.rst"),
        ("deploy mlflow web server", "how_to/deploy.rst"),
        ("walk-forward", "guide/evaluation.rst"),
    ],
)
def test_titles_have_the_words_that_people_search_for(words, page):
    # The search of the built pages ranks words of titles first.
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    title = lines[next(i for i, line in enumerate(lines) if set(line) == {"="}) - 1]
    assert all(word in title.lower() for word in words.split())
