"""From the forecasts of a date to the positions that a portfolio wants."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbatch._kernels.evaluation import rank_weights
from skbatch._kernels.trading import bin_weights
from skbatch.exceptions import PanelError

# Given forecasts, past returns and the weights held, all by ticker: weights.
Rule = Callable[[pd.Series, pd.DataFrame, pd.Series], Any]


def _long_short(
    forecasts: pd.Series, returns: pd.DataFrame, held: pd.Series
) -> np.ndarray:
    """Weight by ranks: one unit of capital long, one short."""
    return np.nan_to_num(rank_weights(forecasts.to_numpy()[None])[0])


def _long_only(
    forecasts: pd.Series, returns: pd.DataFrame, held: pd.Series
) -> np.ndarray:
    """Weight the better half by ranks."""
    return np.maximum(_long_short(forecasts, returns, held), 0.0)


def _quantile(
    forecasts: pd.Series, returns: pd.DataFrame, held: pd.Series, n_quantiles: int
) -> np.ndarray:
    """Hold the highest bin, and sell the lowest short."""
    scores = forecasts.to_numpy()
    high = bin_weights(scores, n_quantiles, n_quantiles - 1)
    return high - bin_weights(scores, n_quantiles, 0)


def _equal(forecasts: pd.Series, returns: pd.DataFrame, held: pd.Series) -> np.ndarray:
    """Hold every ticker with a forecast equally."""
    known = forecasts.notna().to_numpy()
    return known / max(known.sum(), 1)


def single_bin(n_quantiles: int, number: int) -> Rule:
    """Create the rule that holds one bin of the forecasts, from 0 for the lowest."""

    def rule(forecasts: pd.Series, returns: pd.DataFrame, held: pd.Series) -> Any:
        return bin_weights(forecasts.to_numpy(), n_quantiles, number)

    return rule


RULES: dict[str, Rule] = {
    "long_short": _long_short,
    "long_only": _long_only,
    "quantile": partial(_quantile, n_quantiles=5),
    "equal": _equal,
}


def position_rule(weights: Any, n_quantiles: int, horizon: int) -> Rule:
    """Resolve the parameter `weights` of a backtest."""
    if isinstance(weights, str) and weights in RULES:
        if weights == "quantile":
            return partial(_quantile, n_quantiles=n_quantiles)
        return RULES[weights]
    if hasattr(weights, "fit") and hasattr(weights, "get_params"):
        return partial(_optimized, optimizer=weights, horizon=horizon)
    if callable(weights):
        return weights
    raise ValueError(
        f"`weights` must be one of {', '.join(map(repr, RULES))}, a function or a "
        f"portfolio optimizer. Got {weights!r}. Pass weights='long_short', for example."
    )


def _optimized(
    forecasts: pd.Series,
    returns: pd.DataFrame,
    held: pd.Series,
    *,
    optimizer: Any,
    horizon: int,
) -> pd.Series:
    """Fit an optimizer of skfolio to past returns, with forecasts as expected ones."""
    returns = returns.dropna(how="all")
    usable = forecasts.notna() & returns.notna().all()
    tickers = forecasts.index[usable]
    if not len(tickers):
        return pd.Series(0.0, forecasts.index)
    model = clone(optimizer)
    parameters = model.get_params(deep=False)
    if "prior_estimator" in parameters:
        expected = forecasts[tickers].to_numpy() / horizon
        prior = _prior_with(parameters["prior_estimator"], expected)
        model.set_params(prior_estimator=prior)
    if "previous_weights" in parameters:
        model.set_params(previous_weights=held[tickers].to_numpy())
    model.fit(returns[tickers])
    return pd.Series(np.asarray(model.weights_, dtype=np.float64), tickers)


def _prior_with(prior: Any, expected: np.ndarray) -> Any:
    """Set the expected returns of a skfolio prior per row, unless it has its own."""
    from skfolio.moments import BaseMu, EmpiricalMu
    from skfolio.prior import EmpiricalPrior

    class GivenMu(BaseMu):
        """Expected returns that are known beforehand."""

        def __init__(self, mu: Any) -> None:
            self.mu = mu

        def fit(self, X: Any, y: Any = None) -> Any:
            self.mu_ = self.mu
            return self

    prior = EmpiricalPrior() if prior is None else clone(prior)
    own = getattr(prior, "mu_estimator", prior)
    if own is None or isinstance(own, EmpiricalMu):
        prior.set_params(mu_estimator=GivenMu(expected))
    return prior


def checked_weights(found: Any, tickers: pd.Index, forecasts: np.ndarray) -> np.ndarray:
    """Read what a rule returns; a ticker without a forecast has no position."""
    if isinstance(found, pd.Series):
        unknown = found.index.difference(tickers)
        if len(unknown):
            raise PanelError(
                "`weights` must return weights of the tickers it is given. Got "
                f"{unknown[0]!r}, too. Index them like the forecasts."
            )
        found = found.reindex(tickers, fill_value=0.0)
    values = np.asarray(found, dtype=np.float64)
    if values.shape != (len(tickers),) or not np.isfinite(values).all():
        raise PanelError(
            f"`weights` must return a finite weight for each of {len(tickers)} tickers."
            f" Got shape {values.shape}. Return a Series indexed like the forecasts."
        )
    return np.where(np.isfinite(forecasts), values, 0.0)
