"""The fitted rows that later rows look back on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd

from skbatch._messages import count, date_text, format_tickers, warn_user
from skbatch.exceptions import HistoryWarning, PanelError
from skbatch.feature_extraction._additions import index_kind
from skbatch.feature_extraction._steps import Steps

# Rows kept beyond the lookback, so that the last rows of the fitted panel can be
# transformed on their own.
_OVERLAP = 63


def _digest(panel: pd.DataFrame) -> str:
    return str(joblib.hash(np.ascontiguousarray(panel.to_numpy())))


@dataclass(frozen=True)
class History:
    """Index and last rows of the fitted panel."""

    index: pd.Index
    tail: pd.DataFrame  # last rows of the checked panel
    lookback: int  # how many rows before its own a feature reads
    steps: Steps
    digest: str  # of the values, by which an array without dates is recognized

    @classmethod
    def of(cls, panel: pd.DataFrame, lookback: int) -> History:
        """Keep what later rows need of a canonical panel."""
        kept = lookback + _OVERLAP if lookback else 0
        is_plain = index_kind(panel.index) == "numbers"
        return cls(
            index=panel.index,
            tail=panel.iloc[max(0, len(panel) - kept) :].copy(),
            lookback=lookback,
            steps=Steps.of(panel.index, max(lookback, 14)),
            digest=_digest(panel) if is_plain else "",
        )

    def place(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Find the index of an array: that of the fitted rows, or what follows."""
        if index_kind(self.index) != "numbers":
            raise PanelError(
                "`X` must be a DataFrame with dates, as in `fit`. Got an array, which "
                "does not carry its dates. Pass it as a DataFrame."
            )
        if _digest(panel) == self.digest:
            return panel.set_axis(self.index, axis=0)
        if self._ends_with(panel.to_numpy()):
            return panel.set_axis(self.index[-len(panel) :], axis=0)
        step = self.index.step if isinstance(self.index, pd.RangeIndex) else 1
        first = self.index[-1] + step
        index = pd.RangeIndex(first, first + step * len(panel), step)
        return panel.set_axis(index, axis=0)

    def _ends_with(self, values: np.ndarray) -> bool:
        """Check for an array of the last fitted rows, as far as they are kept."""
        n_common = min(len(values), len(self.tail))
        if not n_common or len(values) > len(self.index):
            return False
        last, kept = values[-n_common:], self.tail.to_numpy()[-n_common:]
        return bool(
            np.isfinite(last).any() and np.array_equal(last, kept, equal_nan=True)
        )

    def complete(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        """Fill holes of the fitted panel with missing rows, and find its own rows."""
        if self.lookback:
            is_hole = self.steps.lengths(panel.index) > self.steps.limit
            filled = self._fill(panel, is_hole)
            return filled, filled.index.get_indexer(panel.index)
        return panel, np.arange(len(panel))

    def is_whole(self, later: pd.Index) -> bool:
        """Check that no row is missing, so that the fitted rows could end anywhere."""
        if not self.lookback:
            return True
        is_hole = self.steps.lengths(self.index) > self.steps.limit
        rows = self.index.append(later)
        return not (is_hole.any() or self._holes(rows, self.index[-1]).any())

    def warn_holes(self) -> None:
        """Warn if the fitted rows have holes."""
        is_hole = self.steps.lengths(self.index) > self.steps.limit
        if not self.lookback or not is_hole.any():
            return
        first = int(is_hole.argmax())
        before, after = map(date_text, self.index[first : first + 2])
        warn_user(
            f"`X` must hold every row. Got {count(is_hole.sum(), 'gap')}, the first "
            f"between {before} and {after}; the rows in a gap count as missing. Pass "
            "them, too.",
            HistoryWarning,
        )

    def prepend(self, panel: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        """Add rows that features look back on, and find the places of a panel's own."""
        if index_kind(panel.index) != index_kind(self.index):
            raise PanelError(
                f"`X.index` must hold {index_kind(self.index)}, as in `fit`. Got "
                f"{index_kind(panel.index)}. Convert the index."
            )
        if not self.lookback:
            return panel, np.arange(len(panel))
        panel, fitted, tail = self._align(panel)
        rows, first = panel.index, panel.index[0]
        earlier = tail[tail.index < first]
        inside = self._skipped(rows, fitted)
        if len(inside):
            self._warn_skipped(len(inside), first)
            panel = panel.reindex(rows.union(inside))
            known = tail.index.intersection(inside)
            panel.loc[known] = tail.loc[known]
        elif first <= fitted[-1]:
            self._check_kept(len(earlier), first)
        earlier = self._bridge(earlier, panel, fitted, warn=not len(inside))
        joined = pd.concat([earlier, panel]) if len(earlier) else panel
        filled = self._fill(joined, self._holes(joined.index, fitted[-1]))
        start = max(
            0, int(filled.index.get_indexer(panel.index[:1])[0]) - self.lookback
        )
        filled = filled.iloc[start:]
        return filled, filled.index.get_indexer(rows)

    def _align(
        self, panel: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.Index, pd.DataFrame]:
        """Convert dates to the time zone of the fitted ones and one resolution."""
        fitted, tail = self.index, self.tail
        if not isinstance(fitted, pd.DatetimeIndex):
            return panel, fitted, tail
        if fitted.tz is not None:
            panel = panel.tz_convert(fitted.tz)
        rows = pd.DatetimeIndex(panel.index)
        unit = max(fitted.unit, rows.unit, key=["s", "ms", "us", "ns"].index)
        panel = panel.set_axis(rows.as_unit(unit), axis=0)
        tail = tail.set_axis(pd.DatetimeIndex(tail.index).as_unit(unit), axis=0)
        return panel, fitted.as_unit(unit), tail

    def _skipped(self, rows: pd.Index, fitted: pd.Index) -> pd.Index:
        """List the fitted rows after the first row that a panel lacks."""
        start, stop = fitted.searchsorted(rows[0]), fitted.searchsorted(rows[-1])
        between = fitted[start:stop]
        n_inside = int(rows.searchsorted(fitted[-1], side="right"))
        n_known = int(rows[:n_inside].isin(fitted).sum())
        if 2 * n_known < n_inside:
            return between[:0]  # other rows than the fitted ones
        return between[~between.isin(rows)]

    def _warn_skipped(self, n_skipped: int, first: Any) -> None:
        """Warn about fitted rows that are not passed."""
        warn_user(
            "`X` must hold every row from its first on. Got rows from "
            f"{date_text(first)} on that skip {count(n_skipped, 'fitted row')}, which "
            "count as missing where they were not kept. Pass all rows, and select "
            "from the result, such as `model.predict(prices).iloc[::21]`.",
            HistoryWarning,
        )

    def _check_kept(self, n_kept: int, first: Any) -> None:
        """Warn if the first row looks back on fitted rows that were not kept."""
        n_fitted = int(self.index.searchsorted(first))
        if n_kept >= min(self.lookback, n_fitted):
            return
        needed = self.index[max(0, n_fitted - self.lookback)]
        warn_user(
            "`X` must start with the first fitted row, start after the last one, or "
            f"include a lookback of {self.lookback} rows. Got rows from "
            f"{date_text(first)} on, with only {count(n_kept, 'row')} kept of that "
            "lookback, so some features are NaN or use shorter windows. Pass the rows "
            f"from {date_text(needed)} on.",
            HistoryWarning,
        )

    def _bridge(
        self,
        earlier: pd.DataFrame,
        panel: pd.DataFrame,
        fitted: pd.Index,
        *,
        warn: bool,
    ) -> pd.DataFrame:
        """Warn of holes after the fitted rows; beyond the lookback, drop those."""
        last = fitted[-1]
        later = panel.index[panel.index > last]
        if not len(later):
            return earlier
        chain = fitted[-1:].append(later)
        is_hole = self._holes(chain, last)
        if not is_hole.any():
            if warn:
                self._warn_missed(chain[:2])
            return earlier
        if warn:
            number = int(is_hole.argmax())
            warn_user(
                "`X` must hold every row that follows the fitted rows, which end at "
                f"{date_text(last)}. Got {count(is_hole.sum(), 'gap')}, the first "
                f"before {date_text(later[number])}; the rows in a gap count as "
                f"missing. Pass the rows after {date_text(chain[number])}, too.",
                HistoryWarning,
            )
        missing = self.steps.missing(chain[:1], chain[1:2])
        is_far = missing is None or len(missing) >= self.lookback
        if is_hole[0] and is_far and panel.index[0] > last:
            return earlier.iloc[:0]
        return earlier

    def _warn_missed(self, seam: pd.Index) -> None:
        """Warn of days after the last fitted one that were no holidays before."""
        # They do not count as missing: if the exchange was closed, there is no row.
        missed = self.steps.missed_days(self.index, seam)
        if len(missed):
            last = date_text(seam[0])
            warn_user(
                "`X` must hold every row that follows the fitted rows. Got "
                f"{date_text(seam[1])} after {last}, without "
                f"{format_tickers(missed)}, when the market was open in earlier years. "
                f"Pass the rows after {last}, too, unless the market was closed.",
                HistoryWarning,
            )

    def _holes(self, index: pd.Index, last: Any) -> np.ndarray:
        """Find steps that skip rows; `last` is the last fitted row."""
        lengths = self.steps.lengths(index)
        is_hole = lengths > self.steps.limit
        before, after = index[:-1], index[1:]
        seam = np.asarray((before == last) & (after > last))
        is_hole |= seam & (lengths > self.steps.largest)
        later = np.asarray(before > last)
        is_hole[later] |= self.steps.thinned(lengths[later])
        return is_hole

    def _fill(self, panel: pd.DataFrame, is_hole: np.ndarray) -> pd.DataFrame:
        """Insert missing rows into the holes of a panel."""
        fillers = [
            self.steps.fillers(
                panel.index[number : number + 1],
                panel.index[number + 1 : number + 2],
                self.lookback,
            )
            for number in np.flatnonzero(is_hole)
        ]
        if not fillers:
            return panel
        return panel.reindex(panel.index.append(fillers).sort_values())
