"""Tables that pass for prices and are something else."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from skbatch._messages import date_text
from skbatch.exceptions import PanelError
from skbatch.panel._dates import (
    counts_rows,
    is_date_text,
    may_be_date,
    numbers_to_dates,
)
from skbatch.panel._spellings import find_row_numbers, is_date_part

_DECIMAL = re.compile(r"^\d+\.\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$", re.MULTILINE)
_NUMBER = re.compile(r"^\d+(?:\.\d*)*$", re.MULTILINE)
# Wrong prices are rare; of returns, about half are negative.
_MAX_NOT_POSITIVE = 0.2
_MIN_CELLS = 100  # too few values to distinguish the two
_MIN_ROWS = 30
_MAX_TICKERS = 32  # more add no information
# Price relatives are near 1, and do not depend on the one before, as prices do.
_MAX_DISTANCE = 0.2
_MAX_AUTOCORRELATION = 0.3
_LEAST_DEVIATION, _MOST_DEVIATION = 0.001, 0.08


def check_names(frame: pd.DataFrame) -> None:
    """Raise if the first row of data, or the dates, were taken for the tickers."""
    names = frame.columns.tolist()
    if not names:
        return
    first = frame.iloc[0, 0] if len(frame) else None
    if names == list(range(len(names))) and is_date_text(first):
        raise PanelError(
            "`X.columns` must be tickers. Got the numbers of columns, and the date "
            f"{first!r} in the first of them. Name the columns, such as "
            '`X.columns = ["Date", "AAPL", ...]`, and use `read_panel(X)`.'
        )
    texts = "\n".join(map(str, names))
    cells = _DECIMAL.findall(texts)
    if is_date_text(frame.index.name) or (len(names) > 1 and is_date_text(names[0])):
        cells = cells or _NUMBER.findall(texts)
    if cells:
        raise PanelError(
            f"`X.columns` must be tickers. Got numbers such as {cells[0]!r}, as if the "
            "first row of prices had been taken for the header. Read the file with "
            "`pd.read_csv(path, header=None, index_col=0)`, then name the tickers with "
            "`X.columns = [...]`."
        )
    if all(isinstance(name, pd.Timestamp) or is_date_text(name) for name in names):
        raise PanelError(
            "`X.columns` must be tickers, and its rows dates. Got dates such as "
            f"{date_text(names[0])} as columns. Transpose the table with `X.T`."
        )


def check_no_index(frame: pd.DataFrame, values: np.ndarray) -> None:
    """Raise if a column of numbers is a saved index or holds dates."""
    names = frame.columns.tolist()
    for number in find_row_numbers(names):
        if _are_row_numbers(values[:, number]):
            name = names[number]
            raise PanelError(
                f"`X.columns` must be tickers. Got whole numbers in {name!r}, such as "
                f"{values[0, number]:.0f}, which is a saved index. Drop it with "
                f"`X.drop(columns={name!r})`."
            )
    last = values[-1]
    whole = np.flatnonzero(last == np.rint(last)).tolist()
    for number in whole:
        name = names[number]
        if is_date_part(name) and (values[:, number] % 1 == 0).all():
            raise PanelError(
                f"`X.columns` must be tickers. Got parts of dates in {name!r}, such as "
                f"{values[0, number]:.0f}. Combine the parts into one column of dates "
                "with `pd.to_datetime`, and drop the parts."
            )
    for number in whole:
        dates = None
        if may_be_date(last[number]):
            dates = numbers_to_dates(values[:, number], sure=True)
        if dates is not None:
            name = names[number]
            raise PanelError(
                f"`X.columns` must be tickers. Got dates in {name!r}, such as "
                f"{values[0, number]:.0f} for {date_text(dates[0])}. Set them as "
                f"the index with `read_panel(X, date={name!r})`, or drop them with "
                f"`X.drop(columns={name!r})`."
            )
    _check_no_counts(names, values)


def _check_no_counts(names: list[Any], values: np.ndarray) -> None:
    """Raise if a column among others numbers the rows, or their dates."""
    with np.errstate(invalid="ignore"):
        steps = np.diff(values[-3:], axis=0)
    one_way = (steps != 0).all(axis=0) & (steps == np.rint(steps)).all(axis=0)
    years = (values[-1] >= 1900) & (values[-1] <= 2200)
    found = [n for n in np.flatnonzero(one_way | years) if counts_rows(values[:, n])]
    if not found:
        return
    others = np.delete(values, found, axis=1)
    rises, falls = others[1:] > others[:-1], others[1:] < others[:-1]
    # All tickers of an example may rise.
    if (rises.any(axis=0) & falls.any(axis=0)).any():
        name, first = names[found[0]], f"{values[0, found[0]]:.10g}"
        raise PanelError(
            f"`X.columns` must be tickers. Got numbers in {name!r}, such as {first}, "
            "which count rows or days. If they are dates, write them as YYYY-MM-DD "
            f"and use `read_panel(X, date={name!r})`, else drop them with "
            f"`X.drop(columns={name!r})`."
        )


def _are_row_numbers(values: np.ndarray) -> bool:
    """Return whether values are whole numbers, each once."""
    whole = len(values) > 1 and bool((values == np.rint(values)).all())
    return whole and len(np.unique(values)) == len(values)


def check_days(frame: pd.DataFrame) -> None:
    """Raise if days have two rows that should be one."""
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        return
    days = index.tz_localize(None).normalize()
    same = days[1:] == days[:-1]
    if not same.any():
        return
    first = int(np.flatnonzero(same)[0])
    shown = f"{date_text(index[first])} and {date_text(index[first + 1])}"
    n_days = len(days) - int(same.sum())
    n_several = int((same & ~np.append(False, same[:-1])).sum())  # days
    if 2 * n_several <= n_days:
        raise PanelError(
            "`X.index` must hold every day once where rows are days. Got two rows of "
            f"the same day, {shown}. Keep the last price of each day with "
            "`X.groupby(X.index.normalize()).last()`."
        )
    known = frame.notna().to_numpy()
    starts = np.flatnonzero(np.append(True, ~same))
    per_day = np.add.reduceat(known, starts, axis=0, dtype=np.intp)
    if frame.shape[1] > 1 and per_day.max() <= 1:
        raise PanelError(
            "Time stamps of all tickers must agree. Got days with several rows, such "
            f"as {shown}, of which every ticker has one only. Before you join the "
            "tables, drop the times of each with "
            "`table.index = table.index.tz_localize(None).normalize()`."
        )


def check_no_returns(closes: np.ndarray) -> None:
    """Raise if a table holds returns, or price relatives, instead of prices."""
    if closes.size < _MIN_CELLS:
        return
    negative = closes < 0
    if negative.any():
        n_known = np.maximum(1, (~np.isnan(closes)).sum(axis=0))
        shares = (closes <= 0).sum(axis=0) / n_known
        signs = negative.any(axis=0) & (closes > 0).any(axis=0)
        # One ticker with returns or invalid values does not affect the others.
        if np.mean(signs & (shares > _MAX_NOT_POSITIVE)) > 0.5:
            raise PanelError(
                f"Prices must be positive. Got {100 * np.mean(shares):.0f}% of values "
                "that are not, as in a table of returns. Pass the prices themselves, "
                "or, if these are simple returns, `(1 + X).cumprod()`."
            )
    if len(closes) < _MIN_ROWS:
        return
    some = closes[:: len(closes) // 16]
    some = some[np.isfinite(some)]
    scales = [
        scale
        for scale in (1, 100)
        if len(some) and np.median(np.abs(some / scale - 1)) <= _MAX_DISTANCE
    ]
    sample = closes[:, :: -(-closes.shape[1] // _MAX_TICKERS)]
    if scales and _are_relatives(sample / scales[0]):
        unit, power = ("1", "X") if scales == [1] else ("100", "(X / 100)")
        raise PanelError(
            f"Values must be prices. Got values near {unit} that do not depend on the "
            f"row before, such as {closes[~np.isnan(closes)][0]:.6g}, as in a table of "
            f"price relatives ({unit} + return). Pass the prices themselves, or "
            f"`{power}.cumprod()`."
        )


def _are_relatives(closes: np.ndarray) -> bool:
    """Return whether most columns have no autocorrelation, as returns."""
    finite = np.where(np.isfinite(closes), closes, np.nan)
    known = ~np.isnan(finite)
    n_known = known.sum(axis=0)
    finite, known = finite[:, n_known >= _MIN_ROWS], known[:, n_known >= _MIN_ROWS]
    if not finite.size:
        return False
    deviations = finite - np.nanmedian(finite, axis=0)
    # A few wild values are no evidence about the others.
    typical = np.nanmedian(np.abs(deviations), axis=0)
    deviations = np.clip(deviations, -2 * typical, 2 * typical)
    variance = np.nanmean(deviations**2, axis=0)
    products = np.nan_to_num(deviations[1:] * deviations[:-1]).sum(axis=0)
    n_pairs = np.maximum(1, (known[1:] & known[:-1]).sum(axis=0))
    correlation = products / n_pairs / np.maximum(variance, 1e-300)
    return bool(
        _LEAST_DEVIATION < np.median(typical) < _MOST_DEVIATION
        and np.median(correlation) < _MAX_AUTOCORRELATION
    )
