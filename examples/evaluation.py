"""How good forecasts would have been, and how sure the next ones are."""

from textwrap import fill

import pandas as pd
from sklearn.pipeline import make_pipeline

from skbatch import (
    BatchLinearForecaster,
    ConformalForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    walk_forward,
)
from skbatch.datasets import load_sp500_prices

prices = load_sp500_prices().iloc[-1500:]  # six years of 20 real stocks
walk = walk_forward(
    make_pipeline(SharedFeatureExtractor(), BatchLinearForecaster()),
    prices,
    horizon=5,  # refitted every 63 rows, on all rows before
    benchmarks={"historical mean": HistoricalMeanForecaster()},
)
print(*map(fill, walk.summary().splitlines()), sep="\n")

model = make_pipeline(
    SharedFeatureExtractor(), ConformalForecaster(BatchLinearForecaster())
)
y = forward_returns(prices, horizon=5)
model.fit(prices.iloc[:-1], y.iloc[:-1])
X = model[:-1].transform(prices.iloc[[-1]])
lower, upper = model[-1].predict_interval(X, coverage=0.8)
table = pd.concat({"lower": lower.iloc[0], "upper": upper.iloc[0]}, axis=1)
chances = model[-1].predict_rank_proba(X, n_bins=4)  # of each quarter of the ranks
print(table.join(chances).head(3).round(3))
