"""What is wrong with tables of signals that are joined to a panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skbatch._messages import count, date_text, format_tickers, warn_user
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel._as_of import Clock
from skbatch.panel._fields import panel_fields, panel_tickers

# Tickers without a price in as many last rows have left.
_RECENT = 5
# A table has ended if nothing came for so many times its longest interval.
_INTERVALS = 2


class JoinReport:
    """Collects what is wrong with tables, for one warning."""

    def __init__(self, panel: pd.DataFrame, clock: Clock) -> None:
        self.problems: list[str] = []
        self.clock = clock
        self.tickers = panel_tickers(panel)
        has_price = np.isfinite(panel_fields(panel)["close"])
        self.first_price = has_price.argmax(axis=0)
        self.is_traded = has_price[-_RECENT:].any(axis=0)

    def warn(self, others: Sequence[str]) -> None:
        """Warn once of all problems."""
        problems = list(others)
        if self.problems:
            problems.append(
                "Signals must be recent values of the panel's tickers. Got "
                f"{'; '.join(self.problems)}. Correct the tables, or ignore this "
                "warning if all of this is meant."
            )
        if problems:
            warn_user(" ".join(problems), PanelWarning)

    def unknown(self, what: str, names: Sequence[object], n_known: int) -> None:
        """Report tickers that the panel lacks; it is an error if no other is left."""
        if not n_known:
            raise PanelError(
                f"{what} must have tickers of the panel. Got {format_tickers(names)}, "
                f"none of which is among {format_tickers(self.tickers)}. Spell them "
                "as in the prices."
            )
        if names:
            self.problems.append(
                f"{count(len(names))} in {what} that the prices lack "
                f"({format_tickers(names)})"
            )

    def missing(self, what: str, n_missing: int, parts: str) -> None:
        """Report rows that cannot be used."""
        if n_missing:
            self.problems.append(
                f"{count(n_missing, 'row')} of {what} without {parts}, which cannot be "
                "used"
            )

    def repeated(self, what: str, n_rows: int, example: str) -> None:
        """Report rows of which a later one has the same ticker and date."""
        if n_rows:
            self.problems.append(
                f"{count(n_rows, 'row')} of {what} that are repeated, such as "
                f"{example}, of which the last is used"
            )

    def early(self, what: str, visible: np.ndarray, owners: np.ndarray) -> None:
        """Report values from before the first price of a ticker within the panel."""
        first = self.clock.rows[self.first_price[owners]]
        is_early = (visible >= self.clock.rows[0]) & (visible < first)
        if is_early.any():
            names = [self.tickers[n] for n in np.unique(owners[is_early])]
            self.problems.append(
                f"{count(is_early.sum(), 'value')} of {what} known before the first "
                f"price of the ticker ({format_tickers(names)})"
            )

    def same_day(self, what: str, period: str) -> None:
        """Report values that are known on the day on which their period ends."""
        self.problems.append(
            f"most dates of {what} on the very day in {period!r}, so that they may be "
            "ends of periods instead of publications, which come weeks later"
        )

    def old(self, what: str, visible: np.ndarray, is_old: np.ndarray) -> None:
        """Report tickers whose values are too old, or else a table that has ended."""
        names = [self.tickers[n] for n in np.flatnonzero(is_old & self.is_traded)]
        if names:
            self.problems.append(
                f"values of {what} older than `max_age` at the last row for "
                f"{count(len(names))} ({format_tickers(names)})"
            )
            return
        times = np.unique(visible[visible <= self.clock.rows[-1]])
        if len(times) < 3:
            return
        age = self.clock.rows[-1] - times[-1]
        n_after = len(self.clock.rows) - int(self.clock.first_rows(times[-1:])[0])
        if n_after > _RECENT and age > _INTERVALS * np.diff(times).max():
            last = self.clock.index[len(self.clock.rows) - n_after]
            self.problems.append(
                f"no value of {what} known after {date_text(last)}, {n_after - 1} rows "
                "before the last"
            )
