"""Expected returns and a covariance, brought to the same tickers and units.

The one place where both are compared: each hand-off runs all steps of an `Alignment`,
`preflight` one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skbatch._messages import count, format_tickers
from skbatch.exceptions import PortfolioError
from skbatch.portfolio._expected import (
    ExpectedReturns,
    percent,
    same_span,
    with_reasons,
)
from skbatch.portfolio._inputs import label_problem
from skbatch.portfolio._interval import row_deviations

# The `frequency` that all risk models of PyPortfolioOpt have by default.
DEFAULT_PERIODS = 252.0
# Range of typical annual volatilities of assets that are optimized. Daily ones
# of single stocks are 1% to 3%; few optimize Treasury bills.
PLAUSIBLE = (0.04, 3.0)
# Two measures of the same volatilities differ by less than this factor; those of a day
# and a year differ by 16, and a fraction and its percentage by 100.
SAME_SIZE = 4.0
# Weekly returns annualized as daily ones give volatilities 2.2 times too large, as much
# as a crisis does. A crisis hits tickers unequally, though: what is off by one factor
# for all of them is off by its units. On 20 stocks over 33 years, these bounds find
# 93% of such covariances, and refuse 1% of those over other windows of the prices.
OTHER_LEVEL, OTHER_UNITS, ALIKE, ENOUGH_TICKERS = 1.7, 1.8, 0.12, 4


class Finding(NamedTuple):
    """What a check found; `severity` is "error" or "warning" where it is not ok."""

    ok: bool
    detail: str
    severity: str = "error"


class Alignment:
    """Expected returns and a covariance on the way to the same tickers and units."""

    def __init__(
        self,
        expected: ExpectedReturns,
        covariance: Any,
        periods: float | None = None,
        *,
        volatility: pd.DataFrame | None = None,
        unusable: Mapping[str, str] | None = None,
        allow_more: bool = False,
    ) -> None:
        self.expected = expected
        self.covariance = covariance
        self.periods = periods
        self.volatility = volatility
        self.excluded = expected.missing | dict(unusable or {})
        self.allow_more = allow_more
        if volatility is None and expected.past_volatility is not None:
            self.volatility = expected.past_volatility
        elif volatility is None and (stray := row_deviations(expected)) is not None:
            self.volatility = stray.to_frame().T

    def match_labels(self) -> Finding:
        """Align both with the tickers of the expected returns."""
        table = _read_covariance(self.covariance)
        self.values = self._match(table)
        labels = list(self.values.index)
        order = [ticker for ticker in table.columns if ticker not in self.excluded]
        attrs = table.attrs
        self.covariance = table.loc[labels, labels]
        self.covariance.attrs = attrs
        same = f"The same {count(len(labels))}"
        if order == labels:
            return Finding(True, f"{same} in the same order.")
        return Finding(
            False,
            f"{same}, but in a different order. Optimizers match tickers by position: "
            "pass what to_pypfopt or to_riskfolio returns.",
            "warning",
        )

    def _match(self, table: pd.DataFrame) -> pd.Series:
        """Select the expected returns of tickers that have both, and reject others."""
        variances = pd.Series(np.diag(table.to_numpy()), table.index)
        for ticker in variances.index[~np.isfinite(variances)]:
            if not self.allow_more or ticker in self.expected:
                self.excluded.setdefault(ticker, "no variance")
        values = self.expected.to_series().rename_axis(None)
        values = values.drop([t for t in self.excluded if t in values])
        known = table.index.drop([t for t in self.excluded if t in table.index])
        alone = {"covariance": values.index.difference(known, sort=False)}
        if not self.allow_more:
            alone["expected return"] = known.difference(values.index, sort=False)
        lacking = [
            f"{len(tickers)} without {side} ({format_tickers(tickers)})"
            for side, tickers in alone.items()
            if len(tickers)
        ]
        if lacking:
            raise PortfolioError(
                "Expected returns and covariance must have the same tickers. Got "
                f"{' and '.join(lacking)}. Compute both for the same tickers, or drop "
                "those that only one side has."
            )
        if values.empty:
            raise PortfolioError(
                "At least one ticker must have both a forecast and a covariance. Got "
                f"none of {len(self.expected)}: {with_reasons(self.excluded)}. See "
                "the provenance of the forecasts."
            )
        return values

    def compare_units(self) -> Finding:
        """Reject a covariance of returns that span other periods."""
        self.span()
        unit = self.expected.unit
        if not same_span(self.expected.periods, self.span_):
            raise PortfolioError(
                "Expected returns and covariance must span the same periods. Got "
                f"returns over {unit}, and a covariance of returns over "
                f"{self.span_:g}. {_how_to_convert(self.expected, self.span_)}"
            )
        how = "pass `covariance_periods`"
        taken = "" if self.said_ else f" (of the covariance by default: {how})"
        return Finding(True, f"Both over {unit}{taken}.")

    def span(self) -> None:
        """Determine the rows that the covariance's returns span, and from what."""
        known, given = self.covariance.attrs.get("periods"), self.periods
        self.said_ = given is not None or known is not None
        if given is None:
            self.span_ = float(known or DEFAULT_PERIODS)
            return
        if not isinstance(given, Real) or not 0 < given < math.inf:
            raise ValueError(
                "`covariance_periods` must be a positive number of rows. Got "
                f"{given!r}. Pass 252 for the annual covariance of weekdays, 1 for "
                "that of the rows themselves."
            )
        if known is not None and not same_span(known, given):
            raise PortfolioError(
                f"`covariance_periods` must be the covariance's own, {known:g}. "
                f"Got {given:g}. Leave it out."
            )
        self.span_ = float(given)

    def check_matrix(self) -> Finding:
        """Raise unless a matrix is a covariance."""
        values, tickers = self.covariance.to_numpy(), self.covariance.index
        holes = ~np.isfinite(values)
        if holes.any():
            raise PortfolioError(
                f"`covariance` must be finite. Got {int(holes.sum())} values that are "
                f"not, of {format_tickers(tickers[holes.any(axis=1)])}. Estimate it on "
                "dates that all tickers have, or leave these tickers out."
            )
        crooked = np.abs(values - values.T) > 1e-6 * np.abs(values).max()
        if crooked.any():
            raise PortfolioError(
                "`covariance` must be symmetric. Got different values below and above "
                f"the diagonal for {format_tickers(tickers[crooked.any(axis=1)])}: the "
                "rows may be labeled in another order than the columns. Label both in "
                "the same order."
            )
        variances = np.diag(values)
        still = variances <= 0
        if still.any():
            raise PortfolioError(
                f"`covariance` must have positive variances. Got {int(still.sum())} "
                f"that are not, of {format_tickers(tickers[still])}. Leave out tickers "
                "with constant prices."
            )
        scale = np.sqrt(np.outer(variances, variances))
        lowest = float(np.linalg.eigvalsh(values / scale)[0])
        if lowest < -1e-7 * len(values):
            raise PortfolioError(
                "`covariance` must be positive semidefinite. Got a correlation matrix "
                f"with the eigenvalue {lowest:.2g}. Use a shrunk estimate "
                "(Ledoit–Wolf), or pypfopt.risk_models.fix_nonpositive_semidefinite."
            )
        return Finding(True, "Finite, symmetric and positive semidefinite.")

    def compare_sizes(self) -> Finding:
        """Reject a covariance whose size contradicts its units or measurements."""
        own = self.deviations
        _refuse_correlations(own)
        if self.volatility is not None:
            _refuse_other_sizes(own, self.volatility, self.span_)
        year = self.expected.periods_per_year
        year = year if math.isfinite(year) else DEFAULT_PERIODS
        typical = float(own.median()) * math.sqrt(year / self.span_)
        if PLAUSIBLE[0] <= typical <= PLAUSIBLE[1]:
            measured = ", in line with the measured ones"
            compared = "" if self.volatility is None else measured
            size = f"{percent(own.min())} to {percent(own.max())}"
            return Finding(True, f"Volatilities of {size}{compared}.")
        doubt = (
            f"A covariance over {self.span_:g} rows should give a typical annual "
            f"volatility between {100 * PLAUSIBLE[0]:g}% and {100 * PLAUSIBLE[1]:g}%"
            f". Got {100 * typical:.2g}%."
        )
        if self.said_:
            return Finding(False, doubt, "warning")
        raise PortfolioError(
            f"{doubt} It looks like one of daily returns, or of percentages. Annualize "
            "it, as covariance * 252, or pass what it spans: covariance_periods=252 if "
            "it is annual nevertheless, 1 if it is of daily returns."
        )

    @property
    def deviations(self) -> pd.Series:
        """Standard deviations by the covariance."""
        variances = np.diag(self.covariance.to_numpy())
        return pd.Series(np.sqrt(variances), self.covariance.index)


# By the name that `preflight` gives them.
STEPS = {
    "labels": Alignment.match_labels,
    "units": Alignment.compare_units,
    "covariance": Alignment.check_matrix,
    "size": Alignment.compare_sizes,
}


def check_risk_free_rate(expected: ExpectedReturns, rate: float | None) -> None:
    """Reject forecasts that leave a maximum Sharpe ratio without a solution."""
    values = expected.to_series()
    values = values[np.isfinite(values)]
    if rate is None or (values > rate).any():
        return
    raise PortfolioError(
        "At least one expected return must be above `risk_free_rate`: there is no "
        f"long-only portfolio of maximum Sharpe ratio otherwise. Got "
        f"{count(len(values))} with at most {percent(values.max())} over "
        f"{expected.unit}, and a rate of {percent(rate)}. Minimize the "
        "volatility instead (pass risk_free_rate=None here, then "
        "EfficientFrontier.min_volatility()), or pass a lower rate; it must "
        "be in the units of the returns."
    )


def _read_covariance(covariance: Any) -> pd.DataFrame:
    """Check the labels of a covariance, and bring both sides to the same order."""
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


def _how_to_convert(expected: ExpectedReturns, periods: float) -> str:
    if expected.is_of_a_year:
        span = expected.periods
        return (
            f"Pass covariance * {span / periods:.4g} with covariance_periods={span:g} "
            f"(`frequency={span:g}` in PyPortfolioOpt's risk models), or pass what it "
            "spans as `covariance_periods`."
        )
    return (
        "Annualize the returns (robust_forecast_returns(..., annualize=True), or "
        "ExpectedReturns.of(result)), or pass what the covariance spans as "
        "`covariance_periods`: 1 for that of daily returns."
    )


def _refuse_correlations(own: pd.Series) -> None:
    """Reject a correlation matrix; shrunk volatilities may be equal, but are not 1."""
    if len(own) > 1 and np.ptp(own) < 1e-6 and abs(own.iloc[0] - 1.0) < 0.01:
        raise PortfolioError(
            "`covariance` must hold variances on its diagonal. Got 1 for all "
            f"{count(len(own))}, as in a correlation matrix. Multiply each correlation "
            "with both volatilities, or pass the covariance of the returns."
        )


def _refuse_other_sizes(
    own: pd.Series, volatility: pd.DataFrame, periods: float
) -> None:
    """Reject volatilities that contradict the measured ones."""
    table = volatility.reindex(columns=own.index).to_numpy()
    known = np.isfinite(table)
    use = known.any(axis=1)
    if not use[0]:
        return
    table, known = table[use], known[use]
    logs = np.log(own.to_numpy() / table) - math.log(periods) / 2
    level = np.nanmedian(logs, axis=1)
    if abs(level[0]) > math.log(SAME_SIZE):
        off = level[0]
    elif len(table) > 1:
        off = _units_apart(logs, level, known.sum(axis=1) >= ENOUGH_TICKERS)
    else:
        return
    if not off:
        return
    size = "larger" if off > 0 else "smaller"
    rows = periods * math.exp(2 * off)
    wrong_price = (
        " A single price that is off by a factor also inflates a covariance: look at "
        "`prices.pct_change().abs().max()`."
        if off > 0
        else ""
    )
    raise PortfolioError(
        f"`covariance` must be of returns over {periods:g} rows. Got volatilities "
        f"that are {math.exp(abs(off)):.3g} times {size} than prices or intervals "
        f"suggest, as if it spanned {rows:.3g} rows. Pass the covariance_periods that "
        "it has: 1 for that of daily returns, 252 for an annual one of weekdays. For a "
        "year, multiply that of daily returns by 252, of weekly ones by 52, of monthly "
        f"ones by 12.{wrong_price}"
    )


def _units_apart(logs: np.ndarray, level: np.ndarray, enough: np.ndarray) -> float:
    """Return the log factor between a covariance and the window that it resembles."""
    nearest = float(level[np.abs(level).argmin()])
    if abs(nearest) > math.log(OTHER_LEVEL):
        return nearest
    if not enough.any():
        return 0.0
    logs, level = logs[enough], level[enough]
    spread = np.nanstd(logs, axis=1)
    alike = int(spread.argmin())
    misfit = math.sqrt(float(np.nanmean(logs**2, axis=1).min()))
    if (
        spread[alike] < ALIKE < misfit
        and misfit > 2 * spread[alike]
        and abs(level[alike]) > math.log(OTHER_UNITS)
    ):
        return float(level[alike])
    return 0.0
