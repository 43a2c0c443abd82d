import numpy as np
import pytest

from skbatch import BatchForecastingSystem
from skbatch.datasets import make_panel
from skbatch.portfolio._cache import MEMORY


@pytest.fixture(autouse=True)
def _empty_cache():
    MEMORY.clear()
    yield
    MEMORY.clear()


@pytest.fixture
def prices():
    return make_panel(260, 4, random_state=0)


@pytest.fixture
def fits(monkeypatch):
    """Record what systems are fitted on."""
    seen, fit = [], BatchForecastingSystem.fit

    def recorded(self, X, y=None):
        seen.append(X)
        return fit(self, X, y)

    monkeypatch.setattr(BatchForecastingSystem, "fit", recorded)
    return seen


@pytest.fixture
def gappy(prices):
    prices["DEAD"] = prices["T000"].where(np.arange(260) < 200)
    prices["FLAT"] = 5.0
    return prices
