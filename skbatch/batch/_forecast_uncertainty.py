"""How sure the forecasts of one date are, ticker by ticker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skbatch.batch._batch_task import Member
from skbatch.forecasting.engine import (
    FeatureBlocks,
    Outlook,
    calibrated_part,
    outlook_of,
)


class ForecastUncertainty:
    """A table of bounds, volatility and chance of a gain, filled member by member."""

    def __init__(self, labels: pd.Index, coverages: Sequence[float]) -> None:
        self.coverages = coverages
        self.table = pd.DataFrame(np.nan, labels, _columns(coverages))
        self.table.attrs["coverage"] = coverages[0]
        self.uncalibrated: dict[object, str] = {}

    def fill(self, member: Member, returns: pd.Series, outlook: Outlook | None) -> None:
        """Enter how sure a member is of what it has forecast."""
        labels = self.table.index
        use = labels.get_level_values(-1).isin(member.tickers) & returns.notna()
        rows = labels[use]
        if outlook is None:
            name = type(member.forecaster).__name__
            why = f"{name} is not calibrated, see ConformalForecaster"
            self.uncalibrated |= dict.fromkeys(rows, why)
        elif len(rows):
            found = outlook.summary(self.coverages).loc[list(rows)]
            self.table.loc[rows] = found.to_numpy()
            lacking = rows[found.isna().any(axis=1)]
            why = "no volatility is known at this date"
            self.uncalibrated |= dict.fromkeys(lacking, why)

    def withdraw(self, returns: pd.Series) -> None:
        """Clear the entries of tickers without a forecast."""
        lost = returns.index[returns.isna()]
        self.table.loc[lost] = np.nan
        for label in lost:
            self.uncalibrated.pop(label, None)


def member_outlook(
    member: Member, features: FeatureBlocks, returns: pd.Series | None = None
) -> Outlook | None:
    """Find how sure a member is at some dates; None if it is not calibrated."""
    forecaster = calibrated_part(member.forecaster)
    if forecaster is None:
        return None
    forecasts = None
    if returns is not None:
        labels = list(forecaster.layout_.columns)
        forecasts = returns[labels].to_numpy(np.float64)[None, :]
    return outlook_of(forecaster, features, forecasts)


def _columns(coverages: Sequence[float]) -> list[str]:
    """Name the bounds, by their coverage in percent where there are several."""
    marks = [f"_{100 * share:.6g}" for share in coverages]
    marks = [""] if len(marks) == 1 else marks
    bounds = [f"{bound}{mark}" for mark in marks for bound in ("lower", "upper")]
    return [*bounds, "volatility", "p_positive"]
