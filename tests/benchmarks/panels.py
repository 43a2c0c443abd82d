"""Prices that all ways read: real ones where there are enough, else synthetic ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from skbatch import read_panel
from skbatch.datasets import make_panel

FUTURE = 5  # rows after the last one that a way may see


class Panels:
    """Files of prices of each size, written when a run first asks for them.

    Parameters
    ----------
    folder : Path
        Where they are written.
    prices : Path or None
        Real prices in a shape that `read_panel` takes.
    """

    def __init__(self, folder: Path, prices: Path | None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.written: set[Path] = set()
        self.real = None
        if prices is not None:
            closes = _closes(read_panel(prices))
            self.real = closes.loc[:, closes.notna().all()]

    def files(self, n_tickers: int, n_dates: int, kind: str = "any") -> dict[str, str]:
        """Name the files of a size: wide, long and what comes after the last row."""
        enough = self.real is not None and (
            self.real.shape[0] >= n_dates + FUTURE and self.real.shape[1] >= n_tickers
        )
        kind = "real" if enough and kind != "synthetic" else "synthetic"
        stem = self.folder.resolve() / f"{kind}_{n_tickers}x{n_dates}"
        names = {part: f"{stem}_{part}.parquet" for part in ("wide", "long", "future")}
        if stem not in self.written:
            self._write(kind, n_tickers, n_dates, names)
            self.written.add(stem)
        return {**names, "prices": kind}

    def _write(
        self, kind: str, n_tickers: int, n_dates: int, names: dict[str, str]
    ) -> None:
        if kind == "real":
            prices = self.real.sample(n_tickers, axis=1, random_state=0)
            prices = prices.iloc[-n_dates - FUTURE :]
        else:
            prices = make_panel(
                n_dates + FUTURE, n_tickers, signal="linear", random_state=0
            )
        prices = prices.sort_index(axis=1).rename_axis(index="date", columns=None)
        known = prices.iloc[:n_dates]
        known.to_parquet(names["wide"])
        prices.iloc[n_dates - 1 :].to_parquet(names["future"])
        # What Nixtla's packages take: sorted by series and time. Whole numbers are
        # times without gaps, where dates would have holidays.
        long = pd.DataFrame(
            {
                "unique_id": np.repeat(known.columns.to_numpy(dtype=object), n_dates),
                "ds": np.tile(np.arange(n_dates), n_tickers),
                "close": known.to_numpy().T.ravel(),
            }
        )
        long.to_parquet(names["long"], index=False)


def _closes(panel: pd.DataFrame) -> pd.DataFrame:
    """Take the closes of a panel with fields."""
    if panel.columns.nlevels == 1:
        return panel
    fields = panel.columns.get_level_values(0)
    return panel.loc[:, fields.str.lower() == "close"].droplevel(0, axis=1)
