"""What features are computed from: a block of tickers, or the whole universe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from skbatch.feature_extraction._registry import Feature, entry_of
from skbatch.feature_extraction._rolling import Rolling

__all__ = ["TickerBlock", "Universe", "compute_block"]

# Series of half a megabyte keep the temporaries of a feature in the processor's cache,
# and bound the memory of all the series that a block shares.
_BLOCK_CELLS = 2**16

SeriesFunction = Callable[..., Any]


class _Context:
    """Fields of some tickers, and the series made of them, each computed once."""

    def __init__(self, fields: dict[str, np.ndarray]) -> None:
        self.fields = fields
        self._series: dict[tuple[Any, ...], Any] = {}
        self._rolling: dict[SeriesFunction, Rolling] = {}

    @property
    def close(self) -> np.ndarray:
        """Closes; NaN is missing."""
        return self.fields["close"]

    def get(self, series: SeriesFunction, *arguments: int) -> Any:
        """Compute a series of this context, once."""
        key = (series, *arguments)
        if key not in self._series:
            self._series[key] = series(self, *arguments)
        return self._series[key]

    def rolling(self, series: SeriesFunction) -> Rolling:
        """Give the rolling statistics of a series of this context."""
        if series not in self._rolling:
            self._rolling[series] = Rolling(self.get(series))
        return self._rolling[series]


class TickerBlock(_Context):
    """Some tickers of a panel.

    Parameters
    ----------
    universe : Universe
        All tickers.
    columns : slice or ndarray of int
        Which of them.
    """

    def __init__(self, universe: Universe, columns: slice | np.ndarray) -> None:
        super().__init__(
            {
                name: np.ascontiguousarray(values[:, columns])
                for name, values in universe.fields.items()
            }
        )
        self.universe = universe
        self.columns = columns
        self.missing = np.isnan(self.close)


class Universe(_Context):
    """All tickers of a panel.

    Parameters
    ----------
    fields : dict of str to ndarray of shape (n_dates, n_tickers)
        Fields of the panel.
    dates : pandas.DatetimeIndex or None
        Dates of the rows, if the panel has dates.
    groups : ndarray of shape (n_tickers,), dtype int, or None
        Number of each ticker's group, negative for none.
    """

    def __init__(
        self,
        fields: dict[str, np.ndarray],
        dates: pd.DatetimeIndex | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        super().__init__(
            {name: np.ascontiguousarray(values) for name, values in fields.items()}
        )
        self.dates = dates
        self.groups = groups
        self._features: dict[Feature, np.ndarray] = {}

    def blocks(
        self, tickers: np.ndarray | None = None
    ) -> Iterator[tuple[TickerBlock, slice]]:
        """Cut the universe, or some of its tickers, into blocks with their places."""
        n_dates, n_tickers = self.close.shape
        width = max(1, _BLOCK_CELLS // n_dates)
        n_chosen = n_tickers if tickers is None else len(tickers)
        for start in range(0, n_chosen, width):
            place = slice(start, min(start + width, n_chosen))
            columns = place if tickers is None else tickers[place]
            yield TickerBlock(self, columns), place

    def feature(self, function: SeriesFunction, window: int) -> np.ndarray:
        """Give a ticker feature of all tickers, `(n_dates, n_tickers)` of float32."""
        wanted = Feature(entry_of(function), window)
        if wanted not in self._features:
            values = np.empty(self.close.shape, dtype=np.float32)
            for block, place in self.blocks():
                compute_block(wanted, block, values[:, place])
            self._features[wanted] = values
        return self._features[wanted]

    def keep(self, feature: Feature, values: np.ndarray) -> None:
        """Remember a feature that was computed already."""
        self._features[feature] = values

    def forget(self) -> None:
        """Give back the memory of features and series of single tickers."""
        self._features.clear()
        self._series = self._common_series()
        self._rolling.clear()

    def part(self, tickers: np.ndarray) -> Universe:
        """Take some tickers, with what is known of all of them together.

        Parameters
        ----------
        tickers : ndarray of int
            Numbers of the tickers.

        Returns
        -------
        Universe
            Features of its tickers are those in this universe, as long as they need no
            series of all tickers that has not been computed here.
        """
        fields = {name: values[:, tickers] for name, values in self.fields.items()}
        part = Universe(fields, self.dates)
        part._series = self._common_series()
        return part

    def _common_series(self) -> dict[tuple[Any, ...], Any]:
        """Find the series with one value a date."""
        return {
            key: series
            for key, series in self._series.items()
            if isinstance(series, np.ndarray) and series.ndim == 1
        }


def compute_block(feature: Feature, block: TickerBlock, out: np.ndarray) -> None:
    """Write one feature of a block; NaN where it is not finite, or has no price."""
    with np.errstate(all="ignore"):
        out[...] = feature.compute(block)
        np.copyto(out, np.nan, where=block.missing | np.isinf(out))
