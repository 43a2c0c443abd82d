"""
How good would it have been?
============================

:func:`~skbatch.walk_forward` does in the past what a portfolio job would have
done: refit, forecast what follows, repeat. This page reads the result in a sensible
order, which begins with what chance alone would produce.
"""

# %%
# Walk
# ----
# The first refit has 504 rows; every 252 rows, a year, the model is fitted anew on all
# rows before. The benchmarks get the same features and the same refits, so a difference
# between two rows of the table is one between forecasters.

import tempfile
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor, walk_forward
from skbatch.datasets import load_sp500_prices
from skbatch.metrics import InformationCoefficientDisplay, QuantileReturnsDisplay

prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
model = make_pipeline(SharedFeatureExtractor(), BatchXGBoostForecaster(n_estimators=60))
walk = walk_forward(model, prices, horizon=5, refit_every=252)

# %%
# The verdict
# -----------
# ``summary`` states only what the numbers support.

print(*map(fill, walk.summary().splitlines()), sep="\n")

# %%
# Against the benchmarks
# ----------------------
# - ``rank_ic_t`` within ±``critical_t``: the order of the tickers is not statistically
#   significant, and neither is what rests on it (spread, break-even cost).
# - ``r2_zero`` above 0: closer to the returns than forecasting nothing. With
#   ``r2_zero_t`` below 2, this is not significant either.
# - ``r2_mean`` above 0 with ``r2_zero`` below: the historical mean was worse still.
#
# Look for a forecaster that leads in all of these by more than chance. There is none
# here, and with 20 stocks over four years there could hardly be.

scores = ["rank_ic", "rank_ic_t", "critical_t", "r2_zero", "r2_zero_t", "r2_mean"]
print(walk.scorecard[[*scores, "spread_t", "break_even_bps"]].T.round(4).to_string())

# %%
# Skill over time
# ---------------
# Single dates (dots) scatter so widely that only long means are informative. A rolling
# mean that wanders around zero is what no skill looks like. Five-row returns of
# neighboring dates share four rows: the t-statistic allows for that; the plot does not.

ic = walk.rank_ic()[walk.name]
InformationCoefficientDisplay(ic, horizon=5).plot()
plt.show()

# %%
# Returns by quantile
# -------------------
# Forecasts with skill make a staircase. Compare the steps with the whiskers, and do
# not read a story into the order of bars whose whiskers overlap the dotted line, the
# mean of all tickers.

QuantileReturnsDisplay.from_predictions(walk.returns, walk.forecasts)
plt.show()

# %%
# Year by year
# ------------
# No year stands out by more than chance, and one good year in four would not show that
# the model understands its regime. The year with the best R² has the worst rank IC: the
# market rose as the model expected on average, but the ranking of the tickers was
# wrong. The two scores measure different things.

print(walk.skill_by("year").round(4).to_string())

# %%
# A report to hand on
# -------------------
# One HTML file with all of this, decay, models, refits and definitions, which needs no
# other file. It is written into a temporary folder here.

with tempfile.TemporaryDirectory() as folder:
    report = walk.to_html(Path(folder) / "report.html")
    size = report.stat().st_size / 1024
print(f"{report.name}: {size:.0f} KiB")

# %%
# What not to conclude
# --------------------
# - That skill was absent: with standard errors of 0.01 to 0.03, a true rank IC of 0.02,
#   which would be a good one, is not visible in four years of 20 stocks.
# - That another setting would be better because its row looks better. Every variant
#   that you try on the same years is one more draw
#   (:ref:`sphx_glr_auto_examples_plot_02_tuning.py`).
# - Anything about a strategy: these are the stocks that survived, without costs.
