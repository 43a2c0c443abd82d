"""How a portfolio is split into batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skbatch._messages import format_tickers, warn_user
from skbatch._sklearn import Interval, Seed, StrOptions
from skbatch.exceptions import BatchWarning
from skbatch.panel.engine import panel_fields, panel_tickers

_CLUSTER_RETURNS = 504  # two years: long enough to measure, short enough to be of today
_MIN_OVERLAP = 63  # common returns below which a correlation is mostly noise
_MIN_VOLATILITY = 1e-10  # a constant growth leaves less than that to rounding
_MIN_CLUSTERED = 2

Piece = tuple[str, list[str]]


@dataclass(frozen=True)
class Batch:
    """Tickers that are run together.

    Attributes
    ----------
    number : int
        Place among the batches, from 1 on.
    name : str
        What is in it, in words; no two batches of a split share a name.
    tickers : tuple of str
        Its tickers, in the order of the panel.
    """

    number: int
    name: str
    tickers: tuple[str, ...]


class SimpleBatchManager(BaseEstimator):
    r"""Split the tickers of a portfolio into batches.

    One batch of all tickers is best as long as it fits into memory: a pooled model
    learns from every ticker. Beyond `max_batch_size`, tickers that resemble each other
    are best kept together, which is what `groups` is for.

    Parameters
    ----------
    max_batch_size : int, default=None
        Largest number of tickers in a batch; None puts all into one.
    groups : dict, Series, "correlation" or None, default=None
        Which tickers belong together, if there are several batches.

        - None: neighbors in the panel.
        - ticker → label, such as the sector: whole groups, packed into as few batches
          as will hold them. A group larger than a batch is cut into equal parts.
          Tickers without a label are a group of their own. Codes of sectors must be
          text, as numbers have another meaning.
        - ticker → number, such as the market capitalization: neighbors when sorted
          from large to small; tickers without a number come last.
        - "correlation": neighbors in a hierarchical clustering of the returns.
    random_state : int, RandomState instance or None, default=0
        Seed of the random assignment of tickers that cannot be clustered.

    Notes
    -----
    Clustering is average linkage on the distance :math:`\sqrt{(1 - \rho) / 2}`, half
    that of [1]_, with the correlation :math:`\rho` of the log returns of the last 504
    rows. Batches are equal parts of the order of the dendrogram's leaves. A ticker
    whose returns do not vary, or that shares fewer than 63 of them with the others, is
    placed at random among them.

    References
    ----------
    .. [1] Mantegna, R. N. (1999). Hierarchical structure in financial markets. The
       European Physical Journal B, 11(1), 193–197.
       https://doi.org/10.1007/s100510050929

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skbatch.batch import SimpleBatchManager
    >>> prices = pd.DataFrame(np.ones((2, 5)), columns=list("ABCDE"))
    >>> sectors = {"A": "tech", "B": "oil", "C": "tech", "D": "oil", "E": "tech"}
    >>> manager = SimpleBatchManager(max_batch_size=3, groups=sectors)
    >>> for batch in manager.split(prices):
    ...     print(batch.number, batch.name, *batch.tickers)
    1 tech A C E
    2 oil B D
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "groups": [Mapping, pd.Series, StrOptions({"correlation"}), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        max_batch_size: int | None = None,
        groups: Mapping[str, str | float] | pd.Series | str | None = None,
        random_state: Seed = 0,
    ) -> None:
        self.max_batch_size = max_batch_size
        self.groups = groups
        self.random_state = random_state

    def split(self, prices: pd.DataFrame) -> list[Batch]:
        """Assign every ticker to exactly one batch.

        Parameters
        ----------
        prices : DataFrame of shape (n_dates, n_tickers)
            Panel as :func:`~skbatch.check_panel` returns it, with or without fields.

        Returns
        -------
        list of Batch
            None is empty, none holds more than `max_batch_size` tickers.

        Raises
        ------
        ValueError
            If a parameter is invalid, or a table of groups names no ticker of the
            panel, a ticker twice, or holds both labels and numbers.

        Warns
        -----
        BatchWarning
            If tickers cannot be clustered at all, and are assigned at random.
        """
        self._validate_params()
        tickers = panel_tickers(prices)
        table = _read_table(self.groups, tickers)
        numeric = table is not None and _is_numeric(table)
        size = self.max_batch_size or len(tickers)
        if size >= len(tickers):
            return [Batch(1, "all", tuple(tickers))]
        if table is not None and numeric:
            pieces = _by_number(tickers, table, size)
        elif table is not None:
            pieces = _by_label(tickers, table, size)
        elif self.groups is None:
            pieces = [(_span(part), part) for part in _cut(tickers, size)]
        else:
            pieces = self._by_correlation(prices, tickers, size)
        place = {ticker: number for number, ticker in enumerate(tickers)}
        return [
            Batch(number, name, tuple(sorted(part, key=place.__getitem__)))
            for number, (name, part) in enumerate(pieces, start=1)
        ]

    def _by_correlation(
        self, prices: pd.DataFrame, tickers: list[str], size: int
    ) -> list[Piece]:
        """Split tickers in the order of a clustering, or a random one if that fails."""
        random = check_random_state(self.random_state)
        closes = panel_fields(prices)["close"][-_CLUSTER_RETURNS - 1 :]
        try:
            kept, order = _cluster(np.diff(np.log(closes), axis=0))
            problem = "" if len(kept) >= _MIN_CLUSTERED else "too few common returns"
        except MemoryError as error:
            problem = f"MemoryError: {error}"
        if problem:
            warn_user(
                'Tickers must have returns on common dates for `groups="correlation"`. '
                f"Got {problem}, so {len(tickers)} tickers are assigned to batches at "
                "random. Pass a longer history, or a table of groups.",
                BatchWarning,
            )
            names = list(random.permutation(np.array(tickers, dtype=object)))
            return [(f"random {_few(part)}", part) for part in _cut(names, size)]
        others = np.setdiff1d(np.arange(len(tickers)), kept)
        places = np.r_[
            np.arange(len(order)), random.uniform(0, len(order), len(others))
        ]
        numbers = np.r_[kept[order], others][np.argsort(places, kind="stable")]
        parts = _cut([tickers[number] for number in numbers], size)
        return [(f"cluster of {_few(part)}", part) for part in parts]


def _read_table(groups: Any, tickers: list[str]) -> pd.Series | None:
    """Look up each ticker's label or number; None where there is no table."""
    if groups is None or isinstance(groups, str):
        return None
    if isinstance(groups, pd.Series) and not groups.index.is_unique:
        twice = groups.index[groups.index.duplicated()].unique()
        raise ValueError(
            "`groups` must hold every ticker once. Got duplicates of "
            f"{format_tickers(twice)}. Drop them with "
            "`groups[~groups.index.duplicated()]`."
        )
    values = pd.Series(
        [groups.get(ticker) for ticker in tickers], tickers, dtype=object
    )
    if values.isna().all():
        raise ValueError(
            "`groups` must name some of the panel's tickers. Got "
            f"{format_tickers(groups.keys()) or 'none'}, the panel has "
            f"{format_tickers(tickers)}."
            " Use the panel's tickers as keys."
        )
    return values


def _is_numeric(table: pd.Series) -> bool:
    """Return whether values are numbers or labels; raise on a mixture."""
    known = table.dropna()
    numeric = [
        isinstance(value, Real | Decimal) and not isinstance(value, bool)
        for value in known
    ]
    if any(numeric) and not all(numeric):
        number, label = known[numeric].iloc[0], known[~np.array(numeric)].iloc[0]
        raise ValueError(
            "`groups` must hold labels only, or numbers only. Got both, such as "
            f"{label!r} and {number!r}. Write codes that are labels as text."
        )
    return all(numeric)


def _cut(tickers: Sequence[str], size: int) -> list[list[str]]:
    """Split into the fewest equal parts of at most `size` tickers."""
    n_parts = -(-len(tickers) // size)
    edges = [len(tickers) * part // n_parts for part in range(n_parts + 1)]
    return [list(tickers[start:stop]) for start, stop in pairwise(edges)]


def _span(tickers: Sequence[str]) -> str:
    """Name neighbors by the first and the last of them."""
    return " to ".join(dict.fromkeys([tickers[0], tickers[-1]]))


def _few(tickers: Sequence[str]) -> str:
    """Name tickers without an order by two of them."""
    return format_tickers(tickers, limit=2)


def _by_number(tickers: list[str], table: pd.Series, size: int) -> list[Piece]:
    """Split the tickers' order from the largest number to the smallest."""
    numbers = table.where(table.notna(), np.nan).astype(np.float64)
    order = list(numbers.sort_values(ascending=False, kind="stable").index)
    pieces = []
    for part in _cut(order, size):
        ends = [
            "no number" if pd.isna(numbers[ticker]) else f"{numbers[ticker]:.3g}"
            for ticker in part
        ]
        pieces.append((f"{_span(part)}, {_span(ends)}", part))
    return pieces


def _by_label(tickers: list[str], table: pd.Series, size: int) -> list[Piece]:
    """Pack groups into batches, the largest first, each where it fits first."""
    groups: dict[str | None, list[str]] = {}
    for ticker, label, unknown in zip(tickers, table, table.isna(), strict=True):
        groups.setdefault(None if unknown else str(label), []).append(ticker)
    pieces: list[Piece] = []
    for label, members in groups.items():
        name = "no group" if label is None else label
        parts = _cut(members, size)
        numbers = [f" ({n} of {len(parts)})" for n in range(1, len(parts) + 1)]
        endings = numbers if len(parts) > 1 else [""]
        pieces += [(name + end, part) for end, part in zip(endings, parts, strict=True)]
    bins: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: -len(piece[1])):
        room = (b for b in bins if sum(len(p) for _, p in b) + len(piece[1]) <= size)
        chosen = next(room, None)
        if chosen is None:
            bins.append([piece])
        else:
            chosen.append(piece)
    return [
        (format_tickers(name for name, _ in b), [t for _, part in b for t in part])
        for b in bins
    ]


def _cluster(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the series that can be clustered, and the order of the tree's leaves."""
    rho = _pairwise_correlation(returns)
    unknown = np.isnan(rho)
    lacking = unknown.sum(axis=0)
    # The ticker that lacks the most partners leaves first: a late listing goes,
    # not all those that it cannot be compared with.
    while lacking.max() > 0:
        worst = np.argmax(lacking)
        lacking -= unknown[worst]
        lacking[worst] = -len(rho)
    kept = np.flatnonzero(lacking == 0)
    if len(kept) < _MIN_CLUSTERED:
        return kept, np.arange(len(kept))
    distance = np.sqrt((1 - rho[np.ix_(kept, kept)]) / 2)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    return kept, leaves_list(tree)


def _pairwise_correlation(returns: np.ndarray) -> np.ndarray:
    """Correlate each pair over its common rows; NaN where there are too few."""
    known = np.isfinite(returns)
    weight = known.astype(np.float64)
    count = weight.T @ weight
    # Standardized, sums of squares differ too little to cancel each other out.
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(known, returns, 0.0)
        x = (x - x.sum(axis=0) / weight.sum(axis=0)) * weight  # missing stay at 0
        scale = np.sqrt((x**2).sum(axis=0) / weight.sum(axis=0))
        x /= np.where(scale > _MIN_VOLATILITY, scale, np.nan)
        total, square = x.T @ weight, (x**2).T @ weight
        variance = square - total**2 / count
        covariance = x.T @ x - total * total.T / count
        rho = covariance / np.sqrt(variance * variance.T)
    enough = (count >= _MIN_OVERLAP) & (np.minimum(variance, variance.T) > 1e-9)
    return np.where(enough, np.clip(rho, -1.0, 1.0), np.nan)
