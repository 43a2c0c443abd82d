"""What a calibrated forecaster expects at some dates, and how sure it is of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from skbatch.forecasting._calibration import (
    Calibration,
    deviations_of,
    score_quantiles,
)
from skbatch.forecasting._label_layout import LabelLayout


@dataclass
class Outlook:
    """Forecasts of some dates, their volatility, and what was known of errors then."""

    forecasts: np.ndarray
    scale: np.ndarray  # the unit of the scores
    layout: LabelLayout
    index: pd.Index | None
    calibration: Calibration
    # That of each date, where scores have become known since.
    followed: list[Calibration] = field(default_factory=list)
    moves: pd.DataFrame | None = None

    @property
    def labels(self) -> pd.Index:
        """Tickers, or (horizon, ticker)."""
        columns = self.layout.columns
        return pd.Index(self.layout.names) if columns is None else columns

    @classmethod
    def joined(cls, parts: Sequence[Outlook]) -> Outlook:
        """Concatenate blocks of dates."""
        first = parts[0]
        if len(parts) == 1:
            return first
        forecasts = np.concatenate([part.forecasts for part in parts])
        scale = np.concatenate([part.scale for part in parts])
        dates = [part.index for part in parts if part.index is not None]
        index = dates[0].append(dates[1:]) if dates else None
        moves = [part.moves for part in parts if part.moves is not None]
        latest = pd.concat(moves) if moves else None
        return replace(
            first, forecasts=forecasts, scale=scale, index=index, moves=latest
        )

    def follow(self, returns: np.ndarray) -> None:
        """Learn from the returns `(n_new, n_labels)` that followed the last dates."""
        # At a date, only those that it knew count. These dates follow the fitted ones.
        calibration, n_old = self.calibration, len(self.forecasts) - len(returns)
        scores = deviations_of(returns, self.forecasts[n_old:], calibration.bounded)
        scores /= self.scale[n_old:]
        scores[~np.isfinite(scores)] = np.nan
        new = calibration.followed(scores.astype(np.float32))
        self.followed = [calibration] * n_old + list(new)

    def last(self) -> Outlook:
        """Select the last date."""
        index = None if self.index is None else self.index[-1:]
        calibration = self.calibration
        if self.followed:
            calibration = self.followed[-1].moved(self.moves)
        last = self.forecasts[-1:], self.scale[-1:]
        return Outlook(*last, self.layout, index, calibration)

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Quantiles of returns `(n_levels, n_dates, n_labels)`."""
        calibrations = self.followed or [self.calibration]
        scores = score_quantiles(calibrations, levels, self.layout)
        return self.calibration.returns(self.forecasts, scores * self.scale)

    def summary(self, coverages: Sequence[float]) -> pd.DataFrame:
        """Tabulate the last date."""
        last = self.last()
        tails = (1.0 - np.asarray(coverages, dtype=np.float64)) / 2.0
        levels = np.column_stack([tails, 1.0 - tails]).ravel()
        bounds = last.quantiles(levels)[:, 0]
        spread = last.calibration.spread(last.forecasts, last.scale, last.layout)
        return pd.DataFrame(np.column_stack([*bounds, *spread]), self.labels)
