"""What forecasts would have been worth in a portfolio that is rebalanced every month.

Run it with ``python examples/portfolio_backtest.py [prices.csv]`` where
``skbatch[demo,portfolio]`` is installed.
"""

import sys
import warnings

import numpy as np
import pandas as pd
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.moments import EmpiricalMu, LedoitWolf
from skfolio.optimization import EqualWeighted, MeanRisk, ObjectiveFunction
from skfolio.pre_selection import SelectComplete
from skfolio.prior import EmpiricalPrior
from sklearn import config_context
from sklearn.pipeline import make_pipeline

from skbatch import BatchForecastingSystem, read_panel
from skbatch.datasets import load_sp500_prices
from skbatch.panel import periods_per_year
from skbatch.portfolio import ForecastMu

COST = 0.001  # of what is traded: 10 basis points
HELD = {"weight_drift": True}  # nothing is traded within a month


def closes(path=None):
    """Read closes, without errors of one day, and without gaps of a week."""
    if path is None:
        return load_sp500_prices().iloc[-1800:]  # seven years of 20 real stocks
    panel = read_panel(path)
    prices = panel["Close"] if panel.columns.nlevels == 2 else panel
    # Off by more than a factor of 8 from the last days: no one traded at that.
    typical = prices.rolling(5, min_periods=1).median()
    return prices.where(np.abs(np.log(prices / typical)) < np.log(8)).ffill(limit=5)


def strategies(month):
    """Make the portfolios: rivals first, forecasts last."""

    def optimal(objective, mu=None):
        return MeanRisk(
            objective,
            prior_estimator=EmpiricalPrior(
                mu_estimator=mu, covariance_estimator=LedoitWolf()
            ),
            transaction_costs=COST / month,  # paid once for a month of returns
            # Where nothing is expected to rise, the Sharpe ratio has no maximum.
            fallback=None if mu is None else optimal(ObjectiveFunction.MINIMIZE_RISK),
        )

    sharpe = ObjectiveFunction.MAXIMIZE_RATIO
    system = BatchForecastingSystem(month)  # fitted 49 times
    return {
        "equal weight": EqualWeighted(),
        "minimum risk": optimal(ObjectiveFunction.MINIMIZE_RISK),
        "max Sharpe, historical mean": optimal(sharpe, EmpiricalMu()),
        "max Sharpe, forecasts": optimal(sharpe, ForecastMu(system)),
    }


def net_returns(path):
    """Take what was traded off the return of the first day of each month."""
    series = []
    for portfolio in path:
        gross = portfolio.returns + portfolio.total_cost
        gross[0] -= COST * portfolio.turnover
        series.append(pd.Series(gross, portfolio.observations))
    return pd.concat(series)


def backtest(prices):
    """Refit everything each month on the three years before, and hold it for one."""
    year = periods_per_year(prices.index)
    month = round(year / 12)
    returns = prices.pct_change(fill_method=None).iloc[1:]
    # Decided at one close, traded at the next.
    cv = WalkForward(train_size=3 * round(year), test_size=month, purged_size=1)
    rows, daily = {}, {}
    for name, optimizer in strategies(month).items():
        # Only tickers with all prices of the three years; skfolio keeps the weights.
        model = make_pipeline(SelectComplete(True), optimizer)
        path = cross_val_predict(model, returns, cv=cv, portfolio_params=HELD)
        daily[name] = net_returns(path)
        rows[name] = measure(daily[name], path, year)
    table = pd.DataFrame(rows).T
    excess = pd.DataFrame(daily).sub(daily["equal weight"], axis=0)
    table = table.astype({"fallbacks": int})
    table["t"] = np.sqrt(len(excess)) * excess.mean() / excess.std()
    return table, excess.index


def measure(net, path, year):
    """Measure what is left after costs."""
    wealth = (1 + net).cumprod()
    turnover = sum(portfolio.turnover for portfolio in path)
    return {
        "return": 100 * (wealth.iloc[-1] ** (year / len(net)) - 1),
        "volatility": 100 * net.std() * np.sqrt(year),
        "Sharpe": net.mean() / net.std() * np.sqrt(year),
        "drawdown": 100 * (1 - wealth / wealth.cummax().clip(lower=1)).max(),
        "turnover": 100 * turnover / len(path),
        "cost": 100 * COST * turnover * year / len(net),
        "fallbacks": path.n_fallback_portfolios,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with config_context(transform_output="pandas"):
        table, dates = backtest(closes(*sys.argv[1:2]))
    print(
        f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}, after costs of {COST:.1%} of "
        "what is traded.\nReturn, volatility and cost: % a year; turnover: % a month; "
        "t: of the mean\ndifference from equal weight; fallbacks: months with minimum "
        "risk instead.\n"
    )
    print(table.to_string(float_format="{:.2f}".format, na_rep=""))
