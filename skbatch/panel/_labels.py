"""Labels: the returns that forecasters learn, final ones included."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from skbatch._messages import check_int, count
from skbatch.panel._check import CheckedPanel, check_panel
from skbatch.panel._fields import panel_fields, panel_tickers
from skbatch.panel._reach import RecordedHorizon
from skbatch.panel._universe import Universe, find_members

Tickers: TypeAlias = Sequence[str] | pd.Index
# Of all tickers, by ticker, or of none.
Final: TypeAlias = float | pd.Series | None
# A ticker without a price in so many last rows is gone, and not only quiet.
QUIET_ROWS = 10


def forward_returns(
    prices: object,
    horizon: int | Sequence[int] = 1,
    delay: int = 0,
    *,
    universe: Universe | None = None,
    delisting_return: float | pd.Series | None = None,
) -> pd.DataFrame:
    r"""Compute the returns that follow each date: the labels of forecasters.

    Parameters
    ----------
    prices : DataFrame or array-like of shape (n_dates, n_tickers)
        Panel of prices, or one with fields (see :func:`check_panel`), of which the
        closes are taken.
    horizon : int or sequence of int, default=1
        Length of the returns, in rows (not calendar days), at least 1 and less than
        ``n_dates``. A sequence gives the returns of each length side by side.
    delay : int, default=0
        Rows from the date to the close at which its forecast is traded: 0 trades at
        the close that the forecast is made from, 1 at the next close.
    universe : str, DataFrame or callable, default=None
        Who belongs at each date, as for :class:`~skbatch.SharedFeatureExtractor`. The
        labels of others are NaN.
    delisting_return : float or Series, default=None
        Final return of tickers whose prices end at least ten rows before the panel,
        such as -0.3, or by ticker: labels that reach beyond the last price end with
        it. By default, and for tickers that a Series lacks, these are NaN.

    Returns
    -------
    DataFrame of shape (n_dates, n_tickers) or (n_dates, n_horizons * n_tickers)
        Simple returns, not percent and not annualized. The last ``horizon + delay``
        rows are NaN, as is every return that begins or ends with a missing price. For
        a sequence, the columns are a MultiIndex (horizon, ticker). The horizon, as int
        or tuple, is also in ``attrs["horizon"]``, and the delay in ``attrs["delay"]``,
        where forecasters find them; pandas keeps them when rows are selected. With
        them some labels are kept, by which forecasters see whether others have been
        moved in time since.

    Raises
    ------
    PanelError
        If `prices` is malformed, see :func:`check_panel`.
    ValueError
        If `horizon` is not an int, repeated or less than 1, `delay` not an int or
        negative, or their sum not less than the number of dates; if
        `delisting_return` is below -1 or infinite.

    Notes
    -----
    With the price :math:`P_t` at row :math:`t`, the label for horizon :math:`h` and
    delay :math:`d` is

    .. math:: y_t = P_{t+d+h} / P_{t+d} - 1

    That a ticker is gone is known ten rows after its last price, and so are labels
    that end with a `delisting_return`. ``attrs["final_returns"]`` records when, and
    forecasters and scorers leave out those that the last of their rows did not know.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch.panel import forward_returns
    >>> forward_returns(pd.DataFrame({"AAPL": [2.0, 3.0, 6.0]}))
       AAPL
    0   0.5
    1   1.0
    2   NaN
    >>> forward_returns(pd.DataFrame({"AAPL": [2.0, 3.0, 6.0]}), delay=1)
       AAPL
    0   1.0
    1   NaN
    2   NaN
    """
    if isinstance(prices, CheckedPanel):
        panel = prices.frame
    else:
        panel = check_panel(prices, warn_all_nan=False)
    check_int(delay, "delay", 0, "Pass 1 to trade at the close of the next row.")
    horizons = _check_horizons(horizon, int(delay), len(panel))
    closes = panel_fields(panel)["close"]
    ends = with_final_values(closes, panel_tickers(panel), delisting_return)
    returns = [_returns(closes, ends, step, delay) for step in horizons]
    if universe is not None:
        members = find_members(panel, universe)
        returns = [np.where(members, values, np.nan) for values in returns]
    if panel.columns.nlevels == 1:
        tickers = panel.columns
    else:
        tickers = pd.Index(panel_tickers(panel), name="ticker")
    several = not isinstance(horizon, Integral)
    if several:
        tickers = pd.MultiIndex.from_product(
            [horizons, list(tickers)], names=["horizon", "ticker"]
        )
    labels = pd.DataFrame(np.hstack(returns), index=panel.index, columns=tickers)
    recorded = tuple(
        RecordedHorizon.of(h, delay, pd.DataFrame(labels[h]) if several else labels)
        for h in horizons
    )
    labels.attrs["horizon"] = recorded if several else recorded[0]
    labels.attrs["delay"] = int(delay)
    if ends is not closes:
        late = late_labels(closes, ends, labels, max(horizons) + delay)
        labels.attrs["final_returns"] = late
    return labels


def _check_horizons(
    horizon: int | Sequence[int], delay: int, n_dates: int
) -> tuple[int, ...]:
    """Turn the horizon into a tuple of valid ones."""
    given = horizon if isinstance(horizon, (Sequence, np.ndarray)) else [horizon]
    steps = [
        int(h) for h in given if isinstance(h, Integral) and not isinstance(h, bool)
    ]
    if (
        len(steps) < len(given)
        or len(set(steps)) < len(steps)
        or min(steps, default=0) < 1
    ):
        raise ValueError(
            "`horizon` must be an int of at least 1, or a sequence of different ones. "
            f"Got {horizon!r}. Pass the number of rows to look ahead, such as 5."
        )
    if max(steps) + delay >= n_dates:
        later, name = (f" at delay {delay}", " plus `delay`") if delay else ("", "")
        raise ValueError(
            f"`horizon`{name} must be less than the number of dates. Got {max(steps)}"
            f"{later} with {count(n_dates, 'date')}. Pass a longer history or a "
            "shorter horizon."
        )
    return tuple(steps)


def _returns(
    closes: np.ndarray, ends: np.ndarray, horizon: int, delay: int
) -> np.ndarray:
    """Compute simple forward returns; NaN where one of the two prices is missing."""
    returns = np.full(closes.shape, np.nan)
    with np.errstate(over="ignore"):
        growth = ends[delay + horizon :] / closes[delay:-horizon]
    returns[: len(growth)] = np.where(np.isfinite(growth), growth - 1, np.nan)
    return returns


def last_prices(closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each ticker's last close, and whether the ticker is gone."""
    known = np.isfinite(closes)
    last = len(closes) - 1 - known[::-1].argmax(axis=0)
    return last, known.any(axis=0) & (last + QUIET_ROWS < len(closes))


def final_returns(given: Final, tickers: Tickers) -> np.ndarray:
    """Return the final return of each ticker; NaN where none is given."""
    if isinstance(given, pd.Series):
        found = given.reindex(pd.Index(tickers)).to_numpy(dtype=np.float64)
    else:
        found = np.full(len(tickers), np.nan if given is None else float(given))
    if (found < -1).any() or np.isinf(found).any():
        raise ValueError(
            "`delisting_return` must be a simple return of at least -1. Got "
            f"{np.nanmin(found):g}. For example, pass -0.3 for a loss of 30%."
        )
    return found


def with_final_values(
    closes: np.ndarray,
    tickers: Sequence[str] | pd.Index,
    final: float | pd.Series | None,
) -> np.ndarray:
    """Continue the closes of tickers that are gone with what was left of them."""
    if final is None:
        return closes
    last, is_gone = last_prices(closes)
    values = closes[last, np.arange(len(tickers))] * (1 + final_returns(final, tickers))
    beyond = is_gone & (np.arange(len(closes))[:, None] > last)
    return np.where(beyond, values, closes)


def late_labels(
    closes: np.ndarray, ends: np.ndarray, labels: pd.DataFrame, reach: int
) -> tuple[tuple[str, Any, Any], ...]:
    """List tickers with a final return: its first label, and when it was known."""
    last, _ = last_prices(closes)
    tickers = list(labels.columns.unique(-1))
    return tuple(
        (
            tickers[place],
            labels.index[max(0, last[place] + 1 - reach)],
            labels.index[last[place] + QUIET_ROWS],
        )
        for place in np.flatnonzero(np.isfinite(ends[-1]) & ~np.isfinite(closes[-1]))
    )


def mask_late(values: np.ndarray, y: Any) -> None:
    """Remove, in place, final returns that were not known at the last row of `y`."""
    # That a ticker is gone shows later than its last labels end.
    if not isinstance(y, pd.DataFrame) or not len(y):
        return
    names = y.columns.get_level_values(-1)
    for ticker, first, known in y.attrs.get("final_returns", ()):
        if y.index[-1] < known:
            values[np.ix_(y.index >= first, names == ticker)] = np.nan
