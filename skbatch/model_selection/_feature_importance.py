"""What a fitted model's forecasts rest on, feature by feature and by family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from skbatch.feature_extraction import list_features
from skbatch.forecasting import ConformalForecaster, FallbackForecaster
from skbatch.forecasting.engine import NO_FEATURES
from skbatch.metrics.plotting import GOOD, GREY, INK, new_axes, tidy
from skbatch.panel.engine import MARKET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OTHER = "your own"


def feature_importances(estimator: BaseEstimator) -> pd.DataFrame:
    """Measure how much each feature contributes to a fitted forecaster.

    Parameters
    ----------
    estimator : estimator
        Fitted forecaster with ``feature_importances_``, such as
        :class:`~skbatch.BatchXGBoostForecaster` or
        :class:`~skbatch.BatchLinearForecaster`, a :class:`~skbatch.FallbackForecaster`
        around one, a pipeline or search that ends in one, or a
        :class:`~skbatch.BatchForecastingSystem` of such models.

    Returns
    -------
    DataFrame of shape (n_features, 2)
        Indexed by feature, the most important first, with columns family and
        importance. Importances sum to 1.

    Raises
    ------
    TypeError
        If `estimator` is not one of these, or not fitted.

    Notes
    -----
    For trees, a feature's importance is the total gain of the splits on it; for a
    linear model, the absolute coefficient of the standardized feature, summed over
    outputs. Models of several horizons or tickers count the same. Importance shows what
    a model uses, not whether it helps: correlated features share it at random, and the
    gain is measured on the training rows.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skbatch import BatchLinearForecaster
    >>> from skbatch.model_selection import feature_importances
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.standard_normal((300, 4)),
    ...                  columns=["A__momentum_63", "B__momentum_63", "A__f", "B__f"])
    >>> y = X[["A__momentum_63", "B__momentum_63"]].set_axis(["A", "B"], axis=1) / 100
    >>> model = BatchLinearForecaster(horizon=1).set_params(target__scale=None)
    >>> model = model.fit(X, y)
    >>> feature_importances(model)["family"].to_dict()
    {'momentum_63': 'returns', 'f': 'your own'}
    """
    parts = [model.feature_importances_ for model in _forecasters(estimator)]
    shares = pd.concat(parts).groupby(level=0, sort=False).sum() / len(parts)
    if not shares.any():
        # Trees without a single split, or coefficients that are all zero.
        return pd.DataFrame(columns=["family", "importance"])
    table = pd.DataFrame(
        {
            "family": feature_families(shares.index, signals_of(estimator)),
            "importance": shares,
        }
    )
    table = table.sort_values("importance", ascending=False, kind="stable")
    return table.rename_axis("feature")


class FeatureImportanceDisplay:
    """Plot of how much each family of features contributes to a model.

    Use `from_estimator` to create one.

    Parameters
    ----------
    importances : DataFrame of shape (n_features, 2)
        Indexed by feature, with columns family and importance, as from
        :func:`~skbatch.model_selection.feature_importances`.
    name : str, default=""
        What is shown, for the title.

    Attributes
    ----------
    families_ : Series of shape (n_families,)
        Sum of the importances of each family, the most important first.
    bars_ : matplotlib BarContainer
        The bars.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from skbatch.model_selection import FeatureImportanceDisplay
    >>> table = pd.DataFrame({"family": ["trend", "trend", "rank"],
    ...                       "importance": [0.2, 0.3, 0.5]}, index=["a", "b", "c"])
    >>> FeatureImportanceDisplay(table).plot().families_.to_dict()
    {'trend': 0.5, 'rank': 0.5}
    """

    def __init__(self, importances: pd.DataFrame, *, name: str = "") -> None:
        self.importances = importances
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Axes | None = None, n_names: int = 3
    ) -> FeatureImportanceDisplay:
        """Draw the importances of a fitted forecaster.

        Parameters
        ----------
        estimator : estimator
            What :func:`~skbatch.model_selection.feature_importances` takes.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        n_names : int, default=3
            Features named beside each bar.

        Returns
        -------
        FeatureImportanceDisplay
            The display.
        """
        table = feature_importances(estimator)
        return cls(table).plot(ax, n_names=n_names)

    def plot(
        self, ax: Axes | None = None, *, n_names: int = 3
    ) -> FeatureImportanceDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        n_names : int, default=3
            Features named beside each bar, the most important ones of the family.

        Returns
        -------
        FeatureImportanceDisplay
            Itself.
        """
        table = self.importances
        sums = table.groupby("family", sort=False)["importance"].sum()
        self.families_ = sums.sort_values(ascending=False, kind="stable")
        size = (8.0, 1.1 + 0.38 * max(len(self.families_), 2))
        ax = new_axes(self, ax, size)
        places = np.arange(len(self.families_))
        self.bars_ = ax.barh(places, 100 * self.families_, color=GOOD, height=0.65)
        widest = 100 * float(self.families_.max()) if len(places) else 1.0
        for place, (family, share) in enumerate(self.families_.items()):
            best = table.loc[table["family"] == family, "importance"].nlargest(n_names)
            shown = ", ".join(name.removeprefix("market__") for name in best.index)
            more = int((table["family"] == family).sum()) - len(best)
            shown += f" and {more} more" if more > 0 and n_names else ""
            ax.annotate(
                f"{100 * share:.1f}%",
                (100 * share, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK,
            )
            ax.annotate(
                shown,
                (100 * share, place),
                (48, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=GREY,
            )
        ax.set_yticks(places, list(self.families_.index))
        ax.invert_yaxis()
        ax.set_xlim(0, 2.4 * widest if n_names else 1.15 * widest)
        ax.set_xlabel("share of the importance, %", color=INK)
        tidy(ax, self.name or "Feature importance by family")
        ax.grid(visible=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _forecasters(estimator: BaseEstimator) -> list[Any]:
    """Find the models inside systems, pipelines, searches and other forecasters."""
    model = estimator
    while True:
        if isinstance(model, Pipeline):
            model = model[-1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, FallbackForecaster | ConformalForecaster):
            model = getattr(model, "estimator_", None)
        else:
            break
    if hasattr(model, "forecasters_"):
        return [found for part in model.forecasters_ for found in _forecasters(part)]
    if not hasattr(model, "feature_importances_"):
        raise TypeError(
            "`estimator` must end in a fitted forecaster with `feature_importances_`. "
            f"Got {type(estimator).__name__} with {type(model).__name__}. Fit it, or "
            "pass the forecaster inside."
        )
    return [model]


def signals_of(estimator: Any) -> dict[str, str]:
    """Map features made of signals to these, by the extractor inside an estimator."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    extractor = getattr(getattr(estimator, "fitted_", None), "extractor", None)
    if isinstance(estimator, Pipeline):
        extractor = estimator[0]
    plan = getattr(extractor, "plan_", None)
    return {made.name: made.signal for made in getattr(plan, "signals", ())}


def feature_families(features: pd.Index, signals: Mapping[str, str]) -> list[str]:
    """Look up the family of each feature; a signal and other parts are their own."""
    windows = {int(n) for name in features for n in re.findall(r"_(\d+)$", name)}
    table = list_features(sorted(window for window in windows if window >= 2))
    shared = table["shared"].astype(bool)
    own, market = table.loc[~shared, "family"], table.loc[shared, "family"]
    prefix = f"{MARKET}__"
    return [
        market.get(name.removeprefix(prefix), "market data")
        if name.startswith(prefix)
        else name
        if name in NO_FEATURES
        else signals.get(name, own.get(name, OTHER))
        for name in features
    ]
