"""The tickers of a system: which there are, and which can be forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbatch._messages import date_text, format_tickers, warn_user
from skbatch.batch._batch_task import LabelWeights
from skbatch.batch._screen import reasons_of, unsound_of, without
from skbatch.exceptions import BatchWarning, HistoryWarning, PanelError
from skbatch.forecasting import Reason
from skbatch.forecasting.engine import check_weights, layout_of
from skbatch.panel import forward_returns
from skbatch.panel.engine import (
    CheckedPanel,
    InspectedPanel,
    adopt_table,
    are_among,
    inspect_marked,
    inspect_panel,
    panel_fields,
    panel_tickers,
    recorded_delay,
    recorded_horizon,
    rows_per_year,
)

# Rows before the last that show how many tickers usually have a price.
_USUAL_ROWS = 5


@dataclass(frozen=True)
class SystemRows:
    """Rows to forecast from: checked, and with 0 for the prices that are not valid."""

    panel: pd.DataFrame
    marked: pd.DataFrame


@dataclass
class SystemTickers:
    """What is known of the tickers that a system is fitted on."""

    tickers: list[str]
    columns: pd.Index
    label_columns: pd.Index
    horizon: int | tuple[int, ...]
    delay: int
    findings: pd.DataFrame
    quarantined: dict[str, Reason]
    recent: pd.DataFrame
    periods_per_year: float
    handler: Any

    @classmethod
    def of(
        cls,
        inspected: InspectedPanel,
        horizon: Any,
        delay: int,
        handler: Any,
        delisting_return: float | pd.Series | None = None,
    ) -> tuple[SystemTickers, pd.DataFrame]:
        """Set unusable tickers aside, and give the checked panel of the others."""
        whole = inspected.panel
        healthy, findings = handler.screen(inspected)
        if delisting_return is not None:
            # Their last returns are known, so models can learn from them.
            healthy = without(whole, unsound_of(findings))
        # Made for its columns and for what it refuses.
        labels = forward_returns(CheckedPanel(whole), horizon, delay)
        tickers = cls(
            panel_tickers(whole),
            whole.columns,
            labels.columns,
            recorded_horizon(labels),
            recorded_delay(labels),
            findings,
            reasons_of(findings),
            whole.iloc[-max(handler.recent, handler.max_flat) - 1 :],
            rows_per_year(whole.index),
            handler,
        )
        return tickers, healthy

    @property
    def label_index(self) -> pd.Index:
        """Tickers, or (horizon, ticker), with their names."""
        columns = self.label_columns
        return columns.rename("ticker") if columns.nlevels == 1 else columns

    def check_labels(self, y: Any) -> None:
        """Reject labels of another horizon or delay; others are not needed."""
        given = recorded_horizon(y)
        for name, own, found in (
            ("horizon", self.horizon, given),
            ("delay", self.delay, None if given is None else recorded_delay(y)),
        ):
            if found not in (None, own):
                raise ValueError(
                    f"`y` must have the {name} of the system, {own}. Got {found}. Pass "
                    "no y, or labels from forward_returns(prices, system.horizon, "
                    "system.delay)."
                )

    def check_weights(self, sample_weight: Any, index: pd.Index) -> LabelWeights | None:
        """Broadcast weights of dates, or of dates and tickers, to all labels."""
        layout = layout_of(self.label_columns, self.horizon)
        weights = check_weights(sample_weight, len(index), index, layout)
        if weights is None:
            return None
        return LabelWeights(pd.DataFrame(weights, index, self.label_columns))

    def check(self, X: Any, extractor: Any) -> SystemRows:
        """Check rows for forecasts, and give them their place in time."""
        X = adopt_table(X)
        inspected = inspect_panel(X)
        panel, marked = inspected.panel, inspected.marked()
        if not isinstance(X, pd.DataFrame):
            if panel.shape[1] != len(self.columns):
                raise self._other_columns(panel.columns)
            panel = panel.set_axis(self.columns, axis=1)
            marked = marked.set_axis(self.columns, axis=1)
            if extractor is not None:
                placed = extractor.history_.place(self.healthy(panel, extractor))
                panel = panel.set_axis(placed.index, axis=0)
                marked = marked.set_axis(placed.index, axis=0)
        is_ordered = panel.columns.equals(self.columns)
        if not is_ordered and set(panel.columns) != set(self.columns):
            raise self._other_columns(panel.columns)
        if isinstance(self.recent.index, pd.DatetimeIndex) and not isinstance(
            panel.index, pd.DatetimeIndex
        ):
            raise PanelError(
                "`X.index` must hold dates as in `fit`. Got "
                f"{panel.index[0]!r}. Pass the rows with their dates as the index."
            )
        zones = [
            getattr(index, "tz", None) for index in (panel.index, self.recent.index)
        ]
        if (zones[0] is None) != (zones[1] is None):
            raise PanelError(
                "`X.index` and the index in `fit` must both have a time zone, or both "
                f"have none. Got {zones[0]}, fitted with {zones[1]}. Convert it with "
                "`tz_localize`."
            )
        if not is_ordered:
            panel, marked = panel[self.columns], marked[self.columns]
        return SystemRows(panel, marked)

    def healthy(self, panel: pd.DataFrame, extractor: Any) -> pd.DataFrame:
        """Select the columns of the tickers that were fitted."""
        if extractor is None:
            return panel
        kept = extractor.plan_.tickers
        if len(kept) == len(self.tickers):
            return panel
        return panel.loc[:, are_among(self.columns.get_level_values(-1), kept)]

    def missing_signals(self, panel: pd.DataFrame, extractor: Any) -> dict[str, str]:
        """Find the signals that fitted tickers lack at the last row of a panel."""
        if extractor is None or not extractor.plan_.signals:
            return {}
        rows = CheckedPanel(self.healthy(panel, extractor))
        return dict(extractor.missing_signals(rows))

    def screen_new(self, rows: SystemRows) -> pd.DataFrame:
        """Judge new rows beside the last fitted ones; give what was found."""
        handler, prices = self._judge(rows)
        _, findings = handler.screen(prices)
        return findings

    def set_aside(self, rows: SystemRows) -> np.ndarray:
        """Find the labels without a forecast at each row, `(n_dates, n_labels)`."""
        handler, prices = self._judge(rows)
        aside = handler.set_aside(prices, len(rows.panel))
        places = pd.Index(panel_tickers(prices.panel)).get_indexer(
            self.label_columns.get_level_values(-1)
        )
        return aside[:, places]

    def _judge(self, rows: SystemRows) -> tuple[Any, InspectedPanel]:
        """Return who judges new rows, and these after the last fitted ones."""
        before = self.recent[self.recent.index < rows.panel.index[0]]
        handler = clone(self.handler).set_params(min_history=2)
        # The screening must see what the check dropped.
        return handler, inspect_marked(pd.concat([before, rows.marked]))

    def warn_of_rows(self, panel: pd.DataFrame) -> None:
        """Warn of rows to forecast from that are old, or end with few prices."""
        last, end = self.recent.index[-1], panel.index[-1]
        if end < last:
            warn_user(
                "`X` must end with the latest prices. Got rows up to "
                f"{date_text(end)}, but the models were fitted up to "
                f"{date_text(last)}, and may have learned from the returns that they "
                "forecast. Pass later rows, or call `forecast()` for the last fitted "
                "date.",
                HistoryWarning,
            )
        elif end > last:
            problem = self.partial_row(panel)
            if problem:
                warn_user(problem, BatchWarning)

    def partial_row(self, new: pd.DataFrame | None = None) -> str | None:
        """Warn that the last row lacks most prices, and name the row to use instead."""
        panel, n_new = self.recent, None
        if new is not None:
            panel = pd.concat([panel[panel.index < new.index[0]], new])
            n_new = len(new)
        if self.quarantined:
            names = panel.columns.get_level_values(-1)
            panel = panel.loc[:, ~are_among(names, self.quarantined)]
        return describe_partial_row(panel, n_new)

    def _other_columns(self, columns: pd.Index) -> PanelError:
        """Create the error for rows with other columns than in `fit`."""
        lacking = [c for c in self.columns if c not in columns]
        added = [c for c in columns if c not in self.columns]
        return PanelError(
            f"`X` must have the columns seen in `fit`. Got {len(lacking)} fewer "
            f"({format_tickers(lacking)}) and {len(added)} more "
            f"({format_tickers(added)}). Pass the same tickers and fields (NaN "
            "where there is no price), or fit again."
        )


def describe_partial_row(panel: pd.DataFrame, n_new: int | None = None) -> str | None:
    """Warn that the last row of a checked panel lacks most prices."""
    # `n_new` of its last rows follow those of a fit, if any does.
    n_known = np.isfinite(panel_fields(panel)["close"]).sum(axis=1)
    usual = np.median(n_known[-1 - _USUAL_ROWS : -1]) if len(n_known) > 1 else 0
    if n_known[-1] >= usual / 2:
        return None
    full = int(np.flatnonzero(n_known >= usual)[-1])
    n_after, dates = len(n_known) - 1 - full, panel.index
    advice = f"leave out what follows: `prices.iloc[:-{n_after}]`"
    if n_new is not None and n_after >= n_new:
        advice = "call `forecast()` without these rows"
    return (
        f"The last row, {date_text(dates[-1])}, has prices of {n_known[-1]} of "
        f"{len(panel_tickers(panel))} tickers, and the others have no forecast. "
        f"To forecast from {date_text(dates[full])}, which has {n_known[full]}, "
        f"{advice}."
    )
