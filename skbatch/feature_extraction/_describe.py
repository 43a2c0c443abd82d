"""The catalogue as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from skbatch.feature_extraction._feature_plan import check_windows
from skbatch.feature_extraction._registry import CHOSEN, catalogue


def list_features(windows: Sequence[int] = (5, 10, 21, 63, 126, 252)) -> pd.DataFrame:
    """List the built-in features.

    Parameters
    ----------
    windows : sequence of int, default=(5, 10, 21, 63, 126, 252)
        Windows in rows, at least 2, as :class:`SharedFeatureExtractor` takes them.

    Returns
    -------
    DataFrame of shape (n_features, 6)
        One row per feature in the order of columns, with its family, whether that is
        computed by default, whether all tickers share it, what it needs of the panel,
        how many rows before its own it reads, and a summary. The index holds the names
        as they are in columns, after ``TICKER__`` or ``market__``.

    Examples
    --------
    >>> from skbatch.feature_extraction import list_features
    >>> features = list_features(windows=[63])
    >>> features.loc["momentum_63", ["family", "needs", "lookback"]]
    family      returns
    needs         close
    lookback         63
    Name: momentum_63, dtype: object
    """
    rows = [
        {
            "feature": feature.name,
            "family": entry.family,
            "default": entry.family not in CHOSEN,
            "shared": entry.scope == "market",
            "needs": ", ".join(sorted(entry.needs)),
            "lookback": feature.lookback,
            "summary": str(entry.function.__doc__).partition("\n")[0],
        }
        for entry in catalogue()
        for feature in entry.features(check_windows(windows))
    ]
    return pd.DataFrame(rows).set_index("feature")
