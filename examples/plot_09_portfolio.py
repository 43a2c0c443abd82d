"""
Portfolio optimization: check forecasts, then optimize
======================================================

An optimizer takes its inputs at face value and magnifies their errors. So there are two
steps between forecasts and weights: compute annual expected returns, each with the
model that it comes from, and check whether an optimizer can use them.
"""

# %%
# Expected returns
# ----------------
# :func:`~skbatch.robust_forecast_returns` returns a dict from ticker to annual expected
# return, which also stores its date, horizon and units. The forecast is for one month;
# it is annualized only to match the units of an annual covariance, and is not a
# forecast for a year.

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
# ``preflight`` checks tickers, units, dates and sizes before they can do damage. Read
# its last note: forecasts differ far less between tickers than returns do, so an
# optimizer bets on differences that are mostly noise. All return forecasts have this
# problem.

covariance = CovarianceShrinkage(prices, frequency=252).ledoit_wolf()
report = preflight(expected, covariance, prices=prices, covariance_periods=252)
print(report)

# %%
# For example, it detects a daily covariance, such as ``returns.cov()``, that is
# combined with annual returns. No optimizer notices that mistake.

daily = prices.pct_change().cov()
wrong = preflight(expected, daily, prices=prices, covariance_periods=252)
print(*map(fill, wrong.checks.loc[wrong.failed, "detail"]), sep="\n")

# %%
# PyPortfolioOpt
# --------------
# PyPortfolioOpt matches expected returns and covariance by position.
# :func:`~skbatch.portfolio.to_pypfopt` aligns them by ticker, leaves out tickers
# without a forecast, and raises an error if preflight fails.

frontier = EfficientFrontier(*to_pypfopt(expected, covariance, covariance_periods=252))
weights = {"PyPortfolioOpt, max Sharpe": frontier.max_sharpe(risk_free_rate=0.02)}
bounded = EfficientFrontier(
    *to_pypfopt(expected, covariance, covariance_periods=252), weight_bounds=(0, 0.1)
)
weights["the same, at most 10%"] = bounded.max_sharpe(risk_free_rate=0.02)

# %%
# skfolio
# -------
# :class:`~skbatch.portfolio.ForecastMu` is a ``mu_estimator``. It is fitted together
# with the optimizer on each window, so it works in ``WalkForward`` and in searches.
# With ``prices``, it forecasts from the same prices as above. Without, it reconstructs
# prices from the returns, which start one row later; this is the only difference.

returns = prices.pct_change().iloc[1:]
system = BatchForecastingSystem(21)
for name, known in {
    "skfolio, max ratio": prices,
    "the same, 1 row less of 1,260": None,
}.items():
    prior = EmpiricalPrior(mu_estimator=ForecastMu(system, prices=known))
    model = MeanRisk(ObjectiveFunction.MAXIMIZE_RATIO, prior_estimator=prior)
    weights[name] = dict(zip(returns, model.fit(returns).weights_, strict=True))
least = MeanRisk().fit(returns)  # uses no forecasts
weights["skfolio, minimum risk"] = dict(zip(returns, least.weights_, strict=True))

# %%
# Weights
# -------
# From the same forecasts, both packages build nearly the same portfolio of a few
# stocks. The minimum-risk portfolio, which uses no forecasts, shares about half of it,
# so the covariance matters as much as the forecasts. Bounds spread the weights.
#
# Leaving out a single row, five years ago, changes a third of the portfolio. Labels
# over 21 rows overlap, so the model trains only on every eleventh date. One row less
# shifts all these dates, which changes the trees and how far their output is shrunken.
# Such forecasts contain very little information.
#
# Do not conclude that any of these would have earned more than equal weights (5% each,
# dotted): in backtests with transaction costs, no portfolio based on forecasts did by a
# statistically significant margin, on any panel tried. The example
# ``portfolio_backtest.py`` uses bounded views instead.

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
