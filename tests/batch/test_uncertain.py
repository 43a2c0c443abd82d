"""How sure systems of calibrated forecasters are."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator

from skbatch import (
    BatchForecastingSystem,
    BatchLinearForecaster,
    ConformalForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch.datasets import make_panel
from skbatch.exceptions import FallbackWarning, PanelError
from skbatch.forecasting.engine import BatchForecasterMixin
from skbatch.metrics import interval_coverage

UNCERTAINTY = ["lower", "upper", "volatility", "p_positive"]
METHODS = (
    "predict_interval",
    "predict_quantiles",
    "predict_scenarios",
    "predict_rank_proba",
)
LINEAR = ConformalForecaster(BatchLinearForecaster("per_ticker"))


@pytest.fixture(scope="module")
def parts(make_system, prices):
    """A fitted system, its only forecaster, and the features of some new rows."""
    system = make_system(forecaster=LINEAR).fit(prices.iloc[:-5])
    (member,) = system.fitted_.members
    return system, member.forecaster, system.fitted_.extractor.transform(prices[-5:])


def test_one_batch_says_what_its_forecaster_says(parts, prices):
    system, forecaster, X = parts
    new = prices[-5:]
    for bound, expected in zip(
        system.predict_interval(new, 0.7),
        forecaster.predict_interval(X, 0.7),
        strict=True,
    ):
        pd.testing.assert_frame_equal(bound, expected, check_names=False)
        assert bound.attrs == {"coverage": 0.7, "horizon": system.horizon}
    pd.testing.assert_frame_equal(
        system.predict_scenarios(new, 50, random_state=3),
        forecaster.predict_scenarios(X, 50, random_state=3),
        check_names=False,
    )
    pd.testing.assert_frame_equal(
        system.predict_rank_proba(new, 4, n_samples=200),
        forecaster.predict_rank_proba(X, 4, n_samples=200),
    )


def test_arrays_get_arrays(make_system, prices):
    system = make_system(forecaster=LINEAR).fit(prices.iloc[:-5].to_numpy())
    lower, upper = system.predict_interval(prices[-5:].to_numpy())
    assert isinstance(lower, np.ndarray)
    assert (lower < upper).all()
    assert lower.shape == (5, 8)


def test_without_rows_it_speaks_of_the_last_fitted_date(make_system, prices):
    system = make_system(forecaster=LINEAR).fit(prices)
    lower, upper = system.predict_interval()
    expected = system.forecast().expected_returns
    assert lower.index.equals(prices.index[-1:])
    assert (lower.iloc[0] < expected).all()
    assert (expected < upper.iloc[0]).all()
    at_end = system.predict_scenarios(n_samples=5)
    pd.testing.assert_frame_equal(at_end, system.predict_scenarios(prices[-1:], 5))


def test_tickers_of_different_batches_move_together(make_system):
    """A pair with one factor, in two batches: the correlation of their returns."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(600, 1))
    moves = 0.01 * (np.sqrt(0.8) * common + np.sqrt(0.2) * rng.normal(size=(600, 6)))
    index = pd.bdate_range("2020-01-01", periods=600)
    prices = pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), index, list("ABCDEF"))
    system = make_system(forecaster=LINEAR, max_batch_size=2).fit(prices)
    assert len(system.fitted_.members) == 3
    scenarios = system.predict_scenarios(n_samples=4000, random_state=1)
    assert list(scenarios) == list(prices)
    correlations = spearmanr(scenarios).statistic[np.triu_indices(6, 1)]
    np.testing.assert_allclose(correlations, 0.8, atol=0.08)


@pytest.mark.parametrize("horizon", [5, (1, 5)])
def test_batches_change_no_ticker_s_own_distribution(make_system, prices, horizon):
    """Models of single tickers: only the pooling of scores differs by batch."""
    system = make_system(horizon, forecaster=LINEAR, max_batch_size=3).fit(prices)
    scenarios = system.predict_scenarios(n_samples=3000)
    frames = {m.tickers: f for m, f in system._served(prices[-1:])}
    for member in system.fitted_.members:
        own = member.forecaster.predict_scenarios(frames[member.tickers], 3000)
        # Three standard errors of a mean of draws.
        tolerance = 3 * own.std() * np.sqrt(2 / 3000)
        gap = (scenarios[own.columns].mean() - own.mean()).abs()
        assert (gap < tolerance).all()
        ratio = scenarios[own.columns].std() / own.std()
        np.testing.assert_allclose(ratio, 1.0, atol=0.12)


def test_a_scenario_more_takes_eight_bytes_a_ticker(make_system, prices, monkeypatch):
    """So that 5,000 tickers × 10,000 scenarios add 400 MB, and what a block takes."""
    monkeypatch.setattr("skbatch.forecasting._joint_scenarios.MAX_CELLS", 2**17)
    system = make_system(forecaster=LINEAR, max_batch_size=3).fit(prices)
    system.predict_scenarios(n_samples=10)  # what is computed once stays
    peaks = []
    for n_samples in (8_000, 16_000):
        tracemalloc.start()
        system.predict_scenarios(n_samples=n_samples)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] == pytest.approx(8 * 8_000 * 8, rel=0.02)


def test_rank_chances_are_among_all_tickers(make_system, prices):
    system = make_system(forecaster=LINEAR, max_batch_size=3).fit(prices)
    chances = system.predict_rank_proba(n_bins=4, n_samples=300)
    assert list(chances.index) == list(prices)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    np.testing.assert_allclose(chances.sum(), len(chances) / 4)


def test_rank_chances_of_several_horizons(make_system, prices):
    system = make_system((1, 5), forecaster=LINEAR).fit(prices)
    chances = system.predict_rank_proba(n_bins=2, n_samples=300)
    np.testing.assert_allclose(chances.groupby(level=0).sum(), 4.0)


def test_quarantined_tickers_have_none(make_system, prices, fit_quietly):
    dead = prices.copy()
    dead.loc[dead.index[-60:], "C"] = np.nan
    system = fit_quietly(make_system(forecaster=LINEAR), dead)
    lower, _ = system.predict_interval()
    scenarios = system.predict_scenarios(n_samples=3)
    for table in (lower, scenarios, system.predict_rank_proba(n_samples=9).T):
        assert table["C"].isna().all()
        assert table.drop(columns="C").notna().all(axis=None)


def test_new_prices_that_cannot_be_used_have_no_scenarios(make_system, prices):
    system = make_system(forecaster=LINEAR).fit(prices[:-5])
    new = prices[-5:].copy()
    new.iloc[-1, 2] *= 100  # beyond any jump that is believed
    scenarios = system.predict_scenarios(new, 3)
    assert scenarios.columns[scenarios.isna().any()].tolist() == ["C"]


def test_a_portfolio_without_a_healthy_ticker(make_system, prices, fit_quietly):
    flat = prices * 0 + 1.0
    system = fit_quietly(make_system(forecaster=LINEAR), flat)
    assert system.predict_scenarios(n_samples=2).isna().all(axis=None)
    assert system.predict_interval()[0].isna().all(axis=None)


def test_tickers_of_a_simpler_model_have_intervals_too(
    make_system, prices, make_faulty, fit_quietly
):
    forecaster = ConformalForecaster(make_faulty("model", ["B"]))
    system = fit_quietly(make_system(forecaster=forecaster), prices)
    lower, upper = system.predict_interval()
    assert (lower < upper).all(axis=None)
    assert system.predict_scenarios(n_samples=3).notna().all(axis=None)


class Own(BatchLinearForecaster):
    """A forecaster of the user's, whose forecasts of a tail nobody has checked."""

    def predict(self, X):
        return super().predict(X) + 0.01


class Mine(BatchForecasterMixin, BaseEstimator):
    """A forecaster that is nobody's subclass."""

    def fit(self, X, y):
        self.model_ = BatchLinearForecaster().fit(X, y)
        return self

    def predict(self, X):
        return self.model_.predict(X)


@pytest.mark.parametrize("model", [Own(), Mine()])
def test_a_forecaster_that_is_not_calibrated_says_what_to_do(
    make_system, prices, model
):
    system = make_system(forecaster=model).fit(prices)
    result, name = system.forecast(), type(model).__name__
    assert result.expected_returns.notna().all()
    table = result.to_frame()
    assert table[UNCERTAINTY].isna().all(axis=None)
    why = f"no interval: {name} is not calibrated, see ConformalForecaster"
    assert set(table["reason"]) == {why}
    assert set(result.provenance["reason"]) == {""}
    for method in METHODS:
        assert not hasattr(system, method)
        with pytest.raises(AttributeError) as caught:
            getattr(system, method)
        assert f"Pass ConformalForecaster({name}" in str(caught.value.__cause__)


def test_tickers_of_a_model_that_could_not_be_calibrated_are_named(make_system, prices):
    features = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 10])
    system = make_system(21, features=features).fit(prices.iloc[:100])
    table = system.forecast().to_frame()
    assert table["expected_return"].notna().all()
    assert table[UNCERTAINTY].isna().all(axis=None)
    assert table["reason"].str.startswith("no interval").all()
    for method in (system.predict_interval, system.predict_scenarios):
        with pytest.warns(FallbackWarning, match=r"8 of 8 .* not calibrated: A, B"):
            table = method()
        table = table[0] if isinstance(table, tuple) else table
        assert table.isna().all(axis=None)


# Returns that become known ------------------------------------------------------------


@pytest.fixture(scope="module")
def wilder():
    """Prices whose moves grow threefold in the last 120 rows, and features that lag."""
    rng = np.random.default_rng(0)
    moves = 0.01 * rng.standard_normal((520, 8)) + 0.005 * rng.standard_normal((520, 1))
    moves[400:] *= 3.0
    index = pd.bdate_range("2018-01-01", periods=520)
    return pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), index, list("ABCDEFGH"))


def long_memory(forecaster=None):
    """A system whose volatility is of the last 252 rows, so that it follows slowly."""
    features = SharedFeatureExtractor(["volatility"], windows=[252])
    forecaster = BatchLinearForecaster() if forecaster is None else forecaster
    return BatchForecastingSystem(2, features=features, forecaster=forecaster)


def test_intervals_follow_returns_that_have_become_known(wilder):
    system = long_memory().fit(wilder[:400])
    y = forward_returns(wilder, 2)[400:]
    lower, upper = system.predict_interval(wilder[400:])
    followed = interval_coverage(y[30:], lower[30:], upper[30:])
    (member,) = system.fitted_.members
    X = system.fitted_.extractor.transform(wilder[400:])
    lower, upper = member.forecaster.predict_interval(X)
    static = interval_coverage(y[30:], lower[30:], upper[30:])
    assert static < 0.84
    assert abs(followed - 0.9) < abs(static - 0.9) / 2


@pytest.mark.parametrize("families", [["volatility"], ["returns", "volatility"]])
def test_what_is_known_at_a_date_does_not_depend_on_how_rows_are_passed(
    wilder, families
):
    """The bounds of a date are those of a call that ends there, bit by bit."""
    features = SharedFeatureExtractor(families, windows=[252])
    system = long_memory().set_params(coverage=0.8, features=features)
    system.fit(wilder[:400])
    new = wilder[400:]
    whole = system.predict_interval(new)
    for stop in (1, 2, 3, 30, 50):
        for bound, expected in zip(
            system.predict_interval(new[:stop]), whole, strict=True
        ):
            pd.testing.assert_frame_equal(bound, expected[:stop], check_exact=True)
        table = system.forecast(new[:stop]).uncertainty
        np.testing.assert_array_equal(table["lower"], whole.lower.iloc[stop - 1])
    again = pickle.loads(pickle.dumps(system)).predict_interval(new).lower
    pd.testing.assert_frame_equal(again, whole.lower, check_exact=True)


def test_fitted_rows_before_the_new_ones_change_nothing(wilder):
    """As the command line passes a whole file."""
    system = long_memory().fit(wilder[:400])
    new, whole = (system.forecast(rows).uncertainty for rows in (wilder[400:], wilder))
    pd.testing.assert_frame_equal(whole, new, rtol=1e-5)
    bounds = system.predict_interval(wilder)
    follow = system.predict_interval(wilder[400:])
    pd.testing.assert_frame_equal(bounds.lower[400:], follow.lower, rtol=1e-5)


def test_scenarios_follow_too(wilder):
    system = long_memory().fit(wilder[:400])
    (member,) = system.fitted_.members
    X = system.fitted_.extractor.transform(wilder[400:])
    wide = system.predict_scenarios(wilder[400:], 4000).quantile(0.95)
    narrow = member.forecaster.predict_scenarios(X, 4000).quantile(0.95)
    bounds = system.predict_interval(wilder[400:]).upper.iloc[-1]
    static = member.forecaster.predict_interval(X).upper.iloc[-1]
    assert (bounds / static).min() > 1.1
    np.testing.assert_allclose(wide / narrow, bounds / static, rtol=0.1)


def test_correlations_are_of_the_latest_rows():
    """Tickers that are unrelated up to the fit, and share a factor after it."""
    rng = np.random.default_rng(0)
    own, common = rng.normal(size=(700, 4)), rng.normal(size=(700, 1))
    share = np.where(np.arange(700) < 400, 0.0, 0.8)[:, None]
    moves = 0.01 * (np.sqrt(share) * common + np.sqrt(1.0 - share) * own)
    index = pd.bdate_range("2020-01-01", periods=700)
    prices = pd.DataFrame(100 * np.exp(moves.cumsum(axis=0)), index, list("ABCD"))
    features = SharedFeatureExtractor(["returns", "volatility"], windows=[5, 21])
    for batches in ({}, {"max_batch_size": 2}):
        forecaster = BatchLinearForecaster("per_ticker")
        system = BatchForecastingSystem(
            2, features=features, forecaster=forecaster, **batches
        ).fit(prices[:400])
        for end in (402, 700):
            scenarios = system.predict_scenarios(prices[400:end], 4_000)
            expected = np.corrcoef(moves[end - 252 : end].T)[np.triu_indices(4, 1)]
            found = spearmanr(scenarios).statistic[np.triu_indices(4, 1)]
            np.testing.assert_allclose(found, expected, atol=0.1)
            assert abs(expected.mean() - (0.8 if end == 700 else 0.0)) < 0.1


# Every forecast -----------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [5, (1, 5)])
def test_a_default_system_says_how_sure_it_is(make_system, prices, horizon):
    system = make_system(horizon, forecaster=None).fit(prices[:-5])
    table = system.forecast(prices[-5:]).to_frame()
    lower, upper = system.predict_interval(prices[-5:])
    np.testing.assert_array_equal(table["lower"], lower.iloc[-1])
    np.testing.assert_array_equal(table["upper"], upper.iloc[-1])
    assert (table["lower"] < table["expected_return"]).all()
    assert (table["expected_return"] < table["upper"]).all()
    assert table["volatility"].between(0.001, 0.3).all()
    assert table["p_positive"].between(0.3, 0.7).all()
    # The chance of a gain is where the quantiles cross zero.
    for label, chance in table["p_positive"].items():
        around = [0.998 - chance, 1.002 - chance]
        quantiles = system.predict_quantiles(prices[-5:], around)
        low, high = (quantiles[level][label].iloc[-1] for level in around)
        assert low < 0 < high
    draws = system.predict_scenarios(prices[-5:], 4000)
    assert (draws.std() / table["volatility"].to_numpy()).between(0.85, 1.15).all()
    chances = system.predict_rank_proba(prices[-5:], 2, n_samples=100)
    assert chances.sum(axis=1).round(9).eq(1).all()


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_wrong_price_of_one_ticker_leaves_the_volatility_of_others(
    make_system, horizon
):
    prices = make_panel(1600, 15, random_state=0)
    wrong = prices.copy()
    wrong.iloc[-290, 3] *= 100.0  # before the rows for which a ticker is set aside
    found, samples = [], []
    for panel in (prices, wrong):
        system = make_system(
            horizon,
            features=SharedFeatureExtractor(["returns", "volatility"], [5, 21]),
            forecaster=BatchLinearForecaster(),
        ).fit(panel)
        found.append(system.forecast().to_frame()["volatility"])
        samples.append(system.predict_scenarios(n_samples=2000, random_state=0))
    others = prices.columns.delete(3)
    # Two returns of 20 typical sizes, or some 15 deviations, among 15 tickers × 318
    # dates add 2 × 15² / 4770, or 9%, to the variance.
    ratio = found[1][others] / found[0][others]
    np.testing.assert_allclose(ratio, 1.0, atol=0.08)
    drawn = [table[others].std() for table in samples]
    np.testing.assert_allclose(drawn[1] / drawn[0], 1.0, atol=0.15)


def test_several_coverages_stand_side_by_side(make_system, prices):
    system = make_system(coverage=[0.5, 0.975]).fit(prices)
    table = system.forecast().to_frame()
    for coverage, mark in ((0.5, "50"), (0.975, "97.5")):
        bounds = system.predict_interval(coverage=coverage)
        for bound, name in zip(bounds, ("lower", "upper"), strict=True):
            np.testing.assert_array_equal(bound.iloc[0], table[f"{name}_{mark}"])
    assert system.predict_interval().lower.attrs["coverage"] == 0.5
    assert (table["lower_97.5"] < table["lower_50"]).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, [], [0.9, 0.9], "a lot", [0.5, 2]])
def test_a_coverage_is_a_share(make_system, prices, coverage):
    with pytest.raises(ValueError, match="coverage"):
        make_system(coverage=coverage).fit(prices)


def test_a_quarantined_ticker_has_nothing(make_system, prices, fit_quietly):
    dead = prices.copy()
    dead.loc[dead.index[-60:], "C"] = np.nan
    table = fit_quietly(make_system(), dead).forecast().to_frame()
    numbers = table.select_dtypes("number")
    assert numbers.loc["C"].isna().all()
    assert numbers.drop("C").notna().all(axis=None)
    assert "no interval" not in table.loc["C", "reason"]


@pytest.mark.parametrize(
    ("method", "params", "match"),
    [
        ("predict_interval", {"coverage": 1.0}, "`coverage` must"),
        ("predict_scenarios", {"n_samples": 0}, "`n_samples` must"),
        ("predict_rank_proba", {"n_bins": 0}, "`n_bins` must"),
        ("predict_rank_proba", {"n_samples": 1.5}, "`n_samples` must"),
    ],
)
def test_wrong_arguments(parts, method, params, match):
    with pytest.raises(ValueError, match=match):
        getattr(parts[0], method)(**params)


def test_other_tickers_are_refused(parts, prices):
    with pytest.raises(PanelError, match="columns seen in `fit`"):
        parts[0].predict_interval(prices[["A", "B"]])


def test_a_pickled_system_draws_the_same(parts):
    again = pickle.loads(pickle.dumps(parts[0]))
    pd.testing.assert_frame_equal(
        parts[0].predict_scenarios(), again.predict_scenarios()
    )


def test_no_later_price_reaches_the_bounds(make_system, prices):
    """Rows after a date are replaced; the bounds up to it stay, bit by bit."""
    system = make_system(forecaster=LINEAR).fit(prices[:-20])
    new, garbage = prices[-20:], prices[-20:].copy()
    garbage.iloc[10:] = 1e6 * np.random.default_rng(0).uniform(size=(10, 8))
    for ours, theirs in zip(
        system.predict_interval(new), system.predict_interval(garbage), strict=True
    ):
        pd.testing.assert_frame_equal(ours[:10], theirs[:10], check_exact=True)
        assert not ours[10:].equals(theirs[10:])
