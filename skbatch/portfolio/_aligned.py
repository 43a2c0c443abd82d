"""Expected returns and a covariance, brought to the same tickers and units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers, warn_user
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio._covariance import (
    check_matrix,
    check_size,
    read_covariance,
    span_of,
)
from skbatch.portfolio._inputs import Forecasts
from skbatch.portfolio._told import of_tickers, with_reasons

__all__ = ["align", "match_tickers"]


def align(
    result: Any,
    covariance: Any,
    *,
    risk_free_rate: float | None = 0.0,
    returns_periods: float | None = None,
    covariance_periods: float | None = None,
    on_missing: str = "exclude",
) -> tuple[pd.Series, pd.DataFrame]:
    """Bring expected returns and covariance together; see `to_pypfopt`."""
    if on_missing not in ("exclude", "raise"):
        raise ValueError(
            f'`on_missing` must be "exclude" or "raise". Got {on_missing!r}. Pass one '
            "of them."
        )
    forecasts = Forecasts.of(result, returns_periods)
    table = read_covariance(covariance)
    periods, said = span_of(table, covariance_periods)
    forecasts.check_periods(periods)
    values, table, excluded = match_tickers(forecasts, table)
    if excluded and on_missing == "raise":
        raise PortfolioError(
            f"Every ticker must have a forecast and a covariance. Got "
            f"{with_reasons(excluded)}. Leave them out, or pass on_missing="
            '"exclude".'
        )
    check_matrix(table)
    year = forecasts.periods_per_year
    measured = forecasts.volatility
    if measured is None:
        measured = forecasts.stray()
    doubt = check_size(table, periods, year, said, measured)
    forecasts.check_risk_free_rate(risk_free_rate)
    told = [doubt] if doubt else []
    if excluded:
        total = len(values) + len(excluded)
        told.append(
            f"{of_tickers(len(excluded), total, 'are')} left out: "
            f"{with_reasons(excluded)}."
        )
    if told:
        warn_user(
            " ".join(told),
            PortfolioWarning,
        )
    for part in (values, table):
        part.attrs = {"periods": periods, "date": forecasts.date}
    return values, table


def match_tickers(
    forecasts: Forecasts, covariance: pd.DataFrame
) -> tuple[pd.Series, pd.DataFrame, dict[str, str]]:
    """Put the covariance into the order of the forecasts.

    Parameters
    ----------
    forecasts : Forecasts
        Expected returns.
    covariance : DataFrame of shape (n_tickers, n_tickers)
        With tickers in rows and columns.

    Returns
    -------
    values : Series
        Expected returns of the tickers that have both.
    covariance : DataFrame
        Theirs, in the same order.
    excluded : dict of str to str
        Ticker → why it is left out.

    Raises
    ------
    PortfolioError
        If one side has tickers that the other lacks, or nothing is left.
    """
    excluded = dict(forecasts.missing)
    variances = pd.Series(np.diag(covariance.to_numpy()), covariance.index)
    unknown = variances.index[~np.isfinite(variances)]
    for ticker in unknown:
        excluded.setdefault(ticker, "no variance")
    values = forecasts.values.drop([t for t in excluded if t in forecasts.values])
    known = covariance.index.drop([t for t in excluded if t in covariance.index])
    alone = values.index.difference(known, sort=False)
    added = known.difference(values.index, sort=False)
    sides = {"covariance": alone, "expected return": added}
    lacking = [
        f"{len(tickers)} without {side} ({format_tickers(tickers)})"
        for side, tickers in sides.items()
        if len(tickers)
    ]
    if lacking:
        raise PortfolioError(
            "Expected returns and covariance must have the same tickers. Got "
            f"{' and '.join(lacking)}. Make both of the same tickers, or drop those "
            "that only one side has."
        )
    if values.empty:
        raise PortfolioError(
            "At least one ticker must have a forecast and a covariance. Got none of "
            f"{len(forecasts.values)}: {with_reasons(excluded)}. See the provenance "
            "of the forecasts."
        )
    labels = list(values.index)
    return values, covariance.loc[labels, labels], excluded
