"""Backtest portfolios that optimize forecasts each month, net of transaction costs.

Install ``skbatch[demo,portfolio]`` and run ``python examples/portfolio_backtest.py
[prices.csv [signal.csv]]``. The signal is a table with the same rows and columns as the
prices; its values must be known at the close.
"""

import sys
import warnings

import numpy as np
import pandas as pd
from skfolio.moments import EquilibriumMu, LedoitWolf
from skfolio.optimization import MeanRisk, ObjectiveFunction
from skfolio.prior import BlackLitterman, EmpiricalPrior

from skbatch import (
    BatchForecastingSystem,
    HistoricalMeanForecaster,
    read_panel,
    walk_forward,
)
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import mean_inference
from skbatch.panel import join_signals, periods_per_year

COST = 10  # basis points of the value traded
CONFIDENCE = 0.25  # in a forecast as a view, between 0 and 1
COLUMNS = ["return_net", "volatility", "max_drawdown", "turnover", "cost"]


def closes(path=None):
    """Read closes, remove one-day errors, and fill gaps of up to a week."""
    if path is None:
        return load_sp500_prices().iloc[-1800:]  # seven years of 20 real stocks
    panel = read_panel(path)
    prices = panel["Close"] if panel.columns.nlevels == 2 else panel
    # More than a factor of 8 from the median of the last five rows is an error.
    typical = prices.rolling(5, min_periods=1).median()
    return prices.where(np.abs(np.log(prices / typical)) < np.log(8)).ffill(limit=5)


def optimizer(objective, month, prior=None, **options):
    """Create a long-only optimizer that takes transaction costs into account."""
    least = ObjectiveFunction.MINIMIZE_RISK
    return MeanRisk(
        objective,
        prior_estimator=prior or EmpiricalPrior(covariance_estimator=LedoitWolf()),
        transaction_costs=COST / 1e4 / month,  # paid once per month of returns
        # If all expected returns are negative, the Sharpe ratio cannot be maximized.
        fallback=None if objective == least else optimizer(least, month, prior),
        **options,
    )


def usable(forecasts, past):
    """List tickers with a forecast and all past returns, for fair comparisons."""
    return forecasts.index[forecasts.notna() & past.dropna(how="all").notna().all()]


def equal(forecasts, past, held):
    """Hold the tickers that the optimizers may hold, at equal weights."""
    known = usable(forecasts, past)
    return pd.Series(1 / max(len(known), 1), known)


def views(month):
    """Use forecasts as Black–Litterman views, with weight bounds and low turnover."""

    def weights(forecasts, past, held):
        known = usable(forecasts, past)
        if not len(known):
            return pd.Series(0.0, forecasts.index)
        prior = BlackLitterman(
            [f"{name} = {float(forecasts[name]) / month!r}" for name in known],
            prior_estimator=EmpiricalPrior(
                mu_estimator=EquilibriumMu(), covariance_estimator=LedoitWolf()
            ),
            view_confidences=np.full(len(known), CONFIDENCE),
        )
        model = optimizer(
            ObjectiveFunction.MAXIMIZE_UTILITY,
            month,
            prior,
            max_weights=max(0.05, 2 / len(known)),
            previous_weights=held[known].to_numpy(),
        )
        return pd.Series(model.fit(past[known].dropna()).weights_, known)

    return weights


def backtest(prices):
    """Refit each quarter, and rebalance each month with a lookback of three years."""
    year = periods_per_year(prices.index)
    month = round(year / 12)
    walk = walk_forward(
        BatchForecastingSystem(month),
        prices,
        horizon=month,
        min_train=3 * round(year),
        refit_every=3 * month,
        benchmarks={"historical mean": HistoricalMeanForecaster()},
    )
    options = {"costs": COST, "lookback": 3 * round(year)}
    least = optimizer(ObjectiveFunction.MINIMIZE_RISK, month)
    sharpe = optimizer(ObjectiveFunction.MAXIMIZE_RATIO, month)
    mean = {"benchmark": "historical mean", **options}
    found = {
        "equal weight": walk.backtest(weights=equal, **options),
        "minimum risk": walk.backtest(weights=least, **options),
        "max Sharpe, historical mean": walk.backtest(weights=sharpe, **mean),
        "max Sharpe, forecasts": walk.backtest(weights=sharpe, **options),
        "Black–Litterman, historical mean": walk.backtest(weights=views(month), **mean),
        "Black–Litterman, forecasts": walk.backtest(weights=views(month), **options),
    }
    return compare(found)


def compare(found):
    """Tabulate portfolios, and test their difference from the first."""
    first = next(iter(found.values())).returns["net"]
    rows = {}
    for name, portfolio in found.items():
        measures, net = portfolio.measures, portfolio.returns["net"]
        rows[name] = {
            **(100 * measures[COLUMNS]),
            "sharpe_net": measures["sharpe_net"],
            "beta": measures["beta"],
            "t": mean_inference((net - first).to_numpy()).t_statistic,
        }
    return pd.DataFrame(rows).T, first.index


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    panel = closes(*sys.argv[1:2])
    for path in sys.argv[2:]:
        panel = join_signals(panel, {"signal": read_panel(path)})
    table, dates = backtest(panel)
    print(
        f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}, after costs of {COST} basis "
        "points of what is\ntraded. Return, volatility and cost: % a year; turnover: % "
        "a month; t: of the mean\ndifference from equal weight.\n"
    )
    print(table.to_string(float_format="{:.2f}".format, na_rep=""))
