"""A checked panel beside the values that the check dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch.panel._calendar import mixed_calendars
from skbatch.panel._check import _arrange, _drop_invalid, _invalid_mask, _like
from skbatch.panel._checked import CheckedPanel
from skbatch.panel._fields import adjust_prices
from skbatch.panel._spellings import ADJUSTED

__all__ = ["InspectedPanel", "inspect_panel"]


@dataclass(frozen=True)
class InspectedPanel:
    """A panel with what was wrong with it, for those who judge single tickers.

    Attributes
    ----------
    values : DataFrame of shape (n_dates, n_columns)
        All values as float64, "Adj Close" beside the other fields.
    invalid : DataFrame of bool of the same shape
        Which of them can be no price or volume.
    panel : DataFrame of shape (n_dates, n_columns)
        What :func:`~skbatch.check_panel` returns.
    problems : list of str
        Warnings about the table as a whole.
    """

    values: pd.DataFrame
    invalid: pd.DataFrame
    panel: pd.DataFrame
    problems: list[str]

    def marked(self) -> pd.DataFrame:
        """Return the panel with 0 in place of the values that the check dropped.

        Returns
        -------
        DataFrame of shape (n_dates, n_columns)
            With the columns of `panel`.
        """
        invalid = self.invalid
        if invalid.columns.nlevels > 1 and ADJUSTED in invalid.columns.unique("field"):
            invalid = invalid.copy()
            invalid["Close"] |= invalid.pop(ADJUSTED)
        if not invalid.to_numpy().any():
            return self.panel
        values = np.where(invalid[self.panel.columns], 0.0, self.panel.to_numpy())
        return _like(self.panel, values)


def inspect_panel(X: object) -> InspectedPanel:
    """Check a panel without a warning about single tickers.

    Parameters
    ----------
    X : DataFrame, CheckedPanel or array-like of shape (n_dates, n_columns)
        Prices, in any form that :func:`~skbatch.check_panel` takes. A checked panel is
        taken as it is.

    Returns
    -------
    InspectedPanel
        The checked panel, and the values that it does not have any more.

    Raises
    ------
    PanelError
        If `X` is malformed, as in :func:`~skbatch.check_panel`.
    """
    if isinstance(X, CheckedPanel):
        sound = _like(X.frame, np.zeros(X.frame.shape, dtype=bool))
        return InspectedPanel(X.frame, sound, X.frame, [])
    values, problems = _arrange(X)
    invalid = _like(values, _invalid_mask(values))
    panel, _ = _drop_invalid(values)
    if panel.columns.nlevels > 1:
        panel = adjust_prices(panel)
    mixed = mixed_calendars(panel)
    return InspectedPanel(values, invalid, panel, problems + ([mixed] if mixed else []))
