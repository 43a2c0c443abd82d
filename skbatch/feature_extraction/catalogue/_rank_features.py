"""A ticker's place among all tickers of the date, from −1/2 (lowest) to 1/2."""

from __future__ import annotations

import numpy as np

from skbatch._kernels.cross_section import centred_rank
from skbatch.feature_extraction._context import Universe
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction.catalogue._returns_features import log_return, momentum
from skbatch.feature_extraction.catalogue._volatility_features import (
    largest_return,
    volatility,
)
from skbatch.feature_extraction.catalogue._volume_features import dollar_volume

# Of the user's windows, those of about a month, a quarter, a year or more.
_MONTH, _QUARTER, _YEAR = (15, 31), (42, 125), (189, None)


@feature("rank", scope="cross_section", windows=(5, 21))
def rank_log_return(universe: Universe, window: int) -> np.ndarray:
    r"""Centered percentile rank of ``log_return``; ties share the mean of their ranks.

    .. math:: \frac{\mathrm{rank} - 1}{n - 1} - \frac12
    """
    return centred_rank(universe.feature(log_return, window))


@feature("rank", scope="cross_section", windows=_YEAR)
def rank_momentum(universe: Universe, window: int) -> np.ndarray:
    """Centered percentile rank of ``momentum``; see ``rank_log_return``."""
    return centred_rank(universe.feature(momentum, window))


@feature("rank", scope="cross_section", windows=_QUARTER)
def rank_volatility(universe: Universe, window: int) -> np.ndarray:
    """Centered percentile rank of ``volatility``; see ``rank_log_return``."""
    return centred_rank(universe.feature(volatility, window))


@feature("rank", scope="cross_section", windows=_MONTH)
def rank_largest_return(universe: Universe, window: int) -> np.ndarray:
    """Centered percentile rank of ``largest_return``; see ``rank_log_return``."""
    return centred_rank(universe.feature(largest_return, window))


@feature("rank", scope="cross_section", windows=_QUARTER, needs=("close", "volume"))
def rank_dollar_volume(universe: Universe, window: int) -> np.ndarray:
    """Centered percentile rank of ``dollar_volume``; see ``rank_log_return``."""
    return centred_rank(universe.feature(dollar_volume, window))
