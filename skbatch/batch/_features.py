"""Features of batches, with what a batch must know of all tickers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from skbatch._kernels.target import typical_volatility
from skbatch.exceptions import HistoryWarning
from skbatch.feature_extraction import BatchRecipe, SharedFeatureExtractor
from skbatch.forecasting import volatility_features
from skbatch.panel import TYPICAL_VOLATILITY, join_column

__all__ = ["UniverseFeatures"]

# Volatilities are computed for so many tickers at a time.
_BLOCK = 256


class UniverseFeatures:
    """Features of some rows of a universe's panel.

    Parameters
    ----------
    extractor : SharedFeatureExtractor
        Fitted on the universe.
    panel : DataFrame of shape (n_dates, n_columns)
        Rows of the panel that it was fitted on, or that follow them.
    scale : str or None, default="auto"
        Feature that holds a ticker's volatility, as forecasters take it.
    """

    def __init__(
        self,
        extractor: SharedFeatureExtractor,
        panel: pd.DataFrame,
        scale: str | None = "auto",
    ) -> None:
        self.extractor = extractor
        self.panel = panel
        self.scale = scale
        names = extractor.plan_.ticker_names
        known = [name for name in names if name == scale]
        self.names = volatility_features(names) if scale == "auto" else known
        self.tickers = list(extractor.plan_.tickers)

    def frames(self, batches: Sequence[Sequence[str]]) -> Iterator[pd.DataFrame]:
        """Give the feature frame of each batch, one after the other.

        One batch of all tickers is served from the extractor's cache. Others carry
        the typical volatility of all tickers.
        """
        if self._is_whole(batches):
            yield self.extractor.transform(self.panel)
            return
        extra = self._extra()
        # The first pass over these rows has told what they lack.
        with warnings.catch_warnings():
            if extra:
                warnings.simplefilter("ignore", HistoryWarning)
            frames = self.extractor.transform_batches(self.panel, batches, extra=extra)
            first = [next(frames)]
        # Not by a name of its own, which would keep it while the others are computed.
        yield first.pop()
        yield from frames

    def recipes(
        self, batches: Sequence[Sequence[str]]
    ) -> tuple[Iterator[BatchRecipe], np.ndarray]:
        """Give what each batch's frame is computed from, and what all share.

        See :meth:`SharedFeatureExtractor.batch_recipes`. Columns are those of
        :meth:`frames`.
        """
        extra = {} if self._is_whole(batches) else self._extra()
        return self.extractor.batch_recipes(self.panel, batches, extra=extra)

    def _is_whole(self, batches: Sequence[Sequence[str]]) -> bool:
        """Tell whether one batch holds all tickers."""
        return len(batches) == 1 and list(batches[0]) == self.tickers

    def _extra(self) -> dict[str, np.ndarray]:
        """Give the columns that batches carry beside the extractor's."""
        return {} if self.typical is None else {TYPICAL_VOLATILITY: self.typical}

    @cached_property
    def typical(self) -> np.ndarray | None:
        """Typical volatility of all tickers, `(n_dates,)`."""
        return None if self.volatility is None else typical_volatility(self.volatility)

    @cached_property
    def volatility(self) -> np.ndarray | None:
        """Volatility per row `(n_dates, n_tickers)`, None without such a feature.

        NaN where unknown or zero; float32.
        """
        names = self.names
        if not names:
            return None
        volatility = np.full((len(self.panel), len(self.tickers)), np.nan, np.float32)
        starts = range(0, len(self.tickers), _BLOCK)
        blocks = [self.tickers[start : start + _BLOCK] for start in starts]
        frames = self.extractor.transform_batches(self.panel, blocks, names=names)
        for start, block, frame in zip(starts, blocks, frames, strict=True):
            part = volatility[:, start : start + len(block)]
            for name in names:
                values = frame[[join_column(t, name) for t in block]].to_numpy()
                np.copyto(part, values, where=~(part > 0) & (values > 0))
        return volatility
