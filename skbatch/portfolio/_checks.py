"""Single checks of forecasts and covariance, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skbatch._messages import count, date_text, format_tickers
from skbatch.batch import BatchErrorHandler
from skbatch.exceptions import PortfolioError
from skbatch.panel import check_panel
from skbatch.portfolio._aligned import match_tickers
from skbatch.portfolio._covariance import (
    check_matrix,
    check_size,
    deviations,
    read_covariance,
    span_of,
)
from skbatch.portfolio._inputs import Forecasts, percent
from skbatch.portfolio._told import with_reasons

__all__ = [
    "Finding",
    "Prices",
    "judge_covariance",
    "judge_dates",
    "judge_dispersion",
    "judge_missing",
    "judge_rate",
    "judge_stale",
]

# Standard deviation of forecasts over that of returns: below, differences are small
# against what nobody can know; above, forecasts claim to know more than they can.
FAINT, LOUD = 0.1, 0.3
HOW_TO_SAY = "pass `covariance_periods` to say it"


class Finding(NamedTuple):
    """What a check found.

    Attributes
    ----------
    ok : bool
        Whether it passed.
    detail : str
        What was found, in words.
    severity : str
        "error" if nothing should be optimised with it, "warning" if it should be known.
    """

    ok: bool
    detail: str
    severity: str = "error"


class Prices:
    """The prices that forecasts were made of, up to their date.

    Parameters
    ----------
    prices : DataFrame
        Panel of prices.
    date : object
        Last date of the forecasts; None takes all rows.
    """

    def __init__(self, prices: Any, date: Any) -> None:
        panel = check_panel(prices, warn_all_nan=False)
        self.last = panel.index[-1]
        self.date = self.last if date is None else date
        # Later prices would judge the forecasts with what they could not know.
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
        """Tell which tickers' prices stand still, ended or are wrong."""
        _, findings = BatchErrorHandler(min_history=2).screen(self.panel)
        bad = findings[findings["action"] == "quarantined"]
        bad = bad[~bad.index.duplicated()]
        return dict(zip(map(str, bad.index), bad["detail"], strict=True))


def judge_missing(forecasts: Forecasts) -> Finding:
    """Tell which tickers have no forecast."""
    total, missing = len(forecasts.values), forecasts.missing
    if not missing:
        whole = "The ticker has" if total == 1 else f"All {total} tickers have"
        return Finding(True, f"{whole} a forecast.")
    grade = "error" if len(missing) == total else "warning"
    told = with_reasons(missing)
    detail = f"{len(missing)} of {total} without forecast: {told}."
    return Finding(False, detail, grade)


def judge_covariance(
    forecasts: Forecasts,
    covariance: Any,
    periods: float | None,
    measured: pd.Series | None,
) -> tuple[dict[str, Finding], pd.Series | None]:
    """Check a covariance beside the forecasts, until something fails.

    Parameters
    ----------
    forecasts : Forecasts
        Expected returns.
    covariance : DataFrame of shape (n_tickers, n_tickers)
        The covariance.
    periods : float or None
        Rows that its returns span, if the caller says so.
    measured : Series or None
        Standard deviation of the return of a row, by ticker, measured elsewhere.

    Returns
    -------
    found : dict of str to Finding
        By name of the check.
    volatility : Series or None
        Standard deviation of the return of a row by the covariance; None if a check
        failed.
    """
    found: dict[str, Finding] = {}
    check = "labels"
    try:
        table = read_covariance(covariance)
        values, matched, excluded = match_tickers(forecasts, table)
        order = [ticker for ticker in table.columns if ticker not in excluded]
        found[check] = _judge_order(order == list(values.index), len(values))
        check = "units"
        span, said = span_of(table, periods)
        forecasts.check_periods(span)
        taken = "" if said else f" (of the covariance by default: {HOW_TO_SAY})"
        found[check] = Finding(True, f"Both over {forecasts.unit}{taken}.")
        check = "covariance"
        check_matrix(matched)
        found[check] = Finding(True, "Finite, symmetric and positive semidefinite.")
        check = "size"
        doubt = check_size(matched, span, forecasts.periods_per_year, said, measured)
        own = deviations(matched)
        found[check] = (
            Finding(False, doubt, "warning") if doubt else _judge_size(own, measured)
        )
    except PortfolioError as error:
        found[check] = Finding(False, str(error))
        return found, None
    return found, own / math.sqrt(span)


def judge_rate(forecasts: Forecasts, risk_free_rate: float | None) -> Finding:
    """Count the tickers that are expected to earn more than the risk-free rate."""
    if risk_free_rate is None:
        return Finding(True, "Not compared.")
    try:
        forecasts.check_risk_free_rate(risk_free_rate)
    except PortfolioError as error:
        return Finding(False, str(error))
    above = int((forecasts.values > risk_free_rate).sum())
    known = len(forecasts.values) - len(forecasts.missing)
    rate = percent(risk_free_rate)
    return Finding(True, f"{above} of {known} forecasts are above {rate}.")


def judge_stale(forecasts: Forecasts, prices: Prices | None) -> Finding:
    """Tell which tickers have a forecast although their prices are no news."""
    known = forecasts.values.index[np.isfinite(forecasts.values)]
    found = dict(forecasts.stale)
    if prices is not None:
        found |= prices.unusable()
    stale = {ticker: found[ticker] for ticker in known if ticker in found}
    if stale:
        told = format_tickers((f"{t} ({why})" for t, why in stale.items()), 3)
        verb = "has" if len(stale) == 1 else "have"
        detail = f"{count(len(stale))} {verb} unusable prices: {told}."
        return Finding(False, detail)
    if prices is None and not forecasts.stale:
        return Finding(True, "None is known; pass `prices` to look for them.")
    return Finding(True, "All tickers with a forecast have prices that move.")


def judge_dates(forecasts: Forecasts, prices: Prices) -> Finding:
    """Compare the date of the forecasts with the last prices."""
    if prices.panel.empty or prices.panel.index[-1] != prices.date:
        detail = (
            f"The prices have no row of {date_text(prices.date)}, the forecasts' date."
        )
        return Finding(False, detail, "warning")
    if prices.date == prices.last:
        return Finding(
            True, f"Forecasts and prices both end at {date_text(prices.last)}."
        )
    detail = (
        f"The forecasts are of {date_text(prices.date)}, and the prices go on to "
        f"{date_text(prices.last)}: forecast anew."
    )
    return Finding(False, detail, "warning")


def judge_dispersion(
    forecasts: Forecasts, volatilities: Mapping[str, pd.Series | None]
) -> Finding:
    """Compare how forecasts differ with how far returns stray from them.

    Parameters
    ----------
    forecasts : Forecasts
        Expected returns.
    volatilities : dict of str to (Series or None)
        What it was measured from → standard deviation of the return of a row, by
        ticker. The first that is known is taken.

    Returns
    -------
    Finding
        The ratio is the correlation with the returns that the forecasts claim to have
        (Grinold, 1994: alpha is volatility times IC times score).
    """
    known = forecasts.values[np.isfinite(forecasts.values)]
    horizon = forecasts.horizon or forecasts.periods
    # Forecasts are compared at their own horizon, where their uncertainty is known.
    scaled = (1 + known) ** (horizon / forecasts.periods) - 1
    if len(scaled) < 2:
        return Finding(True, "There is one ticker only.")
    spread = float(scaled.std())
    rows = count(horizon, "row")
    known_of = {name: v for name, v in volatilities.items() if v is not None}
    if not known_of:
        detail = (
            f"The forecasts differ by {percent(spread)} over {rows}. Pass `prices`, a "
            "covariance or intervals to compare that with their uncertainty."
        )
        return Finding(True, detail)
    source, volatility = next(iter(known_of.items()))
    stray = float(volatility.reindex(scaled.index).median()) * math.sqrt(horizon)
    detail = (
        f"The forecasts differ by {percent(spread)} (standard deviation over tickers) "
        f"while a typical return over {rows} strays by {percent(stray)}, by the "
        f"{source}"
    )
    return _weigh(spread / stray, detail)


def _judge_order(same: bool, n_tickers: int) -> Finding:
    """Tell whether positions would do instead of labels."""
    if same:
        return Finding(True, f"The same {count(n_tickers)} in the same order.")
    detail = (
        f"The same {count(n_tickers)}, but in another order. Optimisers go by "
        "position: hand over what to_pypfopt or to_riskfolio returns."
    )
    return Finding(False, detail, "warning")


def _judge_size(own: pd.Series, measured: pd.Series | None) -> Finding:
    """Tell the volatilities that were found plausible."""
    compared = "" if measured is None else ", as those measured"
    detail = f"Volatilities of {percent(own.min())} to {percent(own.max())}{compared}."
    return Finding(True, detail)


def _weigh(ratio: float, detail: str) -> Finding:
    """Say what it means for an optimiser."""
    if not math.isfinite(ratio):
        return Finding(False, f"{detail}: there is nothing to compare.", "warning")
    if ratio < FAINT:
        detail = (
            f"{detail}, {1 / ratio:.0f} times as far: an optimiser will magnify noise. "
            "Shrink the forecasts, bound the weights, or minimise the risk."
            if ratio > 0
            else f"{detail}: they do not tell the tickers apart. Minimise the risk."
        )
        return Finding(False, detail, "warning")
    if ratio > LOUD:
        detail = (
            f"{detail}: that claims a correlation of {ratio:.2f} with what happens, "
            "where good forecasts reach 0.05. Check the units, look for a leak "
            "(skbatch.testing.check_no_lookahead), and shrink the forecasts."
        )
        return Finding(False, detail, "warning")
    return Finding(True, f"{detail}: a ratio of {ratio:.2f}.")
