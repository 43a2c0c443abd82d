"""Checked features, labels and weights, and the shape in which forecasts are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skbatch._messages import date_text, format_tickers
from skbatch.exceptions import PanelError
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._horizons import resolve_horizons
from skbatch.forecasting._names import check_names
from skbatch.panel.engine import PanelColumns, mask_late, recorded_delay


@dataclass(frozen=True)
class LabelLayout:
    """The columns of a label table, and the kind of container it came in."""

    kind: Literal["frame", "series", "array"]
    columns: pd.Index | None  # of a series, its name alone
    ndim: int
    tickers: tuple[str | None, ...]
    horizons: tuple[int, ...]  # of each label column
    delay: int = 0

    def wrap(self, values: np.ndarray, index: pd.Index | None) -> Any:
        """Return forecasts `(n_dates, n_labels)` in the container of the labels."""
        if self.kind == "frame":
            return pd.DataFrame(values, index=index, columns=self.columns)
        if self.kind == "series":
            assert self.columns is not None
            return pd.Series(values[:, 0], index=index, name=self.columns[0])
        return values[:, 0] if self.ndim == 1 else values

    def with_tickers(self, tickers: tuple[str, ...]) -> LabelLayout:
        """Lay out a frame of other tickers, at the same horizons."""
        horizons = tuple(dict.fromkeys(self.horizons))
        columns = pd.Index(tickers)
        if self.columns is not None and self.columns.nlevels > 1:
            columns = pd.MultiIndex.from_product(
                [horizons, tickers], names=self.columns.names
            )
        elif self.columns is not None:
            columns = columns.rename(self.columns.name)
        spread = tuple(horizon for horizon in horizons for _ in tickers)
        names = tickers * len(horizons)
        return LabelLayout("frame", columns, 2, names, spread, self.delay)

    @property
    def horizon(self) -> int | tuple[int, ...]:
        """The horizon of all columns, or each different one."""
        horizons = tuple(dict.fromkeys(self.horizons))
        return horizons[0] if len(horizons) == 1 else horizons

    @property
    def reaches(self) -> tuple[int, ...]:
        """Rows from the date of each label to the close at which its return ends."""
        return tuple(horizon + self.delay for horizon in self.horizons)

    @property
    def keys(self) -> list[str]:
        """Name of each label column, with its horizon if there are several."""
        if isinstance(self.horizon, int):
            return self.names
        pairs = zip(self.names, self.horizons, strict=True)
        return [f"{name} at horizon {horizon}" for name, horizon in pairs]

    @property
    def names(self) -> list[str]:
        """Name of each label column: its ticker, or ``y0``, ``y1``, …."""
        return [
            f"y{number}" if ticker is None else ticker
            for number, ticker in enumerate(self.tickers)
        ]


def check_features(estimator: Any, X: Any, *, reset: bool) -> FeatureBlocks:
    """Check a feature frame or array and read its panel structure."""
    if isinstance(X, FeatureBlocks):
        return _checked_blocks(estimator, X, reset=reset)
    if reset and isinstance(X, pd.DataFrame):
        _check_dates(X.index)
    rules = {
        "dtype": np.float32,
        "ensure_all_finite": "allow-nan",
        "ensure_min_samples": 2 if reset else 1,
    }
    if _is_float_table(X):
        # check_array looks at every column's dtype, and validate_data at every name
        # several times: with tens of thousands of columns both take longer than a
        # forecast of a few rows.
        if reset or not _has_names(X, estimator):
            validate_data(estimator, X=X, reset=reset, skip_check_array=True)
        values = check_array(X.to_numpy(), estimator=estimator, input_name="X", **rules)
    else:
        values = validate_data(estimator, X=X, reset=reset, **rules)
    if reset:
        names = getattr(estimator, "feature_names_in_", None)
        if names is None:
            names = [f"x{number}" for number in range(values.shape[1])]
        estimator.panel_columns_ = PanelColumns.parse(names)
    index = X.index if isinstance(X, pd.DataFrame) else None
    names = getattr(estimator, "feature_names_in_", None)
    universe = X.attrs.get("universe") if isinstance(X, pd.DataFrame) else None
    return FeatureTable(values, estimator.panel_columns_, index, names, universe)


def _is_float_table(table: Any) -> bool:
    """Return whether a table is one of floats, whose columns need no look at each."""
    floats = {np.dtype(letter) for letter in "fd"}
    return isinstance(table, pd.DataFrame) and set(table.dtypes) <= floats


def layout_of(labels: pd.Index, horizon: int | tuple[int, ...]) -> LabelLayout:
    """Lay out a frame of labels: tickers, or (horizon, ticker)."""
    tickers = tuple(labels.get_level_values(-1).tolist())
    several = labels.nlevels > 1
    levels: Any = labels.get_level_values(0) if several else [horizon] * len(labels)
    horizons = tuple(int(level) for level in levels)
    return LabelLayout("frame", labels, 2, tickers, horizons)


def _checked_blocks(estimator: Any, X: FeatureBlocks, *, reset: bool) -> FeatureBlocks:
    """Record or compare the columns of features that have been checked before."""
    if reset:
        estimator.n_features_in_ = X.n_columns
        estimator.panel_columns_ = X.columns
        if X.names is not None:
            estimator.feature_names_in_ = X.names
        else:
            vars(estimator).pop("feature_names_in_", None)
        return X
    # The structure determines the names, of which there are many more.
    if X.columns.equals(estimator.panel_columns_):
        return X
    names: Any = getattr(estimator, "feature_names_in_", None)
    if names is not X.names and not np.array_equal(names, np.asarray(X.names)):
        raise ValueError(
            "X must have the columns seen in `fit`. Got others. Create X with the same "
            "extractor."
        )
    return X


def _has_names(X: pd.DataFrame, estimator: Any) -> bool:
    """Return whether the columns are exactly those of `fit`."""
    names = getattr(estimator, "feature_names_in_", ())
    if X.shape[1] != len(names):
        return False
    return bool((X.columns.to_numpy(dtype=object) == names).all())


def check_labels(
    y: Any, features: FeatureBlocks, horizon: int | Literal["auto"]
) -> tuple[np.ndarray, LabelLayout]:
    """Check labels, resolve how far they look ahead, and remove those not known yet."""
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. "
            "Pass y=forward_returns(prices, horizon)."
        )
    values = check_array(
        # Of columns with the same name, the check of the table says which.
        y.to_numpy() if _is_float_table(y) and y.columns.is_unique else y,
        dtype=np.float64,
        ensure_2d=False,
        ensure_all_finite="allow-nan",
        input_name="y",
        copy=True,
    )
    ndim = values.ndim
    values = values.reshape(len(values), -1)
    check_same_rows(features.index, features.n_dates, y, len(values))
    layout = _label_layout(y, values.shape[1], ndim, features, horizon)
    drop_unknown(values, layout)
    mask_late(values, y)
    members = features.members(layout.tickers)
    if members is not None:
        values[~members] = np.nan
    if not np.isfinite(values).any():
        delay = f" and delay {layout.delay}" if layout.delay else ""
        raise PanelError(
            "y must hold finite labels that are known by its last row. Got none in "
            f"{len(values)} rows at horizon {max(layout.horizons)}{delay}. Pass more "
            "rows, or check the prices that the labels come from."
        )
    return values, layout


def drop_unknown(labels: np.ndarray, layout: LabelLayout) -> None:
    """Remove, in place, labels `(n_dates, n_labels)` that end after the last row."""
    for column, rows in enumerate(layout.reaches):
        labels[max(0, len(labels) - rows) :, column] = np.nan


def _check_dates(index: pd.Index) -> None:
    """Reject rows in another order than time: the last are taken for the latest."""
    if index.is_monotonic_increasing and index.is_unique:
        return
    raise PanelError(
        "X must have dates in increasing order, each once. Got "
        f"{date_text(index[0])} to {date_text(index[-1])} with {index.nunique()} "
        f"different dates in {len(index)} rows. Sort X and y with `.sort_index()`, "
        "drop repeated dates, and split by time, not at random."
    )


def check_same_rows(
    index: pd.Index | None, n_features: int, y: Any, n_labels: int
) -> None:
    """Reject labels whose rows are not those of the features."""
    if n_labels != n_features:
        raise PanelError(
            "X and y must have the same rows: found input variables with inconsistent "
            f"numbers of samples. Got {n_features} and {n_labels}. Select the same "
            "dates from both."
        )
    dates = y.index if isinstance(y, pd.DataFrame | pd.Series) else None
    if dates is None or index is None or dates.equals(index):
        return
    differs = int(np.argmax(np.asarray(dates != index)))
    raise PanelError(
        "X and y must have the same index. Got "
        f"{date_text(index[differs])} in X and {date_text(dates[differs])} in y at "
        f"row {differs}. Align them with `y.reindex(X.index)` (keep y.attrs)."
    )


def _label_layout(
    y: Any,
    n_labels: int,
    ndim: int,
    features: FeatureBlocks,
    horizon: int | Literal["auto"],
) -> LabelLayout:
    """Read tickers, horizons and delay of the label columns."""
    kind: Literal["frame", "series", "array"] = "array"
    columns = None
    tickers: list[str | None] = [None] * n_labels
    if isinstance(y, pd.DataFrame):
        kind, columns = "frame", y.columns
        tickers = list(map(str, columns.get_level_values(-1).tolist()))
    elif isinstance(y, pd.Series):
        kind, columns = "series", pd.Index([y.name])
        tickers = [None if y.name is None else str(y.name)]
    known = features.columns.tickers
    if kind == "array" and n_labels == len(known):
        tickers = list(known)
    horizons = resolve_horizons(y, n_labels, horizon)
    check_names(y, tickers, features)
    delay = recorded_delay(y)
    return LabelLayout(kind, columns, ndim, tuple(tickers), horizons, delay)


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
            f"{len(columns)} columns, in which these are missing or repeated: "
            f"{format_tickers(missing.append(columns[columns.duplicated()]))}. Correct "
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
            "The weights of known labels must not all be zero. Got only zeros. Weight "
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
