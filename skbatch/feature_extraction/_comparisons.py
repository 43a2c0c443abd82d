"""How the tickers of a date are compared, all or within groups."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from skbatch._kernels.cross_section import (
    by_group,
    centred_rank,
    clipped_score,
    gap_from_mean,
)

Statistic = Callable[[np.ndarray], np.ndarray]

COMPARISONS: dict[str, Statistic] = {
    "rank": centred_rank,
    "zscore": clipped_score,
    "gap": gap_from_mean,
}


def split_comparison(text: str, groupings: Collection[str]) -> tuple[str, str] | None:
    """Split ``GROUPING_rank``; the grouping is empty for all tickers."""
    if text in COMPARISONS:
        return "", text
    grouping, _, kind = text.rpartition("_")
    return (grouping, kind) if grouping in groupings and kind in COMPARISONS else None


def check_cross_section(chosen: object, groupings: Collection[str]) -> None:
    """Raise unless a way of comparison is known."""
    if chosen is None:
        return
    found = split_comparison(chosen, groupings) if isinstance(chosen, str) else None
    if found is None or found[1] == "gap":
        kinds = ("rank", "zscore")
        within = [f"{group}_{kind}" for group in groupings for kind in kinds]
        raise ValueError(
            f"`cross_section` must be None or among {', '.join([*kinds, *within])}. "
            f"Got {chosen!r}. Correct it, or name the grouping in `groups`."
        )


def read_comparison(chosen: str, groupings: Collection[str]) -> tuple[str, Statistic]:
    """Find the grouping, empty for all tickers, and the statistic."""
    found = split_comparison(chosen, groupings)
    assert found is not None
    return found[0], COMPARISONS[found[1]]


def compare(values: np.ndarray, statistic: Statistic, codes: np.ndarray | None) -> None:
    """Replace values `(n_dates, n_tickers)` by what they are beside the others."""
    if codes is None:
        values[...] = statistic(values)
    else:
        values[...] = by_group(statistic, values, codes)
