"""Forecasters against a slow decomposition and models of other libraries."""

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.linear_model import Ridge

from skbatch import BatchLinearForecaster, BatchXGBoostForecaster
from skbatch.forecasting import ReturnTarget


def with_target(kind, *args, **params):
    """Make a forecaster; parameters of its target may stand beside its own."""
    names = ReturnTarget().get_params()
    target = {name: params.pop(name) for name in names if name in params}
    return kind(*args, target=ReturnTarget(**target), **params)


NAN = np.nan


class SlowDecomposition:
    """Relative, scaled labels and stacked rows of one horizon, cell by cell."""

    def __init__(self, X, y, horizon, *, relative=True, scale="volatility_63", thin=1):
        self.X, self.tickers, self.relative = X, list(y.columns), relative
        self.features = list(dict.fromkeys(c.split("__")[1] for c in X if c[0] == "T"))
        self.position = {date: number for number, date in enumerate(X.index)}
        self.values = {
            ticker: X[[f"{ticker}__{name}" for name in self.features]].to_numpy(float)
            for ticker in self.tickers
        }
        self.unit = pd.DataFrame(1.0, X.index, self.tickers)
        if scale is not None:
            for ticker in self.tickers:
                self.unit[ticker] = X[f"{ticker}__{scale}"].astype(float)
            self.unit *= np.sqrt(horizon)
        self.bound = 5.0 if scale is not None else np.inf
        known = y.astype(float).copy()
        known.iloc[len(y) - horizon :] = NAN
        self._set_common(known, horizon)
        self._set_target(known)
        dates = [t for t in X.index if np.isfinite(self.z.loc[t]).any()]
        self.dates = dates[::thin]

    def _usual(self, known):
        """Ten times the root mean square of each ticker's labels that have a unit."""
        usual = {}
        for ticker in self.tickers:
            squares = []
            for date, value in known[ticker].items():
                limit = self.bound * self.unit.at[date, ticker]
                if np.isfinite(value) and not np.isnan(limit):
                    squares.append(max(-limit, min(limit, value)) ** 2)
            usual[ticker] = 10 * (sum(squares) / len(squares)) ** 0.5
        return usual

    def _set_common(self, known, horizon):
        means, usual = {}, self._usual(known)
        for date, row in known.iterrows():
            values = []
            for ticker, value in row.items():
                limit = self.bound * self.unit.at[date, ticker]
                if np.isnan(limit):
                    limit = usual[ticker]
                if np.isfinite(value):
                    values.append(max(-limit, min(limit, value)))
            if len(values) >= (2 if self.relative else 1):
                means[date] = sum(values) / len(values)
        self.common = pd.Series(means).reindex(known.index)
        n = len(means)
        self.mean = sum(means.values()) / n
        variance = sum((m - self.mean) ** 2 for m in means.values()) / (n - 1)
        t_squared = self.mean**2 / (variance * horizon / n)
        self.weight = t_squared / (1 + t_squared)

    def _set_target(self, known):
        self.z = pd.DataFrame(NAN, known.index, self.tickers)
        for date in known.index:
            level = self.common[date] if self.relative else self.mean
            for ticker in self.tickers:
                unit, label = self.unit.at[date, ticker], known.at[date, ticker]
                limit = self.bound * unit
                if np.isfinite(limit):
                    label = max(-limit, min(limit, label)) if label == label else NAN
                z = (label - level) / unit
                if self.inputs(date, ticker) is not None:
                    self.z.at[date, ticker] = max(-self.bound, min(self.bound, z))
                if np.isnan(z):
                    self.z.at[date, ticker] = NAN

    def inputs(self, date, ticker):
        values = self.values[ticker][self.position[date]]
        return values if np.isfinite(values).any() else None

    def rows(self, dates, tickers=None):
        X, z = [], []
        for date in dates:
            for ticker in tickers or self.tickers:
                if np.isfinite(self.z.at[date, ticker]):
                    X.append(self.inputs(date, ticker))
                    z.append(self.z.at[date, ticker])
        return np.array(X), np.array(z)

    def split(self, n_rows, horizon):
        """Dates of training and tail; no training label reaches into the tail."""
        position = self.position
        last = position[self.dates[-1]]
        tail = [t for t in self.dates if position[t] > last - n_rows]
        train = [t for t in self.dates if position[t] + horizon <= position[tail[0]]]
        return train, tail

    def share(self, date, ticker):
        """Part of the common expectation that a ticker's volatility allows."""
        if self.bound == np.inf:
            return 1.0
        return min(
            1.0, 2 * self.unit.at[date, ticker] / np.nanmedian(self.unit.loc[date])
        )

    def shares(self):
        cells = [[self.share(date, t) for t in self.tickers] for date in self.X.index]
        return pd.DataFrame(cells, self.X.index, self.tickers)

    def forecast(self, predict, market_weight=None):
        """Put market expectation and scaled model forecasts together."""
        weight = self.weight if market_weight is None else market_weight
        forecasts = pd.DataFrame(NAN, self.X.index, self.tickers)
        for date in self.X.index:
            for ticker in self.tickers:
                x, unit = self.inputs(date, ticker), self.unit.at[date, ticker]
                if x is not None and np.isfinite(unit):
                    value = float(np.ravel(predict(x[None, :], ticker))[0])
                    common = weight * self.mean * self.share(date, ticker)
                    forecasts.at[date, ticker] = common + unit * value
        return forecasts


class SlowRidge:
    def __init__(self, X, z, alpha):
        self.mean, self.deviation = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        self.ridge = Ridge(alpha=alpha * len(X), fit_intercept=False)
        self.ridge.fit(self.scores(X), z)

    def scores(self, X):
        scores = (X - self.mean) / self.deviation
        return np.clip(np.nan_to_num(scores, nan=0.0), -5, 5)

    def predict(self, X):
        return self.ridge.predict(self.scores(X))


def boost(X, z, objective=None, **params):
    params = {
        "tree_method": "hist",
        "max_bin": 64,
        "base_score": 0.0,
        "max_depth": 3,
        "learning_rate": 0.3,
        "reg_lambda": 10.0,
        "min_child_weight": 1.0,
        "nthread": 1,
        **params,
    }
    matrix = xgb.QuantileDMatrix(lowest(X), np.nan_to_num(z), max_bin=64)
    booster = xgb.train(params, matrix, 6, obj=objective)
    return lambda x: booster.inplace_predict(lowest(x))


def lowest(X):
    """Missing inputs are below all others."""
    return np.where(np.isnan(X), -1e30, X).astype(np.float32)


def small_xgboost(strategy="pooled", **params):
    return with_target(
        BatchXGBoostForecaster,
        strategy,
        n_estimators=6,
        max_depth=3,
        learning_rate=0.3,
        subsample=1.0,
        colsample_bytree=1.0,
        max_bin=64,
        xgb_params={"min_child_weight": 1.0},
        n_jobs=1,
        **params,
    )


# Pooled and per ticker ----------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("scale", [None, "volatility_63"])
@pytest.mark.parametrize("relative", [True, False])
def test_pooled_linear_is_ridge_on_stacked_rows(make_frames, horizon, scale, relative):
    X, y = make_frames(40, 3, horizon=horizon, missing=0.1)
    y.iloc[[7, 20], [0, 1]] = [[0.9, 0.0], [0.1, -0.8]]
    slow = SlowDecomposition(X, y, horizon, relative=relative, scale=scale)
    ridge = SlowRidge(*slow.rows(slow.dates), alpha=0.2)
    model = BatchLinearForecaster(
        alpha=0.2,
        target=ReturnTarget(relative=relative, scale=scale, thin=1, validation_size=0),
    )
    pd.testing.assert_frame_equal(
        model.fit(X, y).predict(X),
        slow.forecast(lambda x, _: ridge.predict(x)),
        check_names=False,
        rtol=1e-6,
    )


@pytest.mark.parametrize("market_weight", [0.0, 0.7])
def test_penalty_and_shrinkage_are_found_on_the_purged_tail(make_frames, market_weight):
    horizon, thin = 3, 2
    X, y = make_frames(90, 3, horizon=horizon, missing=0.05, signal=0.3, seed=7)
    slow = SlowDecomposition(X, y, horizon)
    train, tail = slow.split(30, horizon)
    # Only training is thinned; the tail has every date.
    train = train[::thin]
    assert len(train) > 20
    assert len(tail) == 30
    tail_X, tail_z = slow.rows(tail)
    alphas = 10.0 ** np.arange(-4, 2.5, 0.5)
    ridges = [SlowRidge(*slow.rows(train), alpha) for alpha in alphas]
    errors = [np.mean((ridge.predict(tail_X) - tail_z) ** 2) for ridge in ridges]
    assert 0 < np.argmin(errors) < len(alphas) - 1
    best = ridges[int(np.argmin(errors))]
    predicted = best.predict(tail_X)
    slope = np.linalg.lstsq(predicted[:, None], tail_z, rcond=None)[0][0]
    assert 0.1 < slope < 1
    counts = [len(slow.rows([date])[1]) for date in tail]
    errors = [
        (f * (z - slope * f)).sum()
        for f, z in zip(
            np.split(predicted, np.cumsum(counts)[:-1]),
            np.split(tail_z, np.cumsum(counts)[:-1]),
            strict=True,
        )
    ]
    # Labels span three rows: three dates share one.
    variance = 3 * 30 / 27 * np.sum(np.square(errors)) / np.sum(predicted**2) ** 2
    n_known = len(slow.rows([date for date in slow.dates if date <= train[-1]])[1])
    prior = 0.1 + 0.2 * n_known / (n_known + 20_000)
    assert abs(slope - prior) < 3 * np.sqrt(variance)
    slope = np.average([slope, prior], weights=[1 / variance, 1 / 0.1**2])
    assert 0.1 < slope < 1
    model = BatchLinearForecaster(
        target=ReturnTarget(thin=thin, validation_size=30, market_weight=market_weight)
    )
    pd.testing.assert_frame_equal(
        model.fit(X, y).predict(X),
        slow.forecast(lambda x, _: slope * best.predict(x), market_weight),
        check_names=False,
        rtol=1e-6,
    )


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("relative", [True, False])
def test_pooled_xgboost_is_xgboost_on_stacked_rows(make_frames, horizon, relative):
    X, y = make_frames(40, 3, horizon=horizon, missing=0.1)
    slow = SlowDecomposition(X, y, horizon, relative=relative)
    predict = boost(*slow.rows(slow.dates))
    model = small_xgboost(relative=relative, thin=1, validation_size=0)
    pd.testing.assert_frame_equal(
        model.fit(X, y).predict(X),
        slow.forecast(lambda x, _: predict(x)),
        check_names=False,
        rtol=1e-5,
    )


def test_per_ticker_is_one_model_each(make_frames):
    X, y = make_frames(40, 3, missing=0.1)
    slow = SlowDecomposition(X, y, 1)
    boosters = {t: boost(*slow.rows(slow.dates, [t])) for t in y}
    ridges = {t: SlowRidge(*slow.rows(slow.dates, [t]), 1.0) for t in y}
    pd.testing.assert_frame_equal(
        small_xgboost("per_ticker", validation_size=0).fit(X, y).predict(X),
        slow.forecast(lambda x, ticker: boosters[ticker](x)),
        check_names=False,
        rtol=1e-5,
    )
    linear = BatchLinearForecaster(
        "per_ticker", alpha=1.0, target=ReturnTarget(validation_size=0)
    )
    pd.testing.assert_frame_equal(
        linear.fit(X, y).predict(X),
        slow.forecast(lambda x, ticker: ridges[ticker].predict(x)),
        check_names=False,
        rtol=1e-6,
    )


def test_every_horizon_has_a_model_of_its_own(make_frames, stack_horizons):
    X, y = make_frames(80, 3)
    labels = {1: y, 6: y * 2}
    for model in (
        BatchLinearForecaster(target=ReturnTarget(thin=2)),
        small_xgboost(thin=2),
    ):
        both = model.fit(X, stack_horizons(labels)).predict(X)
        for horizon, one in labels.items():
            one.attrs["horizon"] = horizon
            pd.testing.assert_frame_equal(
                both[horizon], model.fit(X, one).predict(X), check_names=False
            )


# Vector -------------------------------------------------------------------------------


def test_vector_xgboost_is_its_own_multi_output_tree(make_frames):
    X, y = make_frames(120, 3)
    slow = SlowDecomposition(X, y, 1)
    z = slow.z.loc[slow.dates].to_numpy()
    predict = boost(X.to_numpy()[:-1], z, multi_strategy="multi_output_tree")
    common = slow.weight * slow.mean * slow.shares()
    forecasts = common + slow.unit * predict(X.to_numpy())
    pd.testing.assert_frame_equal(
        small_xgboost("vector", validation_size=0).fit(X, y).predict(X),
        forecasts,
        check_names=False,
        rtol=1e-5,
    )


def test_vector_xgboost_masks_missing_labels(make_frames):
    X, y = make_frames(120, 3)
    y.iloc[:40, 1] = y.iloc[40:90, 2] = NAN
    slow = SlowDecomposition(X, y, 1)
    z = slow.z.loc[slow.dates].to_numpy()

    def squared_error_of_known_labels(forecast, _):
        gradient, hessian = np.zeros(z.shape), np.zeros(z.shape)
        for cell, label in np.ndenumerate(z):
            if not np.isnan(label):
                gradient[cell], hessian[cell] = forecast[cell] - label, 1.0
        return gradient, hessian

    predict = boost(
        X.to_numpy()[:-1],
        z,
        squared_error_of_known_labels,
        multi_strategy="multi_output_tree",
        min_child_weight=0.0,  # each row has a label of some ticker, which is enough
    )
    common = slow.weight * slow.mean * slow.shares()
    pd.testing.assert_frame_equal(
        small_xgboost("vector", validation_size=0).fit(X, y).predict(X),
        common + slow.unit * predict(X.to_numpy()),
        check_names=False,
        rtol=1e-5,
        atol=1e-9,
    )


def test_vector_ridge_has_a_solution_for_each_pattern_of_missing_labels(make_frames):
    X, y = make_frames(80, 4)
    y.iloc[:30, 1] = y.iloc[20:50, 2] = NAN
    slow = SlowDecomposition(X, y, 1)
    columns = X.to_numpy(np.float64)
    scores = (columns - columns[:-1].mean(axis=0)) / columns[:-1].std(axis=0)
    scores = np.clip(scores, -5, 5)
    expected = slow.unit.copy()
    for ticker in y:
        use = np.isfinite(slow.z[ticker]).to_numpy()
        ridge = Ridge(alpha=0.5 * use.sum(), fit_intercept=False)
        ridge.fit(scores[use], slow.z[ticker][use])
        expected[ticker] *= ridge.predict(scores)
    model = BatchLinearForecaster(
        "vector", alpha=0.5, target=ReturnTarget(validation_size=0)
    )
    pd.testing.assert_frame_equal(
        model.fit(X, y).predict(X),
        expected + slow.weight * slow.mean * slow.shares(),
        check_names=False,
        rtol=1e-5,
        atol=1e-9,
    )


def test_shared_columns_are_inputs_when_asked_for(make_frames):
    X, y = make_frames(80, 3, market=True)
    slow = SlowDecomposition(X, y, 1)
    market = X["market__return"].to_numpy(np.float64)
    inputs, z = slow.rows(slow.dates)
    inputs = np.column_stack([inputs, np.repeat(market[:-1], 3)])
    ridge = SlowRidge(inputs, z, 0.3)
    model = BatchLinearForecaster(
        alpha=0.3, market_features=True, target=ReturnTarget(validation_size=0)
    )
    got = model.fit(X, y).predict(X)["T1"].iloc[17]
    x = np.append(slow.inputs(X.index[17], "T1"), market[17])
    unit = slow.unit["T1"].iloc[17]
    expected = slow.weight * slow.mean + unit * ridge.predict(x[None, :])[0]
    assert got == pytest.approx(expected, rel=1e-6)
    alone = X.drop(columns="market__return")
    ignoring = model.set_params(market_features=False).fit(X, y).predict_batch(X)
    assert ignoring == model.fit(alone, y).predict_batch(alone)


def test_without_volatility_features_labels_have_their_own_scale(make_frames):
    X, y = make_frames(80, 3, volatility=False, horizon=2)
    y["T1"] *= 0.1
    slow = SlowDecomposition(X, y, 2, scale=None)
    known = y.iloc[:-2].to_numpy()
    deviation = known.std(axis=0)
    clipped = np.clip(known, -5 * deviation, 5 * deviation)
    z = (clipped - clipped.mean(axis=1, keepdims=True)) / deviation
    ridge = SlowRidge(slow.rows(slow.dates)[0], np.clip(z, -5, 5).ravel(), 0.3)
    model = BatchLinearForecaster(
        alpha=0.3, target=ReturnTarget(thin=1, validation_size=0)
    )
    got = model.fit(X, y).predict(X)
    own = slow.forecast(lambda x, _: ridge.predict(x), market_weight=0.0)
    common = model.set_params(target__market_weight=0.0).fit(X, y).predict(X)
    pd.testing.assert_frame_equal(common, own * deviation, check_names=False, rtol=1e-6)
    mean = clipped.mean(axis=1)
    t_squared = mean.mean() ** 2 / (mean.var(ddof=1) * 2 / len(mean))
    weight = t_squared / (1 + t_squared)
    np.testing.assert_allclose(got - common, weight * mean.mean(), rtol=1e-6)
