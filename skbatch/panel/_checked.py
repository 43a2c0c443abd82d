"""A panel that needs no further check."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["CheckedPanel"]


@dataclass(frozen=True)
class CheckedPanel:
    """A panel as :func:`~skbatch.check_panel` returned it.

    The system wraps its panel in one, so that the extractor and
    :func:`~skbatch.forward_returns`, which take it in place of a DataFrame, do not
    check the same table again.

    Attributes
    ----------
    frame : DataFrame of shape (n_dates, n_columns)
        The checked panel.
    """

    frame: pd.DataFrame
