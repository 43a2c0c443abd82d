"""Gradient boosted trees on all tickers at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import xgboost as xgb
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from xgboost.callback import EarlyStopping, TrainingCallback

from skbatch._kernels.threads import inner_threads
from skbatch._messages import warn_user
from skbatch._sklearn import Interval, Seed, TextOf
from skbatch.exceptions import FallbackWarning
from skbatch.forecasting._booster import (
    BIN_ROWS,
    BoosterModel,
    DeferredInterrupt,
    SliceIterator,
    StepCallback,
    bin_limits,
    check_training_process,
    draw_rows,
    feature_types,
    masked_loss,
    shared_matrix,
    tail_correlation,
)
from skbatch.forecasting._booster_params import (
    check_params,
    constrained,
    leaf_weight,
    translated,
    with_numbers,
)
from skbatch.forecasting._calibration import Tail
from skbatch.forecasting._categories import Seen, highest, known_only, seen_categories
from skbatch.forecasting._feature_table import FeatureBlocks, Rows
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._panel_forecaster import PanelForecaster
from skbatch.forecasting._return_target import ReturnTarget
from skbatch.forecasting._signal_model import (
    BoostedSignals,
    fit_category_model,
    fit_signal_model,
)


class BatchXGBoostForecaster(PanelForecaster):
    """Forecast the returns of all tickers with gradient boosted trees.

    By default one model learns from all (date, ticker) rows how a ticker's return
    beyond beta will rank among those of the others. The shrinkage of its forecasts and,
    with early stopping, its number of trees are found on the latest training dates,
    which are purged from the training rows, together with the labels that reach into
    them.

    In the pooled strategy, signals have a small linear model of their own, on which the
    trees build, so that weak ones are not lost among the other inputs, and categories
    another one. Signals are features beside which their rank stands, such as ``yield``
    and ``yield_rank``. Trees read their values, but not what is made of these, such as
    ranks and changes.

    Features whose names end with ``_category`` are codes of categories, 0, 1, … or NaN:
    trees split them into any two sets, see ``max_cat_to_onehot`` and
    ``max_cat_threshold`` of XGBoost. A code that no training row has is a missing one.
    In the strategy ``"vector"`` they are no inputs.

    Parameters
    ----------
    strategy : {"pooled", "vector", "per_ticker"}, default="pooled"
        ``"pooled"``: one model on all (date, ticker) rows, of the ticker's own
        and the market's features. ``"vector"``: one model with an output per ticker
        (trees with vector leaves), on the features of all tickers; for small
        portfolios, since its time grows with the square of the tickers.
        ``"per_ticker"``: one model each, the slow baseline.
    horizon : int or "auto", default="auto"
        Rows that a label looks ahead. ``"auto"`` reads ``y.attrs["horizon"]``.
    n_estimators : int, default=100
        Largest number of trees.
    learning_rate : float, default=0.05
        Weight of each tree.
    max_depth : int, default=4
        Depth of the trees.
    subsample : float, default=0.8
        Share of rows drawn for each tree.
    colsample_bytree : float, default=0.5
        Share of inputs drawn for each tree.
    reg_lambda : float, default=10.0
        Penalty on the squared leaf values.
    max_bin : int, default=32
        Histogram bins of each input. They are cut from 16,384 rows, drawn by
        `random_state`, where at least twice as many train.
    early_stopping_rounds : int or None, default=None
        Stop when the correlation with the validation tail's labels has not risen for
        so many trees, and keep the best number. None, or too few rows for a tail,
        trains all trees.
    target : ReturnTarget, default=None
        What is learned of the returns: relative to what, in which unit, at which
        dates, and how much of a forecast is kept. None means ``ReturnTarget()``.
    market_features : bool, default=True
        Whether columns shared by all tickers (``market__*``) are inputs, too. They
        always are when there are no others.
    xgb_params : dict or None, default=None
        Further parameters of XGBoost, by its names, which XGBoost checks. Among them:

        - ``"objective"``: ``"reg:squarederror"``, the default, or
          ``"reg:pseudohubererror"``, which outliers move less, with ``"huber_slope"``.
        - ``"monotone_constraints"``: feature → 1 or -1, for forecasts that never fall,
          or never rise, with it. Names are those of `feature_importances_`. A missing
          input counts as lower than all others. Signals that are named here, or in
          ``"interaction_constraints"``, are left to the trees alone.
        - ``"interaction_constraints"``: lists of features that may be used together.
        - ``"min_child_weight"``: least sum of Hessians in a leaf, which is its number
          of training rows for squared errors. By default a thousandth of the rows,
          between 1 and 100.
    device : str, default="cpu"
        Where XGBoost trains and predicts, such as ``"cuda"``. Without a GPU, there is a
        warning, and the CPU is used.
    n_jobs : int or None, default=None
        Threads of XGBoost; None means all cores, or one inside a joblib worker.
    random_state : int, RandomState or None, default=0
        Seed of the row and column draws; None draws a new one for each `fit`.

    Attributes
    ----------
    model_ : PanelModel
        The trained models, their shrinkage, and the common expectation.
    failures_ : dict
        Ticker → reason, where ``strategy="per_ticker"`` could not train a model.
    boosters_ : list of xgboost.Booster
        The trained boosters: one for each horizon (pooled), for all label columns
        (vector), or for each that could be learned (per ticker). Their inputs have
        names; a missing input is -1e30, not NaN, categories are numbered from 1 on,
        with 0 for a missing one, and forecasts are relative and in units of volatility,
        see :class:`~skbatch.forecasting.ReturnTarget`.
    relative_to_ : str
        What the learned returns are relative to: see `target`.
    feature_importances_ : Series of shape (n_features,)
        Share of each feature, indexed by name without ticker, in the total gain of all
        splits.
    layout_, horizon_, panel_columns_, n_features_in_, feature_names_in_
        As in every batch forecaster.

    References
    ----------
    .. [1] Chen, T. and Guestrin, C. (2016). XGBoost: a scalable tree boosting system.
       KDD 2016. https://doi.org/10.1145/2939672.2939785
    .. [2] Gu, S., Kelly, B. and Xiu, D. (2020). Empirical asset pricing via machine
       learning. Review of Financial Studies, 33(5), 2223–2273.
       https://doi.org/10.1093/rfs/hhaa009

    Examples
    --------
    >>> import numpy as np
    >>> from skbatch import BatchXGBoostForecaster
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 2))
    >>> y = 0.01 * np.sign(X[:, 0])
    >>> model = BatchXGBoostForecaster(horizon=1, n_jobs=1).fit(X, y)
    >>> model.predict([[2.0, 0.0], [-2.0, 0.0]]).round(2)
    array([ 0.01, -0.01])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PanelForecaster._parameter_constraints,
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_depth": [Interval(Integral, 1, None, closed="left")],
        "subsample": [Interval(Real, 0, 1, closed="right")],
        "colsample_bytree": [Interval(Real, 0, 1, closed="right")],
        "reg_lambda": [Interval(Real, 0, None, closed="left")],
        "max_bin": [Interval(Integral, 2, None, closed="left")],
        "early_stopping_rounds": [Interval(Integral, 1, None, closed="left"), None],
        "xgb_params": [dict, None],
        "device": [
            TextOf("cpu|(cuda|gpu)(:[0-9]+)?", '"cpu", "cuda" or one such as "cuda:1"')
        ],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "random_state": ["random_state"],
    }
    takes_categories: ClassVar[bool] = True
    _bin_rows: ClassVar[int] = BIN_ROWS
    _signal_model: ClassVar[bool] = True

    def __init__(
        self,
        strategy: Literal["pooled", "vector", "per_ticker"] = "pooled",
        *,
        horizon: int | Literal["auto"] = "auto",
        n_estimators: int = 100,
        learning_rate: float = 0.05,
        max_depth: int = 4,
        subsample: float = 0.8,
        colsample_bytree: float = 0.5,
        reg_lambda: float = 10.0,
        max_bin: int = 32,
        early_stopping_rounds: int | None = None,
        target: ReturnTarget | None = None,
        market_features: bool = True,
        xgb_params: dict[str, Any] | None = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        random_state: Seed = 0,
    ) -> None:
        self.strategy = strategy
        self.horizon = horizon
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.early_stopping_rounds = early_stopping_rounds
        self.target = target
        self.market_features = market_features
        self.xgb_params = xgb_params
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def boosters_(self) -> list[xgb.Booster]:
        """The trained boosters."""
        check_is_fitted(self)
        return [fitted.model.booster for fitted in self.model_.models]

    @property
    def _n_steps(self) -> int:
        return 0 if self.strategy == "per_ticker" else self.n_estimators

    def _fit_table(
        self,
        features: FeatureBlocks,
        labels: np.ndarray,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> Tail:
        check_training_process()
        check_params(self.xgb_params, self.strategy)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        tail = super()._fit_table(features, labels, layout, weights)
        if self.device != "cpu" and self.model_.models[0].model.device == "cpu":
            warn_user(
                f"device={self.device!r} must find a GPU that XGBoost can use. Got "
                "none, so training ran on the CPU. Pass device='cpu', or install "
                "XGBoost with CUDA and its driver.",
                FallbackWarning,
            )
        return tail

    def _fit_model(
        self, rows: Rows, validation: Rows | None, step: Callable[[], None]
    ) -> Any:
        """Train one booster, on top of the own models of signals and categories."""
        below = []
        if self.strategy == "pooled" and self._signal_model:
            bound = constrained(self.xgb_params or {})
            # Each has a weight of its own, because categories can be many and
            # uninformative.
            for fit in (fit_signal_model, fit_category_model):
                if (found := fit(rows, validation, bound)) is not None:
                    below.append(found)
                    rows, validation = found.rows, found.validation
        model: Any = self._fit_booster(rows, validation, step)
        for found in reversed(below):
            n_inputs = found.rows.X.shape[1]
            model = BoostedSignals(model, found.model, found.weight, n_inputs)
        return model

    def _fit_booster(
        self, rows: Rows, validation: Rows | None, step: Callable[[], None]
    ) -> BoosterModel:
        """Train one booster; XGBoost's own failures become `ModelFitError`."""
        # Rows on workers train there. But XGBoost averages a metric over workers, and
        # the correlation by which it stops early cannot be averaged.
        boost = getattr(rows.X, "boost", None)
        seen = seen_categories(rows)
        try:
            if boost is not None and self.early_stopping_rounds is None:
                params = self._booster_params(rows)
                booster = boost(
                    rows.y, params, self.n_estimators, rows.weight, highest(seen)
                )
            else:
                with DeferredInterrupt() as interrupt:
                    steps = StepCallback(step, interrupt)
                    booster = self._train(rows, validation, steps, seen)
        except xgb.core.XGBoostError as error:
            raise translated(error) from error
        if rows.names is not None:
            booster.feature_names = list(rows.names)
        return BoosterModel(booster, self.device, self.n_jobs, seen)

    def _train(
        self,
        rows: Rows,
        validation: Rows | None,
        steps: TrainingCallback,
        seen: Seen,
    ) -> xgb.Booster:
        """Train all trees, or stop early when the tail no longer improves."""
        callbacks = [steps]
        options: dict[str, Any] = {}
        chosen = self.max_bin, self._bin_rows, self._seed, self.n_jobs, self.device
        quantize = partial(self._matrix, rows, seen)
        train = shared_matrix(rows, (*seen, *chosen), quantize)
        if validation is not None and self.early_stopping_rounds is not None:
            tail = self._matrix(validation, seen, reference=train)
            options["evals"] = [(tail, "tail")]
            options["custom_metric"] = tail_correlation(validation.y, validation.weight)
            callbacks.append(
                EarlyStopping(
                    rounds=self.early_stopping_rounds,
                    metric_name="correlation",
                    maximize=True,
                    save_best=True,
                )
            )
        params = self._booster_params(rows)
        if rows.y.ndim == 2:
            options["obj"] = masked_loss(rows.y, params, rows.weight)
        return xgb.train(
            params,
            train,
            self.n_estimators,
            callbacks=callbacks,
            verbose_eval=False,
            **options,
        )

    def _matrix(
        self, rows: Rows, seen: Seen, reference: xgb.DMatrix | None = None
    ) -> xgb.QuantileDMatrix:
        """Quantize inputs; missing labels of vectors are masked by the objective."""
        labels = np.nan_to_num(rows.y) if rows.y.ndim == 2 else rows.y
        options = {"max_bin": self.max_bin, "nthread": inner_threads(self.n_jobs)}
        types = {"feature_types": feature_types(rows.X.shape[1], seen)}
        if reference is None and len(rows.X) >= 2 * self._bin_rows:
            drawn = draw_rows(rows.X, self._bin_rows, self._seed)
            # XGBoost keeps so few values as they are.
            limits = bin_limits(drawn, self.max_bin)
            # A category has a bin if it is not above the highest one.
            for number, code in highest(seen).items():
                limits[:, number] = code
            reference = xgb.QuantileDMatrix(limits, **types, **options)
        # Those of vectors are in the objective.
        weight = rows.weight if rows.y.ndim == 1 else None
        if rows.X.array is not None:
            return xgb.QuantileDMatrix(
                known_only(rows.X.array, seen),
                labels,
                weight=weight,
                ref=reference,
                **types,
                **options,
            )
        slices = SliceIterator(rows.X, labels, weight, seen)
        return xgb.QuantileDMatrix(slices, ref=reference, **options)

    def _booster_params(self, rows: Rows) -> dict[str, Any]:
        """Choose the parameters of XGBoost for these rows."""
        given = with_numbers(self.xgb_params or {}, rows.names)
        params: dict[str, Any] = {
            "objective": "reg:squarederror",
            "base_score": 0.0,
            "disable_default_eval_metric": True,
            "tree_method": "hist",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            "device": self.device,
            "nthread": inner_threads(self.n_jobs),
            "seed": self._seed,
            "verbosity": 0,
        }
        if rows.y.ndim == 2:
            params["multi_strategy"] = "multi_output_tree"
        return {**params, **given, "min_child_weight": leaf_weight(given, rows.y)}
