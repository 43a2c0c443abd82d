"""What all pictures share: matplotlib on demand, colours, axes."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["BAD", "GOOD", "GREY", "INK", "LIGHT", "date_axis", "new_axes", "tidy"]

INK = "#1f2933"
GREY = "#7b8794"
LIGHT = "#cbd2d9"
GOOD = "#1f6feb"
BAD = "#c2410c"


def new_axes(caller: str, ax: Any, size: tuple[float, float] = (8.0, 3.6)) -> Any:
    """Give the axes to draw on, new ones if there are none.

    Parameters
    ----------
    caller : str
        Who needs matplotlib.
    ax : matplotlib Axes or None
        Axes of the user.
    size : tuple of float, default=(8.0, 3.6)
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib Axes
        The axes.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib. Install it with `pip install 'skbatch[plot]'`."
        ) from error
    if ax is not None:
        return ax
    return plt.subplots(figsize=size, layout="constrained")[1]


def tidy(ax: Any, title: str, *, note: str = "") -> None:
    """Set the title and a note beside it, and take away what says nothing.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes.
    title : str
        Title, set to the left.
    note : str, default=""
        Second line, smaller.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(LIGHT)
    ax.tick_params(colors=GREY, labelcolor=INK, labelsize=9)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color=LIGHT, linewidth=0.6, alpha=0.7)
    pad = 20 if note else 8
    ax.set_title(title, loc="left", fontsize=11, color=INK, weight="bold", pad=pad)
    if note:
        ax.annotate(
            note,
            (0, 1),
            (0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9,
            color=GREY,
        )


def date_axis(ax: Any, index: pd.Index) -> Any:
    """Give places on the axis for an index, and label them briefly if they are dates.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes.
    index : pandas.Index
        Dates or numbers of rows.

    Returns
    -------
    ndarray
        Places of the index.
    """
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        return index.to_numpy()
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return index.tz_localize(None).to_numpy()
