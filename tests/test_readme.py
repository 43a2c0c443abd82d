import re
import runpy
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import skbatch.datasets
from skbatch import cli
from skbatch.exceptions import BatchWarning

ROOT = Path(skbatch.__file__).parents[1]
README = ROOT / "README.md"
QUICKSTART = ROOT / "examples" / "quickstart.py"
PORTFOLIO_JOB = ROOT / "examples" / "portfolio_job.py"
EVALUATION = ROOT / "examples" / "evaluation.py"
OPTIMISERS = ROOT / "examples" / "optimisers.py"
pytestmark = pytest.mark.skipif(
    not README.exists(), reason="The package is installed without its repository."
)


def blocks(language):
    """Cut the code blocks of a language out of the README."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"]


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
    text = README.read_text(encoding="utf-8") + QUICKSTART.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:\.|skbatch)\[(\w+)\]", text))
    assert named
    assert named <= set(extras())


def test_options_that_are_named_exist():
    used = set(re.findall(r"--[a-z][\w-]+", README.read_text(encoding="utf-8")))
    # Wide enough that no option is cut.
    output = CliRunner().invoke(cli.app, ["forecast", "--help"], env={"COLUMNS": "200"})
    assert used
    assert used <= set(re.findall(r"--[a-z][\w-]+", output.stdout))


@pytest.mark.parametrize("document", ["README.md", "docs/index.md"])
def test_links_lead_somewhere(document):
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (path.parent / link).exists(), link


def test_python_blocks_are_the_examples():
    examples = (QUICKSTART, PORTFOLIO_JOB, EVALUATION, OPTIMISERS)
    texts = [path.read_text(encoding="utf-8") for path in examples]
    assert blocks("python") == [text.partition('"""\n\n')[2] for text in texts]


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.SkbatchWarning")
def test_the_example_runs(monkeypatch, capsys):
    # On the last four years of a few tickers: all of it takes half a minute.
    recent = skbatch.datasets.load_sp500_prices().iloc[-1000:, :5]
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", lambda: recent)
    names = runpy.run_path(str(QUICKSTART))
    assert names["forecasts"].shape == (1, 5)
    assert names["forecasts"].notna().all(axis=None)
    printed = capsys.readouterr().out
    assert "BatchXGBoostForecaster" in printed
    assert "fallbackforecaster__estimator__max_depth" in printed


def test_the_portfolio_job_accounts_for_every_ticker(monkeypatch, capsys):
    recent = skbatch.datasets.load_sp500_prices().iloc[-600:, :5]
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", lambda: recent.copy())
    with pytest.warns(BatchWarning, match="1 of 5 tickers.*BBY"):
        names = runpy.run_path(str(PORTFOLIO_JOB))
    returns = names["result"].expected_returns
    assert list(returns.index[returns.isna()]) == ["BBY"]
    assert "quarantined (constant): the last 41 prices" in capsys.readouterr().out


def test_the_evaluation_tells_how_good_and_how_sure(monkeypatch, capsys):
    recent = skbatch.datasets.load_sp500_prices().iloc[-600:, :5]
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", lambda: recent)
    names = runpy.run_path(str(EVALUATION))
    assert list(names["walk"].forecasts.index) == list(recent.index[504:])
    assert (names["lower"] < names["upper"]).all(axis=None)
    assert names["chances"].sum(axis=1).to_numpy() == pytest.approx(1)
    printed = capsys.readouterr().out
    assert "mean rank IC" in printed
    assert "AAPL" in printed


def test_the_hand_off_ends_in_weights(monkeypatch, capsys):
    recent = skbatch.datasets.load_sp500_prices().iloc[-600:, :5]
    monkeypatch.setattr(skbatch.datasets, "load_sp500_prices", lambda: recent)
    names = runpy.run_path(str(OPTIMISERS))
    assert sum(names["weights"].values()) == pytest.approx(1)
    assert "Ready for an optimiser" in capsys.readouterr().out


def test_the_commands_for_settings_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = next(b for b in blocks("bash") if "config init" in b).splitlines()
    assert len(commands) == 3
    for command in commands:
        result = CliRunner().invoke(cli.app, command.split()[1:])
        assert result.exit_code == 0, result.output
