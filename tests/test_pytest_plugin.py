import os
import subprocess
import sys

import pytest

TESTS = """
from sklearn.pipeline import make_pipeline

from skbatch import BatchLinearForecaster, SharedFeatureExtractor


def make(**options):
    features = SharedFeatureExtractor(["returns"], [5, 21], **options)
    return make_pipeline(features, BatchLinearForecaster())


def test_honest(no_lookahead):
    no_lookahead(make(), horizon=3, n_cuts=1)


def test_peeking(no_lookahead):
    functions = {"next": lambda panel: panel.pct_change().shift(-1)}
    no_lookahead(make(functions=functions), horizon=3, n_cuts=1)
"""


@pytest.mark.slow
def test_the_fixture_finds_what_looks_ahead(tmp_path):
    (tmp_path / "test_models.py").write_text(TESTS)
    # Installed or not, the plugin is loaded once.
    plugin = ("-p", "no:skbatch", "-p", "skbatch._pytest_plugin")
    command = [sys.executable, "-m", "pytest", "-q", *plugin, "test_models.py"]
    path = os.pathsep.join([os.getcwd(), *sys.path])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "LookAheadError" in done.stdout


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys; import skbatch._pytest_plugin;"
        "print(*{'numpy', 'pandas', 'sklearn', 'xgboost'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "\n"
