"""The function of a portfolio script: tickers and prices in, expected returns out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._messages import check_choice, warn_user
from skbatch.batch.engine import describe_partial_row
from skbatch.config import BatchForecastingConfig
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.forecasting.engine import check_coverage
from skbatch.panel import periods_per_year as periods_of
from skbatch.panel.engine import PanelLike, panel_tickers, rows_per_year
from skbatch.portfolio._cache import forecast_key, open_folder, recall
from skbatch.portfolio._expected import (
    PROVENANCE,
    ExpectedReturns,
    check_periods_per_year,
    warn_without_dates,
    with_reasons,
)
from skbatch.portfolio._fitting import describe_service, fit_each, fit_last
from skbatch.portfolio._match import asked_tickers, match_columns
from skbatch.portfolio._models import METHODS, Model
from skbatch.portfolio._prices import read_prices
from skbatch.portfolio._window_volatility import window_volatility

_NOT_IN_DATA = "not in the data"


def robust_forecast_returns(
    tickers: Sequence[str] | None,
    data: PanelLike | str | os.PathLike[str] | None = None,
    method: Literal["batch", "individual", "linear", "mean"] = "batch",
    *,
    forecaster: BaseEstimator | None = None,
    horizon: int | None = None,
    config: BatchForecastingConfig
    | Mapping[str, object]
    | str
    | os.PathLike[str]
    | None = None,
    annualize: bool = True,
    coverage: float | None = None,
    max_workers: int | None = None,
    ticker_to_data: Mapping[str, object] | None = None,
    on_missing: Literal["nan", "drop", "raise"] = "nan",
    periods_per_year: float | None = None,
    cache: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ExpectedReturns:
    """Forecast the annual return of every ticker of a portfolio.

    Parameters
    ----------
    tickers : sequence of str or None
        Tickers to forecast, None for all of the data. A column of the same name is
        theirs; else one that differs only in case or in what separates the share class:
        BRK.B, BRK-B, BRK/B, BRK_B, "BRK B". One that comes twice is forecast once.
    data : DataFrame or path, default=None
        Prices, as :func:`~skbatch.read_panel` takes them: wide, long, of several
        fields, or a CSV or Parquet file. Models learn from all of its tickers.
    method : {"batch", "individual", "linear", "mean"}, default="batch"
        - ``"batch"``: all tickers together, with the model of `config`.
        - ``"individual"``: the same model for one ticker at a time, from nothing but
          its own prices. So does ``batch.enabled = false`` in `config`, with any
          method.
        - ``"linear"``: all together by :class:`~skbatch.BatchLinearForecaster`, its
          fallback the historical mean.
        - ``"mean"``: by :class:`~skbatch.HistoricalMeanForecaster`.

        The last two have the parameters of `config` if that is its ``model.kind``.
    forecaster : estimator, default=None
        Forecasts in place of the model of `config`: a batch forecaster, such as
        ``BatchLinearForecaster(alpha=10)``; or what is fitted on prices, a
        :class:`~skbatch.BatchForecastingSystem`, a pipeline from prices to forecasts,
        or a search over one of them. A copy of it is fitted on `data`, fitted or not:
        of a finished search, pass ``search.best_estimator_`` to keep what it found.
        `method` may be ``"batch"`` or ``"individual"`` then.
    horizon : int, default=None
        Rows that forecasts look ahead; None takes that of `forecaster`, else that of
        `config`, 5 by default.
    config : BatchForecastingConfig, path, mapping or None, default=None
        Settings: a configuration, a TOML file, or a dict of sections such as
        ``{"model": {"max_depth": 3}}``. A file or dict is combined with environment
        variables such as ``SKBATCH_BATCH__ENABLED``, as
        :meth:`~skbatch.BatchForecastingConfig.from_file` does; None reads these alone.
        Not for a `forecaster` that is fitted on prices, which has its own parameters.
    annualize : bool, default=True
        Whether returns are annual; else over the horizon.
    coverage : float, default=None
        Share of the returns over the horizon, between 0 and 1, that an interval around
        each forecast should contain, such as 0.9. The model is then put into a
        :class:`~skbatch.ConformalForecaster`, whatever the method, which forecasts the
        same and fits once more. None makes no intervals.
    max_workers : int, default=None
        Number of batches, or of tickers with "individual", that are fitted in parallel;
        -1 uses every core. None takes ``performance.n_jobs`` of `config`, or ``n_jobs``
        of `forecaster`.
    ticker_to_data : mapping, default=None
        Without `data`: ticker → its own prices, a Series of closes or a table of
        fields, on dates of its own. With `data`: ticker → its column there.
    on_missing : {"nan", "drop", "raise"}, default="nan"
        What to do with tickers that have no forecast, because they are not in the data
        or their prices cannot be used: keep them as NaN, drop them, or raise an error.
    periods_per_year : float, default=None
        Rows that make a year; None derives it from the dates, see
        :func:`~skbatch.panel.periods_per_year`: 252 for weekdays, 365 for all days.
    cache : bool, default=True
        Whether forecasts of the same prices, settings and versions of the libraries are
        taken from an earlier call. The cache of a process keeps the last 64.
    cache_dir : path, default=None
        Folder in which they are kept for other processes, too: the last 256, of 256 MiB
        at most. It holds pickles: share it only with people you trust.

    Returns
    -------
    ExpectedReturns
        A dict ticker → expected simple return, by the names that were asked for, with
        the provenance of each number, and the volatility that each ticker had in the
        last 252 rows, by which :func:`~skbatch.portfolio.to_pypfopt` detects a
        covariance in other units. With `coverage`, its ``interval`` holds ``lower`` and
        ``upper`` returns over the horizon, of which
        :func:`~skbatch.portfolio.black_litterman_views` makes views; NaN for a ticker
        with too little history to measure how far returns deviate from forecasts.

    Raises
    ------
    TypeError
        If `forecaster` is none of these.
    ValueError
        For an invalid argument. A :class:`~skbatch.exceptions.ConfigError` names every
        wrong setting.
    PanelError
        If prices are malformed, or the number of rows in a year is unknown.
    PortfolioError
        If a ticker may be one of several columns, two tickers mean the same one, or
        with ``on_missing="raise"`` there is no forecast for one.

    Warns
    -----
    PortfolioWarning
        Once, naming the tickers without a forecast, and those served by the fallback
        instead of the model. Once, if there are no dates that show how long a year is.

    Notes
    -----
    A return r over h of the P rows of a year is annualized as (1 + r)^(P / h) − 1. This
    is a matter of units, not a forecast over a year.

    Nothing is cached with a `forecaster`, whose code may change, nor if a seed
    (``random_state``) is None, because each call then draws new random numbers.

    Examples
    --------
    >>> from skbatch import robust_forecast_returns
    >>> from skbatch.datasets import make_panel
    >>> prices = make_panel(300, 3, random_state=0)
    >>> list(prices.columns)
    ['T000', 'T001', 'T002']
    >>> expected = robust_forecast_returns(["T000", "t002"], prices, "mean", horizon=21)
    >>> list(expected), expected.annualized, expected.periods_per_year
    (['T000', 't002'], True, 252.0)
    >>> expected.provenance["model"].unique().tolist()
    ['HistoricalMeanForecaster']
    """
    check_choice(method, "method", METHODS)
    check_choice(on_missing, "on_missing", ("nan", "drop", "raise"))
    if coverage is not None:
        check_coverage(coverage)
        coverage = float(coverage)
    model = Model.choose(method, forecaster, config, horizon, coverage, max_workers)
    folder = open_folder(cache, cache_dir)
    panel, aliases = read_prices(data, ticker_to_data)
    names = asked_tickers(tickers, list(aliases) or panel_tickers(panel))
    columns = match_columns(names, panel_tickers(panel), aliases)
    year = _rows_of_year(panel.index, periods_per_year, annualize)
    if on_missing == "raise":
        _refuse_missing({t: _NOT_IN_DATA for t, c in columns.items() if c is None})
    asked = [column for column in columns.values() if column]
    found = _forecast(model, panel, asked, cache, folder)
    expected = _by_names(columns, found, panel, model, year)
    expected = expected.in_units(annualized=annualize)
    if not isinstance(panel.index, pd.DatetimeIndex | pd.PeriodIndex) and (
        annualize and periods_per_year is None
    ):
        warn_without_dates()
    return _without_missing(expected, on_missing, describe_partial_row(panel))


def _rows_of_year(index: pd.Index, given: float | None, annualize: bool) -> float:
    """Return the number of rows in a year; NaN if it is neither known nor needed."""
    if given is not None:
        return check_periods_per_year(given)
    return periods_of(index) if annualize else rows_per_year(index)


def _forecast(
    model: Model, panel: pd.DataFrame, columns: list[str], cache: bool, folder: Any
) -> ExpectedReturns:
    """Find forecasts in the cache, or make and keep them."""
    if not columns:
        return ExpectedReturns({}, horizon=model.horizon)

    def make() -> ExpectedReturns:
        if model.individual:
            return fit_each(model, panel, columns)
        return fit_last(model.estimator, panel, model.horizon, model.coverage)[0]

    if not cache or model.identity is None:
        return make()
    used = sorted(columns) if model.individual else None
    key = forecast_key(panel, model.identity | {"columns": used})
    return recall(key, make, folder)


def _by_names(
    columns: Mapping[str, str | None],
    found: ExpectedReturns,
    panel: pd.DataFrame,
    model: Model,
    year: float,
) -> ExpectedReturns:
    """Assign each ticker the forecast of its column, or NaN and the reason."""
    index = pd.Index(list(columns), name="ticker", dtype=object)
    names = list(columns.values())
    provenance = found.provenance.reindex(names).set_axis(index)
    provenance.loc[[c not in found for c in names], PROVENANCE] = [
        "none",
        "",
        _NOT_IN_DATA,
    ]
    interval = None
    if model.coverage is not None:
        interval = pd.DataFrame(np.nan, index, ["lower", "upper"])
        if found.interval is not None:
            interval[:] = found.interval.reindex(names).to_numpy()
        interval.attrs = {"coverage": model.coverage, "horizon": model.horizon}
    volatility = window_volatility(panel).reindex(columns=names)
    return ExpectedReturns(
        {ticker: found.get(str(column), np.nan) for ticker, column in columns.items()},
        date=panel.index[-1],
        horizon=model.horizon,
        periods_per_year=year,
        provenance=provenance,
        interval=interval,
        stale={t: found.stale[c] for t, c in columns.items() if c in found.stale},
        volatility=volatility.set_axis(index, axis=1),
    )


def _without_missing(
    expected: ExpectedReturns, on_missing: str, last_row: str | None
) -> ExpectedReturns:
    """Handle tickers without a forecast as requested, and warn which they are."""
    reasons = expected.provenance["reason"]
    missing = {t: str(reasons[t]) for t, v in expected.items() if not np.isfinite(v)}
    if on_missing == "raise":
        _refuse_missing(missing)
    others = [t for t in expected if reasons[t] and t not in missing]
    fate = "left out" if on_missing == "drop" else "NaN"
    text = describe_service(missing, others, len(expected), fate, "provenance")
    if text:
        warn_user(" ".join(filter(None, [last_row, text])), PortfolioWarning)
    if on_missing == "drop":
        for ticker in missing:
            del expected[ticker]
    return expected


def _refuse_missing(missing: Mapping[str, str]) -> None:
    """Raise if there are tickers without a forecast."""
    if missing:
        raise PortfolioError(
            f"Every ticker must have a forecast. Got none for {len(missing)}: "
            f'{with_reasons(missing)}. Leave them out, or pass on_missing="nan" or '
            '"drop".'
        )
