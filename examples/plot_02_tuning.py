"""
Hyperparameter tuning, and how much of it is luck
=================================================

A pipeline from prices to forecasts goes into ``GridSearchCV`` like any other estimator.
Three things are special about returns: the score, the gap between training and test
rows, and the share of luck in the best score (overfitting).
"""

# %%
# The search
# ----------
# :func:`~skbatch.metrics.make_forecast_scorer` scores the ranking of the tickers, and
# leaves out the last labels of each test fold, which end after the fold.
# ``TimeSeriesSplit`` needs no ``gap``, because forecasters never train on the last
# ``horizon`` labels, which would overlap the test fold. The last year is held out from
# the search.

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
# Six candidates on five folds need features 60 times, for training and for test rows;
# the final refit needs them once more. All candidates share the features of a fold, so
# they are computed only twice per fold and once for the refit. If the grid contains
# parameters of the features, they are computed for each value.

cache = cache_info()
print(f"asked for {cache.hits + cache.extractions} times, computed {cache.extractions}")

# %%
# The result, with its standard error
# -----------------------------------
# The standard error of the mean is computed from ``std_test_score``, the standard
# deviation over folds. With five folds, it is only a rough estimate.

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
# Selection alone makes the best of six scores look too good: the best of six
# independent candidates without skill is expected to be 1.27 standard errors above zero
# (dashed line); the best of a hundred, 2.5. So ``best_score_`` is not an estimate of
# future scores. The held-out year gives such an estimate, but only for one candidate
# and only once: every further look at it is another test.
#
# Here, the best score is no higher than chance would produce, and the score in the
# held-out year is within two standard errors of zero. The search has found nothing, so
# use the cheapest candidate, or the default.

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
] + ["the best, in the held-out year"]
means = [*results["rank_ic"], held_out.mean]
errors = [*results["standard_error"], error]
colors = ["#1f6feb"] * n_candidates + ["#c2410c"]
ax.barh(labels, means, xerr=errors, color=colors, alpha=0.85, capsize=4, height=0.6)
ax.axvline(0, color="black", linewidth=0.8)
ax.axvline(luck, color="grey", linestyle="--", label="best of six without skill")
ax.invert_yaxis()
ax.set_xlabel("mean rank IC, ± one standard error")
ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
plt.show()
