"""Forecasts for feature frames with other tickers than those of `fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError
from skbatch.forecasting._children import run_model
from skbatch.forecasting._feature_table import FeatureTable
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.panel.engine import PanelColumns, join_column

__all__ = ["N_ROWS", "exchangeable_tickers", "forecast_others", "has_other_tickers"]

# Rows on which it is seen whether a model tells tickers apart.
N_ROWS = 5


def has_other_tickers(X: Any, fitted: PanelColumns) -> bool:
    """Whether a feature frame is like the fitted one, but of other tickers.

    Parameters
    ----------
    X : DataFrame or array-like
        Feature frame.
    fitted : PanelColumns
        Columns seen in `fit`.

    Returns
    -------
    bool
        False for an array, without tickers, and when the tickers are the same: what
        else may differ then is for scikit-learn to judge.
    """
    if not isinstance(X, pd.DataFrame) or not fitted.tickers:
        return False
    if not all(isinstance(name, str) for name in X.columns):
        return False
    columns = PanelColumns.parse(X.columns)
    return bool(columns.tickers) and set(columns.tickers) != set(fitted.tickers)


def exchangeable_tickers(
    model: Any, features: FeatureTable, layout: LabelLayout
) -> np.ndarray:
    """Find the tickers whose forecasts go by their features, not by their names.

    Every ticker is given the features of the next one. Where that gives the forecast
    of the next one, the model does not tell the two apart, and would forecast a
    ticker that it has never seen just as well.

    Parameters
    ----------
    model : estimator
        A fitted batch forecaster.
    features : FeatureTable
        Some rows of features.
    layout : LabelLayout
        Of the labels.

    Returns
    -------
    ndarray of str
        Tickers; none for an array, or fewer than two tickers.
    """
    tickers = list(dict.fromkeys(layout.tickers))
    positions = features.series_columns(tickers)
    if features.names is None or len(tickers) < 2 or not positions.shape[1]:
        return np.array([], dtype=object)
    values = features.values
    shifted = np.roll(positions, -1, axis=0)
    both = (positions >= 0) & (shifted >= 0)
    moved = values.copy()
    moved[:, positions[positions >= 0]] = np.nan
    moved[:, positions[both]] = values[:, shifted[both]]
    before, after = (
        run_model(model, table, layout)
        for table in (features, replace(features, values=moved))
    )
    alike = np.ones(len(tickers), dtype=bool)
    for horizon in set(layout.horizons):
        found = {
            ticker: number
            for number, ticker in enumerate(layout.tickers)
            if layout.horizons[number] == horizon
        }
        columns = np.array([found.get(ticker, -1) for ticker in tickers])
        following = np.roll(columns, -1)
        old, new = before[:, following], after[:, columns]
        same = np.isclose(new, old, rtol=1e-4, atol=1e-9, equal_nan=True).all(axis=0)
        same &= np.isfinite(new).any(axis=0)
        alike &= same & (columns >= 0) & (following >= 0)
    return np.array(tickers, dtype=object)[alike]


def forecast_others(
    model: Any, X: pd.DataFrame, fitted: PanelColumns, layout: LabelLayout, free: Any
) -> tuple[np.ndarray, FeatureTable, LabelLayout]:
    """Forecast the tickers of a feature frame, seen in `fit` or not.

    Parameters
    ----------
    model : estimator
        A fitted batch forecaster.
    X : DataFrame of shape (n_dates, n_columns)
        Feature frame with the shared columns of `fit`.
    fitted : PanelColumns
        Columns seen in `fit`.
    layout : LabelLayout
        Labels seen in `fit`.
    free : sequence of str
        Tickers in whose place others can be forecast.

    Returns
    -------
    forecasts : ndarray of shape (n_dates, n_labels)
        NaN for new tickers if `free` is empty.
    features : FeatureTable
        The features in `X`.
    layout : LabelLayout
        The tickers of `X` at the horizons of `fit`.

    Raises
    ------
    PanelError
        If shared columns, or all features of a ticker, are missing.
    """
    features = FeatureTable(
        X.to_numpy(dtype=np.float32), PanelColumns.parse(X.columns), X.index
    )
    _check_columns(features.columns, fitted)
    if np.isinf(features.values).any():
        raise PanelError(
            "X must be finite or NaN. Got infinite features. Replace them by NaN."
        )
    tickers = features.columns.tickers
    horizons = tuple(dict.fromkeys(layout.horizons))
    pairs = zip(layout.horizons, layout.tickers, strict=True)
    own = {key: number for number, key in enumerate(pairs)}
    forecasts = np.full((len(X), len(horizons), len(tickers)), np.nan)
    known = {ticker for ticker in layout.tickers if ticker in set(fitted.tickers)}
    seen = {ticker: ticker for ticker in tickers if ticker in known}
    new = [ticker for ticker in tickers if ticker not in known]
    size = max(1, len(free))
    rounds = [seen] if seen else []
    if len(free):
        rounds += [
            dict(zip(new[start : start + size], free, strict=False))
            for start in range(0, len(new), size)
        ]
    number = {ticker: n for n, ticker in enumerate(tickers)}
    for places in rounds:
        table = run_model(model, _in_places(features, fitted, places), layout)
        if places is not seen:
            moved = _moved(places, free)
            again = run_model(model, _in_places(features, fitted, moved), layout)
            table = _where_alike(table, again, places, moved, own)
        for ticker, place in places.items():
            for row, horizon in enumerate(horizons):
                column = own.get((horizon, place))
                if column is not None:
                    forecasts[:, row, number[ticker]] = table[:, column]
    return (
        forecasts.reshape(len(X), -1),
        features,
        _layout_of(tickers, horizons, layout),
    )


def _moved(places: dict[str, str], free: Any) -> dict[str, str]:
    """Give each new ticker the place of the next fitted one."""
    following = dict(zip(free, np.roll(free, -1), strict=True))
    return {ticker: following[place] for ticker, place in places.items()}


def _where_alike(
    table: np.ndarray,
    again: np.ndarray,
    places: dict[str, str],
    moved: dict[str, str],
    own: dict[tuple[int, str | None], int],
) -> np.ndarray:
    """Drop forecasts that another place would not give: they are that ticker's own.

    What served when the model was tried need not serve a ticker with fewer features:
    behind it there may be the historical mean of the ticker whose place it took.
    """
    table = table.copy()
    for horizon in {horizon for horizon, _ in own}:
        for ticker, place in places.items():
            first, second = own.get((horizon, place)), own.get((horizon, moved[ticker]))
            if first is None:
                continue
            if second is None or second == first:
                table[:, first] = np.nan
                continue
            same = np.isclose(table[:, first], again[:, second], rtol=1e-4, atol=1e-9)
            table[~same, first] = np.nan
    return table


def _check_columns(columns: PanelColumns, fitted: PanelColumns) -> None:
    """Refuse frames that lack what the model needs."""
    missing = set(fitted.shared) - set(columns.shared)
    if missing:
        raise PanelError(
            "X must have the shared columns of the features seen in fit. Got none "
            f"called {format_tickers(sorted(missing))}. Make X with the same extractor "
            "settings."
        )
    use = [columns.features.index(f) for f in fitted.features if f in columns.features]
    empty = ~(columns.positions[:, use] >= 0).any(axis=1)
    if empty.any():
        names = np.array(columns.tickers)[empty]
        raise PanelError(
            "X must have, for every ticker, features seen in fit. Got others only for "
            f"{format_tickers(names)}; fit saw {format_tickers(fitted.features)}. Make "
            "X with the same extractor settings."
        )


def _in_places(
    features: FeatureTable, fitted: PanelColumns, places: dict[str, str]
) -> FeatureTable:
    """Lay tickers' features into the columns of fitted tickers; the rest is NaN."""
    order = np.argsort(
        np.concatenate(
            [fitted.positions[fitted.positions >= 0], fitted.shared_positions]
        )
    )
    names = [
        join_column(ticker, feature)
        for row, ticker in enumerate(fitted.tickers)
        for number, feature in enumerate(fitted.features)
        if fitted.positions[row, number] >= 0
    ]
    names = [[*names, *fitted.shared][n] for n in order]
    values = np.full((features.n_dates, len(names)), np.nan, dtype=np.float32)
    columns = features.columns
    shared = dict(zip(columns.shared, columns.shared_positions, strict=True))
    values[:, fitted.shared_positions] = features.values[
        :, [shared[name] for name in fitted.shared]
    ]
    rows = {ticker: row for row, ticker in enumerate(fitted.tickers)}
    given = {ticker: row for row, ticker in enumerate(columns.tickers)}
    have = np.array(
        [
            columns.features.index(f) if f in columns.features else -1
            for f in fitted.features
        ]
    )
    for ticker, place in places.items():
        target = fitted.positions[rows[place]]
        source = np.where(have >= 0, columns.positions[given[ticker]][have], -1)
        use = (target >= 0) & (source >= 0)
        values[:, target[use]] = features.values[:, source[use]]
    return FeatureTable(values, fitted, features.index, np.array(names, dtype=object))


def _layout_of(
    tickers: tuple[str, ...], horizons: tuple[int, ...], layout: LabelLayout
) -> LabelLayout:
    """Lay out the tickers of a frame like the labels of `fit`."""
    columns = pd.Index(tickers)
    if layout.columns is not None and layout.columns.nlevels > 1:
        columns = pd.MultiIndex.from_product(
            [horizons, tickers], names=layout.columns.names
        )
    elif layout.columns is not None:
        columns = columns.rename(layout.columns.name)
    return replace(
        layout,
        kind="frame",
        columns=columns,
        ndim=2,
        tickers=tickers * len(horizons),
        horizons=tuple(np.repeat(horizons, len(tickers)).tolist()),
    )
