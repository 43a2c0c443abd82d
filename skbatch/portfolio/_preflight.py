"""What to look at before an optimizer sees any forecast."""

from __future__ import annotations

import html
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import pandas as pd

from skbatch._messages import count, date_text
from skbatch.exceptions import PortfolioError
from skbatch.portfolio._alignment import Alignment, Finding
from skbatch.portfolio._checks import (
    Prices,
    judge_covariance,
    judge_dates,
    judge_dispersion,
    judge_missing,
    judge_rate,
    judge_stale,
)
from skbatch.portfolio._expected import ExpectedReturns
from skbatch.portfolio._inputs import Forecasts, LabelsError, UnitsError, read_expected
from skbatch.portfolio._interval import row_deviations
from skbatch.portfolio._window_volatility import window_volatility

WIDTH = 88


@dataclass(frozen=True, repr=False)
class PreflightReport:
    """Result of the checks before forecasts go to an optimizer.

    Attributes
    ----------
    checks : DataFrame of shape (n_checks, 3)
        By name of the check: ``ok``; ``severity``, ``"error"`` or ``"warning"`` of what
        failed, else empty; ``detail``, what was found, in words.
    subject : str
        What was checked, in words.
    """

    checks: pd.DataFrame
    subject: str = "Expected returns"

    @property
    def ok(self) -> bool:
        """Whether no check failed after which nothing should be optimized."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """Names of the failed checks after which nothing should be optimized."""
        return list(self.checks.index[self.checks["severity"] == "error"])

    @property
    def warnings(self) -> list[str]:
        """Names of the checks that found something to look at."""
        return list(self.checks.index[self.checks["severity"] == "warning"])

    @property
    def verdict(self) -> str:
        """The result, in a sentence."""
        if self.failed:
            return f"Not ready for an optimizer: see {', '.join(self.failed)}."
        if self.warnings:
            listed = ", ".join(self.warnings)
            noun = "warning" if len(self.warnings) == 1 else "warnings"
            return f"Ready for an optimizer, but see the {noun}: {listed}."
        return "Ready for an optimizer."

    def raise_if_failed(self) -> None:
        """Raise an error if a check failed after which nothing should be optimized.

        Raises
        ------
        PortfolioError
            With the details of all failed checks.
        """
        if self.failed:
            details = self.checks.loc[self.failed, "detail"]
            listed = " ".join(f"[{name}] {detail}" for name, detail in details.items())
            raise PortfolioError(f"{self.verdict} {listed}")

    def __str__(self) -> str:
        width = max(map(len, self.checks.index), default=0)
        lines = [self.subject, ""]
        for name, mark, detail in self._rows():
            opening = f"{name:<{width}}  {mark:<7}  "
            lines += wrap(
                detail,
                WIDTH,
                initial_indent=opening,
                subsequent_indent=" " * len(opening),
            )
        return "\n".join([*lines, "", *wrap(self.verdict, WIDTH)])

    def __repr__(self) -> str:
        return f"PreflightReport: {self.verdict} ({len(self.checks)} checks)"

    def _rows(self) -> list[tuple[str, str, str]]:
        """Return name, mark and detail of each check."""
        marks = {"error": "FAILED", "warning": "note", "": "ok"}
        rows = self.checks[["severity", "detail"]].itertuples()
        return [(str(name), marks[grade], detail) for name, grade, detail in rows]

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        return (
            f"<p>{html.escape(self.subject)}</p><table>{cells}</table>"
            f"<p><b>{html.escape(self.verdict)}</b></p>"
        )


def preflight(
    result: Forecasts,
    covariance: pd.DataFrame | None = None,
    *,
    prices: pd.DataFrame | None = None,
    risk_free_rate: float | None = 0.0,
    returns_periods: float | None = None,
    covariance_periods: float | None = None,
) -> PreflightReport:
    """Check forecasts, and a covariance, before they go to an optimizer.

    Nothing is changed and nothing raised: the report lists what is wrong, and
    ``report.raise_if_failed()`` raises it.

    Parameters
    ----------
    result : ExpectedReturns, ForecastResult, Series or dict
        Expected returns by ticker.
    covariance : DataFrame of shape (n_tickers, n_tickers), default=None
        Covariance with the tickers in rows and columns.
    prices : DataFrame of shape (n_dates, n_tickers), default=None
        Prices that the forecasts were made of. With them, tickers whose prices stopped
        changing are found, and volatilities are measured for a `result` without any;
        :func:`~skbatch.robust_forecast_returns` gives them. Rows after the date of the
        forecasts are not used.
    risk_free_rate : float or None, default=0.0
        Rate that some expected return must exceed for a maximum Sharpe ratio, in the
        units of the returns. None does not ask for that.
    returns_periods, covariance_periods : float, default=None
        Rows that both span, see :func:`to_pypfopt`.

    Returns
    -------
    PreflightReport
        Print it, or look at its ``checks``, ``ok`` and ``verdict``.

    Raises
    ------
    PanelError
        If `prices` is malformed.

    Notes
    -----
    Checks: *forecasts* (what cannot be read at all), *labels* (the same tickers on both
    sides), *missing* (tickers without a forecast), *units* (both over the same
    periods), *covariance* (finite, symmetric, positive semidefinite), *size* (the
    volatilities of prices or intervals), *dates* (those of the prices), *stale* (prices
    that stopped changing, ended or are wrong), *risk-free rate*, and *dispersion*: how
    much forecasts differ, compared with how far returns deviate from them. The ratio is
    roughly the correlation with the returns that the forecasts imply [1]_.

    References
    ----------
    .. [1] Grinold, R. C. (1994). Alpha is volatility times IC times score. The Journal
       of Portfolio Management, 20(4), 9–16. https://doi.org/10.3905/jpm.1994.409482

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skbatch.portfolio import preflight
    >>> annual = {"A": 0.05, "B": 0.08, "C": 0.03}
    >>> tickers = ["C", "A", "B"]
    >>> covariance = pd.DataFrame(np.diag([0.01, 0.04, 0.09]), tickers, tickers)
    >>> report = preflight(annual, covariance, returns_periods=252)
    >>> report.ok
    True
    >>> report.warnings
    ['labels']
    """
    try:
        expected = read_expected(result, returns_periods)
    except PortfolioError as error:
        # Of labels that are ambiguous: several horizons, or no ticker at all.
        kinds = {LabelsError: "labels", UnitsError: "units"}
        check = kinds.get(type(error), "forecasts")
        return _report({check: Finding(False, str(error))}, "Expected returns")
    past, unfit = _read_prices(prices, expected.date)
    measured = (
        expected.past_volatility if past is None else window_volatility(past.panel)
    )
    found = {"missing": judge_missing(expected)}
    volatilities = {"intervals": row_deviations(expected)}
    volatilities["prices"] = None if measured is None else measured.iloc[0]
    if covariance is None:
        found["units"] = Finding(True, f"Returns over {expected.unit}.")
    else:
        alignment = Alignment(
            expected, covariance, covariance_periods, volatility=measured
        )
        compared, volatilities["covariance"] = judge_covariance(alignment)
        found |= compared
    if unfit is not None:
        found["dates"] = unfit
    elif past is not None:
        found["dates"] = judge_dates(past)
    found["stale"] = judge_stale(expected, past)
    if len(expected.missing) < len(expected):
        found["risk-free rate"] = judge_rate(expected, risk_free_rate)
        found["dispersion"] = judge_dispersion(expected, volatilities)
    return _report(found, _subject(expected))


def _read_prices(prices: Any, date: Any) -> tuple[Prices | None, Finding | None]:
    """Read prices up to a date, or find that they have no such dates."""
    if prices is None:
        return None, None
    try:
        return Prices(prices, date), None
    except PortfolioError as error:
        return None, Finding(False, str(error))


def _subject(expected: ExpectedReturns) -> str:
    """Describe what was checked."""
    n_known = len(expected) - len(expected.missing)
    date = "" if expected.date is None else f" at {date_text(expected.date)}"
    return f"{count(n_known, 'expected return')}{date} over {expected.unit}"


def _report(found: dict[str, Finding], subject: str) -> PreflightReport:
    """Tabulate findings."""
    rows = [(f.ok, "" if f.ok else f.severity, f.detail) for f in found.values()]
    index = pd.Index(list(found), name="check")
    table = pd.DataFrame(rows, index, ["ok", "severity", "detail"])
    return PreflightReport(table, subject)
