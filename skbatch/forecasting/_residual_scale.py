"""The unit that residuals are measured in: each label's expected volatility."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skbatch._kernels.conformal import (
    calmer_factors,
    independent_dates,
    shrunken_deviation,
)
from skbatch._kernels.target import winsorized
from skbatch._kernels.volatility import fit_log_volatility
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._label_scale import LabelScale
from skbatch.panel.engine import IMPLIED_VOLATILITY

_VOLATILITY = re.compile(r"volatility_(\d+)")
# Volatilities of another level, from highs and lows or from options: they only move the
# mean of the others.
_OTHER_LEVEL = re.compile(rf"parkinson_volatility_\d+|{IMPLIED_VOLATILITY.pattern}")
# How many independent dates the mean of windows is worth beside what is learned of
# single ones, and of volatilities of another level.
PRIOR_DATES = 80.0
PRIOR_DATES_OTHER = 20.0
# Deviations from their mean beyond which inputs move a volatility no further.
MAX_INPUT = 3.0


@dataclass(frozen=True)
class VolatilityRegression:
    """How far the volatilities of single windows move the mean of all, in logs."""

    constant: float
    coefficients: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def fit(
        cls,
        base: np.ndarray,
        inputs: np.ndarray,
        squares: np.ndarray,
        ridge: np.ndarray,
    ) -> VolatilityRegression:
        """Fit it on rows with a known return."""
        known = np.isfinite(inputs)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, inputs, 0.0).sum(axis=0) / count
        spread = np.where(known, inputs - mean, 0.0)
        deviation = np.sqrt(np.square(spread).sum(axis=0) / count)
        # Nothing is known of tickers that are far calmer or wilder than these.
        low, high = mean - MAX_INPUT * deviation, mean + MAX_INPUT * deviation
        centered = np.nan_to_num(np.clip(inputs, low, high) - mean)
        coef = fit_log_volatility(base, centered, squares, ridge)
        constant = float(coef[0] - coef[1:] @ mean)
        return cls(constant, coef[1:], low, high)

    def move(self, inputs: np.ndarray) -> np.ndarray:
        """Compute by how much the log volatility differs from the mean."""
        mean = (self.low + self.high) / 2.0
        clipped = np.clip(np.where(np.isnan(inputs), mean, inputs), self.low, self.high)
        return self.constant + clipped @ self.coefficients


@dataclass
class ResidualScale:
    """The unit that residuals are measured in: each label's expected volatility."""

    # The geometric mean of the volatilities of all windows, whose fourth roots are its
    # weights, is moved by a regression on those of single windows, pooled over tickers.
    # Corsi, F. (2009). A simple approximate long-memory model of realized volatility.
    # Journal of Financial Econometrics, 7(2), 174–196.
    # https://doi.org/10.1093/jjfinec/nbp001
    label_scale: LabelScale
    deviation: dict[tuple[int, str], float] = field(default_factory=dict)
    regressions: dict[int, VolatilityRegression] = field(default_factory=dict)
    # For tickers that move less than their volatility suggests, such as stablecoins.
    calmer: dict[tuple[int, str], float] = field(default_factory=dict)

    def matrix(self, features: FeatureBlocks, layout: LabelLayout) -> np.ndarray:
        """Spread of each label `(n_dates, n_labels)`; NaN where unknown."""
        names = self.label_scale.features
        if not names:
            # A ticker that was not fitted is assumed to deviate as the others do.
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
            spread[dates] = self._moved(*self._inputs(table, layout), layout)
        own = np.array([self.calmer.get(key, 1.0) for key in label_keys(layout)])
        return spread * np.sqrt(np.asarray(layout.horizons, dtype=np.float64)) * own

    def learn(
        self,
        features: FeatureBlocks,
        layout: LabelLayout,
        deviations: np.ndarray,
        horizon_step: int,
    ) -> np.ndarray:
        """Fit the regression on dates that are so many rows apart; their `matrix`."""
        names = self.label_scale.features
        if len(names) < 2 or not len(deviations):
            return self.matrix(features, layout)
        # They have been read into one table.
        [(_, table)] = features.tables(features=names)
        base, inputs = self._inputs(table, layout)
        root = np.sqrt(np.asarray(layout.horizons, dtype=np.float64))
        for horizon in set(layout.horizons):
            use = np.asarray(layout.horizons) == horizon
            part = deviations[:, use] / np.sqrt(horizon)
            self._learn(horizon, base[:, use], inputs[:, use], part, horizon_step)
        return self._moved(base, inputs, layout) * root

    def _learn(
        self,
        horizon: int,
        base: np.ndarray,
        inputs: np.ndarray,
        deviations: np.ndarray,
        step: int,
    ) -> None:
        # Prices that stood still show no volatility.
        known = np.isfinite(deviations) & np.isfinite(base) & (deviations != 0)
        if not known.any():
            return
        n_dates = int(known.any(axis=1).sum())
        independent = min(n_dates, independent_dates(n_dates * step, horizon))
        windows = [_window(name) > 0 for name in self.label_scale.features]
        prior = np.where([True, *windows], PRIOR_DATES, PRIOR_DATES_OTHER)
        ridge = prior * known.sum() / independent
        self.regressions[horizon] = VolatilityRegression.fit(
            base[known], inputs[known], deviations[known] ** 2, ridge
        )

    def compare(
        self, before: np.ndarray, after: np.ndarray, layout: LabelLayout, step: int
    ) -> np.ndarray:
        """Find factors of tickers whose scores are smaller than those of others."""
        horizons = np.asarray(layout.horizons)
        factors = np.ones(len(horizons))
        for horizon in np.unique(horizons):
            use = horizons == horizon
            worth = independent_dates(1, horizon)
            worths = np.full(len(before) + len(after), worth)
            worths[: len(before)] = min(1.0, step * worth)
            scores = np.concatenate([before[:, use], after[:, use]])
            factors[use] = calmer_factors(scores, worths)
        keys, known = label_keys(layout), np.isfinite(after).any(axis=0)
        self.calmer = {keys[n]: float(factors[n]) for n in np.flatnonzero(known)}
        return np.where(known, factors, 1.0)

    def measure(self, residuals: np.ndarray, layout: LabelLayout) -> None:
        """Measure the residuals' own deviation, where no feature holds it."""
        if self.label_scale.features:
            return
        horizons = np.asarray(layout.horizons)
        deviation = np.full(len(horizons), np.nan)
        for horizon in np.unique(horizons):
            use = horizons == horizon
            deviation[use] = shrunken_deviation(winsorized(residuals[:, use]))
        self.deviation = dict(zip(label_keys(layout), deviation.tolist(), strict=True))

    def _moved(
        self, base: np.ndarray, inputs: np.ndarray, layout: LabelLayout
    ) -> np.ndarray:
        """Volatility per row `(n_dates, n_labels)`, for inputs that move its base."""
        base = base.copy()
        for horizon, regression in self.regressions.items():
            use = np.flatnonzero(np.asarray(layout.horizons) == horizon)
            base[:, use] += regression.move(inputs[:, use])
        return np.exp(base)

    def _inputs(
        self, table: FeatureTable, layout: LabelLayout
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean log volatility, and what single ones differ from it by."""
        scale = replace(self.label_scale, tickers=layout.tickers)
        logs = np.stack(
            [
                np.log(replace(scale, features=[name]).matrix(table))
                for name in scale.features
            ],
            axis=-1,
        ).astype(np.float64)
        window = np.array([_window(name) for name in scale.features])
        weight = window**0.25
        finite = np.isfinite(logs)
        total = (finite * weight).sum(axis=-1)
        base = np.where(finite, logs, 0.0) @ weight
        base = np.where(total > 0, base / np.maximum(total, 1e-9), np.nan)
        # A volatility that is not known yet moves nothing. That of the longest window
        # follows from the mean and the others.
        longest = int(np.argmax(window))
        missing = np.where(weight > 0, 0.0, np.nan)  # the mean, for another level
        inputs = np.where(finite, logs - base[..., None], missing)
        inputs[..., longest] = np.nan_to_num(base)
        return base, inputs


def scale_features(names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """List the volatilities chosen to scale labels, and those of another level."""
    if len(chosen) < 2:
        return list(chosen)
    return [*chosen, *(name for name in names if _OTHER_LEVEL.fullmatch(name))]


def label_keys(layout: LabelLayout) -> list[tuple[int, str]]:
    """Name each label by horizon and ticker."""
    return list(zip(layout.horizons, layout.names, strict=True))


def _median(values: list[float]) -> float:
    """Median of the finite values; NaN without any."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")


def _window(name: str) -> float:
    """Window of a volatility; zero for one of another level."""
    if _OTHER_LEVEL.fullmatch(name):
        return 0.0
    match = _VOLATILITY.fullmatch(name)
    return float(match.group(1)) if match else 1.0
