"""What a run took, and what would make the next one better."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from html import escape
from os import PathLike

import joblib
import pandas as pd

from skbatch._writing import write_whole
from skbatch.batch._advice import Record, Run, advise
from skbatch.batch._usage import Usage, available_memory, format_bytes, measure, rss
from skbatch.feature_extraction import cache_info

logger = logging.getLogger("skbatch")
logger.addHandler(logging.NullHandler())

COUNTS = ("n_tickers", "n_rows", "n_fallback", "n_failed", "cache_hits", "extractions")


class BatchPerformanceMonitor:
    """Measure the stages and batches of a run.

    Every batch is also logged in a line at level INFO of the logger ``skbatch``, which
    shows nothing until the application configures `logging`.

    Attributes
    ----------
    n_batches : int or None
        How many batches there are, if that is known before; set by who runs them.
    horizon : int or tuple of int or None
        Horizon of the labels, in rows; set by who runs them.
    thin : int, "auto" or None
        Step between the dates trained on; set by who runs them.

    Notes
    -----
    CPU time and memory are those of the process that did the work: this one for
    stages, maybe a worker of joblib for batches. Where batches run in threads of one
    process, each batch's figures include the others that ran meanwhile.

    Examples
    --------
    >>> from skbatch.batch import BatchPerformanceMonitor
    >>> from skbatch.batch._usage import measure
    >>> monitor = BatchPerformanceMonitor()
    >>> with monitor.stage("fit", n_tickers=50), measure() as usage:
    ...     forecasts = sum(range(1000))
    >>> monitor.record_batch("all", 50, 2484, usage, n_fallback=1)
    >>> monitor.fallback_rate
    0.02
    >>> monitor.report()["n_tickers"].to_dict()
    {('stage', 'fit'): 50, ('batch', 'all'): 50}
    """

    def __init__(self) -> None:
        self.n_batches: int | None = None
        self.horizon: int | tuple[int, ...] | None = None
        self.thin: int | None = None
        self._stages: dict[str, Record] = {}
        self._batches: list[Record] = []
        self._open: list[str] = []
        self._inner: set[str] = set()

    @contextmanager
    def stage(
        self, name: str, n_rows: int | None = None, n_tickers: int | None = None
    ) -> Iterator[None]:
        """Measure the block of a ``with`` statement as a stage.

        A stage that comes again is added to the one of the same name. Stages may be
        nested.

        Parameters
        ----------
        name : str
            Name of the stage; "features" and "fit" are what recommendations look at.
        n_rows : int, default=None
            Number of dates.
        n_tickers : int, default=None
            Number of tickers.
        """
        cache = cache_info()
        if self._open:
            self._inner.add(name)
        self._open.append(name)
        try:
            with measure() as usage:
                yield
        finally:
            self._open.pop()
            record = Record(name, **asdict(usage), n_tickers=n_tickers, n_rows=n_rows)
            now = cache_info()
            # The counts restart when the cache is cleared.
            record.cache_hits = max(0, now.hits - cache.hits)
            record.extractions = max(0, now.extractions - cache.extractions)
            if name in self._stages:
                self._stages[name].add(record)
            else:
                self._stages[name] = record
            logger.debug("%s: %s", name, _describe(record))

    def record_batch(
        self,
        name: str,
        n_tickers: int,
        n_rows: int,
        usage: Usage,
        n_fallback: int = 0,
        n_failed: int = 0,
        events: Sequence[str] = (),
    ) -> None:
        """Record what a batch took, and log it.

        Parameters
        ----------
        name : str
            Name of the batch.
        n_tickers : int
            Number of its tickers.
        n_rows : int
            Number of dates.
        usage : Usage
            Time and memory.
        n_fallback : int, default=0
            How many of its tickers are served by another model than the first choice.
        n_failed : int, default=0
            How many of its tickers have no forecast.
        events : sequence of str, default=()
            Steps of recovery, each in a few words.
        """
        record = Record(
            name,
            **asdict(usage),
            n_tickers=n_tickers,
            n_rows=n_rows,
            n_fallback=n_fallback,
            n_failed=n_failed,
            events=tuple(events),
        )
        self._batches.append(record)
        number = len(self._batches)
        known = self.n_batches is not None and number <= self.n_batches
        logger.info(
            "batch %d%s (%s): %d %s, %d rows, %s, %d by fallback, "
            "%d without forecast%s",
            number,
            f" of {self.n_batches}" if known else "",
            name,
            n_tickers,
            "ticker" if n_tickers == 1 else "tickers",
            n_rows,
            _describe(record),
            n_fallback,
            n_failed,
            "".join(f"; {event}" for event in record.events),
        )

    def report(self) -> pd.DataFrame:
        """Tabulate all stages and batches.

        Returns
        -------
        DataFrame
            Indexed by (kind, name), kind "stage" or "batch", in their order. Columns
            ``seconds`` (wall), ``cpu_seconds``, ``peak_bytes`` (largest resident
            memory of the process), ``n_tickers``, ``n_rows``, ``n_fallback``,
            ``n_failed``, and ``cache_hits`` and ``extractions`` of the cache of
            features, as counted in this process; NA where a figure does not apply.
        """
        rows = [
            *(("stage", record) for record in self._stages.values()),
            *(("batch", record) for record in self._batches),
        ]
        columns = ["seconds", "cpu_seconds", "peak_bytes", *COUNTS]
        index = pd.MultiIndex.from_arrays(
            [[kind for kind, _ in rows], [record.name for _, record in rows]],
            names=["kind", "name"],
        )
        table = pd.DataFrame(
            [[getattr(record, name) for name in columns] for _, record in rows],
            index=index,
            columns=columns,
        )
        types = dict.fromkeys(columns[:2], "float64") | {"peak_bytes": "int64"}
        return table.astype(types | dict.fromkeys(COUNTS, "Int64"))

    @property
    def fallback_rate(self) -> float:
        """Share of the tickers that another model than the first choice serves."""
        return self._rate("n_fallback")

    @property
    def failure_rate(self) -> float:
        """Share of the tickers that were run but have no forecast."""
        return self._rate("n_failed")

    def _rate(self, count: str) -> float:
        """Divide a count of tickers by their number; NaN if there are none."""
        n_tickers = self._n_tickers()
        number = sum(getattr(record, count) or 0 for record in self._batches)
        return number / n_tickers if n_tickers else math.nan

    def _n_tickers(self) -> int:
        """Count the tickers of the run; batches may repeat those of others."""
        told = [record.n_tickers or 0 for record in self._stages.values()]
        return max(told, default=0) or sum(b.n_tickers or 0 for b in self._batches)

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Write the measurements as JSON.

        Parameters
        ----------
        path : path, default=None
            File to write them to, too.

        Returns
        -------
        str
            An object with ``stages`` and ``batches``, lists of objects with the
            columns of :meth:`report`, and for batches the ``events``; with
            ``fallback_rate`` and ``failure_rate``; null where something is not known.
        """
        rates = {
            name: getattr(self, name) for name in ("fallback_rate", "failure_rate")
        }
        content = {
            "stages": [asdict(record) for record in self._stages.values()],
            "batches": [asdict(record) for record in self._batches],
            **{name: None if math.isnan(r) else r for name, r in rates.items()},
        }
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
        if path is not None:
            write_whole(path, text + "\n")
        return text

    def recommendations(
        self, n_cores: int | None = None, available: int | None = None
    ) -> list[str]:
        """List what the measurements suggest.

        Parameters
        ----------
        n_cores : int, default=None
            Cores that the run may use; None means all.
        available : int, default=None
            Bytes that this process may take, with what it has already; None means
            what is left now.

        Returns
        -------
        list of str
            A sentence or two each, with the numbers that call for it; empty if all is
            well, or the run was too short for it to matter.
        """
        cores = joblib.cpu_count() if n_cores is None else n_cores
        memory = available_memory() + rss() if available is None else available
        return advise(self._summary(), cores, memory) if self._batches else []

    def _summary(self) -> Run:
        """Add up what recommendations look at."""
        outer = [r for name, r in self._stages.items() if name not in self._inner]
        batches, features = self._batches, self._stages.get("features")
        total = sum(record.seconds for record in outer)
        fit = self._stages.get("fit")
        if fit is None:
            seconds = sum(b.seconds for b in batches)
            cpu = sum(b.cpu_seconds for b in batches)
            total += seconds
        else:
            seconds, cpu = fit.seconds, fit.cpu_seconds
            # Work of other processes is not in the stage's time, but only in theirs.
            if max(b.cpu_seconds for b in batches) > cpu:
                cpu += sum(b.cpu_seconds for b in batches)
        return Run(
            total_seconds=total,
            features_seconds=0.0 if features is None else features.seconds,
            fit_seconds=seconds,
            fit_cpu_seconds=cpu,
            peak_bytes=max(r.peak_bytes for r in [*outer, *batches]),
            n_tickers=self._n_tickers(),
            batches=batches,
            horizon=self.horizon,
            thin=self.thin,
        )

    def __repr__(self) -> str:
        if not self._batches:
            return "BatchPerformanceMonitor: nothing measured yet"
        run = self._summary()
        batches = "batch" if len(run.batches) == 1 else "batches"
        return (
            f"BatchPerformanceMonitor: {run.n_tickers} tickers in {len(run.batches)} "
            f"{batches}, {run.total_seconds:.1f} s, peak "
            f"{format_bytes(run.peak_bytes)}, {self.fallback_rate:.1%} by fallback, "
            f"{self.failure_rate:.1%} without forecast"
        )

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(words)}</li>" for words in self.recommendations())
        table = self.report().to_html(max_rows=20)
        return f"<p>{escape(repr(self))}</p>{table}<ul>{items}</ul>"


def _describe(record: Record) -> str:
    """Describe time and memory."""
    return f"{record.seconds:.1f} s, peak {format_bytes(record.peak_bytes)}"
