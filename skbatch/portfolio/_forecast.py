"""Fit whatever forecasts returns on prices, and forecast from their last row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skbatch._messages import silence_warnings, warn_user
from skbatch.batch import BatchForecastingSystem
from skbatch.exceptions import (
    BatchWarning,
    FallbackWarning,
    ModelFitError,
    PortfolioWarning,
)
from skbatch.forecasting import BatchForecasterMixin
from skbatch.forecasting.engine import (
    UncertaintyMixin,
    first_choice,
    fitted_provenance,
    horizon_parameters,
)
from skbatch.panel import forward_returns, panel_tickers
from skbatch.portfolio._told import tell_service
from skbatch.portfolio._window import read_returns, window_prices

__all__ = ["LastForecast", "fit_on_window", "forecast_last"]

DEFAULT_HORIZON = 5
NO_MODEL = "none"


@dataclass(frozen=True)
class LastForecast:
    """A forecaster fitted on a window, and what it expects at its end.

    Attributes
    ----------
    model : estimator
        Fitted on prices: a system, a pipeline, or a search over one.
    expected_returns : Series of shape (n_tickers,)
        Simple returns over the horizon, by ticker; NaN where there is none.
    provenance : DataFrame of shape (n_tickers, 3)
        ``model``, ``batch`` and ``reason``.
    horizon : int
        Rows ahead.
    last : DataFrame
        The rows of prices that forecasts were made from.
    """

    model: Any
    expected_returns: pd.Series
    provenance: pd.DataFrame
    horizon: int
    last: pd.DataFrame

    @property
    def per_row(self) -> np.ndarray:
        """Expected return of one row, of which `horizon` compound to the forecast."""
        expected = self.expected_returns.to_numpy(dtype=np.float64)
        # No number of rows compounds to a loss of more than everything.
        possible = np.where(expected > -1.0, expected, np.nan)
        return np.expm1(np.log1p(possible) / self.horizon)

    def scenarios(self, n_samples: int, random_state: Any) -> pd.DataFrame | None:
        """Draw joint returns over the horizon; None if the model is not calibrated."""
        model = getattr(self.model, "best_estimator_", self.model)
        if isinstance(model, Pipeline):
            if self.expected_returns.isna().all() or not isinstance(
                model[-1], UncertaintyMixin
            ):
                return None
            X = model[:-1].transform(self.last)
            scenarios = model[-1].predict_scenarios(X, n_samples, random_state)
        elif hasattr(model, "predict_scenarios"):
            scenarios = model.predict_scenarios(None, n_samples, random_state)
        else:
            return None
        return scenarios[[*self.expected_returns.index]]

    def warn(self) -> None:
        """Say once which tickers have no forecast, or not that of the first choice."""
        provenance = self.provenance
        lost = provenance.index[~np.isfinite(self.per_row)]
        others = provenance.index[provenance["reason"].ne("")].difference(lost)
        reasons = provenance.loc[lost, "reason"].replace("", "no finite forecast")
        missing = {str(ticker): str(why) for ticker, why in reasons.items()}
        fate = "to which optimisers of skfolio give no weight"
        told = tell_service(missing, others, len(provenance), fate, "provenance_")
        if told:
            warn_user(
                told,
                PortfolioWarning if len(missing) else FallbackWarning,
            )


def fit_on_window(estimator: Any, X: Any) -> tuple[LastForecast, pd.DataFrame]:
    """Fit the forecaster of an estimator of skfolio, and record what it found.

    Parameters
    ----------
    estimator : estimator
        With the parameters `forecaster`, `horizon` and `prices`; gets the attributes
        ``forecaster_``, ``horizon_``, ``provenance_`` and ``expected_returns_``.
    X : array-like of shape (n_observations, n_assets)
        Simple returns per row; NaN is missing.

    Returns
    -------
    found : LastForecast
        What the forecaster expects at the end of the window.
    returns : DataFrame of shape (n_observations, n_assets)
        The checked returns.
    """
    returns = read_returns(estimator, X)
    panel = window_prices(returns, estimator.prices)
    tickers = list(returns.columns)
    found = forecast_last(estimator.forecaster, estimator.horizon, panel, tickers)
    estimator.forecaster_, estimator.horizon_ = found.model, found.horizon
    estimator.provenance_ = found.provenance
    estimator.expected_returns_ = found.expected_returns.rename("expected_return")
    return found, returns


def forecast_last(
    forecaster: Any, horizon: Any, panel: pd.DataFrame, tickers: Sequence[str]
) -> LastForecast:
    """Fit a copy of a forecaster on a panel, and forecast from its last row.

    Parameters
    ----------
    forecaster : estimator or None
        A system, a pipeline from prices to forecasts, a search over one of them, or a
        batch forecaster, which a system is made of; None makes a default system.
    horizon : int or "auto"
        Rows ahead; "auto" takes those of the forecaster, else 5.
    panel : DataFrame of shape (n_dates, n_columns)
        Prices, all known.
    tickers : sequence of str
        Which of them to forecast.

    Returns
    -------
    LastForecast
        Of the tickers, in their order.
    """
    model, rows_ahead = _prepare(forecaster, horizon)
    # Told once, with what it means for the portfolio, by `warn`.
    with silence_warnings(BatchWarning, FallbackWarning):
        if isinstance(model, BatchForecastingSystem):
            returns, provenance, last = _fit_system(model, panel)
        else:
            returns, provenance, last = _fit_on_prices(model, panel, rows_ahead)
    order = list(tickers)
    return LastForecast(model, returns[order], provenance.loc[order], rows_ahead, last)


def _fit_system(
    model: BatchForecastingSystem, panel: pd.DataFrame
) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """Fit a system; give forecasts, provenance and the row used."""
    result = model.fit(panel).forecast()
    returns, provenance = result.expected_returns, result.provenance
    if returns.index.nlevels > 1:
        returns, provenance = returns.droplevel(0), provenance.droplevel(0)
    return returns, provenance, panel.iloc[[-1]]


def _fit_on_prices(
    model: Any, panel: pd.DataFrame, horizon: int
) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    """Fit a pipeline, or a search; give forecasts, provenance and the rows used."""
    names = panel_tickers(panel)
    index = pd.Index(names, name="ticker")
    provenance = pd.DataFrame(
        {"model": NO_MODEL, "batch": "", "reason": ""}, index, dtype=object
    )
    try:
        model.fit(panel, forward_returns(panel, horizon))
    except ModelFitError as error:
        provenance["reason"] = f"ModelFitError: {error}"
        return pd.Series(np.nan, index), provenance, panel.iloc[[-1]]
    best = getattr(model, "best_estimator_", model)
    # Only transformers that keep the fitted rows can do with the last one.
    keeps = isinstance(best, Pipeline) and hasattr(best[0], "history_")
    last = panel.iloc[[-1]] if keeps else panel
    table = pd.DataFrame(model.predict(last))
    values = table.iloc[-1].to_numpy(dtype=np.float64)
    final = best[-1] if isinstance(best, Pipeline) else best
    known = fitted_provenance(final)
    if known is None:
        name = first_choice(final) or type(final).__name__
        provenance["model"] = name
    else:
        provenance["model"] = known["model"].to_numpy()
        provenance["reason"] = known["reason"].to_numpy()
    lost = ~np.isfinite(values)
    provenance.loc[lost, "model"] = NO_MODEL
    silent = lost & provenance["reason"].eq("").to_numpy()
    provenance.loc[silent, "reason"] = "no finite forecast at this date"
    return pd.Series(np.where(lost, np.nan, values), index), provenance, last


def _prepare(forecaster: Any, horizon: Any) -> tuple[Any, int]:
    """Copy a forecaster, make it take prices, and settle how far it looks ahead."""
    if not _is_forecaster(forecaster):
        raise TypeError(
            "`forecaster` must be a batch forecaster, a pipeline from prices to "
            f"forecasts, or a BatchForecastingSystem. Got {forecaster!r}. Pass such as "
            "BatchLinearForecaster()."
        )
    if isinstance(horizon, str) and horizon == "auto":
        horizon = _horizon_of(forecaster)
    elif not _is_rows(horizon):
        raise ValueError(
            f"`horizon` must be an int of at least 1, or 'auto'. Got {horizon!r}. Pass "
            "the number of rows to look ahead, such as 5."
        )
    inner = None if forecaster is None else clone(forecaster)
    if not _takes_prices(forecaster):
        inner = BatchForecastingSystem(forecaster=inner)
    if isinstance(inner, BatchForecastingSystem):
        inner.set_params(horizon=int(horizon))
    return inner, int(horizon)


def _horizon_of(forecaster: Any) -> int:
    """Read how far a forecaster looks ahead."""
    if isinstance(forecaster, BatchForecastingSystem):
        given = list(np.atleast_1d(forecaster.horizon))
    else:
        params = {} if forecaster is None else horizon_parameters(forecaster)
        given = list({value for value in params.values() if value != "auto"})
    if len(given) > 1:
        raise ValueError(
            "`forecaster` must have one horizon for a portfolio. Got "
            f"{', '.join(map(str, given))}. Pass horizon= to say which."
        )
    return int(given[0]) if given else DEFAULT_HORIZON


def _is_forecaster(forecaster: Any) -> bool:
    """Whether it is an estimator of this kind, and no class or plain regressor."""
    if forecaster is None or _takes_prices(forecaster):
        return True
    if _is_search(forecaster):
        return _is_forecaster(forecaster.estimator)
    return isinstance(forecaster, BatchForecasterMixin)


def _takes_prices(forecaster: Any) -> bool:
    """Whether an estimator is fitted on prices, and not on features."""
    if _is_search(forecaster):
        return _takes_prices(forecaster.estimator)
    return isinstance(forecaster, BatchForecastingSystem | Pipeline)


def _is_search(forecaster: Any) -> bool:
    """Whether it tries parameters of another estimator."""
    return hasattr(forecaster, "cv") and hasattr(forecaster, "estimator")


def _is_rows(value: Any) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and int(value) >= 1
