"""When models are refitted, on which rows, and which rows they forecast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator, TimeSeriesSplit

from skbatch._messages import check_int

# What `cv` may be: a number, a splitter, pairs of rows, or nothing.
Folds: TypeAlias = (
    int | BaseCrossValidator | Iterable[tuple[ArrayLike, ArrayLike]] | None
)

# Two years of trading days before the first forecast, and a quarter between refits.
MIN_TRAIN_ROWS = 504
REFIT_ROWS = 63


@dataclass(frozen=True)
class Fold:
    """One refit: the rows it is trained on, and those it forecasts."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int

    @property
    def train(self) -> slice:
        """Rows of the training window."""
        return slice(self.train_start, self.train_stop)

    @property
    def test(self) -> slice:
        """Rows that are forecast."""
        return slice(self.test_start, self.test_stop)


def make_folds(
    prices: pd.DataFrame,
    reach: int,
    *,
    cv: Folds,
    min_train: int | None,
    refit_every: int | None,
    window: int | Literal["expanding"],
) -> list[Fold]:
    """Plan all refits."""
    _check_rows(refit_every, "refit_every", 1, "None refits once for each fold")
    if window != "expanding":
        _check_rows(window, "window", reach + 2, 'Or pass "expanding"', none=False)
    if cv is None:
        blocks = [_default_block(len(prices), reach, min_train)]
        refit_every = REFIT_ROWS if refit_every is None else refit_every
    else:
        if min_train is not None:
            raise ValueError(
                f"`min_train` must be None with `cv`. Got {min_train!r}. Let `cv` "
                "choose the first training rows."
            )
        blocks = _blocks(cv, prices)
    folds = [fold for block in blocks for fold in _refits(block, refit_every, window)]
    _check_order(folds)
    _check_training(folds, reach)
    return folds


def _default_block(n_dates: int, reach: int, min_train: int | None) -> Fold:
    """Forecast every row after the first training window."""
    first = MIN_TRAIN_ROWS if min_train is None else min_train
    _check_rows(first, "min_train", reach + 2, "None takes 504", none=False)
    if first >= n_dates:
        raise ValueError(
            f"`prices` must have more rows than `min_train`. Got {n_dates} rows and "
            f"min_train={first}. Pass a longer history, or a smaller `min_train`."
        )
    return Fold(0, int(first), int(first), n_dates)


def _blocks(cv: Any, prices: pd.DataFrame) -> list[Fold]:
    """Read the folds of a splitter or of pairs of rows."""
    if isinstance(cv, bool) or (isinstance(cv, Integral) and cv < 2):
        raise ValueError(
            f"`cv` must be an int of at least 2, a splitter, pairs of rows or None. "
            f"Got {cv!r}. Pass TimeSeriesSplit(5), for example."
        )
    if isinstance(cv, Integral):
        cv = TimeSeriesSplit(int(cv))
    if hasattr(cv, "split") and not isinstance(cv, str):
        pairs: Iterable[Any] = cv.split(prices)
    elif isinstance(cv, Iterable) and not isinstance(cv, str):
        pairs = cv
    else:
        raise ValueError(
            "`cv` must be an int of at least 2, a splitter, pairs of rows or None. Got "
            f"{type(cv).__name__}. Pass TimeSeriesSplit(5), for example."
        )
    blocks = [_block(pair, number, len(prices)) for number, pair in enumerate(pairs)]
    if not blocks:
        raise ValueError("`cv` must give folds. Got none. Pass TimeSeriesSplit(5).")
    return sorted(blocks, key=lambda block: block.test_start)


def _block(pair: Any, number: int, n_dates: int) -> Fold:
    """Turn the rows of one fold into a range each, training before test."""
    try:
        train, test = (np.sort(np.asarray(rows)) for rows in pair)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`cv` must hold pairs (training rows, test rows). Got "
            f"{type(pair).__name__} as number {number} ({error}). Pass "
            "TimeSeriesSplit(5), for example."
        ) from error
    for rows, name in ((train, "training"), (test, "test")):
        whole = rows.ndim == 1 and len(rows) and np.issubdtype(rows.dtype, np.integer)
        if (
            not whole
            or np.any(np.diff(rows) != 1)
            or rows[0] < 0
            or rows[-1] >= n_dates
        ):
            raise ValueError(
                f"The {name} rows of a fold must be consecutive row numbers. Got gaps "
                f"or other values in fold {number} of `cv`. Pass blocks of time, such "
                "as those of TimeSeriesSplit, because returns overlap."
            )
    if train[-1] >= test[0]:
        raise ValueError(
            f"`cv` must train on rows before the test rows. Got fold {number}, which "
            f"trains up to row {train[-1]} and tests from row {test[0]}. "
            "Pass TimeSeriesSplit, not KFold."
        )
    return Fold(int(train[0]), int(train[-1]) + 1, int(test[0]), int(test[-1]) + 1)


def _refits(
    block: Fold, refit_every: int | None, window: int | Literal["expanding"]
) -> Iterable[Fold]:
    """Split a test fold where models are refitted; the gap before it stays."""
    step = refit_every or block.test_stop - block.test_start
    gap = block.test_start - block.train_stop
    for start in range(block.test_start, block.test_stop, step):
        stop = start - gap
        first = block.train_start
        if window != "expanding":
            first = max(first, stop - window)
        yield Fold(first, stop, start, min(start + step, block.test_stop))


def _check_order(folds: list[Fold]) -> None:
    """Raise if a row would be forecast twice."""
    for before, after in pairwise(folds):
        if after.test_start < before.test_stop:
            raise ValueError(
                "The test rows of `cv` must not overlap: a date has one forecast. Got "
                f"row {after.test_start} in two folds. Pass TimeSeriesSplit."
            )


def _check_training(folds: list[Fold], reach: int) -> None:
    """Raise if a training window has no row whose label is known at its end."""
    for fold in folds:
        n_rows = fold.train_stop - fold.train_start
        if n_rows < reach + 2:
            raise ValueError(
                "Training windows must be at least 2 rows longer than horizon plus "
                f"delay, {reach} rows. Got {n_rows} rows before row "
                f"{fold.test_start}, and the labels of the last {reach} end later. "
                "Pass a longer history, fewer folds or a longer `window`."
            )


def _check_rows(
    value: Any, name: str, low: int, advice: str, *, none: bool = True
) -> None:
    if value is not None or not none:
        check_int(value, name, low, f"Pass a number of rows. {advice}.")
