"""Trials: outputs up to a date, with and without the prices after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.base import clone

from skbatch.exceptions import PanelError
from skbatch.panel import forward_returns
from skbatch.testing._compare import as_table, find_difference, spell
from skbatch.testing._garbage import KINDS, ORDERLY, REMOVED, garble
from skbatch.testing._peeking import fit_transform

__all__ = [
    "Cut",
    "Trial",
    "fit_transform_trial",
    "labels_trial",
    "new_features_trial",
    "new_forecasts_trial",
]

_PHRASES = {
    "huge": "were huge",
    "constant": "were constant",
    "reversed": "came in reversed order",
    "shuffled": "came in random order",
    "missing": "were missing for some tickers",
    REMOVED: "were cut off",
}
# Labels change in much the same way under the other kinds, and each costs a fit.
_LABEL_KINDS = ("shuffled", "huge", REMOVED)


@dataclass(frozen=True)
class Cut:
    """Where a panel is cut, as row numbers.

    Attributes
    ----------
    fitted : int
        Last row of the training window.
    last : int
        Last row whose prices are left as they are; later than `fitted`.
    """

    fitted: int
    last: int


@dataclass(frozen=True)
class Trial:
    """Outputs on some rows, and the row after which prices must not matter to them.

    Attributes
    ----------
    rule : str
        What must hold.
    advice : str
        What to look for when it does not.
    compute : callable
        Gives the output for a panel, garbled or not.
    last : int
        Last row of the panel whose prices may matter.
    rows : slice
        Rows whose output is compared.
    kinds : tuple of str
        Kinds of garbage to try.
    """

    rule: str
    advice: str
    compute: Callable[[pd.DataFrame], pd.DataFrame]
    last: int
    rows: slice
    kinds: tuple[str, ...] = KINDS

    def find_leak(self, panel: pd.DataFrame, seed: int) -> str | None:
        """Try every kind of garbage and describe the first change of the output."""
        rows = panel.index[self.rows]
        expected = self.output(panel)
        for number, kind in enumerate(self.kinds):
            garbled = garble(
                panel, self.last, kind, np.random.default_rng([seed, number])
            )
            try:
                got = self.compute(garbled)
            except ValueError:
                # Refusing absurd prices is no use of them; orderly ones must do.
                if kind in ORDERLY:
                    raise
                continue
            exact = kind != REMOVED
            difference = find_difference(expected, got, rows, exact=exact)
            if difference is not None:
                return (
                    f"{self.rule} Got {difference}, when the prices after "
                    f"{spell(panel.index[self.last])} {_PHRASES[kind]}. {self.advice}"
                )
        return None

    def output(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the output and make sure that there is something to compare."""
        first, last = (spell(panel.index[self.rows][end]) for end in (0, -1))
        table = self.compute(panel)
        compared = table.loc[table.index.isin(panel.index[self.rows])]
        numeric = all(types.is_numeric_dtype(dtype) for dtype in compared.dtypes)
        if not compared.size or (numeric and not np.isfinite(compared).any(axis=None)):
            raise PanelError(
                "`prices` must be long enough for the estimator to give finite values "
                f"between {first} and {last}. Got none, so nothing could be compared. "
                "Pass more rows, or use shorter windows; a transformer that keeps no "
                "history loses its first rows in every call."
            )
        return table


def fit_transform_trial(estimator: Any, panel: pd.DataFrame, cut: Cut) -> Trial:
    """Features of the rows that the transformer is fitted on."""
    return Trial(
        rule="Features must not depend on prices after their date.",
        advice=(
            "Look for shift(-1), centred windows, back-filling, and statistics of the "
            "whole panel such as a mean over all rows."
        ),
        compute=lambda prices: as_table(
            fit_transform(clone(estimator), prices), prices.index
        ),
        last=cut.last,
        rows=slice(0, cut.last + 1),
    )


def new_features_trial(estimator: Any, panel: pd.DataFrame, cut: Cut) -> Trial:
    """Features of rows that follow those the transformer is fitted on."""
    fitted = clone(estimator).fit(panel.iloc[: cut.fitted + 1])
    return Trial(
        rule=(
            "Features of new rows must not depend on prices after their date, when the "
            f"transformer is fitted up to {spell(panel.index[cut.fitted])}."
        ),
        advice=(
            "Look in `transform` for shift(-1), centred windows, back-filling, and "
            "statistics of all rows that are transformed together."
        ),
        compute=lambda prices: _on_new_rows(fitted.transform, prices, cut),
        last=cut.last,
        rows=slice(cut.fitted + 1, cut.last + 1),
    )


def new_forecasts_trial(
    estimator: Any, panel: pd.DataFrame, cut: Cut, horizon: Any
) -> Trial:
    """Forecasts of rows that follow those the forecaster is fitted on."""
    labels = forward_returns(panel, horizon).iloc[: cut.fitted + 1]
    fitted = clone(estimator).fit(panel.iloc[: cut.fitted + 1], labels)
    return Trial(
        rule=(
            "Forecasts must not depend on prices after their date, when the forecaster "
            f"is fitted up to {spell(panel.index[cut.fitted])}."
        ),
        advice=(
            "Look in `transform` and `predict` of its steps for shift(-1), centred "
            "windows, back-filling, and statistics of all rows that come together."
        ),
        compute=lambda prices: _on_new_rows(fitted.predict, prices, cut),
        last=cut.last,
        rows=slice(cut.fitted + 1, cut.last + 1),
    )


def labels_trial(estimator: Any, panel: pd.DataFrame, cut: Cut, horizon: Any) -> Trial:
    """Forecasts of models whose training labels are cut as in cross-validation."""
    end = cut.fitted + 1
    past = panel.iloc[:end]

    def compute(prices: pd.DataFrame) -> pd.DataFrame:
        labels = forward_returns(prices, horizon).iloc[:end]
        return as_table(clone(estimator).fit(past, labels).predict(past), past.index)

    return Trial(
        rule=(
            "Forecasts must not depend on training labels that end after the training "
            f"window, up to {spell(panel.index[cut.fitted])}."
        ),
        advice=(
            "In `fit`, drop the labels of the last `horizon` rows before anything is "
            "learnt or chosen by them."
        ),
        compute=compute,
        last=cut.fitted,
        rows=slice(0, end),
        kinds=_LABEL_KINDS,
    )


def _on_new_rows(
    method: Callable[[pd.DataFrame], Any], prices: pd.DataFrame, cut: Cut
) -> pd.DataFrame:
    """Apply a method of a fitted estimator to the rows after those it was fitted on."""
    new = prices.iloc[cut.fitted + 1 :]
    return as_table(method(new), new.index)
