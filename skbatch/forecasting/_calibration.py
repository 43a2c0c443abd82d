"""The spread of returns, estimated from the residuals of a calibration tail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from skbatch._kernels.scenarios import (
    Dependence,
    dependence,
)
from skbatch.exceptions import PanelError
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._label_scale import LabelScale, volatility_names
from skbatch.forecasting._residual_scale import (
    ResidualScale,
    scale_features,
)
from skbatch.forecasting._score_distribution import ScoreDistribution
from skbatch.panel.engine import PanelColumns

# Normal scores at which the inverse of a pooled distribution is tabulated.
NORMAL_GRID = np.linspace(-4.0, 4.0, 1601)
NORMAL_WEIGHTS = np.exp(-0.5 * NORMAL_GRID**2)
NORMAL_WEIGHTS /= NORMAL_WEIGHTS.sum()
# Step of the adaptive correction.
ADAPTATION = 0.005
# Features that are the return of a single row, and how many rows of it count.
ONE_ROW_RETURNS = ("log_return_1", "return_1")
N_MOVES = 252
# Rows before a tail of which expected volatility is learned.
EARLY_ROWS = 1260
# Cells that are drawn at a time.
MAX_CELLS = 2**21
_CACHED_CELLS = 2**16  # temporaries that stay in the processor's cache
# A total loss counts as the loss of all but this share, whose logarithm is finite.
LEAST_GROWTH = 1e-6


@dataclass(frozen=True)
class Tail:
    """The latest dates with known labels, forecast by a model that knew none."""

    start: int
    labels: np.ndarray
    forecasts: np.ndarray
    early: np.ndarray  # rows before, whose labels end before the tail
    early_labels: np.ndarray
    bounded: bool  # whether all labels can be simple returns
    scale: str | None = "auto"

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        start: int,
        stop: int,
        layout: LabelLayout,
        scale: str | None = "auto",
    ) -> Tail:
        """Copy what is needed of all labels; the forecasts are yet to be made."""
        end = max(0, start - max(layout.reaches))
        # Counted back from the end, as far as markets are alike.
        early = np.arange(end - 1, max(-1, end - 1 - EARLY_ROWS), -_early_step(layout))
        early = np.sort(early)
        nothing = np.full((stop - start, labels.shape[1]), np.nan)
        return cls(
            start,
            labels[start:stop].copy(),
            nothing,
            early,
            labels[early],
            are_simple_returns(labels),
            scale,
        )


@dataclass
class Calibration:
    """Residual scores of a calibration tail, pooled over the tickers of a horizon."""

    scores: np.ndarray  # deviations from the forecasts over `scale`
    layout: LabelLayout
    scale: ResidualScale
    step: float  # of the adaptive correction
    # Recent one-row returns that show how tickers move together; None: the scores do.
    moves: pd.DataFrame | None = None
    bounded: bool = False
    index: pd.Index | None = None
    start: int = 0

    @cached_property
    def known(self) -> dict[int, ScoreDistribution]:
        """Distribution of the scores of each horizon that has some."""
        found = {
            horizon: ScoreDistribution.of(self.scores[:, use], horizon, self.step)
            for horizon, use in _by_horizon(self.layout)
        }
        return {horizon: one for horizon, one in found.items() if one is not None}

    @cached_property
    def dependence(self) -> Dependence:
        """How the labels move together."""
        together = self.scores if self.moves is None else self.moves.to_numpy()
        return dependence(together)

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the scores is computed again.
        derived = ("known", "dependence")
        return {k: v for k, v in self.__dict__.items() if k not in derived}

    def followed(self, scores: np.ndarray) -> Iterator[Calibration]:
        """Continue through the dates after the tail, as scores become known."""
        delay = self.layout.delay
        paths = {
            horizon: self.known[horizon].followed(
                self.scores[:, use], scores[:, use], horizon, delay, self.step
            )
            for horizon, use in _by_horizon(self.layout)
            if horizon in self.known
        }
        for _ in range(len(scores)):
            now = copy(self)
            now.known = {horizon: next(path) for horizon, path in paths.items()}
            yield now

    def moved(self, moves: pd.DataFrame | None) -> Calibration:
        """Add later one-row returns, which show how tickers move together."""
        if moves is None or self.moves is None:
            return self
        later = moves[moves.index > self.moves.index[-1]]
        # A copy forgets what follows from the scores and moves.
        now = copy(self)
        now.known = self.known
        now.moves = pd.concat([self.moves, later])[-N_MOVES:]
        return now

    def spread(
        self, forecasts: np.ndarray, scale: np.ndarray, layout: LabelLayout
    ) -> tuple[np.ndarray, np.ndarray]:
        """Volatility, and chance of a gain, of each label of a date `(1, n_labels)`."""
        levels = ndtr(NORMAL_GRID)
        # How likely a gain is, intervals show; what the few dates of a tail leave open
        # of far quantiles is no part of the volatility.
        volatility, gain = np.full((2, scale.shape[1]), np.nan)
        zero = deviations_of(np.zeros_like(forecasts), forecasts, self.bounded)
        for horizon, use in _by_horizon(layout):
            if horizon not in self.known:
                continue
            known = self.known[horizon]
            values = known.quantiles(levels, corrected=False)
            _, volatility[use] = self._moments(values, forecasts[:, use], scale[:, use])
            values = known.quantiles(levels)
            gain[use] = 1.0 - np.interp(zero[0, use] / scale[0, use], values, levels)
        return volatility, np.where(np.isfinite(volatility), gain, np.nan)

    def returns(self, forecasts: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        """Turn deviations from forecasts into returns, in place."""
        if self.bounded:
            below = deviations < 0.0
            forecasts = np.maximum(forecasts, -1.0)
            growth = 1.0 + forecasts
            np.expm1(deviations, out=deviations, where=below)
            np.multiply(deviations, growth, out=deviations, where=below)
        return np.add(deviations, forecasts, out=deviations)

    def growth(
        self, forecasts: np.ndarray, scale: np.ndarray, layout: LabelLayout
    ) -> np.ndarray:
        """Average 1 plus the returns of scenarios of a date `(1, n_labels)`."""
        growth = np.full(forecasts.shape, np.nan)
        for use, values in self._inverses(layout):
            mean, _ = self._moments(values, forecasts[:, use], scale[:, use])
            growth[:, use] = 1.0 + mean
        return growth

    def shape(
        self,
        draws: np.ndarray,
        forecasts: np.ndarray,
        scale: np.ndarray,
        layout: LabelLayout,
        growth: np.ndarray,
    ) -> None:
        """Turn normal draws in place into returns whose mean is the forecast."""
        for use, values in self._inverses(layout):
            draws[:, use] = np.interp(draws[:, use], NORMAL_GRID, values)
        draws *= scale
        self.returns(forecasts, draws)
        if self.bounded:
            draws += 1.0
            draws *= np.maximum(1.0 + forecasts, 0.0) / growth
            draws -= 1.0

    def _moments(
        self, values: np.ndarray, forecasts: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the returns at the scores of the normal grid."""
        # Deviations are linear in the scale, but for losses, see `returns`.
        forecasts, scale = forecasts[0], scale[0]
        is_loss = (values < 0.0) & self.bounded
        linear = np.where(is_loss, 0.0, values)
        mean = (NORMAL_WEIGHTS @ linear) * scale
        square = (NORMAL_WEIGHTS @ linear**2) * scale**2
        if self.bounded:
            forecasts = np.maximum(forecasts, -1.0)
            losses = _losses(values[is_loss], NORMAL_WEIGHTS[is_loss], scale)
            mean += losses[0] * (1.0 + forecasts)
            square += losses[1] * (1.0 + forecasts) ** 2
        variance = np.maximum(square - mean**2, 0.0)
        return forecasts + mean, np.sqrt(variance)

    def _inverses(self, layout: LabelLayout) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tabulate centered scores of each horizon, with the labels that have them."""
        for horizon, use in _by_horizon(layout):
            if horizon in self.known:
                yield use, _centred_inverse(self.known[horizon])
            else:
                yield use, np.full(len(NORMAL_GRID), np.nan)


def calibrate(
    tail: Tail | None,
    features: FeatureBlocks,
    layout: LabelLayout,
    step: float = ADAPTATION,
) -> Calibration | None:
    """Measure how far returns deviated from the forecasts of a tail, if they can be."""
    if tail is None or not np.isfinite(tail.forecasts).any():
        return None
    deviations = deviations_of(tail.labels, tail.forecasts, tail.bounded)
    early, late, first = _read(features, tail)
    rows = late.rows(tail.start - first, tail.start - first + len(tail.labels))
    zero = np.zeros(tail.early_labels.shape)
    moves = deviations_of(tail.early_labels, zero, tail.bounded)
    try:
        scale = _scale_of(tail.scale, rows, layout, deviations)
        early_scale = scale.learn(early, layout, moves, _early_step(layout))
        scores = deviations / scale.matrix(rows, layout)
        if scale.label_scale.features:
            # Prices that stood still show nothing.
            before = np.where(moves == 0.0, np.nan, moves / early_scale)
            after = np.where(tail.labels == 0.0, np.nan, scores)
            scores /= scale.compare(before, after, layout, _early_step(layout))
    except PanelError:
        # Standardized features, which whoever scales labels by them has refused.
        scale = _scale_of(None, rows, layout, deviations)
        scores = deviations / scale.matrix(rows, layout)
    if not np.isfinite(scores).any():
        return None
    return Calibration(
        np.where(np.isfinite(scores), scores, np.nan).astype(np.float32),
        layout,
        scale,
        step,
        recent_moves(late, layout),
        tail.bounded,
        rows.index,
        tail.start,
    )


def _scale_of(
    name: str | None, rows: FeatureBlocks, layout: LabelLayout, deviations: np.ndarray
) -> ResidualScale:
    """Choose the features that measure the volatility, or the deviations' own size."""
    chosen = LabelScale.choose(name, rows, deviations, layout)
    names = scale_features(rows.columns.features, chosen.features)
    scale = ResidualScale(replace(chosen, features=names))
    scale.measure(deviations, layout)
    return scale


def _early_step(layout: LabelLayout) -> int:
    """Rows between the dates on which expected volatility is learned."""
    return max(5, min(layout.horizons) // 2)


def _read(
    features: FeatureBlocks, tail: Tail
) -> tuple[FeatureBlocks, FeatureBlocks, int]:
    """Read what is needed of early and late dates once for all models of a fit."""
    first = max(0, min(tail.start, features.n_dates - N_MOVES))
    chosen = volatility_names(features.columns.features)
    wanted = {*scale_features(features.columns.features, chosen), *chosen}
    wanted |= {*ONE_ROW_RETURNS, str(tail.scale)}
    names = [name for name in features.columns.features if name in wanted]
    if not names:
        return features.rows(0, 0), features.rows(first, features.n_dates), first
    dates = np.append(tail.early, np.arange(first, features.n_dates))
    kept = features.__dict__.setdefault("_read_once", {})
    key = (dates.tobytes(), tuple(names))
    if key not in kept:
        dates, places = np.unique(dates, return_inverse=True)
        kept[key] = _selected(features, dates, names), places
    table, places = kept[key]
    n_early = len(tail.early)
    return _rows_of(table, places[:n_early]), _rows_of(table, places[n_early:]), first


def _selected(
    features: FeatureBlocks, dates: np.ndarray, names: Sequence[str]
) -> FeatureTable:
    """Select some dates and ticker features."""
    parts = []
    for block, table in features.tables(dates, names):
        numbers = [table.columns.features.index(name) for name in names]
        own = table.columns.positions[:, numbers]
        kept = np.unique(own[own >= 0])
        rows = np.flatnonzero(np.isin(block, dates))
        parts.append(table.values[np.ix_(rows, kept)])
        assert table.names is not None
        columns = table.names[kept]
    index = None if features.index is None else features.index[dates]
    parsed = PanelColumns.parse(columns)
    return FeatureTable(np.concatenate(parts), parsed, index, columns)


def _rows_of(table: FeatureTable, rows: np.ndarray) -> FeatureTable:
    index = None if table.index is None else table.index[rows]
    return replace(table, values=table.values[rows], index=index)


def score_quantiles(
    calibrations: Sequence[Calibration], levels: np.ndarray, layout: LabelLayout
) -> np.ndarray:
    """Scores at quantile levels `(n_levels, n_dates, n_labels)`, NaN where unknown."""
    table = np.full((len(levels), len(calibrations), len(layout.horizons)), np.nan)
    for horizon, use in _by_horizon(layout):
        known = [c.known[horizon] for c in calibrations if horizon in c.known]
        if known:
            # Dates without news have the distribution of the one before.
            values = {id(one): one for one in known}
            found = {key: one.quantiles(levels) for key, one in values.items()}
            by_date = np.stack([found[id(one)] for one in known], axis=1)
            table[:, :, use] = by_date[:, :, None]
    return table


def joined(parts: Sequence[Calibration]) -> Calibration:
    """Join the scores of models of which the later serve what the earlier cannot."""
    first = parts[0]
    features = first.scale.label_scale.features
    parts = [part for part in parts if part.scale.label_scale.features == features]
    start = min(part.start for part in parts)
    stop = max(part.start + len(part.scores) for part in parts)
    scores = np.full((stop - start, first.scores.shape[1]), np.nan, np.float32)
    deviation: dict[tuple[int, str], float] = {}
    calmer: dict[tuple[int, str], float] = {}
    for part in parts:
        own = scores[part.start - start :][: len(part.scores)]
        np.copyto(own, part.scores, where=np.isnan(own))
        known = {k: v for k, v in part.scale.deviation.items() if np.isfinite(v)}
        deviation = {**known, **deviation}
        calmer = {**part.scale.calmer, **calmer}
    longest = max(parts, key=lambda part: len(part.scores))
    index = longest.index if len(longest.scores) == len(scores) else first.index
    if index is not None and len(index) != len(scores):
        index = None
    scale = replace(first.scale, deviation=deviation, calmer=calmer)
    return replace(first, scores=scores, scale=scale, index=index, start=start)


def recent_moves(features: FeatureBlocks, layout: LabelLayout) -> pd.DataFrame | None:
    """Return the latest one-row returns of each label's ticker, if available."""
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


def are_simple_returns(labels: np.ndarray) -> bool:
    """Whether labels can be simple returns, none of which is below -100%."""
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


def _losses(scores: np.ndarray, weights: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Average losses, shares of what is expected, and their squares, by scale."""
    found = np.empty((2, len(scale)))
    width = max(1, _CACHED_CELLS // max(1, len(scores)))
    for start in range(0, len(scale), width):
        use = slice(start, start + width)
        losses = np.multiply.outer(scores, scale[use])
        np.expm1(losses, out=losses)
        found[0, use] = weights @ losses
        found[1, use] = weights @ np.square(losses, out=losses)
    return found


def _by_horizon(layout: LabelLayout) -> Iterator[tuple[int, np.ndarray]]:
    """Iterate over the horizons, with the numbers of their labels."""
    for horizon in dict.fromkeys(layout.horizons):
        yield horizon, np.flatnonzero(np.asarray(layout.horizons) == horizon)


def _centred_inverse(known: ScoreDistribution) -> np.ndarray:
    """Tabulate the scores at normal ones, less their mean."""
    values = known.quantiles(ndtr(NORMAL_GRID), corrected=False)
    return values - NORMAL_WEIGHTS @ values
