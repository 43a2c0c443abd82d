"""One refit: train on the rows of a window, forecast the rows that follow."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skbatch._messages import collect_warnings, format_tickers
from skbatch._sklearn import last_step
from skbatch.exceptions import ModelFitError, PanelError
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.feature_extraction.engine import KnownFeatures, sharing
from skbatch.forecasting.engine import (
    NO_MODEL,
    calibrated_part,
    first_choice,
    fitted_provenance,
    outlook_of,
)
from skbatch.metrics.alignment import Table
from skbatch.model_selection._refit_schedule import Fold
from skbatch.model_selection._shared_features import extractor_of
from skbatch.panel import forward_returns
from skbatch.panel.engine import CheckedPanel, Universe

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Source:
    """What all refits read from."""

    prices: pd.DataFrame
    panel: pd.DataFrame
    horizon: int | Sequence[int]
    delay: int
    features: pd.DataFrame | None
    extractor: SharedFeatureExtractor | None  # that these are of
    universe: Universe | None = None
    delisting_return: float | pd.Series | None = None

    def labels(self, rows: slice, *, final: bool = True) -> pd.DataFrame:
        """Compute the returns that are known at the last of some rows."""
        # Rows before let a refit be followed by fewer rows than the horizon has.
        reach = int(np.max(self.horizon)) + self.delay
        start = max(0, min(rows.start, rows.stop - reach - 1))
        labels = forward_returns(
            CheckedPanel(self.panel.iloc[start : rows.stop]),
            self.horizon,
            self.delay,
            universe=self.universe,
            delisting_return=self.delisting_return if final else None,
        )
        return labels.iloc[rows.start - start :]

    @cached_property
    def known_features(self) -> KnownFeatures | None:
        """Return what estimators that are given prices may take from the features."""
        if self.features is None or self.extractor is None:
            return None
        return KnownFeatures.of(self.extractor.plan_, self.panel, self.features)


@dataclass
class FoldForecast:
    """Forecasts of one refit, and what is known of their making."""

    forecasts: pd.DataFrame
    provenance: pd.DataFrame
    reasons: pd.DataFrame
    first_choice: tuple[str, ...] = ()
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    quantiles: dict[float, pd.DataFrame] = field(default_factory=dict)
    estimator: BaseEstimator | None = None
    warned: list[tuple[type[Warning], str]] = field(default_factory=list)


def labels_itself(estimator: BaseEstimator) -> bool:
    """Return whether an estimator is fitted on prices alone and has a horizon."""
    if isinstance(estimator, Pipeline):
        return False
    parameters = estimator.get_params(deep=False)
    if {"estimator", "cv", "refit"} <= parameters.keys():
        return labels_itself(estimator.estimator)
    labels = inspect.signature(estimator.fit).parameters.get("y")
    optional = labels is None or labels.default is not inspect.Parameter.empty
    return "horizon" in parameters and optional


def run_fold(
    estimator: BaseEstimator,
    source: Source,
    fold: Fold,
    *,
    own: bool,
    keep: bool,
    owner: BaseEstimator,
    context: Any,
) -> FoldForecast:
    """Fit a clone on one training window and forecast the rows after it."""
    # A pipeline is given features, and needs none of its own.
    known = source.known_features if extractor_of(estimator) is None else None
    with collect_warnings() as collected, sharing(known):
        result = _run(estimator, source, fold, own, owner, context)
    result.warned = collected
    if not keep:
        result.estimator = None
    elif result.estimator is not None and extractor_of(estimator) is not None:
        _fit_head(result.estimator, source, fold)
    return result


def _fit_head(whole: Pipeline, source: Source, fold: Fold) -> None:
    """Fit the extractor of a pipeline that was given features of the whole panel."""
    if source.features is not None:
        # Warnings were raised when that was transformed.
        with collect_warnings():
            whole[0].fit(source.panel.iloc[: fold.train_stop])


def _run(
    estimator: BaseEstimator,
    source: Source,
    fold: Fold,
    own: bool,
    owner: BaseEstimator,
    context: Any,
) -> FoldForecast:
    """Fit, forecast and record where the forecasts come from."""
    labels = source.labels(fold.train)
    dates = source.panel.index[fold.test]
    head, tail, past, following = _inputs(estimator, source, fold)
    begun = time.perf_counter()
    try:
        _fit(tail, past, labels, owner, context)
    except ModelFitError as error:
        return _failed(error, dates, labels.columns)
    fitted = time.perf_counter()
    forecasts = _as_table(tail.predict(following), following.index, labels.columns)
    predicted = time.perf_counter()
    provenance = _provenance(tail, following, forecasts).loc[dates]
    quantiles = {}
    if own:
        # These adjust later quantiles as soon as they end, when it is not known yet
        # who is gone.
        following_rows = slice(fold.train_stop, fold.test_stop)
        returns = source.labels(following_rows, final=False)
        quantiles = _quantiles(tail, following, forecasts, returns)
    whole = tail
    if head is not None:
        steps = [(estimator.steps[0][0], head), *tail.steps]
        whole = Pipeline(steps, memory=estimator.memory)
    return FoldForecast(
        forecasts.loc[dates],
        provenance,
        _reasons(tail, labels.columns),
        _first_choice(tail),
        fitted - begun,
        predicted - fitted,
        {level: table.loc[dates] for level, table in quantiles.items()},
        whole,
    )


def _inputs(
    estimator: BaseEstimator, source: Source, fold: Fold
) -> tuple[BaseEstimator | None, BaseEstimator, pd.DataFrame, pd.DataFrame]:
    """Split the steps after the extractor off, with the tables they are given."""
    following = slice(fold.train_stop, fold.test_stop)
    extractor, panel = extractor_of(estimator), source.panel
    if extractor is None:
        # As they were given: what screens prices must see those that cannot be.
        prices = source.prices
        return None, clone(estimator), prices.iloc[fold.train], prices.iloc[following]
    head = clone(extractor)
    tail = clone(Pipeline(estimator.steps[1:], memory=estimator.memory))
    if source.features is not None:
        frame = source.features
        return head, tail, frame.iloc[fold.train], frame.iloc[following]
    past = head.fit_transform(panel.iloc[: fold.train_stop]).iloc[fold.train_start :]
    return head, tail, past, head.transform(panel.iloc[following])


def _fit(
    model: BaseEstimator,
    X: pd.DataFrame,
    y: pd.DataFrame,
    owner: BaseEstimator,
    context: Any,
) -> None:
    """Fit as a task of the owner, and hand callbacks on to models that know them."""
    labels = () if labels_itself(model) else (y,)
    with ExitStack() as stack:
        if hasattr(model, "set_callbacks"):
            # Before the task begins, which such a model announces itself.
            stack.enter_context(context.propagate_callback_context(model))
        context.call_on_fit_task_begin(estimator=owner)
        stack.callback(context.call_on_fit_task_end, estimator=owner)
        model.fit(X, *labels)


def _as_table(forecasts: Table, dates: pd.Index, columns: pd.Index) -> pd.DataFrame:
    """Align forecasts with the dates and labels that they are for."""
    if isinstance(forecasts, pd.DataFrame):
        unknown = forecasts.columns.difference(columns)
        if len(unknown) or not forecasts.index.equals(dates):
            what = (
                f"columns such as {format_tickers(unknown)}"
                if len(unknown)
                else (f"{len(forecasts)} rows of other dates")
            )
            raise PanelError(
                "`estimator.predict` must forecast the dates and tickers it is given. "
                f"Got {what}. Return a DataFrame like its input."
            )
        table = forecasts.reindex(columns=columns).astype(np.float64)
    else:
        values = np.asarray(forecasts, dtype=np.float64)
        if values.reshape(len(values), -1).shape != (len(dates), len(columns)):
            raise PanelError(
                "`estimator.predict` must give one forecast per date and ticker, "
                f"({len(dates)}, {len(columns)}). Got shape {values.shape}. End the "
                "pipeline with a batch forecaster."
            )
        table = pd.DataFrame(values.reshape(len(dates), -1), dates, columns)
    return table.where(np.isfinite(table))


def _provenance(
    model: BaseEstimator, following: pd.DataFrame, forecasts: pd.DataFrame
) -> pd.DataFrame:
    """Name the model behind each forecast, as exactly as the estimator can."""
    final, X = last_step(model, following)
    served = fitted_provenance(final)
    if served is not None and hasattr(final, "predict_with_provenance"):
        names = np.asarray(final.predict_with_provenance(X)[1].model, dtype=object)
    elif served is not None:
        models = served["model"].reindex(forecasts.columns)
        names = np.tile(models.to_numpy(dtype=object), (len(forecasts), 1))
    else:
        names = np.full(forecasts.shape, type(_innermost(final)).__name__, object)
    known = np.isfinite(forecasts.to_numpy())
    names = np.where(known, names.reshape(forecasts.shape), NO_MODEL)
    return pd.DataFrame(names, forecasts.index, forecasts.columns)


def _quantiles(
    model: BaseEstimator,
    X: pd.DataFrame,
    forecasts: pd.DataFrame,
    returns: pd.DataFrame,
) -> dict[float, pd.DataFrame]:
    """Forecast quantiles of the rows after a fit, if the model forecasts some."""
    # Returns of these rows adjust what follows once they are known, as in a system.
    final, X = last_step(model, X)
    forecaster = calibrated_part(final)
    if forecaster is not None and forecaster.layout_.kind == "frame":
        labels = forecaster.layout_.columns
        outlook = outlook_of(forecaster, X, forecasts[labels].to_numpy())
        outlook.follow(returns[labels].to_numpy())
        values = np.full((len(LEVELS), *forecasts.shape), np.nan)
        places = forecasts.columns.get_indexer(labels)
        values[:, :, places] = outlook.quantiles(np.array(LEVELS))
    else:
        final = getattr(final, "best_estimator_", final)
        if not hasattr(final, "predict_quantiles"):
            return {}
        with collect_warnings():  # what has no quantiles stays NaN
            joined = final.predict_quantiles(X, list(LEVELS))
        columns = forecasts.columns
        tables = [joined[level].reindex(columns=columns) for level in LEVELS]
        values = np.stack(tables)
    values[:, forecasts.isna()] = np.nan
    return {
        level: pd.DataFrame(table, forecasts.index, forecasts.columns)
        for level, table in zip(LEVELS, values, strict=True)
    }


def _innermost(model: BaseEstimator) -> BaseEstimator:
    """Return the estimator that a search has chosen."""
    best = getattr(model, "best_estimator_", None)
    if best is None:
        return model
    return _innermost(best[-1] if isinstance(best, Pipeline) else best)


def _reasons(model: BaseEstimator, columns: pd.Index) -> pd.DataFrame:
    """List labels that the first choice does not serve."""
    table = fitted_provenance(model[-1] if isinstance(model, Pipeline) else model)
    if table is None or "reason" not in table:
        return pd.DataFrame(columns=["model", "reason"], index=columns[:0])
    table = table.loc[table["reason"] != "", ["model", "reason"]]
    return table[table.index.isin(columns)]


def _first_choice(model: BaseEstimator) -> tuple[str, ...]:
    """Name the models that serve a ticker where nothing is amiss."""
    final = model[-1] if isinstance(model, Pipeline) else model
    first = first_choice(final)
    if first is not None:
        return (first,)
    table = fitted_provenance(final)
    if table is None:
        return (type(_innermost(final)).__name__,)
    served = table["model"]
    if "reason" in table:
        served = served[table["reason"] == ""]
    return tuple(served.unique())


def _failed(error: ModelFitError, dates: pd.Index, columns: pd.Index) -> FoldForecast:
    """No forecast, for a reason."""
    reason = f"fit failed ({type(error).__name__}: {error})"
    return FoldForecast(
        pd.DataFrame(np.nan, dates, columns),
        pd.DataFrame(NO_MODEL, dates, columns, dtype=object),
        pd.DataFrame({"model": NO_MODEL, "reason": reason}, columns),
    )
