"""The volatility that labels are scaled by, and the way back to returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skbatch._kernels.target import market_share, standard_deviation, winsorized
from skbatch.exceptions import PanelError
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._rank_label import nearest_windows, shrunken_betas


@dataclass
class LabelTransform:
    """How what models forecast becomes returns."""

    layout: LabelLayout
    scale: LabelScale
    expectation: np.ndarray
    weight: np.ndarray
    betas: list[str] = field(default_factory=list)

    def returns(
        self, relative: np.ndarray, unit: np.ndarray, features: FeatureBlocks
    ) -> np.ndarray:
        """Turn relative forecasts `(n_dates, n_labels)` at volatility `unit` back."""
        unit = unit.astype(np.float64)
        common = self.weight * self.expectation
        if self.scale.features:
            common = common * market_share(unit, _typical(features))
        if self.betas:
            common = common * shrunken_betas(self.betas, features, self.layout)
        root = np.sqrt(np.asarray(self.layout.horizons, dtype=np.float64))
        return common + relative * unit * root


@dataclass
class LabelScale:
    """How the volatility per row of each label is found."""

    features: list[str]  # the best one first; empty for a constant
    tickers: tuple[str | None, ...]
    constant: np.ndarray

    @classmethod
    def choose(
        cls,
        scale: str | None,
        features: FeatureBlocks,
        labels: np.ndarray,
        layout: LabelLayout,
    ) -> LabelScale:
        """Choose the features by the parameter `scale` of a target."""
        names = features.columns.features
        if scale is None or not features.series_columns(layout.tickers).shape[1]:
            chosen: list[str] = []
        elif scale == "auto":
            chosen = volatility_names(names)
        else:
            check_feature("scale", scale, ["'auto'", "None"], features)
            chosen = [scale]
        root_horizon = np.sqrt(np.asarray(layout.horizons, dtype=np.float64))
        needed = scale is not None and not chosen
        deviation = np.ones(len(root_horizon))
        if needed:
            deviation = standard_deviation(winsorized(labels))
        return cls(chosen, layout.tickers, deviation / root_horizon)

    def matrix(self, features: FeatureBlocks) -> np.ndarray:
        """Volatility per row `(n_dates, n_labels)`; NaN where unknown or zero."""
        if not self.features:
            scale = np.where(self.constant > 0, self.constant, np.nan)
            return np.broadcast_to(scale, (features.n_dates, len(scale)))
        kept = features.__dict__.setdefault("_scales", {})
        key = (tuple(self.features), self.tickers)
        if key not in kept:
            scale = np.full((features.n_dates, len(self.tickers)), np.nan, np.float32)
            for dates, table in features.tables(features=self.features):
                scale[dates] = self._of_table(table)
            kept[key] = scale
        return kept[key]

    def _of_table(self, table: FeatureTable) -> np.ndarray:
        """Read the best known volatility from a table."""
        own = table.series_columns(self.tickers)
        scale = np.full((table.n_dates, len(own)), np.nan, np.float32)
        for name in self.features:
            numbers = own[:, table.columns.features.index(name)]
            candidate = np.where(numbers >= 0, table.values[:, numbers], np.nan)
            if (candidate < 0).any():
                raise PanelError(
                    f"The volatilities of X, {name!r}, must not be negative. Got "
                    "features that look standardized. Leave out the scaler, which "
                    "no forecaster here needs, or pass scale=None."
                )
            scale = np.where(scale > 0, scale, candidate)
        return np.where(scale > 0, scale, np.float32(np.nan))


def check_feature(
    parameter: str, value: Any, others: list[str], features: FeatureBlocks
) -> None:
    """Reject a parameter of the target that is no ticker feature of X."""
    names = features.columns.features
    if value not in names:
        raise ValueError(
            f"{parameter} must be {', '.join(others)} or a ticker feature of X. Got "
            f"{value!r}. X has {', '.join(names[:5])}, …."
        )


def _typical(features: FeatureBlocks) -> np.ndarray | None:
    """Look up the typical volatility of the universe of these tickers."""
    if features.universe is None or features.universe.typical is None:
        return None
    return features.universe.typical.reindex(features.index).to_numpy()


def volatility_names(names: Iterable[str]) -> list[str]:
    """List the features that hold a ticker's own volatility, the best one first."""
    return nearest_windows("volatility", 63, names)
