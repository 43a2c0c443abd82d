"""
Sectors, and series that are not prices
=======================================

What a sector or a volatility index knows can reach a forecast in three ways: as
features of a ticker beside its group, as features that all tickers share, and as
models that learn from one group only. None of them is free.
"""

# %%
# Sectors and market series
# -------------------------
# Sectors are a dict from ticker to name. GE is left out on purpose: it has no group.
#
# Market series have dates of their own, those from which each value is **known**. The
# first is like a volatility index, but made of the prices themselves. The second is
# *synthetic*, a random walk that stands for a rate: it is published on Fridays, so it
# is dated by the day on which it could be read, not by the week that it describes.

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
# What becomes of them
# --------------------
# A value stays until the next one is known, and is never filled backwards: the rate
# below changes on Friday the 23rd, not before. Group features are a ticker's value less
# the mean of its group, and NaN for GE.

extractor = SharedFeatureExtractor(groups=SECTORS, market_data=market)
features = extractor.fit_transform(prices)
shown = ["market__made_up_rate", "XOM__group_log_return_21", "GE__group_log_return_21"]
print(features[shown].iloc[-8:].round(4).to_string())

# %%
# Does it help?
# -------------
# One year is held out. Every line is within two standard errors of every other, so
# this year cannot tell them apart. The synthetic rate cannot help, and yet changes the
# score.

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
# In the batch system, ``groups`` keeps sectors in one batch, packed into as few batches
# as ``max_batch_size`` allows, and each batch has a model of its own, which learns from
# the rows of two to six tickers instead of twenty. Each model takes the mean of its own
# tickers as the market; the remaining differences are mostly the noise of models with
# few rows. Batch by groups only if you have reason to believe that they obey different
# rules.

options = {"features": extractor, "forecaster": trees}
one = BatchForecastingSystem(5, **options).fit(prices).forecast()
split = BatchForecastingSystem(5, groups=SECTORS, max_batch_size=6, **options)
own = split.fit(prices).forecast()

fig, ax = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
for batch, tickers in own.provenance.groupby("batch").groups.items():
    x, height = 100 * one.expected_returns[tickers], 100 * own.expected_returns[tickers]
    ax.scatter(x, height, label=batch)
    for ticker in tickers:
        ax.text(x[ticker] + 0.002, height[ticker] + 0.002, ticker, fontsize=7)
ax.axline((x.iloc[0], x.iloc[0]), slope=1, color="grey", linewidth=0.8, linestyle="--")
ax.margins(0.08)
ax.set_xlabel("forecast of one model of all tickers, %")
ax.set_ylabel("forecast of the batch's own model, %")
ax.legend(frameon=False, title="batch")
plt.show()
