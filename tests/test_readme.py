import contextlib
import io
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import skbatch.datasets
from skbatch import cli
from skbatch.exceptions import BatchWarning

ROOT = Path(skbatch.__file__).parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(
    not README.exists(), reason="The package is installed without its repository."
)


def blocks(language):
    """Cut the code blocks of a language out of the README."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(text):
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    ("number", "last"),
    [(0, ".venv/bin/skbatch demo"), (1, ".venv/bin/python -m pytest")],
)
def test_the_two_commands_do_all_the_set_up_in_one_line(number, last):
    steps = blocks("bash")[number].strip().split(" && ")
    assert len(steps) == 3
    assert "\n" not in "".join(steps)
    assert steps[0] == "python3 -m venv .venv"
    assert steps[1].startswith(".venv/bin/python -m pip install ")
    assert steps[2] == last


def test_extras_that_are_named_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"\.\[(\w+)\]", README.read_text(encoding="utf-8")))
    assert named
    assert named <= set(project["optional-dependencies"])


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_example_prints_what_is_shown():
    (code,), (_, shown) = blocks("python"), blocks("text")
    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        pytest.warns(BatchWarning, match=r"1 of 20 tickers.*BBY"),
    ):
        exec(code, names := {})
    assert lines(printed.getvalue()) == lines(shown)
    returns = names["result"].expected_returns
    picture = (ROOT / "docs/_static/overview.svg").read_text(encoding="utf-8")
    drawn = re.findall(
        r">([A-Z]{3,4})</text>\n<text [^>]*>(NaN|[+-].*) ?%?</text>", picture
    )
    assert {ticker: text.strip() for ticker, text in drawn} == {
        ticker: "NaN"
        if np.isnan(returns[ticker])
        else f"{100 * returns[ticker]:+.2f} %"
        for ticker in ["AAPL", "BAC", "BBY", "CVX", "XOM"]
    }


@pytest.mark.slow
def test_the_demo_ends_as_shown():
    # The demo as a whole, because its numbers are in the README.
    result = CliRunner().invoke(cli.app, ["demo"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    shown = lines(blocks("text")[0])
    assert lines(result.stdout)[-len(shown) :] == shown


def test_the_command_for_your_own_prices_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prices = skbatch.datasets.load_sp500_prices().iloc[-600:, :5]
    prices.to_csv("prices.csv")
    (command,) = (text for text in blocks("bash") if text.startswith("skbatch"))
    result = CliRunner().invoke(cli.app, command.split()[1:])
    assert result.exit_code == 0, result.output
    assert Path("forecasts.csv").read_text().count("\n") == 6
