"""Walk forward through time: refit, forecast what follows, and score it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.pipeline import Pipeline, make_pipeline

from skbatch._messages import check_int, date_text, warn_user
from skbatch.forecasting import BatchLinearForecaster, HistoricalMeanForecaster
from skbatch.model_selection._collected_walk import Benchmark, collect_walk
from skbatch.model_selection._paired_tests import DERIVED
from skbatch.model_selection._ranking_rules import RANKING_RULES
from skbatch.model_selection._refit import (
    FoldForecast,
    Source,
    labels_itself,
    run_fold,
)
from skbatch.model_selection._refit_schedule import Fold, Folds, make_folds
from skbatch.model_selection._shared_features import (
    extractor_of,
    find_extractor,
    share_features,
)
from skbatch.model_selection._trial_ledger import TrialLedger
from skbatch.model_selection._walk_forward_result import (
    HISTORICAL_MEAN,
    WalkForwardResult,
)
from skbatch.panel import check_panel, forward_returns
from skbatch.panel.engine import (
    adopt_table,
    recorded_horizon,
    recorded_reach,
)

LINEAR_MODEL = "linear model"


def walk_forward(
    estimator: BaseEstimator,
    prices: pd.DataFrame | ArrayLike,
    *,
    horizon: int | Sequence[int] = 5,
    delay: int = 0,
    cv: Folds = None,
    min_train: int | None = None,
    refit_every: int | None = None,
    window: int | Literal["expanding"] = "expanding",
    benchmarks: Mapping[str, Benchmark] | None = None,
    n_quantiles: int = 5,
    name: str | None = None,
    n_trials: int | TrialLedger = 1,
    n_jobs: int | None = None,
    callbacks: Sequence[Any] = (),
    delisting_return: float | pd.Series | None = None,
) -> WalkForwardResult:
    r"""Evaluate a forecaster as it would have been used, refitting as time goes on.

    At each refit, a clone is trained on the window of rows that ends there, with the
    labels that are known there, and forecasts the rows up to the next refit. Features
    of a pipeline that begins with a :class:`~skbatch.SharedFeatureExtractor` are
    computed once for the whole panel, where each refit's own would be the same; the
    benchmarks are refitted on the same rows with the same features.

    Parameters
    ----------
    estimator : estimator
        A pipeline from prices to a batch forecaster, a search over one, or an
        estimator that is fitted on prices alone and has a `horizon`, such as
        :class:`~skbatch.BatchForecastingSystem`. It is cloned.
    prices : DataFrame or array-like of shape (n_dates, n_tickers)
        Panel of prices, or one with fields (see :func:`~skbatch.check_panel`); tables
        of polars are taken, too.
    horizon : int or sequence of int, default=5
        Rows that forecasts look ahead. That of an estimator that is fitted on prices
        alone has to be the same.
    delay : int, default=0
        Rows from a date to the close at which its forecast is traded; also that of an
        estimator that is fitted on prices alone. Training labels end before the
        forecasts begin, whatever the delay.
    cv : int, splitter or iterable of (train, test), default=None
        Folds: blocks of rows, training before test, such as those of
        :class:`~sklearn.model_selection.TimeSeriesSplit`, which an int stands for.
        None forecasts all rows after the first `min_train`.
    min_train : int, default=None
        Rows before the first forecast where `cv` is None; None takes 504.
    refit_every : int, default=None
        Rows between refits inside a test fold. None refits once for each fold of
        `cv`, and every 63 rows without `cv`.
    window : int or "expanding", default="expanding"
        Rows of the training window, the latest before each refit; ``"expanding"``
        takes all from the fold's first on. Features of its first rows look back on
        the rows before it.
    benchmarks : dict of str to forecaster or rule, default=None
        Forecasters that are given the estimator's features, and the rules
        ``"reversal"`` and ``"momentum"``, which only rank tickers: by the loss over
        the last row, and by the return over twelve months without the latest (252 and
        21 rows of weekdays). None takes ``{"historical mean":
        HistoricalMeanForecaster(), "linear model": BatchLinearForecaster(),
        "reversal": "reversal", "momentum": "momentum"}``. Forecasting zero is always
        a benchmark, and with ``"historical mean"`` so is its average over tickers,
        called equal weight. Without it, there is no R² against the mean.
    n_quantiles : int, default=5
        Bins of forecasts, of which the highest and the lowest make the spread.
    name : str, default=None
        What the forecaster is called in tables; None takes the name of its class,
        the last one of a pipeline.
    n_trials : int or TrialLedger, default=1
        Number of forecasters or settings that were tried on these prices before this
        one was chosen, itself included: tests are adjusted for it. A
        :class:`~skbatch.model_selection.TrialLedger` counts them, and keeps the result.
    n_jobs : int, default=None
        Refits that run at the same time, as in joblib.
    callbacks : sequence of callbacks, default=()
        Callbacks of scikit-learn, such as :class:`sklearn.callback.ProgressBar`, that
        are notified of each refit and passed on to the estimators.
    delisting_return : float or Series, default=None
        Final return of tickers whose prices end, as for
        :func:`~skbatch.forward_returns`: models learn it once it is known, scores and
        backtests count it. None takes that of an estimator that is fitted on prices
        alone; without one, these returns are missing.

    Returns
    -------
    WalkForwardResult
        Forecasts, realized returns, provenance, scorecard and report.

    Raises
    ------
    PanelError
        If `prices` is malformed, or `estimator` forecasts other dates or tickers.
    ValueError
        For an invalid argument, or folds that do not go forward in time.
    TypeError
        If `estimator` has no `fit` or `predict`.

    Warns
    -----
    SkbatchWarning
        Once for each kind of warning that refits gave, with the first message.

    See Also
    --------
    skbatch.metrics.mean_inference : The t-statistics, with formula and references.
    skbatch.testing.check_no_lookahead : Whether an estimator looks ahead.

    Notes
    -----
    The columns of ``result.scorecard``, all out of sample:

    - ``rank_ic``, ``ic``: mean over dates of the rank correlation and correlation
      across tickers; ``_ir`` is mean over standard deviation, per date and not
      annualized; ``_t`` is the Newey–West t-statistic of
      :func:`~skbatch.metrics.mean_inference`, significant beyond ``critical_t``;
      ``rank_ic_positive`` is the share of dates above 0.
    - ``hit_rate``: share of forecasts with the sign of the return.
    - ``r2_zero``, ``r2_mean``: :func:`~skbatch.metrics.out_of_sample_r2` against
      zero and against the forecasts of the historical mean, refitted like the others.
    - ``r2_zero_t``: Newey–West t-statistic of the mean squared error saved on each
      date, the test of [1]_.
    - ``mae``: mean absolute error, in returns over the horizon.
    - ``spread``, ``spread_t``: mean return of the highest bin less that of the lowest.
    - ``rank_return``, ``turnover``: mean return over the horizon and turnover from
      horizon to horizon of the portfolio of
      :func:`~skbatch.metrics.rank_portfolio_returns`.
    - ``break_even_bps``: :math:`10^4` × rank_return / turnover, the cost in basis
      points of the traded value at which nothing is left. Negative where money was lost
      before costs.
    - ``coverage``: share of the returns with a forecast; the others are left out.

    Scores of an order (IC, spread, turnover) are NaN where forecasts do not differ,
    as those of zero; scores of size (hit rate, R², mae) are NaN for rules that only
    rank. ``result.paired_tests()`` tests the differences from each benchmark.

    Benchmarks need the feature frame of the whole panel, `(n_dates, n_columns)` of
    float32; where an estimator goes without it to save memory, ``benchmarks={}`` does
    so, too.

    The rows between two refits are forecast in one call of `predict`, which sees
    them all. An estimator that looks at later rows there is not detected here.

    References
    ----------
    .. [1] Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy.
       Journal of Business & Economic Statistics, 13(3), 253–263.
       https://doi.org/10.1080/07350015.1995.10524599

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbatch import (BatchLinearForecaster, SharedFeatureExtractor,
    ...                      walk_forward)
    >>> from skbatch.datasets import make_panel
    >>> prices = make_panel(n_dates=400, n_tickers=8, random_state=0)
    >>> features = SharedFeatureExtractor(["returns", "volatility"], [5, 21])
    >>> model = make_pipeline(features, BatchLinearForecaster())
    >>> result = walk_forward(
    ...     model, prices, horizon=1, min_train=200, refit_every=100)
    >>> result
    WalkForwardResult(BatchLinearForecaster, horizon=1, 200 dates, 8 tickers, 2 refits)
    >>> list(result.benchmarks)
    ['historical mean', 'linear model', 'reversal', 'momentum']
    """
    check_int(n_quantiles, "n_quantiles", 2, "Pass 5 for quintiles.")
    if not isinstance(n_trials, TrialLedger):
        check_int(n_trials, "n_trials", 1, "Count this one, too.")
    prices = adopt_table(prices)
    panel = check_panel(prices)
    _check_estimator(estimator)
    labels = forward_returns(panel, horizon, delay)
    steps = recorded_horizon(labels)
    own = _check_horizon(estimator, steps, delay)
    final = _check_final(delisting_return, own.get("delisting_return"), bool(own))
    folds = make_folds(
        panel,
        recorded_reach(labels),
        cv=cv,
        min_train=min_train,
        refit_every=refit_every,
        window=window,
    )
    extractor = find_extractor(estimator)
    rivals = _check_benchmarks(benchmarks)
    name = _check_name(name, estimator, rivals)
    models = {
        "": estimator,
        **{
            rival: make_pipeline(clone(extractor), clone(model))
            for rival, model in rivals.items()
            if not isinstance(model, str)
        },
    }
    used = len(models) > 1 or extractor_of(estimator) is not None
    features, whole = share_features(extractor, panel, folds) if used else (None, None)
    given = prices if isinstance(prices, pd.DataFrame) else panel
    source = Source(
        given, panel, steps, int(delay), features, whole, extractor.universe, final
    )
    walk = _WalkForward(n_jobs).set_callbacks(*callbacks)
    walk.fit(models, source, folds)
    _warn(walk.results_)
    result = collect_walk(name, walk.results_, rivals, source, folds)
    if isinstance(n_trials, TrialLedger):
        n_trials.add(result)
        n_trials = len(n_trials)
    return replace(result, n_quantiles=n_quantiles, n_trials=n_trials)


class _WalkForward(CallbackSupportMixin, BaseEstimator):
    """The walk as callbacks see it: a fit whose tasks are the refits."""

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs

    @with_callbacks
    def fit(
        self, models: dict[str, BaseEstimator], source: Source, folds: list[Fold]
    ) -> _WalkForward:
        """Run all refits of all models."""
        tasks = [(name, number) for number in range(len(folds)) for name in models]
        root = self._init_callback_context(
            task_name="walk forward",
            max_subtasks=len(tasks),
            sequential_subtasks=False,
        )
        root.call_on_fit_task_begin(estimator=self)
        # Made ahead: a context cannot be added to while another is being pickled.
        contexts = [
            root.subcontext(
                task_name=_task_name(name, folds[fold], source), task_id=number
            )
            for number, (name, fold) in enumerate(tasks)
        ]
        forecasts = Parallel(n_jobs=self.n_jobs)(
            delayed(run_fold)(
                models[name],
                source,
                folds[fold],
                own=not name,
                keep=not name and fold == len(folds) - 1,
                owner=self,
                context=context,
            )
            for (name, fold), context in zip(tasks, contexts, strict=True)
        )
        self.results_: dict[str, list[FoldForecast]] = {name: [] for name in models}
        for (name, _), forecast in zip(tasks, forecasts, strict=True):
            self.results_[name].append(forecast)
        root.call_on_fit_task_end(estimator=self)
        return self


def _task_name(name: str, fold: Fold, source: Source) -> str:
    """Name a refit by the first date it forecasts."""
    date = date_text(source.panel.index[fold.test_start])
    return f"refit {date}{f', {name}' if name else ''}"


def _check_estimator(estimator: BaseEstimator) -> None:
    missing = [m for m in ("fit", "predict", "get_params") if not hasattr(estimator, m)]
    if missing or isinstance(estimator, type):
        got = estimator.__name__ if isinstance(estimator, type) else type(estimator)
        raise TypeError(
            "`estimator` must be an instance with `fit`, `predict` and `get_params`. "
            f"Got {getattr(got, '__name__', got)}. Pass a pipeline such as "
            "make_pipeline(SharedFeatureExtractor(), BatchXGBoostForecaster())."
        )


def _check_horizon(
    estimator: BaseEstimator, steps: int | tuple[int, ...], delay: int
) -> dict[str, Any]:
    """Return the parameters of who makes its own labels; raise if it makes others."""
    if not labels_itself(estimator):
        return {}
    model = estimator
    while "horizon" not in model.get_params(deep=False):
        model = model.estimator
    params = model.get_params(deep=False)
    own = params["horizon"]
    if own != "auto":
        own = int(own) if np.ndim(own) == 0 else tuple(int(h) for h in own)
    for name, of_estimator, given in (
        ("horizon", own, steps),
        ("delay", params.get("delay", 0), delay),
    ):
        if of_estimator not in ("auto", given):
            raise ValueError(
                f"`{name}` must be that of the estimator, {of_estimator}. Got {given}. "
                f"Pass {name}={of_estimator}, or set the estimator's."
            )
    return dict(params)


def _check_final(given: Any, own: Any, labels_itself: bool) -> Any:
    """Return the final returns, the estimator's where none are given."""
    if given is None or not labels_itself or _are_same(given, own):
        return own if given is None else given
    raise ValueError(
        "`delisting_return` must be that of the estimator. Got another. Leave it out, "
        "or set the estimator's."
    )


def _are_same(given: Any, own: Any) -> bool:
    """Return whether final returns, of all or by ticker, are the same."""
    if isinstance(given, pd.Series) and isinstance(own, pd.Series):
        return given.equals(own)
    return np.ndim(given) == np.ndim(own) == 0 and given == own


def _check_benchmarks(
    benchmarks: Mapping[str, Benchmark] | None,
) -> dict[str, Benchmark]:
    """Return the benchmarks by name."""
    if benchmarks is None:
        return {
            HISTORICAL_MEAN: HistoricalMeanForecaster(),
            LINEAR_MODEL: BatchLinearForecaster(),
            **{rule: rule for rule in RANKING_RULES},
        }
    if not isinstance(benchmarks, Mapping):
        raise ValueError(
            "`benchmarks` must be a dict of names to forecasters, or None. Got "
            f"{type(benchmarks).__name__}. Pass {{'linear model': "
            "BatchLinearForecaster()}, for example."
        )
    for name, model in benchmarks.items():
        is_rule = isinstance(model, str) and model in RANKING_RULES
        good = is_rule or (hasattr(model, "fit") and hasattr(model, "predict"))
        if not isinstance(name, str) or name in ("", *DERIVED) or not good:
            raise ValueError(
                "`benchmarks` must map names to forecasters of feature frames. Got "
                f"{name!r}: {type(model).__name__}. The name must be text, other than "
                f"{' and '.join(map(repr, DERIVED))}, and the forecaster have `fit` "
                f"and `predict`, or be one of {', '.join(map(repr, RANKING_RULES))}."
            )
    return dict(benchmarks)


def _check_name(
    name: str | None, estimator: BaseEstimator, rivals: dict[str, Benchmark]
) -> str:
    """Choose a name that no benchmark has."""
    if name is None:
        final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
        name = type(final).__name__
    if not isinstance(name, str) or not name or name in (*rivals, *DERIVED):
        raise ValueError(
            f"`name` must be text other than the name of a benchmark. Got {name!r}. "
            "Choose another."
        )
    return name


def _warn(results: dict[str, list[FoldForecast]]) -> None:
    """Repeat each kind of warning once."""
    kinds: dict[type[Warning], dict[int, str]] = {}
    for forecasts in results.values():
        for place, refit in enumerate(forecasts):
            for kind, message in dict(refit.warned).items():
                kinds.setdefault(kind, {}).setdefault(place, message)
    n_refits = max(map(len, results.values()), default=0)
    for kind, messages in kinds.items():
        text = messages[min(messages)]
        if n_refits > 1:
            text = (
                f"Warnings in {len(messages)} of {n_refits} refits, the first: {text}"
            )
        warn_user(text, kind)
