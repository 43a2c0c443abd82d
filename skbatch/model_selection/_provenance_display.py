"""Which model served how many tickers, over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch._sklearn import last_step
from skbatch.forecasting.engine import NO_MODEL, first_choice
from skbatch.metrics.plotting import INK, Display, date_axis, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skbatch.model_selection._walk_forward_result import WalkForwardResult

COLORS = ("#1f6feb", "#e3a008", "#8b5cf6", "#0e9f6e", "#d61f69")
NONE_COLOR = "#d5dbe1"


class ProvenanceDisplay(Display):
    """Plot of which model the forecasts come from, and of the fallback rate.

    Use `from_result`, `from_estimator` or `from_predictions` to create one.

    Parameters
    ----------
    provenance : DataFrame of shape (n_dates, n_tickers)
        Name of the model behind each forecast, ``"none"`` where there is none.
    first_choice : sequence of str, default=()
        Names that are no fallback; the name that is most frequent if empty.

    Attributes
    ----------
    shares_ : DataFrame of shape (n_dates, n_models)
        Share of the tickers that each model serves.
    fallback_rate_ : Series of shape (n_dates,)
        Share of the forecasts that are not of the first choice; NaN without any.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from skbatch.model_selection import ProvenanceDisplay
    >>> table = pd.DataFrame({"A": ["Trees", "Trees"], "B": ["none", "Linear"]})
    >>> display = ProvenanceDisplay.from_predictions(table, first_choice=["Trees"])
    >>> display.fallback_rate_.tolist()
    [0.0, 0.5]
    """

    def __init__(
        self, provenance: pd.DataFrame, *, first_choice: Sequence[str] = ()
    ) -> None:
        self.provenance = provenance
        self.first_choice = first_choice

    @classmethod
    def from_result(
        cls, result: WalkForwardResult, *, ax: Axes | None = None
    ) -> ProvenanceDisplay:
        """Draw the provenance of a walk-forward.

        Parameters
        ----------
        result : WalkForwardResult
            The result.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ProvenanceDisplay
            The display.
        """
        return cls(result.provenance, first_choice=result.first_choice).plot(ax)

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, X: pd.DataFrame, *, ax: Axes | None = None
    ) -> ProvenanceDisplay:
        """Draw the provenance of a fitted forecaster's forecasts.

        Parameters
        ----------
        estimator : estimator
            Fitted forecaster with ``predict_with_provenance(X)``, such as
            :class:`~skbatch.FallbackForecaster`, or a pipeline that ends in one.
        X : DataFrame of shape (n_dates, n_columns)
            What it forecasts from.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ProvenanceDisplay
            The display.

        Raises
        ------
        TypeError
            If the estimator does not record its provenance.
        """
        final, X = last_step(estimator, X)
        if not hasattr(final, "predict_with_provenance"):
            raise TypeError(
                "`estimator` must have `predict_with_provenance`. Got "
                f"{type(final).__name__}. Pass a fitted batch forecaster, or a "
                "pipeline that ends in one."
            )
        table = final.predict_with_provenance(X)[1].model
        first = (first_choice(final) or "",)
        return cls.from_predictions(table, first_choice=first, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        provenance: pd.DataFrame | np.ndarray,
        *,
        first_choice: Sequence[str] = (),
        ax: Axes | None = None,
    ) -> ProvenanceDisplay:
        """Draw a table of provenance.

        Parameters
        ----------
        provenance : DataFrame or array-like of shape (n_dates, n_tickers)
            Name of the model behind each forecast, ``"none"`` where there is none.
        first_choice : sequence of str, default=()
            Names that are no fallback; the name that is most frequent if empty.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.

        Returns
        -------
        ProvenanceDisplay
            The display.
        """
        return cls(pd.DataFrame(provenance), first_choice=first_choice).plot(ax)

    def _draw(self, ax: Axes) -> None:
        self.shares_, first = self._count()
        given = self.shares_.drop(columns=NO_MODEL, errors="ignore").sum(axis=1)
        others = self.shares_.drop(columns=[*first, NO_MODEL], errors="ignore")
        self.fallback_rate_ = others.sum(axis=1) / given.where(given > 0)
        names = list(self.shares_.columns)
        colors = [
            NONE_COLOR if name == NO_MODEL else COLORS[number % len(COLORS)]
            for number, name in enumerate(names)
        ]
        labels = ["no forecast" if name == NO_MODEL else name for name in names]
        places = date_axis(ax, self.shares_.index)
        shares = 100 * self.shares_.T.to_numpy()
        ax.stackplot(
            places, shares, colors=colors, labels=labels, step="post", linewidth=0
        )
        ax.set(ylim=(0, 100), xlim=(places[0], places[-1]))
        ax.set_ylabel("share of tickers, %", color=INK)
        # Where the first choice serves nearly all, the rest has to be seen, too.
        low = 100 * float(self.shares_[names[0]].quantile(0.02)) if names else 0.0
        if low > 50:
            ax.set_ylim(max(0.0, 100 - 2.5 * max(100 - low, 2.0)), 100)
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.1),
            ncols=2,
            frameon=False,
            fontsize=9,
        )
        rate = 100 * float(self.fallback_rate_.mean())
        none = 100 * float(1 - given.mean())
        tidy(
            ax,
            "Where forecasts come from",
            note=f"{rate:.2f}% by a fallback, {none:.2f}% without a forecast",
        )
        if ax.get_ylim()[0] > 0:
            ax.annotate(
                f"axis begins at {ax.get_ylim()[0]:.0f}%",
                (1, 0),
                (-4, 4),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color="white",
            )

    def _count(self) -> tuple[pd.DataFrame, list[str]]:
        """Count who serves how many tickers: first choice, fallbacks, none."""
        table = self.provenance
        counts = pd.DataFrame(
            {
                name: (table == name).mean(axis=1)
                for name in pd.unique(table.to_numpy().ravel())
            },
            index=table.index,
        )
        order = counts.mean().sort_values(ascending=False, kind="stable").index
        models = [name for name in order if name != NO_MODEL]
        first = [n for n in models if n in self.first_choice]
        if not self.first_choice:
            first = models[:1]
        rest = [name for name in models if name not in first]
        none = [NO_MODEL] if NO_MODEL in counts else []
        return counts[[*first, *rest, *none]], first
