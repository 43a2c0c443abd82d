"""Tickers' own features of a whole panel, which those of its parts are taken from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skbatch.feature_extraction._context import Universe
from skbatch.feature_extraction._feature_plan import FeaturePlan
from skbatch.feature_extraction._registry import Feature
from skbatch.panel.engine import IN_UNIVERSE, panel_fields

_KNOWN: ContextVar[KnownFeatures | None] = ContextVar("known features", default=None)


@dataclass(frozen=True)
class KnownFeatures:
    """Features that depend on no other ticker, at all dates of a panel."""

    index: pd.Index
    fields: dict[str, np.ndarray]
    tickers: dict[str, int]
    features: dict[Feature, int]
    values: np.ndarray  # (n_dates, n_features, n_tickers)

    @classmethod
    def of(
        cls, plan: FeaturePlan, panel: pd.DataFrame, frame: pd.DataFrame
    ) -> KnownFeatures | None:
        """Read them from the feature frame of a checked panel without holes."""
        if plan.cross_section is not None or IN_UNIVERSE in plan.marks:
            return None
        fields = panel_fields(panel)
        # Two rows of one ticker show what a feature asks for.
        dates = panel.index[:2] if isinstance(panel.index, pd.DatetimeIndex) else None
        probe = Universe({name: v[:2, :1] for name, v in fields.items()}, dates)
        own = {
            feature: number
            for number, feature in enumerate(plan.ticker_features)
            if feature.entry.scope == "ticker" and not probe.reads_universe(feature)
        }
        n_names, n_tickers = len(plan.ticker_names), len(plan.tickers)
        values = frame.to_numpy()[:, : n_names * n_tickers]
        return cls(
            panel.index,
            fields,
            {ticker: number for number, ticker in enumerate(plan.tickers)},
            own,
            values.reshape(len(values), n_names, n_tickers),
        )

    def fill(
        self,
        wanted: Mapping[Feature, np.ndarray],
        rows: np.ndarray,
        panel: pd.DataFrame,
        tickers: tuple[str, ...],
        universe: Universe,
    ) -> Mapping[Feature, np.ndarray]:
        """Write features of some rows, if a panel is a part of the whole one."""
        # What is left to be computed is returned.
        lookback = max((feature.lookback for feature in wanted), default=0)
        columns = np.array([self.tickers.get(ticker, -1) for ticker in tickers])
        start = int(self.index.get_indexer(panel.index[:1])[0])
        part = slice(start, start + len(panel))
        if (
            start < 0
            # The whole panel has rows that these features do not look back on.
            or (start > 0 and rows[0] < lookback)
            or (columns < 0).any()
            or universe.members is not None
            or not self.index[part].equals(panel.index)
            or not self._has_fields(universe.fields, part, columns)
        ):
            return wanted
        places = rows + start
        left = {}
        for feature, out in wanted.items():
            number = self.features.get(feature)
            if number is None:
                left[feature] = out
            else:
                out[...] = self.values[places, number][:, columns]
        return left

    def _has_fields(
        self, fields: Mapping[str, np.ndarray], part: slice, columns: np.ndarray
    ) -> bool:
        """Return whether features of the part would be computed from the same."""
        return fields.keys() == self.fields.keys() and all(
            np.array_equal(self.fields[name][part][:, columns], values, equal_nan=True)
            for name, values in fields.items()
        )


def known_features() -> KnownFeatures | None:
    """Return what is known here."""
    return _KNOWN.get()


@contextmanager
def sharing(known: KnownFeatures | None) -> Iterator[None]:
    """Let extractors of this thread take features from those of a whole panel."""
    token = _KNOWN.set(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)
