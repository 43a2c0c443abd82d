import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skbatch.exceptions import PanelError
from skbatch.metrics import make_forecast_scorer
from skbatch.panel import forward_returns
from skbatch.testing import LookAheadError, check_no_lookahead
from skbatch.testing._leak_trials import Trial
from skbatch.testing._planted_leaks import PeekingEstimator


@pytest.fixture(scope="module")
def prices():
    rng = np.random.default_rng(0)
    returns = rng.normal(0.0, 0.02, size=(80, 4))
    dates = pd.date_range("2024-01-01", periods=80, freq="B")
    panel = pd.DataFrame(np.exp(returns.cumsum(axis=0)), dates, list("ABCD"))
    panel.iloc[:9, 3] = np.nan
    return panel


class Returns(TransformerMixin, BaseEstimator):
    """Causal: last and mean return, with the tail of the fitted rows as history."""

    def __init__(self, window=3):
        self.window = window

    def fit(self, X, y=None):
        self.tail_ = X.iloc[-self.window - 1 :]
        return self

    def transform(self, X):
        earlier = self.tail_.loc[self.tail_.index < X.index[0]]
        returns = pd.concat([earlier, X]).pct_change(fill_method=None)
        features = {
            "return": returns,
            "mean": returns.rolling(self.window).mean(),
        }
        frames = [
            table.loc[X.index].add_suffix(f"__{name}")
            for name, table in features.items()
        ]
        return pd.concat(frames, axis=1)


class Slope(RegressorMixin, BaseEstimator):
    """One slope for all tickers; `dropped` rows of labels are left out in `fit`."""

    def __init__(self, dropped=None, shrinkage=1.0):
        self.dropped = dropped
        self.shrinkage = shrinkage

    def fit(self, X, y):
        dropped = y.attrs["horizon"] if self.dropped is None else self.dropped
        self.columns_ = y.columns
        known = np.asarray(y, dtype=float)[: len(y) - np.max(dropped)]
        features = self._features(X)[: len(known)]
        use = np.isfinite(known) & np.isfinite(features)
        self.slope_ = known[use] @ features[use] / (features[use] @ features[use])
        return self

    def predict(self, X):
        forecasts = self.shrinkage * self.slope_ * self._features(X)
        return pd.DataFrame(forecasts, X.index, self.columns_)

    def _features(self, X):
        tickers = self.columns_.get_level_values(-1)
        return X[[f"{ticker}__mean" for ticker in tickers]].to_numpy()


class LabelMean(RegressorMixin, BaseEstimator):
    """Ignores prices."""

    def fit(self, X, y):
        self.mean_ = y.iloc[: -y.attrs["horizon"]].mean()
        return self

    def predict(self, X):
        return pd.DataFrame([self.mean_] * len(X), index=X.index)


class Reversal(RegressorMixin, BaseEstimator):
    """Ignores labels."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return -X.pct_change(fill_method=None)


GOOD_TRANSFORMERS = {
    "history": Returns(),
    "no history": FunctionTransformer(lambda X: X.rolling(4).mean()),
    "array output": FunctionTransformer(lambda X: np.log(X).diff().to_numpy()),
    "ranks of a date": FunctionTransformer(lambda X: X.rank(axis=1)),
    "refuses missing": FunctionTransformer(np.log, validate=True),
    "several steps": make_pipeline(Returns(), FunctionTransformer(np.tanh)),
    "calendar only": FunctionTransformer(
        lambda X: pd.DataFrame({"day": X.index.dayofweek}, X.index)
    ),
}


@pytest.mark.parametrize("name", GOOD_TRANSFORMERS)
def test_causal_features_pass(name, prices):
    panel = prices.bfill() if name == "refuses missing" else prices
    check_no_lookahead(GOOD_TRANSFORMERS[name], panel)


def centre_new_rows(X):
    """Peeks only among rows that are not fitted."""
    return X - X.mean() if len(X) < 60 else X * 0.0 + 1.0


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_does_not_look_like_a_leak(order):
    """Sums over 40 columns differ in their last bit between memory orders."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0.0, 0.02, size=(60, 40)).cumsum(axis=0))
    panel = pd.DataFrame(np.asarray(values, order=order), copy=False).add_prefix("T")
    means = FunctionTransformer(lambda X: np.asarray(X).mean(axis=1))
    check_no_lookahead(means, panel)


LEAKS = {
    "standardized": lambda X: (X - X.mean()) / X.std(),
    "centered window": lambda X: X.rolling(5, center=True).mean(),
    "back-filled": lambda X: X.where(X.shift(1) < X).bfill(),
    "gaps back-filled": lambda X: X.bfill(),
    "gaps interpolated": lambda X: X.interpolate(limit_direction="both"),
    "first window back-filled": lambda X: X.rolling(4).mean().bfill(),
    "first rows averaged": lambda X: pd.concat(
        [X.iloc[:10] * 0.0 + X.iloc[:10].mean(), X.iloc[10:]]
    ),
    "shifted": lambda X: X.shift(-1),
    "tiny": lambda X: X + 1e-12 * X.shift(-1).fillna(0.0),
    "rank in time": lambda X: X.rank(),
    "share of the rows": lambda X: X * np.linspace(0, 1, len(X))[:, None],
    "most volatile": lambda X: X.loc[:, [X.std().idxmax()]],
    "drops quiet rows": lambda X: X.loc[(X - X.mean()).abs().max(axis=1) > 0.02],
    "new rows": centre_new_rows,
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaking_features_are_caught(name, prices):
    with pytest.raises(LookAheadError, match=r"^FunctionTransformer looks ahead\."):
        check_no_lookahead(FunctionTransformer(LEAKS[name]), prices.bfill())


@pytest.mark.parametrize("window", [3, 8, 15])
def test_filled_first_window_of_new_rows_is_caught(window, prices):
    means = FunctionTransformer(lambda X: X.rolling(window).mean().bfill())
    model = make_pipeline(means, Returns(), Slope())
    with pytest.raises(LookAheadError, match="Forecasts must not depend on prices"):
        check_no_lookahead(model, prices)


def test_scaler_on_all_rows_is_caught(prices):
    scaler = StandardScaler().set_output(transform="pandas")
    with pytest.raises(LookAheadError, match="statistics of the whole panel"):
        check_no_lookahead(make_pipeline(Returns(), scaler), prices)


def test_selection_of_columns_by_their_future_is_caught(prices):
    panel = prices.copy()
    panel["FLAT"] = np.where(np.arange(80) < 75, 1.0, 2.0)
    selector = VarianceThreshold(1e-12).set_output(transform="pandas")
    with pytest.raises(LookAheadError, match=r"\(FLAT\): they, or some"):
        check_no_lookahead(selector, panel)


def test_message_says_what_and_where(prices):
    def peek(X):
        return X.assign(B=X["B"].shift(-2), C=X["C"].shift(-1))

    with pytest.raises(LookAheadError) as caught:
        check_no_lookahead(FunctionTransformer(peek), prices, n_cuts=1)
    message = str(caught.value)
    assert "Got changes in 2 of 4 columns (B, C), the first of B at 2024" in message
    first = pd.Timestamp(re.search(r"of B at (\S+),", message).group(1))
    cut = pd.Timestamp(re.search(r"prices after (\S+) were", message).group(1))
    assert prices.index.get_loc(first) == prices.index.get_loc(cut) - 1
    old, new, largest = re.search(
        r"where (\S+) became (\S+) \(largest difference: (\S+)\),", message
    ).groups()
    assert float(old) == pytest.approx(prices["B"].shift(-2)[first], rel=1e-5)
    assert float(largest) >= abs(float(old) - float(new)) - 1e-3
    assert "Look for shift(-1), centered windows" in message


def test_a_leak_far_from_the_cut_is_caught(prices):
    """Only the very first row depends on the last."""

    def peek(X):
        changed = X.copy()
        changed.iloc[0] = X.iloc[-1]
        return changed

    with pytest.raises(LookAheadError, match="at 2024-01-01"):
        check_no_lookahead(FunctionTransformer(peek), prices)


GOOD_FORECASTERS = {
    "slope": make_pipeline(Returns(), Slope()),
    "scaled in the pipeline": make_pipeline(
        Returns(), StandardScaler().set_output(transform="pandas"), Slope()
    ),
    "ignores prices": LabelMean(),
    "ignores labels": Reversal(),
}


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("name", GOOD_FORECASTERS)
def test_honest_forecasters_pass(name, horizon, prices):
    check_no_lookahead(GOOD_FORECASTERS[name], prices, horizon=horizon, n_cuts=2)


def test_several_horizons_pass(prices):
    model = make_pipeline(Returns(), Slope())
    check_no_lookahead(model, prices, horizon=(1, 4))


@pytest.mark.parametrize(("horizon", "dropped"), [(1, 0), (4, 0), (4, 3), ((1, 4), 1)])
def test_training_on_the_last_labels_is_caught(horizon, dropped, prices):
    model = make_pipeline(Returns(), Slope(dropped=dropped))
    with pytest.raises(LookAheadError, match="labels of the last `horizon` rows"):
        check_no_lookahead(model, prices, horizon=horizon)


@pytest.mark.parametrize("name", ["standardized", "centered window", "back-filled"])
def test_leaking_step_of_a_forecaster_is_caught(name, prices):
    model = make_pipeline(FunctionTransformer(LEAKS[name]), Returns(), Slope())
    with pytest.raises(LookAheadError, match="Forecasts must not depend on prices"):
        check_no_lookahead(model, prices)


def make_search(model, name, **kwargs):
    grid = {name: [0.5, 1.0]}
    return GridSearchCV(model, grid, cv=TimeSeriesSplit(2), **kwargs)


class Scored(Slope):
    """Has the default score of forecasters: R² over the finite labels."""

    def score(self, X, y):
        forecasts = self.predict(X).to_numpy()
        actual = y.to_numpy()
        use = np.isfinite(actual) & np.isfinite(forecasts)
        return -float(np.mean((actual[use] - forecasts[use]) ** 2))


class Witness(Scored):
    """Remembers the last labels that it was scored on."""

    seen: dict = {}  # noqa: RUF012

    def score(self, X, y):
        self.seen[y.index[-1]] = y.iloc[-3:]
        return super().score(X, y)


class TestSearch:
    def test_passes(self, prices):
        model = make_pipeline(Returns(), Scored())
        search = make_search(model, "scored__shrinkage")
        check_no_lookahead(search, prices, horizon=3)

    @pytest.mark.parametrize("dropped", [0, 2])
    def test_of_a_leaking_model_is_caught(self, dropped, prices):
        model = make_pipeline(Returns(), Scored(dropped=dropped))
        search = make_search(model, "scored__shrinkage")
        with pytest.raises(LookAheadError, match=r"^GridSearchCV looks ahead"):
            check_no_lookahead(search, prices, horizon=3)

    def test_that_chooses_a_leaking_model_is_caught(self, prices):
        model = make_pipeline(Returns(), Scored())
        grid = {"scored__dropped": [0]}
        search = GridSearchCV(model, grid, cv=TimeSeriesSplit(2))
        with pytest.raises(LookAheadError):
            check_no_lookahead(search, prices, horizon=3)

    def test_is_given_the_labels_known_at_the_cut(self, prices):
        Witness.seen.clear()
        search = make_search(make_pipeline(Returns(), Witness()), "witness__shrinkage")
        check_no_lookahead(search, prices, horizon=3, n_cuts=1)
        last_date = max(Witness.seen)
        assert Witness.seen[last_date].isna().all(axis=None)
        assert len(Witness.seen[last_date]) == 3

    def test_without_refit(self, prices):
        search = make_search(make_pipeline(Returns(), Scored()), "x", refit=False)
        with pytest.raises(TypeError, match="a search needs `refit=True`"):
            check_no_lookahead(search, prices)

    def test_default_scores_read_labels_that_end_after_the_rows(self, prices):
        """The reason why a search is given the labels that are known at the cut."""
        end, horizon = 50, 3
        garbled = prices.copy()
        garbled.iloc[end:] = garbled.iloc[end:].to_numpy()[::-1]
        scores = {}
        for scoring in (None, make_forecast_scorer("r2")):
            for panel in (prices, garbled):
                search = make_search(
                    make_pipeline(Returns(), Scored()),
                    "scored__shrinkage",
                    scoring=scoring,
                )
                y = forward_returns(panel, horizon)
                search.fit(prices.iloc[:end], y.iloc[:end])
                found = search.cv_results_["mean_test_score"]
                scores.setdefault(scoring is None, []).append(found)
        assert np.all(scores[True][0] != scores[True][1])
        np.testing.assert_array_equal(*scores[False])

    @pytest.mark.parametrize("purge", [0, "auto"])
    def test_inside_a_pipeline_is_judged_by_its_choices(self, purge, prices):
        """The best parameter follows the labels; a purged scorer does not see them."""
        scorer = make_forecast_scorer("r2", purge=purge)
        search = GridSearchCV(
            Scored(),
            {"shrinkage": np.linspace(-3, 3, 21)},
            cv=TimeSeriesSplit(2, test_size=10),
            scoring=scorer,
        )
        model = make_pipeline(Returns(), search)
        if purge == "auto":
            check_no_lookahead(model, prices, horizon=3, n_cuts=1)
        else:
            with pytest.raises(LookAheadError, match="training labels that end after"):
                check_no_lookahead(model, prices, horizon=3, n_cuts=1)


class StaleCache(Returns):
    """Gives back what it gave first for these rows, whatever the prices."""

    memory: dict = {}  # noqa: RUF012

    def transform(self, X):
        key = (self.window, X.index[0], X.index[-1])
        return self.memory.setdefault(key, super().transform(X))


def test_output_of_other_prices_is_no_proof(prices):
    """What ignores all prices cannot be told apart from a calendar: it passes."""
    check_no_lookahead(StaleCache(), prices, n_cuts=1)


@pytest.mark.parametrize("lag", [3, 40])
def test_features_that_skip_the_latest_rows_pass(lag, prices):
    skipping = FunctionTransformer(lambda X: X.shift(lag).fillna(1.0))
    check_no_lookahead(skipping, prices)


@pytest.mark.parametrize("name", ["history", "no history", "calendar only"])
def test_check_that_cannot_fail_says_so(name, prices, monkeypatch):
    monkeypatch.setattr(Trial, "find_leak", lambda *args: None)
    with pytest.raises(AssertionError, match="must be able to fail") as caught:
        check_no_lookahead(GOOD_TRANSFORMERS[name], prices)
    assert not isinstance(caught.value, LookAheadError)


@pytest.mark.parametrize("name", [*GOOD_TRANSFORMERS, *GOOD_FORECASTERS])
def test_each_trial_needs_its_own_proof(name, prices, monkeypatch):
    """Switch one trial off at a time: the check notices that it cannot fail."""
    estimator = {**GOOD_TRANSFORMERS, **GOOD_FORECASTERS}[name]
    find_leak = Trial.find_leak
    rules = set()
    monkeypatch.setattr(Trial, "find_leak", lambda self, *args: rules.add(self.advice))
    with pytest.raises(AssertionError):
        check_no_lookahead(estimator, prices.bfill(), n_cuts=1)
    assert len(rules) == 2
    for blind in rules:

        def find_unless_blind(self, *args, blind=blind):
            return None if self.advice == blind else find_leak(self, *args)

        monkeypatch.setattr(Trial, "find_leak", find_unless_blind)
        with pytest.raises(AssertionError, match="must be able to fail"):
            check_no_lookahead(estimator, prices.bfill(), n_cuts=1)


@pytest.mark.parametrize(
    ("estimator", "rows"),
    [
        (GOOD_TRANSFORMERS["history"], {"price_rows": 1}),
        (GOOD_TRANSFORMERS["no history"], {"price_rows": 2}),
        (GOOD_FORECASTERS["slope"], {"price_rows": 1}),
        (GOOD_FORECASTERS["slope"], {"label_rows": 2}),
        (GOOD_FORECASTERS["ignores prices"], {"label_rows": 2}),
    ],
)
def test_shifted_input_is_caught(estimator, rows, prices):
    with pytest.raises(LookAheadError):
        check_no_lookahead(PeekingEstimator(estimator, **rows), prices, horizon=2)


@pytest.mark.parametrize(
    "estimator",
    [
        GOOD_TRANSFORMERS["history"],
        GOOD_FORECASTERS["slope"],
        FunctionTransformer(lambda X: X.shift(3).fillna(1.0)),
    ],
)
def test_shifted_input_is_the_first_proof(estimator, prices, monkeypatch):
    monkeypatch.delattr("skbatch.testing._lookahead.TattlingEstimator")
    check_no_lookahead(estimator, prices)


class TestErrors:
    @pytest.mark.parametrize("estimator", [Returns, None, 3])
    def test_no_estimator(self, estimator, prices):
        with pytest.raises(TypeError, match="must be an instance with `fit`"):
            check_no_lookahead(estimator, prices)

    def test_neither_transform_nor_predict(self, prices):
        class Nothing(BaseEstimator):
            def fit(self, X, y=None):
                return self

        with pytest.raises(TypeError, match=r"`transform` or `predict`\. Got Nothing"):
            check_no_lookahead(Nothing(), prices)

    def test_random_estimator(self, prices):
        rng = np.random.default_rng(0)
        noise = FunctionTransformer(lambda X: X + rng.normal(size=X.shape))
        with pytest.raises(ValueError, match=r"deterministic.*Set its `random_state`"):
            check_no_lookahead(noise, prices)

    def test_too_few_rows(self, prices):
        with pytest.raises(PanelError, match=r"at least 48\. Got 47"):
            check_no_lookahead(LabelMean(), prices[:47], horizon=4)

    def test_nothing_to_compare(self, prices):
        slow = FunctionTransformer(lambda X: X.rolling(70).mean())
        with pytest.raises(PanelError, match="finite values between 2024-01-01 and"):
            check_no_lookahead(slow, prices)

    @pytest.mark.parametrize("n_cuts", [0, 1.5])
    def test_number_of_cuts(self, n_cuts, prices):
        with pytest.raises(ValueError, match="`n_cuts` must be an int of at least 1"):
            check_no_lookahead(Returns(), prices, n_cuts=n_cuts)

    def test_horizon(self, prices):
        with pytest.raises(ValueError, match="`horizon` must be an int"):
            check_no_lookahead(LabelMean(), prices, horizon=0)

    def test_of_the_estimator_on_prices_that_are_fine(self, prices):
        def refuse(X):
            if X.iloc[-1, 0] != prices.iloc[-1, 0] and len(X) == 80:
                raise ValueError("do not like it")
            return X

        with pytest.raises(ValueError, match="do not like it"):
            check_no_lookahead(FunctionTransformer(refuse), prices)


def test_warnings_are_silenced_and_prices_stay(prices):
    def grumble(X):
        warnings.warn("garbage", UserWarning, stacklevel=2)
        return X

    before = prices.copy()
    check_no_lookahead(FunctionTransformer(grumble), prices)
    pd.testing.assert_frame_equal(prices, before)


def test_fields_and_arrays(prices):
    panel = pd.concat({"Close": prices, "Volume": 1e6 * prices}, axis=1)
    turnover = FunctionTransformer(lambda X: X["Close"] * X["Volume"])
    check_no_lookahead(turnover, panel)
    check_no_lookahead(GOOD_FORECASTERS["slope"], prices.bfill().to_numpy())


def test_results_repeat(prices):
    messages = []
    for _ in range(2):
        with pytest.raises(LookAheadError) as caught:
            check_no_lookahead(FunctionTransformer(LEAKS["shifted"]), prices)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(LookAheadError("text")))
    assert str(error) == "text"
