"""What the residuals of a calibration tail say about the spread of returns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr

from skbatch._kernels.conformal import (
    LEVELS,
    adapted_levels,
    corrected_levels,
    independent_dates,
    shrunken_deviation,
)
from skbatch._kernels.scenarios import (
    Dependence,
    bin_weights,
    dependence,
    draw_normal,
    rank_bin_shares,
    select_dependence,
)
from skbatch._kernels.target import winsorised
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._return_target import LabelScale

__all__ = [
    "N_MOVES",
    "Calibration",
    "ResidualScale",
    "are_simple_returns",
    "deviations_of",
    "draw_blocks",
    "rank_probabilities",
    "recent_moves",
]

# Weight of the one-factor correlations, and of the simulation beside equal chances; see
# docs/experiments/uncertainty.md.
CORRELATION_SHRINKAGE = 0.2
SIMULATION_WEIGHT = 0.8
# Normal scores at which the inverse of a pooled distribution is tabulated.
NORMAL_GRID = np.linspace(-4.0, 4.0, 1601)
NORMAL_WEIGHTS = np.exp(-0.5 * NORMAL_GRID**2)
NORMAL_WEIGHTS /= NORMAL_WEIGHTS.sum()
# Features that are the return of a single row, and how many rows of it count.
ONE_ROW_RETURNS = ("log_return_1", "return_1")
N_MOVES = 252
# Cells that are drawn at a time.
MAX_CELLS = 2**21
# A total loss counts as the loss of all but this share, whose logarithm is finite.
LEAST_GROWTH = 1e-6


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


@dataclass
class Calibration:
    """Residual scores of a calibration tail, pooled over the tickers of a horizon.

    Parameters
    ----------
    scores : ndarray of shape (n_dates, n_labels), dtype float32
        Deviations from the forecasts in units of the labels' scale; NaN is missing.
    layout : LabelLayout
        Of the columns of `scores`.
    step : float
        Step size of the adaptive correction.
    moves : DataFrame of shape (n_rows, n_labels) or None
        Recent one-row returns, from which to tell how tickers move together; None
        tells it from the scores.
    bounded : bool, default=False
        Whether labels are simple returns, never below -100 %; see
        :func:`deviations_of`.

    Attributes
    ----------
    pooled : dict
        Horizon → its finite scores, sorted.
    levels : dict
        Horizon → the adapted level for each of
        :data:`~skbatch._kernels.conformal.LEVELS`.
    n_independent : dict
        Horizon → how many independent dates the tail is worth.
    """

    scores: np.ndarray
    layout: LabelLayout
    step: float
    moves: pd.DataFrame | None = None
    bounded: bool = False

    def __post_init__(self) -> None:
        horizons = np.asarray(self.layout.horizons)
        self.pooled: dict[int, np.ndarray] = {}
        self.levels: dict[int, np.ndarray] = {}
        self.n_independent: dict[int, float] = {}
        for horizon in map(int, np.unique(horizons)):
            scores = self.scores[:, horizons == horizon]
            finite = np.isfinite(scores)
            pooled = np.sort(scores[finite])
            if len(pooled):
                self.pooled[horizon] = pooled
                self.levels[horizon] = adapted_levels(scores, pooled, self.step)
                n_dates = int(finite.any(axis=1).sum())
                self.n_independent[horizon] = independent_dates(n_dates, horizon)
        together = self.scores if self.moves is None else self.moves.to_numpy()
        self.dependence: Dependence = dependence(together)

    def quantiles(self, levels: np.ndarray, layout: LabelLayout) -> np.ndarray:
        """Scores at quantile levels `(n_levels, n_labels)`, NaN for a lost horizon."""
        table = np.full((len(levels), len(layout.horizons)), np.nan)
        for number, horizon in enumerate(layout.horizons):
            if horizon in self.pooled:
                corrected = corrected_levels(levels, self.n_independent[horizon])
                adapted = np.interp(corrected, LEVELS, self.levels[horizon])
                # With these plotting positions, and n independent scores, the moved
                # levels cover what they should on average.
                pooled = self.pooled[horizon]
                table[:, number] = np.quantile(pooled, adapted, method="hazen")
        return table

    def scenarios(
        self, layout: LabelLayout, n_samples: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw joint scores `(n_samples, n_labels)` of mean zero, block by block."""
        places = {key: n for n, key in enumerate(label_keys(self.layout))}
        columns = np.array([places.get(key, -1) for key in label_keys(layout)])
        given = select_dependence(self.dependence, columns)
        scores = np.empty((n_samples, len(columns)))
        self.shape_scores(draw_blocks(given, scores, rng), layout)
        return scores

    def shape_scores(self, blocks: Iterable[np.ndarray], layout: LabelLayout) -> None:
        """Turn normal draws `(n_draws, n_labels)` in place into scores of mean zero."""
        for block in blocks:
            for use, values in self._inverses(layout):
                block[:, use] = np.interp(block[:, use], NORMAL_GRID, values)

    def returns(self, forecasts: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        """Turn deviations from forecasts into returns, in place."""
        if self.bounded:
            below = deviations < 0.0
            forecasts = np.maximum(forecasts, -1.0)
            growth = 1.0 + forecasts
            np.expm1(deviations, out=deviations, where=below)
            np.multiply(deviations, growth, out=deviations, where=below)
        return np.add(deviations, forecasts, out=deviations)

    def scenario_returns(
        self,
        scores: np.ndarray,
        forecasts: np.ndarray,
        scale: np.ndarray,
        layout: LabelLayout,
    ) -> None:
        """Turn scores of scenarios in place into returns whose mean is the forecast."""
        scores *= scale
        self.returns(forecasts, scores)
        if self.bounded:
            growth = np.full(forecasts.shape, np.nan)
            for use, values in self._inverses(layout):
                growth[:, use] = 1.0 + self._means(
                    values, forecasts[:, use], scale[:, use]
                )
            scores += 1.0
            scores *= np.maximum(1.0 + forecasts, 0.0) / growth
            scores -= 1.0

    def _means(
        self, values: np.ndarray, forecasts: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """Average the returns at the scores of the normal grid, for each label."""
        width = max(1, MAX_CELLS // len(values))
        parts = []
        for start in range(0, scale.shape[1], width):
            use = slice(start, start + width)
            returns = self.returns(
                forecasts[:, use], np.multiply.outer(values, scale[0, use])
            )
            parts.append(NORMAL_WEIGHTS @ returns)
        return np.concatenate(parts)

    def _inverses(self, layout: LabelLayout) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tabulate the centred scores of each horizon, with the labels that have it."""
        for horizon in set(layout.horizons):
            use = np.flatnonzero(np.asarray(layout.horizons) == horizon)
            if horizon in self.pooled:
                yield use, _centred_inverse(self.pooled[horizon])
            else:
                yield use, np.full(len(NORMAL_GRID), np.nan)


def draw_blocks(
    given: Dependence, draws: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Fill an array `(n_samples, n_labels)` with normal draws, giving each block."""
    block = max(1, MAX_CELLS // (draws.shape[1] + len(given.rows)))
    for start in range(0, len(draws), block):
        part = draws[start : start + block]
        part[:] = draw_normal(given, len(part), CORRELATION_SHRINKAGE, rng)
        yield part


def recent_moves(features: FeatureBlocks, layout: LabelLayout) -> pd.DataFrame | None:
    """Give the latest one-row returns of each label's ticker, if features have them."""
    names = [name for name in ONE_ROW_RETURNS if name in features.columns.features]
    if not names or features.index is None or len(set(layout.horizons)) > 1:
        return None
    last = features.rows(max(0, features.n_dates - N_MOVES), features.n_dates)
    if not last.series_columns(layout.tickers).shape[1]:
        return None
    parts = []
    for _, table in last.tables(features=names[:1]):
        columns = table.series_columns(layout.tickers)
        columns = columns[:, table.columns.features.index(names[0])]
        parts.append(np.where(columns >= 0, table.values[:, columns], np.nan))
    return pd.DataFrame(np.concatenate(parts), last.index)


def rank_probabilities(samples: np.ndarray, n_bins: int) -> np.ndarray:
    """Chances of each bin of the cross-section, mixed with equal ones."""
    weights = bin_weights(samples.shape[1], n_bins)
    shares = rank_bin_shares(samples, weights) / len(samples)
    return SIMULATION_WEIGHT * shares + (1.0 - SIMULATION_WEIGHT) / n_bins


def are_simple_returns(labels: np.ndarray) -> bool:
    """Whether labels can be simple returns, none of which is below -100 %."""
    return not (labels < -1.0).any()


def deviations_of(
    labels: np.ndarray, forecasts: np.ndarray, bounded: bool
) -> np.ndarray:
    """Compute how far labels are from forecasts."""
    if not bounded:
        return labels - forecasts
    growth, expected = (
        np.maximum(1.0 + returns, LEAST_GROWTH) for returns in (labels, forecasts)
    )
    return np.where(labels < forecasts, np.log(growth / expected), labels - forecasts)


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


def _centred_inverse(pooled: np.ndarray) -> np.ndarray:
    """Tabulate the pooled quantiles at normal scores, less their mean."""
    values = np.quantile(pooled, ndtr(NORMAL_GRID))
    return values - NORMAL_WEIGHTS @ values
