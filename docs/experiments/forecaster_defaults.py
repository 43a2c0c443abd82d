"""Choose the forecasters' defaults: yearly refits on a real panel, one table.

Usage::

    python docs/experiments/forecaster_defaults.py PRICES.parquet --output TABLE.md

Every variant is refitted at the start of each year on all rows before it, with
labels that are not known then removed, and forecasts the year. Features are causal,
so they are extracted once. The first half of the years is for choosing; the second
half is held out, and reported for whatever was chosen.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch.exceptions import SkbatchWarning
from skbatch.forecasting import ReturnTarget
from skbatch.metrics import out_of_sample_r2, rank_information_coefficient_series

XGB = BatchXGBoostForecaster


class AllRowsBins(XGB):
    """Cuts bins from all rows instead of a sample."""

    _bin_rows = 2**62


VARIANTS: dict[str, Any] = {
    "historical mean": HistoricalMeanForecaster(),
    "linear": BatchLinearForecaster(),
    "linear, raw returns": BatchLinearForecaster(
        target=ReturnTarget(relative=False, scale=None)
    ),
    "linear, no market features": BatchLinearForecaster(market_features=False),
    "linear, no shrinkage": BatchLinearForecaster(
        alpha=1.0, target=ReturnTarget(validation_size=0)
    ),
    "xgboost (default)": XGB(),
    "raw returns": XGB(target=ReturnTarget(relative=False, scale=None)),
    "not relative": XGB(target=ReturnTarget(relative=False)),
    "not scaled": XGB(target=ReturnTarget(scale=None)),
    "no market features": XGB(market_features=False),
    "no shrinkage": XGB(target=ReturnTarget(validation_size=0)),
    "market weight 0": XGB(target=ReturnTarget(market_weight=0.0)),
    "market weight 1": XGB(target=ReturnTarget(market_weight=1.0)),
    "early stopping 50": XGB(early_stopping_rounds=50),
    "300 trees": XGB(n_estimators=300),
    "600 trees": XGB(n_estimators=600),
    "rate 0.1": XGB(learning_rate=0.1),
    "depth 2": XGB(max_depth=2),
    "depth 6": XGB(max_depth=6),
    "256 bins": XGB(max_bin=256),
    "leaf of 1": XGB(xgb_params={"min_child_weight": 1}),
    "all rows and columns": XGB(subsample=1.0, colsample_bytree=1.0),
    "thinned by the horizon": XGB(),  # `thin` is set to the horizon below
    "not thinned": XGB(target=ReturnTarget(thin=1)),
    "another seed": XGB(random_state=1),
    "bins of all rows": AllRowsBins(),
    "bins of all rows, another seed": AllRowsBins(random_state=1),
}


def spikes(prices: pd.DataFrame) -> pd.DataFrame:
    """Mark prices that are off by a factor for a day: errors of the data.

    A price counts as one when it lies outside a factor of 1.5 of both neighbors
    and these lie within it of each other. One such price in 500 tickers makes up
    two thirds of all squared returns of ten years, so scores leave out the labels
    that begin or end at one. The models see the prices as they are.
    """
    log = np.log(prices)
    jump, revert = log.diff().abs(), log.diff(-1).abs()
    across = (log.shift(-1) - log.shift(1)).abs()
    limit = np.log(1.5)
    return (jump > limit) & (revert > limit) & (across < limit)


def forecast_years(
    estimator: Any, X: pd.DataFrame, y: pd.DataFrame, years: list[int]
) -> pd.DataFrame:
    """Refit before each year and forecast it; every date is out of sample."""
    parts = []
    for year in years:
        before = X.index.year < year
        model = clone(estimator).fit(X[before], y[before])
        parts.append(model.predict(X[X.index.year == year]))
    return pd.concat(parts)


def evaluate(
    y: pd.DataFrame, forecast: pd.DataFrame, mean: pd.DataFrame, horizon: int
) -> dict[str, float]:
    """Score forecasts; the t-statistic uses dates whose labels do not overlap."""
    rank_ic = rank_information_coefficient_series(y, forecast)
    apart = rank_ic.iloc[::horizon].dropna()
    t_statistic = apart.mean() / apart.std() * np.sqrt(len(apart)) if len(apart) else 0
    return {
        "R² zero %": 100 * out_of_sample_r2(y, forecast),
        "R² mean %": 100 * out_of_sample_r2(y, forecast, benchmark=mean),
        "rank IC": float(rank_ic.mean()),
        "t": float(t_statistic),
    }


def run(
    prices: pd.DataFrame, horizons: list[int], names: list[str]
) -> Iterator[pd.DataFrame]:
    """Evaluate the named variants at every horizon; give the table so far."""
    X = SharedFeatureExtractor().fit_transform(prices)
    wrong = spikes(prices)
    print(f"{int(wrong.to_numpy().sum())} prices are off by a factor for one day")
    years = sorted(set(X.index.year))[2:]
    choosing, held_out = years[: len(years) // 2], years[len(years) // 2 :]
    rows = []
    for horizon in horizons:
        y = forward_returns(prices, horizon)
        scored = y.mask(wrong | wrong.shift(-horizon, fill_value=False))
        mean = forecast_years(HistoricalMeanForecaster(), X, y, years)
        for name in names:
            estimator = clone(VARIANTS[name])
            if name == "thinned by the horizon":
                estimator.set_params(target__thin=horizon)
            start = time.perf_counter()
            forecast = forecast_years(estimator, X, y, years)
            row: dict[str, Any] = {"horizon": horizon, "variant": name}
            for label, part in (("choosing", choosing), ("held out", held_out)):
                use = forecast.index.year.isin(part)
                scores = evaluate(
                    scored.loc[forecast.index][use], forecast[use], mean[use], horizon
                )
                row |= {
                    f"{key}, {label} {part[0]}–{part[-1]}": value
                    for key, value in scores.items()
                }
            row["seconds"] = time.perf_counter() - start
            rows.append(row)
            yield pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame) -> str:
    """Write a table as Markdown with sensible digits."""
    formats = {
        "rank IC": "{:+.4f}",
        "R²": "{:+.3f}",
        "t": "{:+.1f}",
        "seconds": "{:.0f}",
    }

    def text(column: str, value: Any) -> str:
        if not isinstance(value, float):
            return str(value)
        key = next(k for k in formats if column.startswith(k))
        return "–" if np.isnan(value) else formats[key].format(value)

    lines = ["| " + " | ".join(table.columns) + " |", "|---" * table.shape[1] + "|"]
    for _, row in table.iterrows():
        lines.append("| " + " | ".join(text(c, row[c]) for c in table.columns) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prices", type=Path, help="panel of daily prices")
    parser.add_argument("--horizons", type=int, nargs="+", default=[5, 21])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    prices = read_panel(arguments.prices, field="Close")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkbatchWarning)
        for table in run(prices, arguments.horizons, arguments.variants):
            print(to_markdown(table.tail(1)).splitlines()[-1], flush=True)
            if arguments.output:
                arguments.output.write_text(to_markdown(table), encoding="utf-8")


if __name__ == "__main__":
    main()
