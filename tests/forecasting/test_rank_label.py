"""Labels that rank: what pooled models learn when `ReturnTarget(label="rank")`."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch._kernels.target import shrinkage_slope
from skbatch.datasets import make_panel
from skbatch.forecasting import ReturnTarget

HORIZON = 5
# Everything trains, and forecasts are of the model alone.
PLAIN = {"market_weight": 0.0, "thin": 1, "validation_size": 0}
OWN = ["beta_252", "idiosyncratic_volatility_63", "volatility_63"]


@pytest.fixture(scope="module")
def frames():
    prices = make_panel(420, 9, random_state=3)
    prices.iloc[:150, 2] = np.nan
    X = SharedFeatureExtractor(
        ["returns", "volatility", "relative"], windows=[63, 252]
    ).fit_transform(prices)
    return X, forward_returns(prices, HORIZON)


@pytest.fixture(scope="module")
def short_frames(frames):
    """Rows around those at which betas begin, for the slow reference."""
    X, y = (frame.iloc[240:390] for frame in frames)
    return X, y


def table(X, feature, tickers):
    names = [f"{ticker}__{feature}" for ticker in tickers]
    if not set(names) <= set(X):
        return pd.DataFrame(np.nan, X.index, tickers)
    return X[names].astype(float).set_axis(tickers, axis=1)


def unit_of(X, y):
    return table(X, "volatility_63", list(y))


def ranked_slowly(X, y):
    """Normal scores, date by date and ticker by ticker, as the docstring says."""
    beta, own, volatility = (table(X, feature, list(y)) for feature in OWN)
    known = y[:-HORIZON].reindex(y.index)
    scores = pd.DataFrame(np.nan, y.index, y.columns)
    for date in y.index:
        unit = volatility.loc[date] * np.sqrt(HORIZON)
        returns = known.loc[date].clip(-5 * unit, 5 * unit)
        common = returns.mean()
        returns = returns.where(unit.notna())
        exposure = (0.33 + 0.67 * beta.loc[date].clip(-1, 4)).fillna(1.0)
        exposure /= exposure[returns.notna()].mean()
        # The scaled label is winsorized, too.
        scaled = ((returns - common) / unit).clip(-5, 5)
        beyond = scaled * unit - (exposure - 1.0) * common
        beyond /= own.loc[date].fillna(volatility.loc[date])
        found = beyond.dropna()
        if len(found) >= 5:
            ranks = stats.rankdata(found)
            scores.loc[date, found.index] = stats.norm.ppf((ranks - 0.5) / len(found))
        else:
            scores.loc[date, found.index] = scaled[found.index]
    return scores


@pytest.mark.parametrize("dropped", [[], ["beta_252"], OWN[:2]], ids=str)
def test_models_learn_normal_scores_of_returns_beyond_beta(short_frames, dropped):
    X, y = short_frames
    gone = [c for c in X if c.rpartition("__")[2] in dropped]
    # Other windows would stand in.
    gone += [c for c in X if dropped and "beta_" in c]
    gone += [c for c in X if len(dropped) > 1 and "idiosyncratic" in c]
    X = X.drop(columns=sorted(set(gone)))
    make = lambda **more: BatchLinearForecaster(  # noqa: E731
        alpha=1e-3, target=ReturnTarget(**PLAIN, **more)
    )
    found = make(label="rank").fit(X, y).predict(X)
    scores = ranked_slowly(X, y)
    scores.attrs["horizon"] = HORIZON
    unit = table(X, "volatility_63", list(y)) * np.sqrt(HORIZON)
    relative = make(scale=None, relative=False).fit(X, scores).predict(X)
    expected = (relative * unit).where(found.notna())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_shrinkage_is_found_on_scaled_returns(frames):
    X, y = frames
    random = np.random.default_rng(0)
    hints = y / table(X, "volatility_63", list(y)) + 3 * random.standard_normal(y.shape)
    hints.columns = [f"{ticker}__hint" for ticker in y]
    X = pd.concat([X, hints.astype(np.float32)], axis=1)
    target = ReturnTarget(label="rank", market_weight=0.0, validation_size=150)
    model = BatchXGBoostForecaster(learning_rate=0.2, target=target).fit(X, y)
    shrinkage = model.model_.models[0].shrinkage
    last = len(X) - HORIZON  # rows with a known label
    tail = slice(last - 150, last)
    unit = unit_of(X, y)[tail].to_numpy() * np.sqrt(HORIZON)
    forecast = model.predict(X)[tail].to_numpy() / unit / shrinkage
    bound = 5 * unit
    returns = np.clip(y[tail].to_numpy(), -bound, bound)
    scaled = (returns - returns.mean(axis=1, keepdims=True)) / unit
    dates = np.repeat(np.arange(150), y.shape[1])
    # Labels of the rows that train, every third, up to those that reach the tail.
    end = np.arange(0, last - 150 - HORIZON + 1, 3)[-1] + 1
    n_known = y[:end].where(unit_of(X, y)[:end].notna()).count().sum()
    prior = 0.1 + 0.2 * n_known / (n_known + 20_000)
    slope = shrinkage_slope(
        scaled.clip(-5, 5).ravel(), forecast.ravel(), dates, HORIZON, prior, 0.1
    )
    assert shrinkage == pytest.approx(slope, rel=1e-3)
    assert 0.2 < shrinkage < 1


@pytest.mark.parametrize("strategy", ["per_ticker", "vector"])
def test_models_of_single_tickers_learn_scaled_returns(frames, strategy):
    X, y = frames
    ranked, scaled = (
        BatchLinearForecaster(strategy, target=ReturnTarget(label=label)).fit(X, y)
        for label in ("rank", "scaled")
    )
    pd.testing.assert_frame_equal(ranked.predict(X), scaled.predict(X))


def test_few_tickers_learn_scaled_returns(frames):
    X, y = frames
    few = list(y)[:4]
    X = X[[c for c in X if c.split("__")[0] in (*few, "market")]]
    ranked, scaled = (
        BatchLinearForecaster(target=ReturnTarget(label=label)).fit(X, y[few])
        for label in ("rank", "scaled")
    )
    np.testing.assert_allclose(ranked.predict(X), scaled.predict(X), rtol=1e-6)


def test_arrays_learn_scaled_returns():
    random = np.random.default_rng(0)
    X = random.standard_normal((300, 3))
    y = 0.01 * random.standard_normal((300, 7))
    ranked, scaled = (
        BatchLinearForecaster(horizon=1, target=ReturnTarget(label=label)).fit(X, y)
        for label in ("rank", "scaled")
    )
    np.testing.assert_array_equal(ranked.predict(X), scaled.predict(X))


def test_another_label_is_refused(frames):
    X, y = frames
    with pytest.raises(ValueError, match="'label' parameter"):
        BatchLinearForecaster(target=ReturnTarget(label="order")).fit(X, y)
