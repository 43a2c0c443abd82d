"""A ticker beside the others of its group, such as its sector; only with groups."""

from __future__ import annotations

import numpy as np

from skbatch._kernels.cross_section import by_group, centred_rank, gap_from_mean
from skbatch.feature_extraction._context import RowBlock, SeriesFunction
from skbatch.feature_extraction._registry import feature
from skbatch.feature_extraction.catalogue._returns_features import log_return, momentum
from skbatch.feature_extraction.catalogue._volatility_features import volatility

_NEEDS = ("close", "groups")
# Of the user's windows, those of about a quarter, and of a year or more.
_QUARTER, _YEAR = (42, 125), (189, None)


def _gap(dates: RowBlock, base: SeriesFunction, window: int) -> np.ndarray:
    """Subtract the group's mean."""
    return by_group(gap_from_mean, dates.feature(base, window), dates.codes)


def _rank(dates: RowBlock, base: SeriesFunction, window: int) -> np.ndarray:
    """Rank within the group."""
    return by_group(centred_rank, dates.feature(base, window), dates.codes)


@feature("group", scope="cross_section", windows=(5, 63), needs=_NEEDS)
def group_log_return(dates: RowBlock, window: int) -> np.ndarray:
    r"""Log return over the window less the mean of the ticker's group.

    .. math:: x_i - \frac{1}{n_g} \sum_{j \in g(i)} x_j

    References
    ----------
    Da, Z., Liu, Q. and Schaumburg, E. (2014). A closer look at the short-term return
    reversal. Management Science, 60(3), 658–674.
    https://doi.org/10.1287/mnsc.2013.1766
    """
    return _gap(dates, log_return, window)


@feature("group", scope="cross_section", windows=_YEAR, needs=_NEEDS)
def group_momentum(dates: RowBlock, window: int) -> np.ndarray:
    """``momentum`` less the mean of the ticker's group; see ``group_log_return``."""
    return _gap(dates, momentum, window)


@feature("group", scope="cross_section", windows=_QUARTER, needs=_NEEDS)
def group_volatility(dates: RowBlock, window: int) -> np.ndarray:
    """``volatility`` less the mean of the ticker's group; see ``group_log_return``."""
    return _gap(dates, volatility, window)


@feature("group", scope="cross_section", windows=(5, 21), needs=_NEEDS)
def group_rank_log_return(dates: RowBlock, window: int) -> np.ndarray:
    r"""Centered percentile rank of ``log_return`` within the ticker's group.

    .. math:: \frac{\mathrm{rank} - 1}{n_g - 1} - \frac12
    """
    return _rank(dates, log_return, window)


@feature("group", scope="cross_section", windows=_YEAR, needs=_NEEDS)
def group_rank_momentum(dates: RowBlock, window: int) -> np.ndarray:
    """Centered percentile rank of ``momentum`` within the ticker's group.

    For the formula see ``group_rank_log_return``.

    References
    ----------
    Moskowitz, T. J. and Grinblatt, M. (1999). Do industries explain momentum? The
    Journal of Finance, 54(4), 1249–1290. https://doi.org/10.1111/0022-1082.00146
    """
    return _rank(dates, momentum, window)
