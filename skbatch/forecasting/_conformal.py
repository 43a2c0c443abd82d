"""Calibrate the uncertainty of any batch forecaster on its latest dates."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from skbatch._progress import Progress
from skbatch._sklearn import HasMethods, Interval, Seed, StrOptions, all_or_nothing
from skbatch.exceptions import PanelError
from skbatch.forecasting._base import TableForecasterMixin
from skbatch.forecasting._calibration import (
    N_MOVES,
    Calibration,
    Tail,
    calibrate,
    deviations_of,
    recent_moves,
)
from skbatch.forecasting._children import (
    as_input,
    check_batch_forecaster_type,
    fit_weighted,
    reads_blocks,
    run_model,
)
from skbatch.forecasting._contributions import explained_by
from skbatch.forecasting._fallback import warn_of_fallback
from skbatch.forecasting._feature_table import FeatureBlocks, FeatureTable
from skbatch.forecasting._horizons import clone_for, horizon_parameters
from skbatch.forecasting._label_layout import (
    check_features,
    check_fit,
    check_labels,
    drop_unknown,
)
from skbatch.forecasting._other_frame import OtherFrame, forecast_others
from skbatch.forecasting._provenance import Provenance, forecast_with_provenance
from skbatch.forecasting._return_target import MAX_AUTO_TAIL
from skbatch.forecasting._uncertainty import UncertaintyMixin, calibrated_part


class ConformalForecaster(
    CallbackSupportMixin,
    UncertaintyMixin,
    TableForecasterMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    r"""Add calibrated uncertainty to any batch forecaster.

    A copy of the forecaster is fitted without the latest dates. Its residuals there,
    in units of each ticker's own recent volatility and pooled over tickers, give the
    spread of returns around the forecast.

    Parameters
    ----------
    estimator : estimator
        The batch forecaster, for example a :class:`FallbackForecaster`.
    calibration_size : int, float or "auto", default="auto"
        Rows or share of the rows with known labels, the latest, that are the
        calibration tail. The forecaster that is checked there knows no label that
        ends in it. ``"auto"`` is half of the rows, at most 504.
    scale : str or None, default="auto"
        Ticker feature that holds its volatility per row. ``"auto"`` takes the
        geometric mean of all ``volatility_WINDOW`` features known at the date, with
        the fourth roots of the windows as weights. None, and ``"auto"`` without such
        features, take the standard deviation of the ticker's own residuals, which
        does not move with the market.
    adaptation : float, default=0.005
        Step size of the adaptive correction [2]_: how fast quantiles move when returns
        have exceeded them more, or less, often than they should. 0 disables it.
    refit : bool, default=True
        Whether forecasts come from a copy fitted on all rows. False uses the one
        that was calibrated, and fits only once.
    random_state : int, RandomState or None, default=0
        Seed of :meth:`predict_scenarios` and :meth:`predict_rank_proba`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted forecaster that forecasts come from.
    calibration_ : Calibration
        Scores of the tail, their dates (``index``) and their distribution.
    horizon_ : int or tuple of int
        Horizon of the labels, in rows.
    layout_, panel_columns_, n_features_in_, feature_names_in_
        As in every batch forecaster.

    Notes
    -----
    With forecast :math:`\hat r`, volatility per row :math:`\sigma` and horizon h, the
    scores are :math:`z_{t,i} = d(r_{t,i}, \hat r_{t,i}) / (\sigma_{t,i} \sqrt h)`.
    The deviation d is :math:`r - \hat r` above the forecast and
    :math:`\log(1 + r) - \log(1 + \hat r)` below it. The quantile of level q at a later
    date is the return whose deviation is :math:`\sigma \sqrt h\, Q(a(q))`, with the
    quantile function Q of all scores of the tail, so that no bound is below -100%.
    Labels of which some are below -1 are no simple returns; for them, d is
    :math:`r - \hat r` on both sides. The level a(q) is q, moved outwards for the few
    independent dates of the tail, as in split conformal prediction [1]_, and then by
    the adaptive correction [2]_, which goes through the tail in the order of time.
    Scenarios are drawn in the same way, shifted so that their mean is the forecast.
    Coverage is an average over tickers and dates; exact guarantees would need
    exchangeable dates, which markets do not offer.

    `predict` and the methods for uncertainty also accept feature frames
    of other tickers than those of `fit`. A ticker that is new gets a forecast from a
    forecaster of this package with ``strategy="pooled"``, also inside a
    :class:`FallbackForecaster` or a search, by its features and the common expectation
    (the median one, if fitted tickers differ in it); from others NaN. Its uncertainty
    is that of all tickers at its own volatility. Without volatility features, that is
    the median of the fitted tickers.

    References
    ----------
    .. [1] Lei, J., G'Sell, M., Rinaldo, A., Tibshirani, R. J. and Wasserman, L. (2018).
       Distribution-free predictive inference for regression. Journal of the American
       Statistical Association, 113(523), 1094–1111.
       https://doi.org/10.1080/01621459.2017.1307116
    .. [2] Gibbs, I. and Candès, E. (2021). Adaptive conformal inference under
       distribution shift. Advances in Neural Information Processing Systems, 34.

    Examples
    --------
    >>> from skbatch import (BatchLinearForecaster, ConformalForecaster,
    ...                      SharedFeatureExtractor, forward_returns)
    >>> from skbatch.datasets import make_panel
    >>> prices = make_panel(400, 4, random_state=0)
    >>> features = SharedFeatureExtractor()
    >>> X, y = features.fit_transform(prices), forward_returns(prices, 5)
    >>> model = ConformalForecaster(BatchLinearForecaster()).fit(X, y)
    >>> lower, upper = model.predict_interval(X.tail(1), coverage=0.9)
    >>> bool((lower < model.predict(X.tail(1))).all(axis=None))
    True
    >>> model.predict_scenarios(X, n_samples=3).shape
    (3, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "calibration_size": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            StrOptions({"auto"}),
        ],
        "scale": [str, None],
        "adaptation": [Interval(Real, 0, 1, closed="both")],
        "refit": ["boolean"],
        "random_state": ["random_state"],
    }
    _forecaster_parameters: ClassVar[tuple[str, ...]] = ("estimator",)
    calibration_: Calibration

    def __init__(
        self,
        estimator: Any,
        *,
        calibration_size: float | Literal["auto"] = "auto",
        scale: str | None = "auto",
        adaptation: float = 0.005,
        refit: bool = True,
        random_state: Seed = 0,
    ) -> None:
        self.estimator = estimator
        self.calibration_size = calibration_size
        self.scale = scale
        self.adaptation = adaptation
        self.refit = refit
        self.random_state = random_state

    @all_or_nothing
    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ConformalForecaster:
        """Fit the forecaster, and calibrate its uncertainty on the latest dates.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame.
        y : DataFrame, Series or array-like of shape (n_dates,) or (n_dates, n_labels)
            Labels; those that end after the last row are neither trained nor
            calibrated on.
        sample_weight : array-like of shape (n_dates,) or (n_dates, n_tickers), \
default=None
            How much each date, or each label, counts for the forecaster inside. One of
            weight zero counts as missing; all others calibrate alike.

        Returns
        -------
        self : ConformalForecaster
            The fitted forecaster.

        Raises
        ------
        PanelError
            When rows, dates or tickers of `X` and `y` differ, or there are too few
            labels to calibrate with.
        ModelFitError
            When the forecaster cannot be fitted although its arguments are valid.
        """
        self._validate_params()
        check_batch_forecaster_type(self.estimator, "estimator")
        given = {*horizon_parameters(self.estimator).values()} - {"auto"}
        horizon: Any = given.pop() if len(given) == 1 else "auto"
        features, labels, _ = check_fit(self, X, y, horizon, sample_weight)
        start, stop = self._tail(labels)
        with Progress(self, n_tasks=1 + self.refit) as progress:
            model = self._fit_child(
                "calibration", features, y, labels, start, progress, sample_weight
            )
            forecasts = run_model(model, features.rows(start, stop), self.layout_)
            tail = Tail.of(labels, start, stop, self.layout_, self.scale)
            self._calibrate(replace(tail, forecasts=forecasts), features)
            if self.refit:
                model = self._fit_child(
                    "all rows",
                    features,
                    y,
                    labels,
                    len(labels),
                    progress,
                    sample_weight,
                )
        self.estimator_ = model
        inner = calibrated_part(model)
        if inner is not None:
            # Kept once.
            inner.calibration_ = self.calibration_
        if not reads_blocks(X):
            warn_of_fallback(self)
        return self

    @property
    def splits_by_ticker(self) -> bool:
        """Whether tickers may be fitted in batches, with models of their own."""
        return getattr(self.estimator, "splits_by_ticker", True)

    def update(self, X: Any, y: Any) -> ConformalForecaster:
        """Recalibrate with dates that have passed since, without refitting.

        Their residuals are added to the tail, as many of its oldest dates are dropped,
        and the adaptive correction continues.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Features of dates after the calibration tail, with the columns of `fit`.
        y : DataFrame, Series or array-like of shape (n_dates,) or (n_dates, n_labels)
            Their labels; those that end after the last row are not known yet.

        Returns
        -------
        self : ConformalForecaster
            The forecaster, with a later calibration tail.

        Raises
        ------
        PanelError
            If labels are of other tickers, or dates not after the calibration tail.
        """
        check_is_fitted(self)
        features = check_features(self, X, reset=False)
        old = self.calibration_
        index, before = features.index, old.index
        if index is not None and before is not None and not index[0] > before[-1]:
            raise PanelError(
                "X must begin after the calibration tail. Got rows from "
                f"{index[0]!s}, with a tail to {before[-1]!s}. Pass later rows only."
            )
        if isinstance(y, pd.DataFrame) and self.layout_.columns is not None:
            columns = self.layout_.columns
            if set(y.columns) != set(columns):
                raise PanelError(
                    f"y must have the columns seen in fit. Got {y.shape[1]} columns, "
                    f"fitted on {len(columns)}. Pass labels of the same tickers."
                )
            y = y[columns]
        horizon: Any = self.horizon_ if isinstance(self.horizon_, int) else "auto"
        labels, layout = check_labels(y, features, horizon)
        if layout.delay != self.layout_.delay:
            raise PanelError(
                f"y must have the delay seen in fit, {self.layout_.delay}. Got "
                f"{layout.delay}. Pass labels from forward_returns(prices, horizon, "
                f"delay={self.layout_.delay})."
            )
        known = np.flatnonzero(np.isfinite(labels).any(axis=1))
        tail = features.rows(0, known[-1] + 1)
        forecasts = run_model(self.estimator_, tail, self.layout_)
        residuals = deviations_of(labels[: tail.n_dates], forecasts, old.bounded)
        scores = residuals / old.scale.matrix(tail, self.layout_)
        scores = np.where(np.isfinite(scores), scores, np.nan).astype(np.float32)
        size = len(old.scores)
        scores = np.concatenate([old.scores, scores])[-size:]
        if tail.index is not None and before is not None:
            tail_index = before.append(tail.index)[-size:]
        else:
            tail_index = None
        moves = recent_moves(features, self.layout_)
        if moves is not None and old.moves is not None:
            moves = pd.concat([old.moves, moves])
            moves = moves[~moves.index.duplicated(keep="last")].tail(N_MOVES)
        self.calibration_ = replace(old, scores=scores, moves=moves, index=tail_index)
        return self

    def predict(self, X: Any) -> Any:
        """Forecast the expected return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`, or of other tickers.

        Returns
        -------
        DataFrame, Series or ndarray, as `y` was
            Expected simple returns over the horizon; NaN where there is no forecast.
        """
        forecasts, features, layout = self._expected(X)
        return layout.wrap(forecasts, features.index)

    def _provenance(self, features: FeatureBlocks) -> tuple[Any, Provenance]:
        return forecast_with_provenance(self.estimator_, features, self.layout_)

    def _explain(self, table: FeatureTable) -> pd.DataFrame:
        return explained_by(self.estimator_, table, self.layout_)

    def _tail(self, labels: np.ndarray) -> tuple[int, int]:
        """Find the first row of the calibration tail, and the one after its last."""
        known = np.flatnonzero(np.isfinite(labels).any(axis=1))
        first, stop = int(known[0]), int(known[-1]) + 1
        size, span = self.calibration_size, stop - first
        if isinstance(size, str):
            rows = min(span // 2, MAX_AUTO_TAIL)
        else:
            rows = int(size) if isinstance(size, Integral) else int(span * size)
        longest = max(self.layout_.reaches)
        if rows < 1 or stop - rows - longest - first < 1:
            raise PanelError(
                "X and y must have rows to fit on before the calibration tail, and "
                f"rows in it. Got {span} rows with labels that end {longest} later, "
                f"with calibration_size={size!r}. Pass more rows, or a smaller tail."
            )
        return stop - rows, stop

    def _fit_child(
        self,
        name: str,
        features: FeatureBlocks,
        y: Any,
        labels: np.ndarray,
        stop: int,
        progress: Progress,
        sample_weight: Any,
    ) -> Any:
        """Fit a copy of the forecaster on the rows before `stop`."""
        model = clone_for(self.estimator, self.horizon_)
        # The forecaster may be third-party code, so it never sees a label that ends
        # later.
        known = labels[:stop].copy()
        drop_unknown(known, self.layout_)
        index = y.index[:stop] if isinstance(y, pd.DataFrame | pd.Series) else None
        target = self.layout_.wrap(known, index)
        if isinstance(y, pd.DataFrame | pd.Series):
            target.attrs = dict(y.attrs)
        whole = stop == features.n_dates
        rows = features if whole else features.rows(0, stop)
        with progress.estimator_task(f"fit on {name}", model):
            if sample_weight is not None:
                if not isinstance(sample_weight, pd.DataFrame | pd.Series):
                    sample_weight = np.asarray(sample_weight)
                sample_weight = getattr(sample_weight, "iloc", sample_weight)[:stop]
            inputs = as_input(model, rows)
            return fit_weighted(model, inputs, target, sample_weight, "estimator")

    def _calibrate(self, tail: Tail, features: FeatureBlocks) -> None:
        """Keep the scores of a calibration tail and what follows from them."""
        found = calibrate(tail, features, self.layout_, float(self.adaptation))
        if found is None:
            raise PanelError(
                "The calibration tail must hold finite residuals. Got none in "
                f"{len(tail.labels)} rows: forecasts or volatilities are missing "
                "there. Pass more rows, or another calibration_size."
            )
        self.calibration_ = found

    def _forecast_known(self, features: FeatureBlocks) -> np.ndarray:
        """Forecast the fitted tickers, as the forecaster inside does."""
        return run_model(self.estimator_, features, self.layout_)

    def _forecast_others(self, frame: OtherFrame) -> np.ndarray:
        """Forecast a frame of other tickers, as the forecaster inside does."""
        return forecast_others(self.estimator_, frame)
