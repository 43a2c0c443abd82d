"""Forecast from a window of asset returns, as skfolio's estimators get it.

Prices of the window hold nothing later, and nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from skbatch._messages import (
    count,
    date_text,
    format_tickers,
    silence_warnings,
    warn_user,
)
from skbatch.exceptions import (
    FallbackWarning,
    PanelWarning,
    PortfolioError,
    PortfolioWarning,
)
from skbatch.panel import check_panel
from skbatch.panel.engine import panel_fields, panel_tickers
from skbatch.portfolio._expected import ExpectedReturns
from skbatch.portfolio._fitting import describe_service, fit_last
from skbatch.portfolio._models import prepare

# Returns of `X` and of `prices` are the same if they differ by less than this: rounding
# and single-precision prices do, neighboring days do not.
SAME_RETURN = 1e-4


@dataclass(frozen=True)
class Window:
    """What a forecaster expects at the end of a window."""

    expected: ExpectedReturns
    returns: pd.DataFrame
    per_row: np.ndarray
    last: pd.DataFrame

    def warn(self) -> None:
        """Warn once of tickers without a forecast, or without the primary model's."""
        reasons = self.expected.provenance["reason"]
        lost = reasons.index[~np.isfinite(self.per_row)]
        missing = {str(t): str(reasons[t]) or "no finite forecast" for t in lost}
        others = reasons.index[reasons.ne("")].difference(lost)
        fate = "no weight in skfolio"
        text = describe_service(missing, others, len(reasons), fate, "provenance_")
        if text:
            warn_user(text, PortfolioWarning if missing else FallbackWarning)


def fit_on_window(estimator: Any, X: Any) -> Window:
    """Fit the forecaster of an estimator of skfolio, and record what it found."""
    returns = _read_returns(estimator, X)
    if estimator.prices is None:
        panel = check_panel(compounded_prices(returns), warn_all_nan=False)
    else:
        panel = _known_prices(estimator.prices, returns)
    model, horizon = prepare(estimator.forecaster, estimator.horizon)
    found, last = fit_last(model, panel, horizon)
    tickers = list(returns.columns)
    provenance = found.provenance.loc[tickers]
    expected = ExpectedReturns(
        {ticker: found[ticker] for ticker in tickers},
        horizon=horizon,
        provenance=provenance,
    )
    estimator.forecaster_, estimator.horizon_ = model, horizon
    estimator.provenance_ = provenance
    estimator.expected_returns_ = expected.to_series()
    # No compounding of rows loses more than 100%.
    values = estimator.expected_returns_.to_numpy()
    per_row = np.expm1(np.log1p(np.where(values > -1.0, values, np.nan)) / horizon)
    return Window(expected, returns, per_row, last)


def _read_returns(estimator: Any, X: Any) -> pd.DataFrame:
    """Check asset returns, and record their names; x0, x1, … where there are none."""
    values = validate_data(
        estimator,
        X,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        ensure_min_samples=2,
    )
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{number}" for number in range(values.shape[1])]
    index = X.index if isinstance(X, pd.DataFrame) else None
    return pd.DataFrame(values, index, list(names))


def compounded_prices(returns: pd.DataFrame) -> pd.DataFrame:
    """Compound returns to prices, 1 in the row before each ticker's first return."""
    values = returns.to_numpy()
    known = values > -1.0
    rows = np.arange(len(values))[:, None]
    first = known.argmax(axis=0)
    last = len(values) - 1 - known[::-1].argmax(axis=0)
    holes = ~known & (rows < last)
    start = np.where(holes, rows, -1).max(axis=0) + 1
    inside = (rows >= start) & (rows <= last) & known.any(axis=0)
    prices = np.cumprod(np.where(inside, 1.0 + values, 1.0), axis=0)
    # A return needs a price before it, which is 1.
    before = (rows == start - 1) & known.any(axis=0)
    prices = np.where(inside | before, prices, np.nan)
    _warn_gaps([*returns.columns[known.any(axis=0) & (start > first)]])
    return pd.DataFrame(prices, returns.index, returns.columns)


def _known_prices(prices: Any, returns: pd.DataFrame) -> pd.DataFrame:
    """Select the prices up to the last row of some returns, with all fields."""
    if not isinstance(prices, pd.DataFrame):
        raise PortfolioError(
            f"`prices` must be a DataFrame. Got {type(prices).__name__}. Pass a panel "
            "with the dates and tickers of `X`."
        )
    absent = returns.index.difference(prices.index)
    if len(absent):
        raise PortfolioError(
            f"`prices` must have all rows of `X`. Got none for {len(absent)} of "
            f"{len(returns)}, the first {date_text(absent[0])}. Pass the prices that "
            "`X` was made of, and `X` as a DataFrame with their dates."
        )
    # Cut before anything looks at the prices: not even a check depends on later ones.
    cut = prices.loc[prices.index <= returns.index[-1]]
    with silence_warnings(PanelWarning):
        panel = check_panel(cut)
    lacking = [t for t in returns.columns if t not in set(panel_tickers(panel))]
    if lacking:
        raise PortfolioError(
            f"`prices` must have all tickers of `X`. Got none of "
            f"{format_tickers(lacking)}. Pass the prices that `X` was made of."
        )
    _check_same(panel, returns)
    return panel


def _check_same(panel: pd.DataFrame, returns: pd.DataFrame) -> None:
    """Reject prices that the returns are not made of, such as shifted ones."""
    close = panel_fields(panel)["close"]
    closes = pd.DataFrame(close, panel.index, panel_tickers(panel))[[*returns.columns]]
    moves = closes.pct_change(fill_method=None).loc[returns.index].to_numpy()
    given = returns.to_numpy()
    # Where nothing moves, any prices agree.
    both = np.isfinite(moves) & np.isfinite(given) & ((moves != 0) | (given != 0))
    same = both & (np.abs(moves - given) < SAME_RETURN)
    # Of each ticker: one that is shifted must not hide among others.
    other = 2 * same.sum(axis=0) < both.sum(axis=0)
    if other.any():
        share = float(same[:, other].sum() / both[:, other].sum())
        raise PortfolioError(
            "`X` must hold the returns of `prices` from row to row. Got the same "
            f"return in {share:.0%} of the cells of "
            f"{format_tickers(returns.columns[other])}. Pass the prices that `X` was "
            "made of, with the same dates: prices of later days would let the future "
            "in."
        )


def _warn_gaps(tickers: list[str]) -> None:
    if tickers:
        warn_user(
            f"The returns of {count(len(tickers))} have gaps: "
            f"{format_tickers(tickers)}. The returns in between are unknown, so "
            "only prices since the last gap are used. Pass `prices`, or returns of "
            "prices that are filled forward.",
            PortfolioWarning,
        )
