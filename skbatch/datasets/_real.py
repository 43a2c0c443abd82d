"""Real prices that need no network."""

from __future__ import annotations

import pandas as pd

from skbatch.panel import check_panel


def load_sp500_prices() -> pd.DataFrame:
    """Load daily prices of 20 stocks of the S&P 500 from 1990 to 2022.

    The prices come with skfolio, inside its package, so that no network is needed.
    They are survivors of 2022, therefore of no use to judge a strategy.

    Returns
    -------
    DataFrame of shape (8313, 20)
        Adjusted closes, one column per ticker, without missing values.

    Raises
    ------
    ImportError
        If skfolio is not installed.

    Examples
    --------
    >>> from skbatch.datasets import load_sp500_prices
    >>> prices = load_sp500_prices()
    >>> prices.shape
    (8313, 20)
    """
    try:
        from skfolio.datasets import load_sp500_dataset
    except ImportError as error:
        raise ImportError(
            "`load_sp500_prices` needs skfolio, which holds the prices. "
            'Install it with `pip install "skbatch[datasets]"`.'
        ) from error
    return check_panel(load_sp500_dataset())
