"""Ridge regression on all tickers: the rival of every tree, and its fallback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from skbatch._kernels.ridge import (
    linear_forecast,
    moments,
    normal_equations,
    part_moments,
    path_errors,
    ridge_path,
    solved_path,
    standardize,
)
from skbatch._sklearn import Interval, StrOptions
from skbatch.exceptions import ModelFitError
from skbatch.forecasting._categories import (
    Seen,
    indicators,
    n_levels,
    seen_categories,
    with_indicators,
)
from skbatch.forecasting._feature_table import Rows
from skbatch.forecasting._panel_forecaster import PanelForecaster
from skbatch.forecasting._return_target import ReturnTarget
from skbatch.forecasting._row_store import with_gaps

ALPHAS = np.logspace(-4, 2, 13)


@dataclass
class RidgeModel:
    """A fitted ridge regression."""

    mean: np.ndarray
    deviation: np.ndarray
    coef: np.ndarray
    alpha: float
    # Categories, which have a coefficient each, after those of the other inputs.
    seen: Seen = field(default_factory=dict)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`, or `(n_rows, n_outputs)` for several outputs."""
        X = indicators(X, self.seen)
        return linear_forecast(X, self.mean, self.deviation, self.coef)

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Split forecasts into those of inputs, `(n_rows, n_inputs, n_outputs)`."""
        scores = standardize(indicators(X, self.seen), self.mean, self.deviation)
        parts = scores[:, :, None] * self.coef.reshape(1, len(self.coef), -1)
        return self._by_input(parts, axis=1)

    def importances(self) -> np.ndarray:
        """Sum the absolute coefficients of each standardized input."""
        sizes = np.abs(np.nan_to_num(self.coef)).reshape(len(self.coef), -1)
        return self._by_input(sizes.sum(axis=1), axis=0)

    def _by_input(self, parts: np.ndarray, axis: int) -> np.ndarray:
        """Add up what belongs to the categories of one input."""
        widths = [n_levels(known) for known in self.seen.values()]
        others = parts.shape[axis] - sum(widths)
        pieces = np.split(parts, others + np.cumsum([0, *widths])[:-1], axis=axis)
        out = pieces[0]
        for number, piece in zip(self.seen, pieces[1:], strict=True):
            out = np.insert(out, number, piece.sum(axis=axis), axis=axis)
        return out


class BatchLinearForecaster(PanelForecaster):
    """Forecast the returns of all tickers with one ridge regression.

    Inputs are standardized with the training rows, winsorized at five standard
    deviations, and missing ones are imputed by the mean. One factorization serves
    all penalties and, in ``strategy="vector"``, all tickers with the same history.

    Features whose names end with ``_category`` are codes of categories, 0, 1, … or NaN:
    each category of the training rows has a coefficient, and any other is missing. In
    the strategy ``"vector"`` they are no inputs.

    Parameters
    ----------
    strategy : {"pooled", "vector", "per_ticker"}, default="pooled"
        ``"pooled"``: one model on all (date, ticker) rows, of the ticker's own
        and the market's features. ``"vector"``: one model with an output per ticker,
        on the features of all tickers. ``"per_ticker"``: one model each.
    horizon : int or "auto", default="auto"
        Rows that a label looks ahead. ``"auto"`` reads ``y.attrs["horizon"]``.
    alpha : float or "auto", default="auto"
        Penalty on the squared coefficients of the standardized inputs, per training
        row. ``"auto"`` takes the one of 13 values from 1e-4 to 100 with the least
        squared error in the validation tail, and 1.0 without a tail.
    target : ReturnTarget, default=None
        What is learned of the returns: relative to what, in which unit, at which
        dates, and how much of a forecast is kept. None means ``ReturnTarget()``.
    market_features : bool, default=True
        Whether columns shared by all tickers (``market__*``) are inputs, too. They
        always are when there are no others.

    Attributes
    ----------
    model_ : PanelModel
        The trained models, their shrinkage, and the common expectation.
    failures_ : dict
        Ticker → reason, where ``strategy="per_ticker"`` could not train a model.
    relative_to_ : str
        What the returns are relative to that were learned: see `target`.
    feature_importances_ : Series of shape (n_features,)
        Share of each feature, indexed by name without ticker, in the absolute
        coefficients of the standardized inputs, over all models and outputs.
    layout_, horizon_, panel_columns_, n_features_in_, feature_names_in_
        As in every batch forecaster.

    References
    ----------
    .. [1] Hoerl, A. E. and Kennard, R. W. (1970). Ridge regression: biased estimation
       for nonorthogonal problems. Technometrics, 12(1), 55–67.

    Examples
    --------
    >>> import numpy as np
    >>> from skbatch import BatchLinearForecaster
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 3))
    >>> y = X @ [0.02, -0.01, 0.0]
    >>> model = BatchLinearForecaster(horizon=1).fit(X, y)
    >>> model.predict([[1.0, 1.0, 1.0]]).round(2)
    array([0.01])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PanelForecaster._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }
    takes_categories: ClassVar[bool] = True

    def __init__(
        self,
        strategy: Literal["pooled", "vector", "per_ticker"] = "pooled",
        *,
        horizon: int | Literal["auto"] = "auto",
        alpha: float | Literal["auto"] = "auto",
        target: ReturnTarget | None = None,
        market_features: bool = True,
    ) -> None:
        self.strategy = strategy
        self.horizon = horizon
        self.alpha = alpha
        self.target = target
        self.market_features = market_features

    def _fit_model(
        self, rows: Rows, validation: Rows | None, step: Callable[[], None]
    ) -> RidgeModel:
        """Fit all penalties, keep the one that serves the validation tail best."""
        seen = seen_categories(rows)
        X = with_indicators(with_gaps(rows.X), seen)
        if self.alpha != "auto":
            alphas = np.array([float(self.alpha)])
        else:
            alphas = np.ones(1) if validation is None else ALPHAS
        targets = rows.y.reshape(len(rows.y), -1)
        known, weights = np.isfinite(targets), _matrix(rows.weight)
        each = () if weights is None else (np.where(known, weights, 0.0).mean(axis=1),)
        mean, deviation = moments(X.map(part_moments, *each))
        path = np.full((len(alphas), X.shape[1], targets.shape[1]), np.nan)
        try:
            for use, outputs in _same_rows(known, weights):
                path[:, :, outputs] = _path(
                    X if use.all() else with_gaps(X[:][use]),
                    targets[use][:, outputs],
                    mean,
                    deviation,
                    alphas,
                    None if weights is None else weights[use, outputs[0]],
                )
        except np.linalg.LinAlgError as error:
            raise ModelFitError(f"LinAlgError: {error}") from error
        errors = np.zeros(len(alphas))
        if len(alphas) > 1 and validation is not None:
            actual = validation.y.reshape(len(validation.y), -1)
            miss = partial(path_errors, mean=mean, deviation=deviation, path=path)
            aligned = [actual]
            if validation.weight is not None:
                aligned.append(validation.weight.reshape(actual.shape))
            late = with_indicators(with_gaps(validation.X), seen)
            errors = np.sum(late.map(miss, *aligned), axis=0)
        # What serves no ticker leaves the choice as it is without a tail.
        serves = np.isfinite(errors).all()
        best = int(np.argmin(errors if serves else np.abs(alphas - 1.0)))
        coef = path[best, :, 0] if rows.y.ndim == 1 else path[best]
        return RidgeModel(mean, deviation, coef, float(alphas[best]), seen)


def _path(
    X: with_gaps | with_indicators,
    Y: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    alphas: np.ndarray,
    weights: np.ndarray | None,
) -> np.ndarray:
    """Solve for all penalties, from sums over the parts of the rows if these serve."""
    if X.shape[1] > len(X):
        return ridge_path(X[:], Y, mean, deviation, alphas, weights)
    sums = partial(normal_equations, mean=mean, deviation=deviation)
    if weights is None:
        return solved_path(X.map(sums, Y), len(X), alphas)
    return solved_path(X.map(sums, Y, weights), float(weights.sum()), alphas)


def _matrix(weights: np.ndarray | None) -> np.ndarray | None:
    """Expand weights to one column per output."""
    return None if weights is None else weights.reshape(len(weights), -1)


def _same_rows(
    known: np.ndarray, weights: np.ndarray | None
) -> list[tuple[np.ndarray, list[int]]]:
    """Group outputs by the rows in which they are known, leaving out empty ones."""
    groups: dict[bytes, list[int]] = {}
    for output, rows in enumerate(known.T):
        if rows.any():
            key = rows if weights is None else np.where(rows, weights[:, output], 0.0)
            groups.setdefault(key.tobytes(), []).append(output)
    return [(known[:, outputs[0]], outputs) for outputs in groups.values()]
