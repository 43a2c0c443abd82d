"""Measure the uncertainty of forecasts on a real panel: coverage, volatility, ranks.

Usage::

    python docs/experiments/uncertainty.py coverage PRICES.parquet --output TABLE.md
    python docs/experiments/uncertainty.py volatility PRICES.parquet --output TABLE.md
    python docs/experiments/uncertainty.py ranks PRICES.parquet --output TABLE.md

``coverage`` refits a system at the start of each year and counts how often the 90%
interval holds the return, overall, by year and by decile of volatility. ``volatility``
scores the expected volatility beside its rivals, of which GARCH(1,1) needs the package
``arch``. ``ranks`` scores the chances of return
quintiles at the end of every month on random subsets of 100 stocks.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from forecaster_defaults import spikes

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
    forward_returns,
    read_panel,
)
from skbatch._kernels.scenarios import bin_weights, rank_bin_shares
from skbatch.exceptions import SkbatchWarning
from skbatch.forecasting._label_layout import check_features
from skbatch.metrics import (
    interval_coverage,
    interval_width,
    pinball_loss,
    ranked_probability_score,
)
from skbatch.panel.engine import PanelColumns

LINEAR = BatchLinearForecaster()
# What the system follows, and the same from the fit at the start of the year alone.
COVERAGE = ["followed", "as fitted"]
VOLATILITY = ["expected", "mean of windows", "GARCH(1,1)", "63 rows", "EWMA(.94)"]
# Values of a ticker that its GARCH model is fitted on, at least.
GARCH_ROWS = 252


def years_of(index: pd.DatetimeIndex) -> tuple[list[int], list[int]]:
    """Split the years after the first two into those to choose on and the rest."""
    years = sorted(set(index.year))[2:]
    return years[: len(years) // 2], years[len(years) // 2 :]


def fitted_years(
    prices: pd.DataFrame, horizon: int, families: list[str]
) -> Iterator[tuple[BatchForecastingSystem, pd.DataFrame]]:
    """Refit a system at the start of each year, with the rows of that year."""
    for year in sorted(set(prices.index.year))[2:]:
        past, new = (
            prices[prices.index.year < year],
            prices[prices.index.year == year],
        )
        system = BatchForecastingSystem(
            horizon, features=SharedFeatureExtractor(families), forecaster=LINEAR
        )
        yield system.fit(past), new


def bounds_of(
    prices: pd.DataFrame, horizon: int, families: list[str]
) -> dict[str, list[pd.DataFrame]]:
    """Bound the returns of each year by the fit of its start."""
    parts: dict[str, list[Any]] = {name: [] for name in COVERAGE}
    for system, new in fitted_years(prices, horizon, families):
        parts["followed"].append(system.predict_interval(new))
        (member,) = system.fitted_.members
        X = system.fitted_.extractor.transform(new[list(member.tickers)])
        parts["as fitted"].append(member.forecaster.predict_interval(X))
    return {
        name: [pd.concat(tables)[prices.columns] for tables in zip(*found, strict=True)]
        for name, found in parts.items()
    }


def known_labels(prices: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Label the dates, without what begins or ends at a wrong price."""
    wrong = spikes(prices)
    y = forward_returns(prices, horizon)
    return y.mask(wrong | wrong.shift(-horizon, fill_value=False))


def coverage_rows(
    prices: pd.DataFrame, horizons: list[int], families: list[str]
) -> Iterator[dict[str, Any]]:
    """Count how often intervals hold, a row per way and horizon."""
    moves = np.log(prices).diff()
    volatility = moves.rolling(63, min_periods=21).std()
    decile = np.ceil(volatility.rank(axis=1, pct=True) * 10)
    for horizon in horizons:
        labels = known_labels(prices, horizon)
        for name, (lower, upper) in bounds_of(prices, horizon, families).items():
            actual, groups = labels.loc[lower.index], decile.loc[lower.index]
            held = ((actual >= lower) & (actual <= upper)).astype(float)
            held = held.where(actual.notna() & lower.notna())
            cells = held.to_numpy()
            by_decile = [
                100 * np.nanmean(cells[groups.to_numpy() == number])
                for number in range(1, 11)
            ]
            by_year = 100 * held.groupby(held.index.year).mean().mean(axis=1)
            loss = pinball_loss(actual, lower, 0.05) + pinball_loss(actual, upper, 0.95)
            yield {
                "horizon": horizon,
                "way": name,
                "coverage %": f"{100 * interval_coverage(actual, lower, upper):.1f}",
                "by year": " ".join(f"{value:.1f}" for value in by_year),
                "by volatility decile": " ".join(f"{v:.0f}" for v in by_decile),
                "width %": f"{100 * interval_width(lower, upper):.2f}",
                "pinball 5% + 95%, bp": f"{1e4 * loss:.2f}",
            }


def garch_paths(moves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Fit GARCH(1,1) to each ticker at the start of each year, and go on from there.

    The tables are of the variance of the next row, that which it reverts to, and the
    speed by which it does so.
    """
    from arch import arch_model

    names = ("next", "mean", "persistence")
    paths = {name: pd.DataFrame(np.nan, moves.index, moves.columns) for name in names}
    for year in sorted(set(moves.index.year))[2:]:
        for ticker in moves:
            # Single wrong prices must not own the fit.
            known = 100 * moves.loc[moves.index.year <= year, ticker].dropna()
            limit = 20 * known.abs().median()
            known = known.clip(-limit, limit)
            past = known[known.index.year < year]
            if len(past) < GARCH_ROWS or not limit > 0:
                continue
            model = arch_model(past, mean="Zero", rescale=False)
            found = model.fit(disp="off", show_warning=False).params
            omega, alpha, beta = found[["omega", "alpha[1]", "beta[1]"]]
            persistence = min(alpha + beta, 0.9999)
            variance, path = float((past**2).mean()), []
            for square in known.to_numpy() ** 2:
                variance = omega + alpha * square + beta * variance
                path.append(variance)
            new = known.index.year == year
            dates = known.index[new]
            paths["next"].loc[dates, ticker] = np.asarray(path)[new] / 1e4
            paths["mean"].loc[dates, ticker] = omega / (1 - persistence) / 1e4
            paths["persistence"].loc[dates, ticker] = persistence
    return paths


def garch_variance(paths: dict[str, pd.DataFrame], horizon: int) -> pd.DataFrame:
    """Average the variances that GARCH expects of the rows of a horizon."""
    speed = paths["persistence"]
    share = (1 - speed**horizon) / (horizon * (1 - speed))
    return paths["mean"] + share * (paths["next"] - paths["mean"])


def volatility_rows(
    prices: pd.DataFrame, horizons: list[int], families: list[str]
) -> Iterator[dict[str, Any]]:
    """Score expected variances by the squared moves of the rows that follow."""
    moves = np.log(prices.mask(spikes(prices))).diff()
    squares = moves**2
    garch = garch_paths(moves)
    for horizon in horizons:
        realized = squares.rolling(horizon).mean().shift(-horizon)
        realized = realized.where(realized > 1e-10)
        parts = []
        for system, new in fitted_years(prices, horizon, families):
            (member,) = system.fitted_.members
            X = system.fitted_.extractor.transform(new[list(member.tickers)])
            # Of single rows: factors of tickers are for returns over the horizon.
            scale = replace(member.forecaster.calibration_.scale, calmer={})
            plain = replace(scale, regressions={})
            features = check_features(member.forecaster, X, reset=False)
            layout = member.forecaster.layout_
            found = [
                layout.wrap(one.matrix(features, layout), X.index) / np.sqrt(horizon)
                for one in (scale, plain)
            ]
            parts.append([table.reindex(columns=prices.columns) for table in found])
        expected, mean = (pd.concat(tables) for tables in zip(*parts, strict=True))
        rivals = {
            "expected": expected**2,
            "mean of windows": mean**2,
            "GARCH(1,1)": garch_variance(garch, horizon),
            "63 rows": moves.rolling(63, min_periods=21).var(),
            "EWMA(.94)": squares.ewm(alpha=0.06, min_periods=20).mean(),
        }
        known = realized.loc[expected.index]
        rivals = {name: rivals[name].loc[known.index] for name in VOLATILITY}
        use = known.notna()
        for variance in rivals.values():
            use &= variance > 0
        truth = known.to_numpy()[use]
        base: tuple[float, float] | None = None
        for name in reversed(VOLATILITY):
            ratio = truth / rivals[name].to_numpy()[use]
            qlike = float(np.mean(ratio - np.log(ratio) - 1))
            error = float(np.mean((np.sqrt(truth) * (1 - ratio**-0.5)) ** 2))
            base = base or (qlike, error)
            yield {
                "horizon": horizon,
                "volatility": name,
                "QLIKE": f"{qlike:.4f}",
                "of EWMA's": f"{qlike / base[0]:.3f}",
                "MSE of EWMA's": f"{error / base[1]:.3f}",
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
            own = model.predict_rank_proba(last).loc[names].to_numpy()
            simulated = (own - 0.04) / 0.8
            gaussian = rivals.gaussian(row, chosen, row)
            learned = rivals.classified(row, chosen)
            chances = {
                "uniform": np.full((100, 5), 0.2),
                "volatility table": rivals.table(row, chosen),
                "Gaussian, 200 days": gaussian,
                "ConformalForecaster": own,
                "its simulation alone": simulated,
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
    parser.add_argument("what", choices=["coverage", "volatility", "ranks"])
    parser.add_argument("prices", type=Path, help="panel of daily prices")
    parser.add_argument("--horizons", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--families", nargs="+", default=["returns", "volatility"])
    parser.add_argument("--stocks", type=int, help="draw so many of the columns")
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    prices = read_panel(arguments.prices, field="Close")
    if arguments.stocks:
        prices = prices.sample(arguments.stocks, axis=1, random_state=0)
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkbatchWarning)
        if arguments.what == "ranks":
            extractor = SharedFeatureExtractor(families=arguments.families)
            X = extractor.fit_transform(prices)
            horizon = arguments.horizons[-1]
            found = rank_rows(rank_scores(prices, X, horizon, arguments.subsets))
        else:
            measure = {"coverage": coverage_rows, "volatility": volatility_rows}
            found = measure[arguments.what](
                prices, arguments.horizons, arguments.families
            )
        for row in found:
            rows.append(row)
            print(to_markdown([row]).splitlines()[-1], flush=True)
            if arguments.output:
                arguments.output.write_text(to_markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
