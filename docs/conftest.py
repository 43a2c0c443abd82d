"""What the code of the pages finds: a folder of its own with prices in it."""

import pytest

import skbatch.datasets

# The pages are tested; what builds them, and the experiments, are not tests.
collect_ignore_glob = ["*.py", "_build/*", "_generated/*", "auto_examples/*"]


@pytest.fixture(autouse=True)
def folder_with_prices(tmp_path, monkeypatch):
    """Start each page in an empty folder with a CSV of prices, as its reader has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    prices = skbatch.datasets.load_sp500_prices().iloc[-1500:]
    prices.to_csv("prices.csv")
