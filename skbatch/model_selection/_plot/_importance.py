"""Importance of features by family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch.metrics.plotting import GOOD, GREY, INK, new_axes, tidy
from skbatch.model_selection._importance import feature_importances

__all__ = ["FeatureImportanceDisplay"]


class FeatureImportanceDisplay:
    """Picture of how much each family of features contributes to a model.

    Use `from_estimator` to make one.

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
        cls, estimator: Any, *, ax: Any = None, n_names: int = 3
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
            The picture.
        """
        table = feature_importances(estimator)
        return cls(table).plot(ax, n_names=n_names)

    def plot(self, ax: Any = None, *, n_names: int = 3) -> FeatureImportanceDisplay:
        """Draw the picture.

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
                f"{100 * share:.1f} %",
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
