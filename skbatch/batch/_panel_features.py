"""Features of a panel, read block by block of dates by forecasters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.target import typical_volatility
from skbatch.batch._batch_task import weights_of
from skbatch.feature_extraction.engine import are_one_block, panel_columns
from skbatch.forecasting.engine import (
    FeatureBlocks,
    FeatureStream,
    LabelScale,
    Storage,
    Universe,
    layout_of,
    universe_common_return,
)
from skbatch.panel.engine import CheckedPanel

Stage = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class PanelReader:
    """Computes features of some rows of a panel, in blocks of dates."""

    extractor: Any
    panel: CheckedPanel
    block_rows: int | None
    stage: Stage = nullcontext

    def __call__(
        self, rows: np.ndarray | None, features: Sequence[str] | None
    ) -> Iterator[pd.DataFrame]:
        if self.at_once and rows is None and features is None:
            with self.stage("features"):
                frame = self.extractor.transform(self.panel)
            yield frame
            return
        with self.stage("features"):
            # Functions of the user are called here, once for the whole panel.
            blocks = self.extractor.transform_blocks(
                self.panel, rows=rows, features=features, block_rows=self.block_rows
            )
        while True:
            with self.stage("features"):
                block = next(blocks, None)
            if block is None:
                return
            yield block
            del block  # before the next one is computed

    @property
    def at_once(self) -> bool:
        """Whether all features are one block, which searches find in the cache."""
        n_rows = len(self.panel.frame)
        return self.block_rows is None and are_one_block(self.extractor, n_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        # What another process measures is lost.
        return PanelReader, (self.extractor, self.panel, self.block_rows)


def stream_of(
    extractor: Any,
    panel: pd.DataFrame,
    scale: str | None,
    labels: pd.DataFrame | None = None,
    storage: Storage | None = None,
    block_rows: int | None = None,
    stage: Stage = nullcontext,
) -> FeatureStream:
    """Read the features of rows of a checked panel, when they are asked for."""
    reader = PanelReader(extractor, CheckedPanel(panel), block_rows, stage)
    names = extractor.get_feature_names_out()
    columns = panel_columns(extractor)
    stream = FeatureStream(reader, names, panel.index, storage, columns=columns)
    stream.make_universe = partial(_universe_of, stream, scale, labels)
    return stream


def _universe_of(
    stream: FeatureStream, scale: str | None, labels: pd.DataFrame | None
) -> Universe:
    """Gather what forecasters of some of the tickers have to know of all."""
    tickers = stream.columns.tickers
    layout = layout_of(pd.Index(tickers), 1)
    none = np.empty((0, len(tickers)))
    chosen = LabelScale.choose(scale, stream, none, layout)
    volatility = chosen.matrix(stream) if chosen.features else None
    common, calendars, typical = None, None, None
    if labels is not None and len(tickers) > 1:
        weights = weights_of(labels)
        common, calendars = universe_common_return(labels, volatility, weights)
    if volatility is not None:
        typical = pd.Series(typical_volatility(volatility), stream.index)
    return Universe(common, typical, calendars)


def split_features(
    stream: FeatureStream, batches: Sequence[Sequence[str]]
) -> Iterator[FeatureBlocks]:
    """Return the features of each batch, which are computed once for all batches."""
    if len(batches) == 1 and set(batches[0]) == set(stream.columns.tickers):
        yield stream
        return
    storage = stream.storage
    n_bytes = 4 * stream.n_dates * stream.n_columns
    if storage.memory_limit is None or n_bytes <= storage.memory_limit:
        yield from (stream.load().select(batch) for batch in batches)
        return
    with ExitStack() as stack:
        files = [stack.enter_context(storage.file()) for _ in batches]
        kept = [stream.columns.kept(batch) for batch in batches]
        for _, table in stream.tables():
            for file, columns in zip(files, kept, strict=True):
                file.write(np.ascontiguousarray(table.values[:, columns]).data)
            del table  # before the next block is computed
        for file, columns, batch in zip(files, kept, batches, strict=True):
            values = np.empty((stream.n_dates, len(columns)), np.float32)
            file.seek(0)
            file.readinto(values.data)
            yield stream.select(batch).holding(values)
            del values
