"""The forecasters that a batch is fitted with, one rung after the other."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.base import clone

from skbatch.batch._tasks import RUNGS, Rung
from skbatch.forecasting import (
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)

__all__ = ["models_of_rungs", "param_of"]


def models_of_rungs(forecaster: Any, market: pd.DataFrame | None) -> dict[Rung, Any]:
    """Prepare the forecaster of each rung.

    Parameters
    ----------
    forecaster : estimator
        The user's forecaster.
    market : DataFrame of shape (n_dates, n_horizons) or None
        Returns of the market of all tickers.

    Returns
    -------
    dict of str to estimator
        Unfitted: the forecaster itself, its fallback (or the linear forecaster), and
        the historical mean; all of them relative to that market where they can be.
    """
    least = HistoricalMeanForecaster().min_labels
    simple = BatchLinearForecaster()
    options = {}
    inner = forecaster
    while isinstance(inner, ConformalForecaster):
        inner = inner.estimator
    if isinstance(inner, FallbackForecaster):
        least = -(-inner.min_labels // 3)
        options["min_labels"] = inner.min_labels
        simple = simple if inner.fallback is None else inner.fallback
    mean = HistoricalMeanForecaster(min_labels=least)
    simpler = FallbackForecaster(simple, clone(mean), **options)
    models = (_beside(forecaster, market), _beside(simpler, market), mean)
    return dict(zip(RUNGS, models, strict=True))


def param_of(forecaster: Any, name: str, default: Any = None) -> Any:
    """Find a parameter of a forecaster, or of the first one in it that has it."""
    params = forecaster.get_params()
    found = [v for key, v in params.items() if key.rpartition("__")[2] == name]
    return found[0] if found else default


def _beside(forecaster: Any, market: pd.DataFrame | None) -> Any:
    """Tell a forecaster, and those inside it, about the market of all tickers."""
    forecaster = clone(forecaster)
    if market is None:
        return forecaster
    open_names = [
        name
        for name, value in forecaster.get_params().items()
        if name.rpartition("__")[2] == "market_return" and value is None
    ]
    return forecaster.set_params(**dict.fromkeys(open_names, market))
