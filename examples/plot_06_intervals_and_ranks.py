"""
How sure: intervals, and chances of ranks
=========================================

Which way a stock goes is nearly unknown. How far it may go is known rather well,
since volatility lasts. :class:`~skbatch.ConformalForecaster` wraps any forecaster and
adds that: it looks at the residuals on the latest training dates, in units of each
ticker's own recent volatility, and measures how far returns deviate.
"""

# %%
# Fit on the past
# ---------------
# Four horizons at once. The last year is held out, to compare the intervals with what
# happened.

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
# A fan
# -----
# From a date in the middle of the year. The median rises by 2 to 3% in a month: that is
# the forecast. The band matters more: AMD's is more than three times as wide as that of
# Johnson & Johnson. One realized path inside or outside proves nothing.

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, ticker in zip(axes, ["AMD", "JNJ"], strict=True):
    ForecastFanDisplay.from_estimator(
        forecaster, X.iloc[:150], prices, ticker=ticker, n_history=63, ax=ax
    )
    ax.set_ylabel("price, USD")
plt.show()

# %%
# Do the intervals hold?
# ----------------------
# Over all tickers and dates of the year, this share of the five-row returns was below
# each quantile. Whiskers are wide, because the tickers fall and rise together: a year
# has some 50 independent weeks, not 5,000. Yet at the low end the diagonal is outside
# them. 2022 was a falling year: 16% of the returns ended below the quantile that
# promised 10%. Intervals are calibrated on the past, and hold only as far as the future
# resembles it.

LEVELS = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
quantiles = forecaster.predict_quantiles(X, LEVELS)
week = y[5].loc[new]
tables = {level: quantiles[level][5] for level in LEVELS}
IntervalCalibrationDisplay.from_predictions(week, tables, horizon=5)
plt.show()

# %%
# So the 80% intervals held 74% of the returns. That is an average: of the returns of
# single tickers, they held from 65 to 81%.

held = {t: interval_coverage(week[t], tables[0.1][t], tables[0.9][t]) for t in week}
held = pd.Series(held).sort_values().iloc[[0, 1, -2, -1]]
held["all 20"] = interval_coverage(week, tables[0.1], tables[0.9])
print(held.round(3).to_string())

# %%
# Chances of ranks
# ----------------
# Joint scenarios give each ticker's chances to end in each fifth of the 20 stocks. Rows
# are sorted by the chance of the middle. The volatile stocks have high chances at
# *both* ends, the quiet ones in the middle. That reflects volatility, not a view on
# direction.

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
ax.set_title(f"Chances over 5 rows from {new[-1]:%Y-%m-%d}, %", loc="left")
plt.show()

# %%
# Are they better than equal chances, which score 0.16? Smaller is better, and a few
# thousandths are a lot: in the M6 competition the best of 162 teams had 0.15645.

dates = new[:-5:10]  # every other week
scores = [
    ranked_probability_score(
        week.loc[date], forecaster.predict_rank_proba(X.loc[[date]], n_bins=5).loc[5]
    )
    for date in dates
]
error = np.std(scores, ddof=1) / len(scores) ** 0.5
print(f"{np.mean(scores):.4f} ± {error:.4f} on {len(scores)} dates")
