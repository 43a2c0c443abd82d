"""Joint scenarios of tickers that several calibrated forecasters share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skbatch._kernels.scenarios import Dependence, dependence
from skbatch.forecasting._calibration import Calibration, draw_blocks
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._uncertainty import (
    UncertaintyMixin,
    check_n_samples,
    generator_of,
)

__all__ = ["JointScenarios"]


class _Part(NamedTuple):
    """What one forecaster says of the last date."""

    forecasts: np.ndarray
    scale: np.ndarray
    layout: LabelLayout
    calibration: Calibration

    @property
    def labels(self) -> list[Any]:
        """Tickers, or (horizon, ticker)."""
        columns = self.layout.columns
        return list(self.layout.names if columns is None else columns)


class JointScenarios:
    """Draw scenarios in which the tickers of different forecasters move together.

    Each forecaster gives the spread of its own tickers; how all of them depend on each
    other is told from the recent returns of all. With one forecaster, the scenarios
    are those of its method `predict_scenarios`.
    """

    def __init__(self) -> None:
        self.parts: list[_Part] = []

    def add(self, forecaster: UncertaintyMixin, X: Any) -> None:
        """Take the forecast of a calibrated forecaster at the last date of `X`.

        Parameters
        ----------
        forecaster : UncertaintyMixin
            Fitted.
        X : DataFrame of shape (n_dates, n_columns)
            Its feature frame.
        """
        forecasts, features, layout = forecaster._forecast_last(X)
        calibration = forecaster.calibration_
        assert calibration is not None
        scale = calibration.scale.matrix(features, layout)
        self.parts.append(_Part(forecasts, scale, layout, calibration))

    def draw(self, n_samples: int, random_state: Any) -> pd.DataFrame:
        """Draw scenarios of all tickers.

        Parameters
        ----------
        n_samples : int
            Number of scenarios.
        random_state : int, RandomState or None
            Seed.

        Returns
        -------
        DataFrame of shape (n_samples, n_labels)
            Simple returns over the horizon; columns as `predict` has them.
        """
        check_n_samples(n_samples)
        labels = [label for part in self.parts for label in part.labels]
        table = np.empty((int(n_samples), len(labels)))
        blocks = list(
            draw_blocks(self._dependence(), table, generator_of(random_state))
        )
        stop = 0
        for part in self.parts:
            start, stop = stop, stop + len(part.layout.horizons)
            # A slice is a view: blocks are shaped in place.
            own = [block[:, start:stop] for block in blocks]
            part.calibration.shape_scores(own, part.layout)
            returns = table[:, start:stop]
            part.calibration.scenario_returns(
                returns, part.forecasts, part.scale, part.layout
            )
        index = pd.RangeIndex(len(table), name="sample")
        return pd.DataFrame(table, index, pd.Index(labels), copy=False)

    def _dependence(self) -> Dependence:
        """Estimate how the tickers of all forecasters move together."""
        if len(self.parts) == 1:
            return self.parts[0].calibration.dependence
        moves = [part.calibration.moves for part in self.parts]
        if any(table is None for table in moves):
            moves = [_scores(part) for part in self.parts]
        return dependence(pd.concat(moves, axis=1).sort_index().to_numpy())


def _scores(part: _Part) -> pd.DataFrame:
    """Return the scores of a calibration tail with their dates, or counted from now."""
    scores, index = part.calibration.scores, part.calibration.index
    if index is None:
        index = pd.RangeIndex(-len(scores), 0)
    return pd.DataFrame(scores, index)
