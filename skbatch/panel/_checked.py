"""A panel that needs no further check."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class CheckedPanel:
    """A panel as :func:`~skbatch.check_panel` returned it."""

    # The extractor and `forward_returns` take it in place of a DataFrame, and do not
    # check the same table again.
    frame: pd.DataFrame
