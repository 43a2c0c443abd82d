"""Trials: outputs up to a date, with and without the prices after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.base import BaseEstimator, clone

from skbatch._sklearn import last_step
from skbatch.exceptions import ModelFitError, PanelError
from skbatch.testing._garbled_panels import KINDS, ORDERLY, REMOVED, garble, make_gaps
from skbatch.testing._panel_cuts import Cut
from skbatch.testing._planted_leaks import fit_transform
from skbatch.testing._table_difference import as_table, find_difference, spell

# Labels of a panel.
MakeLabels = Callable[[pd.DataFrame], pd.DataFrame]

_PHRASES = {
    "rescaled": "were multiplied by random numbers",
    "huge": "were huge",
    "constant": "were constant",
    "reversed": "came in reversed order",
    "shuffled": "came in random order",
    "missing": "were missing for some tickers",
    REMOVED: "were cut off",
}
# Labels change in much the same way under the other kinds, and each costs a fit.
_LABEL_KINDS = ("rescaled", "huge", REMOVED)
# How estimators refuse prices that they cannot work with; LinAlgError is a ValueError.
REFUSALS = (ValueError, ArithmeticError, ModelFitError)
# What a leak of some weekdays or month ends reads is changed by any kind.
_OTHER_KINDS = ("rescaled",)
_FILL_KINDS = ("rescaled", "huge")
_QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Trial:
    """Outputs on some rows, and the row after which prices must not matter to them."""

    rule: str
    advice: str
    compute: Callable[[pd.DataFrame], pd.DataFrame]
    first: int
    last: int
    kinds: tuple[str, ...] = KINDS
    fills: bool = True
    others: tuple[int, ...] = ()

    def find_leak(self, panel: pd.DataFrame, seed: int) -> str | None:
        """Try every kind of garbage and describe the first change of the output."""
        expected = self.output(panel)
        leak = self._find(panel, expected, self.last, self.kinds, seed)
        for row in self.others:
            if leak is None and row > self.first:
                leak = self._find(panel, expected, row, _OTHER_KINDS, seed)
        if leak or not self.fills:
            return leak
        # A window that is not full yet is filled from rows soon after the first.
        leak = self._find(panel, expected, self.first + 1, _FILL_KINDS, seed)
        if leak:
            return leak
        gapped = make_gaps(panel, max(self.first, self.last - 4), self.last, seed)
        try:
            expected = self.compute(gapped)
        except REFUSALS:
            return None  # The estimator takes no missing prices, so it fills none.
        return self._find(gapped, expected, self.last, _FILL_KINDS, seed)

    def output(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Compute the output and make sure that there is something to compare."""
        rows = panel.index[self.first : self.last + 1]
        table = self.compute(panel)
        compared = table.loc[table.index.isin(rows)]
        numeric = all(types.is_numeric_dtype(dtype) for dtype in compared.dtypes)
        if not compared.size or (numeric and not np.isfinite(compared).any(axis=None)):
            raise PanelError(
                "`prices` must be long enough for the estimator to give finite values "
                f"between {spell(rows[0])} and {spell(rows[-1])}. Got none, so nothing "
                "could be compared. Pass more rows, or use shorter windows; a "
                "transformer that keeps no history loses its first rows in every call."
            )
        return table

    def _find(
        self,
        panel: pd.DataFrame,
        expected: pd.DataFrame,
        last: int,
        kinds: tuple[str, ...],
        seed: int,
    ) -> str | None:
        """Garble the rows after `last` and compare the output up to it."""
        for kind in kinds:
            rng = np.random.default_rng([seed, KINDS.index(kind)])
            try:
                got = self.compute(garble(panel, last, kind, rng))
            except REFUSALS:
                # Raising an error on absurd prices is not a leak; sane ones must be
                # accepted.
                if kind in ORDERLY:
                    raise
                continue
            rows = panel.index[self.first : last + 1]
            difference = find_difference(expected, got, rows, exact=kind != REMOVED)
            if difference is not None:
                return (
                    f"{self.rule} Got {difference}, when the prices after "
                    f"{spell(panel.index[last])} {_PHRASES[kind]}. {self.advice}"
                )
        return None


def fit_transform_trial(
    estimator: BaseEstimator, panel: pd.DataFrame, cut: Cut
) -> Trial:
    """Features of the rows that the transformer is fitted on."""
    return Trial(
        rule="Features must not depend on prices after their date.",
        advice=(
            "Look for shift(-1), centered windows, back-filling, and statistics of the "
            "whole panel such as a mean over all rows."
        ),
        compute=lambda prices: as_table(
            fit_transform(clone(estimator), prices), prices.index
        ),
        first=0,
        last=cut.last,
        others=cut.others,
    )


def refit_trial(estimator: BaseEstimator, panel: pd.DataFrame, cut: Cut) -> Trial:
    """Features by `transform` of the rows that the transformer was fitted on."""
    return Trial(
        rule=(
            "Features by `transform` of fitted rows must not depend on prices after "
            "their date."
        ),
        advice=(
            "Compare `fit(X).transform(X)` with `fit_transform(X)`: they differ, and "
            "one of them must be wrong."
        ),
        compute=lambda prices: _transform_fitted_rows(estimator, prices),
        first=0,
        last=cut.last,
        others=cut.others,
    )


def transforms_alike(
    estimator: BaseEstimator, panel: pd.DataFrame, cut: Cut, seed: int
) -> bool:
    """Return whether `fit(X).transform(X)` is `fit_transform(X)`, also with gaps."""
    gapped = make_gaps(panel, max(0, cut.last - 4), cut.last, seed)
    for prices in (panel, gapped):
        try:
            expected = as_table(fit_transform(clone(estimator), prices), prices.index)
            got = _transform_fitted_rows(estimator, prices)
        except REFUSALS:
            continue  # An error on refused prices is not evidence.
        if find_difference(expected, got, prices.index) is not None:
            return False
    return True


def new_features_trial(
    estimator: BaseEstimator, panel: pd.DataFrame, cut: Cut
) -> Trial:
    """Features of rows that follow those the transformer is fitted on."""
    fitted = clone(estimator).fit(panel.iloc[: cut.fitted + 1])
    return Trial(
        rule=(
            "Features of new rows must not depend on prices after their date, when the "
            f"transformer is fitted up to {spell(panel.index[cut.fitted])}."
        ),
        advice=(
            "Look in `transform` for shift(-1), centered windows, back-filling, and "
            "statistics of all rows that are transformed together."
        ),
        compute=lambda prices: _on_new_rows(fitted.transform, prices, cut),
        first=cut.fitted + 1,
        last=cut.last,
        others=cut.others,
    )


def new_forecasts_trial(
    estimator: BaseEstimator,
    panel: pd.DataFrame,
    cut: Cut,
    make_labels: MakeLabels,
) -> Trial:
    """Forecasts of rows that follow those the forecaster is fitted on."""
    labels = make_labels(panel).iloc[: cut.fitted + 1]
    fitted = clone(estimator).fit(panel.iloc[: cut.fitted + 1], labels)
    return Trial(
        rule=(
            "Forecasts must not depend on prices after their date, when the forecaster "
            f"is fitted up to {spell(panel.index[cut.fitted])}."
        ),
        advice=(
            "Look in `transform` and `predict` of its steps for shift(-1), centered "
            "windows, back-filling, and statistics of all rows that come together."
        ),
        compute=lambda prices: _on_new_rows(partial(_forecasts, fitted), prices, cut),
        first=cut.fitted + 1,
        last=cut.last,
        others=cut.others,
    )


def labels_trial(
    estimator: BaseEstimator,
    panel: pd.DataFrame,
    cut: Cut,
    make_labels: MakeLabels,
) -> Trial:
    """Forecasts of models whose training labels are cut as in cross-validation."""
    end = cut.fitted + 1
    past = panel.iloc[:end]

    def compute(prices: pd.DataFrame) -> pd.DataFrame:
        labels = make_labels(prices).iloc[:end]
        return _forecasts(clone(estimator).fit(past, labels), past)

    return Trial(
        rule=(
            "Forecasts must not depend on training labels that end after the training "
            f"window, up to {spell(panel.index[cut.fitted])}."
        ),
        advice=(
            "In `fit`, drop the labels of the last `horizon` rows, and of as many more "
            "as their `delay`, before anything is learned or chosen by them. If "
            "whoever fits it leaves them out, pass purged=True (--purged on the "
            "command line)."
        ),
        compute=compute,
        first=0,
        last=cut.fitted,
        kinds=_LABEL_KINDS,
        fills=False,
    )


def _on_new_rows(
    method: Callable[[pd.DataFrame], object], prices: pd.DataFrame, cut: Cut
) -> pd.DataFrame:
    """Apply a method of a fitted estimator to the rows after those it was fitted on."""
    new = prices.iloc[cut.fitted + 1 :]
    return as_table(method(new), new.index)


def _forecasts(fitted: BaseEstimator, X: pd.DataFrame) -> pd.DataFrame:
    """Forecast, with quantiles where there are some."""
    forecasts = as_table(fitted.predict(X), X.index)
    final, X = last_step(fitted, X)
    if not hasattr(final, "predict_quantiles"):
        return forecasts
    quantiles = as_table(final.predict_quantiles(X, _QUANTILES), forecasts.index)
    # Forecasts of several horizons have columns of other levels than their quantiles.
    flat = forecasts.set_axis(pd.Index(list(forecasts), tupleize_cols=False), axis=1)
    return flat.join(quantiles.set_axis([str(c) for c in quantiles], axis=1))


def _transform_fitted_rows(
    estimator: BaseEstimator, prices: pd.DataFrame
) -> pd.DataFrame:
    """Fit on rows first, and transform them in a second call."""
    return as_table(clone(estimator).fit(prices).transform(prices), prices.index)
