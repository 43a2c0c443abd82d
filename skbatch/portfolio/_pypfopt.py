"""The hand-off to PyPortfolioOpt."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from skbatch._messages import check_choice, count, warn_user
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio._alignment import STEPS, Alignment, check_risk_free_rate
from skbatch.portfolio._expected import with_reasons
from skbatch.portfolio._inputs import Forecasts, read_expected


def to_pypfopt(
    result: Forecasts,
    covariance: pd.DataFrame,
    *,
    risk_free_rate: float | None = 0.0,
    returns_periods: float | None = None,
    covariance_periods: float | None = None,
    on_missing: Literal["exclude", "raise"] = "exclude",
) -> tuple[pd.Series, pd.DataFrame]:
    """Check expected returns and a covariance, and align them by ticker.

    PyPortfolioOpt matches by position: if the tickers of expected returns and of the
    covariance are in different orders, it silently makes a portfolio with the wrong
    risks.

    Parameters
    ----------
    result : ExpectedReturns, ForecastResult, Series or dict
        Expected returns by ticker, as from :func:`~skbatch.robust_forecast_returns`.
        Their tickers must be written as those of `covariance`: BRK.B and BRK-B differ
        here.
    covariance : DataFrame of shape (n_tickers, n_tickers)
        Covariance of returns with the tickers in rows and columns, as from
        ``pypfopt.risk_models``; see `covariance_periods`.
    risk_free_rate : float or None, default=0.0
        Rate that some expected return must exceed, in the units of the returns; what
        you pass to ``max_sharpe``. None does not ask for that, as for
        ``min_volatility``.
    returns_periods : float, default=None
        Rows that the expected returns span: 252 for annual ones of weekdays. Needed for
        a dict, and for a Series without the attributes that
        ``ExpectedReturns.to_series`` gives; other results know it.
    covariance_periods : float, default=None
        Rows that the returns of `covariance` span: the ``frequency`` that
        PyPortfolioOpt's risk models were given, 1 for ``returns.cov()``. None takes
        ``covariance.attrs["periods"]``, else 252, the default of these models, if the
        volatilities are plausible for a year.
    on_missing : {"exclude", "raise"}, default="exclude"
        What happens to tickers whose expected return or variance is NaN. They are left
        out of both, with a warning, or raise.

    Returns
    -------
    expected_returns : Series of shape (n_known,)
        Without NaN, in the order of `result`.
    covariance : DataFrame of shape (n_known, n_known)
        Of the same tickers in the same order. Both have ``attrs["periods"]``, the rows
        that they span.

    Raises
    ------
    PortfolioError
        If the tickers of both differ, a side has no labels, they span different
        periods, no expected return exceeds the risk-free rate, or `covariance` is not
        a covariance, or of another size than it should be.
    ValueError
        For an invalid `on_missing` or `covariance_periods`.

    Warns
    -----
    PortfolioWarning
        Once, naming the tickers that are left out, and what is doubtful.

    Notes
    -----
    The volatilities of `covariance` are compared with those that the forecasts carry,
    as of :func:`~skbatch.robust_forecast_returns` or ``ExpectedReturns.of(result,
    prices=prices)``, or with the widths of their intervals. What is annualized by the
    factor of another frequency, percentages, and a correlation matrix are found by
    their size. A Series, a dict and a ForecastResult carry neither.
    :func:`preflight` makes the same checks, and more with prices.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skbatch.portfolio import to_pypfopt
    >>> annual = {"A": 0.05, "B": 0.08, "C": 0.03}
    >>> tickers = ["C", "A", "B"]
    >>> covariance = pd.DataFrame(np.diag([0.01, 0.04, 0.09]), tickers, tickers)
    >>> returns, covariance = to_pypfopt(annual, covariance, returns_periods=252)
    >>> list(covariance.columns)
    ['A', 'B', 'C']
    """
    check_choice(on_missing, "on_missing", ("exclude", "raise"))
    expected = read_expected(result, returns_periods)
    alignment = Alignment(expected, covariance, covariance_periods)
    findings = {name: step(alignment) for name, step in STEPS.items()}
    excluded = alignment.excluded
    if excluded and on_missing == "raise":
        raise PortfolioError(
            "Every ticker must have a forecast and a covariance. Got "
            f"{with_reasons(excluded)}. Leave them out, or pass on_missing="
            '"exclude".'
        )
    check_risk_free_rate(expected, risk_free_rate)
    size = findings["size"]
    sentences = [] if size.ok else [size.detail]
    if excluded:
        total = len(alignment.values) + len(excluded)
        verb = "is" if len(excluded) == 1 else "are"
        sentences.append(
            f"{len(excluded)} of {count(total)} {verb} left out: "
            f"{with_reasons(excluded)}."
        )
    if sentences:
        warn_user(" ".join(sentences), PortfolioWarning)
    values, table = alignment.values, alignment.covariance
    for part in (values, table):
        part.attrs = {"periods": alignment.span_, "date": expected.date}
    return values, table
