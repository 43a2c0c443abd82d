"""The pictures of one run: forecasts with their intervals, and volatilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbatch._html import draw_figure, grid
from skbatch._messages import count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# More tickers than that are numbered below a picture instead of named.
MAX_NAMES = 24


def draw_forecasts(rows: pd.DataFrame) -> str:
    """Draw the forecasts of one horizon, or nothing if there are none."""
    known = rows.dropna(subset="expected_return")
    if known.empty:
        return ""
    figures = [
        draw_figure(
            lambda ax: draw_returns(known, ax),
            "Expected returns with their intervals, ranked",
            f"{count(len(known), 'forecast')}, the highest first. Lines are intervals, "
            "where there are some.",
        )
    ]
    if known["volatility"].notna().any():
        figures.append(
            draw_figure(
                lambda ax: draw_volatilities(known, ax),
                "Expected volatility, ranked",
                "Standard deviation of the return over the horizon, not annualized.",
            )
        )
    return grid(figures)


def draw_returns(known: pd.DataFrame, ax: Axes) -> None:
    """Draw a dot for each forecast, and a line from bound to bound."""
    from skbatch.metrics.plotting import BAD, GOOD, GREY, INK, tidy

    known = known.sort_values("expected_return", ascending=False, kind="stable")
    place = range(1, len(known) + 1)
    for name in known:
        if str(name).startswith("lower"):
            upper = known[str(name).replace("lower", "upper", 1)]
            bounds = 100 * known[name].to_numpy(), 100 * upper.to_numpy()
            width = min(4.0, 120 / len(known))
            ax.vlines(place, *bounds, color=GREY, alpha=0.4, linewidth=width)
    forecast = 100 * known["expected_return"].to_numpy()
    colors = [GOOD if value >= 0 else BAD for value in forecast]
    size = min(20.0, 800 / len(known))
    ax.scatter(place, forecast, c=colors, s=size, zorder=3)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel("return over the horizon, %", color=INK)
    tidy(ax, "Expected returns, ranked")
    _label(ax, known)


def draw_volatilities(known: pd.DataFrame, ax: Axes) -> None:
    """Draw a bar for each volatility."""
    from skbatch.metrics.plotting import GOOD, INK, tidy

    known = known.dropna(subset="volatility")
    known = known.sort_values("volatility", ascending=False, kind="stable")
    place = range(1, len(known) + 1)
    width = 0.65 if len(known) <= MAX_NAMES else 1.0
    ax.bar(place, 100 * known["volatility"], width=width, color=GOOD, alpha=0.85)
    ax.set_ylabel("volatility over the horizon, %", color=INK)
    tidy(ax, "Expected volatility, ranked")
    _label(ax, known)


def _label(ax: Axes, known: pd.DataFrame) -> None:
    """Write the tickers below the picture if there is room, else their ranks."""
    from skbatch.metrics.plotting import INK

    if len(known) > MAX_NAMES:
        ax.set_xlabel("rank", color=INK)
        return
    # A ticker such as A$B$ is no formula.
    names = [str(name).replace("$", r"\$") for name in known["ticker"]]
    ax.set_xticks(range(1, len(known) + 1), names, rotation=90)
