"""Recommendations in words, when measurements call for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from skbatch.batch._usage import format_bytes

# Shorter runs are not worth a recommendation.
_WORTHWHILE = 5.0  # seconds
_DOMINATES_FIT, _DOMINATES_FEATURES = 0.7, 0.5  # shares of the run's time
_IDLE, _OVERLOADED = 0.5, 1.2  # busy cores as a share of the cores
_FULL, _ROOMY, _BUDGET = 0.8, 0.5, 0.7  # shares of the memory


@dataclass
class Record:
    """What a stage or a batch took; None is what does not apply."""

    name: str
    seconds: float
    cpu_seconds: float
    start_bytes: int
    peak_bytes: int
    n_tickers: int | None = None
    n_rows: int | None = None
    n_fallback: int | None = None
    n_failed: int | None = None
    cache_hits: int | None = None
    extractions: int | None = None
    events: tuple[str, ...] = ()

    def add(self, other: Record) -> None:
        """Add a repetition of the same stage."""
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.start_bytes = min(self.start_bytes, other.start_bytes)
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.n_tickers, self.n_rows = other.n_tickers, other.n_rows
        self.cache_hits = (self.cache_hits or 0) + (other.cache_hits or 0)
        self.extractions = (self.extractions or 0) + (other.extractions or 0)


@dataclass(frozen=True)
class Run:
    """What recommendations look at."""

    total_seconds: float
    features_seconds: float
    fit_seconds: float
    fit_cpu_seconds: float
    peak_bytes: int
    n_tickers: int
    batches: list[Record]
    horizon: int | tuple[int, ...] | None = None
    thin: int | None = None

    def largest(self) -> Record:
        """Find the batch of the most tickers; of several, the one that grew most."""
        return max(self.batches, key=lambda b: (b.n_tickers or 0, _growth(b)))


def advise(run: Run, n_cores: int, memory: int) -> list[str]:
    """List what the measurements of a run suggest."""
    advice = [
        _advise_on_memory(run, memory),
        _advise_on_one_batch(run, memory),
        _advise_on_cores(run, n_cores),
        _advise_on_thinning(run),
        _advise_on_features(run),
    ]
    return [words for words in advice if words]


def _advise_on_memory(run: Run, memory: int) -> str:
    """Advise on memory that is nearly full."""
    if run.peak_bytes <= _FULL * memory:
        return ""
    budget = format_bytes(_BUDGET * memory)
    n_tickers = run.largest().n_tickers or 0
    smaller = f", or max_batch_size to {-(-n_tickers // 2)}" if n_tickers > 1 else ""
    return (
        f"Smaller batches: the peak of {format_bytes(run.peak_bytes)} was "
        f"{run.peak_bytes / memory:.0%} of the {format_bytes(memory)} available. Set "
        f'memory_budget to "{budget.replace(" ", "")}"{smaller}.'
    )


def _advise_on_one_batch(run: Run, memory: int) -> str:
    """Point out that all tickers together would fit, judged by the largest batch."""
    batch = run.largest()
    if (batch.n_tickers or 0) >= run.n_tickers or _growth(batch) <= 0:
        return ""
    needed = batch.start_bytes + _growth(batch) * run.n_tickers
    if max(needed, run.peak_bytes) > _ROOMY * memory:
        return ""
    return (
        f"One batch: {batch.n_tickers} tickers took "
        f"{format_bytes(batch.peak_bytes - batch.start_bytes)}, so all {run.n_tickers} "
        f"would need about {format_bytes(needed)} of the {format_bytes(memory)} "
        "available. One model of all tickers learns from more: leave out "
        "max_batch_size."
    )


def _growth(batch: Record) -> float:
    """Return how many bytes each ticker of a batch took."""
    return (batch.peak_bytes - batch.start_bytes) / max(1, batch.n_tickers or 0)


def _advise_on_cores(run: Run, n_cores: int) -> str:
    """Point out that threads wait for each other, or are too many."""
    if run.fit_seconds < _WORTHWHILE:
        return ""
    busy = run.fit_cpu_seconds / run.fit_seconds
    measured = (
        f"fits kept {busy:.1f} of {n_cores} cores busy ({run.fit_cpu_seconds:.1f} s of "
        f"CPU time in {run.fit_seconds:.1f} s)"
    )
    if busy > _OVERLOADED * n_cores:
        return f"Fewer workers or threads: {measured}. Lower n_jobs."
    if busy >= _IDLE * n_cores:
        return ""
    threads = max(1, math.ceil(busy))
    workers = min(len(run.batches), n_cores // threads)
    if workers > 1:
        return (
            f"Fewer threads, more workers: {measured}. Run {workers} batches at a time "
            f"with n_jobs={workers}."
        )
    return (
        f"Fewer threads: {measured}. With n_jobs={threads}, the forecaster leaves the "
        "others to other work."
    )


def _advise_on_features(run: Run) -> str:
    """Point out that features take most of the time."""
    if (
        run.features_seconds < _WORTHWHILE
        or run.features_seconds < _DOMINATES_FEATURES * run.total_seconds
    ):
        return ""
    return (
        f"Fewer features: they took {run.features_seconds:.1f} of "
        f"{run.total_seconds:.1f} s. Choose fewer families or windows, or functions "
        "that compute all tickers at once."
    )


def _advise_on_thinning(run: Run) -> str:
    """Point out labels that are near copies of each other, if fits take long."""
    if run.horizon is None or run.thin is None or run.fit_seconds < _WORTHWHILE:
        return ""
    horizon = run.horizon if isinstance(run.horizon, int) else max(run.horizon)
    if run.fit_seconds < _DOMINATES_FIT * run.total_seconds or run.thin >= horizon:
        return ""
    return (
        f"Thinner labels: fits took {run.fit_seconds:.1f} of {run.total_seconds:.1f} s "
        f"with thin={run.thin}, although labels of horizon {horizon} overlap. "
        f"thin={horizon} trains on {run.thin / horizon:.0%} of these rows."
    )
