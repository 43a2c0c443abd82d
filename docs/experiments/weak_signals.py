"""Plant a weak signal beside all default inputs, and see how much of it survives.

Usage::

    python docs/experiments/weak_signals.py [--tickers N] [--dates N] [--seeds N]
        [--ic IC ...] [--models NAME ...]

The signal is a field of the panel that lasts for months and lacks 30% of its values.
It moves the returns of the next five rows: as it is, by its square, only in tickers of
high volatility or of high momentum, or only in its top decile, so that a forecast of
what is known has a rank IC of about `--ic`. The table has the share of that rank IC
that forecasts of later rows recover. As planted expectations are known, it is measured
against these, without the noise of returns.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
)

HORIZON, MISSING, N_TEST = 5, 0.3, 250
EFFECTS = {
    "linear": lambda signal, rank: signal,
    "square": lambda signal, rank: (np.square(signal) - 1) / np.sqrt(2),
    "volatile tickers": lambda signal, rank: np.sqrt(2) * signal * (rank > 0),
    "winners": lambda signal, rank: np.sqrt(2) * signal * (rank > 0),
    "top decile": lambda signal, rank: ((signal > 1.2816) - 0.1) / 0.3,
}
# What an effect depends on beside the signal, if not on volatility.
CONTEXTS = {"winners": "rank_momentum_252"}


class TreesAlone(BatchXGBoostForecaster):
    """Signals are inputs like others."""

    _signal_model = False


MODELS = {
    "default": BatchXGBoostForecaster(),
    "trees alone": TreesAlone(),
    "ridge": BatchLinearForecaster(),
    "without the signal": BatchXGBoostForecaster(),
}


def persistent(random: Any, shape: tuple[int, int], lasting: float) -> np.ndarray:
    """Draw first-order autoregressions of variance one, one for each column."""
    values = random.standard_normal(shape)
    for row in range(1, shape[0]):
        values[row] *= np.sqrt(1 - lasting**2)
        values[row] += lasting * values[row - 1]
    return values


def make_prices(random: Any, n_dates: int, n_tickers: int) -> pd.DataFrame:
    """Make prices with betas, volatilities that cluster, and fat tails."""
    shape = n_dates, n_tickers
    market = 0.01 * np.exp(0.3 * persistent(random, (n_dates, 1), 0.97))
    own = np.exp(
        random.normal(-4, 0.35, n_tickers) + 0.3 * persistent(random, shape, 0.95)
    )
    returns = (
        random.normal(1, 0.3, n_tickers) * market * random.standard_t(6, (n_dates, 1))
    )
    returns += own * random.standard_t(5, shape) / np.sqrt(5 / 3)
    dates = pd.bdate_range("2012-01-02", periods=n_dates, name="date")
    names = [f"T{number:03d}" for number in range(n_tickers)]
    return pd.DataFrame(100 * np.exp(returns.cumsum(axis=0)), dates, names)


def make_features(random: Any, n_dates: int, n_tickers: int) -> tuple[Any, ...]:
    """Make prices, a signal, what is known of it, and the features of both."""
    prices = make_prices(random, n_dates, n_tickers)
    signal = persistent(random, prices.shape, 0.985)
    gaps = random.uniform(size=(n_dates // 20 + 1, n_tickers)) < MISSING
    missing = np.repeat(gaps, 20, axis=0)[:n_dates]
    known = pd.DataFrame(np.where(missing, np.nan, signal), prices.index, list(prices))
    panel = pd.concat({"Close": prices, "signal": known}, axis=1)
    return prices, signal, missing, SharedFeatureExtractor().fit_transform(panel)


def table_of(X: pd.DataFrame, feature: str, tickers: pd.Index) -> np.ndarray:
    """Take one feature of all tickers."""
    return X[[f"{ticker}__{feature}" for ticker in tickers]].to_numpy(np.float64)


def rank_ic(forecasts: np.ndarray, expected: np.ndarray) -> float:
    """Average over dates the correlation of forecasts' ranks with what is expected."""
    ranks = pd.DataFrame(forecasts).rank(axis=1)
    return float(ranks.corrwith(pd.DataFrame(expected), axis=1).mean())


def recovered(
    seed: int, n_dates: int, n_tickers: int, ics: list[float], models: list[str]
) -> list[dict[str, Any]]:
    """Fit every model to every effect, and compare with the best forecast."""
    random = np.random.default_rng(seed)
    prices, signal, missing, X = make_features(random, n_dates, n_tickers)
    without = X.drop(columns=[name for name in X if "__signal" in name])
    y = forward_returns(prices, HORIZON)
    unit = table_of(X, "volatility_63", y.columns) * np.sqrt(HORIZON)
    end, rows = n_dates - N_TEST, []
    for ic, (effect, function) in product(ics, EFFECTS.items()):
        context = CONTEXTS.get(effect, "rank_volatility_63")
        rank = np.nan_to_num(table_of(X, context, y.columns))
        rank -= np.median(rank)
        expected = ic / np.sqrt(1 - MISSING) * function(signal, rank)
        labels = y + expected * unit
        labels.attrs.clear()  # these are no longer the returns of the prices
        test = expected[end:]
        best = rank_ic(np.where(missing[end:], 0.0, test), test)
        for name in models:
            inputs = without if name == "without the signal" else X
            # Only what distinguishes tickers is of interest.
            model = clone(MODELS[name])
            model.set_params(horizon=HORIZON, target__market_weight=0.0)
            model.fit(inputs[:end], labels[:end])
            forecasts = model.predict(inputs[end:]).to_numpy() / unit[end:]
            share = rank_ic(forecasts, test) / best
            case = {"ic": ic, "effect": effect, "model": name, "best": best}
            rows.append({**case, "seed": seed, "share": share})
    return rows


def main() -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tickers", type=int, default=200)
    parser.add_argument("--dates", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--ic", type=float, nargs="+", default=[0.03])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    for seed in range(given.seeds):
        rows += recovered(seed, given.dates, given.tickers, given.ic, given.models)
        cases = pd.DataFrame(rows).groupby(["ic", "model", "effect"], sort=False)
        shares = cases["share"].agg(["mean", "sem"]).join(cases["best"].mean())
        print(f"{seed + 1} seeds\n{shares.round(4).to_string()}\n", flush=True)


if __name__ == "__main__":
    main()
