"""What a covariance must be before an optimiser sees it."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PortfolioError

__all__ = [
    "check_matrix",
    "check_size",
    "deviations",
    "label_problem",
    "read_covariance",
    "span_of",
]

# The `frequency` that all risk models of PyPortfolioOpt have by default.
DEFAULT_PERIODS = 252.0
# A typical annual volatility of assets that somebody optimises lies between. Daily ones
# of single stocks are 1 % to 3 %; few optimise Treasury bills.
PLAUSIBLE = (0.04, 3.0)
# Two measures of the same volatilities differ by less than this factor; those of a day
# and a year differ by 16, and a fraction and its percentage by 100.
SAME_SIZE = 4.0


def read_covariance(covariance: Any) -> pd.DataFrame:
    """Check the labels of a covariance.

    Parameters
    ----------
    covariance : DataFrame of shape (n_tickers, n_tickers)
        With tickers in rows and columns.

    Returns
    -------
    DataFrame
        With rows in the order of the columns.

    Raises
    ------
    PortfolioError
        If it is no table, or not labelled by the same tickers twice.
    """
    if not isinstance(covariance, pd.DataFrame):
        raise PortfolioError(
            "`covariance` must have tickers as labels. Got a "
            f"{type(covariance).__name__}, which has none: its order cannot be checked"
            ". Pass a DataFrame with the tickers in rows and columns."
        )
    for side, labels in (("columns", covariance.columns), ("rows", covariance.index)):
        problem = label_problem(labels)
        if problem:
            raise PortfolioError(
                f"`covariance` must have tickers as labels of its {side}. Got "
                f"{problem}. Pass a DataFrame with the tickers in rows and columns."
            )
    alone = covariance.columns.symmetric_difference(covariance.index)
    if len(alone):
        raise PortfolioError(
            "`covariance` must have the same tickers in rows and columns. Got "
            f"{format_tickers(alone)} on one side only. Pass a square table."
        )
    return covariance.loc[covariance.columns].astype(np.float64)


def label_problem(labels: pd.Index) -> str:
    """Say why labels are no tickers, or nothing."""
    if isinstance(labels, pd.MultiIndex):
        return "several levels of labels (choose one horizon, or one field)"
    others = [label for label in labels if not isinstance(label, str)]
    if others:
        return f"the labels {format_tickers(others, 3)}, which are no tickers"
    twice = labels[labels.duplicated()].unique()
    if len(twice):
        return f"{format_tickers(twice)} more than once"
    return ""


def span_of(
    covariance: pd.DataFrame, periods: float | None = None
) -> tuple[float, bool]:
    """Tell what returns a covariance is of.

    Parameters
    ----------
    covariance : DataFrame
        The covariance; ``attrs["periods"]`` may say it.
    periods : float, default=None
        What the caller says.

    Returns
    -------
    periods : float
        Rows that its returns span: 252 for annual ones of weekdays.
    said : bool
        False if it is PyPortfolioOpt's default because nobody said it.

    Raises
    ------
    ValueError
        If `periods` is no positive number.
    PortfolioError
        If the covariance says something else.
    """
    known = covariance.attrs.get("periods")
    if periods is None:
        return float(known or DEFAULT_PERIODS), known is not None
    if not isinstance(periods, Real) or not 0 < periods < math.inf:
        raise ValueError(
            "`covariance_periods` must be a positive number of rows. Got "
            f"{periods!r}. Pass 252 for the annual covariance of weekdays, 1 for that "
            "of the rows themselves."
        )
    if known is not None and not math.isclose(known, periods, rel_tol=0.05):
        raise PortfolioError(
            f"`covariance_periods` must be what the covariance says, {known:g}. Got "
            f"{periods:g}. Leave it out."
        )
    return float(periods), True


def deviations(covariance: pd.DataFrame) -> pd.Series:
    """Give the standard deviations of a covariance, by ticker."""
    return pd.Series(np.sqrt(np.diag(covariance.to_numpy())), covariance.index)


def check_matrix(covariance: pd.DataFrame) -> None:
    """Refuse what is no covariance.

    Parameters
    ----------
    covariance : DataFrame of shape (n_tickers, n_tickers)
        With rows in the order of the columns.

    Raises
    ------
    PortfolioError
        If values are missing, variances not positive, or the table is not symmetric
        or not positive semidefinite.
    """
    values = covariance.to_numpy()
    tickers = covariance.index
    holes = ~np.isfinite(values)
    if holes.any():
        raise PortfolioError(
            f"`covariance` must be finite. Got {int(holes.sum())} values that are not, "
            f"of {format_tickers(tickers[holes.any(axis=1)])}. Estimate it on dates "
            "that all tickers have, or leave these tickers out."
        )
    crooked = np.abs(values - values.T) > 1e-6 * np.abs(values).max()
    if crooked.any():
        raise PortfolioError(
            "`covariance` must be symmetric. Got other values below the diagonal than "
            f"above it, of {format_tickers(tickers[crooked.any(axis=1)])}: its rows "
            "may be labelled in another order than its columns. Label both alike."
        )
    still = np.diag(values) <= 0
    if still.any():
        raise PortfolioError(
            f"`covariance` must have positive variances. Got {int(still.sum())} that "
            f"are not, of {format_tickers(tickers[still])}. Leave out tickers whose "
            "prices stand still."
        )
    scale = np.sqrt(np.outer(np.diag(values), np.diag(values)))
    lowest = float(np.linalg.eigvalsh(values / scale)[0])
    if lowest < -1e-7 * len(values):
        raise PortfolioError(
            "`covariance` must be positive semidefinite. Got a correlation matrix with "
            f"the eigenvalue {lowest:.2g}. Use a shrunk estimate (Ledoit–Wolf), or "
            "pypfopt.risk_models.fix_nonpositive_semidefinite."
        )


def check_size(
    covariance: pd.DataFrame,
    periods: float,
    periods_per_year: float | None = None,
    said: bool = True,
    volatility: pd.Series | None = None,
) -> str:
    """Judge the units of a covariance by its size.

    Parameters
    ----------
    covariance : DataFrame of shape (n_tickers, n_tickers)
        Of finite values.
    periods : float
        Rows that its returns are thought to span.
    periods_per_year : float, default=None
        Rows in a year; None takes 252, which is near enough here.
    said : bool, default=True
        Whether somebody said what it spans.
    volatility : Series, default=None
        Standard deviation of the return of a row, measured elsewhere.

    Returns
    -------
    str
        What is doubtful, or nothing.

    Raises
    ------
    PortfolioError
        If it contradicts `volatility`, or is not plausible where nobody said what it
        spans.
    """
    own = deviations(covariance)
    if volatility is not None:
        _compare_sizes(own, volatility, periods)
    annual = own * math.sqrt((periods_per_year or DEFAULT_PERIODS) / periods)
    typical = float(annual.median())
    if PLAUSIBLE[0] <= typical <= PLAUSIBLE[1]:
        return ""
    doubt = (
        f"A covariance over {periods:g} rows should give a typical annual volatility "
        f"between {100 * PLAUSIBLE[0]:g} % and {100 * PLAUSIBLE[1]:g} %. Got "
        f"{100 * typical:.2g} %."
    )
    if said:
        return doubt
    raise PortfolioError(
        f"{doubt} It looks like one of daily returns, or of percentages. Annualise it, "
        "as covariance * 252, or say what it spans: covariance_periods=252 if it is "
        "annual nevertheless, 1 if it is of daily returns."
    )


def _compare_sizes(own: pd.Series, volatility: pd.Series, periods: float) -> None:
    """Refuse volatilities that are far from those measured elsewhere."""
    ratio = (own / volatility.reindex(own.index)).median() / math.sqrt(periods)
    # NaN where no ticker has both.
    if not (ratio > SAME_SIZE or ratio < 1 / SAME_SIZE):
        return
    many, size = (ratio, "larger") if ratio > 1 else (1 / ratio, "smaller")
    rows = periods * ratio**2
    raise PortfolioError(
        f"`covariance` must be of returns over {periods:g} rows. Got volatilities that "
        f"are {many:.3g} times {size} than prices or intervals say, as if it "
        f"spanned {rows:.2g} rows. Pass the covariance_periods that it has: 1 for that "
        "of daily returns, 252 for an annual one of weekdays."
    )
