import pytest
from typer.testing import CliRunner

from skbatch import cli
from skbatch.datasets import make_panel

# Variables that make rich believe in a terminal.
NO_COLOR = dict.fromkeys(["FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS"])


@pytest.fixture
def run():
    """Run a command in this process."""
    runner = CliRunner(env=NO_COLOR)
    return lambda *arguments: runner.invoke(cli.app, [str(part) for part in arguments])


@pytest.fixture(scope="session")
def eight_tickers():
    return make_panel(n_dates=320, n_tickers=8, random_state=0).round(3)


@pytest.fixture
def eight_tickers_csv(eight_tickers, tmp_path):
    eight_tickers.to_csv(tmp_path / "prices.csv")
    return tmp_path / "prices.csv"


@pytest.fixture
def quick(tmp_path):
    """Write settings of a model that is fitted at once."""
    path = tmp_path / "quick.toml"
    path.write_text(
        'horizon = 3\n[features]\nfamilies = ["returns", "volatility"]\n'
        'windows = [5, 21]\n[model]\nkind = "linear"\n[fallback]\nenabled = false\n'
    )
    return path
