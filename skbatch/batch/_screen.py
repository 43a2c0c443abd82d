"""Which tickers' prices cannot be forecast, at the end or at each date, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bottleneck as bn
import numpy as np
import pandas as pd

from skbatch._messages import count, date_text
from skbatch.forecasting import Reason
from skbatch.panel.engine import (
    InspectedPanel,
    are_among,
    inspect_panel,
    panel_fields,
    panel_tickers,
)

# In the order in which the reason for a quarantine is chosen.
RULES = ("empty", "short", "stale", "invalid", "constant", "duplicate", "jump")
NOTED, QUARANTINED = "noted", "quarantined"
# Rules that find prices that ended or stopped changing.
STALE = ("stale", "constant")


@dataclass(frozen=True)
class ScreeningRules:
    """What makes a ticker's prices unusable."""

    recent: int = 252
    min_history: int = 21
    max_stale: int = 5
    max_flat: int = 21
    max_jump: float = 8.0
    max_invalid_share: float = 0.01


@dataclass(frozen=True)
class Finding:
    """What is wrong with one ticker."""

    ticker: int
    rule: str
    action: str
    detail: str


def screen(prices: Any, rules: ScreeningRules) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set tickers aside whose prices cannot be forecast."""
    # Guides and messages name the `RULES`; BatchErrorHandler sets their limits.
    if not isinstance(prices, InspectedPanel):
        prices = inspect_panel(prices)
    frame, mask, panel = prices.values, prices.invalid, prices.panel
    closes = _Closes.of(panel, rules)
    tickers = closes.tickers
    invalid = list(_find_invalid(frame, mask, tickers, rules))
    unsound = {f.ticker for f in invalid if f.action == QUARANTINED}
    found = [
        *invalid,
        *_find_empty(closes),
        *_find_short(closes),
        *_find_stale(closes),
        *_find_constant(closes),
        *_find_duplicates(closes, unsound),
        *_find_jumps(closes),
    ]
    found.sort(key=lambda f: (f.ticker, RULES.index(f.rule)))
    findings = pd.DataFrame(
        [(f.rule, f.action, f.detail) for f in found],
        index=pd.Index([tickers[f.ticker] for f in found], name="ticker", dtype=str),
        columns=["rule", "action", "detail"],
        dtype=str,
    )
    bad = findings.index[findings["action"] == QUARANTINED]
    return without(panel, bad), findings


def without(panel: pd.DataFrame, tickers: pd.Index) -> pd.DataFrame:
    """Drop tickers; a panel that keeps all is returned itself."""
    if not len(tickers):
        return panel
    return panel.loc[:, ~are_among(panel.columns.get_level_values(-1), tickers)]


@dataclass(frozen=True)
class _Closes:
    """Closes to be screened, and what several rules ask of them."""

    values: np.ndarray
    known: np.ndarray
    first: np.ndarray
    last: np.ndarray
    n_known: np.ndarray
    index: pd.Index
    tickers: list[str]
    rules: ScreeningRules

    @classmethod
    def of(cls, panel: pd.DataFrame, rules: ScreeningRules) -> _Closes:
        """Look up the closes of a panel; without any, first and last mean nothing."""
        values = panel_fields(panel)["close"]
        known = np.isfinite(values)
        first = known.argmax(axis=0)
        last = len(known) - 1 - known[::-1].argmax(axis=0)
        n_known = known.sum(axis=0)
        tickers = panel_tickers(panel)
        return cls(values, known, first, last, n_known, panel.index, tickers, rules)

    def at(self, row: int, ticker: int) -> str:
        """Describe a close and its date."""
        return f"{self.values[row, ticker]:g} {_at(self.index, row)}"

    def first_of(self, ticker: int) -> str:
        """Describe a ticker's first close and its date."""
        return self.at(int(self.first[ticker]), ticker)

    def last_of(self, ticker: int) -> str:
        """Describe a ticker's last close and its date."""
        return self.at(int(self.last[ticker]), ticker)


def _at(index: pd.Index, row: int) -> str:
    """Format the label of a row, a date without the time if it has none."""
    if pd.api.types.is_numeric_dtype(index.dtype):
        return f"at {index[row]}"
    return f"on {date_text(index[row])}"


def _ends(told: Sequence[str]) -> str:
    """Describe the first and the last finding."""
    if len(told) == 1:
        return told[0]
    return f"the first {told[0]}, the last {told[-1]}"


def _find_empty(closes: _Closes) -> Iterator[Finding]:
    """Find tickers without any close."""
    for ticker in np.flatnonzero(closes.n_known == 0).tolist():
        detail = f"no usable price in {count(len(closes.values), 'row')}"
        yield Finding(ticker, "empty", QUARANTINED, detail)


def _find_short(closes: _Closes) -> Iterator[Finding]:
    """Find tickers with few closes."""
    least, n_known = closes.rules.min_history, closes.n_known
    for ticker in np.flatnonzero((n_known > 0) & (n_known < least)).tolist():
        detail = (
            f"{count(n_known[ticker], 'price')}, fewer than {least}, the first "
            f"{closes.first_of(ticker)}"
        )
        yield Finding(ticker, "short", QUARANTINED, detail)


def _find_stale(closes: _Closes) -> Iterator[Finding]:
    """Find tickers whose closes ended some time ago."""
    age, most = len(closes.values) - 1 - closes.last, closes.rules.max_stale
    for ticker in np.flatnonzero((closes.n_known > 0) & (age > most)).tolist():
        detail = (
            f"no price in the last {count(age[ticker], 'row')}, more than {most}, the "
            f"last {closes.last_of(ticker)}"
        )
        yield Finding(ticker, "stale", QUARANTINED, detail)


def _find_constant(closes: _Closes) -> Iterator[Finding]:
    """Find tickers whose closes have stopped to move, or never did."""
    values, known = closes.values, closes.known
    moved = known & (values != values[closes.last, np.arange(values.shape[1])])
    end = np.where(moved.any(axis=0), len(moved) - moved[::-1].argmax(axis=0), 0)
    flat = known & (np.arange(len(known))[:, None] >= end)
    n_flat = flat.sum(axis=0)
    least = np.minimum(closes.rules.max_flat, np.maximum(closes.n_known, 2))
    for ticker in np.flatnonzero(n_flat >= least).tolist():
        since = closes.at(int(flat[:, ticker].argmax()), ticker)
        detail = f"the last {n_flat[ticker]} prices are all the same, since {since}"
        yield Finding(ticker, "constant", QUARANTINED, detail)


def _find_duplicates(closes: _Closes, unsound: set[int]) -> Iterator[Finding]:
    """Find tickers with the closes of another one."""
    same: dict[bytes, list[int]] = {}
    long = np.flatnonzero(closes.n_known >= closes.rules.min_history)
    # Few share their last price with another, whose other prices need comparing.
    last = closes.values[closes.last[long], long]
    _, place, number = np.unique(last, return_inverse=True, return_counts=True)
    shared = long[number[place] > 1]
    columns = np.where(closes.known[:, shared], closes.values[:, shared], 0.0).T
    for ticker, column in zip(shared.tolist(), columns, strict=True):
        same.setdefault(column.tobytes(), []).append(ticker)
    for group in same.values():
        kept = next((ticker for ticker in group if ticker not in unsound), group[0])
        for ticker in group:
            if ticker != kept:
                detail = (
                    f"the same {closes.n_known[ticker]} prices as "
                    f"{closes.tickers[kept]}, the first {closes.first_of(ticker)}"
                )
                yield Finding(ticker, "duplicate", QUARANTINED, detail)


def _find_jumps(closes: _Closes) -> Iterator[Finding]:
    """Find closes that are not believed after the one before."""
    before = bn.push(closes.values, axis=0)[:-1]
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = closes.values[1:] / before
    limit = closes.rules.max_jump
    jumps = (ratio > limit) | (ratio < 1 / limit)
    for ticker in np.flatnonzero(jumps.any(axis=0)).tolist():
        rows = 1 + np.flatnonzero(jumps[:, ticker])
        recent = rows[-1] >= len(closes.values) - closes.rules.recent
        told = [
            f"from {before[row - 1, ticker]:g} to {closes.at(row, ticker)}"
            for row in rows[[0, -1][: len(rows)]]
        ]
        detail = (
            f"{count(len(rows), 'change')} beyond a factor of {limit:g}, {_ends(told)}"
        )
        yield Finding(ticker, "jump", QUARANTINED if recent else NOTED, detail)


def _find_invalid(
    frame: pd.DataFrame,
    invalid: pd.DataFrame,
    tickers: list[str],
    rules: ScreeningRules,
) -> Iterator[Finding]:
    """Find prices that are not positive or infinite, before they are dropped."""
    fields, names = field_names(frame.columns), frame.columns.get_level_values(-1)
    values, mask, is_price = frame.to_numpy(), invalid.to_numpy(), fields != "Volume"
    wrong = np.flatnonzero(mask.any(axis=0) & is_price)
    for name in names[wrong].unique():
        columns = np.flatnonzero((names == name) & is_price)
        cells = np.argwhere(mask[:, columns])
        n_prices = int((~np.isnan(values[:, columns])).sum())
        recent = cells[-1, 0] >= len(values) - rules.recent
        many = len(cells) > rules.max_invalid_share * n_prices
        told = [
            f"{fields[columns[place]]} {values[row, columns[place]]:g} "
            f"{_at(frame.index, row)}"
            for row, place in cells[[0, -1][: len(cells)]]
        ]
        detail = (
            f"{len(cells)} of {n_prices} prices not positive and finite, {_ends(told)}"
        )
        action = QUARANTINED if recent or many else NOTED
        yield Finding(tickers.index(name), "invalid", action, detail)


def field_names(columns: pd.Index) -> np.ndarray:
    """Name the field of each column."""
    if columns.nlevels == 1:
        return np.full(len(columns), "Close", dtype=object)
    return np.asarray(columns.get_level_values("field"), dtype=object)


def reasons_of(findings: pd.DataFrame) -> dict[str, Reason]:
    """Find why tickers were set aside, by the first finding of each."""
    grave = _first_of_each(findings[findings["action"] == QUARANTINED])
    return {
        str(ticker): Reason("quarantined", details=(("rule", rule), ("detail", detail)))
        for ticker, rule, detail in zip(
            grave.index, grave["rule"], grave["detail"], strict=True
        )
    }


def unsound_of(findings: pd.DataFrame) -> pd.Index:
    """Find tickers that were set aside for more than that their prices ended."""
    grave = findings[findings["action"] == QUARANTINED]
    return grave.index[grave["rule"] != "stale"].unique()


def stale_of(findings: pd.DataFrame) -> dict[str, str]:
    """Describe tickers whose prices ended or are constant, and since when."""
    stale = _first_of_each(findings[findings["rule"].isin(STALE)])
    return {str(ticker): str(detail) for ticker, detail in stale["detail"].items()}


def _first_of_each(findings: pd.DataFrame) -> pd.DataFrame:
    """Select the first finding of each ticker."""
    return findings[~findings.index.duplicated()]


def set_aside(prices: InspectedPanel, rules: ScreeningRules, n_rows: int) -> np.ndarray:
    """Return who is set aside by the rows up to each of the last `n_rows`."""
    closes = panel_fields(prices.panel)["close"]
    known = np.isfinite(closes)
    rows = np.arange(len(closes), dtype=np.int32)[:, None]
    n_known = known.cumsum(axis=0, dtype=np.int32)
    invalid = _invalid_by_row(prices, rules, rows)
    aside = (
        (n_known < rules.min_history)
        | (rows - _latest(known) > rules.max_stale)
        | invalid
        | _constant_by_row(closes, n_known, rules)
        | _recent(_jumps_by_row(closes, rules), rules, rows)
    )
    candidates = n_known >= rules.min_history
    first = len(closes) - n_rows
    for row, group in _same_prices(np.where(known, closes, 0.0), first):
        group = group[candidates[row, group]]
        if len(group):
            # The first whose prices are valid is kept, or the first.
            aside[row, np.delete(group, invalid[row, group].argmin())] = True
    return aside[first:]


def _latest(marked: np.ndarray) -> np.ndarray:
    """Row of the latest mark up to each row; -1 before the first."""
    rows = np.arange(len(marked), dtype=np.int32)[:, None]
    return np.maximum.accumulate(np.where(marked, rows, np.int32(-1)), axis=0)


def _recent(marked: np.ndarray, rules: ScreeningRules, rows: np.ndarray) -> np.ndarray:
    """Whether there is a mark among the `recent` rows up to each."""
    latest = _latest(marked)
    return (latest >= 0) & (latest > rows - rules.recent)


def _invalid_by_row(
    prices: InspectedPanel, rules: ScreeningRules, rows: np.ndarray
) -> np.ndarray:
    """Find tickers with recent, or many, prices that can be none."""
    mask, values = prices.invalid.to_numpy(), prices.values.to_numpy()
    tickers, columns = pd.Index(panel_tickers(prices.panel)), prices.values.columns
    if not mask.any():
        return np.zeros((len(values), len(tickers)), dtype=bool)
    places = tickers.get_indexer(columns.get_level_values(-1))
    wrong, given = np.zeros((2, len(values), len(tickers)), dtype=int)
    fields = field_names(columns)
    for field in set(fields) - {"Volume"}:
        use = np.flatnonzero(fields == field)
        wrong[:, places[use]] += mask[:, use]
        given[:, places[use]] += ~np.isnan(values[:, use])
    many = wrong.cumsum(axis=0) > rules.max_invalid_share * given.cumsum(axis=0)
    return _recent(wrong > 0, rules, rows) | many


def _constant_by_row(
    closes: np.ndarray, n_known: np.ndarray, rules: ScreeningRules
) -> np.ndarray:
    """Find tickers whose latest closes are all the same."""
    before = bn.push(closes, axis=0)[:-1]
    moved = np.zeros(closes.shape, dtype=bool)
    moved[1:] = np.isfinite(closes[1:]) & np.isfinite(before) & (closes[1:] != before)
    n_before = np.maximum.accumulate(np.where(moved, n_known - 1, 0), axis=0)
    return n_known - n_before >= np.minimum(rules.max_flat, np.maximum(n_known, 2))


def _jumps_by_row(closes: np.ndarray, rules: ScreeningRules) -> np.ndarray:
    """Find closes that are not believed after the one before."""
    jumps = np.zeros(closes.shape, dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = closes[1:] / bn.push(closes, axis=0)[:-1]
    jumps[1:] = (ratio > rules.max_jump) | (ratio < 1 / rules.max_jump)
    return jumps


def _same_prices(closes: np.ndarray, first: int) -> Iterator[tuple[int, np.ndarray]]:
    """Group tickers by all closes up to each row from `first`; none stands alone."""
    same: dict[bytes, list[int]] = {}
    for ticker, values in enumerate(np.ascontiguousarray(closes[: first + 1].T)):
        same.setdefault(values.tobytes(), []).append(ticker)
    groups = [np.array(group) for group in same.values() if len(group) > 1]
    for row in range(first, len(closes)):
        parts: list[np.ndarray] = []
        for group in groups:
            values = closes[row, group]
            if (values == values[0]).all():
                parts.append(group)
                continue
            parts += [group[values == value] for value in np.unique(values)]
        groups = [group for group in parts if len(group) > 1]
        for group in groups:
            yield row, group
