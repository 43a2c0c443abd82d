import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def closes():
    """Closes of three tickers on 60 days, two decimals, one above a thousand."""
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2023-01-02", periods=60)
    paths = np.exp(rng.normal(0, 0.02, (60, 3)).cumsum(axis=0))
    tickers = ["AAPL", "BRK.B", "MSFT"]
    return pd.DataFrame(paths * [185.3, 3411.7, 92.1], days, tickers).round(2)
