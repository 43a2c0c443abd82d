"""The fitted rows that later rows look back on."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skbatch.exceptions import HistoryWarning, PanelError
from skbatch.feature_extraction._inputs import index_kind

__all__ = ["History", "panel_digest"]

# Rows kept beyond the look-back, so that the last rows of the fitted panel can be
# transformed on their own.
_OVERLAP = 63


def panel_digest(panel: pd.DataFrame, *, labels: bool = True) -> bytes:
    """Hash the content of a panel, with or without its index and columns."""
    values = np.ascontiguousarray(panel.to_numpy())
    digest = hashlib.blake2b(values.data, digest_size=32)
    digest.update(repr(panel.shape).encode())
    if labels:
        digest.update(repr(panel.columns.to_list()).encode())
        digest.update(repr((index_kind(panel.index), panel.index.dtype)).encode())
        digest.update(pd.util.hash_pandas_object(panel.index).to_numpy().tobytes())
    return digest.digest()


@dataclass(frozen=True)
class History:
    """Index and last rows of the fitted panel.

    Attributes
    ----------
    index : pandas.Index
        Index of all fitted rows.
    tail : DataFrame of shape (n_kept, n_columns)
        Last rows of the canonical panel.
    lookback : int
        How many rows before its own a feature reads.
    digest : bytes
        Hash of the fitted values, by which an array without dates is recognised.
    """

    index: pd.Index
    tail: pd.DataFrame
    lookback: int
    digest: bytes

    @classmethod
    def of(cls, panel: pd.DataFrame, lookback: int) -> History:
        """Keep what later rows need of a canonical panel."""
        kept = lookback + _OVERLAP if lookback else 0
        is_plain = index_kind(panel.index) == "numbers"
        return cls(
            index=panel.index,
            tail=panel.iloc[max(0, len(panel) - kept) :].copy(),
            lookback=lookback,
            digest=panel_digest(panel, labels=False) if is_plain else b"",
        )

    def place(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Give an array the index of the fitted rows, or of those that follow them."""
        if index_kind(self.index) != "numbers":
            raise PanelError(
                "`X` must be a DataFrame with dates, as in `fit`. Got an array, which "
                "does not tell its dates. Pass it as a DataFrame."
            )
        if panel_digest(panel, labels=False) == self.digest:
            return panel.set_axis(self.index, axis=0)
        step = self.index.step if isinstance(self.index, pd.RangeIndex) else 1
        first = self.index[-1] + step
        index = pd.RangeIndex(first, first + step * len(panel), step)
        return panel.set_axis(index, axis=0)

    def prepend(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """Put the fitted rows that the first rows look back on before a panel.

        Parameters
        ----------
        panel : DataFrame of shape (n_dates, n_columns)
            Canonical panel with the fitted columns.

        Returns
        -------
        panel : DataFrame of shape (n_earlier + n_dates, n_columns)
            The panel with its look-back.
        n_earlier : int
            Number of rows that were prepended.

        Warns
        -----
        HistoryWarning
            If rows between the fitted ones and the panel are missing, or fitted rows
            are needed that were not kept.
        """
        if index_kind(panel.index) != index_kind(self.index):
            raise PanelError(
                f"`X.index` must hold {index_kind(self.index)}, as in `fit`. Got "
                f"{index_kind(panel.index)}. Convert the index."
            )
        if not self.lookback:
            return panel, 0
        zone = getattr(self.index, "tz", None)
        if zone is not None:
            panel = panel.tz_convert(zone)
        earlier = self.tail[self.tail.index < panel.index[0]]
        if panel.index[0] > self.index[-1]:
            earlier = self._bridge(earlier, panel.index[0])
        else:
            self._check_kept(len(earlier), panel.index[0])
        if not len(earlier):
            return panel, 0
        earlier = earlier.iloc[-self.lookback :]
        return pd.concat([earlier, panel]), len(earlier)

    def _check_kept(self, n_kept: int, first: Any) -> None:
        """Warn if the first row looks back on fitted rows that were not kept."""
        n_fitted = int(self.index.searchsorted(first))
        if n_kept >= min(self.lookback, n_fitted):
            return
        needed = self.index[max(0, n_fitted - self.lookback)]
        warnings.warn(
            "`X` must start with the first fitted row or after the last, or bring its "
            f"look-back of {self.lookback} rows. Got rows from {first} on, of whose "
            f"look-back {n_kept} rows were kept, so that some features are NaN or of "
            f"shorter windows. Pass the rows from {needed} on.",
            HistoryWarning,
            stacklevel=5,
        )

    def _bridge(self, earlier: pd.DataFrame, first: object) -> pd.DataFrame:
        """Fill a hole after the fitted rows with missing rows, and warn."""
        last = self.index[-1]
        is_hole, missing = _hole(self.index, first, max(self.lookback, 14))
        if not is_hole:
            return earlier
        warnings.warn(
            "`X` must start with the row that follows the fitted rows. Got rows from "
            f"{first} on, the fitted rows end at {last}; the rows between count as "
            f"missing. Pass the rows after {last}, too.",
            HistoryWarning,
            stacklevel=5,
        )
        if missing is None or len(missing) >= self.lookback:
            return earlier.iloc[:0]
        filler = pd.DataFrame(np.nan, index=missing, columns=earlier.columns)
        return pd.concat([earlier, filler])


def _hole(index: pd.Index, first: Any, n_recent: int) -> tuple[bool, pd.Index | None]:
    """Tell if rows are missing after an index, and which, if that can be known."""
    ends = index.append(pd.Index([first]))
    if isinstance(index, pd.RangeIndex):
        end = int(np.ceil(first))
        missing = pd.RangeIndex(index[-1] + index.step, end, index.step)
        return len(missing) > 0, missing
    if isinstance(index, pd.DatetimeIndex):
        return _missing_days(pd.DatetimeIndex(ends), n_recent)
    if isinstance(index, pd.PeriodIndex):
        gaps = np.diff(ends.astype("int64").to_numpy())
    else:
        gaps = np.diff(ends.to_numpy(dtype=np.float64))
    return len(gaps) > 1 and gaps[-1] > gaps[:-1].max(), None


def _missing_days(
    ends: pd.DatetimeIndex, n_recent: int
) -> tuple[bool, pd.DatetimeIndex | None]:
    """Find the days before the last row on whose weekdays there should be rows.

    Holidays are allowed for: as many days in a row as once were missing before.
    """
    days = ends.tz_localize(None).to_numpy().astype("datetime64[D]")
    month_ago = ends[:-1].searchsorted(ends[-2] - pd.Timedelta(days=31))
    recent = ends[min(month_ago, max(0, len(ends) - 1 - n_recent)) : -1]
    mask = [weekday in set(recent.day_of_week) for weekday in range(7)]
    counts = np.busday_count(days[:-1] + 1, np.maximum(days[1:], days[:-1] + 1), mask)
    if counts[-1] <= counts[:-1].max(initial=0):
        return False, None
    if not recent.normalize().is_unique:
        return True, None  # several rows a day: how many are missing is not known
    between = np.arange(days[-2] + 1, days[-1])
    missing = pd.DatetimeIndex(between[np.is_busday(between, mask)])
    if ends.tz is not None:
        missing = missing.tz_localize(ends.tz, nonexistent="shift_forward")
    return True, missing.as_unit(ends.unit)
