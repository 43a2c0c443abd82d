"""Which row of a table was the newest at each row of a panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from skbatch._messages import check_int
from skbatch.exceptions import PanelError
from skbatch.panel._dates import parse_dates
from skbatch.panel._numbers import is_text

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Clock:
    """The rows of a panel as numbers, with which the times of values are compared."""

    # Microseconds of local time, which float64 holds exactly, or the numbers of an
    # index without dates.
    index: pd.Index
    rows: np.ndarray

    @classmethod
    def of(cls, index: pd.Index) -> Clock:
        """Read the rows of a panel; a period counts as its last day."""
        index = _ends(index)
        if isinstance(index, pd.DatetimeIndex):
            return cls(index, microseconds(index))
        return cls(index, index.to_numpy(dtype=np.float64))

    @property
    def has_dates(self) -> bool:
        return isinstance(self.index, pd.DatetimeIndex)

    def read(self, known: pd.Index, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Find the time of each value, and that from which rows may show it, or NaN."""
        if not self.has_dates:
            if not types.is_numeric_dtype(known.dtype):
                raise PanelError(
                    f"{what} must hold row numbers, as the index of the panel does. "
                    f"Got {known[0]!r}. Give the panel dates as its index."
                )
            numbers = known.to_numpy(dtype=np.float64, na_value=np.nan)
            return numbers, numbers
        dates = pd.DatetimeIndex(_ends(_read_dates(known)))
        times = microseconds(self._localise(dates, what))
        return times, self._visible(times)

    def _localise(self, known: pd.DatetimeIndex, what: str) -> pd.DatetimeIndex:
        """Convert times to the time zone of the panel."""
        zone: Any = getattr(self.index, "tz", None)
        if known.tz is not None and zone is None:
            raise PanelError(
                f"{what} must have no time zone, as the panel has none. Got "
                f"{known.tz}. Convert it to the local time of the exchange, such as "
                '`dt.tz_convert("America/New_York").dt.tz_localize(None)`.'
            )
        if known.tz is not None:
            return known.tz_convert(zone)
        if zone is not None and (known.normalize() != known)[known.notna()].any():
            raise PanelError(
                f"{what} with times of day must have a time zone, as the panel has "
                f"{zone}. Got none. Give it one with `dt.tz_localize`."
            )
        return known

    def _visible(self, times: np.ndarray) -> np.ndarray:
        """Delay times to the first moment at which a row may show the value."""
        # Rows without a time of day are closes, and so is a date: what has a time may
        # have come later that day. Rows with a time may come before the close.
        are_closes = (self.rows % _DAY == 0).all()
        # The remainder of whole numbers is faster; that of NaN does not matter.
        time_of_day = np.nan_to_num(times).astype(np.int64) % _DAY
        is_delayed = (time_of_day == 0) != are_closes
        return times + np.where(is_delayed, _DAY - time_of_day, 0)

    def first_rows(self, visible: np.ndarray) -> np.ndarray:
        """Find the first row at or after each time."""
        return np.searchsorted(self.rows, visible, side="left")

    def stop_rows(self, visible: np.ndarray, max_age: Any) -> np.ndarray:
        """Find the first row at which each value is too old."""
        if max_age is None:
            return np.full(len(visible), len(self.rows))
        if isinstance(max_age, int | np.integer):
            check_int(max_age, "max_age", 0, 'Pass rows, or a time such as "400D".')
            return self.first_rows(visible) + int(max_age) + 1
        if not self.has_dates:
            raise PanelError(
                "`max_age` must be a number of rows where the panel has no dates. Got "
                f"{max_age!r}. Pass an int."
            )
        try:
            age = pd.Timedelta(max_age) / pd.Timedelta("1us")
        except (ValueError, TypeError) as error:
            raise ValueError(
                '`max_age` must be a length of time such as "400D", a number of rows, '
                f"or None. Got {max_age!r}."
            ) from error
        return np.searchsorted(self.rows, visible + age, side="right")


@dataclass(frozen=True)
class Publications:
    """When each row of a table became known, whose it is, and of which period."""

    times: np.ndarray
    visible: np.ndarray
    owners: np.ndarray  # number of the ticker, -1 if unknown
    periods: np.ndarray | None = None

    @property
    def usable(self) -> np.ndarray:
        """Mark rows with a date, a ticker of the panel, and a period."""
        usable: np.ndarray = (self.owners >= 0) & ~np.isnan(self.times)
        return usable if self.periods is None else usable & ~np.isnan(self.periods)

    def in_order(self) -> np.ndarray:
        """Sort the usable rows by when they became known."""
        places = np.flatnonzero(self.usable)
        for keys in (self.periods, self.times, self.visible):
            if keys is not None and (np.diff(keys[places]) < 0).any():
                places = places[np.argsort(keys[places], kind="stable")]
        return places

    def repeated(self, places: np.ndarray) -> np.ndarray:
        """Find sorted rows of the same ticker, time and period as a later row."""
        small = np.min_scalar_type(max(1, int(self.owners.max())))
        places = places[np.argsort(self.owners[places].astype(small), kind="stable")]
        same = np.ones(max(0, len(places) - 1), dtype=bool)
        for keys in (self.owners, self.times, self.periods):
            if keys is not None:
                same &= np.diff(keys[places]) == 0
        return places[:-1][same]

    def without_past_periods(self, places: np.ndarray) -> np.ndarray:
        """Drop sorted rows of an earlier period than was known of the ticker."""
        if self.periods is None:
            return places
        periods = pd.Series(self.periods[places])
        latest = periods.groupby(self.owners[places]).cummax()
        return places[np.asarray(periods >= latest)]

    def newest(
        self, places: np.ndarray, clock: Clock, max_age: Any, lag: int, n_owners: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find which sorted row each ticker shows at each row of a panel, or -1."""
        # Also -1 where the newest row is too old: an older one would show what was
        # replaced.
        places, n_rows = self.without_past_periods(places), len(clock.rows)
        first = clock.first_rows(self.visible[places]) + lag
        stop = clock.stop_rows(self.visible[places], max_age)
        use = first < n_rows
        places, first, stop = places[use], first[use], stop[use]
        newest = np.zeros((n_rows, n_owners), dtype=np.intp)
        # Of several values that a row is the first to show, the last one stays.
        newest[first, self.owners[places]] = np.arange(1, len(places) + 1)
        np.maximum.accumulate(newest, axis=0, out=newest)
        stops, shown = np.append(n_rows, stop), np.append(-1, places)
        is_old = stops[newest] <= np.arange(n_rows)[:, None]
        return np.where(is_old, -1, shown[newest]), is_old


def microseconds(dates: pd.DatetimeIndex) -> np.ndarray:
    """Count microseconds of local time since 1970, rounded up, NaN where missing."""
    whole = dates.as_unit("us")
    numbers = whole.tz_localize(None).asi8 + np.asarray(whole < dates)
    return np.where(dates.isna(), np.nan, numbers)


def _ends(index: pd.Index) -> pd.Index:
    """Replace periods by their last days."""
    if isinstance(index, pd.PeriodIndex):
        return index.end_time.normalize()
    return index


def _read_dates(values: pd.Index) -> pd.Index:
    """Read dates, text each once."""
    if not is_text(values.dtype):
        return parse_dates(values)
    codes, found = pd.factorize(values)
    dates = parse_dates(pd.Index(found, name=values.name))
    return dates.append(pd.DatetimeIndex([pd.NaT])).take(codes)
