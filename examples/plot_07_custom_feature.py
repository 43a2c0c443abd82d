"""
Custom features, and how to detect look-ahead bias
==================================================

A custom feature is a function that takes prices and returns a table with the same rows.
It works wherever built-in features do. There is one rule: row *t* may use only row *t*
and earlier rows. It is easy to break this rule by accident.
"""

# %%
# Two features
# ------------
# A function that returns a DataFrame defines a feature of each ticker; one that returns
# a Series defines a feature that all tickers share. If functions need more past rows
# than the built-in features, set ``lookback`` to their number, so that they are kept
# for new rows.

from textwrap import fill

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor, forward_returns
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import mean_inference, rank_information_coefficient_series
from skbatch.testing import LookAheadError, check_no_lookahead


def downside_share(prices):
    """Share of falling days in the sum of squared returns over a quarter."""
    squares = prices.pct_change(fill_method=None) ** 2
    falling = squares.where(prices.diff() < 0, 0.0)
    return falling.rolling(63).sum() / squares.rolling(63).sum()


def new_highs(prices):
    """Share of tickers at their highest price in a quarter."""
    return (prices >= prices.rolling(63).max()).mean(axis=1)


prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
mine = SharedFeatureExtractor(
    functions={"downside_share": downside_share, "new_highs": new_highs}
)
features = mine.fit_transform(prices)
print(features[["AAPL__downside_share", "market__new_highs"]].iloc[-3:].round(3))

# %%
# Check for look-ahead bias
# -------------------------
# :func:`~skbatch.testing.check_no_lookahead` replaces the prices after random dates
# with garbage, and requires the features up to these dates to stay the same, bit for
# bit. It also plants leaks of its own to test itself. If it raises no error, it
# detected these and found no others.

sample = prices.iloc[-500:, :4]
check_no_lookahead(mine, sample)

# %%
# Two features that leak
# ----------------------
# A centered moving average looks better in a plot. But ``center=True`` also puts the
# next ten prices into today's feature. The second feature divides by a standard
# deviation of all rows, including future ones.


def smooth_trend(prices):
    """Gap between the price and its centered mean: looks ahead."""
    return prices / prices.rolling(21, center=True, min_periods=1).mean() - 1


def scaled_return(prices):
    """Return divided by the standard deviation of *all* rows: looks ahead, too."""
    returns = prices.pct_change(fill_method=None)
    return returns / returns.std()


for function in (smooth_trend, scaled_return):
    leaking = SharedFeatureExtractor(["returns"], functions={"mine": function})
    try:
        check_no_lookahead(leaking, sample)
    except LookAheadError as error:
        print(fill(f"{function.__name__}: {error}"), end="\n\n")

# %%
# The effect of a leak on the score
# ---------------------------------
# Cross-validation forecasts all test rows in a single call, so the centered mean sees
# the prices that follow. The rank IC is then far higher than anyone achieves: on daily
# prices, a mean above 0.05 (dashed) is a leak until proven otherwise.
#
# The second leak is too small to show in the score, but it is still wrong: the score
# reveals one of the two leaks, the check finds both. The other bars differ by no more
# than their standard errors, so the plot does not show whether the new features help.

past, y = prices.iloc[:-252], forward_returns(prices, horizon=5)
bars = {
    "built-in\nfeatures": ({}, "#1f6feb"),
    "and my two": (mine.functions, "#1f6feb"),
    "and a return\nscaled with all rows": ({"leak": scaled_return}, "#c2410c"),
    "and a\ncentered mean": ({"leak": smooth_trend}, "#c2410c"),
}
scores = {}
fig, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
for name, (functions, color) in bars.items():
    extractor = SharedFeatureExtractor(functions=functions)
    model = make_pipeline(extractor, BatchXGBoostForecaster(n_estimators=60))
    forecasts = model.fit(past, y.loc[past.index]).predict(prices.iloc[-252:])
    ic = rank_information_coefficient_series(y.iloc[-252:], forecasts)
    score = scores[name] = mean_inference(ic, horizon=5)
    error = abs(score.mean / score.t_statistic)
    bar = ax.bar(name, score.mean, yerr=error, color=color, alpha=0.85, capsize=4)
    ax.bar_label(bar, fmt="{:+.3f}", padding=3)
ax.axhline(0.05, color="grey", linestyle="--", label="a leak until proven otherwise")
ax.axhline(0, color="black", linewidth=0.8)
ax.set_ylabel("rank IC in the held-out year\n± one standard error")
ax.set_ylim(-0.1, 0.85)
ax.legend(frameon=False, loc="upper left")
plt.show()
