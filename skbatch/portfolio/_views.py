"""Forecasts as views of Black and Litterman, as confident as their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import count, warn_user
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.forecasting import PredictionInterval
from skbatch.forecasting.engine import check_coverage
from skbatch.portfolio._alignment import Alignment
from skbatch.portfolio._expected import ExpectedReturns, with_reasons
from skbatch.portfolio._inputs import Forecasts, read_expected
from skbatch.portfolio._interval import interval_deviations, read_interval


@dataclass(frozen=True)
class BlackLittermanViews:
    """Absolute views with their uncertainty, for skfolio and PyPortfolioOpt."""

    views: pd.Series
    omega: pd.Series
    confidences: pd.Series
    tau: float
    periods: float
    excluded: dict[str, str]

    def skfolio(self) -> dict[str, Any]:
        """Return the keywords of :class:`skfolio.prior.BlackLitterman`."""
        # repr keeps every digit of a float.
        views = [f"{ticker} = {float(view)!r}" for ticker, view in self.views.items()]
        confidences = self.confidences.to_numpy().copy()
        return {"views": views, "view_confidences": confidences, "tau": self.tau}

    def pypfopt(self) -> dict[str, Any]:
        """Return the keywords of :class:`pypfopt.BlackLittermanModel`."""
        views = {ticker: float(view) for ticker, view in self.views.items()}
        omega = np.diag(self.omega.to_numpy())
        return {"absolute_views": views, "omega": omega, "tau": self.tau}

    def to_frame(self) -> pd.DataFrame:
        """Tabulate views beside their uncertainty."""
        return pd.DataFrame(
            {"view": self.views, "omega": self.omega, "confidence": self.confidences}
        )

    def __repr__(self) -> str:
        return (
            f"BlackLittermanViews: {count(len(self.views), 'view')} over "
            f"{self.periods:g} rows, confidences from {self.confidences.min():.3g} to "
            f"{self.confidences.max():.3g}"
        )


def black_litterman_views(
    result: Forecasts,
    covariance: pd.DataFrame,
    *,
    interval: pd.DataFrame | PredictionInterval | None = None,
    coverage: float | None = None,
    tau: float = 0.05,
    covariance_periods: float | None = None,
    returns_periods: float | None = None,
) -> BlackLittermanViews:
    r"""Convert forecasts to views, with less confidence where intervals are wider.

    Parameters
    ----------
    result : ForecastResult, ExpectedReturns, Series or dict
        Expected simple returns by ticker. Tickers without one have no view.
    covariance : DataFrame of shape (n_tickers, n_tickers)
        Covariance of the prior, with tickers in rows and columns; it may hold others
        than `result`. A confidence compares the width of an interval with it.
    interval : DataFrame or PredictionInterval, default=None
        Bounds of the returns over the horizon: columns ``lower`` and ``upper`` by
        ticker, or what
        :meth:`BatchForecastingSystem.predict_interval
        <skbatch.BatchForecastingSystem.predict_interval>` gives, of which the last
        row is taken. None takes those of an :class:`ExpectedReturns`. Where neither
        ``attrs["horizon"]`` nor `result` has the horizon, it is what `result` spans.
    coverage : float, default=None
        Share of the returns, between 0 and 1, that the intervals should contain. None
        takes ``attrs["coverage"]`` of the interval.
    tau : float, default=0.05
        Uncertainty of the prior in units of the covariance, in (0, 1].
    covariance_periods : float, default=None
        Rows that the returns of `covariance` span: 1 in skfolio, 252 for annual ones
        of weekdays, as in PyPortfolioOpt. None takes ``covariance.attrs["periods"]``,
        else 252 if the size of the variances is plausible for it. Views are over as
        many rows.
    returns_periods : float, default=None
        Rows that `result` spans, where it is a Series or dict without that information.

    Returns
    -------
    BlackLittermanViews
        One view for each ticker with a forecast, an interval and a variance.

    Raises
    ------
    PortfolioError
        If there is no interval, its coverage is not known, it is over another horizon
        than the forecasts, `covariance` has no labels,
        lacks tickers of `result` or has other units, or no view is left.
    ValueError
        If `coverage` or `tau` is out of range.

    Warns
    -----
    PortfolioWarning
        Once, naming the tickers without a view, and why.

    Notes
    -----
    The interval of coverage c over h rows is taken for that of a normal variable, whose
    standard deviation is s = (upper − lower) / (2 z) with
    :math:`z = \Phi^{-1}((1 + c) / 2)`. It measures how far the *realized* return
    deviates from the forecast, so the view is on that return, with the error variance
    :math:`\omega = s^2 k / h` over the k rows of the covariance. Idzorek's confidence
    [1]_, in the closed form that skfolio and PyPortfolioOpt use [2]_, is

    .. math:: \frac{\tau \sigma^2}{\tau \sigma^2 + \omega}

    with the ticker's variance :math:`\sigma^2` over k rows. He and Litterman [3]_
    set :math:`\omega = \tau \sigma^2`, a confidence of a half for every view. Here it
    takes an interval as narrow as :math:`s = \sigma_h \sqrt\tau` for that. Where the
    interval is as wide as the volatility :math:`\sigma_h` over the horizon, the
    forecast explains nothing of the return, and its confidence is
    :math:`\tau / (1 + \tau)`, that of a single observed return.

    References
    ----------
    .. [1] Idzorek, T. (2007). A step-by-step guide to the Black–Litterman model. In
       Forecasting Expected Returns in the Financial Markets, 17–38.
       https://doi.org/10.1016/B978-075068321-0.50003-0
    .. [2] Walters, J. (2014). The Black–Litterman model in detail.
       https://doi.org/10.2139/ssrn.1314585
    .. [3] He, G. and Litterman, R. (1999). The intuition behind Black–Litterman model
       portfolios. https://doi.org/10.2139/ssrn.334304

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.portfolio import black_litterman_views
    >>> expected = pd.Series({"A": 0.001, "B": 0.002})
    >>> interval = pd.DataFrame({"lower": [-0.03, -0.01], "upper": [0.032, 0.014]},
    ...                         index=["A", "B"])
    >>> covariance = pd.DataFrame([[4e-4, 1e-4], [1e-4, 4e-4]], ["A", "B"], ["A", "B"])
    >>> views = black_litterman_views(expected, covariance, returns_periods=1,
    ...                               covariance_periods=1, interval=interval,
    ...                               coverage=0.9)
    >>> views.confidences.round(3).to_dict()
    {'A': 0.053, 'B': 0.273}
    >>> views.skfolio()["views"]
    ['A = 0.001', 'B = 0.002']
    """
    if not isinstance(tau, Real) or not 0 < tau <= 1:
        raise ValueError(
            f"`tau` must be above 0 and at most 1. Got {tau!r}. Pass 0.05, or 1 over "
            "the number of rows that the covariance was estimated on."
        )
    expected = read_expected(result, returns_periods)
    deviation, horizon = _read_interval(
        expected.interval if interval is None else interval, coverage, expected
    )
    measured = expected.past_volatility
    alignment = Alignment(
        expected,
        covariance,
        covariance_periods,
        volatility=(deviation / math.sqrt(horizon)).to_frame().T
        if measured is None
        else measured,
        unusable=_unusable(expected, deviation),
        allow_more=True,
    )
    # Views are converted to what the covariance spans.
    alignment.match_labels()
    alignment.span()
    alignment.check_matrix()
    size = alignment.compare_sizes()
    values, periods = alignment.values, alignment.span_
    omega = deviation[values.index] ** 2 * periods / horizon
    prior = tau * alignment.deviations**2
    growth = np.log1p(values) * periods / expected.periods
    _warn("" if size.ok else size.detail, alignment.excluded)
    return BlackLittermanViews(
        np.expm1(growth).rename("view"),
        omega.rename("omega"),
        (prior / (prior + omega)).rename("confidence"),
        float(tau),
        periods,
        alignment.excluded,
    )


def _read_interval(
    interval: Any, coverage: float | None, expected: ExpectedReturns
) -> tuple[pd.Series, float]:
    """Return the spread of returns around forecasts, by ticker, and its rows."""
    if interval is None:
        raise PortfolioError(
            "Views must be made from intervals. Got forecasts without them. Create "
            "them with robust_forecast_returns(..., coverage=0.9), or of the forecasts "
            "of a system whose forecaster is calibrated."
        )
    table = read_interval(interval)
    horizon, known = expected.horizon, table.attrs.get("horizon")
    if horizon is not None and known is not None and horizon != known:
        raise PortfolioError(
            "`interval` must be over the horizon of the forecasts. Got intervals over "
            f"{known} rows, and forecasts of {horizon}. Pass those of the same system."
        )
    share = _coverage(coverage, table.attrs.get("coverage"))
    return interval_deviations(table, share), known or horizon or expected.periods


def _coverage(given: float | None, known: float | None) -> float:
    """Choose between the interval's own coverage and the caller's."""
    if given is None and known is None:
        raise PortfolioError(
            "The coverage of the intervals must be known. "
            "Got intervals without it. Pass coverage=0.9 if they cover 90%."
        )
    if given is not None:
        check_coverage(given)
    if given is not None and known is not None and not math.isclose(given, known):
        raise PortfolioError(
            f"`coverage` must be that of the intervals, {known:g}. Got {given:g}. "
            "Leave it out."
        )
    return float(given if known is None else known)  # type: ignore[arg-type]


def _unusable(expected: ExpectedReturns, deviation: pd.Series) -> dict[str, str]:
    """Find the tickers with a forecast but no view, with the reason."""
    excluded = {}
    for ticker, value in expected.items():
        width = deviation.get(ticker, np.nan)
        if not math.isfinite(value):
            continue
        if not width > 0 or not math.isfinite(width):
            excluded[ticker] = "no interval with a width"
        elif value <= -1:
            excluded[ticker] = "a forecast of -100% or less cannot be compounded"
    return excluded


def _warn(doubt: str, excluded: Mapping[str, str]) -> None:
    """Warn once of what is doubtful, and of tickers without a view."""
    sentences = [doubt] if doubt else []
    if excluded:
        sentences.append(
            f"There is no view on {count(len(excluded))}: {with_reasons(excluded)}. "
            "Returns without a view follow the prior and the views on the others."
        )
    if sentences:
        warn_user(" ".join(sentences), PortfolioWarning)
