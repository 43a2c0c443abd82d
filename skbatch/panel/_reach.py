"""How far labels look ahead, and whether they still are those labels."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd

from skbatch.exceptions import PanelError

# Labels kept with a horizon: so many cells, in some rows at least and at most.
_CELLS, _FEWEST_ROWS, _MOST_ROWS = 2**16, 32, 256


class KeptWhole:
    """What goes with a table in its `attrs`."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Whenever a frame is sliced, pandas copies its `attrs`.
        return self


class RecordedHorizon(KeptWhole, int):
    """A number of rows that knows some of the labels it was recorded with."""

    delay: int
    index: pd.Index
    sample: pd.DataFrame

    def __new__(
        cls, horizon: int, delay: int, index: pd.Index, sample: pd.DataFrame
    ) -> RecordedHorizon:
        self = super().__new__(cls, horizon)
        self.delay, self.index, self.sample = delay, index, sample
        return self

    @classmethod
    def of(cls, horizon: int, delay: int, labels: pd.DataFrame) -> RecordedHorizon:
        """Keep some rows of labels of one horizon."""
        most = _CELLS // max(1, labels.shape[1])
        n_rows = min(max(most, _FEWEST_ROWS), _MOST_ROWS)
        last = len(labels) - 1 - horizon - delay
        rows = np.unique(np.linspace(0, last, n_rows).astype(int))
        values = labels.to_numpy()[rows].astype(np.float32)
        sample = pd.DataFrame(values, labels.index[rows], labels.columns, copy=False)
        return cls(horizon, int(delay), labels.index, sample)

    def __copy__(self) -> RecordedHorizon:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (int(self), self.delay, self.index, self.sample)

    def is_kept(self, labels: pd.DataFrame) -> bool:
        """Return whether labels still end where they did, as far as can be seen."""
        index = labels.index
        if not (index.is_unique and labels.columns.is_unique and len(index)):
            return True
        if _kind(index) != _kind(self.index):
            return True
        added = self.index.get_indexer(index) < 0
        added &= np.asarray((index > self.index[0]) & (index < self.index[-1]))
        if labels.iloc[np.flatnonzero(added)].notna().any(axis=None):
            return False  # rows put between others, such as days into weeks
        rows = index.get_indexer(self.sample.index)
        columns = labels.columns.get_indexer(self.sample.columns)
        known = self.sample.to_numpy()[np.ix_(rows >= 0, columns >= 0)]
        given = labels.iloc[rows[rows >= 0], columns[columns >= 0]].to_numpy(np.float32)
        return _same_rows(known.astype(np.float64), given.astype(np.float64))


def recorded_horizon(y: Any) -> Any:
    """Read the horizon that labels record, and check that it still is theirs."""
    # Rows and columns may be left out, and labels changed within a date, or a ticker,
    # as long as that keeps their order: clipped, ranked, demeaned, scaled.
    recorded = getattr(y, "attrs", {}).get("horizon")
    if recorded is None:
        return None
    horizons = _as_list(recorded)
    for horizon in horizons:
        if isinstance(horizon, RecordedHorizon):
            labels = _labels_of(y, horizon, len(horizons))
            if labels is not None and not horizon.is_kept(labels):
                raise PanelError(
                    f"y must hold the returns that its horizon, {horizon}, was "
                    "recorded for. Got labels that have been shifted, summed or "
                    "otherwise changed since, so that they may look further ahead. "
                    "Pass labels from forward_returns; or, if each ends at most h rows "
                    'after its date, `del y.attrs["horizon"]` and pass horizon=h.'
                )
    plain = tuple(int(h) if isinstance(h, RecordedHorizon) else h for h in horizons)
    return plain if np.ndim(recorded) else plain[0]


def recorded_delay(y: Any) -> int:
    """Read the delay that labels record; 0 if there is none."""
    attrs = getattr(y, "attrs", {})
    made_with = {
        horizon.delay
        for horizon in _as_list(attrs.get("horizon"))
        if isinstance(horizon, RecordedHorizon)
    }
    delay = attrs.get("delay", max(made_with, default=0))
    whole = isinstance(delay, Integral) and not isinstance(delay, bool)
    if not whole or delay < 0 or made_with - {delay}:
        made = f", and {max(made_with)} for these labels" if made_with else ""
        raise ValueError(
            f"y.attrs['delay'] must be an int of at least 0{made}. Got {delay!r}. Pass "
            "labels from forward_returns(prices, horizon, delay)."
        )
    return int(delay)


def recorded_reach(y: Any) -> int:
    """Return how many rows after its date the latest of recorded labels ends."""
    horizon = recorded_horizon(y)
    return int(np.max(0 if horizon is None else horizon)) + recorded_delay(y)


def _as_list(recorded: Any) -> list[Any]:
    """Return the horizons that are recorded, one or several."""
    return list(recorded) if np.ndim(recorded) else [recorded]


def _labels_of(y: Any, horizon: int, n_horizons: int) -> Any:
    """Select the labels of a horizon, with tickers as columns."""
    labels = y.to_frame() if isinstance(y, pd.Series) else y
    if labels.columns.nlevels > 1:
        return (
            labels[horizon] if horizon in labels.columns.get_level_values(0) else None
        )
    # Which one of several horizons is left cannot be seen.
    return labels if n_horizons == 1 else None


def _kind(index: pd.Index) -> Any:
    """Return what can be compared: dates of a time zone, periods, or numbers."""
    if isinstance(index, pd.DatetimeIndex):
        return str(index.tz)
    return "number" if pd.api.types.is_numeric_dtype(index.dtype) else index.dtype


def _same_rows(known: np.ndarray, given: np.ndarray) -> bool:
    """Return whether labels could have been computed from those of the same cells."""
    both = np.isfinite(known) & np.isfinite(given)
    telling = both & ((known != 0) | (given != 0))
    if not telling.any():
        return True
    close = np.isclose(given, known, rtol=1e-3, atol=1e-7) & telling
    changed = close.sum(axis=0) < 0.5 * telling.sum(axis=0)
    if close.sum() >= 0.5 * telling.sum():
        if not changed.any():
            return True  # all but some, which are winsorized
    else:
        changed[:] = True
    known, given = np.where(both, known, np.nan), np.where(both, given, np.nan)
    orders = [_compare(known, given), _compare(known.T[changed], given.T[changed])]
    told = [order for order in orders if order[0]]
    return not told or any(against == 0 for _, against in told)


def _compare(known: np.ndarray, given: np.ndarray) -> tuple[int, int]:
    """Count the neighbors in the order of each row, and those in another order."""
    order = np.argsort(known, axis=1, kind="stable")
    steps = np.diff(np.take_along_axis(known, order, axis=1), axis=1)
    moves = np.diff(np.take_along_axis(given, order, axis=1), axis=1)
    apart = steps > 1e-6 * np.nanmax(np.abs(known))
    against = apart & (moves < -1e-6 * np.nanmax(np.abs(given)))
    return int(apart.sum()), int(against.sum())
