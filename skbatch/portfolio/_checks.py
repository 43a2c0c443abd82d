"""Single checks of forecasts, in words; those of a covariance are in `_alignment`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import count, date_text, format_tickers
from skbatch.batch import BatchErrorHandler
from skbatch.exceptions import PortfolioError
from skbatch.panel import check_panel
from skbatch.portfolio._alignment import (
    STEPS,
    Alignment,
    Finding,
    check_risk_free_rate,
)
from skbatch.portfolio._expected import ExpectedReturns, percent, with_reasons

# Standard deviation of forecasts over that of returns: below, differences are small
# compared with the noise; above, forecasts imply implausible skill.
FAINT, LOUD = 0.1, 0.3


class Prices:
    """The prices that forecasts were made of, up to their date; None takes all."""

    def __init__(self, prices: Any, date: Any) -> None:
        panel = check_panel(prices, warn_all_nan=False)
        self.last = panel.index[-1]
        self.date = self.last if date is None else date
        # Later prices must not be used to judge the forecasts.
        try:
            self.panel = panel.loc[: self.date]
        except (TypeError, KeyError) as error:
            raise PortfolioError(
                "`prices` must have dates like those of the forecasts. Got rows up to "
                f"{self.last!r}, and forecasts of {self.date!r}. Pass the prices that "
                "they were made of, or both without time zone: "
                "prices.tz_localize(None)."
            ) from error

    def unusable(self) -> dict[str, str]:
        """Find tickers whose prices stand still, ended or are wrong."""
        _, findings = BatchErrorHandler(min_history=2).screen(self.panel)
        bad = findings[findings["action"] == "quarantined"]
        bad = bad[~bad.index.duplicated()]
        return dict(zip(map(str, bad.index), bad["detail"], strict=True))


def judge_missing(expected: ExpectedReturns) -> Finding:
    """Find tickers without a forecast."""
    total, missing = len(expected), expected.missing
    if not missing:
        whole = "The ticker has" if total == 1 else f"All {total} tickers have"
        return Finding(True, f"{whole} a forecast.")
    grade = "error" if len(missing) == total else "warning"
    detail = (
        f"No forecast for {len(missing)} of {count(total)}: {with_reasons(missing)}."
    )
    return Finding(False, detail, grade)


def judge_covariance(
    alignment: Alignment,
) -> tuple[dict[str, Finding], pd.Series | None]:
    """Check a covariance beside the forecasts until something fails."""
    found: dict[str, Finding] = {}
    for name, step in STEPS.items():
        try:
            found[name] = step(alignment)
        except PortfolioError as error:
            found[name] = Finding(False, str(error))
            return found, None
    return found, alignment.deviations / math.sqrt(alignment.span_)


def judge_rate(expected: ExpectedReturns, risk_free_rate: float | None) -> Finding:
    """Count the tickers that are expected to earn more than the risk-free rate."""
    if risk_free_rate is None:
        return Finding(True, "Not compared.")
    try:
        check_risk_free_rate(expected, risk_free_rate)
    except PortfolioError as error:
        return Finding(False, str(error))
    above = sum(value > risk_free_rate for value in expected.values())
    known = len(expected) - len(expected.missing)
    rate = percent(risk_free_rate)
    return Finding(True, f"{above} of {known} forecasts are above {rate}.")


def judge_stale(expected: ExpectedReturns, prices: Prices | None) -> Finding:
    """Find tickers that have a forecast although their prices are stale."""
    known = [ticker for ticker, value in expected.items() if math.isfinite(value)]
    found = dict(expected.stale)
    if prices is not None:
        found |= prices.unusable()
    stale = {ticker: found[ticker] for ticker in known if ticker in found}
    if stale:
        listed = format_tickers((f"{t} ({why})" for t, why in stale.items()), 3)
        verb = "has" if len(stale) == 1 else "have"
        detail = f"{count(len(stale))} {verb} unusable prices: {listed}."
        return Finding(False, detail)
    if prices is None and not expected.stale:
        return Finding(
            True, "None is known; pass `prices` to look for unusable prices."
        )
    return Finding(True, "All tickers with a forecast have prices that move.")


def judge_dates(prices: Prices) -> Finding:
    """Compare the date of the forecasts with the last prices."""
    if prices.panel.empty or prices.panel.index[-1] != prices.date:
        detail = (
            f"The prices have no row for {date_text(prices.date)}, the forecast date."
        )
        return Finding(False, detail, "warning")
    if prices.date == prices.last:
        return Finding(
            True, f"Forecasts and prices both end at {date_text(prices.last)}."
        )
    detail = (
        f"The forecasts are from {date_text(prices.date)}, but the prices continue to "
        f"{date_text(prices.last)}: forecast again."
    )
    return Finding(False, detail, "warning")


def judge_dispersion(
    expected: ExpectedReturns, volatilities: Mapping[str, pd.Series | None]
) -> Finding:
    """Compare the spread of the forecasts with the volatility of the returns."""
    values = expected.to_series()
    known = values[np.isfinite(values)]
    horizon = expected.horizon or expected.periods
    # Forecasts are compared at their own horizon, where their uncertainty is known.
    scaled = (1 + known) ** (horizon / expected.periods) - 1
    if len(scaled) < 2:
        return Finding(True, "There is only one ticker.")
    spread = float(scaled.std())
    rows = count(horizon, "row")
    known_of = {name: v for name, v in volatilities.items() if v is not None}
    if not known_of:
        detail = (
            "The standard deviation of the forecasts across tickers is "
            f"{percent(spread)} over {rows}. Pass `prices`, a covariance or intervals "
            "to compare it with their uncertainty."
        )
        return Finding(True, detail)
    source, volatility = next(iter(known_of.items()))
    stray = float(volatility.reindex(scaled.index).median()) * math.sqrt(horizon)
    detail = (
        f"The standard deviation of the forecasts across tickers is {percent(spread)}; "
        f"that of a typical return over {rows} is {percent(stray)}, according to the "
        f"{source}"
    )
    return _weigh(spread / stray, detail)


def _weigh(ratio: float, detail: str) -> Finding:
    """Explain the consequence for an optimizer."""
    if not math.isfinite(ratio):
        return Finding(False, f"{detail}: there is nothing to compare.", "warning")
    if ratio < FAINT:
        detail = (
            f"{detail}, {1 / ratio:.0f} times as much: an optimizer will magnify "
            "noise. Shrink the forecasts, bound the weights, or minimize the risk."
            if ratio > 0
            else f"{detail}: the forecasts do not rank the tickers. Minimize the risk "
            "instead."
        )
        return Finding(False, detail, "warning")
    if ratio > LOUD:
        detail = (
            f"{detail}: that implies a correlation of {ratio:.2f} with the returns, "
            "while good forecasts reach 0.05. Check the units, look for a leak "
            "(skbatch.testing.check_no_lookahead), and shrink the forecasts."
        )
        return Finding(False, detail, "warning")
    return Finding(True, f"{detail}: a ratio of {ratio:.2f}.")
