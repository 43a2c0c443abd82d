"""The batch beside one ticker at a time: time, memory and accuracy."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline

from skbatch._kernels.scores import finite_mean
from skbatch._messages import (
    check_int,
    describe_error,
    format_tickers,
    silence_warnings,
)
from skbatch.batch._errors import MODEL_FAILURES, default_forecaster
from skbatch.batch._usage import Usage, format_bytes, measure
from skbatch.exceptions import SkbatchWarning
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.metrics import out_of_sample_r2, rank_information_coefficient
from skbatch.metrics.alignment import align
from skbatch.panel import check_panel, forward_returns
from skbatch.panel.engine import PanelLike, panel_tickers, recorded_reach

WAYS = ("batch", "individual")
SCORES = ["rank_ic", "mae", "r2"]
_TOLD: list[tuple[str, str, Callable[[float], str]]] = [
    ("rank_ic", "rank IC", "{:+.4f}".format),
    ("mae", "mean absolute error", "{:.5f}".format),
    ("r2", "R² against zero", lambda r2: f"{100 * r2:+.2f}%"),
]


@dataclass(frozen=True)
class BatchComparison:
    """Time, memory and accuracy of a batch, beside one ticker at a time.

    Attributes
    ----------
    table : DataFrame of shape (2, 5)
        Indexed by "batch" and "individual". ``seconds``: wall time of features, fit
        and forecast, in the repeat whose ratio is the median; ``peak_bytes``: largest
        memory beyond what the process had before; ``rank_ic``, ``mae`` and ``r2``
        (against a forecast of zero) on the test rows, where both ways have a forecast.
    speed_up : float
        How many times as long one ticker at a time takes.
    n_tickers : int
        Number of tickers.
    n_scored : int
        Number of returns that are scored.
    failures : dict of str to str
        Tickers that could not be forecast individually → class and message of the
        error. Their individual forecasts are NaN.
    forecasts : dict of str to DataFrame
        ``"batch"`` and ``"individual"`` → forecasts of the test rows.
    """

    table: pd.DataFrame
    speed_up: float
    n_tickers: int
    n_scored: int
    failures: dict[str, str] = field(repr=False)
    forecasts: dict[str, pd.DataFrame] = field(repr=False)

    @property
    def time_saved(self) -> float:
        """Share of the time of one ticker at a time that the batch saves."""
        return 1.0 - 1.0 / self.speed_up

    @property
    def differences(self) -> pd.Series:
        """Scores of the batch less those of one ticker at a time."""
        batch, single = (self.table.loc[way, SCORES].to_numpy() for way in WAYS)
        return pd.Series(batch - single, index=SCORES, name="difference")

    def summary(self) -> str:
        """Summarize the comparison in a few sentences.

        Returns
        -------
        str
            Time, memory and accuracy of both ways, and the tickers that failed.
        """
        batch, single = (dict(self.table.loc[way]) for way in WAYS)
        tickers = "1 ticker" if self.n_tickers == 1 else f"{self.n_tickers} tickers"
        saved, costs = self.time_saved, 1 / self.speed_up - 1
        result = f"saves {saved:.0%}" if saved >= 0 else f"takes {costs:.0%} longer"
        sentences = [
            f"{tickers} took {batch['seconds']:.2f} s as a batch and "
            f"{single['seconds']:.2f} s one at a time: {self.speed_up:.1f} times as "
            f"long, so the batch {result}.",
            f"Memory grew by {format_bytes(batch['peak_bytes'])} and "
            f"{format_bytes(single['peak_bytes'])}.",
        ]
        scores = [
            f"{name} {form(batch[score])} and {form(single[score])}"
            for score, name, form in _TOLD
            if np.isfinite(self.differences[score])
        ]
        if scores:
            sentences.append(f"On {self.n_scored} returns, {', '.join(scores)}.")
        if self.failures:
            sentences.append(
                f"{len(self.failures)} failed individually: "
                f"{format_tickers(self.failures)}."
            )
        return " ".join(sentences)


def compare_batch_vs_individual(
    prices: PanelLike,
    *,
    horizon: int | Sequence[int] = 5,
    delay: int = 0,
    forecaster: BaseEstimator | None = None,
    features: BaseEstimator | None = None,
    test_size: int = 252,
    repeats: int = 1,
) -> BatchComparison:
    """Forecast a portfolio as a batch and one ticker at a time, and compare.

    Both ways compute features, fit the same forecaster on all rows but the last
    `test_size`, and forecast those. They run one after the other in this process,
    without the feature cache.

    Parameters
    ----------
    prices : DataFrame or array-like of shape (n_dates, n_tickers)
        Panel of prices, or one with fields; see :func:`~skbatch.check_panel`.
    horizon : int or sequence of int, default=5
        Rows ahead.
    delay : int, default=0
        Rows from a date to the close at which its forecast is traded.
    forecaster : estimator, default=None
        Batch forecaster; None means that of :class:`BatchForecastingSystem`.
    features : SharedFeatureExtractor, default=None
        Makes the features; None means the default one.
    test_size : int, default=252
        Number of rows at the end to forecast; more than horizon plus delay.
    repeats : int, default=1
        How often both ways run.

    Returns
    -------
    BatchComparison
        Time, memory and scores of both ways.

    Raises
    ------
    PanelError
        If `prices` is malformed.
    ValueError
        If `test_size` or `repeats` is out of its range.

    Notes
    -----
    A ticker whose own fit fails has no individual forecast; it is named, and left out
    of both ways' scores. An error of the batch is raised. Before timing starts, the
    first ticker is forecast once, so that one-time loading is not measured.

    Examples
    --------
    >>> from skbatch import BatchLinearForecaster
    >>> from skbatch.batch import compare_batch_vs_individual
    >>> from skbatch.datasets import make_panel
    >>> prices = make_panel(400, 4, signal="linear", random_state=0)
    >>> comparison = compare_batch_vs_individual(
    ...     prices, forecaster=BatchLinearForecaster(), test_size=100)
    >>> comparison.n_scored
    380
    >>> list(comparison.differences.index)
    ['rank_ic', 'mae', 'r2']
    """
    panel = check_panel(prices)
    labels = forward_returns(panel, horizon, delay)
    check_int(repeats, "repeats", 1, "Pass 3.")
    longest = recorded_reach(labels)
    most = len(panel) - longest - 1
    check_int(test_size, "test_size", longest + 1, "Pass a number of rows.")
    if test_size > most:
        raise ValueError(
            f"`test_size` must be at most {most}. Got {test_size}. Pass fewer rows, or "
            "a longer history."
        )
    extractor = SharedFeatureExtractor() if features is None else clone(features)
    if "cache_size" in extractor.get_params():
        extractor.set_params(cache_size=0)
    model = make_pipeline(
        extractor, default_forecaster() if forecaster is None else forecaster
    )
    ways = _Ways(model, panel, labels, int(test_size))
    together = partial(ways.forecast, panel, labels)
    with silence_warnings(SkbatchWarning):
        ways.individually(ways.tickers[:1])
    usages: dict[str, list[Usage]] = {way: [] for way in WAYS}
    forecasts: dict[str, pd.DataFrame] = {}
    for repeat in range(repeats):
        forecasts["batch"], usage = _measured(together, quiet=repeat > 0)
        usages["batch"].append(usage)
        forecasts["individual"], usage = _measured(ways.individually, quiet=True)
        usages["individual"].append(usage)
    return _compare(labels, usages, forecasts, ways)


@dataclass
class _Ways:
    """The two ways to forecast the last rows of a panel."""

    model: Any
    panel: pd.DataFrame
    labels: pd.DataFrame
    test_size: int
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def tickers(self) -> list[str]:
        """Tickers in panel order."""
        return panel_tickers(self.panel)

    def individually(self, tickers: list[str] | None = None) -> pd.DataFrame:
        """Forecast one ticker after another; NaN for those that fail."""
        self.failures.clear()
        test_rows = self.panel.index[-self.test_size :]
        forecasts = pd.DataFrame(np.nan, test_rows, self.labels.columns)
        for ticker in self.tickers if tickers is None else tickers:
            own, own_labels = (_select(t, ticker) for t in (self.panel, self.labels))
            try:
                forecast = self.forecast(own, own_labels)
            except (*MODEL_FAILURES, ValueError) as error:
                # The batch ran with the same settings: what fails here is the ticker.
                self.failures[ticker] = describe_error(error)
            else:
                forecasts[forecast.columns] = forecast
        return forecasts

    def forecast(self, panel: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
        """Fit on the first rows, forecast the last."""
        model = clone(self.model)
        model.fit(panel.iloc[: -self.test_size], labels.iloc[: -self.test_size])
        forecasts: pd.DataFrame = model.predict(panel.iloc[-self.test_size :])
        return forecasts


def _select(table: pd.DataFrame, ticker: str) -> pd.DataFrame:
    """Select the columns of one ticker."""
    return table.loc[:, table.columns.get_level_values(-1) == ticker]


def _measured(
    forecast: Callable[[], pd.DataFrame], *, quiet: bool
) -> tuple[pd.DataFrame, Usage]:
    """Measure one way, from a clean slate."""
    gc.collect()
    quietly = silence_warnings(SkbatchWarning) if quiet else nullcontext()
    with quietly, measure() as usage:
        forecasts = forecast()
    return forecasts, usage


def _compare(
    labels: pd.DataFrame,
    usages: dict[str, list[Usage]],
    forecasts: dict[str, pd.DataFrame],
    ways: _Ways,
) -> BatchComparison:
    """Tabulate time, memory and scores."""
    columns = labels.columns
    actual = labels.iloc[-ways.test_size :]
    forecasts = {way: table[columns] for way, table in forecasts.items()}
    both = np.logical_and.reduce([np.isfinite(t) for t in forecasts.values()])
    seconds = np.array([[usage.seconds for usage in usages[way]] for way in WAYS])
    ratios = seconds[1] / seconds[0]
    # The repeat in the middle: its times belong together, whatever else the machine
    # did in the others.
    middle = np.argsort(ratios)[(len(ratios) - 1) // 2]
    rows = {
        way: {
            "seconds": usages[way][middle].seconds,
            "peak_bytes": max(u.peak_bytes - u.start_bytes for u in usages[way]),
            **_score(actual, forecasts[way].where(both)),
        }
        for way in WAYS
    }
    return BatchComparison(
        table=pd.DataFrame.from_dict(rows, orient="index"),
        speed_up=float(ratios[middle]),
        n_tickers=len(ways.tickers),
        n_scored=int((both & np.isfinite(actual.to_numpy())).sum()),
        failures=ways.failures,
        forecasts=forecasts,
    )


def _score(actual: pd.DataFrame, forecasts: pd.DataFrame) -> dict[str, float]:
    """Score forecasts; missing ones do not count."""
    absolute_error = align(actual, forecasts).score(
        lambda y, forecast: finite_mean(np.abs(y - forecast))
    )
    return {
        "rank_ic": rank_information_coefficient(actual, forecasts),
        "mae": absolute_error,
        "r2": out_of_sample_r2(actual, forecasts),
    }
