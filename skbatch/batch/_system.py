"""From prices to a forecast, or a reason, for every ticker."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from skbatch._messages import format_tickers, warn_user
from skbatch._progress import Progress
from skbatch._sklearn import (
    DefaultPartsMixin,
    HasMethods,
    Interval,
    ListOf,
    Seed,
    StrOptions,
    TextOf,
    all_or_nothing,
)
from skbatch.batch._errors import BatchErrorHandler, default_forecaster
from skbatch.batch._fit_batches import fit_batches
from skbatch.batch._memory import SIZE, MemoryEstimate, estimate_memory
from skbatch.batch._monitor import BatchPerformanceMonitor
from skbatch.batch._result import ForecastResult
from skbatch.batch._screen import reasons_of, stale_of
from skbatch.batch._system_explanation import SystemExplanationMixin
from skbatch.batch._system_tickers import SystemTickers
from skbatch.batch._system_uncertainty import (
    ForecastUncertainty,
    SystemUncertaintyMixin,
    member_outlook,
)
from skbatch.batch._ticker_provenance import (
    TickerProvenance,
    predict_member,
    warn_of_fit,
)
from skbatch.exceptions import BatchWarning
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import Reason
from skbatch.forecasting.engine import (
    BatchForecasterMixin,
    FeatureBlocks,
    check_batch_forecaster_type,
    relative_to,
)
from skbatch.metrics.alignment import Table
from skbatch.panel import check_panel, forward_returns, read_panel
from skbatch.panel.engine import PanelLike, adopt_table, are_among, inspect_panel

_COUNT = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="neither")


class BatchForecastingSystem(
    CallbackSupportMixin,
    SystemUncertaintyMixin,
    SystemExplanationMixin,
    BatchForecasterMixin,
    DefaultPartsMixin,
):
    """Forecast every ticker of a portfolio from its prices, or give the reason why not.

    The system screens the prices, makes labels and features of them, splits the tickers
    into batches if memory or the user requires it, fits a forecaster on each batch, and
    tries simpler models where a fit fails. Forecasts do not depend on the number of
    processes.

    Parameters
    ----------
    horizon : int or sequence of int, default=5
        Rows ahead; several horizons are forecast side by side.
    delay : int, default=0
        Rows from a date to the close at which its forecast is traded; returns start
        at that close. 0 trades at the close that the forecast is made from, 1 at the
        next one.
    features : SharedFeatureExtractor, default=None
        Makes the features; None means the defaults.
    forecaster : estimator, default=None
        Batch forecaster, fitted on each batch; None means a
        :class:`~skbatch.FallbackForecaster` of :class:`~skbatch.BatchXGBoostForecaster`
        and :class:`~skbatch.BatchLinearForecaster`. Wrap any other scikit-learn
        regressor in a :class:`~skbatch.BatchRegressorForecaster`.
    error_handler : BatchErrorHandler, default=None
        Screens the prices and recovers from failures; None means the defaults.
    max_batch_size : int, default=None
        Largest number of tickers in a batch, for models that can be fitted in batches;
        None sets no limit. Pooled models always learn from all tickers.
    memory_budget : str, int, float or None, default=None
        Largest resident memory of the process, including its workers, as text such as
        ``"4GiB"``, in bytes, or as a fraction in (0, 1] of the memory that is available
        when `fit` begins, in addition to what the process already uses. Batches are
        made as small as necessary. None sets no limit.
    groups : dict, Series, "correlation" or None, default=None
        What the tickers of a batch have in common; see :class:`SimpleBatchManager`.
        Each batch then has a model of its own.
    n_jobs : int, default=None
        Number of batches fitted in parallel by joblib; None means 1, unless in a
        :func:`joblib.parallel_config` context, which also chooses the backend.
    checkpoint_dir : path, default=None
        Folder where finished batches are kept. A run on the same prices with the same
        settings redoes only what is missing there.
    engine : {"local", "dask"}, default="local"
        Where the work runs: on this machine, or on the workers of the Dask cluster
        whose client is active. There, features, training and batches are tasks, and
        `n_jobs` has no effect.
    random_state : int, default=0
        Seed of the random assignment of tickers that `groups` cannot place, and of
        scenarios.
    coverage : float or sequence of float, default=0.9
        Share of the returns, between 0 and 1, that the intervals of :meth:`forecast`
        should contain. It does not affect the fit.
    delisting_return : float or Series, default=None
        Final return of tickers whose prices end, such as -0.3, or a Series by ticker;
        see :func:`~skbatch.forward_returns`. Models then learn from them, up to that
        return, although they have no forecast. None leaves them out.

    Attributes
    ----------
    provenance_ : DataFrame of shape (n_tickers, 3)
        ``model``, ``batch`` and ``reason`` of each ticker at the last date of `fit`.
    screening_ : DataFrame
        What was found in the prices: ``rule``, ``action``, ``detail``, by ticker.
    events_ : DataFrame
        Steps of recovery: ``batch``, ``step``, ``tickers``, ``error``.
    performance_ : BatchPerformanceMonitor
        Time and memory of the fit.
    tickers_ : SystemTickers
        All tickers, and those that were set aside.
    fitted_ : FittedBatches
        The extractor, the batches, and the forecasters with their tickers.
    horizon_ : int or tuple of int
        Rows ahead.
    delay_ : int
        Rows from a date to the start of the returns that are forecast for it.
    n_features_in_ : int
        Number of columns of the panel.

    Notes
    -----
    Features are computed in blocks of dates, all tickers together, and the rows that
    models are trained on are stacked once for all of them. A pooled model is therefore
    trained on all tickers whatever the memory: a budget makes the blocks smaller and
    moves the rows into a temporary file. Tickers are split into batches for the
    strategies ``"per_ticker"`` and ``"vector"``, for `groups`, and for forecasters
    that are not skbatch's own. What a batch must know of all tickers is computed from
    all of them: the features that compare tickers, the return common to all that
    labels are relative to, and the typical volatility.

    Examples
    --------
    >>> from skbatch import BatchForecastingSystem, BatchLinearForecaster
    >>> from skbatch.datasets import make_panel
    >>> prices = make_panel(400, 10, random_state=0)
    >>> system = BatchForecastingSystem(5, forecaster=BatchLinearForecaster())
    >>> result = system.fit(prices).forecast()
    >>> result
    ForecastResult: 10 of 10 expected returns ...
    >>> result.provenance["model"].unique().tolist()
    ['BatchLinearForecaster']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "horizon": [_COUNT, ListOf(_COUNT)],
        "delay": [Interval(Integral, 0, None, closed="left")],
        "features": [HasMethods(["fit", "transform_blocks"]), None],
        "forecaster": [HasMethods(["fit", "predict"]), None],
        "error_handler": [HasMethods(["screen", "fit_task", "next_tasks"]), None],
        "max_batch_size": [_COUNT, None],
        "memory_budget": [
            _COUNT,
            Interval(Real, 0, 1, closed="right"),
            TextOf(SIZE, 'a size such as "4GiB" or "500MB"'),
            None,
        ],
        "groups": [Mapping, pd.Series, StrOptions({"correlation"}), None],
        "n_jobs": [_COUNT, Interval(Integral, None, -1, closed="right"), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "engine": [StrOptions({"local", "dask"})],
        "random_state": ["random_state"],
        "coverage": [_SHARE, ListOf(_SHARE)],
        "delisting_return": [Interval(Real, -1, None, closed="left"), pd.Series, None],
    }

    def __init__(
        self,
        horizon: int | Sequence[int] = 5,
        *,
        delay: int = 0,
        features: BaseEstimator | None = None,
        forecaster: BaseEstimator | None = None,
        error_handler: BatchErrorHandler | None = None,
        max_batch_size: int | None = None,
        memory_budget: str | float | None = None,
        groups: Mapping[str, str | float] | pd.Series | str | None = None,
        n_jobs: int | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        engine: Literal["local", "dask"] = "local",
        random_state: Seed = 0,
        coverage: float | Sequence[float] = 0.9,
        delisting_return: float | pd.Series | None = None,
    ) -> None:
        self.horizon = horizon
        self.delay = delay
        self.features = features
        self.forecaster = forecaster
        self.error_handler = error_handler
        self.max_batch_size = max_batch_size
        self.memory_budget = memory_budget
        self.groups = groups
        self.n_jobs = n_jobs
        self.checkpoint_dir = checkpoint_dir
        self.engine = engine
        self.random_state = random_state
        self.coverage = coverage
        self.delisting_return = delisting_return

    def _default_parts(self) -> dict[str, Callable[[], Any]]:
        return {
            "features": SharedFeatureExtractor,
            "forecaster": default_forecaster,
            "error_handler": BatchErrorHandler,
        }

    @all_or_nothing
    @with_callbacks
    def fit(
        self, X: PanelLike, y: Table | None = None, sample_weight: Table | None = None
    ) -> BatchForecastingSystem:
        """Fit on a panel of prices.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers)
            Prices: closes, or two column levels (field, ticker); see
            :func:`~skbatch.check_panel`.
        y : DataFrame, default=None
            Not needed: labels are derived from the prices. If given, as by a search
            with a scorer of its own, its horizon and delay must be the system's.
        sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
            How much each date, or each label, counts.

        Returns
        -------
        self : BatchForecastingSystem
            The fitted system.

        Raises
        ------
        PanelError
            If `X` is malformed.
        ValueError
            For an invalid parameter, or a horizon that, with the delay, is not less
            than the rows.
        CheckpointError
            If `checkpoint_dir` holds another run.

        Warns
        -----
        BatchWarning
            Once, if tickers are set aside, or batches had to be recovered.
        FallbackWarning
            Once, if the first choice does not serve some tickers.
        """
        self._validate_params()
        check_batch_forecaster_type(self._part("forecaster"), "forecaster")
        monitor = BatchPerformanceMonitor()
        handler = clone(self._part("error_handler"))
        with monitor.stage("screen"):
            inspected = inspect_panel(X)
            tickers, panel = SystemTickers.of(
                inspected, self.horizon, self.delay, handler, self.delisting_return
            )
        tickers.check_labels(y)
        weights = tickers.check_weights(sample_weight, inspected.panel.index)
        with Progress(self, None) as task:
            fitted, last = fit_batches(self, tickers, panel, monitor, task, weights)
        self.tickers_, self.fitted_, self.performance_ = tickers, fitted, monitor
        self.n_features_in_ = len(tickers.columns)
        self.horizon_, self.delay_ = tickers.horizon, tickers.delay
        self.screening_ = tickers.findings
        self.events_ = fitted.event_table()
        self.provenance_ = self._provenance_at_end(last)
        warn_of_fit(tickers, fitted, self.provenance_, inspected.problems)
        return self

    def predict(self, X: PanelLike) -> Any:
        """Forecast every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers)
            Panel with the columns of `fit`: rows that follow the fitted ones, the
            fitted rows, or others with their lookback.

        Returns
        -------
        DataFrame or ndarray of shape (n_dates, n_tickers), as `X` was
            Expected simple returns over the horizon; (horizon, ticker) columns for
            several horizons. NaN where there is no forecast: in each row also for
            tickers whose prices up to it cannot be used. Each row is what `forecast`
            returns for the rows up to it.
        """
        check_is_fitted(self)
        X = adopt_table(X)
        panel, aside = self._screened_rows(X)
        labels = self.tickers_.label_columns
        forecasts = pd.DataFrame(np.nan, panel.index, labels)
        failed: dict[str, str] = {}
        for member, features in self._served(panel):
            table, error = predict_member(member, features, labels, self.horizon_)
            forecasts.loc[table.index, table.columns] = table
            if error:
                failed.setdefault(member.batch, error)
        forecasts = forecasts.mask(aside)
        for batch, error in failed.items():
            warn_user(
                f"Batch {batch} has no forecasts: {error}. See forecast() for the "
                "reason for each ticker.",
                BatchWarning,
            )
        return forecasts if isinstance(X, pd.DataFrame) else forecasts.to_numpy()

    def forecast(self, X: PanelLike | None = None) -> ForecastResult:
        """Forecast every ticker at the last date, with provenance.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            All rows that follow the fitted ones, with the same columns; their last
            date is forecast from, without fitting anew. None forecasts from the last
            fitted date.

        Returns
        -------
        ForecastResult
            Expected returns, their uncertainty, provenance and performance. Tickers
            whose new prices cannot be used get NaN and the reason.
        """
        check_is_fitted(self)
        coverages = self._coverages()
        tickers, performance = self.tickers_, copy.deepcopy(self.performance_)
        with performance.stage("forecast"):
            panel, found = self._judged(X)
            quarantined = {**tickers.quarantined, **reasons_of(found)}
            stale = stale_of(tickers.findings) | stale_of(found)
            if X is not None:
                tickers.warn_of_rows(panel)
            provenance = self._provenance(quarantined)
            returns = pd.Series(np.nan, tickers.label_index, name="expected_return")
            uncertainty = ForecastUncertainty(tickers.label_index, coverages)
            names = tickers.label_columns.get_level_values(-1)
            realized = self._realized(panel)
            for member, features in self._served(panel, n_last=1):
                use = are_among(names, member.tickers)
                returns[use] = provenance.fill_row(member, features)
                if realized is None and returns[use].notna().any():
                    outlook = member_outlook(member, features, returns)
                    uncertainty.fill(member, returns, outlook)
            if realized is not None:
                for member, outlook in self._outlooks(panel, realized, last=True):
                    uncertainty.fill(member, returns, outlook)
            returns[are_among(names, quarantined)] = np.nan
            provenance.withdraw(quarantined)
            uncertainty.withdraw(returns)
        return ForecastResult(
            panel.index[-1],
            self.horizon_,
            returns,
            provenance.table,
            performance,
            tickers.periods_per_year,
            stale,
            uncertainty.table,
            uncertainty.uncalibrated,
            self.delay_,
            tickers.missing_signals(panel, self.fitted_.extractor),
            relative_to(self),
        )

    def predict_batch(self, X: PanelLike) -> dict[Any, float]:
        """Forecast every ticker at the last date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers)
            All rows that follow the fitted ones, as for :meth:`forecast`.

        Returns
        -------
        dict
            Ticker → expected simple return, NaN where there is none. With several
            horizons the keys are (horizon, ticker).
        """
        returns = self.forecast(X).expected_returns
        return {name: float(value) for name, value in returns.items()}

    def forecast_batch_returns(
        self, tickers: Sequence[str], data: object, periods: int = 5
    ) -> dict[str, float]:
        """Turn prices into a dict of expected returns in one call.

        Parameters
        ----------
        tickers : sequence of str
            Tickers to forecast. Models learn from all tickers of `data`.
        data : DataFrame or path
            Prices, as :func:`~skbatch.read_panel` takes them.
        periods : int, default=5
            Horizon in rows.

        Returns
        -------
        dict of str to float
            Ticker → expected simple return; NaN for a ticker that `data` does not
            hold, or that cannot be forecast. This system stays as it is; reasons are
            in the result of `fit` and `forecast`.

        Warns
        -----
        BatchWarning
            Naming the tickers that `data` does not hold.
        """
        if isinstance(tickers, str):
            raise ValueError(
                f"`tickers` must be a list of tickers. Got the text {tickers!r}. Pass "
                f"[{tickers!r}]."
            )
        panel = read_panel(data)
        result = clone(self).set_params(horizon=periods).fit(panel).forecast()
        missing = [t for t in tickers if t not in result.expected_returns.index]
        if missing:
            warn_user(
                "`tickers` must be in `data`. Got "
                f"{format_tickers(missing)} without prices, and so without a forecast. "
                "Add the prices, or drop these tickers.",
                BatchWarning,
            )
        return {t: float(result.expected_returns.get(t, np.nan)) for t in tickers}

    def estimate_memory(self, prices: PanelLike) -> MemoryEstimate:
        """Predict the memory that `fit` takes on prices.

        Parameters
        ----------
        prices : DataFrame or array-like of shape (n_dates, n_tickers)
            Panel of prices.

        Returns
        -------
        MemoryEstimate
            Peak of the process in bytes, and what it is made of.
        """
        self._validate_params()
        return estimate_memory(self, check_panel(prices, warn_all_nan=False))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Compute the R² over all finite labels, pooled.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers)
            Panel, such as a test fold.
        y : DataFrame, default=None
            Labels; None derives them from `X`, where those of the last rows are not
            known and do not count.
        sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
            Weight of each date, or of each label.

        Returns
        -------
        float
            See :meth:`skbatch.forecasting.BaseBatchForecaster.score`; NaN if `X` has
            no more rows than the horizon.
        """
        check_is_fitted(self)
        if y is None:
            if len(X) <= np.max(self.horizon_) + self.delay_:
                return float("nan")
            final = self.delisting_return
            y = forward_returns(X, self.horizon_, self.delay_, delisting_return=final)
        return super().score(X, y, sample_weight)

    def _provenance_at_end(self, last: FeatureBlocks | None) -> pd.DataFrame:
        """Find who serves each ticker at the last date of `fit`."""
        provenance = self._provenance(self.tickers_.quarantined)
        members = self.fitted_.members
        known = [provenance.fill_as_fitted(member) for member in members]
        if not all(known):
            # Forecasters that keep no provenance are asked for their forecasts.
            served = self._served(self.tickers_.recent.iloc[[-1]], n_last=1)
            if len(members) == 1 and last is not None:
                served = iter([(members[0], last)])
            for member, features in served:
                provenance.fill_row(member, features)
        provenance.withdraw(self.tickers_.quarantined)
        return provenance.table

    def _provenance(self, quarantined: Mapping[str, Reason]) -> TickerProvenance:
        return TickerProvenance(self.tickers_, quarantined, self.fitted_.reasons)
