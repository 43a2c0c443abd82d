"""Tables of labels and forecasts, brought to the same rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.scores import finite_mean
from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError

__all__ = ["AlignedTables", "align", "align_benchmark", "as_floats"]


@dataclass(frozen=True)
class AlignedTables:
    """Labels and forecasts on the same dates and tickers.

    Attributes
    ----------
    actual, forecast : ndarray of shape (n_dates, n_columns), dtype float64
        In the order of the labels.
    index : pandas.Index or None
        Dates, or None where neither table has labels.
    columns : pandas.Index or None
        Tickers, or (horizon, ticker).
    """

    actual: np.ndarray
    forecast: np.ndarray
    index: pd.Index | None
    columns: pd.Index | None

    @property
    def horizons(self) -> list[Hashable]:
        """Horizons in the order of the columns; empty for tables of one horizon."""
        if not isinstance(self.columns, pd.MultiIndex):
            return []
        return list(self.columns.unique(0))

    def split(self) -> Iterator[np.ndarray | slice]:
        """Give the columns of each horizon."""
        if not isinstance(self.columns, pd.MultiIndex):
            yield slice(None)
            return
        level = self.columns.get_level_values(0)
        for horizon in self.horizons:
            yield np.flatnonzero(level == horizon)

    def score(self, function: Callable[..., float], *others: np.ndarray) -> float:
        """Score each horizon's labels, forecasts and others; average the scores."""
        tables = (self.actual, self.forecast, *others)
        scores = [function(*(t[:, use] for t in tables)) for use in self.split()]
        return finite_mean(np.asarray(scores, dtype=np.float64))

    def by_date(
        self, function: Callable[[np.ndarray, np.ndarray], np.ndarray], name: str
    ) -> Any:
        """Score each date: a series, a frame with a column per horizon, an array."""
        scores = [
            function(self.actual[:, u], self.forecast[:, u]) for u in self.split()
        ]
        if self.index is None:
            return scores[0]
        if not self.horizons:
            return pd.Series(scores[0], index=self.index, name=name)
        columns = pd.Index(self.horizons, name="horizon")
        return pd.DataFrame(np.column_stack(scores), self.index, columns)


def align(y_true: Any, y_pred: Any) -> AlignedTables:
    """Align forecasts with labels: by label if both have labels, else by place.

    Parameters
    ----------
    y_true, y_pred : DataFrame, Series or array-like
        Shape (n_dates,), (n_dates, n_tickers) or (n_dates, n_horizons * n_tickers).

    Returns
    -------
    AlignedTables
        Both in the order of `y_true`.

    Raises
    ------
    PanelError
        If their dates, tickers or shapes differ, are repeated, or values are no
        numbers.
    """
    actual, forecast = as_floats(y_true, "y_true"), as_floats(y_pred, "y_pred")
    if _is_labelled(y_true) and _is_labelled(y_pred):
        rows, columns = locate(y_pred, y_true, "y_pred", exact=True)
        forecast = forecast[rows][:, columns]
    elif actual.shape != forecast.shape:
        raise PanelError(
            "`y_pred` must have the shape of `y_true`, unless both have labels. Got "
            f"{np.shape(y_pred)} and {np.shape(y_true)}. Forecast the dates and "
            "tickers of the labels."
        )
    labelled = next((t for t in (y_true, y_pred) if _is_labelled(t)), None)
    names = labelled.columns if isinstance(labelled, pd.DataFrame) else None
    if names is not None and names.nlevels > 2:
        raise PanelError(
            "`y_true.columns` must be tickers or (horizon, ticker). Got "
            f"{names.nlevels} levels. Drop the others with `droplevel`."
        )
    index = None if labelled is None else labelled.index
    return AlignedTables(actual, forecast, index, names)


def align_benchmark(benchmark: Any, y_true: Any, tables: AlignedTables) -> np.ndarray:
    """Bring benchmark forecasts to the dates and columns of the labels.

    Parameters
    ----------
    benchmark : float, DataFrame, Series or array-like
        One forecast for all; a table that covers the labels; a series with one
        forecast per date or per column; an array of the shape of the labels.
    y_true : DataFrame, Series or array-like
        The labels.
    tables : AlignedTables
        The labels, aligned with the forecasts.

    Returns
    -------
    ndarray of shape (n_dates, n_columns)
        Benchmark forecasts.

    Raises
    ------
    PanelError
        If the benchmark does not cover the labels.
    """
    shape = tables.actual.shape
    if np.ndim(benchmark) == 0:
        return np.full(shape, float(benchmark))
    values = as_floats(benchmark, "benchmark")
    if isinstance(benchmark, pd.Series) and isinstance(y_true, pd.DataFrame):
        return np.broadcast_to(_spread(benchmark, values, y_true), shape)
    if _is_labelled(benchmark) and _is_labelled(y_true):
        rows, columns = locate(benchmark, y_true, "benchmark", exact=False)
        return values[rows][:, columns]
    if values.shape != shape:
        raise PanelError(
            "`benchmark` must have the shape of `y_true`, unless both have labels. Got "
            f"{np.shape(benchmark)} and {np.shape(y_true)}. Pass one forecast for "
            "each label, or a float."
        )
    return values


def as_floats(table: Any, name: str) -> np.ndarray:
    """Convert a table to a matrix of float64; a series becomes one column.

    Parameters
    ----------
    table : DataFrame, Series or array-like of one or two dimensions
        Numbers.
    name : str
        What messages call the table.

    Returns
    -------
    ndarray of shape (n_dates, n_columns), dtype float64
        May share memory with the table.

    Raises
    ------
    PanelError
        If values are no numbers, or there are not one or two dimensions.
    """
    try:
        if _is_labelled(table):
            values = table.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PanelError(
            f"`{name}` must be a table of numbers. Got {type(table).__name__} that is "
            f"none ({error}). Pass returns, with NaN where they are missing."
        ) from error
    if values.ndim not in (1, 2):
        raise PanelError(
            f"`{name}` must be a table (n_dates, n_tickers). Got {values.ndim} "
            "dimensions. Pass several horizons as columns (horizon, ticker)."
        )
    return values.reshape(len(values), -1) if values.ndim == 1 else values


def locate(
    table: Any, y_true: Any, name: str, *, exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows and columns of `y_true` in a table with labels.

    Parameters
    ----------
    table, y_true : DataFrame or Series
        Two series, or a series and a frame of one column, match whatever their names.
    name : str
        What messages call the table.
    exact : bool
        Whether the table may hold nothing else.

    Returns
    -------
    rows, columns : ndarray of intp
        Places in the table, in the order of `y_true`.

    Raises
    ------
    PanelError
        If labels are repeated, missing or, if `exact`, superfluous.
    """
    rows = _find(table.index, y_true.index, name, "dates", exact=exact)
    if isinstance(table, pd.DataFrame) and isinstance(y_true, pd.DataFrame):
        columns = _find(table.columns, y_true.columns, name, "columns", exact=exact)
        return rows, columns
    if table.shape[1:] not in ((), (1,)) or y_true.shape[1:] not in ((), (1,)):
        raise PanelError(
            f"`{name}` must have the columns of `y_true`. Got a series for one of "
            "them and a table for the other. Pass tables of the same tickers."
        )
    return rows, np.zeros(1, dtype=np.intp)


def _is_labelled(table: Any) -> bool:
    return isinstance(table, (pd.DataFrame, pd.Series))


def _find(
    have: pd.Index, want: pd.Index, name: str, what: str, *, exact: bool
) -> np.ndarray:
    """Find the labels `want` in `have`, and say what to do if they differ."""
    if have.equals(want) and want.is_unique:
        return np.arange(len(want))
    for index, owner in ((have, name), (want, "y_true")):
        if not index.is_unique:
            twice = index[index.duplicated()].unique()
            raise PanelError(
                f"`{owner}` must have different {what}. Got duplicates of "
                f"{format_tickers(twice)}. Keep one of each."
            )
    places = have.get_indexer(want) if have.nlevels == want.nlevels else None
    missing = want if places is None else want[places < 0]
    extra = have if places is None else have.difference(want, sort=False)
    if len(missing) or (exact and len(extra)):
        parts = [
            f"{len(labels)} of {len(index)} {what} only in {owner} "
            f"({format_tickers(labels, limit=3)})"
            for labels, index, owner in (
                (missing, want, "`y_true`"),
                (extra, have, f"`{name}`"),
            )
            if len(labels)
        ]
        axis = "index" if what == "dates" else "columns"
        raise PanelError(
            f"`{name}` must have the {what} of `y_true`. Got {' and '.join(parts)}. "
            f"Select what both have: `common = y_true.{axis}.intersection({name}."
            f"{axis})`, then `.reindex({axis}=common)` on each."
        )
    assert places is not None
    return places


def _spread(benchmark: pd.Series, values: np.ndarray, y_true: pd.DataFrame) -> Any:
    """Lay a series of benchmark forecasts along the axis that its labels name."""
    index = benchmark.index
    by_date = bool(y_true.index.isin(index).all())
    by_column = index.nlevels == y_true.columns.nlevels and bool(
        y_true.columns.isin(index).all()
    )
    if by_date == by_column:
        given = "labels of both" if by_date else "labels that cover neither"
        raise PanelError(
            "`benchmark` as a Series must be labelled by the dates or by the columns "
            f"of `y_true`. Got {given}. Pass a DataFrame with both."
        )
    wanted = y_true.index if by_date else y_true.columns
    places = _find(index, wanted, "benchmark", "labels", exact=False)
    return values[places] if by_date else values[places].T
