"""Hand forecasts to an optimiser, checked.

Run it with ``python examples/optimisers.py`` where ``skbatch[demo,portfolio]`` is
installed.
"""

from pypfopt import EfficientFrontier
from pypfopt.risk_models import CovarianceShrinkage

from skbatch import robust_forecast_returns
from skbatch.datasets import load_sp500_prices
from skbatch.portfolio import preflight, to_pypfopt

prices = load_sp500_prices().iloc[-1260:]  # five years of 20 real stocks
mu = robust_forecast_returns(list(prices), prices, horizon=21)  # a dict, per year
covariance = CovarianceShrinkage(prices, frequency=252).ledoit_wolf()
print(preflight(mu, covariance, prices=prices, covariance_periods=252))
frontier = EfficientFrontier(*to_pypfopt(mu, covariance, covariance_periods=252))
weights = frontier.max_sharpe(risk_free_rate=0.02)
print({ticker: round(w, 3) for ticker, w in weights.items() if w > 0.001})
