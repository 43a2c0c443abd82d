import json

import pytest

MODULE = """
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbatch import BatchLinearForecaster, SharedFeatureExtractor

honest = make_pipeline(
    SharedFeatureExtractor(["returns"], [5, 21]), BatchLinearForecaster()
)


def peeking():
    functions = {"next": lambda panel: panel.pct_change().shift(-1)}
    features = SharedFeatureExtractor(["returns"], [5, 21], functions=functions)
    return make_pipeline(features, BatchLinearForecaster())


def plain(shift):
    changes = FunctionTransformer(lambda X: X.pct_change().shift(shift).fillna(0))
    return make_pipeline(changes, LinearRegression())


class UpToHorizon(LinearRegression):
    # Leaves out the last five rows of labels, as if there were no delay.
    def fit(self, X, y):
        known = y.notna().all(axis=1).to_numpy(copy=True)
        known[-5:] = False
        return super().fit(X[known], y[known])


changes = FunctionTransformer(lambda X: X.pct_change().fillna(0))
undelayed = make_pipeline(changes, UpToHorizon())
others, ahead = plain(0), plain(-1)
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
    ("name", "options", "finding"),
    [
        ("others", (), "labels that end after the training window"),
        ("others", ("--purged",), ""),
        ("ahead", ("--purged",), "depend on prices after their date"),
    ],
)
def test_plain_regressors_pass_where_someone_else_leaves_late_labels_out(
    name, options, finding, run, eight_tickers_csv
):
    options = ("--cuts", 1, "--json", *options)
    result = run("check", f"own_models:{name}", eight_tickers_csv, *options)
    assert result.exit_code == (3 if finding else 0), result.output
    assert finding in json.loads(result.stdout)["finding"]


@pytest.mark.parametrize(("delay", "code"), [(0, 0), (1, 3)])
def test_labels_reach_further_with_a_delay(delay, code, run, eight_tickers_csv):
    options = ("--cuts", 1, "--rows", 120, "--columns", 3, "--delay", delay)
    result = run("check", "own_models:undelayed", eight_tickers_csv, *options)
    assert result.exit_code == code, result.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_models", "must have a colon"),
        ("own_models:missing", "must be importable"),
        ("no_such_module:x", "must be importable"),
        ("own_models:nothing", "MODULE:NAME must be a pipeline"),
    ],
)
def test_what_cannot_be_checked_is_refused(name, message, run, eight_tickers_csv):
    result = run("check", name, eight_tickers_csv)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
