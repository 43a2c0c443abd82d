"""Serve every ticker: by the model, its fallback, the mean, or NaN with a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from skbatch._messages import describe_error, format_tickers, warn_user
from skbatch._progress import Progress
from skbatch._sklearn import HasMethods, Interval, all_or_nothing
from skbatch.exceptions import FallbackWarning, ModelFitError
from skbatch.forecasting._base import TableForecasterMixin
from skbatch.forecasting._calibration import Calibration, joined
from skbatch.forecasting._children import (
    as_input,
    check_batch_forecaster_type,
    defined_here,
    fit_weighted,
    reads_blocks,
    run_model,
)
from skbatch.forecasting._contributions import (
    explained_by,
    joined_parts,
    label_index,
)
from skbatch.forecasting._feature_table import ABSENT, FeatureBlocks, FeatureTable
from skbatch.forecasting._horizons import clone_for, horizon_parameters
from skbatch.forecasting._label_layout import check_features, check_fit
from skbatch.forecasting._linear import BatchLinearForecaster
from skbatch.forecasting._mean import HistoricalMeanForecaster
from skbatch.forecasting._other_frame import OtherFrame, forecast_others
from skbatch.forecasting._panel_forecaster import PanelForecaster
from skbatch.forecasting._provenance import (
    ABSENT_REASONS,
    NO_MODEL,
    Provenance,
    Reason,
    notes_of,
)
from skbatch.forecasting._uncertainty import (
    UncertaintyMixin,
    calibrated_part,
    calibrates_itself,
)

ROLES = ("primary", "fallback", "mean")


class FallbackForecaster(
    CallbackSupportMixin,
    UncertaintyMixin,
    TableForecasterMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Forecast with a primary model, and with simpler ones the tickers it cannot serve.

    The primary model is fitted on all tickers. A ticker that it cannot serve (its fit
    failed, the ticker's labels are too few, its forecast is not finite) is forecast
    by the fallback, then by the ticker's historical mean, then gets NaN; where each
    forecast comes from, and why, is recorded.

    Parameters
    ----------
    estimator : estimator
        The primary batch forecaster.
    fallback : estimator or None, default=None
        The simpler forecaster; None means :class:`BatchLinearForecaster`.
    min_labels : int, default=63
        A ticker with fewer known labels is not served by the primary model, and one
        with fewer than a third of it not by its historical mean either.

    Attributes
    ----------
    provenance_ : DataFrame of shape (n_tickers, 2)
        Which model serves each ticker at the last date of `fit`, indexed by ticker
        ((horizon, ticker) for several horizons). Column ``model`` is the class name of
        the primary, fallback or mean forecaster, or ``"none"``; ``reason`` is empty
        for the primary and otherwise states why the models before it could not serve.
        For other dates see :meth:`predict_with_provenance`.
    estimator_, fallback_, mean_ : estimator or None
        The fitted forecasters; None for one whose fit failed, and for a fallback that
        no ticker can need: both models are pooled, with the same target, and every
        ticker has `min_labels`.
    failures_ : dict
        ``"primary"`` or ``"fallback"`` → the error's class and message, where the fit
        failed.
    n_known_ : ndarray of shape (n_labels,)
        Number of known labels of each ticker.
    calibration_ : Calibration or None
        How far returns deviated from forecasts of the latest dates, each by the first
        model that could make it; None where the primary model has no such forecasts.
    horizon_ : int or tuple of int
        Horizon of the labels, in rows.
    layout_, panel_columns_, n_features_in_, feature_names_in_
        As in every batch forecaster.

    Notes
    -----
    Only :class:`~skbatch.exceptions.ModelFitError` counts as a failed fit. Bad
    arguments, malformed input and programming errors are always raised, and never lead
    to a fallback.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skbatch import (BatchLinearForecaster, FallbackForecaster,
    ...                      HistoricalMeanForecaster)
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.standard_normal((200, 2)), columns=["A__f", "B__f"])
    >>> y = pd.DataFrame(rng.normal(0, 0.01, (200, 2)), columns=["A", "B"])
    >>> y.loc[:150, "B"] = np.nan
    >>> model = FallbackForecaster(BatchLinearForecaster(horizon=1),
    ...                            HistoricalMeanForecaster(horizon=1))
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     model.fit(X, y).provenance_["model"].to_dict()
    {'A': 'BatchLinearForecaster', 'B': 'HistoricalMeanForecaster'}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "fallback": [HasMethods(["fit", "predict"]), None],
        "min_labels": [Interval(Integral, 1, None, closed="left")],
    }
    _forecaster_parameters: ClassVar[tuple[str, ...]] = ("estimator", "fallback")

    def __init__(
        self, estimator: Any, fallback: Any = None, *, min_labels: int = 63
    ) -> None:
        self.estimator = estimator
        self.fallback = fallback
        self.min_labels = min_labels

    @all_or_nothing
    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> FallbackForecaster:
        """Fit the primary model, the fallback and the historical mean.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame.
        y : DataFrame, Series or array-like of shape (n_dates,) or (n_dates, n_labels)
            Labels; those that end after the last row are never trained on.
        sample_weight : array-like of shape (n_dates,) or (n_dates, n_tickers), \
default=None
            How much each date, or each label, counts, for all forecasters inside; one
            of weight zero counts as missing.

        Returns
        -------
        self : FallbackForecaster
            The fitted forecaster.

        Raises
        ------
        PanelError
            When rows, dates or tickers of `X` and `y` differ, or no label is finite.

        Warns
        -----
        FallbackWarning
            Once, naming the tickers that the primary model does not serve.
        """
        self._validate_params()
        check_batch_forecaster_type(self.estimator, "estimator")
        check_batch_forecaster_type(self._fallback_estimator(), "fallback")
        features, labels, _ = check_fit(self, X, y, self._horizon(), sample_weight)
        self.n_known_ = np.isfinite(labels).sum(axis=0)
        self.failures_: dict[str, str] = {}
        # The forecasters inside may be third-party code, so they never see unknown
        # labels.
        index = getattr(y, "index", None)
        known = self.layout_.wrap(labels, index)
        mean = HistoricalMeanForecaster(min_labels=-(-self.min_labels // 3))
        if isinstance(y, pd.DataFrame | pd.Series):
            known.attrs = dict(y.attrs)
        with Progress(self, n_tasks=len(ROLES)) as progress:
            fit = partial(
                self._fit_one,
                features=features,
                y=known,
                sample_weight=sample_weight,
                progress=progress,
            )
            self.estimator_ = fit("primary", self.estimator)
            self.fallback_ = None
            if self._needs_fallback():
                self.fallback_ = fit("fallback", self._fallback_estimator())
            self.mean_ = fit("mean", mean)
        self.calibration_ = self._joined_calibration()
        self.provenance_ = self._serve(features.last())[1].at()
        if not reads_blocks(X):
            warn_of_fallback(self)
        return self

    @property
    def splits_by_ticker(self) -> bool:
        """Whether tickers may be fitted in batches, with models of their own."""
        return getattr(self.estimator, "splits_by_ticker", True)

    @property
    def calibrates_itself(self) -> bool:
        """Whether `fit` measures how far returns deviate from the forecasts."""
        return calibrates_itself(self.estimator)

    def predict(self, X: Any) -> Any:
        """Forecast every ticker at every date, each with the first model that can.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_columns)
            Feature frame with the columns seen in `fit`.

        Returns
        -------
        DataFrame, Series or ndarray, as `y` was
            Expected simple returns over the horizon; NaN where no model can serve.
        """
        check_is_fitted(self)
        return self._provenance(check_features(self, X, reset=False))[0]

    def _provenance(self, features: FeatureBlocks) -> tuple[Any, Provenance]:
        forecasts, provenance = self._serve(features)
        return self.layout_.wrap(forecasts, features.index), provenance

    def _explain(self, table: FeatureTable) -> pd.DataFrame:
        served_by = self._serve(table)[1].served_by[0]
        index = label_index(self.layout_)
        models = (self.estimator_, self.fallback_, self.mean_)
        parts = [
            explained_by(models[place], table, self.layout_)[served_by == place]
            for place in np.unique(served_by)
            if place < len(models)
        ]
        return joined_parts(parts, index)

    def _fit_one(
        self,
        role: str,
        model: Any,
        features: FeatureBlocks,
        y: Any,
        sample_weight: Any,
        progress: Progress,
    ) -> Any:
        """Fit one forecaster; a declared failure is recorded and gives None."""
        model = clone_for(model, self.horizon_)
        with progress.estimator_task(f"fit {role}", model):
            try:
                X = as_input(model, features)
                name = "estimator" if role == "primary" else role
                return fit_weighted(model, X, y, sample_weight, name)
            except ModelFitError as error:
                self.failures_[role] = describe_error(error)
                return None

    def _needs_fallback(self) -> bool:
        """Whether the fallback may forecast what the fitted primary model cannot."""
        if (self.n_known_ < self.min_labels).any():
            return True
        models = self.estimator_, self._fallback_estimator()
        for model in models:
            pooled = isinstance(model, PanelForecaster) and model.strategy == "pooled"
            if not (pooled and defined_here(model, "predict")):
                return True
        # Pooled models forecast exactly the tickers that have a volatility.
        first, other = (model._part("target") for model in models)
        return (first.scale, first.relative) != (other.scale, other.relative)

    def _joined_calibration(self) -> Calibration | None:
        """Join the calibrations of the models, unless the primary one has none."""
        models = (self.estimator_, self.fallback_, self.mean_)
        parts = [calibrated_part(model) for model in models if model is not None]
        if not parts or parts[0] is None:
            return None
        known = [(part, part.calibration_) for part in parts if part is not None]
        calibration = joined([found for _, found in known if found is not None])
        for part, _ in known:
            # Kept once: what is measured here holds for each of them.
            part.calibration_ = calibration
        return calibration

    def _fallback_estimator(self) -> Any:
        """Return the fallback, or the default one."""
        # Not by truth: an ensemble without fitted members is false, or an error.
        return BatchLinearForecaster() if self.fallback is None else self.fallback

    def _horizon(self) -> Any:
        """Find the one horizon that the forecasters inside are given, or "auto"."""
        models = (self.estimator, self._fallback_estimator())
        given = {h for m in models for h in horizon_parameters(m).values()} - {"auto"}
        if len(given) > 1:
            raise ValueError(
                "estimator and fallback must have the same horizon. Got "
                f"{' and '.join(map(str, sorted(given)))}. Pass horizon='auto' to all."
            )
        return given.pop() if given else "auto"

    def _names(self) -> list[str]:
        """Class names of primary, fallback and mean."""
        names = [
            type(model).__name__
            for model in (self.estimator, self._fallback_estimator())
        ]
        if names[0] == names[1]:
            names[1] += " (fallback)"
        mean = "HistoricalMeanForecaster"
        return [*names, mean if mean not in names else f"{mean} (last resort)"]

    def _serve(self, features: FeatureBlocks) -> tuple[np.ndarray, Provenance]:
        """Forecast with each model what the ones before it left open."""
        shape = (features.n_dates, len(self.layout_.tickers))
        forecasts, served_by = np.full(shape, np.nan), np.full(shape, len(ROLES))
        absent = np.empty(shape, dtype=np.intp)
        for dates, table in features.tables():
            absent[dates] = table.absence(self.layout_.tickers)
            values, numbers = self._serve_table(
                table.n_dates,
                self.n_known_,
                partial(run_model, features=table, layout=self.layout_),
            )
            forecasts[dates], served_by[dates] = values, numbers
        outside = absent == ABSENT.index("not_member")
        forecasts[outside], served_by[outside] = np.nan, len(ROLES)
        reasons, numbers = self._reasons(served_by)
        return forecasts, Provenance(
            (*self._names(), NO_MODEL),
            served_by,
            reasons,
            np.where((absent > 0) & (served_by > 0), absent, numbers),
            self.layout_,
            features.index,
        )

    def _reasons(
        self, served_by: np.ndarray
    ) -> tuple[tuple[tuple[Reason, ...], ...], np.ndarray]:
        """List why models do not serve, and find the answer to each forecast."""
        # First those of absent tickers. Of labels that the primary model serves
        # throughout, there is nothing to say; the others have one answer for each
        # model, and one for none.
        reasons: list[tuple[Reason, ...]] = list(ABSENT_REASONS)
        first = np.full(served_by.shape[1], -1)
        others = (served_by != 0).any(axis=0)
        models = (self.estimator_, self.fallback_, self.mean_)
        notes = [notes_of(model, self.layout_) for model in models]
        for label, (name, *noted) in enumerate(
            zip(self.layout_.keys, *notes, strict=True)
        ):
            if not others[label] and noted[0] is None:
                continue
            first[label] = len(reasons)
            why: list[Reason] = []
            for place, note in enumerate(noted):
                reasons.append((*why, note) if note is not None else tuple(why))
                if others[label]:
                    why.append(self._reason(label, name, place))
            reasons.append(tuple(why))
        return tuple(reasons), np.where(first < 0, 0, first + served_by)

    def _forecast_others(self, frame: OtherFrame) -> np.ndarray:
        """Forecast a frame of other tickers: new ones without a mean of their own."""
        return self._serve_table(
            frame.features.n_dates,
            frame.carry(self.n_known_, np.array(np.inf)),
            partial(forecast_others, frame=frame),
        )[0]

    def _serve_table(
        self, n_dates: int, n_known: np.ndarray, forecast: Callable[[Any], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecast labels, and find the place of the model behind each forecast."""
        shape = (n_dates, len(n_known))
        forecasts, served_by = np.full(shape, np.nan), np.full(shape, len(ROLES))
        for place, model in enumerate((self.estimator_, self.fallback_, self.mean_)):
            open_cells = ~np.isfinite(forecasts)
            if place == 0:
                open_cells &= n_known >= self.min_labels
            if model is None or not open_cells.any():
                continue
            values = forecast(model)
            taken = open_cells & np.isfinite(values)
            forecasts[taken] = values[taken]
            served_by[taken] = place
        return forecasts, served_by

    def _reason(self, label: int, name: str, place: int) -> Reason:
        """Find why a model does not serve a label."""
        role = ROLES[place]
        model = (self.estimator_, self.fallback_, self.mean_)[place]
        error = self.failures_.get(role, getattr(model, "failures_", {}).get(name))
        if error is not None:
            return Reason("fit_failed", role, (("error", error),))
        n_known = int(self.n_known_[label])
        needed = self.min_labels if place == 0 else getattr(model, "min_labels", 0)
        if (place == 0 and n_known < needed) or role == "mean":
            return Reason(
                "few_labels", role, (("n_labels", n_known), ("needed", needed))
            )
        return Reason("not_finite", role)


def warn_of_fallback(fitted: Any) -> None:
    """Warn once of tickers that a forecaster's primary model does not serve."""
    # Only the outermost `fit` is called from a line of the user's, so whoever fits on
    # blocks warns.
    while not isinstance(fitted, FallbackForecaster):
        fitted = getattr(fitted, "estimator_", None)
        if fitted is None:
            return
    primary = fitted._names()[0]
    tickers = fitted.provenance_.index.get_level_values(-1)
    table, outside = fitted.provenance_, str(Reason("not_member"))
    others = tickers[
        (table["model"] != primary) & (table["reason"] != outside)
    ].unique()
    if len(others):
        warn_user(
            f"{primary} cannot forecast {len(others)} of {tickers.nunique()} tickers: "
            f"{format_tickers(others)}. See provenance_ for reasons.",
            FallbackWarning,
        )
