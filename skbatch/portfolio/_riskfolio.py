"""The hand-off to Riskfolio-Lib."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from skbatch.portfolio._inputs import Forecasts
from skbatch.portfolio._pypfopt import to_pypfopt


def to_riskfolio(
    result: Forecasts,
    covariance: pd.DataFrame,
    *,
    risk_free_rate: float | None = 0.0,
    returns_periods: float | None = None,
    covariance_periods: float | None = None,
    on_missing: Literal["exclude", "raise"] = "exclude",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check expected returns and a covariance, and make Riskfolio-Lib's tables.

    Riskfolio-Lib takes the names of the assets from the returns of its ``Portfolio``,
    and the numbers of ``mu`` and ``cov`` by position. So give it the returns in the
    order of what this function returns::

        mu, cov = to_riskfolio(result, covariance)
        portfolio = riskfolio.Portfolio(returns=returns[mu.columns])
        portfolio.mu, portfolio.cov = mu, cov
        weights = portfolio.optimization(model="Classic", rm="MV", obj="Sharpe")

    Parameters
    ----------
    result, covariance, risk_free_rate : as in :func:`to_pypfopt`
        Expected returns, their covariance, and the rate that some have to exceed.
    returns_periods, covariance_periods : as in :func:`to_pypfopt`
        Rows that both span. ``returns.cov()``, of which Riskfolio-Lib's
        own ``assets_stats`` makes ``cov``, has covariance_periods=1, and expected
        returns must then be of one row.
    on_missing : {"exclude", "raise"}, default="exclude"
        What to do with tickers without a forecast.

    Returns
    -------
    mu : DataFrame of shape (1, n_known)
        Expected returns.
    cov : DataFrame of shape (n_known, n_known)
        Covariance of the same tickers in the same order.

    Raises
    ------
    PortfolioError
        As in :func:`to_pypfopt`.
    ValueError
        For an invalid `on_missing` or `covariance_periods`.

    Warns
    -----
    PortfolioWarning
        Once, naming the tickers that are left out, and what is doubtful.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skbatch.portfolio import to_riskfolio
    >>> annual = {"A": 0.05, "B": 0.08, "C": 0.03}
    >>> tickers = ["C", "A", "B"]
    >>> covariance = pd.DataFrame(np.diag([0.01, 0.04, 0.09]), tickers, tickers)
    >>> mu, cov = to_riskfolio(annual, covariance, returns_periods=252)
    >>> mu
                        A     B     C
    expected_return  0.05  0.08  0.03
    """
    values, table = to_pypfopt(
        result,
        covariance,
        risk_free_rate=risk_free_rate,
        returns_periods=returns_periods,
        covariance_periods=covariance_periods,
        on_missing=on_missing,
    )
    mu = values.to_frame().T
    mu.attrs = dict(values.attrs)
    return mu, table
