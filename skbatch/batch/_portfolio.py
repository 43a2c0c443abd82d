"""The tickers of a portfolio: which there are, and which can be forecast."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skbatch.exceptions import PanelError, PanelWarning, format_tickers
from skbatch.panel import check_panel, forward_returns, panel_tickers

__all__ = ["Portfolio"]


@dataclass
class Portfolio:
    """What is known of the tickers that a system is fitted on.

    Attributes
    ----------
    tickers : list of str
        All of them, in the order of the panel.
    columns : Index
        Columns of the checked panel.
    label_columns : Index
        Tickers, or (horizon, ticker).
    horizon : int or tuple of int
        Rows ahead.
    findings : DataFrame
        What was found in their prices; see :meth:`BatchErrorHandler.screen`.
    quarantined : dict of str to str
        Ticker → why it cannot be forecast.
    recent : DataFrame
        Last rows of the prices, as they were given.
    handler : BatchErrorHandler
        Who judges.
    """

    tickers: list[str]
    columns: pd.Index
    label_columns: pd.Index
    horizon: int | tuple[int, ...]
    findings: pd.DataFrame
    quarantined: dict[str, str]
    recent: pd.DataFrame
    handler: Any

    @classmethod
    def of(cls, X: Any, horizon: Any, handler: Any) -> tuple[Portfolio, pd.DataFrame]:
        """Set unusable tickers aside, and give the checked panel of the others."""
        whole = _checked(X)
        healthy, findings = handler.screen(X)
        # Made for its columns and for what it refuses.
        labels = forward_returns(whole, horizon)
        columns = labels.columns
        if columns.nlevels == 1:
            columns = columns.rename("ticker")
        portfolio = cls(
            panel_tickers(whole),
            whole.columns,
            columns,
            labels.attrs["horizon"],
            findings,
            _reasons(findings),
            (X if isinstance(X, pd.DataFrame) else whole).iloc[-handler.recent - 1 :],
            handler,
        )
        return portfolio, healthy

    def rows(self, X: Any, extractor: Any) -> pd.DataFrame:
        """Check rows for forecasts, and take the tickers that were fitted."""
        panel = _checked(X)
        if not isinstance(X, pd.DataFrame) and extractor is not None:
            healthy = self._healthy(panel.set_axis(self.columns, axis=1), extractor)
            return extractor.history_.place(healthy)
        if set(panel.columns) != set(self.columns):
            lacking = [c for c in self.columns if c not in panel.columns]
            added = [c for c in panel.columns if c not in self.columns]
            raise PanelError(
                f"`X` must have the columns seen in `fit`. Got {len(lacking)} fewer "
                f"({format_tickers(lacking)}) and {len(added)} more "
                f"({format_tickers(added)}). Pass the same tickers and fields (NaN "
                "where there is no price), or fit again."
            )
        return panel if extractor is None else self._healthy(panel, extractor)

    def screen_new(self, X: Any) -> dict[str, str]:
        """Judge new rows beside the last fitted ones: ticker → why it is unusable."""
        if not isinstance(X, pd.DataFrame):
            return {}
        before = self.recent[self.recent.index < X.index[0]]
        _, findings = self.handler.screen(pd.concat([before[X.columns], X]))
        return _reasons(findings)

    def _healthy(self, panel: pd.DataFrame, extractor: Any) -> pd.DataFrame:
        """Take the columns of the tickers that were fitted, in their order."""
        kept = set(extractor.plan_.tickers)
        chosen = self.columns[self.columns.get_level_values(-1).isin(kept)]
        return panel if chosen.equals(panel.columns) else panel[chosen]


def _checked(X: Any) -> pd.DataFrame:
    """Check a panel; what is wrong with single tickers is told by the screening."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PanelWarning)
        return check_panel(X)


def _reasons(findings: pd.DataFrame) -> dict[str, str]:
    """Say why tickers were set aside, by the first finding of each."""
    grave = findings[findings["action"] == "quarantined"]
    grave = grave[~grave.index.duplicated()]
    return {
        str(ticker): f"quarantined ({rule}): {detail}"
        for ticker, rule, detail in zip(
            grave.index, grave["rule"], grave["detail"], strict=True
        )
    }
