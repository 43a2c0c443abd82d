"""
Tuning with a search, and how little it proves
==============================================

A pipeline from prices to forecasts goes into ``GridSearchCV``
like any estimator. Three things are particular to returns: the score, the gap between
training and test rows, and how much of the best score is luck.
"""

# %%
# The search
# ----------
# :func:`~skbatch.metrics.make_forecast_scorer` scores the order of the tickers, and
# leaves out the last labels of each test fold, which end after it. ``TimeSeriesSplit``
# needs no ``gap``: forecasters never train on the last ``horizon`` labels, which would
# reach into the test fold. The last year is kept from the search altogether.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from skbatch import BatchXGBoostForecaster, SharedFeatureExtractor, forward_returns
from skbatch.datasets import load_sp500_prices
from skbatch.feature_extraction import cache_info, clear_cache
from skbatch.metrics import (
    make_forecast_scorer,
    mean_inference,
    rank_information_coefficient_series,
)

prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
y = forward_returns(prices, horizon=5)
past, last_year = prices.iloc[:-252], prices.iloc[-252:]

model = Pipeline(
    [
        ("features", SharedFeatureExtractor()),
        ("trees", BatchXGBoostForecaster(n_estimators=60)),
    ]
)
grid = {"trees__max_depth": [2, 4, 6], "trees__market_features": [True, False]}
n_folds = 5
search = GridSearchCV(
    model,
    grid,
    scoring=make_forecast_scorer("rank_ic"),
    cv=TimeSeriesSplit(n_folds, test_size=126),
)
clear_cache()
search.fit(past, y.loc[past.index])

# %%
# Features are computed once
# --------------------------
# Six candidates on five folds ask 60 times for features, and the last fit once more.
# All candidates share those of a fold, so they are computed twice for each fold (its
# training and its test rows) and once for the last fit. With feature parameters in the
# grid, this multiplies.

cache = cache_info()
print(f"asked for {cache.hits + cache.extractions} times, computed {cache.extractions}")

# %%
# The result, with its standard error
# -----------------------------------
# The standard error of the mean follows from ``std_test_score``, the standard deviation
# over folds. With five folds it is a rough estimate.

results = pd.DataFrame(
    {
        "max_depth": search.cv_results_["param_trees__max_depth"],
        "market_features": search.cv_results_["param_trees__market_features"],
        "rank_ic": search.cv_results_["mean_test_score"],
        "standard_error": search.cv_results_["std_test_score"] / np.sqrt(n_folds - 1),
    }
)
print(results.sort_values("rank_ic", ascending=False).round(4).to_string(index=False))

# %%
# Multiple testing
# ----------------
# Through selection alone, the best of six scores looks too good: of six independent
# candidates without any skill, the best is expected 1.27 standard errors above zero
# (dashed). Of a hundred, it would be 2.5. So ``best_score_`` is not an estimate of
# future scores. The year that was held out gives one, but for one candidate and only
# once: looking again is another test.
#
# Here the best score is no higher than chance would produce, and the score of the
# held-out year is within two standard errors of zero: the search has found nothing.
# Take the cheapest candidate, or the default.

n_candidates = len(results)
draws = np.random.default_rng(0).standard_normal((20_000, n_candidates))
luck = draws.max(axis=1).mean() * results["standard_error"].mean()
ic = rank_information_coefficient_series(
    y.loc[last_year.index], search.predict(last_year)
)
held_out = mean_inference(ic, horizon=5)
error = abs(held_out.mean / held_out.t_statistic)

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
labels = [
    f"depth {row.max_depth}, {'with' if row.market_features else 'without'} market"
    for row in results.itertuples()
] + ["the best, in the year held out"]
means = [*results["rank_ic"], held_out.mean]
errors = [*results["standard_error"], error]
colors = ["#1f6feb"] * n_candidates + ["#c2410c"]
ax.barh(labels, means, xerr=errors, color=colors, alpha=0.85, capsize=4, height=0.6)
ax.axvline(0, color="black", linewidth=0.8)
ax.axvline(luck, color="grey", linestyle="--", label="best of six without skill")
ax.invert_yaxis()
ax.set_xlabel("mean rank IC, ± one standard error")
ax.legend(frameon=False, loc="upper left")
plt.show()
