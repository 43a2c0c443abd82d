"""
Walk-forward test: how good would forecasts have been?
======================================================

:func:`~skbatch.walk_forward` repeats in the past what a daily job would have done:
refit, forecast the rows that follow, and so on. This page reads the result in a
sensible order, starting with what is statistically significant.
"""

# %%
# Run the test
# ------------
# The first fit uses 504 rows. Every 252 rows (a year), the model is refitted on all
# earlier rows. The benchmarks use the same features and refits, so differences in their
# scores are differences between forecasters.

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
# ``summary`` puts into words only what the numbers support.

print(*map(fill, walk.summary().splitlines()), sep="\n")

# %%
# Against the benchmarks
# ----------------------
# - If the absolute value of ``rank_ic_t`` is below ``critical_t``, the ranking of the
#   tickers is not statistically significant, and neither are the spread and the
#   break-even cost.
# - If ``r2_zero`` is above 0, forecasts are closer to the returns than zero is. If
#   ``r2_zero_t`` is below 2, this is not significant.
# - If ``r2_mean`` is above 0 but ``r2_zero`` below, the historical mean was even worse.
#
# Look for a forecaster whose lead is significant in all of these. There is none here,
# and with 20 stocks over four years one could hardly expect any.

ranking = ["rank_ic", "rank_ic_t", "critical_t", "spread_t", "break_even_bps"]
for scores in (ranking, ["r2_zero", "r2_zero_t", "r2_mean"]):
    print(walk.scorecard[scores].round(4).to_string(), end="\n\n")

# %%
# Skill over time
# ---------------
# Single dates (dots) scatter so widely that only averages over long periods are
# informative. Without skill, the rolling mean wanders around zero, as it does here.
# Five-row returns of neighboring dates overlap by four rows: the t-statistic takes this
# into account, the plot does not.

ic = walk.rank_ic()[walk.name]
InformationCoefficientDisplay(ic, horizon=5).plot()
plt.show()

# %%
# Returns by quantile
# -------------------
# If forecasts have skill, the bars rise from left to right like a staircase. Compare
# the steps with the whiskers (95% confidence intervals). If the whiskers overlap the
# dotted line, the mean of all tickers, the order of the bars means nothing.

QuantileReturnsDisplay.from_predictions(walk.returns, walk.forecasts)
plt.show()

# %%
# Year by year
# ------------
# No single year is significant, and one good year in four would not show that the model
# suits some market regime. The year with the best R² has the worst rank IC: the market
# rose as the model expected, but the ranking of the tickers was wrong. The two scores
# measure different things.

print(walk.skill_by("year").round(4).to_string())

# %%
# An HTML report
# --------------
# A single self-contained file with all of this and more: decay, models, refits and
# definitions. Here, it is written to a temporary folder.

with tempfile.TemporaryDirectory() as folder:
    report = walk.to_html(Path(folder) / "report.html")
    size = report.stat().st_size / 1024
print(f"{report.name}: {size:.0f} KiB")

# %%
# What not to conclude
# --------------------
# - That there is no skill. With standard errors of 0.01 to 0.03, even a true rank IC of
#   0.02, which would be good, cannot be detected in four years of 20 stocks.
# - That another setting is better because its scores are higher. Every variant that you
#   try on the same years is another chance to be lucky
#   (:ref:`sphx_glr_auto_examples_plot_02_tuning.py`).
# - That a strategy would have made money. These stocks are survivors (survivorship
#   bias), and the scores do not include transaction costs.
