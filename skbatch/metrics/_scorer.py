"""Scores as scikit-learn scorers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd

from skbatch._sklearn import Scorer
from skbatch.metrics._accuracy import directional_accuracy, out_of_sample_r2
from skbatch.metrics._correlation import (
    information_coefficient,
    rank_information_coefficient,
)
from skbatch.metrics.alignment import Table, align, as_floats, broadcast_weights
from skbatch.panel import forward_returns
from skbatch.panel.engine import mask_late, recorded_delay

_SCORES: dict[str, Callable[..., float]] = {
    "rank_ic": rank_information_coefficient,
    "ic": information_coefficient,
    "r2": out_of_sample_r2,
    "directional_accuracy": directional_accuracy,
}
ScoreName = Literal["rank_ic", "ic", "r2", "directional_accuracy"]


def make_forecast_scorer(
    score: ScoreName | Callable[..., float] = "rank_ic",
    *,
    purge: int | Literal["auto"] = "auto",
    greater_is_better: bool = True,
    **kwargs: Any,
) -> Any:
    """Create a scorer of forecasts for `GridSearchCV` and similar tools.

    Missing labels, and labels without a forecast, are ignored. So are the last rows
    of the labels it is given, whose returns end after these rows: a search that is
    fitted on the dates up to t then chooses its parameters by what is known at t.

    Parameters
    ----------
    score : {"rank_ic", "ic", "r2", "directional_accuracy"} or callable, \
default="rank_ic"
        A score of this module, by name or itself; or a function
        ``score(y_true, y_pred, **kwargs)`` such as those of :mod:`sklearn.metrics`,
        which gets the finite pairs of all dates and tickers as two vectors (for
        several horizons: those of each, and the mean of the scores counts).
    purge : int or "auto", default="auto"
        How many of the last rows of the labels to ignore. ``"auto"`` takes the
        horizon from ``y.attrs["horizon"]`` or the columns (horizon, ticker), and adds
        ``y.attrs["delay"]``; without a horizon, no row is ignored. 0 scores all rows:
        right for labels that are not used to choose anything.
    greater_is_better : bool, default=True
        False for a callable that measures an error; its sign is then flipped.
    **kwargs
        Passed to the score, such as ``benchmark="mean"`` for ``"r2"``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``: a float, greater is better; NaN
        if nothing can be scored, as when a test fold has no more rows than the
        horizon. Without `y`, as in ``GridSearchCV(system, ...,
        scoring=scorer).fit(prices)``, the labels are the forward returns of the prices
        `X`. Weights are of dates, or of dates and tickers; searches pass theirs on
        after ``scorer.set_score_request(sample_weight=True)``.

    Raises
    ------
    ValueError
        If `score` is unknown, or `purge` is not a number of rows.
    TypeError
        If the score does not take `kwargs`.

    See Also
    --------
    rank_information_coefficient : Rank correlation of forecasts and returns.
    information_coefficient : Their correlation.
    out_of_sample_r2 : Squared error against that of a reference forecast.
    directional_accuracy : Share of returns whose sign was forecast.

    Notes
    -----
    Scikit-learn hands the scorer the labels of the test fold. If the last test fold
    ends at t, then with horizon h and delay d the labels of its last h+d rows are
    returns that end between t+1 and t+h+d. Forecasters drop such labels of the
    training fold in `fit`, but nothing else would keep a search from choosing
    parameters by those of the test fold, and these returns overlap the ones that the
    chosen model is judged on afterwards. Purging is described in [1]_.

    References
    ----------
    .. [1] López de Prado, M. (2018). Advances in Financial Machine Learning, chapter
       7. Wiley.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skbatch.metrics import make_forecast_scorer
    >>> X, y = [[1.0], [2.0], [3.0]], [0.01, 0.02, 0.03]
    >>> scorer = make_forecast_scorer("directional_accuracy")
    >>> scorer(LinearRegression().fit(X, y), X, y)
    1.0
    """
    function = _find_score(score)
    try:
        inspect.signature(function).bind(None, None, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"`kwargs` must be arguments of the score. Got {sorted(kwargs)} for "
            f"{_name(function)} ({error}). See its signature."
        ) from error
    if purge != "auto" and not (isinstance(purge, Integral) and purge >= 0):
        raise ValueError(
            f'`purge` must be an int of at least 0, or "auto". Got {purge!r}. Pass the '
            "horizon of the labels, plus their delay."
        )
    sign = 1 if greater_is_better else -1
    return _ForecastScorer(_ForecastScore(function, purge), sign, kwargs)


class _ForecastScorer(Scorer):
    """A scorer that derives the labels of estimators which derive their own."""

    def __call__(
        self, estimator: Any, X: Any, y_true: Table | None = None, **kwargs: Any
    ) -> float:
        return float(super().__call__(estimator, X, y_true, **kwargs))

    def _score(
        self,
        method_caller: Any,
        estimator: Any,
        X: Any,
        y_true: Table | None = None,
        **kwargs: Any,
    ) -> float:
        """Score forecasts; without labels, against the returns of the prices `X`."""
        if y_true is None:
            final = getattr(estimator, "steps", [(None, estimator)])[-1][1]
            horizon = getattr(final, "horizon_", None)
            if horizon is None:
                raise ValueError(
                    "`y` must be passed to score an estimator that does not create its "
                    f"own labels. Got {type(final).__name__} and no y. Pass "
                    "y=forward_returns(prices, horizon)."
                )
            delay = getattr(final, "delay_", 0)
            if len(X) <= np.max(horizon) + delay:
                return float("nan")
            final = getattr(final, "delisting_return", None)
            y_true = forward_returns(X, horizon, delay, delisting_return=final)
        return float(super()._score(method_caller, estimator, X, y_true, **kwargs))


@dataclass(frozen=True)
class _ForecastScore:
    """Score of the pairs that are known, as `make_scorer` calls it."""

    function: Callable[..., float]
    purge: int | Literal["auto"]

    def __call__(
        self,
        y_true: Table,
        y_pred: Table,
        sample_weight: Table | None = None,
        **kwargs: Any,
    ) -> float:
        known = _drop_unknown(y_true, self.purge)
        if self.function in _SCORES.values():
            return float(
                self.function(known, y_pred, sample_weight=sample_weight, **kwargs)
            )
        return align(known, y_pred).score(
            lambda *cells: self._pool(*cells, **kwargs),
            broadcast_weights(sample_weight, known),
        )

    @property
    def __name__(self) -> str:
        # The repr of scikit-learn's scorer asks for it.
        return f"{_name(self.function)}, purge={self.purge!r}"

    def _pool(
        self,
        actual: np.ndarray,
        forecast: np.ndarray,
        weights: np.ndarray | None = None,
        **kwargs: Any,
    ) -> float:
        """Score finite pairs as two vectors."""
        use = np.isfinite(actual) & np.isfinite(forecast)
        if weights is not None:
            use &= weights > 0
            kwargs["sample_weight"] = weights[use]
        if not use.any():
            return float("nan")
        return float(self.function(actual[use], forecast[use], **kwargs))


def _find_score(score: str | Callable[..., float]) -> Callable[..., float]:
    if callable(score):
        return score
    if score not in _SCORES:
        raise ValueError(
            f"`score` must be one of {', '.join(map(repr, _SCORES))}, or a callable. "
            f"Got {score!r}. Choose one of them."
        )
    return _SCORES[score]


def _name(function: Callable[..., float]) -> str:
    return getattr(function, "__name__", repr(function))


def _drop_unknown(y_true: Table, purge: int | Literal["auto"]) -> Table:
    """Mask labels that end after the last row; `y_true` stays as it is."""
    n_unknown = _unknown_rows(y_true, purge)
    if not any(n_unknown):
        return y_true
    values = as_floats(y_true, "y_true").copy()
    if purge == "auto":
        mask_late(values, y_true)
    for column, rows in enumerate(n_unknown):
        values[max(len(values) - rows, 0) :, column] = np.nan
    if isinstance(y_true, pd.DataFrame):
        return pd.DataFrame(values, y_true.index, y_true.columns)
    if isinstance(y_true, pd.Series):
        return pd.Series(values[:, 0], y_true.index)
    return values.reshape(np.shape(y_true))


def _unknown_rows(y_true: Table, purge: int | Literal["auto"]) -> Iterable[int]:
    """Count the last rows of each column whose returns end later."""
    shape = np.shape(y_true)
    n_columns = shape[1] if len(shape) > 1 else 1
    if purge != "auto":
        return [int(purge)] * n_columns
    columns, delay = getattr(y_true, "columns", None), recorded_delay(y_true)
    if isinstance(columns, pd.MultiIndex):
        return [int(horizon) + delay for horizon in columns.get_level_values(0)]
    horizon = getattr(y_true, "attrs", {}).get("horizon")
    return [int(horizon) + delay if isinstance(horizon, Integral) else 0] * n_columns
