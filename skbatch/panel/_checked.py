"""Panels that need no further check, and the values that the check dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from skbatch.panel._calendar import mixed_calendars
from skbatch.panel._check import _arrange, _drop_invalid, _invalid_mask, _like
from skbatch.panel._fields import adjust_prices, count_prices
from skbatch.panel._spellings import ADJUSTED


@dataclass(frozen=True)
class CheckedPanel:
    """A panel as :func:`~skbatch.check_panel` returned it."""

    # The extractor and `forward_returns` take it in place of a DataFrame, and do not
    # check the same table again.
    frame: pd.DataFrame


PanelLike: TypeAlias = (
    pd.DataFrame | CheckedPanel | np.ndarray | Sequence[Sequence[float]]
)


@dataclass(frozen=True)
class InspectedPanel:
    """A panel with what was wrong with it, for those who judge single tickers."""

    values: pd.DataFrame  # all prices and volumes, "Adj Close" beside the others
    invalid: pd.DataFrame  # which of them can be no price or volume
    panel: pd.DataFrame  # what `check_panel` returns
    problems: list[str]  # of the table as a whole

    def marked(self) -> pd.DataFrame:
        """Return the panel with 0 in place of the values that the check dropped."""
        invalid = self.invalid
        if invalid.columns.nlevels > 1 and ADJUSTED in invalid.columns.unique("field"):
            invalid = invalid.copy()
            invalid["Close"] |= invalid.pop(ADJUSTED)
        if not invalid.to_numpy().any():
            return self.panel
        n_prices = count_prices(self.panel.columns)
        prices = self.panel.iloc[:, :n_prices]
        values = np.where(invalid[prices.columns], 0.0, prices.to_numpy())
        marked = _like(prices, values)
        if n_prices == self.panel.shape[1]:
            return marked
        return pd.concat([marked, self.panel.iloc[:, n_prices:]], axis=1)


def inspect_panel(X: object) -> InspectedPanel:
    """Check a panel without a warning about single tickers."""
    if isinstance(X, CheckedPanel):
        prices = X.frame.iloc[:, : count_prices(X.frame.columns)]
        sound = _like(prices, np.zeros(prices.shape, dtype=bool))
        return InspectedPanel(prices, sound, X.frame, [])
    arranged = _arrange(X)
    values = arranged.prices
    invalid = _like(values, _invalid_mask(values))
    prices, _ = _drop_invalid(values)
    if prices.columns.nlevels > 1:
        prices = adjust_prices(prices)
    mixed = mixed_calendars(prices)
    problems = arranged.problems + ([mixed] if mixed else [])
    return InspectedPanel(values, invalid, arranged.with_prices(prices), problems)
