"""What labels are relative to: the return that tickers of a calendar share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch._kernels.target import common_return, standard_deviation, winsorized
from skbatch._kernels.threads import slices
from skbatch.exceptions import PanelError
from skbatch.forecasting._feature_table import FeatureBlocks
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.panel.engine import number_calendars, recorded_delay

# Labels are winsorized at so many volatilities. Otherwise single crashes would dominate
# the trees, and one price that is off by a factor of 100, as real data has them,
# would move the mean over 500 tickers by 20%.
MAX_SCALED_LABEL = 5.0
# Cells of labels that are transformed at once.
BLOCK_CELLS = 2**20


@dataclass
class Levels:
    """What labels are relative to: constants, or returns of the date for some.

    Where it differs across tickers of a date, `whole` has it, `(n_dates, n_labels)`.
    """

    constant: np.ndarray
    moving: list[tuple[np.ndarray, np.ndarray]]
    whole: np.ndarray | None = None

    def rows(self, rows: slice) -> np.ndarray:
        """Return the level of each label on some dates."""
        if self.whole is not None:
            return self.whole[rows]
        n_rows = len(range(*rows.indices(rows.stop)))
        level = np.tile(self.constant, (n_rows, 1))
        for columns, common in self.moving:
            level[:, columns] = common[rows, None]
        return level


def bound_all(labels: np.ndarray, unit: np.ndarray, root: np.ndarray | float) -> None:
    """Winsorize labels in place at five of their units times `root`."""
    squares, counts = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    for rows in blocks(labels):
        scale = unit[rows]
        known = np.isfinite(scale)
        bound = np.where(known, scale * (MAX_SCALED_LABEL * root), np.inf)
        np.clip(labels[rows], -bound, bound, out=labels[rows])
        known &= np.isfinite(labels[rows])
        values = np.where(known, labels[rows], 0.0)
        squares += np.einsum("ij,ij->j", values, values)
        counts += known.sum(axis=0)
    for column in np.flatnonzero(counts == 0):
        labels[:, column] = winsorized(labels[:, [column]])[:, 0]
    usual = 10 * np.sqrt(squares / np.maximum(counts, 1))
    usual[counts == 0] = np.inf
    for rows in blocks(labels):
        some = rows.start + np.flatnonzero(~np.isfinite(unit[rows]).all(axis=1))
        limit = np.where(np.isfinite(unit[some]), np.inf, usual)
        labels[some] = np.clip(labels[some], -limit, limit)


def label_groups(
    labels: np.ndarray, features: FeatureBlocks, layout: LabelLayout, has_own: bool
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Group labels that share a return, and give that of a universe if it is known."""
    horizons = np.asarray(layout.horizons)
    universe = features.universe
    known = None if universe is None else universe.common
    if universe is not None and known is not None:
        calendars = universe.calendars or {}
        numbers = np.array([calendars.get(name, 0) for name in layout.names])
    elif has_own:
        numbers = _number_labels(labels, features.index, layout)
    else:
        numbers = np.arange(len(horizons))
    for horizon in np.unique(horizons):
        for number in np.unique(numbers[horizons == horizon]):
            given = None
            if known is not None:
                severally = known.columns.nlevels > 1
                key = (horizon, number) if severally else horizon
                # Not looked up in the index, which workers build at the same time.
                keys = known.columns.tolist()
                if key in keys:
                    column = known.iloc[:, keys.index(key)]
                    given = column.reindex(features.index).to_numpy()
            yield np.flatnonzero((horizons == horizon) & (numbers == number)), given


def _number_labels(
    labels: np.ndarray, index: pd.Index | None, layout: LabelLayout
) -> np.ndarray:
    """Return the number of each label's calendar, by those of the shortest horizon."""
    horizons = np.asarray(layout.horizons)
    shortest = np.flatnonzero(horizons == horizons.min())
    known = np.isfinite(labels[:, shortest])
    numbers = number_calendars(pd.Index([]) if index is None else index, known)
    names = layout.names
    number = {names[n]: m for n, m in zip(shortest, numbers.tolist(), strict=True)}
    return np.array([number.get(name, 0) for name in names])


def universe_common_return(
    labels: pd.DataFrame,
    volatility: np.ndarray | None,
    weights: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, int] | None]:
    """Average the labels of each calendar: by horizon, or (horizon, calendar)."""
    # The second result numbers the calendars of the tickers, None if there is only one.
    shortest = labels
    if isinstance(labels.columns, pd.MultiIndex):
        shortest = labels[min(labels.columns.get_level_values(0))]
    numbers = number_calendars(labels.index, np.isfinite(shortest.to_numpy()))
    if not numbers.any():
        return forward_common_return(labels, volatility, weights), None
    calendars = dict(zip(map(str, shortest.columns), numbers.tolist(), strict=True))
    of_label = np.array([calendars[t] for t in labels.columns.get_level_values(-1)])
    common = {}
    for number in np.unique(numbers):
        # One ticker alone has no return relative to others.
        if (numbers == number).sum() > 1:
            own = None if volatility is None else volatility[:, numbers == number]
            part = forward_common_return(
                labels.loc[:, of_label == number], own, weights
            )
            common.update({(h, int(number)): part[h] for h in part})
    table = pd.DataFrame(
        index=labels.index, columns=pd.MultiIndex.from_arrays([[], []])
    )
    return (pd.DataFrame(common) if common else table), calendars


def forward_common_return(
    labels: pd.DataFrame,
    volatility: np.ndarray | None,
    weights: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Average the winsorized labels of a universe on each date, by horizon."""
    # NaN in the last rows, of which the return is not known, and on dates with fewer
    # than two tickers.
    if isinstance(labels.columns, pd.MultiIndex):
        level = labels.columns.get_level_values(0)
    else:
        level = pd.Index([labels.attrs["horizon"]] * labels.shape[1])
    common, delay = {}, recorded_delay(labels)
    for horizon in level.unique():
        values = labels.to_numpy()[:, np.asarray(level == horizon)].astype(np.float64)
        values[max(0, len(values) - horizon - delay) :] = np.nan
        if volatility is None:
            unit = standard_deviation(winsorized(values))
            bound_all(values, np.broadcast_to(unit, values.shape), 1.0)
        else:
            bound_all(values, volatility, np.sqrt(float(horizon)))
        counts = None
        if weights is not None:
            counts = weights[labels.columns[level == horizon]].to_numpy()
            values[counts == 0] = np.nan
        common[int(horizon)] = common_return(values, weights=counts)
    return pd.DataFrame(common, index=labels.index)


def benchmark_return(
    benchmark: pd.Series | pd.DataFrame,
    horizon: int,
    features: FeatureBlocks,
    layout: LabelLayout,
) -> np.ndarray:
    """Look up the forward returns that are given by the user."""
    if features.index is None:
        raise PanelError(
            "benchmark must be used with features that have dates. Got an array. Pass "
            "a feature frame."
        )
    if "delay" in benchmark.attrs and recorded_delay(benchmark) != layout.delay:
        raise PanelError(
            f"benchmark must have the delay of y, {layout.delay}. Got "
            f"{recorded_delay(benchmark)}. Create both with forward_returns(prices, "
            f"horizon, delay={layout.delay})."
        )
    if isinstance(benchmark, pd.Series):
        known = set(layout.horizons)
        benchmark = pd.DataFrame({h: benchmark for h in known if len(known) == 1})
    if horizon not in benchmark.columns:
        raise PanelError(
            "benchmark must have a column for every horizon of y. Got "
            f"{list(benchmark.columns)} without {horizon}. Add it."
        )
    returns = benchmark[horizon].reindex(features.index)
    values = returns.to_numpy(np.float64, copy=True)
    # At the last date, the benchmark's latest returns are not known either.
    reach = horizon + layout.delay
    values[max(0, len(values) - reach) :] = np.nan
    if not np.isfinite(values).any():
        raise PanelError(
            "benchmark must have finite returns on dates of X before the last "
            f"{reach}. Got none. Index it by the dates of X."
        )
    return values


def mean_label(
    labels: np.ndarray,
    columns: np.ndarray,
    min_tickers: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Average the labels of each date, block by block."""
    parts = [
        common_return(
            labels[rows][:, columns],
            min_tickers,
            None if weights is None else weights[rows][:, columns],
        )
        for rows in blocks(labels)
    ]
    return np.concatenate(parts)


def blocks(labels: np.ndarray) -> Iterator[slice]:
    """Split dates into blocks whose labels are transformed at once."""
    return slices(len(labels), max(1, BLOCK_CELLS // max(1, labels.shape[1])))
