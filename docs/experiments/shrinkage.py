"""Compare the shrinkage that is found with the best constant one in hindsight.

Usage::

    python docs/experiments/shrinkage.py PRICES [--step N] [--horizons N …]

`PRICES` is a file that :func:`skbatch.read_panel` reads. Models are refitted every
`step` rows, from 40% of the rows on, and forecast the rows up to the next fit.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)

MODELS = {
    "trees": BatchXGBoostForecaster,
    "ridge": BatchLinearForecaster,
    "ridge of each ticker": lambda: BatchLinearForecaster("per_ticker"),
}


def forecast(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecast with the shrinkage that was found, with none, and with all of it."""
    trained = model.model_.models
    found = [part.shrinkage for part in trained]
    forecasts = [np.asarray(model.predict(X))]
    for factor in (1.0, 0.0):
        for part in trained:
            part.shrinkage = factor
        forecasts.append(np.asarray(model.predict(X)))
    for part, factor in zip(trained, found, strict=True):
        part.shrinkage = factor
    return tuple(forecasts)  # type: ignore[return-value]


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prices")
    parser.add_argument("--step", type=int, default=252)
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 5, 21])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    panel = read_panel(given.prices)
    close = panel["Close"] if panel.columns.nlevels > 1 else panel
    X = SharedFeatureExtractor().fit_transform(close)
    print("| horizon | model | market alone | found | best constant | its factor |")
    print("|---" * 6 + "|")
    for horizon in given.horizons:
        y = forward_returns(close, horizon)
        for name, make in MODELS.items():
            parts = []
            for a in range(int(len(X) * 0.4), len(X), given.step):
                rows = slice(a, a + given.step)
                fitted = make().fit(X[:a], y[:a])
                parts.append((y[rows].to_numpy(), *forecast(fitted, X[rows])))
            returns, found, full, market = map(np.concatenate, zip(*parts, strict=True))
            known = np.isfinite(returns) & np.isfinite(full)
            left, model = (returns - market)[known], (full - market)[known]
            factor = float(np.clip(left @ model / (model @ model), 0, 1))
            total = (returns[known] ** 2).sum()
            scores = [
                100 * (1 - (error @ error) / total)
                for error in (left, (returns - found)[known], left - factor * model)
            ]
            cells = " | ".join(f"{score:+.2f}" for score in scores)
            print(f"| {horizon} | {name} | {cells} | {factor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
