"""
Add a point-in-time signal, such as fundamentals
================================================

Prices alone contain little information about future returns. Signals of your own, such
as fundamentals, estimates or sentiment, are joined to the prices as of the dates on
which they became known (point in time), and the extractor computes features from them.
This example compares a model with and without a signal.
"""

# %%
# A table of publications
# -----------------------
# The prices are real. The signal is *made up*: a score that is published on Fridays,
# each time for two tickers in three. It is noise mixed with some of the next week's
# relative return, with a correlation of 0.3. That takes knowledge of the future, which
# no real score has: one that seems this good is most likely dated too early.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import mean_inference, rank_information_coefficient_series
from skbatch.panel import join_signals

prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
y = forward_returns(prices, horizon=5)

rng = np.random.default_rng(0)
relative = (y.sub(y.mean(axis=1), axis=0) / y.std()).fillna(0)
noise = rng.standard_normal(relative.shape)
scores = (0.3 * relative + noise).where(rng.random(relative.shape) < 2 / 3)
fridays = scores[scores.index.day_of_week == 4].rename_axis(index="published")
reports = fridays.melt(ignore_index=False, var_name="ticker", value_name="score")
reports = reports.dropna().reset_index().sort_values(["published", "ticker"])
print(reports.tail(3).to_string())

# %%
# Joined as of their dates
# ------------------------
# ``known`` names the column with the date on which a row became known. Its value
# applies from the close of that date, until the next value replaces it or it is older
# than ``max_age``. Here, a score that is older than four weeks is NaN again.

panel = join_signals(prices, reports, known="published", max_age="28D")
print(panel["score"].iloc[-8:, :4].round(2).to_string())

# %%
# What the model sees
# -------------------
# The signal becomes three features of each ticker: the score, its rank among the
# tickers on that date, and its change over 63 rows. ``signals={"score": ["rank"]}``
# would keep only the rank.

extractor = SharedFeatureExtractor().fit(panel)
print(extractor.plan_.ticker_names[-3:])

# %%
# With and without the signal
# ---------------------------
# Two years are held out. Both models use the same prices and are trained on the same
# rows.


def evaluate(table):
    """Fit on all but the last two years, and score forecasts of these two years."""
    model = make_pipeline(SharedFeatureExtractor(), BatchXGBoostForecaster())
    model.fit(table.iloc[:-504], y.iloc[:-504])
    forecasts = model.predict(table.iloc[-504:])
    return rank_information_coefficient_series(y.iloc[-504:], forecasts)


score = panel["score"].iloc[-504:]
series = {
    "prices only": evaluate(prices),
    "prices and score": evaluate(panel),
    "the score itself": rank_information_coefficient_series(y.iloc[-504:], score),
}
rows = {}
for name, ic in series.items():
    result = mean_inference(ic, horizon=5)
    rows[name] = [result.mean, result.t_statistic]
table = pd.DataFrame(rows, ["rank IC", "t"]).T
print(table.round(3).to_string())

# %%
# The score is new on Fridays and up to four weeks old on other days, so its own rank IC
# is far below 0.3. The model recovers only part of it, because it has to find one
# useful column among fifty from the returns of 20 tickers. A mean rank IC above 0.05 on
# daily data is a leak until proven otherwise; here, the leak is the made-up score.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, ic in series.items():
    ax.plot(ic.cumsum(), label=name)
ax.axhline(0, color="grey", linewidth=0.8)
ax.set_ylabel("cumulative rank IC")
ax.legend(frameon=False)
plt.show()
