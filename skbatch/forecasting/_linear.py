"""Ridge regression on all tickers: the rival of every tree, and its fallback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from skbatch._kernels.ridge import (
    Moments,
    linear_forecast,
    moments,
    normal_equations,
    part_moments,
    path_errors,
    ridge_path,
    solved_path,
)
from skbatch._progress import Progress
from skbatch._sklearn import Interval, StrOptions
from skbatch.exceptions import ModelFitError
from skbatch.forecasting._base import BaseBatchForecaster
from skbatch.forecasting._decomposition import DECOMPOSITION_CONSTRAINTS, Decomposition
from skbatch.forecasting._tables import FeatureTable, LabelLayout
from skbatch.forecasting._tasks import MappedRows, Rows

__all__ = ["BatchLinearForecaster"]

ALPHAS = np.logspace(-4, 2, 13)


@dataclass
class RidgeModel:
    """A fitted ridge regression."""

    mean: np.ndarray
    deviation: np.ndarray
    coef: np.ndarray
    alpha: float

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`, or `(n_rows, n_outputs)` for several outputs."""
        return linear_forecast(X, self.mean, self.deviation, self.coef)


class BatchLinearForecaster(BaseBatchForecaster):
    """Forecast the returns of all tickers with one ridge regression.

    Inputs are standardised with the training rows, winsorised at five standard
    deviations, and missing ones are imputed by the mean. One factorisation serves
    all penalties and, in ``strategy="vector"``, all tickers with the same history.

    Parameters
    ----------
    strategy : {"pooled", "vector", "per_ticker"}, default="pooled"
        ``"pooled"``: one model on all (date, ticker) rows, of the ticker's own
        and the market's features. ``"vector"``: one model with an output per ticker,
        on the features of all tickers. ``"per_ticker"``: one model each.
    horizon : int or "auto", default="auto"
        Rows that a label looks ahead. ``"auto"`` reads ``y.attrs["horizon"]``.
    alpha : float or "auto", default="auto"
        Penalty on the squared coefficients of the standardised inputs, per training
        row. ``"auto"`` takes the one of 13 values from 1e-4 to 100 with the least
        squared error in the validation tail, and 1.0 without a tail.
    relative : bool, default=True
        Learn returns relative to the mean over tickers of the date, and add the
        shrunken historical mean back. False learns them relative to that historical
        mean alone, as is done for plain arrays and for a single ticker anyway.
    scale : str or None, default="auto"
        Ticker feature by which labels are scaled: its volatility per row. ``"auto"``
        takes the ``volatility_*`` feature with the window nearest to 63 by ratio, and
        others where that one is missing. Without such features, or for plain arrays,
        labels are scaled by their standard deviation. Labels are winsorised at five
        of these units. None disables both.
    market_weight : float or "auto", default="auto"
        Weight in [0, 1] of the historical mean return in every forecast. ``"auto"``
        is t²/(1+t²) with the mean's t-statistic. A ticker with less than half the
        typical volatility takes it in proportion to its volatility only.
    market_return : Series or DataFrame, default=None
        Returns of the market that labels are relative to: over the horizon that
        follows each date, indexed by date, for several horizons with a column for
        each. An index's, or for a model of some tickers of a universe that of all.
        None takes the mean over the tickers of the labels.
    pooled_model : PooledModel, default=None
        Trained on all tickers of a universe, by the batch system. Then `fit` trains
        nothing, and these tickers are forecast with it.
    market_features : bool, default=True
        Whether columns shared by all tickers (``market__*``) are inputs, too. They
        always are when there are no others.
    thin : int or "auto", default="auto"
        Train on every `thin`-th date, because labels of neighbouring dates overlap.
        ``"auto"`` is half the horizon, rounded up.
    validation_size : int, float or "auto", default="auto"
        Number of rows or share of rows, the latest of the training rows and purged
        from them, on which penalty and shrinkage are found: the factor between 0.1
        and 1 that relative forecasts are multiplied with. ``"auto"`` is a fifth,
        at most 504 rows. Where fewer than ``5 * thin`` dates are in it, or left to
        train on, there is no tail: all dates train and the factor is 0.1. 0 disables:
        all dates train and the factor is 1.

    Attributes
    ----------
    model_ : Decomposition
        The trained models, their shrinkage, and the common expectation.
    failures_ : dict
        Ticker → reason, where ``strategy="per_ticker"`` could not train a model.
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
        **BaseBatchForecaster._parameter_constraints,
        **DECOMPOSITION_CONSTRAINTS,
        "alpha": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        strategy: Literal["pooled", "vector", "per_ticker"] = "pooled",
        *,
        horizon: int | Literal["auto"] = "auto",
        alpha: float | Literal["auto"] = "auto",
        relative: bool = True,
        scale: str | None = "auto",
        market_weight: float | Literal["auto"] = "auto",
        market_return: Any = None,
        pooled_model: Any = None,
        market_features: bool = True,
        thin: int | Literal["auto"] = "auto",
        validation_size: float | Literal["auto"] = "auto",
    ) -> None:
        self.strategy = strategy
        self.horizon = horizon
        self.alpha = alpha
        self.relative = relative
        self.scale = scale
        self.market_weight = market_weight
        self.market_return = market_return
        self.pooled_model = pooled_model
        self.market_features = market_features
        self.thin = thin
        self.validation_size = validation_size

    def _fit_table(
        self, features: FeatureTable, labels: np.ndarray, layout: LabelLayout
    ) -> None:
        self.model_ = Decomposition.of(self).fit(
            features, labels, layout, self._fit_model, lambda n: Progress(self, n)
        )
        self.failures_ = self.model_.failures

    def _predict_table(self, features: FeatureTable) -> np.ndarray:
        return self.model_.predict(features)

    def _start_training(self) -> None:
        """Draw and check nothing."""

    def _fit_model(
        self, rows: Rows, validation: Rows | None, step: Callable[[], None]
    ) -> RidgeModel:
        """Fit all penalties, keep the one that serves the validation tail best."""
        mean, deviation = moments([part_moments(rows.X)])
        alphas = self._alphas(tail=validation is not None)
        targets = rows.y.reshape(len(rows.y), -1)
        path = np.full((len(alphas), rows.X.shape[1], targets.shape[1]), np.nan)
        try:
            for use, outputs in _same_rows(np.isfinite(targets)):
                X, y = (rows.X, targets) if use.all() else (rows.X[use], targets[use])
                path[:, :, outputs] = ridge_path(
                    X, y[:, outputs], mean, deviation, alphas
                )
        except np.linalg.LinAlgError as error:
            raise ModelFitError(f"LinAlgError: {error}") from error
        errors = np.zeros(len(alphas))
        if len(alphas) > 1 and validation is not None:
            actual = validation.y.reshape(len(validation.y), -1)
            errors = path_errors(validation.X, actual, mean, deviation, path)
        return self._chosen(mean, deviation, path, alphas, errors, rows.y.ndim)

    def fit_parts(self, parts: MappedRows) -> RidgeModel:
        """Fit the pooled model on rows that lie in several places.

        Parameters
        ----------
        parts : MappedRows
            Computes functions of the rows where these are.

        Returns
        -------
        RidgeModel
            The model of all rows together, up to the order of sums.
        """
        mean, deviation = moments(parts.train(_moments))
        alphas = self._alphas(tail=parts.has_tail)
        equations = parts.train(_equations, mean, deviation)
        path = solved_path(equations, parts.n_rows, alphas)
        errors = np.zeros(len(alphas))
        if len(alphas) > 1:
            errors = np.sum(parts.tail(_errors, mean, deviation, path), axis=0)
        return self._chosen(mean, deviation, path, alphas, errors, 1)

    def _alphas(self, tail: bool) -> np.ndarray:
        """List the penalties to try, of which a tail can choose one."""
        if self.alpha != "auto":
            return np.array([float(self.alpha)])
        return ALPHAS if tail else np.ones(1)

    def _chosen(
        self,
        mean: np.ndarray,
        deviation: np.ndarray,
        path: np.ndarray,
        alphas: np.ndarray,
        errors: np.ndarray,
        ndim: int,
    ) -> RidgeModel:
        """Keep the penalty with the least error in the tail."""
        # What serves nobody is taken as it stands without a tail.
        serves = np.isfinite(errors).all()
        best = int(np.argmin(errors if serves else np.abs(alphas - 1.0)))
        coef = path[best, :, 0] if ndim == 1 else path[best]
        return RidgeModel(mean, deviation, coef, float(alphas[best]))


def _moments(rows: Rows) -> Moments:
    return part_moments(rows.X)


def _equations(
    rows: Rows, mean: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return normal_equations(rows.X, rows.y[:, None], mean, deviation)


def _errors(
    rows: Rows, mean: np.ndarray, deviation: np.ndarray, path: np.ndarray
) -> np.ndarray:
    if not len(rows.y):
        return np.zeros(len(path))
    return path_errors(rows.X, rows.y[:, None], mean, deviation, path)


def _same_rows(known: np.ndarray) -> list[tuple[np.ndarray, list[int]]]:
    """Group outputs by the rows in which they are known, leaving out empty ones."""
    groups: dict[bytes, list[int]] = {}
    for output, rows in enumerate(known.T):
        if rows.any():
            groups.setdefault(rows.tobytes(), []).append(output)
    return [(known[:, outputs[0]], outputs) for outputs in groups.values()]
