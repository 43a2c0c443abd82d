"""Labels and forecasts, brought to the same dates and tickers.

This module is for the other subpackages. It may change with any release.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skbatch._kernels.scores import finite_mean
from skbatch._messages import format_tickers
from skbatch.exceptions import PanelError

__all__ = ["AlignedTables", "Table", "align", "as_floats", "broadcast"]
__all__ += ["broadcast_weights", "locate"]

Table: TypeAlias = pd.DataFrame | pd.Series | ArrayLike
Scores: TypeAlias = pd.Series | pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class AlignedTables:
    """Labels and forecasts as float64, `(n_dates, n_columns)`, in the same order."""

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
        """Select the columns of one horizon after the other."""
        if not isinstance(self.columns, pd.MultiIndex):
            yield slice(None)
            return
        level = self.columns.get_level_values(0)
        for horizon in self.horizons:
            yield np.flatnonzero(level == horizon)

    def score(
        self, function: Callable[..., float], *others: np.ndarray | None
    ) -> float:
        """Average the scores of all horizons."""
        tables = (self.actual, self.forecast, *(t for t in others if t is not None))
        scores = [function(*(t[:, use] for t in tables)) for use in self.split()]
        return finite_mean(np.asarray(scores, dtype=np.float64))

    def by_date(
        self, function: Callable[[np.ndarray, np.ndarray], np.ndarray], name: str
    ) -> Scores:
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


def align(y_true: Table, y_pred: Table) -> AlignedTables:
    """Align forecasts with labels: by label if both have labels, else by position."""
    actual, forecast = as_floats(y_true, "y_true"), as_floats(y_pred, "y_pred")
    if is_labelled(y_true) and is_labelled(y_pred):
        forecast = _select(forecast, y_pred, y_true, "y_pred", exact=True)
    elif actual.shape != forecast.shape:
        raise PanelError(
            "`y_pred` must have the shape of `y_true`, unless both have labels. Got "
            f"{np.shape(y_pred)} and {np.shape(y_true)}. Forecast the dates and "
            "tickers of the labels."
        )
    labeled = next((t for t in (y_true, y_pred) if is_labelled(t)), None)
    names = labeled.columns if isinstance(labeled, pd.DataFrame) else None
    if names is not None and names.nlevels > 2:
        raise PanelError(
            "`y_true.columns` must be tickers or (horizon, ticker). Got "
            f"{names.nlevels} levels. Drop the others with `droplevel`."
        )
    index = labeled.index if isinstance(labeled, pd.DataFrame | pd.Series) else None
    return AlignedTables(actual, forecast, index, names)


def broadcast(benchmark: Table, y_true: Table) -> np.ndarray:
    """Broadcast benchmark forecasts, or a single number, to the shape of the labels."""
    shape = as_floats(y_true, "y_true").shape
    if np.ndim(benchmark) == 0:
        return np.full(shape, benchmark, dtype=np.float64)
    values = as_floats(benchmark, "benchmark")
    if isinstance(benchmark, pd.Series) and isinstance(y_true, pd.DataFrame):
        return np.broadcast_to(_spread(benchmark, values, y_true), shape)
    if is_labelled(benchmark) and is_labelled(y_true):
        return _select(values, benchmark, y_true, "benchmark", exact=False)
    if values.shape != shape:
        raise PanelError(
            "`benchmark` must have the shape of `y_true`, unless both have labels. Got "
            f"{np.shape(benchmark)} and {np.shape(y_true)}. Pass one forecast for "
            "each label, or a float."
        )
    return values


def broadcast_weights(sample_weight: Table | None, y_true: Table) -> np.ndarray | None:
    """Broadcast weights of dates, or of dates and tickers, to the labels' shape."""
    if sample_weight is None:
        return None
    name, shape = "sample_weight", as_floats(y_true, "y_true").shape
    values = as_floats(sample_weight, name)
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if len(wrong):
        raise ValueError(
            f"`sample_weight` must be finite and not negative. Got {wrong[0]:g}. Pass "
            "0 for what is to be left out, as with `.fillna(0)`."
        )
    if isinstance(sample_weight, pd.DataFrame | pd.Series) and isinstance(
        y_true, pd.DataFrame | pd.Series
    ):
        index = sample_weight.index, y_true.index
        values = values[locate(*index, name, "dates", exact=False)]
    if isinstance(y_true, pd.DataFrame) and values.shape[1] > 1:
        want, have = y_true.columns, getattr(sample_weight, "columns", None)
        tickers = want.get_level_values(-1)
        if have is None and values.shape[1] == tickers.nunique():
            have = tickers.unique()
        if have is not None:
            want = want if have.nlevels == want.nlevels else tickers
            locate(have, want.unique(), name, "columns", exact=False)
            values = values[:, have.get_indexer_for(want)]
    if len(values) != shape[0] or values.shape[1] not in (1, shape[1]):
        raise PanelError(
            "`sample_weight` must have shape (n_dates,) or (n_dates, n_tickers), like "
            f"`y_true`. Got {np.shape(sample_weight)} and {np.shape(y_true)}. Pass one "
            "weight for each date, or for each label."
        )
    return np.broadcast_to(values, shape)


def is_labelled(table: Table) -> bool:
    """Return whether a table has an index."""
    return isinstance(table, pd.DataFrame | pd.Series)


def as_floats(table: Table, name: str) -> np.ndarray:
    """Convert to a float64 matrix, which may share memory; a series is one column."""
    try:
        if isinstance(table, pd.DataFrame | pd.Series):
            values = table.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PanelError(
            f"`{name}` must be a table of numbers. Got {type(table).__name__} that is "
            f"not ({error}). Pass returns, with NaN where they are missing."
        ) from error
    if values.ndim not in (1, 2):
        raise PanelError(
            f"`{name}` must be a table (n_dates, n_tickers). Got {values.ndim} "
            "dimensions. Pass several horizons as columns (horizon, ticker)."
        )
    return values.reshape(len(values), -1) if values.ndim == 1 else values


def locate(
    have: pd.Index, want: pd.Index, name: str, what: str, *, exact: bool
) -> np.ndarray:
    """Find the labels `want` in `have`; if `exact`, nothing else may be there."""
    if have.equals(want) and want.is_unique:
        return np.arange(len(want))
    for index, owner in ((have, name), (want, "y_true")):
        if not index.is_unique:
            repeated = index[index.duplicated()].unique()
            raise PanelError(
                f"`{owner}` must have different {what}. Got duplicates of "
                f"{format_tickers(repeated)}. Keep one of each."
            )
    places = have.get_indexer(want) if have.nlevels == want.nlevels else None
    missing = want if places is None else want[places < 0]
    extra = have if places is None else have.difference(want, sort=False)
    if places is None or len(missing) or (exact and len(extra)):
        odd = [(missing, want, "`y_true`"), (extra, have, f"`{name}`")]
        differences = [
            f"{len(labels)} of {len(index)} {what} only in {owner} "
            f"({format_tickers(labels, limit=3)})"
            for labels, index, owner in odd
            if len(labels)
        ]
        axis = "index" if what == "dates" else "columns"
        raise PanelError(
            f"`{name}` must have the {what} of `y_true`. Got "
            f"{' and '.join(differences)}. Select what both have: `common = "
            f"y_true.{axis}.intersection({name}.{axis})`, then "
            f"`.reindex({axis}=common)` on each."
        )
    return places


def _select(
    values: np.ndarray, table: Table, y_true: Table, name: str, *, exact: bool
) -> np.ndarray:
    """Reorder the values of a table with labels to those of `y_true`."""
    assert isinstance(table, pd.DataFrame | pd.Series)
    assert isinstance(y_true, pd.DataFrame | pd.Series)
    rows = locate(table.index, y_true.index, name, "dates", exact=exact)
    if isinstance(table, pd.DataFrame) and isinstance(y_true, pd.DataFrame):
        columns = locate(table.columns, y_true.columns, name, "columns", exact=exact)
        return values[rows][:, columns]
    # Two series, or a series and a frame of one column, match whatever their names.
    if table.shape[1:] not in ((), (1,)) or y_true.shape[1:] not in ((), (1,)):
        raise PanelError(
            f"`{name}` must have the columns of `y_true`. Got a series for one of "
            "them and a table for the other. Pass tables of the same tickers."
        )
    return values[rows]


def _spread(
    benchmark: pd.Series, values: np.ndarray, y_true: pd.DataFrame
) -> np.ndarray:
    """Lay a series of benchmark forecasts along the axis that its labels name."""
    index = benchmark.index
    by_date = bool(y_true.index.isin(index).all())
    by_column = index.nlevels == y_true.columns.nlevels and bool(
        y_true.columns.isin(index).all()
    )
    if by_date == by_column:
        given = "labels of both" if by_date else "labels that cover neither"
        raise PanelError(
            "`benchmark` as a Series must be labeled by the dates or by the columns "
            f"of `y_true`. Got {given}. Pass a DataFrame with both."
        )
    wanted = y_true.index if by_date else y_true.columns
    places = locate(index, wanted, "benchmark", "labels", exact=False)
    return values[places] if by_date else values[places].T
