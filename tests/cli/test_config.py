import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from skbatch import cli
from skbatch.config import BatchForecastingConfig
from skbatch.config.engine import SETTINGS

# Variables that make rich believe in a terminal.
NO_COLOR = dict.fromkeys(["FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS"])
PIPE = {name: value for name, value in os.environ.items() if name not in NO_COLOR}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SKBATCH_"):
            monkeypatch.delenv(name)


def run(*arguments, **variables):
    """Run a command in this process."""
    runner = CliRunner(env={**NO_COLOR, **variables})
    return runner.invoke(cli.app, ["config", *map(str, arguments)])


def rows(output):
    """Cut the table into (setting, value, from)."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("──")) + 1
    return {
        parts[0]: tuple(parts[1:])
        for parts in (re.split(r"  +", line.strip()) for line in lines[start:] if line)
    }


def test_init_writes_a_file_that_says_all_defaults(tmp_path):
    result = run("init")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Written to skbatch.toml\n"
    config = BatchForecastingConfig.from_file("skbatch.toml")
    assert config == BatchForecastingConfig()
    text = (tmp_path / "skbatch.toml").read_text(encoding="utf-8")
    for path in SETTINGS:
        assert f"\n#{path.rpartition('.')[2]} = " in text


def test_init_overwrites_only_by_force(tmp_path):
    path = tmp_path / "skbatch.toml"
    path.write_text("horizon = 3\n")
    result = run("init")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(
        r"error: PATH must be a new file\. .*--force.*\n", result.stderr
    )
    assert path.read_text() == "horizon = 3\n"
    assert run("init", "--force").exit_code == 0
    assert path.read_text() != "horizon = 3\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere/x.toml",), "PATH must be writable"),
        ((".", "--force"), "PATH must be a file, not a folder"),
        ((".",), "such as 'skbatch.toml'"),
    ],
)
def test_init_refuses_in_one_line(arguments, message, tmp_path):
    result = run("init", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"error: .+\n", result.stderr)
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_show_tells_where_each_value_comes_from(tmp_path):
    (tmp_path / "a.toml").write_text("[model.target]\nthin = 3\n")
    result = run("show", "a.toml", SKBATCH_MODEL__SUBSAMPLE="0.7")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = rows(result.stdout)
    assert shown["model.target.thin"] == ("3", "a.toml")
    assert shown["model.subsample"] == ("0.7", "SKBATCH_MODEL__SUBSAMPLE")
    assert shown["model.max_depth"] == ("4", "default")
    assert shown["features.families"] == ('"all"', "default")
    # What has no effect is not shown.
    idle = {"model.alpha", "model.min_labels", "fallback.mean_min_labels"}
    assert set(shown) == set(SETTINGS) - idle


def test_show_tells_that_something_was_set_to_none(tmp_path):
    (tmp_path / "a.toml").write_text('[model.target]\nscale = "none"\n')
    assert rows(run("show", "a.toml").stdout)["model.target.scale"] == (
        '"none"',
        "a.toml",
    )


def test_show_cuts_tables_short(tmp_path):
    (tmp_path / "a.toml").write_text('[batch.groups]\nA = "x"\nB = "y"\n')
    shown = rows(run("show", "a.toml").stdout)
    assert shown["batch.groups"] == ('{"A": "x", "B": "y"}', "a.toml")
    tickers = "\n".join(f'T{number} = "x"' for number in range(100))
    (tmp_path / "a.toml").write_text(f"[batch.groups]\n{tickers}\n")
    output = run("show", "a.toml").stdout
    assert '{"T0": "x", "T1": "x"' in output
    assert "T9" not in output


def test_show_needs_no_file_as_forecast_needs_none(tmp_path):
    (tmp_path / "skbatch.toml").write_text("horizon = 3\n")
    result = run("show")
    assert rows(result.stdout)["horizon"] == ("5", "default")
    assert "without a settings file" in result.stdout.splitlines()[0]
    result = run("show", "skbatch.toml")
    assert "with --config skbatch.toml" in result.stdout.splitlines()[0]
    assert rows(result.stdout)["horizon"] == ("3", "skbatch.toml")


def test_show_lists_what_is_wrong_with_the_environment():
    result = run("show", SKBATCH_MODEL__MAX_DEPTH="deep", SKBATCH_HORIZON="soon")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert lines[0] == "error: The configuration has 2 problems:"
    assert lines[1].startswith("- SKBATCH_HORIZON: `horizon` must be a whole")
    assert lines[2].startswith("- SKBATCH_MODEL__MAX_DEPTH: `model.max_depth` must be")


def test_show_warns_of_variables_that_are_nearly_settings():
    result = run("show", SKBATCH_MODEL__MAX_DEPT="3", SKBATCH_PORT="tcp://10.0.0.1:80")
    assert result.exit_code == 0
    assert rows(result.stdout)["model.max_depth"] == ("4", "default")
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        "warning: Environment variables must have the name of a setting."
    )
    assert line.endswith("Did you mean SKBATCH_MODEL__MAX_DEPTH?")


def test_validate_says_ok(tmp_path):
    (tmp_path / "a.toml").write_text("horizon = 3\n")
    # The file alone, whatever the environment.
    result = run("validate", "a.toml", SKBATCH_HORIZON="soon")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "OK: a.toml\n", "")


def test_validate_lists_all_that_is_wrong(tmp_path):
    (tmp_path / "a.toml").write_text("[model]\nmax_depth = 0\nmax_dept = 3\n")
    result = run("validate", "a.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "error: The configuration has 2 problems:",
        "- a.toml: `model.max_depth` must be a whole number of at least 1. Got 0. "
        "The default is 4.",
        "- a.toml: `model.max_dept` must be a key that skbatch knows. Got 3. "
        "Did you mean `model.max_depth`?",
    ]


@pytest.mark.parametrize("command", ["show", "validate"])
def test_files_that_cannot_be_read_are_refused(command, tmp_path):
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    for path, message in (
        ("none.toml", "must be a file that can be read"),
        (".", "must be a file that can be read"),
        ("b.toml", "b.toml must be a valid TOML file"),
    ):
        result = run(command, path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert re.fullmatch(r"error: .+\n", result.stderr)
        assert message in result.stderr


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from skbatch.cli import app;"
        "print(CliRunner().invoke(app, ['config', '--help']).output);"
        "print('heavy:', *{'numpy', 'pandas', 'sklearn', 'xgboost'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code]
    output = subprocess.check_output(command, text=True, env=PIPE, encoding="utf-8")
    for name in ("init", "show", "validate"):
        assert name in output
    assert output.splitlines()[-1].strip() == "heavy:"
