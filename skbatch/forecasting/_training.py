"""Training the models of a strategy on stacked rows, and forecasting with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from skbatch._kernels.threads import slices
from skbatch._messages import count
from skbatch._progress import Progress
from skbatch._sklearn import StrOptions
from skbatch.exceptions import ModelFitError
from skbatch.forecasting._calibration import Tail
from skbatch.forecasting._children import working_parts
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable, Rows
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._label_scale import LabelScale, LabelTransform
from skbatch.forecasting._other_frame import OtherFrame
from skbatch.forecasting._provenance import Reason
from skbatch.forecasting._return_target import ReturnTarget, tail_rows
from skbatch.forecasting._row_store import RowStore, with_gaps
from skbatch.panel import split_column
from skbatch.panel.engine import CATEGORY, MARKET

# Labels that are equal on so many dates are as good as the same.
MAX_ORDER_ROWS = 64
# Stack or read at most this many cells at once (4 MiB of float32).
MAX_CELLS = 2**20

# Constraints of the parameters that `fit_panel_model` reads.
PANEL_CONSTRAINTS: dict[str, list[Any]] = {
    "strategy": [StrOptions({"pooled", "vector", "per_ticker"})],
    "target": [ReturnTarget, None],
    "market_features": ["boolean"],
}

Strategy = Literal["pooled", "vector", "per_ticker"]
FitModel = Callable[[Rows, Rows | None, Callable[[], None]], Any]


class Labels(NamedTuple):
    """What models are judged by, learn and weight, `(n_dates, n_labels)`; delay."""

    scaled: np.ndarray
    learned: np.ndarray
    weights: np.ndarray | None = None
    delay: int = 0


@dataclass(frozen=True)
class Task:
    """One model to train: which columns are its inputs, which labels its targets."""

    name: str
    columns: np.ndarray  # (n_series, n_inputs)
    outputs: np.ndarray  # (n_series, n_outputs)
    horizon: int  # the longest of the outputs


@dataclass
class TaskModel:
    """A trained task and the factor its forecasts are multiplied with."""

    task: Task
    model: Any
    shrinkage: float
    # What a model forecasts of outputs without a label in training is made up.
    trained: np.ndarray
    lacks: Reason | None = None  # why its forecasts are all zero


@dataclass
class PanelModel:
    """Expectation in common + volatility × shrunken relative forecasts."""

    strategy: Strategy
    transform: LabelTransform
    models: list[TaskModel] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    takes_categories: bool = True

    def predict(self, features: FeatureBlocks) -> np.ndarray:
        """Forecast expected returns `(n_dates, n_labels)`, NaN without a volatility."""
        layout = self.transform.layout
        forecasts = np.empty((features.n_dates, len(layout.tickers)))
        for dates, table in features.tables():
            unit = self.transform.scale.matrix(table)
            relative = np.full(unit.shape, np.nan)
            for fitted in self.models:
                _predict_task(fitted, table, np.isfinite(unit), relative)
            forecasts[dates] = self.transform.returns(relative, unit, table)
        return forecasts

    def for_others(self, frame: OtherFrame) -> PanelModel:
        """Assign the tickers of another frame to a pooled model."""
        layout, features = frame.layout, frame.features
        own = _own_inputs(features, layout, self.takes_categories)
        n_own = sum(inputs.shape[1] for inputs in own)
        uses_shared = self.models[0].task.columns.shape[1] > n_own
        order = np.arange(len(layout.horizons))
        tasks = _list_tasks(self.strategy, uses_shared, own, features, layout, order)
        models = [
            replace(fitted, task=task)
            for fitted, task in zip(self.models, tasks, strict=True)
        ]
        transform = _carried(self.transform, frame)
        return replace(self, transform=transform, models=models, failures={})


def _carried(transform: LabelTransform, frame: OtherFrame) -> LabelTransform:
    """Apply what is known of the typical fitted ticker to other tickers."""
    constant = transform.scale.constant
    constant = frame.typical(np.where(constant > 0, constant, np.nan))
    scale = LabelScale(transform.scale.features, frame.layout.tickers, constant)
    common = frame.typical(transform.weight * transform.expectation)
    weight = np.ones(len(common))
    return LabelTransform(frame.layout, scale, common, weight, transform.betas)


def fit_panel_model(
    estimator: Any,
    features: FeatureBlocks,
    labels: np.ndarray,
    layout: LabelLayout,
    fit_model: FitModel,
    n_steps: int = 0,
    weights: np.ndarray | None = None,
) -> tuple[PanelModel, Tail]:
    """Train an estimator's models, and forecast the tail that they do not train on."""
    strategy, target = estimator.strategy, estimator._part("target")
    if strategy != "pooled":
        # Every model reads other columns, so they are computed for all of them.
        features = features.load()
    weights = target.label_weights(labels, features, layout, weights)
    order = content_order(labels)
    tail = _open_tail(target, labels, layout)
    transform, learned = target.transform_labels(labels, features, layout, weights)
    fitted = PanelModel(strategy, transform)
    learned = learned if strategy == "pooled" else labels
    known = Labels(labels, learned, weights, layout.delay)
    uses_shared = estimator.market_features
    # The category of one ticker among those of all others adds little, and XGBoost
    # before 3.4 has none in trees with vector leaves.
    fitted.takes_categories = estimator.takes_categories and strategy != "vector"
    own = _own_inputs(features, layout, fitted.takes_categories)
    tasks = _list_tasks(strategy, uses_shared, own, features, layout, order)
    with Progress(estimator, len(tasks)) as report:
        for task in tasks:
            with report.task(task.name, n_steps) as step:
                try:
                    model, validation, forecast = _fit_task(
                        task, target, strategy, features, known, fit_model, step
                    )
                    fitted.models.append(model)
                    _fill_tail(tail, model, validation, forecast)
                except ModelFitError as error:
                    if strategy != "per_ticker":
                        raise
                    fitted.failures[task.name] = str(error)
    if not fitted.models:
        raise ModelFitError(
            f"strategy='per_ticker' must fit a model for at least one of {len(tasks)} "
            f"labels. Got none: {next(iter(fitted.failures.values()))}"
        )
    rows = features.rows(tail.start, tail.start + len(tail.labels))
    unit = transform.scale.matrix(features)[tail.start :][: len(tail.labels)]
    returns = transform.returns(tail.forecasts, unit, rows)
    return fitted, replace(tail, forecasts=returns)


def _open_tail(target: ReturnTarget, labels: np.ndarray, layout: LabelLayout) -> Tail:
    """Keep the labels of the latest dates, as labels are transformed in place."""
    dates = np.flatnonzero(np.isfinite(labels).any(axis=1))
    first, stop = int(dates[0]), int(dates[-1]) + 1
    start = stop - min(tail_rows(stop - first, target.validation_size), stop - first)
    return Tail.of(labels, start, stop, layout, target.scale)


def _fill_tail(tail: Tail, fitted: TaskModel, rows: Rows, forecast: np.ndarray) -> None:
    """Enter the relative forecasts of one model."""
    # A ticker of its own model that ended early has a tail before that of the others.
    late = rows.dates >= tail.start
    if not len(forecast) or not late.any():
        return
    forecast = forecast.reshape(len(rows.dates), -1)[late] * fitted.shrinkage
    forecast[:, ~fitted.trained] = np.nan
    outputs = fitted.task.outputs[rows.series[late]]
    tail.forecasts[rows.dates[late, None] - tail.start, outputs] = forecast


def content_order(labels: np.ndarray) -> np.ndarray:
    """Order labels `(n_dates, n_labels)` by their first values, not by their names."""
    # XGBoost draws samples of rows by their place. Neither names nor the order of the
    # tickers in the tables may decide it, nor a day that is added at the end.
    first = np.isfinite(labels).argmax(axis=0)
    rows = np.minimum(first + np.arange(MAX_ORDER_ROWS)[:, None], len(labels) - 1)
    values = labels[rows, np.arange(labels.shape[1])]
    return np.lexsort((*values[::-1], first))


def _own_inputs(
    features: FeatureBlocks, layout: LabelLayout, takes_categories: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Look up each label's inputs, `(n_labels, n_inputs)`, and what signals became."""
    own = features.series_columns(layout.tickers)
    columns = features.columns
    left_out = () if takes_categories else columns.categories
    made = {*signal_names(columns.features)[1]}
    if not own.shape[1] or not (made or left_out):
        return own, own[:, :0]
    last = np.array([name in made for name in columns.features])
    out = np.array([name in left_out for name in columns.features])
    return own[:, ~last & ~out], own[:, last]


def _list_tasks(
    strategy: Strategy,
    uses_shared: bool,
    all_own: tuple[np.ndarray, np.ndarray],
    features: FeatureBlocks,
    layout: LabelLayout,
    order: np.ndarray,
) -> list[Task]:
    """List the models that a strategy trains, their labels in the given order."""
    horizons = np.asarray(layout.horizons)
    shared = features.columns.shared_positions
    own, made = all_own
    # Shared columns always are inputs when there are no others.
    uses_shared = uses_shared or not own.shape[1]
    if strategy == "vector":
        own = np.hstack([own, made])[order]
        used = list(dict.fromkeys(own[own >= 0].tolist()))
        inputs = np.array(used, dtype=np.intp)
        if uses_shared:
            inputs = np.concatenate([inputs, shared])
        outputs = order[None, :]
        return [Task("all tickers", inputs[None, :], outputs, int(horizons.max()))]
    common = np.tile(shared, (len(own), 1))
    # Last what is made of signals: trees read the inputs before.
    own = np.hstack([own, *([common] if uses_shared else []), made])
    if strategy == "per_ticker":
        return [
            Task(name, own[[row]], np.array([[row]]), int(horizons[row]))
            for row, name in enumerate(layout.keys)
        ]
    return [
        Task(f"horizon {horizon}", own[rows], rows[:, None], int(horizon))
        for horizon in np.unique(horizons)
        for rows in [order[horizons[order] == horizon]]
    ]


def _fit_task(
    task: Task,
    target: ReturnTarget,
    strategy: Strategy,
    features: FeatureBlocks,
    labels: Labels,
    fit_model: FitModel,
    step: Callable[[], None],
) -> tuple[TaskModel, Rows, np.ndarray]:
    """Train one model, find its shrinkage on the tail, and give that with forecasts."""
    known = np.isfinite(labels.scaled[:, task.outputs]).any(axis=2)
    train, tail = target.split(known, task.horizon, labels.delay)
    if len(train) < 2:
        raise ModelFitError(
            f"{task.name} must have at least 2 dates with a usable label. Got "
            f"{count(len(train), 'date')}. Pass more rows, or relative=False "
            "where no two tickers have labels at the same date."
        )
    rows, validation = _stack(
        task, features, labels, (train, tail), keep=strategy == "pooled"
    )
    found = validation if len(tail) else None
    model = fit_model(rows, found, step)
    forecast = np.empty(0) if found is None else predict_rows(model, found.X)
    n_known = int(known[: train[-1] + 1].sum())
    shrinkage = target.shrinkage(
        validation.y,
        forecast,
        validation.dates,
        task.horizon,
        n_known,
        validation.weight,
    )
    trained = np.atleast_1d(np.isfinite(rows.y).any(axis=0))
    lacks = target._lack_of_skill(
        validation.y, forecast, validation.dates, task.horizon, validation.weight
    )
    if lacks is not None:
        shrinkage = 0.0
    fitted = TaskModel(task, model, shrinkage, trained, lacks)
    return fitted, validation, forecast


def _stack(
    task: Task,
    features: FeatureBlocks,
    labels: Labels,
    parts: tuple[np.ndarray, np.ndarray],
    *,
    keep: bool,
) -> tuple[Rows, Rows]:
    """Stack the rows of training dates and tail that have a known label."""
    dates = np.concatenate(parts)
    known = labels.scaled[dates][:, task.outputs]
    numbers, series = np.nonzero(np.isfinite(known).any(axis=2))
    y = known[numbers, series]
    y = y[:, 0] if y.shape[1] == 1 else y
    rows = dates[numbers]
    # The first rows are those of the training dates.
    n_train = int(np.searchsorted(numbers, len(parts[0])))
    if labels.learned is not labels.scaled:
        y[:n_train] = labels.learned[rows[:n_train], task.outputs[series[:n_train], 0]]
    weights: list[np.ndarray | None] = [None, None]
    if labels.weights is not None:
        weight = labels.weights[rows[:, None], task.outputs[series]].reshape(y.shape)
        # So that a number of rows, such as of a leaf, means what it means without.
        weight = weight / weight[:n_train][np.isfinite(y[:n_train])].mean()
        weights = [weight[:n_train], weight[n_train:]]
    X = features.stack(task.columns, rows, series, n_train, keep=keep)
    names = input_names(task, features.names)
    train, late = slice(n_train), slice(n_train, None)
    others = task.horizon, features.category_inputs(task.columns)
    return (
        Rows(X[0], y[train], rows[train], series[train], names, weights[0], *others),
        Rows(X[1], y[late], rows[late], series[late], names, weights[1], *others),
    )


def signal_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """List the values of signals, which have their ranks beside them, and the rest."""
    values = [name for name in names if f"{name}_rank" in names]
    made = [
        name
        for name in names
        if name not in values
        and any(name.startswith(f"{value}_") for value in values)
        and not name.endswith(CATEGORY)
    ]
    return values, made


def input_names(task: Task, names: np.ndarray | None) -> tuple[str, ...] | None:
    """Name the inputs of a model: one of single tickers is not named after them."""
    if names is None:
        return None
    inputs = names[task.columns.max(axis=0)]
    return tuple(inputs if task.outputs.shape[1] > 1 else map(input_name, inputs))


def input_name(column: str) -> str:
    """Name a feature without its ticker; names of shared columns stay as they are."""
    ticker, feature = split_column(column)
    return column if ticker in (None, MARKET) else feature


def predict_rows(model: Any, X: RowStore) -> np.ndarray:
    """Forecast stacked rows, where they lie."""
    rows = X if getattr(model, "takes_lowest", False) else with_gaps(X)
    parts = rows.map(partial(_predict_slices, model))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _predict_slices(model: Any, rows: RowStore | with_gaps) -> np.ndarray:
    """Forecast stacked rows, slice by slice."""
    size = max(1, MAX_CELLS // max(1, rows.shape[1]))
    starts = range(0, max(1, len(rows)), size)
    parts = [model.predict(rows[start : start + size]) for start in starts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _predict_task(
    fitted: TaskModel, table: FeatureTable, usable: np.ndarray, relative: np.ndarray
) -> None:
    """Write one model's forecasts into `relative`, block by block of dates."""
    task = fitted.task
    size = max(1, MAX_CELLS // max(1, task.columns.size))
    for rows in slices(table.n_dates, size):
        dates, series = np.nonzero(usable[rows][:, task.outputs].any(axis=2))
        if not len(dates):
            continue
        dates += rows.start
        X = table.gather(task.columns, dates, series)
        forecast = fitted.model.predict(X).reshape(len(dates), -1)
        forecast[:, ~fitted.trained] = np.nan
        cells = dates[:, None], task.outputs[series]
        relative[cells] = forecast * fitted.shrinkage


def target_of(model: Any) -> ReturnTarget | None:
    """Find the target of a model, or of the first one inside it that has one."""
    for part in working_parts(model):
        has_default = "target" in getattr(part, "_default_parts", dict)()
        target = part._part("target") if has_default else getattr(part, "target", None)
        if isinstance(target, ReturnTarget):
            return target
    return None


def relative_to(model: Any) -> str:
    """Put into words what a model learns returns relative to; empty if not known."""
    target = target_of(model)
    return "" if target is None else target.relative_to
