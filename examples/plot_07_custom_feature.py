"""
A feature of your own, and a leaking one
========================================

A feature is a function from a panel of prices to a table with the same rows. It takes
part in everything that the built-in ones do. The one rule is that row *t* uses row *t*
and earlier ones, and that is easier to break than it looks.
"""

# %%
# Two features
# ------------
# A DataFrame is a feature of each ticker, a Series one that all share. ``lookback`` is
# how many rows before its own the functions read: so many are kept for new rows.

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor, forward_returns
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import mean_inference, rank_information_coefficient_series
from skbatch.testing import LookAheadError, check_no_lookahead


def downside_share(prices):
    """Share of the squared returns of a quarter that comes from falling days."""
    squares = prices.pct_change(fill_method=None) ** 2
    falling = squares.where(prices.diff() < 0, 0.0)
    return falling.rolling(63).sum() / squares.rolling(63).sum()


def new_highs(prices):
    """Share of the tickers at their highest price of a quarter."""
    return (prices >= prices.rolling(63).max()).mean(axis=1)


prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
mine = SharedFeatureExtractor(
    functions={"downside_share": downside_share, "new_highs": new_highs}
)
features = mine.fit_transform(prices)
print(features[["AAPL__downside_share", "market__new_highs"]].iloc[-3:].round(3))

# %%
# Check it
# --------
# :func:`~skbatch.testing.check_no_lookahead` replaces the prices after random dates by
# garbage, and demands the same features up to these dates, bit for bit. If it raises
# nothing, it found no leak, and it did detect the leaks that it planted itself.

sample = prices.iloc[-500:, :4]
check_no_lookahead(mine, sample)

# %%
# A leak
# ------
# Smoothing is a common wish, and ``center=True`` looks better in a plot. It also puts
# the next ten prices into today's feature.


def smooth_trend(prices):
    """Gap between the price and its centered mean: looks ahead."""
    return prices / prices.rolling(21, center=True, min_periods=1).mean() - 1


def scaled_return(prices):
    """Return over the deviation of *all* rows: looks ahead, too."""
    returns = prices.pct_change(fill_method=None)
    return returns / returns.std()


for function in (smooth_trend, scaled_return):
    leaking = SharedFeatureExtractor(["returns"], functions={"mine": function})
    try:
        check_no_lookahead(leaking, sample)
    except LookAheadError as error:
        print(f"{function.__name__}: {str(error)[:200]} ...\n")

# %%
# What a leak looks like in a score
# ---------------------------------
# Forecasting a year of test rows in one call, as cross-validation does, hands the
# centered mean the prices that follow. The rank IC is then far higher than anyone
# achieves: on daily prices, a mean above 0.05 (dashed) is a leak until proven
# otherwise.
#
# The second leak would never show here. It is small, it does not look good, and it is
# still wrong: the score finds one of the two leaks, the check finds both. The other
# bars do not differ beyond their standard errors, so this shows nothing about the two
# new features.

past, y = prices.iloc[:-252], forward_returns(prices, horizon=5)
bars = {
    "built-in\nfeatures": ({}, "#1f6feb"),
    "and my two": (mine.functions, "#1f6feb"),
    "and a return\nscaled with all rows": ({"leak": scaled_return}, "#c2410c"),
    "and a\ncentred mean": ({"leak": smooth_trend}, "#c2410c"),
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
ax.set_ylabel("rank IC in the year held out\n± one standard error")
ax.set_ylim(-0.1, 0.85)
ax.legend(frameon=False, loc="upper left")
plt.show()
