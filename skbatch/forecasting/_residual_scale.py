"""The unit that residuals are measured in: each label's expected volatility."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from skbatch._kernels.conformal import shrunken_deviation
from skbatch._kernels.target import winsorised
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._return_target import LabelScale

__all__ = ["ResidualScale", "label_keys"]


@dataclass
class ResidualScale:
    """The unit that residuals are measured in: each label's own recent volatility.

    Attributes
    ----------
    label_scale : LabelScale
        Names the volatility features; empty where there are none.
    deviation : dict
        (horizon, ticker) → the residuals' own deviation, used without such features.
    """

    label_scale: LabelScale
    deviation: dict[tuple[int, str], float]

    def matrix(self, features: FeatureBlocks, layout: LabelLayout) -> np.ndarray:
        """Spread of each label `(n_dates, n_labels)`; NaN where unknown."""
        names = self.label_scale.features
        if not names:
            # A ticker that was not fitted strays as the others do.
            typical = {
                horizon: _median(
                    [v for (key, _), v in self.deviation.items() if key == horizon]
                )
                for horizon in set(layout.horizons)
            }
            known = [
                self.deviation.get(key, typical[key[0]]) for key in label_keys(layout)
            ]
            return np.broadcast_to(known, (features.n_dates, len(known)))
        spread = np.empty((features.n_dates, len(layout.tickers)))
        for dates, table in features.tables(features=names):
            spread[dates] = self._of_table(table, layout)
        return spread

    def _of_table(self, table: FeatureTable, layout: LabelLayout) -> np.ndarray:
        """Average the volatilities of a table over their windows."""
        scale = replace(self.label_scale, tickers=layout.tickers)
        total = np.zeros((table.n_dates, len(layout.tickers)))
        weights = np.zeros_like(total)
        for name in scale.features:
            one = replace(scale, features=[name]).matrix(table)
            values = np.log(one.astype(np.float64))
            finite = np.isfinite(values)
            weight = _window(name)
            total += np.where(finite, weight * values, 0.0)
            weights += weight * finite
        mean = np.where(weights > 0, total / np.maximum(weights, 1.0), np.nan)
        return np.exp(mean) * np.sqrt(np.asarray(layout.horizons, dtype=np.float64))

    def learn(self, residuals: np.ndarray, layout: LabelLayout) -> None:
        """Measure the residuals' own deviation, where no feature tells it."""
        if self.label_scale.features:
            return
        horizons = np.asarray(layout.horizons)
        deviation = np.full(len(horizons), np.nan)
        for horizon in np.unique(horizons):
            use = horizons == horizon
            deviation[use] = shrunken_deviation(winsorised(residuals[:, use]))
        self.deviation = dict(zip(label_keys(layout), deviation.tolist(), strict=True))


def label_keys(layout: LabelLayout) -> list[tuple[int, str]]:
    """Name each label by horizon and ticker."""
    return list(zip(layout.horizons, layout.names, strict=True))


def _median(values: list[float]) -> float:
    """Median of the finite values; NaN without any."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")


def _window(name: str) -> float:
    """Weight of a volatility: its window, as a longer one has less noise."""
    match = re.fullmatch(r"volatility_(\d+)", name)
    return float(match.group(1)) if match else 1.0
