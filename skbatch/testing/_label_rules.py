"""What a batch forecaster promises about labels, tickers and missing values.

The name of a rule is the name of its function, and its promise the docstring: both
are shown to the user whose forecaster breaks it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._messages import format_tickers
from skbatch.panel.engine import PanelColumns
from skbatch.testing._synthetic_case import Case, fit
from skbatch.testing._table_difference import as_table, find_difference

# Forecasts of the same numbers in another order of sums, relative to their spread.
TOLERANCE = 1e-3


class BrokenRuleError(Exception):
    """What was found, and what to do about it."""


def require_equal(
    expected: Any, got: Any, index: pd.Index, when: str, advice: str
) -> None:
    """Raise unless two forecasts are the same, bit for bit."""
    first, second = as_table(expected, index), as_table(got, index)
    difference = find_difference(first, second, index)
    if difference is not None:
        raise BrokenRuleError(f"Got {difference}, {when}. {advice}")


def last_labels_are_not_learned(forecaster: BaseEstimator, case: Case) -> None:
    """Omit the labels of the last `horizon + delay` rows, not known yet."""
    _require_purge(forecaster, case, "")
    delayed = case.delayed(2)
    _require_purge(forecaster, delayed, " and y.attrs['delay'] was 2")


def _require_purge(forecaster: BaseEstimator, case: Case, when: str) -> None:
    """Raise if labels that end after the last row change a forecast."""
    expected = fit(forecaster, case).predict(case.X)
    garbage = {
        "huge": np.where(case.known, case.y, 9.0),
        "of the other sign": np.where(case.known, case.y, -case.y),
        "missing": np.where(case.known, case.y, np.nan),
    }
    for name, labels in garbage.items():
        got = fit(forecaster, case.with_labels(labels)).predict(case.X)
        rows = max(case.horizons) + case.delay
        require_equal(
            expected,
            got,
            case.X.index,
            f"when the labels of the last {rows} rows were {name}{when}",
            "In `fit`, drop these labels before anything is learned or chosen by them.",
        )


def missing_labels_are_not_filled(forecaster: BaseEstimator, case: Case) -> None:
    """Mask missing labels: they teach neither zero nor any other number."""
    gone = np.random.default_rng(0).random(case.y.shape) < 0.3
    masked = case.y.mask(gone)
    forecasts = _values(forecaster, case.with_labels(masked))
    # A forecaster that learns nothing from labels fills nothing.
    if np.array_equal(
        forecasts, _values(forecaster, case.with_labels(masked * -3)), equal_nan=True
    ):
        return
    row_means = pd.DataFrame({name: masked.mean(axis=1) for name in masked})
    fillings = {
        "zero": masked.fillna(0.0),
        "the label before": masked.ffill(),
        "the label after": masked.bfill(),
        "the mean of the date": masked.fillna(row_means),
    }
    for name, filled in fillings.items():
        if _are_close(_values(forecaster, case.with_labels(filled)), forecasts, 1e-9):
            raise BrokenRuleError(
                f"Got the same forecasts when missing labels were filled with {name}. "
                "Leave (date, ticker) cells without a label out of the training."
            )
    _require_same_level(forecaster, case, gone)


def _require_same_level(
    forecaster: BaseEstimator, case: Case, gone: np.ndarray
) -> None:
    """Raise if forecasts of nearly constant labels move when labels go missing."""
    noise = np.random.default_rng(1).normal(size=case.y.shape)
    labels = -0.013 + 0.0003 * noise
    levels = [
        np.nanmedian(_values(forecaster, case.with_labels(values)))
        for values in (labels, np.where(gone, np.nan, labels))
    ]
    if not abs(levels[1] - levels[0]) <= 0.1 * abs(levels[0]):
        raise BrokenRuleError(
            f"Got forecasts of {levels[1]:.4f} instead of {levels[0]:.4f} when some of "
            "the labels, all near -0.013, were missing. Leave (date, ticker) cells "
            "without a label out of the training."
        )


def no_labels_give_no_numbers(forecaster: BaseEstimator, case: Case) -> None:
    """Raise an error in `fit`, or forecast NaN, when there is no label at all."""
    try:
        forecasts = _values(forecaster, case.with_labels(case.y * np.nan))
    except (ValueError, RuntimeError):
        return
    if np.isfinite(forecasts).any():
        raise BrokenRuleError(
            f"Got {np.isfinite(forecasts).sum()} finite forecasts although all labels "
            "were missing. Raise an error that names the problem."
        )


def missing_features_give_no_forecast(forecaster: BaseEstimator, case: Case) -> None:
    """Forecast NaN for a ticker without a finite feature of its own, and only there."""
    fitted = fit(forecaster, case)
    late = case.X.index[-10:]
    X = case.X.loc[late].copy()
    X[case.own_columns("BBB")] = np.nan
    before, after = (
        as_table(fitted.predict(table), late) for table in (case.X[-10:], X)
    )
    own = after.columns.get_level_values(-1) == "BBB"
    invented = after.loc[:, own].to_numpy()
    if np.isfinite(invented).any():
        raise BrokenRuleError(
            f"Got {invented[np.isfinite(invented)][0]:.4g} for a ticker none of whose "
            "features is known at the date. Forecast NaN there."
        )
    lost = before.notna() & after.isna() & ~own
    if lost.any(axis=None):
        raise BrokenRuleError(
            f"Got NaN for {format_tickers(lost.columns[lost.any()])}, too, when the "
            "features of BBB were missing. Keep the others' forecasts."
        )


def tickers_go_by_name(forecaster: BaseEstimator, case: Case) -> None:
    """Return the same forecasts, in the labels' order, for any order of tickers."""
    expected = as_table(fit(forecaster, case).predict(case.X), case.X.index)
    for what, X in {
        "labels were": case.X,
        "features and labels were": _reorder_features(case.X),
    }.items():
        y = case.y.iloc[:, ::-1]
        got = as_table(fit(forecaster, Case(X, y, case.horizons)).predict(X), X.index)
        if list(got.columns) != list(y.columns):
            raise BrokenRuleError(
                f"Got the columns {list(got.columns)} for labels in the order "
                f"{list(y.columns)}. Give forecasts the columns of the labels."
            )
        gap = np.nanmax(np.abs(got[expected.columns].to_numpy() - expected.to_numpy()))
        if not _are_close(got[expected.columns], expected, TOLERANCE):
            raise BrokenRuleError(
                f"Got forecasts that differ by up to {gap:.3g}, when {what} in another "
                "order of the tickers. Find the features of a ticker by its name, and "
                "bring tickers into an order of your own before you draw samples."
            )


def rows_stand_alone(forecaster: BaseEstimator, case: Case) -> None:
    """Forecast a row from its own features: alone as well as among others."""
    fitted = fit(forecaster, case)
    together = as_table(fitted.predict(case.X), case.X.index)
    for row in (0, len(case.X) - 1):
        X = case.X.iloc[[row]]
        alone = as_table(fitted.predict(X), X.index)
        if not _are_close(alone, together.iloc[[row]], TOLERANCE, together):
            raise BrokenRuleError(
                f"Got another forecast for row {row} when it was the only one. In "
                "`predict`, use nothing of the other rows; history belongs into "
                "features."
            )


def _values(forecaster: BaseEstimator, case: Case) -> np.ndarray:
    """Forecasts of a clone fitted on a case."""
    return np.asarray(fit(forecaster, case).predict(case.X), dtype=np.float64)


def _are_close(got: Any, expected: Any, tolerance: float, scale: Any = None) -> bool:
    """Compare forecasts; differences count relative to the largest forecast."""
    got, expected = np.asarray(got), np.asarray(expected)
    level = np.nan_to_num(np.abs(expected if scale is None else np.asarray(scale)))
    limit = tolerance * level.max(initial=0.0)
    return np.allclose(got, expected, rtol=0.0, atol=limit, equal_nan=True)


def _reorder_features(X: pd.DataFrame) -> pd.DataFrame:
    """Reverse the tickers of a feature frame, within each feature."""
    columns = PanelColumns.parse(X.columns)
    order = columns.positions[::-1].T.ravel().tolist()
    return X.iloc[:, order + columns.shared_positions.tolist()]


LABEL_RULES = (
    last_labels_are_not_learned,
    missing_labels_are_not_filled,
    no_labels_give_no_numbers,
    missing_features_give_no_forecast,
    tickers_go_by_name,
    rows_stand_alone,
)
