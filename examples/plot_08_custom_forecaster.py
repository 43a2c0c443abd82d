"""
Write a custom forecaster
=========================

:class:`~skbatch.forecasting.BaseBatchForecaster` does what all forecasters have in
common: it checks the tables, drops labels that are not yet known, and gives forecasts
the right rows and columns. You write two methods; the forecaster then works wherever
the built-in ones do.
"""

# %%
# Example: a shrunken historical mean
# -----------------------------------
# The historical mean of a ticker is a noisy forecast. The noisier it is, the closer it
# should be to the mean of all tickers (James and Stein, 1961). Let m be the mean of n
# labels with variance v, and s² = h v / n its sampling variance (labels over h rows
# overlap, so only n / h of them count). With τ² = max(var(m) − mean(s²), 0), the
# variance between tickers, the forecast is m̄ + τ² / (τ² + s²) (m − m̄).

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    walk_forward,
)
from skbatch.datasets import load_sp500_prices
from skbatch.forecasting import BaseBatchForecaster
from skbatch.testing import check_batch_forecaster


class ShrunkenMeanForecaster(BaseBatchForecaster):
    """Each ticker's mean return, shrunk towards the mean of all."""

    def __init__(self, horizon="auto"):
        self.horizon = horizon

    def _fit_table(self, features, labels, layout):
        # labels: (n_dates, n_labels), NaN where unknown.
        horizons = np.asarray(layout.horizons)
        n_known = np.isfinite(labels).sum(axis=0)
        self.mean_, self.forecast_ = np.full((2, len(n_known)), np.nan)
        for horizon in set(layout.horizons):
            # Fewer than 20 independent labels are too few for a mean.
            use = (horizons == horizon) & (n_known >= 20 * horizon)
            if use.any():
                mean = self.mean_[use] = np.nanmean(labels[:, use], axis=0)
                error = horizon * np.nanvar(labels[:, use], axis=0) / n_known[use]
                between = max(mean.var() - error.mean(), 0.0)
                kept = between / (between + error)
                self.forecast_[use] = mean.mean() + kept * (mean - mean.mean())

    def _predict_table(self, features):
        return np.repeat(self.forecast_[None, :], features.n_dates, axis=0)


# %%
# Check it
# --------
# :func:`~skbatch.testing.check_batch_forecaster` tests the rules for batch forecasters:
# they do not learn from unknown labels, do not fill missing ones, match tickers by
# name, and a dozen more. This forecaster fills missing labels with zero, and fails:


class FillingForecaster(ShrunkenMeanForecaster):
    def _fit_table(self, features, labels, layout):
        super()._fit_table(features, np.nan_to_num(labels), layout)


check_batch_forecaster(ShrunkenMeanForecaster())  # silence is success
try:
    check_batch_forecaster(FillingForecaster())
except AssertionError as error:
    print(str(error).replace(". ", ".\n"))

# %%
# Use it
# ------
# Use it in a pipeline, in a search, as the ``fallback`` of a
# :class:`~skbatch.FallbackForecaster` or, as here, in the batch system. Over six years,
# the means of 20 stocks differ by no more than their errors, so they are shrunken
# completely: all tickers have the same forecast.

prices = load_sp500_prices()  # 33 years of 20 real stocks
system = BatchForecastingSystem(5, forecaster=ShrunkenMeanForecaster())
result = system.fit(prices.iloc[-1500:]).forecast()
print(result.to_frame()[["expected_return", "model"]].head(3).round(5).to_string())

# %%
# Does it help?
# -------------
# Over 33 years, the means do differ by more than their errors. AMD, a noisy ticker,
# keeps less than a tenth of its distance from the overall mean, JNJ more than half. In
# a walk-forward test since the end of 1994, the squared error is less than 1% below
# that of the historical mean (``r2_mean``), and there is no skill in ranking tickers.

model = make_pipeline(
    SharedFeatureExtractor(["returns"], windows=[5]), ShrunkenMeanForecaster()
)
model.fit(prices, forward_returns(prices, horizon=21))
mean, shrunken = 100 * model[-1].mean_, 100 * model[-1].forecast_
options = {"horizon": 21, "min_train": 1260, "refit_every": 504}
rival = {"historical mean": HistoricalMeanForecaster()}
walk = walk_forward(model, prices, benchmarks=rival, **options)
print(walk.scorecard[["r2_zero", "r2_mean", "rank_ic", "rank_ic_t"]].T.round(4))

order = mean.argsort()
tickers = prices.columns[order]
fig, ax = plt.subplots(figsize=(8, 5.5), layout="constrained")
ax.hlines(tickers, mean[order], shrunken[order], color="#b6bec8", zorder=0)
ax.scatter(mean[order], tickers, color="#b6bec8", label="historical mean")
ax.scatter(shrunken[order], tickers, color="#1f6feb", label="shrunken mean")
ax.set_xlabel("mean return over 21 rows, %")
ax.legend(frameon=False, loc="lower right")
plt.show()
