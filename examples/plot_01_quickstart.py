"""
Quickstart: forecast the returns of 20 stocks
=============================================

Ten lines of code turn a table of prices into the expected return of every ticker over
the next five rows. The rest of this page shows which model made each forecast, and what
happens to tickers that the model cannot forecast.
"""

# %%
# The ten lines
# -------------
# :func:`~skbatch.forward_returns` computes the labels: the return from the close of
# each row to the close five rows later. The pipeline computes the features of all
# tickers together and trains one model on all of them. It is fitted without the last
# row, and then makes a forecast from that row alone, because the extractor has kept the
# past rows that its features need.

import warnings
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices

prices = load_sp500_prices().iloc[-2520:]  # ten years of 20 real stocks
y = forward_returns(prices, horizon=5)  # close to close, five rows ahead
model = make_pipeline(
    SharedFeatureExtractor(),
    FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster()),
)
model.fit(prices.iloc[:-1], y.iloc[:-1])
forecasts = model.predict(prices.iloc[[-1]])  # one new row is enough
print(forecasts.iloc[:, :5].round(5))
print(model[-1].provenance_["model"].value_counts())

# %%
# Forecasts are simple returns over the horizon: 0.004 is 0.4% in five rows. All of them
# come from the primary model, the trees.
#
# When the model cannot forecast a ticker
# ---------------------------------------
# Now suppose that GE was listed only 60 rows ago, and BBY has had no price for two
# days. The fit still succeeds, and a single warning names both. GE has too few labels
# for the trees (``min_labels=63``), so the linear model forecasts it. BBY, which has no
# current price, gets NaN instead of zero or yesterday's forecast.

spoilt = prices.copy()
spoilt.loc[spoilt.index[:-60], "GE"] = np.nan
spoilt.loc[spoilt.index[-2:], "BBY"] = np.nan
y = forward_returns(spoilt, horizon=5)
with warnings.catch_warnings(record=True, action="always") as caught:
    model.fit(spoilt.iloc[:-1], y.iloc[:-1])
print(*(fill(str(warning.message)) for warning in caught), sep="\n")

forecasts = model.predict(spoilt.iloc[[-1]]).iloc[0]
provenance = model[-1].provenance_
print(provenance.loc[["AAPL", "BBY", "GE"]].to_string())

# %%
# Plot the forecasts and their models
# -----------------------------------
# The forecasts differ by less than half a percent, while the standard deviation of a
# five-row return is more than 3%, so the ranking has a wide margin of error. Most of
# each bar is the same for all tickers: the shrunken mean return of the market.
# Forecasts alone do not show whether the ranking has any skill; see
# :ref:`sphx_glr_auto_examples_plot_05_walk_forward.py`.

ranked = 100 * forecasts.sort_values(na_position="first")
colors = {"BatchXGBoostForecaster": "#1f6feb", "BatchLinearForecaster": "#e3a008"}
fig, ax = plt.subplots(figsize=(8, 5.5), layout="constrained")
for name, color in colors.items():
    own = ranked.where(provenance["model"].reindex(ranked.index) == name)
    ax.barh(ranked.index, own, color=color, label=name)
for place, ticker in enumerate(ranked.index[ranked.isna()]):
    reason = provenance.loc[ticker, "reason"]
    ax.text(0.005, place, f"no forecast: {reason}", va="center", color="#c2410c")
stray = 100 * y.std().median()
ax.set_xlabel(
    f"expected return over 5 rows, %  (standard deviation of a return: {stray:.1f}%)"
)
ax.set_title(f"Forecasts from {spoilt.index[-1]:%Y-%m-%d}", loc="left", weight="bold")
ax.legend(loc="lower right", frameon=False)
plt.show()
