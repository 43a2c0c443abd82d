"""
Prediction intervals and rank probabilities
===========================================

The direction of a stock is hardly predictable, but the size of its moves is, because
volatility persists. :class:`~skbatch.ConformalForecaster` adds prediction (confidence)
intervals to any forecaster: it measures the forecast errors on the latest training
dates, in units of the recent volatility of each ticker.
"""

# %%
# Fit on the past
# ---------------
# The model forecasts four horizons at once. The last year is held out, to compare the
# intervals with the actual returns.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import (
    ForecastFanDisplay,
    IntervalCalibrationDisplay,
    interval_coverage,
    ranked_probability_score,
)

prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
y = forward_returns(prices, horizon=[1, 5, 10, 21])
past, new = prices.index[:-252], prices.index[-252:]
model = make_pipeline(
    SharedFeatureExtractor(), ConformalForecaster(BatchLinearForecaster())
)
model.fit(prices.loc[past], y.loc[past])
X, forecaster = model[:-1].transform(prices.loc[new]), model[-1]

# %%
# Fan chart
# ---------
# The charts start on a date in the middle of the year. The median, which is the
# forecast, rises by 2 to 3% in a month. The band matters more: AMD's is more than three
# times as wide as that of Johnson & Johnson (JNJ). A single path inside or outside
# proves nothing.

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, ticker in zip(axes, ["AMD", "JNJ"], strict=True):
    ForecastFanDisplay.from_estimator(
        forecaster, X.iloc[:150], prices, ticker=ticker, n_history=63, ax=ax
    )
    ax.set_ylabel("price, USD")
plt.show()

# %%
# Are the intervals calibrated?
# -----------------------------
# The plot shows the share of five-row returns below each quantile, over all tickers and
# dates of the year. The whiskers are wide because tickers move together: a year has
# about 50 independent weeks, not 5,000. Even so, the diagonal is outside them at the
# low end. Prices fell in 2022, and 16% of the returns were below the 10% quantile.
# Intervals are calibrated on the past, and hold only if the future resembles it.

LEVELS = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
quantiles = forecaster.predict_quantiles(X, LEVELS)
week = y[5].loc[new]
tables = {level: quantiles[level][5] for level in LEVELS}
IntervalCalibrationDisplay.from_predictions(week, tables, horizon=5)
plt.show()

# %%
# So the coverage of the 80% intervals was 74%. That is an average: the coverage of
# single tickers ranged from 65 to 81%.

held = {t: interval_coverage(week[t], tables[0.1][t], tables[0.9][t]) for t in week}
held = pd.Series(held).sort_values().iloc[[0, 1, -2, -1]]
held["all 20"] = interval_coverage(week, tables[0.1], tables[0.9])
print(held.round(3).to_string())

# %%
# Rank probabilities
# ------------------
# Joint scenarios yield the probability that each ticker's return ranks in each fifth of
# the 20 stocks. Rows are sorted by the probability of the middle fifth. Volatile stocks
# are likely to rank at *both* ends, quiet ones in the middle. This reflects volatility,
# not a view on direction.

chances = forecaster.predict_rank_proba(X, n_bins=5).loc[5]
chances = chances.sort_values(3)
fig, ax = plt.subplots(figsize=(7, 6), layout="constrained")
ax.imshow(100 * chances, aspect="auto", cmap="RdBu_r", vmin=0, vmax=40)
ax.set_yticks(range(len(chances)), chances.index)
ax.set_xticks(range(5), ["lowest fifth", "2", "3", "4", "highest fifth"])
for (row, column), chance in np.ndenumerate(chances):
    color = "white" if abs(chance - 0.2) > 0.12 else "black"
    ax.text(column, row, f"{100 * chance:.0f}", ha="center", va="center", color=color)
ax.set_xlabel("where the return ranks among the 20")
ax.set_title(f"Rank probabilities over 5 rows from {new[-1]:%Y-%m-%d}, %", loc="left")
plt.show()

# %%
# Are they better than equal probabilities, which score 0.16? Lower is better, and a few
# thousandths are a lot: the best of 162 teams in the M6 competition scored 0.15645.

dates = new[:-5:10]  # every other week
scores = [
    ranked_probability_score(
        week.loc[date], forecaster.predict_rank_proba(X.loc[[date]], n_bins=5).loc[5]
    )
    for date in dates
]
error = np.std(scores, ddof=1) / len(scores) ** 0.5
print(f"{np.mean(scores):.4f} ± {error:.4f} on {len(scores)} dates")
