"""
A forecaster of your own
========================

:class:`~skbatch.forecasting.BaseBatchForecaster` does what all batch forecasters must
do: check the tables, drop the labels that are not known yet, give forecasts the rows
and columns that they should have. What is left are two hooks. A forecaster that has
them works wherever the built-in ones do.
"""

# %%
# An idea
# -------
# The historical mean of each ticker is an honest forecast, and a noisy one. The larger
# the noise against the differences between tickers, the closer each mean should be to
# that of all (James and Stein, 1961). With the means m of n labels, their variances
# s² = h v / n (labels over h rows overlap, so only n / h of them count), and the
# variance between tickers τ² = max(var(m) − mean(s²), 0), the forecast is
# m̄ + τ² / (τ² + s²) (m − m̄).

import numpy as np
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchForecastingSystem,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices
from skbatch.forecasting import BaseBatchForecaster
from skbatch.testing import check_batch_forecaster


class ShrunkenMeanForecaster(BaseBatchForecaster):
    """Each ticker's mean return, shrunk towards the mean of all."""

    def __init__(self, horizon="auto"):
        self.horizon = horizon

    def _fit_table(self, features, labels, layout):
        # labels: (n_dates, n_labels), NaN where unknown; layout: what the columns are.
        horizons = np.asarray(layout.horizons)
        n_known = np.isfinite(labels).sum(axis=0)
        self.mean_ = np.full(len(n_known), np.nan)
        self.forecast_ = self.mean_.copy()
        enough = n_known >= 20 * horizons  # else there is no mean to speak of
        self.mean_[enough] = np.nanmean(labels[:, enough], axis=0)
        for horizon in set(layout.horizons):
            use = enough & (horizons == horizon)
            if use.any():
                error = horizon * np.nanvar(labels[:, use], axis=0) / n_known[use]
                self.forecast_[use] = self._shrunken(self.mean_[use], error)

    def _shrunken(self, mean, error):
        if len(mean) == 1:
            return mean
        between = max(mean.var(ddof=1) - error.mean(), 0.0)
        return mean.mean() + between / (between + error) * (mean - mean.mean())

    def _predict_table(self, features):
        return np.repeat(self.forecast_[None, :], features.n_dates, axis=0)


# %%
# Check the promises
# ------------------
# :func:`~skbatch.testing.check_batch_forecaster` tries what a batch forecaster
# promises: unknown labels are not learnt, missing ones are not filled, tickers go by
# name, and a dozen more. Fill missing labels with zero, and it says so.


class FillingForecaster(ShrunkenMeanForecaster):
    def _fit_table(self, features, labels, layout):
        super()._fit_table(features, np.nan_to_num(labels), layout)


check_batch_forecaster(ShrunkenMeanForecaster())
try:
    check_batch_forecaster(FillingForecaster())
except AssertionError as error:
    print(error)

# %%
# Use it
# ------
# In a pipeline, as a fallback, and in the batch system, which records it as the source
# of the forecasts. Here XOM was listed 60 rows ago: too few labels for the trees, and
# for a mean of its own as well, so it ends at NaN with both reasons.

prices = load_sp500_prices()  # 33 years of 20 real stocks
y = forward_returns(prices, horizon=5)
features = SharedFeatureExtractor(["returns", "volatility"])
model = make_pipeline(features, ShrunkenMeanForecaster()).fit(prices, y)
fallback = FallbackForecaster(
    BatchXGBoostForecaster(n_estimators=50), ShrunkenMeanForecaster()
)
system = BatchForecastingSystem(
    5, features=features, forecaster=ShrunkenMeanForecaster()
)
result = system.fit(prices).forecast()
print(result.provenance["model"].value_counts().to_string())

# %%
# What shrinkage does
# -------------------
