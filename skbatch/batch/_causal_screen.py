"""Which tickers the screening sets aside at each date, by the rows up to it."""

from __future__ import annotations

from collections.abc import Iterator

import bottleneck as bn
import numpy as np
import pandas as pd

from skbatch.batch._screen import ScreeningRules, field_names
from skbatch.panel.engine import InspectedPanel, panel_fields, panel_tickers


def set_aside(prices: InspectedPanel, rules: ScreeningRules, n_rows: int) -> np.ndarray:
    """Return who is set aside by the rows up to each of the last `n_rows`."""
    closes = panel_fields(prices.panel)["close"]
    known = np.isfinite(closes)
    rows = np.arange(len(closes), dtype=np.int32)[:, None]
    n_known = known.cumsum(axis=0, dtype=np.int32)
    invalid = _invalid(prices, rules, rows)
    aside = (
        (n_known < rules.min_history)
        | (rows - _latest(known) > rules.max_stale)
        | invalid
        | _constant(closes, n_known, rules)
        | _recent(_jumps(closes, rules), rules, rows)
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


def _invalid(
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


def _constant(
    closes: np.ndarray, n_known: np.ndarray, rules: ScreeningRules
) -> np.ndarray:
    """Find tickers whose latest closes are all the same."""
    before = bn.push(closes, axis=0)[:-1]
    moved = np.zeros(closes.shape, dtype=bool)
    moved[1:] = np.isfinite(closes[1:]) & np.isfinite(before) & (closes[1:] != before)
    n_before = np.maximum.accumulate(np.where(moved, n_known - 1, 0), axis=0)
    return n_known - n_before >= np.minimum(rules.max_flat, np.maximum(n_known, 2))


def _jumps(closes: np.ndarray, rules: ScreeningRules) -> np.ndarray:
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
