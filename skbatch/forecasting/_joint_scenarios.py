"""Joint scenarios of tickers that several calibrated forecasters share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.scenarios import Dependence, dependence
from skbatch.forecasting._calibration import draw_blocks
from skbatch.forecasting._outlook import Outlook
from skbatch.forecasting._uncertainty import check_n_samples, generator_of

__all__ = ["JointScenarios"]


class JointScenarios:
    """Draw scenarios in which the tickers of different forecasters move together.

    Each forecaster gives the spread of its own tickers; how all of them depend on each
    other is told from the recent returns of all. With one forecaster, the scenarios
    are those of its method `predict_scenarios`.
    """

    def __init__(self) -> None:
        self.parts: list[Outlook] = []

    def add(self, outlook: Outlook) -> None:
        """Take what a forecaster expects at the last date of an outlook."""
        self.parts.append(outlook.last())

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


def _scores(part: Outlook) -> pd.DataFrame:
    """Return the scores of a calibration tail with their dates, or counted from now."""
    scores, index = part.calibration.scores, part.calibration.index
    if index is None:
        index = pd.RangeIndex(-len(scores), 0)
    return pd.DataFrame(scores, index)
