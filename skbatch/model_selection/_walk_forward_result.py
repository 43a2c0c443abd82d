"""What a walk through time has shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._writing import write_whole
from skbatch.metrics import quantile_returns, rank_information_coefficient_series
from skbatch.model_selection._backtest import TradingCosts, backtest
from skbatch.model_selection._backtest_result import BacktestResult
from skbatch.model_selection._paired_tests import DERIVED, EQUAL_WEIGHT, ZERO, compare
from skbatch.model_selection._scorecard import decay_table, score_card
from skbatch.model_selection._skill_breakdown import SkillBreakdownMixin
from skbatch.model_selection._verdict import describe
from skbatch.panel.engine import with_final_values

HISTORICAL_MEAN = "historical mean"


@dataclass(frozen=True, eq=False)
class WalkForwardResult(SkillBreakdownMixin):
    """Out-of-sample forecasts of a walk-forward, with their scores.

    Parameters
    ----------
    name : str
        What the forecaster is called in tables.
    horizon : int or tuple of int
        Horizon of forecasts and returns, in rows.
    forecasts : DataFrame of shape (n_dates, n_tickers)
        Out-of-sample forecasts, expected simple returns over the horizon; NaN where
        there is none. With several horizons, columns are (horizon, ticker).
    benchmarks : dict of str to DataFrame
        Forecasts of the benchmarks on the same dates, by name; of those that only rank
        tickers, such as momentum, the numbers that they rank by.
    closes : DataFrame of shape (n_rows, n_tickers)
        Closing prices from the first forecast to the end of the panel.
    provenance : DataFrame of the shape of `forecasts`
        Name of the model behind each forecast, ``"none"`` where it is NaN.
    refits : DataFrame of shape (n_refits, 8)
        One row per refit, indexed by the first date it forecasts: the training
        window's first and last date and number of rows, the last date it forecasts
        and the number of dates, seconds of fit and predict, and share of forecasts
        that are not of the first choice.
    reasons : DataFrame
        Tickers not served by the primary model, by (refit, ticker) or
        (refit, horizon, ticker), with columns model and reason.
    first_choice : tuple of str
        Names in `provenance` that are no fallback.
    estimator : estimator
        The estimator as fitted last.
    n_quantiles : int, default=5
        Bins of the quantile returns.
    ranking_rules : tuple of str, default=()
        Names of the benchmarks that only rank tickers.
    members : DataFrame of bool of shape (n_dates, n_tickers), default=None
        Who belongs to the universe; the returns of others are not scored. None takes
        all.
    prices : DataFrame, default=None
        Closes of the whole panel, and volumes if it has them; None takes `closes`.
    n_trials : int, default=1
        Number of forecasters that were tried before this one was chosen, itself
        included.
    attrs : dict
        Number of rows and tickers of the panel, and whether features were shared.
    delay : int, default=0
        Rows from the date of a forecast to the close at which it is traded.
    quantiles : dict of float to DataFrame
        Level (0.05, 0.25, 0.5, 0.75 and 0.95) → forecasts of that quantile, tables
        like `forecasts`, adjusted from date to date by the returns known since the
        refit; empty if the forecaster has none.
    delisting_return : float or Series, default=None
        Final return of tickers whose prices end; None if these are missing.

    Attributes
    ----------
    returns : DataFrame of the shape of `forecasts`
        Realized simple returns; NaN where a price is missing or not known yet.
    scorecard : DataFrame
        One row per forecaster, ``(horizon, forecaster)`` for several horizons.
    """

    name: str
    horizon: int | tuple[int, ...]
    forecasts: pd.DataFrame
    benchmarks: dict[str, pd.DataFrame]
    closes: pd.DataFrame
    provenance: pd.DataFrame
    refits: pd.DataFrame
    reasons: pd.DataFrame
    first_choice: tuple[str, ...] = ()
    estimator: BaseEstimator | None = None
    n_quantiles: int = 5
    ranking_rules: tuple[str, ...] = ()
    members: pd.DataFrame | None = None
    prices: pd.DataFrame | None = None
    n_trials: int = 1
    attrs: dict[str, Any] = field(default_factory=dict)
    delay: int = 0
    quantiles: dict[float, pd.DataFrame] = field(default_factory=dict)
    delisting_return: float | pd.Series | None = None

    @property
    def horizons(self) -> tuple[int, ...]:
        """All horizons, in rows."""
        return self.horizon if isinstance(self.horizon, tuple) else (self.horizon,)

    @cached_property
    def returns(self) -> pd.DataFrame:
        """Realized simple returns on the dates of the forecasts."""
        parts = {h: self._returns_after(h, self.delay) for h in self.horizons}
        if isinstance(self.horizon, int):
            table = parts[self.horizon]
        else:
            table = pd.concat(parts, axis=1)
        table.columns = self.forecasts.columns
        table.attrs |= {"horizon": self.horizon, "delay": self.delay}
        return table

    def _returns_after(self, horizon: int, delay: int) -> pd.DataFrame:
        """Realized returns over a horizon that starts some rows after each forecast."""
        closes = self.closes
        values, final = closes.to_numpy(), self.delisting_return
        values = with_final_values(values, closes.columns, final)
        ends = pd.DataFrame(values, closes.index, closes.columns)
        later = ends.shift(-delay - horizon) / closes.shift(-delay) - 1
        later = later.reindex(self.forecasts.index)
        return later if self.members is None else later.where(self.members)

    @cached_property
    def scorecard(self) -> pd.DataFrame:
        """Scores of the forecasts and of all benchmarks.

        See :func:`~skbatch.walk_forward` for the columns.
        """
        cards = {}
        for horizon in self.horizons:
            returns = self.of_horizon(self.returns, horizon)
            mean = self.benchmarks.get(HISTORICAL_MEAN)
            mean = None if mean is None else self.of_horizon(mean, horizon)
            for name, table in self.named_forecasts():
                forecasts = self.of_horizon(table, horizon)
                cards[horizon, name] = score_card(
                    returns,
                    forecasts,
                    mean,
                    horizon,
                    self.n_quantiles,
                    has_size=name not in self.ranking_rules,
                )
        table = pd.DataFrame.from_dict(cards, orient="index")
        table.index = pd.MultiIndex.from_tuples(cards, names=["horizon", "forecaster"])
        table = table.astype({"n_dates": int})
        return table if len(self.horizons) > 1 else table.droplevel("horizon")

    def cards(self, horizon: int | None = None) -> pd.DataFrame:
        """Select the scorecard of one horizon.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.

        Returns
        -------
        DataFrame of shape (n_forecasters, n_scores)
            Indexed by forecaster.
        """
        if isinstance(self.horizon, int):
            return self.scorecard
        horizon = self.horizons[0] if horizon is None else horizon
        return self.scorecard.loc[[horizon]].droplevel("horizon")

    def named_forecasts(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Return the forecasts, those of each benchmark, and zero.

        Yields
        ------
        name : str
            The forecaster's name.
        forecasts : DataFrame of shape (n_dates, n_tickers)
            Its forecasts.
        """
        yield self.name, self.forecasts
        yield from self.benchmarks.items()
        if HISTORICAL_MEAN in self.benchmarks:
            yield EQUAL_WEIGHT, _alike(self.benchmarks[HISTORICAL_MEAN], self)
        yield ZERO, pd.DataFrame(0.0, self.forecasts.index, self.forecasts.columns)

    def of_horizon(
        self, table: pd.DataFrame, horizon: int | None = None
    ) -> pd.DataFrame:
        """Select the columns of one horizon.

        Parameters
        ----------
        table : DataFrame of the shape of `forecasts`
            Such as `forecasts`, `returns` or `provenance`.
        horizon : int, default=None
            One of `horizons`; None is the first.

        Returns
        -------
        DataFrame of shape (n_dates, n_tickers)
            Columns are tickers.

        Raises
        ------
        ValueError
            If there are no forecasts of this horizon.
        """
        horizon = self.horizons[0] if horizon is None else horizon
        if horizon not in self.horizons:
            raise ValueError(
                f"`horizon` must be one of {self.horizons}. Got {horizon!r}. Walk "
                "forward with this horizon, too."
            )
        return table if isinstance(self.horizon, int) else pd.DataFrame(table[horizon])

    def rank_ic(self, horizon: int | None = None) -> pd.DataFrame:
        """Compute the rank IC of each date.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.

        Returns
        -------
        DataFrame of shape (n_dates, n_forecasters)
            One column per forecaster, NaN where forecasts do not differ.
        """
        returns = self.of_horizon(self.returns, horizon)
        return pd.DataFrame(
            {
                name: rank_information_coefficient_series(
                    returns, self.of_horizon(table, horizon)
                )
                for name, table in self.named_forecasts()
                if name not in DERIVED
            }
        )

    def paired_tests(
        self, horizon: int | None = None, *, n_resamples: int = 0
    ) -> pd.DataFrame:
        """Test whether forecasts are better than those of each benchmark.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.
        n_resamples : int, default=0
            Resamples of the stationary block bootstrap, such as 2,000; 0 tests by
            Newey–West standard errors.

        Returns
        -------
        DataFrame of shape (3 * n_benchmarks, 8)
            Indexed by (benchmark, score), with scores rank_ic, squared_error and
            spread. Columns are the mean difference over dates, positive where the
            forecasts are better; its t_statistic and the value critical_t beyond which
            that is significant; the bounds lower and upper of its 95% confidence
            interval; p_value; n_dates; and p_holm, the p-value adjusted for all tests
            of the table times `n_trials`. A comparison that two benchmarks share
            counts once.

        See Also
        --------
        skbatch.metrics.mean_inference : The test, with formula and references.
        skbatch.metrics.holm_adjusted : The adjustment.

        Notes
        -----
        Both are scored on the tickers and dates that both forecast. The difference in
        squared error is the benchmark's less the forecasts' (Diebold–Mariano), NaN for
        benchmarks that only rank tickers. Zero has no order, and neither has equal
        weight, which forecasts for all tickers the average of their historical means:
        their rank IC and spread count as 0. Where they forecast the same tickers and
        dates, both are the same comparison.
        """
        horizon = self.horizons[0] if horizon is None else horizon
        self.of_horizon(self.forecasts, horizon)  # refuses unknown horizons
        key = horizon, n_resamples
        if key not in self._tested:
            self._tested[key] = compare(self, *key)
        return self._tested[key].copy()

    @cached_property
    def _tested(self) -> dict[tuple[int, int], pd.DataFrame]:
        """Tests that have been computed, which summary and report both need."""
        return {}

    def quantile_returns(self, horizon: int | None = None) -> pd.DataFrame:
        """Compute the mean return of each bin of the forecasts on each date.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.

        Returns
        -------
        DataFrame of shape (n_dates, n_quantiles)
            See :func:`~skbatch.metrics.quantile_returns`.
        """
        return quantile_returns(
            self.of_horizon(self.returns, horizon),
            self.of_horizon(self.forecasts, horizon),
            self.n_quantiles,
        )

    def backtest(
        self, horizon: int | None = None, *, benchmark: str = "", **options: Any
    ) -> BacktestResult:
        """Backtest a portfolio that follows the forecasts.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`, and the rows between trades; None is the first.
        benchmark : str, default=""
            Follow this benchmark instead.
        **options
            Other arguments of :func:`~skbatch.model_selection.backtest`, such as
            ``weights`` and ``costs``. `delay` is that of the forecasts by default, and
            1 where that is 0; `delisting_return` that of the walk.

        Returns
        -------
        BacktestResult
            Returns before and after costs, and what is measured of them.
        """
        horizon = self.horizons[0] if horizon is None else horizon
        name = benchmark or self.name
        tables = dict(self.named_forecasts())
        if name not in tables:
            raise ValueError(
                f"`benchmark` must be one of {', '.join(tables)}. Got {name!r}. Walk "
                "forward with it."
            )
        forecasts = self.of_horizon(tables[name], horizon).copy()
        forecasts.attrs["horizon"] = horizon
        prices = self.closes if self.prices is None else self.prices
        defaults: dict[str, Any] = {
            "name": name,
            "delay": max(self.delay, 1),
            "delisting_return": self.delisting_return,
        }
        return backtest(forecasts, prices, **(defaults | options))

    def decay(self, horizon: int | None = None, n_windows: int = 6) -> pd.DataFrame:
        """Test the rank IC with the returns of later windows, one after another.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`, and the rows of each window; None is the first.
        n_windows : int, default=6
            Number of windows.

        Returns
        -------
        DataFrame of shape (n_windows, 6)
            Columns first_row and last_row of the window, counted from the forecast,
            rank_ic, rank_ic_t, critical_t and n_dates.

        Notes
        -----
        Windows do not overlap, as in the decay of skfolio's
        ``alpha_forecast_evaluation``: a forecast is useful up to the last window whose
        returns it still ranks.
        """
        horizon = self.horizons[0] if horizon is None else horizon
        forecasts = self.of_horizon(self.forecasts, horizon)
        after = self._returns_after
        return decay_table(after, forecasts, horizon, self.delay, n_windows)

    def to_frame(self) -> pd.DataFrame:
        """Return everything as one long table.

        Returns
        -------
        DataFrame of shape (n_dates * n_horizons * n_tickers, 4 + n_benchmarks)
            Indexed by (date, horizon, ticker), with columns forecast, realized_return
            and model, then the forecasts of each benchmark by its name.
        """
        tables = {
            "forecast": self.forecasts,
            "realized_return": self.returns,
            "model": self.provenance,
            **self.benchmarks,
        }
        dates, columns = self.forecasts.index, self.forecasts.columns
        tickers = columns.get_level_values(-1)
        horizons = np.repeat(self.horizons, len(columns) // len(self.horizons))
        index = pd.MultiIndex.from_arrays(
            [
                dates.repeat(len(columns)),
                np.tile(horizons, len(dates)),
                np.tile(tickers, len(dates)),
            ],
            names=["date", "horizon", "ticker"],
        )
        return pd.DataFrame(
            {name: table.to_numpy().ravel() for name, table in tables.items()}, index
        )

    def summary(self) -> str:
        """Summarize in a few sentences how good the forecasts were.

        Returns
        -------
        str
            One paragraph per horizon.
        """
        return describe(self)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        costs: float | TradingCosts = 10.0,
        groups: Mapping[str, Any] | pd.Series | None = None,
    ) -> Path:
        """Write a self-contained report with plots, completely or not at all.

        Parameters
        ----------
        path : str or path-like
            Where to write; the folder has to exist.
        costs : float or TradingCosts, default=10.0
            Basis points of the value that its portfolios trade, or more in detail.
        groups : dict or Series, default=None
            Ticker → group, such as its sector, whose skill is shown on its own.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        FileNotFoundError
            If the folder does not exist.
        ImportError
            If matplotlib is missing: ``pip install 'skbatch[plot]'``.
        """
        from skbatch.model_selection._report import render

        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"`path` must be in an existing folder. Got '{target}'. Create it "
                "first."
            )
        write_whole(target, render(self, costs, groups))
        return target

    def _repr_html_(self) -> str:
        paragraphs = [escape(part) for part in self.summary().split("\n\n")]
        text = "".join(f"<p>{part}</p>" for part in paragraphs)
        return text + self.scorecard.T.to_html(float_format="{:.4g}".format)

    def __repr__(self) -> str:
        dates = self.forecasts.index
        delay = f"delay={self.delay}, " if self.delay else ""
        return (
            f"WalkForwardResult({self.name}, horizon={self.horizon}, {delay}"
            f"{len(dates)} dates, {len(self.closes.columns)} tickers, "
            f"{len(self.refits)} refits)"
        )


def _alike(mean: pd.DataFrame, result: WalkForwardResult) -> pd.DataFrame:
    """Forecast for all tickers what they returned on average."""
    same = pd.DataFrame(np.nan, mean.index, mean.columns)
    for horizon in result.horizons:
        table = result.of_horizon(mean, horizon)
        use = np.ones(mean.shape[1], bool)
        if mean.columns.nlevels > 1:
            use = mean.columns.get_level_values(0) == horizon
        average = np.asarray(table.mean(axis=1))[:, None]
        same.iloc[:, use] = np.where(table.notna(), average, np.nan)
    return same
