"""Expected returns as a dict that knows its units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd

from skbatch._messages import count, date_text, format_tickers, warn_user
from skbatch.batch import ForecastResult
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.forecasting import PredictionInterval
from skbatch.panel import check_panel
from skbatch.panel.engine import WEEKDAYS_PER_YEAR, PanelLike
from skbatch.portfolio._interval import read_interval
from skbatch.portfolio._window_volatility import window_volatility

PROVENANCE = ["model", "batch", "reason"]
# Years of 250, 252 and 260 weekdays are all in use; 252 and 365 must not pass.
SAME_SPAN = 0.05


class ExpectedReturns(dict[str, float]):
    """Expected simple returns by ticker, with their date, horizon and units.

    A dict in every respect: ``pd.Series(expected)``, ``json.dumps(expected)`` and
    ``expected["AAPL"]`` work.

    Parameters
    ----------
    values : mapping of str to float
        Ticker → expected simple return; NaN where there is none.
    date : Timestamp or int, default=None
        Last date whose prices were used; None if it is not known.
    horizon : int, default=None
        Rows that the forecast looks ahead; None if it is not known.
    periods_per_year : float, default=NaN
        Rows that make a year in the calendar of the data; NaN if it is not known.
    annualized : bool, default=False
        Whether the values are returns of a year; else of `horizon` rows.
    provenance : DataFrame of shape (n_tickers, 3), default=None
        ``model``, ``batch`` and ``reason`` of every ticker, as in
        :class:`~skbatch.batch.ForecastResult`; None leaves them empty.
    interval : DataFrame of shape (n_tickers, 2), default=None
        ``lower`` and ``upper`` end of the return over `horizon` rows, annualized or
        not; None if the forecaster gives no intervals.
    stale : mapping of str to str, default=None
        Ticker → why its prices count as ended or unchanged.
    volatility : Series or DataFrame, default=None
        Standard deviation of the simple return of one row, by ticker, NaN where it is
        not known; a covariance is compared with it. A DataFrame of shape (n_windows,
        n_tickers) holds it for several windows of the past, the last year first. None
        if it was not measured.
    periods : float, default=None
        Rows that a return spans, if neither `horizon` nor `annualized` determines it.

    Attributes
    ----------
    date, horizon, periods_per_year, annualized, provenance, interval, stale
        As above; `stale` is an empty dict for None.
    past_volatility : DataFrame of shape (n_windows, n_tickers) or None
        Standard deviation of the return of one row, over windows of the past.

    Notes
    -----
    With P rows in a year, an expected return r over h rows is annualized as
    (1 + r)^(P / h) − 1: the expectation of a year of independent horizons that are all
    expected to return r. It puts forecasts into the units of annual covariances; it
    does not forecast a year, and enlarges the error of a forecast P / h times and
    more.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.portfolio import ExpectedReturns
    >>> reasons = pd.DataFrame(
    ...     {"model": ["HistoricalMeanForecaster"], "batch": ["1"], "reason": [""]},
    ...     index=["AAPL"],
    ... )
    >>> monthly = ExpectedReturns(
    ...     {"AAPL": 0.01}, date=pd.Timestamp("2024-01-31"), horizon=21,
    ...     periods_per_year=252, annualized=False, provenance=reasons,
    ... )
    >>> round(monthly.in_units(annualized=True)["AAPL"], 4)
    0.1268
    """

    def __init__(
        self,
        values: Mapping[str, float],
        *,
        date: Any = None,
        horizon: int | None = None,
        periods_per_year: float = math.nan,
        annualized: bool = False,
        provenance: pd.DataFrame | None = None,
        interval: pd.DataFrame | None = None,
        stale: Mapping[str, str] | None = None,
        volatility: pd.Series | pd.DataFrame | None = None,
        periods: float | None = None,
    ) -> None:
        super().__init__({ticker: float(value) for ticker, value in values.items()})
        if provenance is None:
            index = pd.Index(list(self), name="ticker", dtype=object)
            provenance = pd.DataFrame("", index, PROVENANCE, dtype=object)
        if isinstance(volatility, pd.Series):
            volatility = volatility.to_frame().T
        self.date = date
        self.horizon = horizon
        self.periods_per_year = float(periods_per_year)
        self.annualized = annualized
        self.provenance = provenance
        self.interval = interval
        self.stale = dict(stale or {})
        self.past_volatility = volatility
        self._periods = periods

    @classmethod
    def of(
        cls,
        result: ForecastResult,
        *,
        annualize: bool = True,
        periods_per_year: float | None = None,
        interval: pd.DataFrame | PredictionInterval | None = None,
        prices: PanelLike | None = None,
    ) -> Self:
        """Select the expected returns of a forecast.

        Parameters
        ----------
        result : ForecastResult
            Forecasts over one horizon.
        annualize : bool, default=True
            Whether to annualize them; else they stay returns over the horizon.
        periods_per_year : float, default=None
            Rows in a year; by default, derived from the dates of the panel.
        interval : DataFrame or PredictionInterval, default=None
            ``lower`` and ``upper`` end of the return over the horizon by ticker, or
            what :meth:`BatchForecastingSystem.predict_interval
            <skbatch.BatchForecastingSystem.predict_interval>` gives, of which the last
            row is taken. None takes the bounds that `result` has.
        prices : DataFrame of shape (n_dates, n_tickers), default=None
            Prices that the forecast was made of, to measure the volatilities that a
            covariance is compared with; rows after its date are not used.

        Returns
        -------
        ExpectedReturns
            One number for each ticker of `result`.

        Raises
        ------
        PortfolioError
            If there are several horizons, or it is not known how many rows make a
            year.
        ValueError
            If `periods_per_year` is not a positive number.

        Warns
        -----
        PortfolioWarning
            If returns are annualized without dates, which takes 252 rows for a year.
        """
        horizon = _one_horizon(result.horizon)
        returns, provenance = result.expected_returns, result.provenance
        if returns.index.nlevels > 1:
            returns = returns.droplevel(0)
            provenance = provenance.droplevel(0)
        if periods_per_year is None:
            year = _year_of(result, annualize)
        else:
            year = check_periods_per_year(periods_per_year)
        expected = cls(
            {str(ticker): value for ticker, value in returns.items()},
            date=result.date,
            horizon=horizon,
            periods_per_year=year,
            annualized=False,
            provenance=provenance,
            interval=_interval_of(result)
            if interval is None
            else read_interval(interval),
            stale=result.stale,
            volatility=None if prices is None else _volatility(prices, result.date),
        )
        return expected.in_units(annualized=annualize)

    @property
    def periods(self) -> float:
        """Rows that a return spans: the horizon, or those of a year."""
        span = self.periods_per_year if self.annualized else self.horizon
        return float((span if self._periods is None else self._periods) or math.nan)

    @property
    def unit(self) -> str:
        """What the returns span, in words."""
        if self.is_of_a_year:
            return f"a year of {self.periods:g} rows"
        return count(self.periods, "row")

    @property
    def is_of_a_year(self) -> bool:
        """Whether the returns span a year."""
        return same_span(self.periods, self.periods_per_year)

    @property
    def missing(self) -> dict[str, str]:
        """Tickers without a finite expected return, each with the reason."""
        reasons = self.provenance["reason"]
        return {
            ticker: str(reasons.get(ticker, "")) or "no forecast"
            for ticker, value in self.items()
            if not math.isfinite(value)
        }

    @property
    def volatility(self) -> pd.Series | None:
        """Standard deviation of one row's return over the last year, by ticker."""
        table = self.past_volatility
        return None if table is None else table.iloc[0].rename("volatility")

    def in_units(self, *, annualized: bool) -> Self:
        """Convert to annual returns, or to returns over the horizon.

        Parameters
        ----------
        annualized : bool
            Whether the result is annual.

        Returns
        -------
        ExpectedReturns
            A converted copy. A return that has no finite counterpart, such as one
            below −100%, is NaN, with the reason in its provenance.

        Raises
        ------
        PortfolioError
            If it is not known how many rows make a year.
        """
        values = np.array(list(self.values()), dtype=np.float64)
        provenance = self.provenance.copy()
        if annualized != self.annualized:
            if self.horizon is None:
                raise PortfolioError(
                    "The horizon must be known to convert returns. Got None. Pass "
                    "`horizon` to ExpectedReturns."
                )
            year = _known_year(self.periods_per_year)
            power = year / self.horizon if annualized else self.horizon / year
            converted = _compounded(values, power)
            for ticker, old, new in zip(self, values, converted, strict=True):
                if math.isfinite(old) and not math.isfinite(new):
                    why = f"a return of {100 * old:.4g}% cannot be compounded"
                    provenance.loc[ticker, "reason"] = why
            values = converted
        return type(self)(
            dict(zip(self, values.tolist(), strict=True)),
            date=self.date,
            horizon=self.horizon,
            periods_per_year=self.periods_per_year,
            annualized=annualized,
            provenance=provenance,
            interval=None if self.interval is None else self.interval.copy(),
            stale=self.stale,
            volatility=self.past_volatility,
        )

    def to_series(self) -> pd.Series:
        """Put the returns into a Series.

        Returns
        -------
        Series of shape (n_tickers,)
            Named ``"expected_return"``, by ticker; ``attrs`` hold ``date``,
            ``horizon``, ``periods_per_year`` and ``annualized``.
        """
        index = pd.Index(list(self), name="ticker", dtype=object)
        values = list(self.values())
        series = pd.Series(values, index, np.float64, name="expected_return")
        series.attrs = {
            "date": self.date,
            "horizon": self.horizon,
            "periods_per_year": self.periods_per_year,
            "annualized": self.annualized,
        }
        return series

    def to_frame(self) -> pd.DataFrame:
        """Put returns and provenance side by side.

        Returns
        -------
        DataFrame of shape (n_tickers, 4) or (n_tickers, 6)
            Columns ``expected_return``, ``model``, ``batch`` and ``reason``, then
            ``lower`` and ``upper`` over the horizon if there are intervals.
        """
        parts = [self.to_series().to_frame(), self.provenance.reindex(list(self))]
        if self.interval is not None:
            parts.append(self.interval.reindex(list(self)))
        return pd.concat(parts, axis=1)

    def __repr__(self) -> str:
        n_known = sum(map(math.isfinite, self.values()))
        unit = f"over {self.unit}"
        if self.annualized and self.horizon is not None:
            span = count(self.horizon, "row")
            unit = f"per year of {self.periods_per_year:g} rows, from {span} ahead"
        date = "" if self.date is None else f" at {date_text(self.date)}"
        return f"ExpectedReturns: {n_known} of {count(len(self))}{date}, {unit}"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.to_frame().to_html(max_rows=20)}"


def same_span(first: float, second: float) -> bool:
    """Whether returns span the same, up to the conventions of a year."""
    return math.isclose(first, second, rel_tol=SAME_SPAN)


def percent(value: float) -> str:
    """Format a return as percent."""
    return f"{100 * value:.3g}%"


def with_reasons(reasons: Mapping[str, str]) -> str:
    """Name tickers, each with its reason."""
    return format_tickers(f"{t} ({reason})" for t, reason in reasons.items())


def check_periods_per_year(value: Any) -> float:
    """Raise unless a value is a positive number."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < math.inf:
        raise ValueError(
            f"`periods_per_year` must be a positive number. Got {value!r}. For "
            "example, pass 252 for daily prices of weekdays, or None to derive it from "
            "the dates."
        )
    return float(value)


def _known_year(number: float) -> float:
    """Raise if returns cannot be annualized because the rows of a year are unknown."""
    if not math.isfinite(number):
        raise PortfolioError(
            "The number of rows in a year must be known. Got dates that do not show "
            "it. Pass `periods_per_year`, such as 252 for daily prices of weekdays, or "
            "annualize=False."
        )
    return number


def warn_without_dates() -> None:
    """Warn that the rows of a year are only a convention."""
    warn_user(
        "The rows must have dates to show how many make a year. Got row numbers, which "
        f"are assumed to be weekdays, {WEEKDAYS_PER_YEAR:g} a year. Pass "
        "`periods_per_year`.",
        PortfolioWarning,
    )


def _one_horizon(horizon: int | tuple[int, ...]) -> int:
    """Select the horizon, if there is one."""
    if not isinstance(horizon, tuple):
        return int(horizon)
    if len(horizon) == 1:
        return int(horizon[0])
    raise PortfolioError(
        "An optimizer needs expected returns over one horizon. Got the horizons "
        f"{', '.join(map(str, horizon))}. Forecast with one, such as "
        f"horizon={horizon[0]}, or pass result.expected_returns[{horizon[0]}] as a "
        "Series."
    )


def _interval_of(result: ForecastResult) -> pd.DataFrame | None:
    """Select the bounds that come with forecasts, if there are some."""
    if result.uncertainty.notna().to_numpy().any():
        interval = read_interval(result.interval)
        if interval.index.nlevels > 1:
            interval = interval.droplevel(0)
        interval.index = interval.index.map(str)
        return interval
    return None


def _year_of(result: ForecastResult, annualize: bool) -> float:
    """Return the rows of a year, with a warning if that is only a convention."""
    has_dates = isinstance(result.date, pd.Timestamp | pd.Period)
    if annualize and not has_dates:
        warn_without_dates()
    return result.periods_per_year


def _volatility(prices: Any, date: Any) -> pd.DataFrame:
    """Measure volatilities up to a date."""
    return window_volatility(check_panel(prices, warn_all_nan=False).loc[:date])


def _compounded(returns: np.ndarray, power: float) -> np.ndarray:
    """Return of `power` periods, NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        growth = np.expm1(power * np.log1p(np.maximum(returns, -1.0)))
    usable = np.isfinite(growth) & (returns >= -1)
    return np.where(usable, growth, np.nan)
