"""Expected returns in the forms that users have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.batch import ForecastResult
from skbatch.exceptions import PortfolioError
from skbatch.portfolio._expected import ExpectedReturns, same_span


class LabelsError(PortfolioError):
    """Expected returns do not name their tickers."""


class UnitsError(PortfolioError):
    """It is not known, or contradictory, what expected returns span."""


# What expected returns come as.
Forecasts: TypeAlias = (
    ExpectedReturns | ForecastResult | pd.Series | Mapping[str, float]
)


def read_expected(result: Any, periods: float | None = None) -> ExpectedReturns:
    """Read any of the forms that expected returns come in, which span `periods`."""
    if hasattr(result, "expected_returns"):
        # In the units of the result, so that nothing is converted unasked.
        result = ExpectedReturns.of(result, annualize=False)
    if isinstance(result, ExpectedReturns):
        _as_series(dict(result))
        _one_span(result.periods, periods)
        return result
    values = _as_series(result)
    known = values.attrs
    annual, horizon = known.get("annualized"), known.get("horizon")
    year = known.get("periods_per_year", math.nan)
    span = _one_span({True: year, False: horizon, None: None}[annual], periods)
    return ExpectedReturns(
        {str(ticker): value for ticker, value in values.items()},
        date=known.get("date"),
        horizon=horizon,
        periods_per_year=year,
        annualized=bool(annual),
        periods=span if annual is None else None,
    )


def label_problem(labels: pd.Index) -> str:
    """Explain why labels are not tickers, or return an empty string."""
    if isinstance(labels, pd.MultiIndex):
        return "several levels of labels (choose one horizon, or one field)"
    others = [label for label in labels if not isinstance(label, str)]
    if others:
        return f"the labels {format_tickers(others, 3)}, which are not tickers"
    twice = labels[labels.duplicated()].unique()
    if len(twice):
        return f"{format_tickers(twice)} more than once"
    return ""


def _as_series(result: Any) -> pd.Series:
    """Read labeled numbers."""
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
            f"Expected returns must be labeled by ticker, each once. Got {problem}"
            ". Pass a Series with the tickers as index."
        )
    if not len(result):
        raise PortfolioError(
            "Expected returns must cover at least one ticker. Got none. Pass the "
            "result of a forecast."
        )
    return result.astype(np.float64)


def _one_span(known: float | None, given: float | None) -> float:
    """Choose between what is known and what the caller passes."""
    known = None if known is None or math.isnan(known) else known
    if known is None and given is None:
        raise UnitsError(
            "The rows that expected returns span must be known. Got a Series or dict "
            "without units. Pass returns_periods=252 for annual returns of weekdays, "
            "or the number of rows that they span."
        )
    if known is not None and given is not None and not same_span(known, given):
        raise UnitsError(
            f"`returns_periods` must be what the forecasts span, {known:g}. Got "
            f"{given:g}. Leave it out. To convert returns, use in_units() of an "
            "ExpectedReturns; a Series converted by hand still records its old units, "
            "until its `.attrs` are cleared: series.attrs.clear()."
        )
    return float(known if given is None else given)  # type: ignore[arg-type]
