"""Stacked rows on disk, read slice by slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skbatch.forecasting._tasks import Rows

__all__ = ["StoredInputs"]

# Cells written at once in row order (16 MiB of float32).
_CELLS = 2**22


class StoredInputs:
    """Inputs of stacked (date, ticker) rows, appended by batches of tickers.

    Rows are read in the order of dates, and of tickers within a date, whichever batch
    they came with: a pooled model draws its samples by place, and so draws those that
    it would from one table.

    Parameters
    ----------
    path : Path
        File to write.
    n_tickers : int
        Number of tickers of all batches.
    """

    def __init__(self, path: Path, n_tickers: int) -> None:
        self.path = path
        self.n_tickers = n_tickers
        self.width = 0
        self._keys: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        path.touch()

    def append(self, rows: Rows, ranks: np.ndarray) -> None:
        """Write rows of a batch.

        Parameters
        ----------
        rows : Rows
            Ordered by date and ticker, with the ticker's place in `series`.
        ranks : ndarray of shape (n_series,), dtype int
            Place of each of the batch's tickers among all tickers.
        """
        assert rows.series is not None
        self.width = rows.X.shape[1]
        size = max(1, _CELLS // max(1, self.width))
        with self.path.open("ab") as file:
            for start in range(0, len(rows.X), size):
                np.ascontiguousarray(rows.X[start : start + size]).tofile(file)
        self._keys.append(rows.dates * self.n_tickers + ranks[rows.series])
        self._labels.append(rows.y)

    def rows(self) -> Rows:
        """Put all batches in order.

        Returns
        -------
        Rows
            Labels and dates in memory; `X` is this object, of which slices of rows
            are read from the file.
        """
        keys = np.concatenate(self._keys)
        order = np.argsort(keys, kind="stable")
        self._sorted = keys[order]
        starts = np.cumsum([0, *map(len, self._keys)])
        self._starts = starts[:-1]
        labels = np.concatenate(self._labels)[order]
        self._labels.clear()
        return Rows(self, labels, self._sorted // self.n_tickers)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of inputs."""
        return len(self._sorted), self.width

    def __len__(self) -> int:
        return len(self._sorted)

    def __getitem__(self, place: slice) -> np.ndarray:
        """Read a slice of rows, `(n_rows, n_inputs)` of float32."""
        start, stop, _ = place.indices(len(self))
        out = np.empty((max(0, stop - start), self.width), dtype=np.float32)
        if not len(out):
            return out
        wanted = self._sorted[start:stop]
        with self.path.open("rb") as file:
            for keys, first in zip(self._keys, self._starts, strict=True):
                # A batch's own rows are in order, so what is wanted is one stretch.
                low = int(np.searchsorted(keys, wanted[0]))
                high = int(np.searchsorted(keys, wanted[-1], side="right"))
                if low == high:
                    continue
                file.seek((int(first) + low) * self.width * out.itemsize)
                count = (high - low) * self.width
                values = np.fromfile(file, dtype=np.float32, count=count)
                places = np.searchsorted(wanted, keys[low:high])
                out[places] = values.reshape(-1, self.width)
        return out
