"""How much memory a run takes, and how large its batches may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["MemoryEstimate", "estimate_memory", "largest_batch"]


@dataclass(frozen=True)
class MemoryEstimate:
    """Placeholder until measured."""

    peak_bytes: int


def estimate_memory(system: Any, panel: Any) -> MemoryEstimate:
    """Estimate."""
    raise NotImplementedError


def largest_batch(system: Any, panel: Any) -> int | None:
    """Choose."""
    return system.max_batch_size
