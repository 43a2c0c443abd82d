"""What each input contributes to a forecast, and what is added and taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch.forecasting._children import as_input
from skbatch.forecasting._feature_table import FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._training import PanelModel, TaskModel, input_name

# Parts of a forecast that no feature contributes.
COMMON = "model average"
SHRINKAGE = "shrinkage"
EXPECTATION = "market expectation"
MEAN = "historical mean"
NO_FEATURES = (COMMON, SHRINKAGE, EXPECTATION, MEAN)


def explain_panel_model(fitted: PanelModel, table: FeatureTable) -> pd.DataFrame:
    """Split the forecasts of one row into parts, `(n_labels, n_parts)`."""
    transform = fitted.transform
    unit = transform.scale.matrix(table)
    none = np.zeros(unit.shape)
    expectation = transform.returns(none, unit, table)[0]
    scale = transform.returns(none + 1.0, unit, table)[0] - expectation
    index = label_index(transform.layout)
    parts = [_explain_task(model, table, scale, index) for model in fitted.models]
    return joined_parts(parts, index).assign(**{EXPECTATION: expectation})


def joined_parts(parts: list[pd.DataFrame], index: pd.Index) -> pd.DataFrame:
    """Combine labels that different models explain; features come first."""
    table = pd.concat(parts) if parts else pd.DataFrame(index=index[:0])
    table = table.reindex(index).astype(np.float64)
    # What a model has no input for contributes nothing to its forecasts.
    some = table.notna().any(axis=1).to_numpy()[:, None]
    table = table.mask(table.isna() & some, 0.0)
    last = [name for name in NO_FEATURES if name in table]
    return table[[*(name for name in table if name not in last), *last]]


def _explain_task(
    fitted: TaskModel,
    table: FeatureTable,
    scale: np.ndarray,
    index: pd.Index,
) -> pd.DataFrame:
    """Split the forecasts of one model, in the unit of returns."""
    task = fitted.task
    series = np.flatnonzero(np.isfinite(scale[task.outputs]).any(axis=1))
    if not len(series):
        return pd.DataFrame(index=index[:0])
    X = table.gather(task.columns, np.zeros(len(series), dtype=np.intp), series)
    values = _checked_contributions(fitted.model, X)
    forecast = fitted.model.predict(X).astype(np.float64)
    forecast = forecast.reshape(len(series), -1)
    values = values.reshape(len(series), len(task.columns[0]), -1)
    outputs = task.outputs[series]
    known = table.names
    columns = task.columns.max(axis=0)
    names = [f"x{n}" if known is None else input_name(known[n]) for n in columns]
    rows = []
    for number in range(outputs.shape[1]):
        part = pd.DataFrame(values[:, :, number], columns=names).T
        part = part.groupby(level=0, sort=False).sum().T
        # What trees forecast without knowing any input, and the rounding of floats.
        part[COMMON] = forecast[:, number] - part.sum(axis=1)
        part[SHRINKAGE] = (fitted.shrinkage - 1.0) * forecast[:, number]
        part = part.mul(scale[outputs[:, number]], axis=0)
        part.index = index[outputs[:, number]]
        rows.append(part if fitted.trained[number] else part * np.nan)
    return pd.concat(rows)


def _checked_contributions(model: Any, X: np.ndarray) -> np.ndarray:
    """Split the forecasts of a model, if it is of a kind whose forecasts add up."""
    if not hasattr(model, "contributions"):
        raise TypeError(
            "The forecaster must be tree-based or linear to be explained. Got "
            f"{type(model).__name__}. Use BatchXGBoostForecaster or "
            "BatchLinearForecaster."
        )
    return np.asarray(model.contributions(X), dtype=np.float64)


def label_index(layout: LabelLayout) -> pd.Index:
    """Index labels by ticker, or by (horizon, ticker)."""
    columns = layout.columns
    if columns is None or layout.kind == "series":
        columns = pd.Index(layout.names)
    return columns.rename("ticker") if columns.nlevels == 1 else columns


def explained_by(model: Any, table: FeatureTable, layout: LabelLayout) -> pd.DataFrame:
    """Split one row of forecasts of any fitted model that can be explained."""
    if not hasattr(model, "explain"):
        raise TypeError(
            "The forecaster must have `explain`. Got "
            f"{type(model).__name__}. Use BatchXGBoostForecaster or "
            "BatchLinearForecaster."
        )
    parts = model.explain(as_input(model, table))
    return parts.reindex(label_index(layout))
