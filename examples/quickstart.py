"""From a table of prices to forecasts without look-ahead, tuned like any estimator.

Run it with ``python examples/quickstart.py`` where ``skbatch[demo]`` is installed.
"""

from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import load_sp500_prices

prices = load_sp500_prices()  # 20 real stocks, 1990–2022, no network
y = forward_returns(prices, horizon=5)  # close to close, five rows ahead

model = make_pipeline(
    SharedFeatureExtractor(),
    FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster()),
)
model.fit(prices.iloc[:-1], y.iloc[:-1])
forecasts = model.predict(prices.iloc[[-1]])  # one new row is enough
print(forecasts.iloc[:, :5].round(5))
print(model[-1].provenance_["model"].value_counts())

search = GridSearchCV(
    model,
    {"fallbackforecaster__estimator__max_depth": [2, 4]},
    cv=TimeSeriesSplit(5),  # needs no gap: labels of the last 5 rows are left out
)
search.fit(prices, y)
print(search.best_params_, round(search.best_score_, 5))
