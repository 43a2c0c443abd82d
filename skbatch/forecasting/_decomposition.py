"""Expected return = common expectation + scale × shrunken model of relative returns.

The forecasters that learn from features share what happens around their model: how
labels are made comparable across tickers and dates, which rows are trained on, how
far the model's forecasts are to be trusted, and how they become returns again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import pandas as pd

from skbatch._kernels.target import (
    common_return,
    market_share,
    shrinkage_slope,
    shrunken_mean,
)
from skbatch._progress import Progress
from skbatch._sklearn import HasMethods, Interval, StrOptions
from skbatch.exceptions import ModelFitError, PanelError
from skbatch.forecasting._scale import MAX_SCALED_LABEL, LabelScale, bounded
from skbatch.forecasting._tables import FeatureTable, LabelLayout
from skbatch.forecasting._tasks import (
    Rows,
    Task,
    TaskModel,
    predict_rows,
    predict_task,
    split_tail,
    stack_rows,
    thinning,
)
from skbatch.panel import TYPICAL_VOLATILITY

__all__ = [
    "DECOMPOSITION_CONSTRAINTS",
    "Decomposition",
    "check_dates",
    "given_return",
    "pooled_parameters",
]

_SHARE = Interval(Real, 0, 1, closed="both")
_AUTO = StrOptions({"auto"})
# Constraints of the estimator parameters that `Decomposition.of` reads.
DECOMPOSITION_CONSTRAINTS: dict[str, list[Any]] = {
    "strategy": [StrOptions({"pooled", "vector", "per_ticker"})],
    "relative": ["boolean"],
    "scale": [str, None],
    "market_weight": [_SHARE, _AUTO],
    "market_return": [pd.DataFrame, pd.Series, None],
    "pooled_model": [HasMethods(["serve"]), None],
    "market_features": ["boolean"],
    "thin": [Interval(Integral, 1, None, closed="left"), _AUTO],
    "validation_size": [
        Interval(Integral, 0, None, closed="left"),
        Interval(Real, 0, 1, closed="left"),
        _AUTO,
    ],
}

# Shrinkage never goes below this, so that tickers stay ranked where the tail of the
# training window happened to reward nothing.
MIN_SHRINKAGE = 0.1

FitModel = Callable[[Rows, Rows | None, Callable[[], None]], Any]


@dataclass
class Decomposition:
    r"""Fit models of relative, volatility-scaled returns and turn them into returns.

    Parameters
    ----------
    strategy : {"pooled", "vector", "per_ticker"}
        One model on all (date, ticker) rows of a horizon; one model with an output
        per label; one model per label.
    relative : bool
        Learn returns relative to the equal-weighted mean over tickers of the date.
    scale : str or None
        ``"auto"``, a ticker feature's name, or None.
    market_weight : float or "auto"
        Weight in [0, 1] of the historical mean common return.
    market_return : DataFrame, Series or None
        Returns of the market that labels are relative to, in place of their mean.
    pooled_model : PooledModel or None
        Trained on tickers of a universe; then nothing is trained here.
    market_features : bool
        Give columns shared by all tickers to the model beside the ticker's own.
    thin : int or "auto"
        Train on every `thin`-th date.
    validation_size : int, float or "auto"
        Rows or share of the training rows, the latest, on which forecasts are
        checked. ``"auto"`` is a fifth, at most 504 rows. 0 disables.

    Attributes
    ----------
    models : list of TaskModel
        The trained models.
    failures : dict
        Label name → reason, for labels whose own model could not be trained.
    expectation, weight : ndarray of shape (n_labels,)
        Mean common return of the training labels, and the weight it is given.

    Notes
    -----
    With label :math:`r_{t,i}` over h rows and the ticker's volatility per row
    :math:`\sigma_{t,i}`, the label is winsorised at :math:`\pm 5\sigma_{t,i}\sqrt{h}`.
    With its mean over tickers :math:`m_t` the model f learns
    :math:`z_{t,i} = (r_{t,i} - m_t) / (\sigma_{t,i}\sqrt{h})`, winsorised at
    :math:`\pm 5`, and the forecast is
    :math:`c\,w \bar m + s\,\sigma_{t,i}\sqrt{h}\,f(x_{t,i})`, with s from
    :func:`~skbatch._kernels.target.shrinkage_slope` in the tail, at least 0.1, and w
    from :func:`~skbatch._kernels.target.shrunken_mean`. The share c is
    that of :func:`~skbatch._kernels.target.market_share`, and 1 where labels are not
    scaled by a feature.
    """

    strategy: Literal["pooled", "vector", "per_ticker"]
    relative: bool
    scale: str | None
    market_weight: float | Literal["auto"]
    market_return: Any
    pooled_model: Any
    market_features: bool
    thin: int | Literal["auto"]
    validation_size: float | Literal["auto"]
    models: list[TaskModel] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, estimator: Any) -> Decomposition:
        """Make one from an estimator's parameters of the same names."""
        return cls(
            **{name: getattr(estimator, name) for name in DECOMPOSITION_CONSTRAINTS}
        )

    def fit(
        self,
        features: FeatureTable,
        labels: np.ndarray,
        layout: LabelLayout,
        fit_model: FitModel,
        progress: Callable[[int], Progress],
        n_steps: int = 0,
    ) -> Decomposition:
        """Train every task with `fit_model`."""
        target, tasks = self._prepare(features, labels, layout)
        if self.pooled_model is not None:
            self.models = self.pooled_model.serve(tasks, self.strategy)
            return self
        with progress(len(tasks)) as report:
            for task in tasks:
                with report.task(task.name, n_steps) as step:
                    self._fit_task(task, features, target, fit_model, step)
        if not self.models:
            raise ModelFitError(
                f"strategy='per_ticker' must fit a model for one of {len(tasks)} "
                f"labels. Got none: {next(iter(self.failures.values()))}"
            )
        return self

    def predict(self, features: FeatureTable) -> np.ndarray:
        """Forecast expected returns `(n_dates, n_labels)`, NaN without a scale."""
        scale = self.label_scale.matrix(features)
        usable = np.isfinite(scale)
        relative = np.full(scale.shape, np.nan)
        for fitted in self.models:
            predict_task(fitted, features, usable, relative)
        common = self.weight * self.expectation
        if self.label_scale.features:
            common = common * market_share(scale, _typical_volatility(features))
        return common + relative * scale * self.root_horizon

    def stack(
        self,
        features: FeatureTable,
        labels: np.ndarray,
        layout: LabelLayout,
        dates: dict[int, tuple[np.ndarray, np.ndarray]],
    ) -> dict[int, tuple[Rows, Rows]]:
        """Stack training and tail rows of the dates of each horizon."""
        target, tasks = self._prepare(features, labels, layout)
        stacked = {}
        for task in tasks:
            train, tail = (
                stack_rows(task, features, target, chosen)
                for chosen in dates[task.horizon]
            )
            stacked[task.horizon] = train, tail
        return stacked

    def label_dates(
        self, features: FeatureTable, labels: np.ndarray, layout: LabelLayout
    ) -> dict[int, np.ndarray]:
        """Find the dates at which each horizon has a target."""
        target, tasks = self._prepare(features, labels, layout)
        return {
            task.horizon: np.isfinite(target[:, task.outputs.ravel()]).any(axis=1)
            for task in tasks
        }

    def train(
        self,
        rows: Rows,
        validation: Rows | None,
        horizon: int,
        fit_model: FitModel,
        step: Callable[[], None],
    ) -> tuple[Any, float]:
        """Train one model and find the factor of its forecasts in the tail."""
        model = fit_model(rows, validation, step)
        if validation is None:
            none = np.empty(0)
            return model, self.shrinkage(none, none, none, horizon)
        forecast = predict_rows(model, validation.X)
        factor = self.shrinkage(validation.y, forecast, validation.dates, horizon)
        return model, factor

    def shrinkage(
        self, labels: np.ndarray, forecast: np.ndarray, dates: np.ndarray, horizon: int
    ) -> float:
        """Find the factor of a model's forecasts by those of a tail, empty if none."""
        if len(labels):
            found = shrinkage_slope(labels, forecast, dates, horizon)
            return max(found, MIN_SHRINKAGE)
        # Too little history to tell: the model's word counts for little.
        return MIN_SHRINKAGE if self.validation_size != 0 else 1.0

    def _prepare(
        self, features: FeatureTable, labels: np.ndarray, layout: LabelLayout
    ) -> tuple[np.ndarray, list[Task]]:
        """Find the targets, and what is to be trained on them."""
        self.layout = layout
        self.root_horizon = np.sqrt(np.asarray(layout.horizons, dtype=np.float64))
        self.own = features.series_columns(layout.tickers)
        self.label_scale = LabelScale.choose(self.scale, features, labels, layout)
        return self._target(features, labels), self._tasks(features)

    def _target(self, features: FeatureTable, labels: np.ndarray) -> np.ndarray:
        """Make labels relative and scaled; set the common expectation."""
        horizons = np.asarray(self.layout.horizons)
        self.expectation = np.empty(len(horizons))
        self.weight = np.empty(len(horizons))
        level = np.empty_like(labels)
        unit = self.label_scale.matrix(features) * self.root_horizon
        if self.scale is not None:
            labels = bounded(labels, unit)
        for horizon in np.unique(horizons):
            group = np.flatnonzero(horizons == horizon)
            pooled = self.own.shape[1] > 0 and len(group) > 1
            given = self._given_return(int(horizon), features)
            for columns in [group] if pooled or given is not None else group[:, None]:
                values = labels[:, columns]
                if given is not None:
                    common = given
                elif pooled:
                    common = common_return(values, 2 if self.relative else 1)
                else:
                    common = values[:, 0]
                mean, weight = shrunken_mean(common, int(horizon))
                self.expectation[columns] = mean
                self.weight[columns] = (
                    weight if self.market_weight == "auto" else self.market_weight
                )
                moving = self.relative and (pooled or given is not None)
                level[:, columns] = common[:, None] if moving else mean
        target = (labels - level) / unit
        if self.own.shape[1]:
            target[~features.observed(self.own)] = np.nan
        if self.scale is not None:
            np.clip(target, -MAX_SCALED_LABEL, MAX_SCALED_LABEL, out=target)
        return target

    def _given_return(self, horizon: int, features: FeatureTable) -> np.ndarray | None:
        """Give the market's returns over a horizon, if the user named a market."""
        if self.market_return is None:
            return None
        if features.index is None:
            raise PanelError(
                "market_return must go with features that have dates. Got an array. "
                "Pass a feature frame."
            )
        args = self.market_return, self.layout.horizons, horizon, features.index
        return given_return(*args)

    def _tasks(self, features: FeatureTable) -> list[Task]:
        """List the models that the strategy trains."""
        horizons = np.asarray(self.layout.horizons)
        own, shared = self.own, _shared_inputs(features)
        # XGBoost draws samples of rows and columns by their place, so the order of
        # the tickers in the tables must not be the order in training.
        order = np.lexsort((horizons, np.asarray(self.layout.names, dtype=str)))
        if self.strategy == "vector":
            used = list(dict.fromkeys(own[order][own[order] >= 0].tolist()))
            inputs = np.array(used, dtype=np.intp)
            if self._uses_shared():
                inputs = np.concatenate([inputs, shared])
            return [
                Task(
                    "all tickers", inputs[None, :], order[None, :], int(horizons.max())
                )
            ]
        if self._uses_shared():
            own = np.hstack([own, np.tile(shared, (len(own), 1))])
        if self.strategy == "per_ticker":
            return [
                Task(name, own[[row]], np.array([[row]]), int(horizons[row]))
                for row, name in enumerate(self.layout.keys)
            ]
        return [
            Task(f"horizon {horizon}", own[rows], rows[:, None], int(horizon))
            for horizon in np.unique(horizons)
            for rows in [order[horizons[order] == horizon]]
        ]

    def _uses_shared(self) -> bool:
        """Whether shared columns are inputs: always when there are no others."""
        return self.market_features or not self.own.shape[1]

    def _fit_task(
        self,
        task: Task,
        features: FeatureTable,
        target: np.ndarray,
        fit_model: FitModel,
        step: Callable[[], None],
    ) -> None:
        """Train one model, check it on the tail, and keep it."""
        train, tail = split_tail(
            target[:, task.outputs.ravel()],
            task.horizon,
            self.validation_size,
            thinning(self.thin, task.horizon),
        )
        try:
            check_dates(train, task.name)
            validation = stack_rows(task, features, target, tail)
            rows = stack_rows(task, features, target, train)
            model, shrinkage = self.train(
                rows,
                validation if len(tail) else None,
                task.horizon,
                fit_model,
                step,
            )
        except ModelFitError as error:
            if self.strategy != "per_ticker":
                raise
            self.failures[task.name] = str(error)
            return
        trained = np.atleast_1d(np.isfinite(rows.y).any(axis=0))
        self.models.append(TaskModel(task, model, shrinkage, trained))


def given_return(
    market: pd.DataFrame | pd.Series,
    horizons: Iterable[int],
    horizon: int,
    index: pd.Index,
) -> np.ndarray:
    """Read the market's returns over one of the horizons of the labels.

    Parameters
    ----------
    market : DataFrame or Series
        As forecasters take it.
    horizons : iterable of int
        Those of all labels.
    horizon : int
        The wanted one.
    index : Index
        Dates of the features.

    Returns
    -------
    ndarray of shape (n_dates,), dtype float64
        NaN at the last dates, of which the return is not known.

    Raises
    ------
    PanelError
        If the market has no returns over this horizon at these dates.
    """
    if isinstance(market, pd.Series):
        known = {*horizons}
        market = pd.DataFrame({name: market for name in known if len(known) == 1})
    if horizon not in market.columns:
        raise PanelError(
            "market_return must have a column for every horizon of y. Got "
            f"{list(market.columns)} without {horizon}. Add it."
        )
    returns = market[horizon].reindex(index).to_numpy(np.float64, copy=True)
    # At the last date, the market's latest returns are not known either.
    returns[max(0, len(returns) - horizon) :] = np.nan
    if not np.isfinite(returns).any():
        raise PanelError(
            "market_return must have finite returns at dates of X, other than the "
            f"last {horizon}. Got none. Index it by the dates of X."
        )
    return returns


def check_dates(train: np.ndarray, name: str) -> None:
    """Refuse to train a model on less than two dates."""
    if len(train) < 2:
        raise ModelFitError(
            f"{name} must have 2 dates with a usable label. Got {len(train)} date(s). "
            "Pass more rows, or relative=False where no two tickers have labels at "
            "the same date."
        )


def pooled_parameters(forecaster: Any) -> list[str]:
    """Name the parameters of a forecaster, and those inside it, for pooled models."""
    if not hasattr(forecaster, "get_params"):
        return []
    names = forecaster.get_params()
    return [name for name in names if name.rpartition("__")[2] == "pooled_model"]


def _shared_inputs(features: FeatureTable) -> np.ndarray:
    """Find the shared columns that are inputs of models."""
    columns = features.columns
    keep = [name != TYPICAL_VOLATILITY for name in columns.shared]
    return columns.shared_positions[np.array(keep, dtype=bool)]


def _typical_volatility(features: FeatureTable) -> np.ndarray | None:
    """Give the typical volatility of the universe that the tickers are part of."""
    columns = features.columns
    if TYPICAL_VOLATILITY not in columns.shared:
        return None
    number = columns.shared_positions[columns.shared.index(TYPICAL_VOLATILITY)]
    return features.values[:, number]
