"""
Sectors, and market data that are not prices
============================================

Information on sectors, or from a series such as a volatility index, can enter forecasts
in three ways: as features that compare a ticker with its group, as features that all
tickers share, and as separate models for each group. Each has a cost.
"""

# %%
# Sectors and market series
# -------------------------
# Sectors are a dict from ticker to sector. GE is left out on purpose, so it has no
# group.
#
# Market series have dates of their own: the date of each value must be the date on
# which it became **known**. The first series resembles a volatility index, but is
# computed from the prices themselves. The second is a *synthetic* interest rate, a
# random walk. It is published on Fridays, so each value is dated by its publication,
# not by the week that it describes.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import mean_inference, rank_information_coefficient_series

SECTORS = {
    **dict.fromkeys(["AAPL", "AMD", "MSFT"], "technology"),
    **dict.fromkeys(["BAC", "JPM"], "financials"),
    **dict.fromkeys(["BBY", "HD"], "retail"),
    **dict.fromkeys(["CVX", "RRC", "XOM"], "energy"),
    **dict.fromkeys(["JNJ", "LLY", "MRK", "PFE", "UNH"], "health care"),
    **dict.fromkeys(["KO", "PEP", "PG", "WMT"], "staples"),
}
prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
turbulence = prices.pct_change().mean(axis=1).rolling(21).std() * 252**0.5
fridays = prices.index[prices.index.day_of_week == 4]
walk = np.random.default_rng(0).normal(0, 0.05, len(fridays)).cumsum()
rate = pd.Series(2 + walk, fridays)
market = pd.DataFrame({"turbulence": turbulence, "made_up_rate": rate})

# %%
# The resulting features
# ----------------------
# A value applies until the next one is known, and is never filled backwards: the rate
# below changes on Friday the 23rd, not before. Group features are a ticker's value
# minus the mean of its group; for GE, they are NaN.

extractor = SharedFeatureExtractor(groups=SECTORS, market_data=market)
features = extractor.fit_transform(prices)
shown = ["market__made_up_rate", "XOM__group_log_return_21", "GE__group_log_return_21"]
print(features[shown].iloc[-8:].round(4).to_string())

# %%
# Does it help?
# -------------
# One year is held out. All scores are within two standard errors of each other, so one
# year is too short to compare these features. The synthetic rate contains no
# information, yet it changes the score.

past, y = prices.iloc[:-252], forward_returns(prices, horizon=5)
rows = {}
for name, options in {
    "prices only": {},
    "and groups": {"groups": SECTORS},
    "and turbulence": {"market_data": turbulence.rename("turbulence")},
    "and made-up rate": {"market_data": rate.rename("made_up_rate")},
    "and all": {"groups": SECTORS, "market_data": market},
}.items():
    trees = BatchXGBoostForecaster(n_estimators=100)
    model = make_pipeline(SharedFeatureExtractor(**options), trees)
    model.fit(past, y.loc[past.index])
    forecasts = model.predict(prices.iloc[-252:])
    ic = rank_information_coefficient_series(y.iloc[-252:], forecasts)
    result = mean_inference(ic, horizon=5)
    rows[name] = [result.mean, abs(result.mean / result.t_statistic)]
scores = pd.DataFrame(rows, ["rank IC", "standard error"]).T
print(scores.round(4).to_string())

# %%
# A model for each sector
# -----------------------
# In the batch system, ``groups`` keeps the tickers of a sector in the same batch, and
# sectors are packed into as few batches as ``max_batch_size`` allows. Each batch has
# its own model, which learns from two to six tickers instead of twenty, and takes their
# mean as the market. Beyond that, the forecasts differ mostly because models with so
# few rows are noisy. Use separate models only if you have reason to believe that the
# groups behave differently.

options = {"features": extractor, "forecaster": trees}
one = BatchForecastingSystem(5, **options).fit(prices).forecast()
split = BatchForecastingSystem(5, groups=SECTORS, max_batch_size=6, **options)
own = split.fit(prices).forecast()

fig, ax = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
sides = [(-6, -3, "right"), (4, 3, "left"), (4, -9, "left"), (-4, 3, "right")]
batches = own.provenance.groupby("batch").groups.items()
for (batch, tickers), (right, up, side) in zip(batches, sides, strict=True):
    x, height = 100 * one.expected_returns[tickers], 100 * own.expected_returns[tickers]
    ax.scatter(x, height, label=batch)
    style = {"textcoords": "offset points", "ha": side, "fontsize": 7}
    for ticker in tickers:
        ax.annotate(ticker, (x[ticker], height[ticker]), (right, up), **style)
ax.axline((x.iloc[0], x.iloc[0]), slope=1, color="grey", linewidth=0.8, linestyle="--")
ax.margins(0.08)
ax.set_xlabel("forecast of one model of all tickers, %")
ax.set_ylabel("forecast of the batch's own model, %")
ax.legend(frameon=False, title="batch")
plt.show()
