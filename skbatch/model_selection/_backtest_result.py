"""What a backtest has earned, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skbatch._messages import count
from skbatch.metrics import mean_inference
from skbatch.panel.engine import rows_per_year

if TYPE_CHECKING:
    from skfolio import MultiPeriodPortfolio

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """Returns of a portfolio before and after costs, its weights and its trades.

    Parameters
    ----------
    returns : DataFrame of shape (n_dates, 3)
        Columns gross, cost and net: profit, costs and their difference, as shares of
        the wealth at the close before. Begins at the first trade.
    weights : DataFrame of shape (n_dates, n_tickers)
        Positions over wealth at each close, after trading; what is left is cash.
    trades : DataFrame of shape (n_rebalances, n_tickers)
        Value traded over the wealth before the trade, positive where bought, by date.
    asset_returns : DataFrame of shape (n_dates, n_tickers)
        Simple returns of the tickers; NaN without a price.
    unit_impacts : Series of shape (n_rebalances,)
        Impact of each rebalance with a factor and a capital of 1; NaN without volumes.
    costs : TradingCosts
        What trading costs.
    delay, rebalance_every : int
        Rows between decision and trade, and between decisions.
    capital : float
        Size of the portfolio at the start.
    name : str
        What the portfolio is called in tables.
    """

    returns: pd.DataFrame
    weights: pd.DataFrame
    trades: pd.DataFrame
    asset_returns: pd.DataFrame
    unit_impacts: pd.Series
    costs: Any
    delay: int
    rebalance_every: int
    capital: float
    name: str = ""

    @property
    def wealth(self) -> pd.DataFrame:
        """Gross and net wealth of one unit of capital, `(n_dates, 2)`."""
        return (1 + self.returns[["gross", "net"]]).cumprod()

    @property
    def drawdown(self) -> pd.Series:
        """Loss from the highest wealth so far, as a positive share of it."""
        wealth = self.wealth["net"]
        return (1 - wealth / wealth.cummax().clip(lower=1.0)).rename("drawdown")

    @property
    def turnover(self) -> pd.Series:
        """Value bought and sold at each rebalance over the wealth before it."""
        return self.trades.abs().sum(axis=1).rename("turnover")

    @property
    def market(self) -> pd.Series:
        """Mean return of all tickers with a price; 0 where there is none."""
        return self.asset_returns.mean(axis=1).fillna(0.0).rename("market")

    @property
    def periods_per_year(self) -> float:
        """Rows that make a year; NaN if the dates do not show it."""
        return rows_per_year(self.returns.index)

    @cached_property
    def measures(self) -> pd.Series:
        """What is measured of the portfolio, by name.

        Notes
        -----
        - ``return_gross``, ``return_net``: compounded, per year; ``volatility`` that
          of net returns per year.
        - ``sharpe_gross``, ``sharpe_net``: mean over standard deviation, per year, with
          cash at no interest; ``t_statistic`` is the Newey–West t of the mean net
          return.
        - ``max_drawdown``: largest loss from a peak of the net wealth.
        - ``turnover``: mean value traded per rebalance over the wealth, the first
          included; ``cost``: costs per year over the wealth.
        - ``break_even_bps``: gross profit over the value traded, in basis points:
          linear costs above it would have exceeded the profit.
        - ``beta``, ``alpha``, ``correlation``: of net returns on the mean return of all
          tickers, alpha per year.
        - ``exposure_gross``, ``exposure_net``: mean sum of absolute weights, and of
          weights; ``n_positions``: mean number of positions.
        - ``capacity``: capital at which impact uses up what is left after linear costs;
          NaN without volumes.
        """
        gross, net = self.returns["gross"], self.returns["net"]
        year, n_dates = self.periods_per_year, len(net)
        traded, market = self.turnover, self.market
        held = self.weights.to_numpy()
        varies = market.std() > 0 and n_dates > 2
        beta = market.cov(net) / market.var() if varies else NAN
        return pd.Series(
            {
                "return_gross": _yearly(gross, year),
                "return_net": _yearly(net, year),
                "volatility": net.std() * year**0.5,
                "sharpe_gross": _sharpe(gross) * year**0.5,
                "sharpe_net": _sharpe(net) * year**0.5,
                "t_statistic": mean_inference(net).t_statistic,
                "max_drawdown": self.drawdown.max(),
                "turnover": traded.mean(),
                "cost": self.returns["cost"].sum() * year / n_dates,
                "break_even_bps": (
                    1e4 * gross.sum() / traded.sum() if traded.sum() > 0 else NAN
                ),
                "beta": beta,
                "alpha": (net.mean() - beta * market.mean()) * year,
                "correlation": market.corr(net) if varies and net.std() > 0 else NAN,
                "exposure_gross": np.abs(held).sum(axis=1).mean(),
                "exposure_net": held.sum(axis=1).mean(),
                "n_positions": (held != 0).sum(axis=1).mean(),
                "capacity": self._capacity(year),
            },
            name=self.name,
        )

    def _capacity(self, year: float) -> float:
        """Solve for the capital at which nothing is left."""
        rates = self.costs.rates(self.trades.columns)
        linear = float((self.trades.abs() * rates).to_numpy().sum())
        left = float(self.returns["gross"].sum()) - linear
        impact = float(self.unit_impacts.sum(skipna=False))
        impact *= self.costs.impact or 1.0
        if not impact > 0:
            return NAN
        return (left / impact) ** 2 if left > 0 else 0.0

    def monthly(self) -> pd.DataFrame:
        """Compound the net returns of each month.

        Returns
        -------
        DataFrame of shape (n_years, 12)
            Rows are years, columns the months 1 to 12; NaN outside the backtest.
        """
        index = self.returns.index
        if not isinstance(index, pd.DatetimeIndex | pd.PeriodIndex):
            return pd.DataFrame(columns=range(1, 13), index=pd.Index([], name="year"))
        net = self.returns["net"]
        months = pd.DataFrame(
            {"year": index.year, "month": index.month, "net": 1 + net}
        )
        table = months.pivot_table("net", "year", "month", aggfunc="prod") - 1
        return table.reindex(columns=pd.RangeIndex(1, 13, name="month"))

    def exposures(self, groups: Mapping[str, Any] | pd.Series) -> pd.DataFrame:
        """Sum the weights of each group of tickers.

        Parameters
        ----------
        groups : dict or Series
            Ticker → group, such as its sector. Others are a group called ``"none"``.

        Returns
        -------
        DataFrame of shape (n_dates, n_groups)
            Net weight of each group at each close.
        """
        known = dict(groups)
        found = [known.get(ticker) for ticker in self.weights]
        labels = ["none" if pd.isna(label) else str(label) for label in found]
        return self.weights.T.groupby(np.array(labels), sort=True).sum().T

    def to_skfolio(self) -> MultiPeriodPortfolio:
        """Convert to a portfolio of skfolio, for its measures and plots.

        Returns
        -------
        MultiPeriodPortfolio
            A portfolio for each holding period, with its weights; its returns are the
            net returns of this backtest.

        Raises
        ------
        ImportError
            If skfolio is missing: ``pip install 'skbatch[portfolio]'``.
        """
        try:
            from skfolio import MultiPeriodPortfolio, Portfolio
        except ImportError as error:
            raise ImportError(
                "BacktestResult.to_skfolio needs skfolio. Install it with "
                "`pip install 'skbatch[portfolio]'`."
            ) from error
        dates, portfolios = self.returns.index, []
        before = np.zeros(self.weights.shape[1])
        starts = [int(row) for row in dates.get_indexer(self.trades.index)]
        # A period begins after its trade, but the first holds the first trade's costs.
        edges = [0, *(start + 1 for start in starts[1:] if start + 1 < len(dates))]
        for number, start in enumerate(edges):
            stop = edges[number + 1] if number + 1 < len(edges) else len(dates)
            portfolio = Portfolio(
                self.asset_returns.iloc[start:stop],
                self.weights.iloc[starts[number]].to_numpy(),
                previous_weights=before,
                name=str(dates[start]),
                annualization_factor=self.periods_per_year,
                weight_drift=True,
            )
            # skfolio takes costs off the return of every day, or of none.
            net = self.returns["net"].to_numpy()[start:stop]
            object.__setattr__(portfolio, "returns", net)
            portfolios.append(portfolio)
            before = self.weights.iloc[stop - 1].to_numpy()
        return MultiPeriodPortfolio(
            portfolios=portfolios,
            name=self.name or None,
            annualization_factor=self.periods_per_year,
        )

    def __repr__(self) -> str:
        named = f"{self.name}, " if self.name else ""
        measures = self.measures
        return (
            f"BacktestResult({named}{len(self.returns)} dates, "
            f"{count(len(self.trades), 'rebalance')}, net return "
            f"{100 * measures['return_net']:.2f}% a year, Sharpe ratio "
            f"{measures['sharpe_net']:.2f} net, {measures['sharpe_gross']:.2f} gross)"
        )

    def _repr_html_(self) -> str:
        table = self.measures.to_frame(self.name or "portfolio")
        return f"<p>{self!r}</p>{table.to_html(float_format='{:.4g}'.format)}"


def _yearly(returns: pd.Series, year: float) -> float:
    """Compound returns to those of a year."""
    growth = float(np.prod(1 + returns.to_numpy()))
    return growth ** (year / len(returns)) - 1 if growth > 0 else -1.0


def _sharpe(returns: pd.Series) -> float:
    """Mean over standard deviation, per row."""
    spread = float(returns.std()) if len(returns) > 2 else 0.0
    largest = float(returns.abs().max())
    return float(returns.mean()) / spread if spread > 1e-12 * largest else NAN
