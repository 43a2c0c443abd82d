"""Fit a model on prices, and take what it expects from the last row on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skbatch._messages import count, describe_error, format_tickers, silence_warnings
from skbatch._sklearn import Seed
from skbatch.batch import BatchForecastingSystem
from skbatch.batch.engine import MODEL_FAILURES
from skbatch.exceptions import (
    BatchWarning,
    FallbackWarning,
    ModelFitError,
    PanelError,
    SkbatchWarning,
)
from skbatch.forecasting.engine import (
    NO_MODEL,
    calibrated_part,
    first_choice,
    fitted_provenance,
)
from skbatch.panel import forward_returns
from skbatch.panel.engine import CheckedPanel, panel_tickers
from skbatch.portfolio._expected import PROVENANCE, ExpectedReturns, with_reasons
from skbatch.portfolio._interval import read_interval
from skbatch.portfolio._models import Model

INDIVIDUAL = "individual"


def fit_last(
    model: Any, panel: pd.DataFrame, horizon: int, coverage: float | None = None
) -> tuple[ExpectedReturns, pd.DataFrame]:
    """Fit a model on a checked panel, and forecast from its last row."""
    with silence_warnings(BatchWarning, FallbackWarning):
        if not isinstance(model, BatchForecastingSystem):
            return _fit_on_prices(model, panel, horizon, coverage)
        # Subclasses may look at what they get.
        is_own = type(model) is BatchForecastingSystem
        result = model.fit(CheckedPanel(panel) if is_own else panel).forecast()
        interval = None
        if coverage is not None:
            interval = model.predict_interval(None, coverage)
        expected = ExpectedReturns.of(result, annualize=False, interval=interval)
        return expected, panel.iloc[[-1]]


def fit_each(
    model: Model, panel: pd.DataFrame, columns: Sequence[str]
) -> ExpectedReturns:
    """Forecast one ticker after another, each from its own prices."""
    # What is wrong with all tickers is raised; what fails later is the ticker's.
    delay = getattr(model.estimator, "delay", 0)
    forward_returns(CheckedPanel(panel), model.horizon, delay)
    names = panel.columns.get_level_values(-1)
    found = Parallel(n_jobs=model.n_jobs)(
        delayed(_fit_one)(model, panel.loc[:, names == column]) for column in columns
    )
    intervals = [one.interval for one in found if one.interval is not None]
    return ExpectedReturns(
        {ticker: value for one in found for ticker, value in one.items()},
        horizon=model.horizon,
        provenance=pd.concat([one.provenance for one in found]),
        interval=pd.concat(intervals) if intervals else None,
        stale={ticker: why for one in found for ticker, why in one.stale.items()},
    )


def draw_scenarios(
    model: Any, last: pd.DataFrame, tickers: Sequence[str], n: int, random_state: Seed
) -> pd.DataFrame | None:
    """Draw joint returns over the horizon; None if the model is not calibrated."""
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, Pipeline):
        if calibrated_part(model[-1]) is None:
            return None
        X = model[:-1].transform(last)
        scenarios = model[-1].predict_scenarios(X, n, random_state)
    elif hasattr(model, "predict_scenarios"):
        with silence_warnings(FallbackWarning):
            scenarios = model.predict_scenarios(None, n, random_state)
        if scenarios.isna().all(axis=None):
            return None
    else:
        return None
    return scenarios[list(tickers)]


def describe_service(
    missing: Mapping[str, str], others: Iterable[str], total: int, fate: str, where: str
) -> str:
    """Warn of tickers without a forecast, or without that of the primary model."""
    others, sentences = list(others), []
    if missing:
        sentences.append(
            f"No forecast for {len(missing)} of {count(total)} ({fate}): "
            f"{with_reasons(missing)}."
        )
    if others:
        sentences.append(
            f"The primary model cannot forecast {len(others)} of {count(total)}: "
            f"{format_tickers(others)}."
        )
    return " ".join([*sentences, f"See {where} for all reasons."]) if sentences else ""


def _fit_on_prices(
    model: Any, panel: pd.DataFrame, horizon: int, coverage: float | None
) -> tuple[ExpectedReturns, pd.DataFrame]:
    """Fit a pipeline or a search, and forecast from the last row."""
    last = panel.iloc[[-1]]
    try:
        delay = getattr(getattr(model, "estimator", None), "delay", 0)
        model.fit(panel, forward_returns(CheckedPanel(panel), horizon, delay))
    except ModelFitError as error:
        return _nothing(panel, horizon, f"ModelFitError: {error}"), last
    best = getattr(model, "best_estimator_", model)
    # Only transformers that keep the fitted rows can do with the last one.
    keeps = isinstance(best, Pipeline) and hasattr(best[0], "history_")
    last = last if keeps else panel
    final = best[-1] if isinstance(best, Pipeline) else best
    expected = _nothing(panel, horizon, "")
    values = np.asarray(model.predict(last), dtype=np.float64)[-1]
    provenance, known = expected.provenance, fitted_provenance(final)
    if known is None:
        provenance["model"] = first_choice(final) or type(final).__name__
    else:
        provenance["model"] = known["model"].to_numpy()
        provenance["reason"] = known["reason"].to_numpy()
    lost = ~np.isfinite(values)
    provenance.loc[lost, "model"] = NO_MODEL
    silent = lost & provenance["reason"].eq("").to_numpy()
    provenance.loc[silent, "reason"] = "no finite forecast at this date"
    expected.update(zip(expected, np.where(lost, np.nan, values).tolist(), strict=True))
    if coverage is not None:
        X = best[:-1].transform(last) if isinstance(best, Pipeline) else None
        expected.interval = read_interval(final.predict_interval(X, coverage))
    return expected, last


def _nothing(panel: pd.DataFrame, horizon: int, reason: str) -> ExpectedReturns:
    """Start with no expected return for any ticker."""
    index = pd.Index(panel_tickers(panel), name="ticker", dtype=object)
    row = dict(zip(PROVENANCE, [NO_MODEL, "", reason], strict=True))
    return ExpectedReturns(
        dict.fromkeys(index, np.nan),
        date=panel.index[-1],
        horizon=horizon,
        provenance=pd.DataFrame(row, index, dtype=object),
    )


def _fit_one(model: Model, panel: pd.DataFrame) -> ExpectedReturns:
    """Forecast one ticker from its own prices; a failure is its reason."""
    with silence_warnings(SkbatchWarning):
        try:
            found, _ = fit_last(
                clone(model.estimator), panel, model.horizon, model.coverage
            )
        except (*MODEL_FAILURES, PanelError) as error:
            why = f"forecast failed ({describe_error(error)})"
            return _nothing(panel, model.horizon, why)
    served = found.provenance["model"].ne(NO_MODEL)
    found.provenance.loc[served, "batch"] = INDIVIDUAL
    return found
