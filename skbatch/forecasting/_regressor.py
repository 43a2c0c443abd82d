"""Any scikit-learn regressor on all tickers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone

from skbatch._kernels.threads import inner_threads, slices
from skbatch._messages import describe_error
from skbatch._sklearn import HasMethods, StrOptions
from skbatch.exceptions import ModelFitError
from skbatch.forecasting._calibration import Tail
from skbatch.forecasting._children import fit_weighted, working_parts
from skbatch.forecasting._feature_table import FeatureBlocks, Rows
from skbatch.forecasting._label_layout import LabelLayout
from skbatch.forecasting._panel_forecaster import PanelForecaster
from skbatch.forecasting._return_target import ReturnTarget
from skbatch.forecasting._row_store import with_gaps
from skbatch.forecasting._training import MAX_CELLS


@dataclass
class RegressorModel:
    """A fitted regressor, and the names of its inputs."""

    regressor: Any
    names: tuple[str, ...] | None

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Forecast `(n_rows,)`."""
        try:
            forecast = self.regressor.predict(_named(X, self.names))
        except ValueError as error:
            raise _explained(error, self.regressor, X) from error
        # A copy, as forecasts are written to.
        return np.array(forecast, dtype=np.float64).reshape(len(X))

    def importances(self) -> np.ndarray:
        """Read the importance of each input, or the size of its coefficient."""
        final = self.regressor
        if hasattr(final, "feature_importances_"):
            return np.asarray(final.feature_importances_, dtype=np.float64)
        return np.abs(np.ravel(final.coef_)).astype(np.float64)


class BatchRegressorForecaster(MetaEstimatorMixin, PanelForecaster):
    """Forecast the returns of all tickers with any scikit-learn regressor.

    The regressor is fitted on stacked (date, ticker) rows. Labels, shrinkage, fallback
    and provenance are those of :class:`~skbatch.BatchXGBoostForecaster`.

    Parameters
    ----------
    regressor : estimator
        A regressor of one target, or a pipeline or search that ends in one, such as
        ``HistGradientBoostingRegressor(random_state=0)``. It is cloned for each model.
        Features have gaps: a regressor that does not accept NaN needs an imputer
        before it, as in ``make_pipeline(SimpleImputer(), Ridge())``.
    strategy : {"pooled", "per_ticker"}, default="pooled"
        ``"pooled"``: one model on all (date, ticker) rows, of the ticker's own
        and the market's features. ``"per_ticker"``: one model each.
    horizon : int or "auto", default="auto"
        Rows that a label looks ahead. ``"auto"`` reads ``y.attrs["horizon"]``.
    target : ReturnTarget, default=None
        What is learned of the returns: relative to what, in which unit, at which
        dates, and how much of a forecast is kept. None means ``ReturnTarget()``.
    market_features : bool, default=True
        Whether columns shared by all tickers (``market__*``) are inputs, too. They
        always are when there are no others.

    Attributes
    ----------
    model_ : PanelModel
        The trained models, their shrinkage, and the common expectation.
    regressors_ : list of estimator
        The fitted regressors: one for each horizon (pooled), or for each label column
        that could be learned (per ticker).
    relative_to_ : str
        What the returns are relative to that were learned: see `target`.
    feature_importances_ : Series of shape (n_features,)
        Share of each feature, indexed by name without ticker, in the regressor's
        ``feature_importances_`` or absolute ``coef_``, where it has one of these.
    failures_ : dict
        Ticker → reason, where ``strategy="per_ticker"`` could not train a model.
    layout_, horizon_, panel_columns_, n_features_in_, feature_names_in_
        As in every batch forecaster.

    Notes
    -----
    Rows are in the order of their dates. The regressor gets a float32 DataFrame of
    features named without their ticker, such as ``momentum_252``, so that
    it can refer to them by name, or an array where X has no column names. All rows are
    in memory at once while it is fitted. Whether a row's forecast depends, in its last
    digits, on the rows beside it, is up to the regressor's arithmetic.

    A seed and a number of threads are the regressor's own, ``regressor__random_state``
    and ``regressor__n_jobs``. Inside a joblib worker, ``n_jobs=None`` means one thread,
    also for regressors for which it otherwise means all cores.

    Validation inside a regressor, such as the early stopping of
    ``HistGradientBoostingRegressor``, draws rows at random, and rows of neighboring
    dates share most of their return: what it finds is too optimistic.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from skbatch import BatchRegressorForecaster
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 2))
    >>> y = 0.01 * np.sign(X[:, 0])
    >>> model = BatchRegressorForecaster(DecisionTreeRegressor(max_depth=2), horizon=1)
    >>> model.fit(X, y).predict([[2.0, 0.0], [-2.0, 0.0]]).round(2)
    array([ 0.01, -0.01])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PanelForecaster._parameter_constraints,
        "regressor": [HasMethods(["fit", "predict"])],
        "strategy": [StrOptions({"pooled", "per_ticker"})],
    }

    def __init__(
        self,
        regressor: BaseEstimator,
        strategy: Literal["pooled", "per_ticker"] = "pooled",
        *,
        horizon: int | Literal["auto"] = "auto",
        target: ReturnTarget | None = None,
        market_features: bool = True,
    ) -> None:
        self.regressor = regressor
        self.strategy = strategy
        self.horizon = horizon
        self.target = target
        self.market_features = market_features

    @property
    def regressors_(self) -> list[Any]:
        """The fitted regressors."""
        return [fitted.model.regressor for fitted in self.model_.models]

    def _fit_table(
        self,
        features: FeatureBlocks,
        labels: np.ndarray,
        layout: LabelLayout,
        weights: np.ndarray | None = None,
    ) -> Tail:
        if hasattr(self.regressor, "fit_batch"):
            raise ValueError(
                "`regressor` must be a regressor of one target. Got "
                f"{type(self.regressor).__name__}, which is a batch forecaster itself. "
                "Use it as it is."
            )
        return super()._fit_table(features, labels, layout, weights)

    def _fit_model(
        self, rows: Rows, validation: Rows | None, step: Callable[[], None]
    ) -> RegressorModel:
        """Fit a clone; what numerics fail at becomes `ModelFitError`."""
        regressor = clone(self.regressor)
        if inner_threads(None) == 1:
            for part in working_parts(regressor):
                if part.get_params(deep=False).get("n_jobs", 1) is None:
                    part.set_params(n_jobs=1)
        X = _loaded(with_gaps(rows.X))
        # Rounded, so that the last bits, in which labels differ with the order of the
        # tickers, decide no tie between two splits of a tree.
        y = rows.y.astype(np.float32).astype(np.float64)
        try:
            fit_weighted(regressor, _named(X, rows.names), y, rows.weight, "regressor")
        except (np.linalg.LinAlgError, ArithmeticError) as error:
            raise ModelFitError(describe_error(error)) from error
        except ValueError as error:
            raise _explained(error, regressor, X) from error
        return RegressorModel(regressor, rows.names)


def _loaded(rows: with_gaps) -> np.ndarray:
    """Read all rows, slice by slice."""
    X = np.empty(rows.shape, np.float32, order="F")
    size = max(1, MAX_CELLS // max(1, rows.shape[1]))
    for place in slices(len(rows), size):
        X[place] = rows[place]
    return X


def _named(X: np.ndarray, names: tuple[str, ...] | None) -> np.ndarray | pd.DataFrame:
    """Name the columns of stacked rows, without copying them."""
    if names is None:
        return X
    # In Fortran's order: pandas 3 hands out read-only views of the other, which
    # scikit-learn's trees cannot read.
    return pd.DataFrame(np.asfortranarray(X), columns=list(names), copy=False)


def _explained(error: ValueError, regressor: Any, X: np.ndarray) -> ValueError:
    """Explain the refusal of missing inputs; any other error is the regressor's."""
    if "nan" not in str(error).lower() or not np.isnan(X).any():
        return error
    reason = str(error).strip().splitlines()[0].rstrip(".")
    return ValueError(
        "`regressor` must accept missing inputs (NaN): features have some where prices "
        f"or lookback are missing. Got {type(regressor).__name__}, which raised: "
        f"{reason}. Put an imputer before it, as in make_pipeline(SimpleImputer(), "
        "Ridge()), or pass one that accepts them, such as "
        "HistGradientBoostingRegressor()."
    )
