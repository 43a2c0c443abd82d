import json

import pytest

MODULE = """
from sklearn.pipeline import make_pipeline

from skbatch import BatchLinearForecaster, SharedFeatureExtractor

honest = make_pipeline(
    SharedFeatureExtractor(["returns"], [5, 21]), BatchLinearForecaster()
)


def peeking():
    functions = {"next": lambda panel: panel.pct_change().shift(-1)}
    features = SharedFeatureExtractor(["returns"], [5, 21], functions=functions)
    return make_pipeline(features, BatchLinearForecaster())


nothing = 3
"""


@pytest.fixture(autouse=True)
def _own_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "own_models", raising=False)
    (tmp_path / "own_models.py").write_text(MODULE)


def test_a_pipeline_that_does_not_look_ahead_passes(run, eight_tickers_csv):
    result = run("check", "own_models:honest", eight_tickers_csv, "--cuts", 1)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("OK: ")


def test_one_that_does_is_reported(run, eight_tickers_csv):
    options = ("--cuts", 1, "--json")
    result = run("check", "own_models:peeking", eight_tickers_csv, *options)
    assert (result.exit_code, result.stderr) == (3, "")
    content = json.loads(result.stdout)
    assert not content["ok"]
    assert "looks ahead" in content["finding"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_models", "must have a colon"),
        ("own_models:missing", "must be importable"),
        ("no_such_module:x", "must be importable"),
        ("own_models:nothing", "`estimator` must"),
    ],
)
def test_what_cannot_be_checked_is_refused(name, message, run, eight_tickers_csv):
    result = run("check", name, eight_tickers_csv)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
