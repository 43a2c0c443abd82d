import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from skbatch.panel.engine import PanelColumns
from skbatch.testing import check_batch_forecaster
from skbatch.testing._batch_forecaster import RULES
from skbatch.testing._synthetic_case import fixed_horizons, make_case


class Good(RegressorMixin, BaseEstimator):
    """Least squares of labels on the mean of the own features: keeps every rule.

    The broken forecasters below override one method each.
    """

    def __init__(self, horizon="auto"):
        self.horizon = horizon

    def fit(self, X, y):
        self.like_ = y
        values = self.drop_unknown(self.as_matrix(y), y)
        if isinstance(X, pd.DataFrame) and not X.index.equals(y.index):
            raise ValueError("X and y must have the same dates")
        signal = self.signal(X)
        values = self.handle_missing(values)
        use = np.isfinite(values) & np.isfinite(signal)
        if not use.any():
            return self.give_up()
        self.mean_ = values[use].mean()
        self.slope_ = np.polyfit(signal[use], values[use], 1)[0]
        self.centre_ = signal[use].mean()
        return self

    def predict(self, X):
        self.check_fitted()
        values = self.mean_ + self.slope_ * (self.signal(X) - self.centre_)
        return self.wrap(self.finish(values, X), X)

    def fit_batch(self, X, y):
        return self.fit(X, y)

    def predict_batch(self, X):
        return self.predict(X.iloc[[-1]]).iloc[0].to_dict()

    def score(self, X, y):
        actual, forecast = y.to_numpy(), self.predict(X).to_numpy()
        use = np.isfinite(actual) & np.isfinite(forecast)
        actual, forecast = actual[use], forecast[use]
        errors = np.sum((actual - forecast) ** 2)
        return 1 - errors / np.sum((actual - actual.mean()) ** 2)

    def as_matrix(self, y):
        return np.asarray(y, dtype=float).copy().reshape(len(y), -1)

    def horizons(self, y):
        if isinstance(getattr(y, "columns", None), pd.MultiIndex):
            return list(y.columns.get_level_values(0))
        step = self.horizon
        if step == "auto":
            step = getattr(y, "attrs", {}).get("horizon", 1)
        return [step] * (1 if np.ndim(y) == 1 else np.shape(y)[1])

    def drop_unknown(self, values, y):
        delay = getattr(y, "attrs", {}).get("delay", 0)
        for column, step in enumerate(self.horizons(y)):
            values[-step - delay :, column] = np.nan
        return values

    def handle_missing(self, values):
        return values

    def give_up(self):
        raise ValueError("no label is known")

    def check_fitted(self):
        if not hasattr(self, "slope_"):
            raise NotFittedError("call fit first")

    def finish(self, values, X):
        return values

    def tickers(self):
        if isinstance(self.like_, pd.Series):
            return [self.like_.name]
        return list(self.like_.columns.get_level_values(-1))

    def signal(self, X):
        """Mean of the finite features of each label's ticker."""
        if not isinstance(X, pd.DataFrame):
            n_labels = 1 if self.like_.ndim == 1 else self.like_.shape[1]
            return np.tile(np.nanmean(X, axis=1)[:, None], n_labels)
        columns = PanelColumns.parse(X.columns)
        rows = [columns.tickers.index(ticker) for ticker in self.tickers()]
        cells = X.to_numpy()[:, columns.positions[rows]].astype(float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.nanmean(cells, axis=2)

    def wrap(self, values, X):
        if isinstance(self.like_, pd.DataFrame):
            return pd.DataFrame(values, X.index, self.like_.columns)
        if isinstance(self.like_, pd.Series):
            return pd.Series(values[:, 0], X.index)
        return values[:, 0] if self.like_.ndim == 1 else values


class ChangesParameters(Good):
    def fit(self, X, y):
        if self.horizon == "auto":
            self.horizon = 3
        return super().fit(X, y)


class ReturnsNothing(Good):
    def fit(self, X, y):
        super().fit(X, y)


class FitsItsPart(Good):
    def __init__(self, part=None, horizon="auto"):
        super().__init__(horizon)
        self.part = part

    def fit(self, X, y):
        self.part.fit([[0.0], [1.0]], [0.0, 1.0])
        return super().fit(X, y)


class GivesArrays(Good):
    def wrap(self, values, X):
        return values


class ForgetsDates(Good):
    def wrap(self, values, X):
        return super().wrap(values, X.reset_index(drop=True))


class ForgetsColumns(Good):
    def wrap(self, values, X):
        table = super().wrap(values, X)
        if isinstance(table, pd.DataFrame):
            table.columns = [f"y{number}" for number in range(table.shape[1])]
        return table


class LosesATicker(Good):
    def finish(self, values, X):
        values[:, -1] = np.nan
        return values


class FlattensHorizons(Good):
    def wrap(self, values, X):
        table = super().wrap(values, X)
        if isinstance(table, pd.DataFrame) and table.columns.nlevels > 1:
            table.columns = table.columns.map("{0[0]} {0[1]}".format)
        return table


class DropsTheShortestHorizon(Good):
    def horizons(self, y):
        steps = super().horizons(y)
        return [min(steps)] * len(steps)


class OnlyFrames(Good):
    def wrap(self, values, X):
        table = super().wrap(values, X)
        return table if isinstance(table, pd.DataFrame) else pd.DataFrame(values)


class FillsInPlace(Good):
    def fit(self, X, y):
        super().fit(X, y)
        if isinstance(X, pd.DataFrame):
            X.fillna(0.0, inplace=True)
        return self


class ChangesAttrs(Good):
    def fit(self, X, y):
        super().fit(X, y)
        if isinstance(y, pd.DataFrame):
            y.attrs["seen"] = True
        return self


class DrawsLots(Good):
    def finish(self, values, X):
        return values + np.random.default_rng().normal()


class ForgetsInPickle(Good):
    def __getstate__(self):
        return {**super().__getstate__(), "slope_": 0.0}


class CannotPickle(Good):
    def fit(self, X, y):
        self.helper_ = lambda: None
        return super().fit(X, y)


class ForecastsUnfitted(Good):
    def predict(self, X):
        if not hasattr(self, "slope_"):
            return pd.DataFrame(0.0, X.index, ["AAA"])
        return super().predict(X)


class IgnoresDates(Good):
    def fit(self, X, y):
        if isinstance(X, pd.DataFrame):
            X = X.set_axis(y.index)
        return super().fit(X, y)


class IgnoresTheLength(Good):
    def fit(self, X, y):
        return super().fit(X[: len(y)], y)


class NoBatch(Good):
    fit_batch = None


class FirstRowInBatch(Good):
    def predict_batch(self, X):
        return self.predict(X).iloc[0].to_dict()


class FrameInBatch(Good):
    def predict_batch(self, X):
        return self.predict(X).iloc[-1]


class ScoresMissingAsZero(Good):
    def score(self, X, y):
        return super().score(X, y.fillna(0.0))


class ScoresByTicker(Good):
    def score(self, X, y):
        scores = [super().score]
        forecasts, y = self.predict(X), y
        scores = 1 - ((y - forecasts) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        return scores.mean()


class LearnsAllLabels(Good):
    def drop_unknown(self, values, y):
        return values


class DropsOneTooFew(Good):
    def horizons(self, y):
        return [step - 1 for step in super().horizons(y)]

    def drop_unknown(self, values, y):
        for column, step in enumerate(self.horizons(y)):
            values[len(values) - step :, column] = np.nan
        return values


class FillsZero(Good):
    def handle_missing(self, values):
        return np.nan_to_num(values) if np.isfinite(values).any() else values


class FillsForward(Good):
    def handle_missing(self, values):
        return pd.DataFrame(values).ffill().to_numpy()


class FillsDateMean(Good):
    def handle_missing(self, values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            means = np.nanmean(values, axis=1, keepdims=True)
        return np.where(np.isfinite(values), values, means)


class FillsFivePercent(Good):
    def handle_missing(self, values):
        if not np.isfinite(values).any():
            return values
        return np.where(np.isfinite(values), values, 0.05)


class DefaultsToFivePercent(Good):
    def give_up(self):
        self.mean_, self.slope_, self.centre_ = 0.05, 0.0, 0.0
        return self


class DefaultsWithoutFeatures(Good):
    def finish(self, values, X):
        return np.nan_to_num(values)


class SpreadsMissing(Good):
    def finish(self, values, X):
        if len(X) < 50:
            values[np.isnan(values).any(axis=1)] = np.nan
        return values


class GoesByPlace(Good):
    def tickers(self):
        known = ["AAA", "BBB", "CCC", "DDD", "EEE"]
        return super().tickers()[:1] if self.like_.ndim == 1 else self.repeat(known)

    def repeat(self, known):
        return known * (self.like_.shape[1] // len(known))


class SortsColumns(Good):
    def wrap(self, values, X):
        table = super().wrap(values, X)
        return table.sort_index(axis=1) if isinstance(table, pd.DataFrame) else table


class CentresTogether(Good):
    def finish(self, values, X):
        return values - np.nanmean(values) if len(X) == 1 else values


BROKEN = {
    ChangesParameters(): "parameters_are_kept",
    ReturnsNothing(): "parameters_are_kept",
    FitsItsPart(LinearRegression()): "parameters_are_kept",
    GivesArrays(): "forecasts_are_a_table_like_the_labels",
    ForgetsDates(): "forecasts_are_a_table_like_the_labels",
    ForgetsColumns(): "forecasts_are_a_table_like_the_labels",
    LosesATicker(): "forecasts_are_a_table_like_the_labels",
    FlattensHorizons(): "several_horizons_are_forecast",
    DropsTheShortestHorizon(): "several_horizons_are_forecast",
    OnlyFrames(): "arrays_give_arrays",
    FillsInPlace(): "input_is_not_modified",
    ChangesAttrs(): "input_is_not_modified",
    DrawsLots(): "fits_repeat",
    ForgetsInPickle(): "pickle_keeps_forecasts",
    CannotPickle(): "pickle_keeps_forecasts",
    ForecastsUnfitted(): "unfitted_raises",
    IgnoresDates(): "other_rows_raise",
    IgnoresTheLength(): "other_rows_raise",
    NoBatch(): "batch_methods_agree",
    FirstRowInBatch(): "batch_methods_agree",
    FrameInBatch(): "batch_methods_agree",
    ScoresMissingAsZero(): "score_is_r2_of_the_finite_labels",
    ScoresByTicker(): "score_is_r2_of_the_finite_labels",
    LearnsAllLabels(horizon=3): "last_labels_are_not_learned",
    DropsOneTooFew(horizon=3): "last_labels_are_not_learned",
    FillsZero(): "missing_labels_are_not_filled",
    FillsForward(): "missing_labels_are_not_filled",
    FillsDateMean(): "missing_labels_are_not_filled",
    FillsFivePercent(): "missing_labels_are_not_filled",
    DefaultsToFivePercent(): "no_labels_give_no_numbers",
    DefaultsWithoutFeatures(): "missing_features_give_no_forecast",
    SpreadsMissing(): "missing_features_give_no_forecast",
    GoesByPlace(): "tickers_go_by_name",
    CentresTogether(): "rows_stand_alone",
}


def rule_named(name):
    return next(rule for rule in RULES if rule.__name__ == name)


@pytest.mark.parametrize("horizon", ["auto", 1, 6])
def test_good_forecaster_passes(horizon):
    check_batch_forecaster(Good(horizon))


@pytest.mark.parametrize("forecaster", BROKEN, ids=lambda f: type(f).__name__)
def test_broken_forecaster_is_caught_by_its_rule(forecaster):
    name = BROKEN[forecaster]
    with pytest.raises(AssertionError) as caught:
        check_batch_forecaster(forecaster)
    message = str(caught.value)
    first, promise, rest = message.partition(rule_named(name).__doc__)
    assert first == f"{type(forecaster).__name__} breaks the rule `{name}`. "
    assert promise
    assert rest.startswith(" Got ")


def test_every_rule_is_broken_by_someone():
    assert {rule.__name__ for rule in RULES} == set(BROKEN.values())


def test_columns_in_another_order_are_caught():
    with pytest.raises(AssertionError, match="columns of the labels"):
        check_batch_forecaster(SortsColumns())


def test_every_rule_is_documented():
    documentation = check_batch_forecaster.__doc__
    places = [documentation.index(rule.__name__) for rule in RULES]
    assert places == sorted(places)


class FailsToScore(Good):
    def score(self, X, y):
        raise KeyError("oops")


def test_errors_of_the_forecaster_name_the_rule():
    with pytest.raises(AssertionError, match=r"`score_is.* Got KeyError: 'oops'"):
        check_batch_forecaster(FailsToScore())


@pytest.mark.parametrize("forecaster", [Good, None, BaseEstimator()])
def test_no_forecaster(forecaster):
    with pytest.raises(TypeError, match="an instance with `fit` and `predict`"):
        check_batch_forecaster(forecaster)


def test_is_left_unfitted():
    forecaster = Good()
    check_batch_forecaster(forecaster)
    assert vars(forecaster) == {"horizon": "auto"}


class Wraps(Good):
    def __init__(self, estimator=None):
        super().__init__()
        self.estimator = estimator


def test_horizon_of_an_inner_forecaster_is_found():
    assert fixed_horizons(Wraps(Good(horizon=7))) == {7}
    assert make_case(Wraps(Good(horizon=7))).y.attrs["horizon"] == 7
    assert fixed_horizons(Wraps(Good())) == set()


class Window(BaseEstimator):
    def __init__(self, horizon=40):
        self.horizon = horizon


def test_horizon_of_another_part_is_not_the_forecasters():
    assert fixed_horizons(Wraps(Window())) == set()


def test_case_is_like_a_training_fold():
    case = make_case(Good(), several_horizons=True)
    assert case.y.attrs["horizon"] == (3, 5)
    assert list((~case.known).sum(axis=0)) == [3] * 5 + [5] * 5
    assert case.y.iloc[-3:].notna().any(axis=None)
    assert clone(Good()).fit(case.X, case.y).slope_ > 0
