"""The forecast of every ticker, with its uncertainty and provenance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from skbatch._messages import date_text, describe_delay
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.panel.engine import describe_rows


@dataclass(frozen=True)
class ForecastResult:
    """Forecasts at one date.

    Attributes
    ----------
    date : Timestamp or int
        The last date whose prices the forecasts use.
    horizon : int or tuple of int
        Rows ahead.
    expected_returns : Series of shape (n_tickers,)
        Expected simple return over the horizon, not annualized, by ticker ((horizon,
        ticker) for several horizons); NaN where there is none.
    provenance : DataFrame of shape (n_tickers, 3)
        ``model``: class name of the forecaster behind the number, or ``"none"``;
        ``batch``: name of the batch that the ticker was fitted in; ``reason``: why the
        first choice could not serve, empty where it did.
    performance : BatchPerformanceMonitor
        Time, memory, fallback rate and recommendations of the run.
    periods_per_year : float, default=NaN
        Rows that make a year by the dates of the fitted panel, see
        :func:`~skbatch.panel.periods_per_year`; NaN if the dates do not show it.
    stale : dict of str to str
        Ticker → since when its prices have ended or stopped changing.
    uncertainty : DataFrame of shape (n_tickers, 4)
        ``lower`` and ``upper``, between which the return over the horizon should be
        with the system's `coverage`; ``volatility``, its expected standard deviation
        over the horizon; ``p_positive``, the probability of a gain. Several coverages
        have ``lower_80``, ``upper_80`` and so on. NaN where that is not known.
    uncalibrated : dict
        Label of a forecast without uncertainty → why.
    delay : int, default=0
        Rows from the date to the close at which the expected returns start.
    missing_signals : dict of str to str
        Ticker → which of the signals it lacks at this date, and since when. It is
        forecast from the others.
    relative_to : str, default=""
        What the returns that the first choice learned are relative to, such as
        ``"beta × the market"``; see ``relative`` of
        :class:`~skbatch.forecasting.ReturnTarget`. Expected returns are absolute: the
        expectation of this part is added back.
    """

    date: Any
    horizon: int | tuple[int, ...]
    expected_returns: pd.Series
    provenance: pd.DataFrame
    performance: BatchPerformanceMonitor
    periods_per_year: float = float("nan")
    stale: dict[str, str] = field(default_factory=dict)
    uncertainty: pd.DataFrame = field(default_factory=pd.DataFrame)
    uncalibrated: dict[Any, str] = field(default_factory=dict)
    delay: int = 0
    missing_signals: dict[str, str] = field(default_factory=dict)
    relative_to: str = ""

    @property
    def interval(self) -> pd.DataFrame:
        """Columns ``lower`` and ``upper`` of the system's first coverage."""
        bounds = self.uncertainty.iloc[:, :2].set_axis(["lower", "upper"], axis=1)
        bounds.attrs["coverage"] = self.uncertainty.attrs.get("coverage")
        if not isinstance(self.horizon, tuple):
            bounds.attrs["horizon"] = self.horizon
        return bounds

    def to_frame(self) -> pd.DataFrame:
        """Tabulate forecasts, uncertainty and provenance.

        Returns
        -------
        DataFrame of shape (n_tickers, 8)
            Columns ``expected_return``, ``lower``, ``upper``, ``volatility``,
            ``p_positive``, ``model``, ``batch`` and ``reason``, which also states why
            a forecast has no interval, and which signals a ticker lacks; ``attrs``
            hold ``horizon``, ``delay`` and ``relative_to``.
        """
        returns = self.expected_returns.rename("expected_return")
        table = pd.concat([returns, self.uncertainty, self.provenance], axis=1)
        added = pd.Series(self.uncalibrated, dtype=object).reindex(table.index)
        lacking = added.notna()
        reasons = table.loc[lacking, "reason"] + "; no interval: " + added[lacking]
        table.loc[lacking, "reason"] = reasons.str.removeprefix("; ")
        for ticker, missing in self.missing_signals.items():
            use = table.index.get_level_values(-1) == ticker
            reasons = table.loc[use, "reason"] + "; " + missing
            table.loc[use, "reason"] = reasons.str.removeprefix("; ")
        table.attrs = {"horizon": self.horizon, "delay": self.delay}
        table.attrs["relative_to"] = self.relative_to
        return table

    def __len__(self) -> int:
        return len(self.expected_returns)

    def __repr__(self) -> str:
        n_known = int(self.expected_returns.notna().sum())
        models = self.provenance["model"].value_counts().to_dict()
        served = ", ".join(f"{count} by {model}" for model, count in models.items())
        return (
            f"ForecastResult: {n_known} of {len(self)} expected returns at "
            f"{date_text(self.date)} over "
            f"{describe_rows(self.horizon, self.periods_per_year)}"
            f"{describe_delay(self.delay)} ({served})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.to_frame().to_html(max_rows=20)}"
