"""Measure calibrated uncertainty on a real panel: coverage, and chances of ranks.

Usage::

    python docs/experiments/uncertainty.py coverage PRICES.parquet --output TABLE.md
    python docs/experiments/uncertainty.py ranks PRICES.parquet --output TABLE.md

``coverage`` walks forward, refits on a schedule, and counts how often the 90 % interval
holds the return, overall, by year and by decile of volatility. ``ranks`` scores the
chances of return quintiles at the end of every month on random subsets of 100 stocks.
The first half of the years is for choosing, the second half held out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from forecaster_defaults import spikes

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch._kernels.scenarios import bin_weights, rank_bin_shares
from skbatch.exceptions import SkbatchWarning
from skbatch.metrics import (
    interval_coverage,
    interval_width,
    pinball_loss,
    ranked_probability_score,
)
from skbatch.panel.engine import PanelColumns

LINEAR = BatchLinearForecaster()
# Forecaster, rows between refits, rows between updates (0 for none).
COVERAGE: dict[str, tuple[Any, int, int]] = {
    "default": (ConformalForecaster(LINEAR), 63, 0),
    "no adaptation": (ConformalForecaster(LINEAR, adaptation=0.0), 63, 0),
    "adaptation 0.05": (ConformalForecaster(LINEAR, adaptation=0.05), 63, 0),
    "no refit on all rows": (ConformalForecaster(LINEAR, refit=False), 63, 0),
    "one volatility": (ConformalForecaster(LINEAR, scale="volatility_63"), 63, 0),
    "no volatility": (ConformalForecaster(LINEAR, scale=None), 63, 0),
    "historical mean": (ConformalForecaster(HistoricalMeanForecaster()), 63, 0),
    "50 trees": (ConformalForecaster(BatchXGBoostForecaster(n_estimators=50)), 63, 0),
    "refit yearly": (ConformalForecaster(LINEAR), 252, 0),
    "refit yearly, updated": (ConformalForecaster(LINEAR), 252, 21),
}


def years_of(index: pd.DatetimeIndex) -> tuple[list[int], list[int]]:
    """Split the years after the first two into those to choose on and the rest."""
    years = sorted(set(index.year))[2:]
    return years[: len(years) // 2], years[len(years) // 2 :]


def walk(
    estimator: Any, X: pd.DataFrame, y: pd.DataFrame, every: int, update: int
) -> tuple[pd.DataFrame, ...]:
    """Refit every so many rows and forecast those that follow; all out of sample."""
    first = int(np.flatnonzero(X.index.year == years_of(X.index)[0][0])[0])
    parts: list[tuple[pd.DataFrame, ...]] = []
    step = update or every
    for start in range(first, len(X), step):
        if (start - first) % every == 0:
            model = estimator.fit(X[:start], y[:start])
        elif update:
            after = X.index.get_loc(model.calibration_index_[-1]) + 1
            model.update(X[after:start], y[after:start])
        rows = X[start : start + step]
        parts.append(model.predict_interval(rows, coverage=0.9))
    return tuple(pd.concat(tables) for tables in zip(*parts, strict=True))


def coverage_rows(
    prices: pd.DataFrame, X: pd.DataFrame, horizons: list[int], names: list[str]
) -> Iterator[dict[str, Any]]:
    """Count how often intervals hold, a row per variant, horizon and half."""
    wrong = spikes(prices)
    columns = [f"{ticker}__volatility_63" for ticker in prices.columns]
    volatility = X[columns].set_axis(prices.columns, axis=1)
    decile = np.ceil(volatility.rank(axis=1, pct=True) * 10)
    for horizon in horizons:
        y = forward_returns(prices, horizon)
        scored = y.mask(wrong | wrong.shift(-horizon, fill_value=False))
        for name in names:
            lower, upper = walk(COVERAGE[name][0], X, y, *COVERAGE[name][1:])
            for years in years_of(X.index):
                use = lower.index[lower.index.year.isin(years)]
                actual, low, high = (t.loc[use] for t in (scored, lower, upper))
                held = (actual >= low) & (actual <= high)
                held = held.where(actual.notna() & low.notna()).astype(float)
                groups = decile.loc[use].to_numpy()
                cells = held.to_numpy()
                by_decile = [
                    100 * np.nanmean(cells[groups == number]) for number in range(1, 11)
                ]
                by_year = [
                    100 * np.nanmean(held[held.index.year == year].to_numpy())
                    for year in years
                ]
                yield {
                    "horizon": horizon,
                    "variant": name,
                    "years": f"{years[0]}–{years[-1]}",
                    "coverage %": f"{100 * interval_coverage(actual, low, high):.1f}",
                    "by year": " ".join(f"{value:.1f}" for value in by_year),
                    "by volatility decile": " ".join(f"{v:.0f}" for v in by_decile),
                    "width %": f"{100 * interval_width(low, high):.2f}",
                    "pinball 5 % + 95 %, bp": "{:.2f}".format(
                        1e4 * pinball_loss(actual, low, 0.05)
                        + 1e4 * pinball_loss(actual, high, 0.95)
                    ),
                }


class Rivals:
    """Other ways to the chances of quintiles, each from what was known at the time."""

    def __init__(self, prices: pd.DataFrame, X: pd.DataFrame, horizon: int) -> None:
        clean = prices.mask(spikes(prices)).ffill(limit=2)
        self.returns = clean.pct_change(fill_method=None).to_numpy()
        columns = PanelColumns.parse(X.columns)
        places = [columns.tickers.index(ticker) for ticker in prices.columns]
        self.inputs = np.stack(
            [
                X.iloc[:, columns.positions[places, number]].rank(axis=1, pct=True)
                for number in range(len(columns.features))
            ],
            axis=-1,
        ).astype(np.float32)
        self.volatility = self.inputs[..., columns.features.index("volatility_63")]
        ranks = forward_returns(prices, horizon).rank(axis=1, pct=True, method="first")
        self.bins = np.ceil(ranks.to_numpy() * 5) - 1
        self.horizon = horizon
        self.trees: Any = None

    def gaussian(self, row: int, tickers: np.ndarray, seed: int) -> np.ndarray:
        """Simulate a joint Gaussian from the last 200 days' covariance."""
        past = self.returns[row - 199 : row + 1][:, tickers]
        past = past - past.mean(axis=0)
        draws = np.random.default_rng(seed).standard_normal((2000, 200)) @ past
        return frequencies(draws)

    def table(self, row: int, tickers: np.ndarray) -> np.ndarray:
        """Look up the past shares of quintiles by decile of volatility."""
        rows = np.arange(252, row - self.horizon + 1)
        known = np.isfinite(self.bins[rows]) & np.isfinite(self.volatility[rows])
        decile = np.ceil(self.volatility[rows][known] * 10).astype(int) - 1
        counts = np.zeros((10, 5))
        np.add.at(counts, (decile, self.bins[rows][known].astype(int)), 1)
        shares = counts / counts.sum(axis=1, keepdims=True)
        order = pd.Series(self.volatility[row, tickers]).rank(pct=True).to_numpy()
        return shares[np.ceil(order * 10).astype(int) - 1]

    def learn(self, row: int) -> None:
        """Train a classifier of quintiles on ranks of features, all stocks pooled."""
        rows = np.arange(252, row - self.horizon + 1, 5)
        known = np.isfinite(self.bins[rows]) & np.isfinite(self.volatility[rows])
        matrix = xgb.QuantileDMatrix(
            self.inputs[rows][known], self.bins[rows][known], max_bin=32
        )
        parameters = {
            "objective": "multi:softprob",
            "num_class": 5,
            "max_bin": 32,
            "max_depth": 2,
            "eta": 0.1,
            "reg_lambda": 100,
            "min_child_weight": 100,
            "subsample": 0.8,
            "nthread": 2,
        }
        self.trees = xgb.train(parameters, matrix, 30)

    def classified(self, row: int, tickers: np.ndarray) -> np.ndarray:
        """Classify, then fill the bins equally by iterated scaling."""
        chances = self.trees.inplace_predict(self.inputs[row, tickers])
        for _ in range(50):
            chances = chances * (len(chances) / 5 / chances.sum(axis=0))
            chances /= chances.sum(axis=1, keepdims=True)
        return chances


def frequencies(draws: np.ndarray) -> np.ndarray:
    """Share of the draws in which each ticker is in each quintile."""
    return rank_bin_shares(draws, bin_weights(draws.shape[1], 5)) / len(draws)


def whole_dates(model: Any, X: pd.DataFrame, columns: np.ndarray) -> np.ndarray:
    """Resample the residuals of whole dates of the calibration tail."""
    _, features, layout = model._forecast(X)
    scale = model.scale_.matrix(features, layout)
    scores = model.calibration_.scores[:, columns].astype(np.float64)
    scores = np.nan_to_num(scores - np.nanmean(scores, axis=0))
    rows = np.random.default_rng(0).integers(0, len(scores), 2000)
    return frequencies(scores[rows] * scale + 1e-12 * np.arange(len(columns)))


def rank_scores(
    prices: pd.DataFrame, X: pd.DataFrame, horizon: int, n_subsets: int
) -> pd.DataFrame:
    """Score each way to chances of quintiles at every month's end."""
    y = forward_returns(prices, horizon)
    wrong = spikes(prices)
    scored = y.mask(wrong | wrong.shift(-horizon, fill_value=False))
    columns = PanelColumns.parse(X.columns)
    rivals = Rivals(prices, X, horizon)
    after = years_of(X.index)[0][0]
    month_ends = X.index.to_series().groupby([X.index.year, X.index.month]).max()
    model = ConformalForecaster(LINEAR)
    rows, year = [], 0
    for date in month_ends[month_ends.dt.year >= after]:
        row = int(X.index.get_loc(date))
        past = np.isfinite(rivals.returns[row - 251 : row + 1]).all(axis=0)
        able = np.flatnonzero(past & scored.loc[date].notna().to_numpy())
        if len(able) < 100:
            continue
        if date.year != year:
            rivals.learn(row)
            year = date.year
        model.fit(X[: row + 1], y[: row + 1])
        random = np.random.default_rng(row)
        for subset in range(n_subsets):
            chosen = np.sort(random.choice(able, 100, replace=False))
            names = prices.columns[chosen]
            places = [columns.tickers.index(ticker) for ticker in names]
            use = [*columns.positions[places].ravel(), *columns.shared_positions]
            last = X.iloc[[row], np.sort(use)]
            order = PanelColumns.parse(last.columns).tickers
            labels = [prices.columns.get_loc(ticker) for ticker in order]
            own = model.predict_rank_proba(last).loc[names].to_numpy()
            simulated = (own - 0.04) / 0.8
            gaussian = rivals.gaussian(row, chosen, row)
            learned = rivals.classified(row, chosen)
            dates = pd.DataFrame(whole_dates(model, last, np.array(labels)), order)
            chances = {
                "uniform": np.full((100, 5), 0.2),
                "volatility table": rivals.table(row, chosen),
                "Gaussian, 200 days": gaussian,
                "ConformalForecaster": own,
                "its simulation alone": simulated,
                "whole dates": dates.loc[names].to_numpy(),
                "classification": learned,
                "simulation + classification": (simulated + learned) / 2,
                "Gaussian + uniform": 0.8 * gaussian + 0.04,
            }
            actual = scored.loc[date, names].to_numpy()
            for name, table in chances.items():
                score = ranked_probability_score(actual, table)
                rows.append((date, subset, name, score))
        print(date.date(), flush=True)
    table = pd.DataFrame(rows, columns=["date", "subset", "way", "score"])
    return table.pivot_table("score", "date", "way", sort=False)


def rank_rows(scores: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Average over months; a difference's error is that of its mean over months."""
    rivals = ["uniform", "volatility table", "Gaussian, 200 days"]
    years = sorted(set(scores.index.year))
    for part in (years[: len(years) // 2], years[len(years) // 2 :], years):
        table = scores[scores.index.year.isin(part)]
        for way in table.columns:
            row = {
                "years": f"{part[0]}–{part[-1]}",
                "way": way,
                "RPS": f"{table[way].mean():.5f}",
            }
            for rival in rivals:
                gap = 1e5 * (table[way] - table[rival])
                error = gap.std() / np.sqrt(len(gap))
                same = way == rival
                row[f"− {rival}"] = "–" if same else f"{gap.mean():+.0f} ± {error:.0f}"
            yield row


def to_markdown(rows: list[dict[str, Any]]) -> str:
    """Write rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(str(row[n]) for n in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run an experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["coverage", "ranks"])
    parser.add_argument("prices", type=Path, help="panel of daily prices")
    parser.add_argument("--horizons", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--variants", nargs="+", default=list(COVERAGE))
    parser.add_argument("--families", nargs="+", default=["returns", "volatility"])
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    prices = read_panel(arguments.prices, field="Close")
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkbatchWarning)
        X = SharedFeatureExtractor(families=arguments.families).fit_transform(prices)
        if arguments.what == "coverage":
            found = coverage_rows(prices, X, arguments.horizons, arguments.variants)
        else:
            horizon = arguments.horizons[-1]
            found = rank_rows(rank_scores(prices, X, horizon, arguments.subsets))
        for row in found:
            rows.append(row)
            print(to_markdown([row]).splitlines()[-1], flush=True)
            if arguments.output:
                arguments.output.write_text(to_markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
