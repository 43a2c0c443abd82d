"""A small model of the user's signals, on which boosted trees build."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skbatch._kernels.ridge import (
    Moments,
    linear_forecast,
    moments,
    normal_equations,
    part_moments,
    solved_path,
    standardize,
)
from skbatch._kernels.target import shrinkage_slope
from skbatch.forecasting._categories import Seen, bearers, n_levels, seen_categories
from skbatch.forecasting._feature_table import Rows
from skbatch.forecasting._return_target import expected_slope
from skbatch.forecasting._row_store import LOWEST, RowStore
from skbatch.forecasting._training import predict_rows, signal_names

# Further terms of a signal's values: their square, and both times volatility's rank.
N_CURVED = 3
CONTEXT = "rank_volatility_63"
# This penalty only steadies inputs that are nearly the same, such as a signal and its
# rank. The weight of the forecasts is found on blocks of dates that did not train them.
PENALTY = 0.03
# A category has few rows, and many of them together leave much room for noise.
CATEGORY_PENALTY = 1.0
N_BLOCKS = 6
PRIOR_DEVIATION = 0.1

Read = Callable[[np.ndarray], np.ndarray]
# Weight of rows, and the products of their terms with each other and with labels.
Equations = tuple[float, np.ndarray, np.ndarray]


@dataclass
class SignalModel:
    """Ridge regression on signals; of values also squares, times volatility's rank."""

    # Columns of values, of what is made of them, and last of volatility's rank, if any.
    inputs: np.ndarray
    n_values: int
    n_signals: int
    location: np.ndarray = field(init=False)
    scale: np.ndarray = field(init=False)
    mean: np.ndarray = field(init=False)
    deviation: np.ndarray = field(init=False)
    coef: np.ndarray = field(init=False)

    # Missing inputs may be NaN or the lowest value.
    takes_lowest = True
    penalty = PENALTY

    @property
    def numbers(self) -> np.ndarray:
        """Columns of the signals."""
        return self.inputs[: self.n_signals]

    @property
    def n_terms(self) -> int:
        """Number of terms."""
        return self.n_signals + N_CURVED * self.n_values

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`."""
        return _forecast(self, X)

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Split forecasts into those of the inputs, `(n_rows, n_signals)`."""
        scores = standardize(self.terms(X), self.mean, self.deviation)
        return self._by_input(scores * self.coef)

    def importances(self) -> np.ndarray:
        """Sum the absolute coefficients of the terms of each input."""
        return self._by_input(np.abs(self.coef)[None])[0]

    def _by_input(self, parts: np.ndarray) -> np.ndarray:
        """Add up the parts of the terms of one input."""
        found = parts[:, : self.n_signals].copy()
        curved = parts[:, self.n_signals :].reshape(len(parts), N_CURVED, -1)
        found[:, : self.n_values] += curved.sum(axis=1)
        return found

    def values(self, X: np.ndarray) -> np.ndarray:
        """Read the inputs of this model; missing ones are NaN."""
        values = X[:, self.inputs].astype(np.float64)
        values[values <= LOWEST] = np.nan
        return values

    def terms(self, X: np.ndarray) -> np.ndarray:
        """Create the terms `(n_rows, n_terms)`; those of missing signals are NaN."""
        values, width = self.values(X), self.n_signals
        scores = standardize(values, self.location, self.scale)
        np.copyto(scores[:, :width], np.nan, where=np.isnan(values[:, :width]))
        terms = np.empty((len(X), self.n_terms))
        terms[:, :width] = scores[:, :width]
        rank = scores[:, width:] if len(self.inputs) > width else 0.0
        curved = terms[:, width:].reshape(len(X), N_CURVED, -1)
        curved[:, 0] = np.square(scores[:, : self.n_values])
        np.multiply(scores[:, : self.n_values], rank, out=curved[:, 1])
        np.multiply(curved[:, 0], rank, out=curved[:, 2])
        return terms


@dataclass
class CategoryModel:
    """Ridge regression on who bears which category."""

    seen: Seen
    mean: np.ndarray = field(init=False)
    deviation: np.ndarray = field(init=False)
    coef: np.ndarray = field(init=False)

    takes_lowest = True
    penalty = CATEGORY_PENALTY

    @property
    def numbers(self) -> np.ndarray:
        """Columns of the categories."""
        return np.array([*self.seen])

    @property
    def n_terms(self) -> int:
        """Number of categories."""
        return sum(map(n_levels, self.seen.values()))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`."""
        return _forecast(self, X)

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Split forecasts into those of the inputs, `(n_rows, n_inputs)`."""
        scores = standardize(self.terms(X), self.mean, self.deviation)
        return self._by_input(scores * self.coef)

    def importances(self) -> np.ndarray:
        """Sum the absolute coefficients of the categories of each input."""
        return self._by_input(np.abs(self.coef)[None])[0]

    def _by_input(self, parts: np.ndarray) -> np.ndarray:
        """Add up the parts of the categories of one input."""
        ends = np.cumsum([n_levels(known) for known in self.seen.values()])
        split = np.split(parts, ends[:-1], axis=1)
        return np.column_stack([part.sum(axis=1) for part in split])

    def terms(self, X: np.ndarray) -> np.ndarray:
        """Create the terms `(n_rows, n_terms)`; those without a category are NaN."""
        return np.hstack([bearers(X[:, n], known) for n, known in self.seen.items()])


OwnModel = SignalModel | CategoryModel


def _forecast(model: OwnModel, X: np.ndarray) -> np.ndarray:
    """Weight the terms of each row."""
    terms = _Read(X, model.terms, model.n_terms, slice(0, len(X)))
    return linear_forecast(terms, model.mean, model.deviation, model.coef)


@dataclass
class BoostedSignals:
    """Trees that correct a model of signals or categories."""

    trees: Any
    signals: OwnModel
    weight: float
    n_inputs: int  # of the trees, the first ones

    takes_lowest = True

    @property
    def booster(self) -> Any:
        """The booster of the trees."""
        return self.trees.booster

    @property
    def device(self) -> str:
        """Where the trees forecast."""
        return str(self.trees.device)

    @property
    def numbers(self) -> np.ndarray:
        """Numbers of the inputs that are made of signals."""
        return self.signals.numbers

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`."""
        # First, as trees replace missing inputs in place.
        own = self.weight * self.signals.predict(X)
        return np.asarray(own + self.trees.predict(X[:, : self.n_inputs]))

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Split forecasts into those of inputs, `(n_rows, n_inputs)`."""
        parts = np.zeros(X.shape)
        trees = self.trees.contributions(X[:, : self.n_inputs])
        parts[:, : self.n_inputs] = trees.reshape(len(X), -1)
        parts[:, self.numbers] += self.weight * self.signals.contributions(X)
        return parts

    def importances(self) -> np.ndarray:
        """Share of each input in the trees and, times the weight, in the signals."""
        gains, own = self.trees.importances(), self.signals.importances()
        shares = np.zeros(max(len(gains), *(self.numbers + 1)))
        shares[: len(gains)] = gains / (gains.sum() or 1.0)
        shares[self.numbers] += self.weight * own / (own.sum() or 1.0)
        return np.asarray(shares)


class FittedSignals(NamedTuple):
    """An own model, its weight, and the inputs and labels that it leaves to trees."""

    model: OwnModel
    weight: float
    rows: Rows
    validation: Rows | None


def fit_signal_model(
    rows: Rows, validation: Rows | None, bound: Collection[str] = ()
) -> FittedSignals | None:
    """Fit the signals' own model, if there are any, and take its forecasts off."""
    names = list(rows.names or ())
    values, made = signal_names(names)
    if not values or not set(bound).isdisjoint(values + made):
        return None
    context = [CONTEXT] if CONTEXT in names else []
    inputs = np.array([names.index(name) for name in values + made + context])
    model = SignalModel(inputs, len(values), len(values) + len(made))
    model.location, model.scale = _moments_of(rows, model.values, len(inputs))
    found = _fitted(model, rows, validation)
    # Ranks and changes are near copies of the values, and cost trees as much time as
    # other inputs do. They are the last inputs.
    first = partial(_first_inputs, n_inputs=len(names) - len(made))
    return found._replace(
        rows=first(found.rows), validation=found.validation and first(found.validation)
    )


def _first_inputs(rows: Rows, n_inputs: int) -> Rows:
    """Leave the last inputs out."""
    names = None if rows.names is None else rows.names[:n_inputs]
    return rows._replace(X=rows.X.first(n_inputs), names=names)


def fit_category_model(
    rows: Rows, validation: Rows | None, bound: Collection[str] = ()
) -> FittedSignals | None:
    """Fit the categories' own model, if there are any, and take its forecasts off."""
    seen = seen_categories(rows)
    if not any(map(n_levels, seen.values())):
        return None
    return _fitted(CategoryModel(seen), rows, validation)


def _fitted(model: OwnModel, rows: Rows, validation: Rows | None) -> FittedSignals:
    """Fit a model, find how far it can be trusted, and take its forecasts off."""
    trust = _train(model, rows)
    left = rows._replace(y=rows.y - predict_rows(model, rows.X))
    if validation is not None:
        y, forecast = validation.y, predict_rows(model, validation.X)
        found = shrinkage_slope(
            y,
            forecast,
            validation.dates,
            rows.horizon,
            trust,
            PRIOR_DEVIATION,
            validation.weight,
        )
        trust = min(max(found, 0.0), 1.0)
        validation = validation._replace(y=y - trust * forecast)
    # What trees forecast is multiplied by about so much in the end.
    weight = trust / expected_slope(len(rows.y) * _step(rows))
    return FittedSignals(model, weight, left, validation)


def _moments_of(rows: Rows, read: Read, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of what is read of rows."""
    weights = () if rows.weight is None else (rows.weight,)
    return moments(rows.X.map(partial(_read_moments, read=read, width=width), *weights))


def _train(model: OwnModel, rows: Rows) -> float:
    """Fit the coefficients; return what forecasts of other blocks deserved."""
    weights = () if rows.weight is None else (rows.weight,)
    model.mean, model.deviation = _moments_of(rows, model.terms, model.n_terms)
    adding = partial(
        _read_equations,
        read=model.terms,
        width=model.n_terms,
        mean=model.mean,
        deviation=model.deviation,
    )
    parts = rows.X.map(adding, rows.y[:, None], _number_blocks(rows), *weights)
    blocks = [_added(part) for part in zip(*parts, strict=True)]
    model.coef = _solved(blocks, model.penalty)
    # The last one holds the rows between blocks, whose labels reach into the next.
    return _cross_slope(blocks[:-1], model.penalty)


def _cross_slope(blocks: list[Equations], penalty: float) -> float:
    """Find the slope of labels on forecasts by the other blocks, if it is certain."""
    products, squares = [], []
    for number, (_, gram, moment) in enumerate(blocks):
        others = [block for n, block in enumerate(blocks) if n != number]
        coef = _solved(others, penalty)
        products.append(coef @ moment[:, 0])
        squares.append(coef @ gram @ coef)
    total = float(np.sum(squares))
    if total <= 0.0:
        return 0.0
    slope = float(np.sum(products)) / total
    errors = np.array(products) - slope * np.array(squares)
    variance = len(blocks) / (len(blocks) - 1) * float(errors @ errors) / total**2
    # A slope within 1.4 standard errors of zero is none.
    certainty = max(0.0, 1.0 - 2.0 * variance / slope**2) if slope > 0.0 else 0.0
    return min(slope, 1.0) * certainty


def _solved(blocks: Sequence[Equations], penalty: float) -> np.ndarray:
    """Coefficients from the sums over some blocks."""
    n_rows, gram, moment = _added(blocks)
    sums = [(gram, moment)]
    return solved_path(sums, max(1.0, n_rows), np.array([penalty]))[0, :, 0]


def _added(parts: Sequence[Equations]) -> Equations:
    """Add the sums over parts of the rows."""
    counts, grams, products = zip(*parts, strict=True)
    return sum(counts), np.sum(grams, axis=0), np.sum(products, axis=0)


def _number_blocks(rows: Rows) -> np.ndarray:
    """Return the block of dates of each row; rows between blocks have the last."""
    first, last = int(rows.dates[0]), int(rows.dates[-1])
    size = max(1, -(-(last + 1 - first) // N_BLOCKS))
    numbers, place = np.divmod(rows.dates - first, size)
    return np.where(place >= size - rows.horizon, N_BLOCKS, numbers)


def _step(rows: Rows) -> int:
    """Rows between one training date and the next."""
    return int(np.diff(np.unique(rows.dates)).min(initial=rows.horizon))


@dataclass
class _Read:
    """What is read of stored rows, slice by slice."""

    X: RowStore | np.ndarray
    read: Read
    width: int
    place: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.place.stop - self.place.start, self.width

    def __getitem__(self, rows: slice) -> np.ndarray:
        start = self.place.start
        stop = min(start + rows.stop, self.place.stop)
        return self.read(self.X[start + rows.start : stop])


def _read_moments(X: RowStore, *weights: np.ndarray, read: Read, width: int) -> Moments:
    return part_moments(_Read(X, read, width, slice(0, len(X))), *weights)


def _read_equations(
    X: RowStore,
    Y: np.ndarray,
    blocks: np.ndarray,
    *weights: np.ndarray,
    read: Read,
    width: int,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> list[Equations]:
    """Sum the products of each block's rows."""
    sums = []
    for number in range(N_BLOCKS + 1):
        rows = np.flatnonzero(blocks == number)
        parts = [(0.0, np.zeros((width, width)), np.zeros((width, 1)))]
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            if len(run):
                place = slice(int(run[0]), int(run[-1]) + 1)
                terms, own = _Read(X, read, width, place), [w[place] for w in weights]
                found = normal_equations(
                    terms, Y[place], *own, mean=mean, deviation=deviation
                )
                count = float(own[0].sum()) if own else float(len(run))
                parts.append((count, *found))
        sums.append(_added(parts))
    return sums
