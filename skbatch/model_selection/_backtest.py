"""What forecasts would have earned: decide, trade later, drift, pay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.trading import impact_cost, run_account
from skbatch._messages import check_int, count, date_text, format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.model_selection._backtest_result import BacktestResult
from skbatch.model_selection._position_rules import (
    Rule,
    checked_weights,
    position_rule,
)
from skbatch.panel import check_panel
from skbatch.panel.engine import (
    adopt_table,
    final_returns,
    last_prices,
    panel_fields,
    panel_tickers,
    recorded_horizon,
)

BASIS_POINT = 1e-4
# Rows over which volatility and volume are measured for the impact of trades.
IMPACT_ROWS = 63


@dataclass(frozen=True)
class TradingCosts:
    """Transaction costs: commission, half spread and market impact.

    Parameters
    ----------
    commission : float, default=0.0
        Basis points of the value that is traded.
    half_spread : float or Series, default=0.0
        Half the difference of bid and ask price, in basis points of the price; a
        Series gives that of each ticker.
    impact : float, default=0.0
        Market impact: trading the average volume of a day moves the price by `impact`
        daily volatilities, other sizes by the square root of their share of it. About
        1 in practice [1]_. Needs a panel with volumes.

    References
    ----------
    .. [1] Grinold, R. C. and Kahn, R. N. (2000). Active Portfolio Management, 2nd ed.,
       chapter 16. McGraw-Hill.

    Examples
    --------
    >>> from skbatch.model_selection import TradingCosts
    >>> TradingCosts(commission=1.0, half_spread=2.5)
    TradingCosts(commission=1.0, half_spread=2.5, impact=0.0)
    """

    commission: float = 0.0
    half_spread: float | pd.Series = 0.0
    impact: float = 0.0

    def rates(self, tickers: pd.Index) -> np.ndarray:
        """Return the costs that do not depend on the size of trades.

        Parameters
        ----------
        tickers : Index of shape (n_tickers,)
            The tickers.

        Returns
        -------
        ndarray of shape (n_tickers,)
            Shares of the value that is traded.

        Raises
        ------
        ValueError
            If a cost is negative, or that of a ticker unknown.
        """
        spread: Any = self.half_spread
        if isinstance(spread, pd.Series):
            spread = spread.reindex(tickers).to_numpy(np.float64)
        rates = np.broadcast_to(self.commission + spread, (len(tickers),))
        if not (rates >= 0).all() or not self.impact >= 0:
            raise ValueError(
                "`costs` must be at least 0, and given for every ticker. Got "
                f"{self!r}. Pass a half spread for each ticker of the panel."
            )
        return BASIS_POINT * rates


def backtest(
    forecasts: pd.DataFrame,
    prices: pd.DataFrame,
    *,
    weights: Any = "long_short",
    delay: int = 1,
    rebalance_every: int | None = None,
    costs: float | TradingCosts = 10.0,
    n_quantiles: int = 5,
    capital: float = 1e6,
    delisting_return: float | pd.Series | None = None,
    lookback: int = 504,
    name: str = "",
) -> BacktestResult:
    r"""Backtest a portfolio that follows forecasts, net of transaction costs.

    Weights are decided at the close of a date from its forecasts, traded at the close
    `delay` rows later, and drift with the prices until the next trade.

    Parameters
    ----------
    forecasts : DataFrame of shape (n_dates, n_tickers)
        Out-of-sample forecasts of one horizon, such as those of
        :func:`~skbatch.walk_forward`. A ticker without one has no position.
    prices : DataFrame of shape (n_rows, n_tickers)
        Panel of prices that holds these dates and tickers, and those before them;
        impact and capacity need volumes.
    weights : str, function or optimizer, default="long_short"
        How forecasts become positions.

        - ``"long_short"``: weighted by ranks, one unit of capital long and one short.
        - ``"long_only"``: the better half, weighted by ranks.
        - ``"quantile"``: the highest quantile long and the lowest short, equally.
        - ``"equal"``: every ticker with a forecast, equally.
        - a function of forecasts (Series), past returns of the last `lookback` rows
          (DataFrame) and the weights held (Series), which returns weights by ticker.
        - an optimizer of skfolio, which is cloned and fitted to those returns. If its
          prior has no estimator of expected returns other than the historical mean,
          it is given the forecasts.
    delay : int, default=1
        Rows between decision and trade. 0 trades at the very close that forecasts use.
    rebalance_every : int, default=None
        Rows between decisions; None takes the horizon recorded in the forecasts'
        ``attrs``, and 1 without it.
    costs : float or TradingCosts, default=10.0
        Basis points of the value that is traded, or more in detail.
    n_quantiles : int, default=5
        Bins of ``weights="quantile"``.
    capital : float, default=1e6
        Size of the portfolio in the currency of the prices, on which impact depends.
    delisting_return : float or Series, default=None
        Return of a position after the last price of its ticker, where that has no
        price for ten rows, up to the end of the panel; it becomes cash. −0.3 is usual
        for stocks that fail, 0 for takeovers. None, or a ticker that a Series lacks,
        counts as 0, with a warning that names the tickers that were held.
    lookback : int, default=504
        Rows of past returns that functions and optimizers are given.
    name : str, default=""
        What the portfolio is called in tables.

    Returns
    -------
    BacktestResult
        Returns before and after costs, weights, trades, and what is measured of them.

    Raises
    ------
    PanelError
        If dates or tickers of the forecasts are not in the prices, or there are several
        horizons, or volumes are needed and missing.
    ValueError
        For an invalid argument.

    Warns
    -----
    PanelWarning
        If a position was held to the last price of a ticker whose final return is not
        given.

    See Also
    --------
    skbatch.portfolio.robust_forecast_returns : Forecasts for an optimizer today.

    Notes
    -----
    With the wealth :math:`W` before a trade, target weights w and positions p, it
    trades :math:`x = w W - p`, except of tickers without a price on that date, and
    pays :math:`\sum_i |x_i| (c_i + \kappa \sigma_i \sqrt{|x_i| C / V_i})`, with the
    linear costs c, the impact κ, daily volatility σ and mean daily value traded V of
    the last 63 rows, and the capital C. Cash earns nothing, and short positions cost
    nothing to hold.

    Examples
    --------
    >>> from skbatch.datasets import make_panel
    >>> from skbatch.model_selection import backtest
    >>> prices = make_panel(n_dates=300, n_tickers=10, random_state=0)
    >>> reversal = -prices.pct_change(5)
    >>> result = backtest(reversal.iloc[100:], prices, rebalance_every=5)
    >>> result
    BacktestResult(199 dates, 40 rebalances, net return ...)
    """
    check_int(delay, "delay", 0, "Pass 1 to trade at the next close.")
    check_int(lookback, "lookback", 2, "Pass a number of rows.")
    check_int(n_quantiles, "n_quantiles", 2, "Pass 5 for quintiles.")
    panel = check_panel(adopt_table(prices))
    table, closes, volumes = _aligned(forecasts, panel)
    horizon = recorded_horizon(forecasts)
    horizon = horizon if isinstance(horizon, int) else 1
    step = horizon if rebalance_every is None else rebalance_every
    check_int(step, "rebalance_every", 1, "Pass a number of rows.")
    if not isinstance(costs, TradingCosts):
        costs = TradingCosts(commission=costs)
    rule = position_rule(weights, n_quantiles, horizon)
    returns = closes / closes.ffill().shift(1) - 1
    places = panel.index.get_indexer(table.index)
    first, decided = int(places[0]), places[::step]
    stop = min(int(decided[-1]) + delay + int(step), len(panel) - 1) + 1
    charge, unit_impact = _charges(costs, closes, volumes, first, capital)
    ends, finals = _ends(closes, first), final_returns(delisting_return, table.columns)
    account = run_account(
        closes.to_numpy()[first:stop],
        _decision(rule, table, returns, first, lookback),
        charge,
        decided - first,
        int(delay),
        ends,
        np.nan_to_num(finals),
    )
    if not account.trades:
        raise PanelError(
            "`prices` must hold a row to trade at after the first forecast. Got "
            f"{len(panel)} rows to {date_text(panel.index[-1])}. Pass prices that "
            "continue after the forecasts, or delay=0."
        )
    _warn_of_ends(account.weights, ends, finals, closes.columns)
    rows = np.array(list(account.trades))
    dates, begin = panel.index[first:stop], int(rows.min())
    gross, cost = account.gross[begin:], account.cost[begin:]
    kept, columns = dates[begin:], table.columns
    impacts = [unit_impact(row, trade).sum() for row, trade in account.trades.items()]
    return BacktestResult(
        returns=pd.DataFrame({"gross": gross, "cost": cost, "net": gross - cost}, kept),
        weights=pd.DataFrame(account.weights[begin:], kept, columns),
        trades=pd.DataFrame(list(account.trades.values()), dates[rows], columns),
        asset_returns=returns.loc[kept],
        unit_impacts=pd.Series(impacts, dates[rows], dtype=np.float64),
        costs=costs,
        delay=int(delay),
        rebalance_every=int(step),
        capital=capital,
        name=name,
    )


def _decision(
    rule: Rule, table: pd.DataFrame, returns: pd.DataFrame, first: int, lookback: int
) -> Callable[[int, np.ndarray], np.ndarray]:
    """Create the function that returns weights for a row and the weights held."""

    def decide(row: int, held: np.ndarray) -> np.ndarray:
        now = first + row
        scores = table.loc[returns.index[now]]
        past = returns.iloc[max(0, now + 1 - lookback) : now + 1]
        found = rule(scores, past, pd.Series(held, table.columns))
        return checked_weights(found, table.columns, scores.to_numpy())

    return decide


def _aligned(
    forecasts: pd.DataFrame, panel: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Check forecasts, and take the closes and volumes of their tickers."""
    if not isinstance(forecasts, pd.DataFrame) or forecasts.columns.nlevels > 1:
        raise PanelError(
            "`forecasts` must be a table of dates and tickers, of one horizon. Got "
            f"{type(forecasts).__name__}. Select a horizon, such as `forecasts[5]`."
        )
    tickers = pd.Index(panel_tickers(panel))
    unknown = forecasts.columns.difference(tickers)
    missing = forecasts.index.difference(panel.index)
    if len(unknown) or len(missing) or not len(forecasts):
        what = (
            f"tickers such as {format_tickers(unknown)}"
            if len(unknown)
            else f"{len(missing)} other dates of {len(forecasts)}"
        )
        raise PanelError(
            "`prices` must hold the dates and tickers of `forecasts`. Got forecasts of "
            f"{what}. Pass the prices that were forecast."
        )
    fields = panel_fields(panel)
    columns = forecasts.columns
    closes = pd.DataFrame(fields["close"], panel.index, tickers)[columns]
    volumes = None
    if "volume" in fields:
        values = fields["close"] * fields["volume"]
        volumes = pd.DataFrame(values, panel.index, tickers)[columns]
    table = forecasts.astype(np.float64).sort_index()
    return table.where(np.isfinite(table)), closes, volumes


def _ends(closes: pd.DataFrame, first: int) -> np.ndarray:
    """Row of each ticker's last price, beyond the end if it is not gone."""
    last, is_gone = last_prices(closes.to_numpy())
    return np.where(is_gone, last, 2 * len(closes)) - first


def _warn_of_ends(
    weights: np.ndarray, ends: np.ndarray, finals: np.ndarray, tickers: pd.Index
) -> None:
    """Warn of tickers held to their last price without a final return."""
    within = (ends >= 0) & (ends < len(weights) - 1)
    held = weights[np.where(within, ends, 0), np.arange(len(ends))] != 0
    lost = tickers[within & held & np.isnan(finals)]
    if len(lost):
        warn_user(
            f"Positions in {count(len(lost), 'ticker')} were held until their prices "
            f"ended, and count as sold at the last price: {format_tickers(lost)}. "
            "Pass `delisting_return`, such as -0.3, or 0 if holders received the last "
            "price.",
            PanelWarning,
        )


def _charges(
    costs: TradingCosts,
    closes: pd.DataFrame,
    volumes: pd.DataFrame | None,
    first: int,
    capital: float,
) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """Compute the costs of trades, and their impact at a capital and factor of 1."""
    rates = costs.rates(closes.columns)
    if volumes is None:
        if costs.impact:
            raise PanelError(
                "`prices` must have volumes for the impact of trades. Got closes only. "
                "Pass a panel with the field volume, or impact=0."
            )
        return (
            lambda row, trade: np.abs(trade) * rates,
            lambda row, trade: np.full(len(trade), np.nan),
        )
    moves = closes.ffill().apply(np.log).diff()
    volatility = moves.rolling(IMPACT_ROWS, min_periods=2).std().to_numpy()[first:]
    usual = volumes.rolling(IMPACT_ROWS, min_periods=1).mean().to_numpy()[first:]
    usual = np.where(usual > 0, usual, np.nan)

    def unit(row: int, trade: np.ndarray) -> np.ndarray:
        return impact_cost(trade, 1.0, volatility[row], usual[row])

    def charge(row: int, trade: np.ndarray) -> np.ndarray:
        linear = np.abs(trade) * rates
        if not costs.impact:
            return linear
        moved = costs.impact * capital**0.5 * unit(row, trade)
        if np.isnan(moved).any():
            names = closes.columns[np.isnan(moved)]
            raise PanelError(
                "`prices` must have volumes of every ticker that is traded. Got none "
                f"in {IMPACT_ROWS} rows for {format_tickers(names)}. Give them no "
                "forecast, or pass impact=0."
            )
        return linear + moved

    return charge, unit
