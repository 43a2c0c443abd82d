"""Feature frames of other tickers than those of `fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.forecasting._children import defined_here, run_model
from skbatch.forecasting._feature_table import FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.panel.engine import PanelColumns


def has_other_tickers(X: Any, fitted: PanelColumns) -> bool:
    """Whether a frame has columns of tickers, but not of exactly those of `fit`."""
    if not isinstance(X, pd.DataFrame) or not fitted.tickers:
        return False
    if not all(isinstance(name, str) for name in X.columns):
        return False
    columns = PanelColumns.parse(X.columns)
    return bool(columns.tickers) and set(columns.tickers) != set(fitted.tickers)


@dataclass(frozen=True)
class OtherFrame:
    """A feature frame of some tickers, seen in `fit` or not."""

    features: FeatureTable
    layout: LabelLayout
    fitted: LabelLayout
    columns: PanelColumns
    names: np.ndarray

    @classmethod
    def read(cls, X: pd.DataFrame, forecaster: Any) -> OtherFrame:
        """Lay out a frame for a forecaster, or refuse one that lacks what it needs."""
        fitted: PanelColumns = forecaster.panel_columns_
        columns = _numbered_as(fitted, PanelColumns.parse(X.columns))
        values = X.to_numpy(dtype=np.float32)
        if np.isinf(values).any():
            raise PanelError(
                "X must be finite or NaN. Got infinite features. Replace them by NaN."
            )
        features = FeatureTable(values, columns, X.index)
        labels: LabelLayout = forecaster.layout_
        layout = labels.with_tickers(columns.tickers)
        return cls(features, layout, labels, fitted, forecaster.feature_names_in_)

    @cached_property
    def known(self) -> FeatureTable:
        """Lay the tickers seen in `fit` into its columns; what is missing is NaN."""
        given, fitted = self.features.columns, self.columns
        shape = self.features.n_dates, len(self.names)
        values = np.full(shape, np.nan, dtype=np.float32)
        pairs = [(fitted.shared_positions, given.shared_positions)]
        rows = {ticker: row for row, ticker in enumerate(given.tickers)}
        for number, ticker in enumerate(fitted.tickers):
            if ticker in rows:
                row = rows[ticker]
                pairs.append((fitted.positions[number], given.positions[row]))
                pairs += [
                    (fitted.marks[name][[number]], given.marks[name][[row]])
                    for name in fitted.marks.keys() & given.marks
                ]
        for target, source in pairs:
            both = (target >= 0) & (source >= 0)
            values[:, target[both]] = self.features.values[:, source[both]]
        return FeatureTable(values, fitted, self.features.index, self.names)

    def carry(self, values: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Assign tickers their labels `(…, n_labels)` of `fit`, and new ones `new`."""
        pairs = zip(self.fitted.horizons, self.fitted.tickers, strict=True)
        places = {key: number for number, key in enumerate(pairs)}
        keys = zip(self.layout.horizons, self.layout.tickers, strict=True)
        numbers = np.array([places.get(key, -1) for key in keys])
        return np.where(numbers >= 0, values[..., numbers], new)

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return each label's fitted value; new tickers get the horizon's median."""
        horizons = np.asarray(self.fitted.horizons)
        medians = {h: pd.Series(values[horizons == h]).median() for h in set(horizons)}
        return self.carry(values, np.array([medians[h] for h in self.layout.horizons]))

    def forecast_known(self, model: Any) -> np.ndarray:
        """Forecast with any model the tickers that it was fitted on; NaN for others."""
        shape = self.features.n_dates, len(self.fitted.tickers)
        forecasts = np.full(shape, np.nan)
        if set(self.fitted.tickers) & set(self.layout.tickers):
            forecasts = run_model(model, self.known, self.fitted)
        return self.carry(forecasts, np.array(np.nan))


def forecast_others(model: Any, frame: OtherFrame) -> np.ndarray:
    """Forecast a frame with any fitted model, `(n_dates, n_labels)`."""
    model = getattr(model, "best_estimator_", model)
    if hasattr(model, "_forecast_others") and defined_here(model, "predict"):
        return model._forecast_others(frame)
    return frame.forecast_known(model)


def _numbered_as(fitted: PanelColumns, columns: PanelColumns) -> PanelColumns:
    """Find the features of `fit` among the columns of a frame."""
    missing = set(fitted.shared) - set(columns.shared)
    if missing:
        raise PanelError(
            "X must have the shared columns of the features seen in fit. Got none "
            f"called {format_tickers(sorted(missing))}. Create X with the same "
            "extractor settings."
        )
    shared = dict(zip(columns.shared, columns.shared_positions, strict=True))
    own = dict(zip(columns.features, columns.positions.T, strict=True))
    absent = np.full(len(columns.tickers), -1, dtype=np.intp)
    positions = np.stack([own.get(name, absent) for name in fitted.features], axis=1)
    empty = ~(positions >= 0).any(axis=1)
    if empty.any():
        names = np.array(columns.tickers)[empty]
        raise PanelError(
            "X must have, for every ticker, features seen in fit. Got others only for "
            f"{format_tickers(names)}; fit saw {format_tickers(fitted.features)}. "
            "Create X with the same extractor settings."
        )
    return replace(
        fitted,
        tickers=columns.tickers,
        positions=positions,
        shared_positions=np.array([shared[n] for n in fitted.shared], dtype=np.intp),
        marks=columns.marks,
    )
