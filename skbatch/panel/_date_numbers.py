"""Dates written as numbers: 20240102, seconds since 1970, days of a spreadsheet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

# Digits of figures such as 202401021630, least and largest value.
_FIGURES = {
    "%Y%m": (190001, 220012),
    "%Y%m%d": (19000101, 22001231),
    "%Y%m%d%H": (1900010100, 2200123123),
    "%Y%m%d%H%M": (190001010000, 220012312359),
    "%Y%m%d%H%M%S": (19000101000000, 22001231235959),
}
_EPOCHS: dict[Any, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_FIRST_SECOND, _LAST_SECOND = 1e8, 7.3e9  # 1973 to 2201
# 1980 to 2105 in days of a spreadsheet. Days since 1970 are fewer until 2050.
_FIRST_DAY, _LAST_DAY = 29_221, 75_000
_DAY_ZERO = "1899-12-30"
# Prices, too, may be round and rise for some rows.
_ENOUGH_ROWS = 5
_ROWS_OF_NUMBERS = 30


def may_be_date(value: float) -> bool:
    """Return whether one number may be a date, before all are looked at."""
    if not np.isfinite(value) or value % 1:
        return False
    figures = any(low <= value <= high for low, high in _FIGURES.values())
    return figures or _FIRST_DAY <= value <= _LAST_DAY or value >= _FIRST_SECOND


def numbers_to_dates(
    values: np.ndarray, *, sure: bool = False, rising: bool = True
) -> pd.DatetimeIndex | None:
    """Read numbers as dates, None if they are none."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    if not len(known) or (sure and len(known) < len(numbers)):
        return None
    whole = bool((known % 1 == 0).all())
    if sure and not (whole and (not rising or _is_rising(known))):
        return None
    for form, (low, high) in _FIGURES.items():
        if whole and low <= known.min() and known.max() <= high:
            texts = pd.Series(numbers).map("{:.0f}".format, na_action="ignore")
            dates = pd.to_datetime(texts, format=form, errors="coerce")
            if dates.notna().sum() == len(known) and (not sure or len(known) > 1):
                return pd.DatetimeIndex(dates)
    return _since_epoch(values, known, sure, rising)


def counts_rows(values: np.ndarray) -> bool:
    """Return whether numbers change as rows, days or years do, and no prices."""
    # Whole steps in one direction, fractions of years, or figures that begin with the
    # day or month, as 31122024.
    if len(values) < _ROWS_OF_NUMBERS or not np.isfinite(values).all():
        return False
    if _is_rising(values):
        steps = np.diff(values)
        # An index of cash may rise as well, but hardly by a day's part of a year.
        years = values.min() >= 1900 and values.max() <= 2200
        daily = 1 / 400 <= abs(steps.mean()) <= 1 / 200
        return bool((steps == np.rint(steps)).all() or (years and daily))
    days, years = np.divmod(values, 10_000)
    parts = np.sort(np.divmod(days, 100), axis=0)
    return bool(
        (values == np.rint(values)).all()
        and ((years >= 1900) & (years <= 2200)).all()
        and ((parts[0] >= 1) & (parts[0] <= 12) & (parts[1] <= 31)).all()
    )


def _is_rising(values: np.ndarray) -> bool:
    """Return whether values change in one direction only."""
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


def _since_epoch(
    values: np.ndarray, known: np.ndarray, sure: bool, rising: bool
) -> pd.DatetimeIndex | None:
    """Read seconds since 1970, parts of them, or days of a spreadsheet."""
    if sure and len(known) < _ENOUGH_ROWS:
        return None
    for unit, scale in _EPOCHS.items():
        if _FIRST_SECOND * scale <= known.min() and known.max() <= _LAST_SECOND * scale:
            if sure and (known % (60 * scale)).any():
                return None
            return pd.DatetimeIndex(pd.to_datetime(pd.Series(values), unit=unit))
    if known.min() >= _FIRST_DAY and known.max() <= _LAST_DAY:
        if sure and (not rising or np.abs(np.diff(known)).max() > 31):
            return None
        days = pd.to_timedelta(pd.Series(values), unit="D")
        return pd.DatetimeIndex((pd.Timestamp(_DAY_ZERO) + days).dt.round("s"))
    return None
