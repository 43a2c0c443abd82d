"""How long forecasts stay worth something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skbatch.metrics.plotting import BAD, GOOD, INK, tidy

__all__ = ["draw_decay"]


def draw_decay(decay: pd.DataFrame, ax: Any) -> None:
    """Draw the rank IC with the returns of later and later windows.

    Parameters
    ----------
    decay : DataFrame of shape (n_windows, 6)
        From :meth:`~skbatch.model_selection.WalkForwardResult.decay`.
    ax : matplotlib Axes
        Axes to draw on.
    """
    ic = decay["rank_ic"].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(ic / decay["rank_ic_t"]) * decay["critical_t"]
    places = np.arange(len(decay))
    ax.bar(
        places,
        np.nan_to_num(ic),
        yerr=np.where(np.isfinite(error), error, 0.0),
        color=[GOOD if value >= 0 else BAD for value in np.nan_to_num(ic)],
        alpha=0.85,
        width=0.6,
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 3},
    )
    ax.axhline(0, color=INK, linewidth=0.8)
    labels = [
        f"{first}–{last}" if first < last else str(first)
        for first, last in zip(decay["first_row"], decay["last_row"], strict=True)
    ]
    ax.set_xticks(places, labels)
    ax.set_xlabel("rows after the forecast", color=INK)
    ax.set_ylabel("rank IC", color=INK)
    tidy(ax, "Decay of the rank IC", note="whiskers: 95 % intervals")
