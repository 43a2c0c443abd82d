"""How much each label counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import (
    LabelLayout,
    check_features,
    check_labels,
    check_same_rows,
)


def check_fit(
    forecaster: Any, X: Any, y: Any, horizon: Any, sample_weight: Any
) -> tuple[FeatureBlocks, np.ndarray, np.ndarray | None]:
    """Check what a forecaster is fitted on, and record how its labels are laid out."""
    features = check_features(forecaster, X, reset=True)
    labels, layout = check_labels(y, features, horizon)
    forecaster.layout_, forecaster.horizon_ = layout, layout.horizon
    weights = check_weights(sample_weight, features.n_dates, features.index, layout)
    return features, labels, drop_weightless(labels, weights)


def check_weights(
    sample_weight: Any, n_dates: int, index: pd.Index | None, layout: LabelLayout
) -> np.ndarray | None:
    """Broadcast weights of dates, or of dates and tickers, to `(n_dates, n_labels)`."""
    if sample_weight is None:
        return None
    values = np.asarray(sample_weight, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise _wrong_shape(values.shape, n_dates, layout)
    check_same_rows(index, n_dates, sample_weight, len(values))
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise ValueError(
            "`sample_weight` must be finite and not negative. Got "
            f"{values[wrong][0]:g} among {values.size} weights. Pass 0 for what is to "
            "be left out, as with `.fillna(0)`."
        )
    if values.ndim == 1:
        return np.broadcast_to(values[:, None], (n_dates, len(layout.tickers)))
    return values[:, _columns(sample_weight, values.shape, layout)]


def _columns(sample_weight: Any, shape: tuple[int, ...], layout: LabelLayout) -> Any:
    """Find the column of each label, by name or else by place."""
    n_labels = len(layout.tickers)
    tickers = list(dict.fromkeys(layout.names))
    if not isinstance(sample_weight, pd.DataFrame) or layout.kind == "array":
        if shape[1] == n_labels:
            return np.arange(n_labels)
        if shape[1] == len(tickers):
            return [tickers.index(name) for name in layout.names]
        raise _wrong_shape(shape, shape[0], layout)
    columns = sample_weight.columns
    keys = layout.columns
    if columns.nlevels == 1 or keys is None:
        columns, keys = columns.map(str), pd.Index(layout.names, dtype=object)
    missing = keys[~keys.isin(columns)]
    if len(missing) or not columns.is_unique:
        raise PanelError(
            "`sample_weight` must have a column for each ticker of y, once. Got "
            f"{len(columns)} columns; these have none, or several: "
            f"{format_tickers(missing.append(columns[columns.duplicated()]))}. Add "
            "them, or pass an array."
        )
    return columns.get_indexer_for(keys)


def _wrong_shape(shape: tuple[int, ...], n_dates: int, layout: LabelLayout) -> Any:
    return PanelError(
        "`sample_weight` must have shape (n_dates,) or (n_dates, n_tickers): "
        f"({n_dates},) or ({n_dates}, {len(layout.tickers)}). Got {shape}. Pass one "
        "weight for each date, or for each label."
    )


def drop_weightless(
    labels: np.ndarray, weights: np.ndarray | None
) -> np.ndarray | None:
    """Mask labels of weight zero, in place; None if all others count alike."""
    if weights is None:
        return None
    labels[weights == 0] = np.nan
    used = weights[np.isfinite(labels)]
    if not len(used):
        raise PanelError(
            "The weights of known labels must not all be zero. Got no other. Weight "
            "other dates or tickers, or pass more rows."
        )
    return None if (used == used[0]).all() else weights


def date_weights(
    labels: np.ndarray, weights: np.ndarray | None, columns: np.ndarray
) -> np.ndarray | None:
    """Average the weights of each date's known labels."""
    if weights is None:
        return None
    known = np.isfinite(labels[:, columns])
    total = np.where(known, weights[:, columns], 0.0).sum(axis=1)
    return total / np.maximum(known.sum(axis=1), 1)
