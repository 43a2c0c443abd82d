"""Quantiles of the forecasts of a refit, as they would have been known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from skbatch._messages import collect_warnings
from skbatch.forecasting.engine import calibrated_part, outlook_of

LEVELS: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)


def fold_quantiles(
    model: BaseEstimator,
    X: pd.DataFrame,
    forecasts: pd.DataFrame,
    returns: pd.DataFrame,
) -> dict[float, pd.DataFrame]:
    """Forecast quantiles of the rows after a fit, if the model forecasts some.

    `returns` of these rows adjust what follows once they are known, as they do in a
    system.
    """
    final = model
    if isinstance(model, Pipeline):
        final, X = model[-1], model[:-1].transform(X) if len(model) > 1 else X
    forecaster = calibrated_part(final)
    if forecaster is not None and forecaster.layout_.kind == "frame":
        labels = forecaster.layout_.columns
        outlook = outlook_of(forecaster, X, forecasts[labels].to_numpy())
        outlook.follow(returns[labels].to_numpy())
        tables = outlook.quantiles(np.array(LEVELS))
        found = [pd.DataFrame(table, forecasts.index, labels) for table in tables]
    else:
        final = getattr(final, "best_estimator_", final)
        if not hasattr(final, "predict_quantiles"):
            return {}
        with collect_warnings():  # what has no quantiles stays NaN
            joined = final.predict_quantiles(X, list(LEVELS))
        found = [joined[level] for level in LEVELS]
    known = forecasts.notna()
    return {
        level: table.reindex(columns=forecasts.columns).where(known)
        for level, table in zip(LEVELS, found, strict=True)
    }
