"""Joint scenarios of tickers that one or several calibrated forecasters share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import bottleneck as bn
import numpy as np
import pandas as pd

from skbatch._kernels.scenarios import (
    Dependence,
    bin_weights,
    dependence,
    draw_normal,
    rank_bin_chances,
    rank_bin_shares,
    relative_scale,
    select_dependence,
)
from skbatch.forecasting._calibration import MAX_CELLS, N_MOVES
from skbatch.forecasting._outlook import Outlook
from skbatch.forecasting._residual_scale import label_keys

# Weight of the one-factor correlations, and of the simulation beside equal chances; see
# docs/experiments/uncertainty.md.
CORRELATION_SHRINKAGE = 0.2
SIMULATION_WEIGHT = 0.8


class JointScenarios:
    """Draw scenarios in which the tickers of different forecasters move together."""

    # Each forecaster gives the spread of its own tickers; how all of them depend on
    # each other is estimated from the recent returns of all.
    def __init__(self, outlooks: Sequence[Outlook]) -> None:
        self.parts = [outlook.last() for outlook in outlooks]

    @property
    def labels(self) -> pd.Index:
        """Tickers, or (horizon, ticker)."""
        return pd.Index([label for part in self.parts for label in part.labels])

    @property
    def horizons(self) -> list[int]:
        """Horizon of each label."""
        return [horizon for part in self.parts for horizon in part.layout.horizons]

    def blocks(self, n_samples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Draw returns `(n_draws, n_labels)`, so many at a time as memory is small."""
        given, width = self._dependence(), len(self.horizons)
        known = [(part.forecasts, part.scale, part.layout) for part in self.parts]
        growths = [
            part.calibration.growth(*what)
            for part, what in zip(self.parts, known, strict=True)
        ]
        size = max(1, MAX_CELLS // (width + len(given.rows)))
        for start in range(0, n_samples, size):
            n_draws = min(size, n_samples - start)
            block = draw_normal(given, n_draws, CORRELATION_SHRINKAGE, rng)
            stop = 0
            for part, what, growth in zip(self.parts, known, growths, strict=True):
                first, stop = stop, stop + len(part.layout.horizons)
                # A slice is a view, and shaped in place.
                part.calibration.shape(block[:, first:stop], *what, growth)
            yield block

    def draw(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw returns `(n_samples, n_labels)` over the horizon."""
        table, stop = np.empty((n_samples, len(self.horizons))), 0
        for block in self.blocks(n_samples, rng):
            start, stop = stop, stop + len(block)
            table[start:stop] = block
        return table

    def relative(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Location and scale of returns relative to the median ticker's, if known."""
        moves = self._moves()
        if moves is None or not all(part.calibration.bounded for part in self.parts):
            return None
        scale = relative_scale(moves[-N_MOVES:]) * np.sqrt(self.horizons)
        # Of tickers without such returns, the volatility is known.
        volatility = np.concatenate([part.scale[0] for part in self.parts])
        typical = bn.nanmedian(scale / volatility)
        if not np.isfinite(typical):
            return None
        scale = np.where(np.isfinite(scale), scale, typical * volatility)
        return np.concatenate([part.forecasts[0] for part in self.parts]), scale

    def _dependence(self) -> Dependence:
        """Estimate how the tickers of all forecasters move together."""
        if len(self.parts) == 1:
            (part,) = self.parts
            return select_dependence(part.calibration.dependence, _places(part))
        moves = self._moves()
        if moves is None:
            scores = [_scores(part) for part in self.parts]
            moves = pd.concat(scores, axis=1).sort_index().to_numpy()
        return dependence(moves)

    def _moves(self) -> np.ndarray | None:
        """Return the latest one-row returns of each label, NaN for one not fitted."""
        tables = []
        for part in self.parts:
            moves, places = part.calibration.moves, _places(part)
            if moves is None:
                return None
            known = np.where(places >= 0, moves.to_numpy()[:, places], np.nan)
            tables.append(pd.DataFrame(known, moves.index))
        return pd.concat(tables, axis=1).sort_index().to_numpy()


def rank_table(
    blocks: Iterable[np.ndarray],
    horizons: Sequence[int],
    labels: pd.Index,
    n_bins: int,
    relative: tuple[np.ndarray, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Chances of each bin of the ranks, from scenarios and relative returns."""
    total, n_samples = np.zeros((len(labels), n_bins)), 0
    known = np.zeros(len(labels), dtype=bool)
    for block in blocks:
        known = np.isfinite(block[0])
        for horizon in set(horizons):
            use = np.flatnonzero(known & (np.asarray(horizons) == horizon))
            if len(use):
                weights = bin_weights(len(use), n_bins)
                total[use] += rank_bin_shares(block[:, use], weights)
        n_samples += len(block)
    # Volatilities and correlations are known with error.
    table = SIMULATION_WEIGHT * total / max(n_samples, 1)
    table += (1.0 - SIMULATION_WEIGHT) / n_bins
    if relative is not None and known.any():
        location, scale = (values[known] for values in relative)
        table[known] += rank_bin_chances(location, scale, n_bins)
        table[known] /= 2.0
    table[~known] = np.nan
    index = labels.rename("ticker") if labels.nlevels == 1 else labels
    return pd.DataFrame(table, index, pd.RangeIndex(1, n_bins + 1, name="bin"))


def _places(part: Outlook) -> np.ndarray:
    """Find where the calibration has each label; -1 for one that is not fitted."""
    places = {key: n for n, key in enumerate(label_keys(part.calibration.layout))}
    return np.array([places.get(key, -1) for key in label_keys(part.layout)])


def _scores(part: Outlook) -> pd.DataFrame:
    """Return the scores of a calibration tail with their dates, or counted from now."""
    scores, index = part.calibration.scores, part.calibration.index
    if index is None:
        index = pd.RangeIndex(-len(scores), 0)
    return pd.DataFrame(scores, index)
