"""The parts of the report about where the skill is, and what it rests on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn import config_context

from skbatch._html import card, draw_figure, grid, section, table
from skbatch._messages import count, date_text
from skbatch.forecasting.engine import relative_to
from skbatch.metrics.plotting import GOOD, GREY, INK, tidy
from skbatch.model_selection._verdict import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skbatch.model_selection._walk_forward_result import WalkForwardResult

PACKAGES = ("skbatch", "xgboost", "scikit-learn", "numpy", "pandas")


def skill_sections(
    result: WalkForwardResult, horizon: int, suffix: str, groups: Any
) -> list[str]:
    """Break down the skill of one horizon, and judge the size of the forecasts."""
    kinds: dict[str, Any] = {"market": "market", "volatility": "volatility"}
    if result.has_volumes:
        kinds["size"] = "size"
    if isinstance(groups, Mapping | pd.Series):
        kinds["group"] = groups
    rows = []
    for name, by in kinds.items():
        for part, scores in result.skill_by(by, horizon).to_dict("index").items():
            rows.append(
                [
                    f"{name}: {part}",
                    number(scores["rank_ic"], 4),
                    number(scores["rank_ic_t"], 2),
                    percent(scores["r2_zero"], 2, sign=True),
                    percent(scores["spread"], 3, sign=True),
                    str(scores["n_dates"]),
                ]
            )
    header = ["", "rank IC", "t", "R² against zero", "spread", "dates"]
    return [
        section(f"Where the skill is{suffix}", table(header, rows)),
        section(
            f"Calibration and known factors{suffix}",
            _calibration(result, horizon),
            _factors(result, horizon),
        ),
    ]


def _calibration(result: WalkForwardResult, horizon: int) -> str:
    """Draw mean returns beside mean forecasts, with the slopes."""
    found = result.calibration(horizon)
    rows = [
        [name, number(row["slope"], 2), f"{row['lower']:+.2f} to {row['upper']:+.2f}"]
        for name, row in found.attrs["slopes"].to_dict("index").items()
        if np.isfinite(row["slope"])
    ]
    note = "1 is calibrated; below it, forecasts are too far apart."
    picture = draw_figure(
        lambda ax: draw_calibration(found, ax),
        "Mean return by size of the forecast",
        "Each dot is a tenth of all forecasts; the line is where both are equal.",
    )
    slopes = table(
        ["slope of returns on forecasts", "", "95% interval"], rows, note=note
    )
    return grid([picture, slopes])


def draw_calibration(found: pd.DataFrame, ax: Axes) -> None:
    """Draw mean returns against mean forecasts."""
    x, y = 100 * found["forecast"].to_numpy(), 100 * found["return"].to_numpy()
    known = x[np.isfinite(x)]
    if len(known):
        ends = [known.min(), known.max()]
        ax.plot(ends, ends, color=GREY, lw=1)
    ax.plot(x, y, "o", color=GOOD)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xlabel("mean forecast, %", color=INK)
    ax.set_ylabel("mean return, %", color=INK)
    tidy(ax, "Calibration of the forecasts")


def _factors(result: WalkForwardResult, horizon: int) -> str:
    """Tabulate what forecasts share with factors, and what is left."""
    rows = [
        [
            str(name),
            number(row["correlation"], 2),
            number(row["factor_ic"], 4),
            number(row["residual_ic"], 4),
            number(row["residual_ic_t"], 2),
        ]
        for name, row in result.factor_skill(horizon).to_dict("index").items()
    ]
    header = ["factor", "correlation", "its rank IC", "rank IC beyond it", "t"]
    return table(header, rows)


def data_section(result: WalkForwardResult) -> str:
    """Write what the result rests on: data, trials, parameters, versions."""
    closes = result.whole_closes
    ended = int(closes.iloc[-5:].isna().all().sum())
    n_tickers = closes.shape[1]
    gaps = percent(float(closes.isna().to_numpy().mean()), 1)
    survivors = (
        f"The prices of {ended} of {n_tickers} tickers end before the panel does. "
        "Returns are too high where others that failed or were taken over are missing "
        "(survivorship bias)."
        if ended
        else f"All {n_tickers} tickers have prices to the end: those that failed or "
        "were taken over are missing, and returns are too high (survivorship bias)."
    )
    relative = relative_to(result.estimator)
    items = {
        "Data": f"{len(closes)} rows from {date_text(closes.index[0])} to "
        f"{date_text(closes.index[-1])}, {n_tickers} tickers, {gaps} of the prices "
        "missing.",
        "Survivors": survivors,
        "Relative to": f"Models learn returns relative to {relative}; the forecasts "
        f"include the expected return of {relative}.",
        "Evaluation": _schedule(result),
        "Trials": f"{result.n_trials} tried, this one included, as far as recorded: "
        "adjusted p-values and the deflated Sharpe ratio count them.",
        "Versions": f"Python {platform.python_version()}, {', '.join(_versions())}.",
    }
    if not relative:
        del items["Relative to"]
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        for name, text in items.items()
    )
    shown = ""
    if result.estimator is not None:
        with config_context(print_changed_only=False):
            everything = repr(result.estimator)
        shown = (
            f"<pre>{escape(repr(result.estimator))}</pre><details><summary>All "
            f"parameters</summary><pre>{escape(everything)}</pre></details>"
        )
    return section("Data, parameters and versions", card(f"<dl>{listed}</dl>{shown}"))


def _schedule(result: WalkForwardResult) -> str:
    """Write when the model was refitted, and on how much."""
    rows = result.refits["n_train_rows"]
    return (
        f"Horizon {' and '.join(map(str, result.horizons))}, delay {result.delay}, "
        f"{result.n_quantiles} quantiles; {count(len(rows), 'refit')}, the first on "
        f"{rows.iloc[0]} rows and the last on {rows.iloc[-1]}, with labels that were "
        "known by then."
    )


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # XGBoost has a distribution without GPU, too
            continue
    return found
