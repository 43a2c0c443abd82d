"""
Into an optimizer, checked
==========================

An optimizer believes what it is given, and magnifies its errors. Between forecasts
and weights there are therefore two calls: one that makes annual expected returns with
a source for each, and one that checks what an optimizer would make of them.
"""

# %%
# Expected returns
# ----------------
# :func:`~skbatch.robust_forecast_returns` is a dict from ticker to expected return per
# year that remembers its date, its horizon and its units. A month ahead is forecast
# and then annualized, to match an annual covariance. That is a matter of units, not a
# forecast of the year.

from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
from pypfopt import EfficientFrontier
from pypfopt.risk_models import CovarianceShrinkage
from skfolio.optimization import MeanRisk, ObjectiveFunction
from skfolio.prior import EmpiricalPrior

from skbatch import BatchForecastingSystem, robust_forecast_returns
from skbatch.datasets import load_sp500_prices
from skbatch.portfolio import ForecastMu, preflight, to_pypfopt

prices = load_sp500_prices().iloc[-1260:]  # five years of 20 real stocks
expected = robust_forecast_returns(list(prices), prices, horizon=21)
print(repr(expected))
print(expected.to_frame().iloc[:4].round(4).to_string())

# %%
# Preflight
# ---------
# Labels, units, dates and sizes are compared before they can do damage. Read the last
# note: the forecasts differ far less than returns do, so an optimizer will bet on
# differences that are mostly noise. All return forecasts have this problem.

covariance = CovarianceShrinkage(prices, frequency=252).ledoit_wolf()
report = preflight(expected, covariance, prices=prices, covariance_periods=252)
print(report)

# %%
# An example of what it catches: a daily covariance, such as ``returns.cov()``, beside
# annual returns. No optimizer notices that mistake.

daily = prices.pct_change().cov()
wrong = preflight(expected, daily, prices=prices, covariance_periods=252)
print(*map(fill, wrong.checks.loc[wrong.failed, "detail"]), sep="\n")

# %%
# PyPortfolioOpt
# --------------
# PyPortfolioOpt goes by position. :func:`~skbatch.portfolio.to_pypfopt` aligns both by
# ticker, leaves out tickers without a forecast, and raises what preflight fails.

frontier = EfficientFrontier(*to_pypfopt(expected, covariance, covariance_periods=252))
weights = {"PyPortfolioOpt, max Sharpe": frontier.max_sharpe(risk_free_rate=0.02)}
bounded = EfficientFrontier(
    *to_pypfopt(expected, covariance, covariance_periods=252), weight_bounds=(0, 0.1)
)
weights["the same, at most 10%"] = bounded.max_sharpe(risk_free_rate=0.02)

# %%
# skfolio
# -------
# :class:`~skbatch.portfolio.ForecastMu` is a ``mu_estimator``: it is fitted with the
# optimizer on each window, so that it may go into ``WalkForward`` and searches. With
# ``prices`` it forecasts from the same panel as above. Without, it makes prices of the
# returns, which begin one row later: nothing else differs.

returns = prices.pct_change().iloc[1:]
system = BatchForecastingSystem(21)
for name, known in {
    "skfolio, max ratio": prices,
    "the same, 1 row less of 1,260": None,
}.items():
    prior = EmpiricalPrior(mu_estimator=ForecastMu(system, prices=known))
    model = MeanRisk(ObjectiveFunction.MAXIMIZE_RATIO, prior_estimator=prior)
    weights[name] = dict(zip(returns, model.fit(returns).weights_, strict=True))
least = MeanRisk().fit(returns)  # no forecasts in it
weights["skfolio, minimum risk"] = dict(zip(returns, least.weights_, strict=True))

# %%
# Weights
# -------
# From the same forecasts, the two packages make much the same portfolio of a few
# stocks. Minimum risk, without any forecasts, shares about half of it: the
# covariance decides as much as the forecasts. Bounds spread it.
#
# A single row, five years ago, moves a third of the portfolio. Labels of 21
# rows overlap, so the model trains on every eleventh date. One row less shifts them
# all, and both the trees and how far they are trusted change. Such forecasts contain
# very little information.
#
# Do not conclude that any of these would have earned more than equal weights (5% each,
# dotted): in backtests with costs, no portfolio of forecasts did by more than chance,
# on any panel tried. ``portfolio_backtest.py`` among the examples has bounded views
# instead.

table = 100 * pd.DataFrame(weights).reindex(prices.columns)
fig, axes = plt.subplots(
    1, 5, figsize=(11, 5), sharex=True, sharey=True, layout="constrained"
)
for ax, name in zip(axes, table, strict=True):
    ax.barh(table.index, table[name], color="#1f6feb")
    ax.axvline(5, color="black", linestyle=":", linewidth=1)
    ax.set_title(name.replace(", ", ",\n"), fontsize=10, loc="left")
    ax.set_xlabel("weight, %")
axes[0].invert_yaxis()
plt.show()
