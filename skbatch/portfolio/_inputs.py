"""Expected returns in the forms that users have, with their units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import count
from skbatch.exceptions import PortfolioError
from skbatch.portfolio._covariance import label_problem
from skbatch.portfolio._expected import ExpectedReturns
from skbatch.portfolio._interval import interval_deviations

__all__ = ["Forecasts", "LabelsError", "UnitsError", "percent", "same_span"]

# Years of 250, 252 and 260 weekdays are all in use; 252 and 365 must not pass.
SAME_SPAN = 0.05
# What intervals that do not say it are taken to cover, as those of `predict_interval`
# do: other coverages change a width by less than what `check_size` lets pass.
COVERAGE = 0.9


class LabelsError(PortfolioError):
    """Expected returns do not name their tickers."""


class UnitsError(PortfolioError):
    """It is not known, or contradictory, what expected returns span."""


@dataclass(frozen=True)
class Forecasts:
    """Expected returns by ticker, and what is known of them.

    Attributes
    ----------
    values : Series of shape (n_tickers,)
        Expected simple returns; NaN where there is none.
    periods : float
        Rows that a return spans: the horizon, or those of a year.
    periods_per_year : float or None
        Rows in a year; None if unknown.
    horizon : int or None
        Rows ahead; None if unknown.
    date : object
        Last date that the forecasts use; None if unknown.
    reasons : dict of str to str
        Ticker → why it has no forecast.
    stale : dict of str to str
        Ticker → what is wrong with its latest prices.
    interval : DataFrame or None
        ``lower`` and ``upper`` over the horizon, by ticker.
    volatility : Series or None
        Standard deviation of the return of a row, by ticker, measured from prices.
    """

    values: pd.Series
    periods: float
    periods_per_year: float | None = None
    horizon: int | None = None
    date: Any = None
    reasons: dict[str, str] = field(default_factory=dict)
    stale: dict[str, str] = field(default_factory=dict)
    interval: pd.DataFrame | None = None
    volatility: pd.Series | None = None

    @classmethod
    def of(cls, result: Any, periods: float | None = None) -> Forecasts:
        """Read any of the forms that expected returns come in.

        Parameters
        ----------
        result : ForecastResult, ExpectedReturns, Series or dict
            Expected returns by ticker.
        periods : float, default=None
            Rows that they span; needed where `result` does not say.

        Returns
        -------
        Forecasts
            The same numbers.

        Raises
        ------
        PortfolioError
            If they have no labels, or it is not known what they span.
        """
        if hasattr(result, "expected_returns"):
            # Of the same unit as the result, so that nothing is converted unasked.
            result = ExpectedReturns.of(result, annualize=False)
        if isinstance(result, ExpectedReturns):
            return cls._of_expected(result, periods)
        values = _as_series(result)
        known = dict(values.attrs)
        annual, horizon = known.get("annualized"), known.get("horizon")
        year = known.get("periods_per_year")
        span = {True: year, False: horizon, None: None}[annual]
        span = _one_span(span, periods)
        return cls(values, span, year, horizon, known.get("date"))

    @classmethod
    def _of_expected(
        cls, expected: ExpectedReturns, periods: float | None
    ) -> Forecasts:
        year = expected.periods_per_year
        values = _as_series(dict(expected))
        reasons = expected.provenance["reason"].astype(str)
        lacking = reasons.reindex(values.index[~np.isfinite(values)]).fillna("")
        return cls(
            values,
            _one_span(expected.periods, periods),
            year if math.isfinite(year) else None,
            expected.horizon,
            expected.date,
            {str(ticker): why for ticker, why in lacking.items() if why},
            dict(expected.stale),
            expected.interval,
            expected.volatility,
        )

    @property
    def unit(self) -> str:
        """What the returns span, in words."""
        year = self.periods_per_year
        if year is not None and same_span(self.periods, year):
            return f"a year of {self.periods:g} rows"
        return count(self.periods, "row")

    @property
    def missing(self) -> dict[str, str]:
        """Tickers without a forecast, with the reason of each."""
        lacking = self.values.index[~np.isfinite(self.values)]
        return {t: self.reasons.get(t, "no forecast") for t in lacking}

    def stray(self) -> pd.Series | None:
        """Tell how far a row's return strays by the intervals; None without them."""
        if self.interval is None or self.horizon is None:
            return None
        coverage = self.interval.attrs.get("coverage", COVERAGE)
        deviations = interval_deviations(self.interval, coverage)
        # Not every model behind a forecast is calibrated.
        known = deviations.notna().any()
        return deviations / math.sqrt(self.horizon) if known else None

    def check_periods(self, periods: float) -> None:
        """Refuse a covariance of returns that span other periods."""
        if not same_span(self.periods, periods):
            raise PortfolioError(
                "Expected returns and covariance must span the same periods. Got "
                f"returns over {self.unit}, and a covariance of returns over "
                f"{periods:g}. {self._how_to_convert(periods)}"
            )

    def check_risk_free_rate(self, risk_free_rate: float | None) -> None:
        """Refuse forecasts that leave a maximum Sharpe ratio without a solution."""
        values = self.values[np.isfinite(self.values)]
        if risk_free_rate is None or (values > risk_free_rate).any():
            return
        raise PortfolioError(
            "At least one expected return must be above `risk_free_rate`: there is no "
            f"long-only portfolio of maximum Sharpe ratio otherwise. Got "
            f"{count(len(values))} with at most {percent(values.max())} over "
            f"{self.unit}, and a rate of {percent(risk_free_rate)}. Minimise the "
            "volatility instead (pass risk_free_rate=None here, then "
            "EfficientFrontier.min_volatility()), or pass a lower rate; it must "
            "be in the units of the returns."
        )

    def _how_to_convert(self, periods: float) -> str:
        year = self.periods_per_year
        if year is not None and same_span(self.periods, year):
            return (
                f"Pass covariance * {self.periods / periods:.4g} with "
                f"covariance_periods={self.periods:g} (`frequency={self.periods:g}` in "
                "PyPortfolioOpt's risk models), or say what it spans with "
                "`covariance_periods`."
            )
        return (
            "Annualise the returns (robust_forecast_returns(..., annualize=True), or "
            "ExpectedReturns.of(result)), or say what the covariance spans with "
            "`covariance_periods`: 1 for that of daily returns."
        )


def same_span(first: float, second: float) -> bool:
    """Tell whether returns span the same, up to the conventions of a year."""
    return math.isclose(first, second, rel_tol=SAME_SPAN)


def percent(value: float) -> str:
    """Format a return as percent."""
    return f"{100 * value:.3g} %"


def _as_series(result: Any) -> pd.Series:
    """Read labelled numbers."""
    if isinstance(result, Mapping):
        result = pd.Series(dict(result), dtype=np.float64)
    if not isinstance(result, pd.Series):
        raise LabelsError(
            "Expected returns must have tickers as labels. Got a "
            f"{type(result).__name__}, which has none. Pass the result of a forecast, "
            "a Series with the tickers as index, or a dict."
        )
    problem = label_problem(result.index)
    if problem:
        raise LabelsError(
            f"Expected returns must have one ticker per number as label. Got {problem}"
            ". Pass a Series with the tickers as index."
        )
    if not len(result):
        raise PortfolioError(
            "Expected returns must be of one ticker at least. Got none. Pass the "
            "result of a forecast."
        )
    return result.astype(np.float64).rename("expected_return")


def _one_span(known: float | None, given: float | None) -> float:
    """Decide between what is known and what the caller says."""
    if known is None and given is None:
        raise UnitsError(
            "It must be known what expected returns span. Got a Series or dict that "
            "does not say. Pass returns_periods=252 for annual returns of weekdays, or "
            "the number of rows that they span."
        )
    if known is not None and given is not None and not same_span(known, given):
        raise UnitsError(
            f"`returns_periods` must be what the forecasts span, {known:g}. Got "
            f"{given:g}. Leave it out. To convert returns, use in_units() of an "
            "ExpectedReturns; a Series that was converted by hand still says what it "
            "was before, until its `.attrs` are cleared: series.attrs.clear()."
        )
    return float(known if given is None else given)  # type: ignore[arg-type]
