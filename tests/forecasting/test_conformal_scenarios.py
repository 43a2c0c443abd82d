"""Joint scenarios, chances of ranks, and tickers that were not seen in fit."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.model_selection import GridSearchCV

from skbatch import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    SharedFeatureExtractor,
    forward_returns,
)
from skbatch._kernels.scenarios import rank_bin_chances
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError
from skbatch.metrics import crps_by_sample, ranked_probability_score

NAN = np.nan
LINEAR = BatchLinearForecaster()


def make_market(n_dates=600, n_tickers=12, *, loading=0.7, moves=False, seed=0):
    """Returns with a common factor, their true volatility, and one-row returns."""
    random = np.random.default_rng(seed)
    volatility = 0.01 * np.exp(np.linspace(-1, 1, n_tickers))
    common = random.standard_normal((n_dates, 1))
    own = random.standard_normal((n_dates, n_tickers))
    noise = loading * common + np.sqrt(1 - loading**2) * own
    names = [f"T{number}" for number in range(n_tickers)]
    dates = pd.bdate_range("2015-01-01", periods=n_dates)
    X = pd.DataFrame(
        np.repeat(volatility[None], n_dates, axis=0),
        dates,
        [f"{name}__volatility_63" for name in names],
    )
    y = pd.DataFrame(volatility * noise, dates, names)
    if moves:
        returns = y.shift(1).set_axis([f"{n}__log_return_1" for n in names], axis=1)
        X = pd.concat([X, returns], axis=1)
    y.attrs["horizon"] = 1
    return X.astype(np.float32), y


@pytest.fixture(scope="module", params=[False, True], ids=["residuals", "moves"])
def market(request):
    X, y = make_market(moves=request.param)
    return ConformalForecaster(HistoricalMeanForecaster()).fit(X, y), X, y


def test_scenarios_have_the_moments_of_the_market(market):
    model, X, y = market
    scenarios = model.predict_scenarios(X, 20_000)
    assert scenarios.shape == (20_000, 12)
    assert scenarios.columns.equals(y.columns)
    scale = y.std().to_numpy()
    gap = scenarios.mean() - model.predict(X[-1:]).iloc[0]
    np.testing.assert_allclose(gap / scale, 0, atol=0.03)
    np.testing.assert_allclose(scenarios.std() / scale, 1, atol=0.1)
    correlation = np.corrcoef(scenarios.to_numpy(), rowvar=False)
    expected = np.full((12, 12), 0.49) + 0.51 * np.eye(12)
    assert np.abs(correlation - expected).mean() < 0.06
    # Of full rank, so that an optimizer can use it.
    assert np.linalg.eigvalsh(correlation)[0] > 0.1


def test_wild_scenarios_are_bounded_and_keep_the_forecast_as_their_mean():
    X, y = make_market()
    scale = np.log1p(30 * (X.to_numpy() - X.to_numpy().min())) / X.to_numpy()
    y = np.expm1(y * (1 + scale))
    model = ConformalForecaster(HistoricalMeanForecaster()).fit(X, y)
    scenarios = model.predict_scenarios(X, 50_000)
    assert scenarios.min(axis=None) >= -1
    error = scenarios.std() / np.sqrt(len(scenarios))
    gap = (scenarios.mean() - model.predict(X[-1:]).iloc[0]) / error
    # Five standard errors, and without centring the widest are hundreds of them off.
    assert gap.abs().max() < 5
    assert scenarios.std().max() > 0.3


def test_a_scenario_is_drawn_for_tickers_together(market):
    model, X, y = market
    spread = model.predict_scenarios(X, 5_000) / y.std()
    alone = np.sqrt(1 / 12)
    assert spread.mean(axis=1).std() > 2 * alone


def test_scenarios_have_the_quantiles_of_the_forecaster(market):
    model, X, _ = market
    scenarios = model.predict_scenarios(X, 20_000)
    middle = model.predict_quantiles(X[-1:], [0.5]).to_numpy()[0]
    for level in (0.1, 0.25, 0.75, 0.9):
        wanted = model.predict_quantiles(X[-1:], [level]).to_numpy()[0]
        gap = (scenarios.quantile(level) - wanted) / (wanted - middle)
        assert np.abs(gap).max() < 0.15


def test_fat_tails_are_kept():
    random = np.random.default_rng(0)
    X, y = make_market(1000)
    y[:] = 0.01 * random.standard_t(3, y.shape)
    model = ConformalForecaster(HistoricalMeanForecaster(), scale=None).fit(X, y)
    scenarios = model.predict_scenarios(X, 20_000)
    kurtosis = scenarios.apply(lambda column: column.kurt())
    assert (kurtosis > 3).all()
    gaussian = random.normal(0, y.std(), (2_000, 12))
    scores = [
        np.mean([crps_by_sample(y.iloc[row], draws) for row in range(0, 1000, 10)])
        for draws in (scenarios[:2_000], gaussian)
    ]
    assert scores[0] < scores[1]


def test_seeds_reproduce(market):
    model, X, y = market
    for call in (model.predict_scenarios, model.predict_rank_proba):
        first = call(X, n_samples=30, random_state=3)
        pd.testing.assert_frame_equal(call(X, n_samples=30, random_state=3), first)
        assert not call(X, n_samples=30, random_state=4).equals(first)
        assert not call(X, n_samples=30).equals(first)
        pd.testing.assert_frame_equal(call(X, n_samples=30), call(X, n_samples=30))
    twin = ConformalForecaster(HistoricalMeanForecaster(), random_state=3).fit(X, y)
    pd.testing.assert_frame_equal(
        twin.predict_scenarios(X, 9),
        model.predict_scenarios(X, 9, random_state=3),
        check_exact=True,
    )
    twin.set_params(random_state=None)
    assert not twin.predict_scenarios(X, 9).equals(twin.predict_scenarios(X, 9))


def test_memory_of_a_sample_is_bounded():
    n_tickers, n_samples = 5_000, 400
    X, y = make_market(90, n_tickers)
    model = ConformalForecaster(HistoricalMeanForecaster()).fit(X, y)
    output = 8 * n_tickers * n_samples
    tracemalloc.start()
    scenarios = model.predict_scenarios(X, n_samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scenarios.shape == (n_samples, n_tickers)
    # A matrix of tickers by tickers alone would take 200 MB.
    assert 8 * n_tickers**2 == 200e6
    assert peak < output + 90e6


def test_ranks_of_many_scenarios_take_little_memory():
    X, y = make_market(90, 5_000, moves=True)
    model = ConformalForecaster(HistoricalMeanForecaster()).fit(X, y)
    tracemalloc.start()
    chances = model.predict_rank_proba(X, n_samples=1_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The scenarios alone would take 40 MB, and 400 MB if there were 10,000.
    assert peak < 160e6
    np.testing.assert_allclose(chances.sum(), 1_000)


def test_blocks_do_not_show(market, monkeypatch):
    model, X, _ = market
    monkeypatch.setattr("skbatch.forecasting._joint_scenarios.MAX_CELLS", 3000)
    scenarios = model.predict_scenarios(X, 4_000)
    assert not scenarios.duplicated().any()
    np.testing.assert_allclose(
        scenarios.mean(), model.predict(X[-1:]).iloc[0], atol=2e-3
    )


def test_updates_bring_later_moves():
    X, y = make_market(500, 4, moves=True)
    model = ConformalForecaster(HistoricalMeanForecaster()).fit(X[:400], y[:400])
    assert model.calibration_.moves.index.equals(X.index[148:400])
    model.update(X[399:450], y[399:450])
    assert model.calibration_.moves.index.equals(X.index[198:450])
    columns = [f"{ticker}__log_return_1" for ticker in y]
    np.testing.assert_array_equal(model.calibration_.moves, X[columns][198:450])


# Ranks --------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    n_tickers=st.integers(1, 23), n_bins=st.integers(1, 8), missing=st.integers(0, 3)
)
def test_chances_fill_ranks_and_bins(n_tickers, n_bins, missing):
    X, y = make_market(40, n_tickers)
    model = ConformalForecaster(HistoricalMeanForecaster(min_labels=2)).fit(X, y)
    last = X[-1:].copy()
    last.iloc[:, : min(missing, n_tickers)] = NAN
    chances = model.predict_rank_proba(last, n_bins, n_samples=20)
    assert chances.index.equals(y.columns.rename("ticker"))
    assert list(chances.columns) == list(range(1, n_bins + 1))
    known = chances.dropna(how="all")
    assert len(known) == max(0, n_tickers - missing)
    assert known.notna().all(axis=None)
    assert (known >= 0).all(axis=None)
    np.testing.assert_allclose(known.sum(axis=1), 1)
    if len(known):
        np.testing.assert_allclose(known.sum(), len(known) / n_bins)


def test_chances_are_those_of_the_known_distribution(market):
    model, X, _ = market
    random = np.random.default_rng(5)
    common = random.standard_normal((20_000, 1))
    own = random.standard_normal((20_000, 12))
    returns = 0.01 * np.exp(np.linspace(-1, 1, 12)) * (0.7 * common + 0.51**0.5 * own)
    ranks = returns.argsort(axis=1).argsort(axis=1)
    # Twelve tickers fill four bins without sharing any.
    chances = model.predict_rank_proba(X, 4, n_samples=5000)
    for number in range(4):
        expected = (ranks // 3 == number).mean(axis=0)
        # Four parts of the simulation and one of equal chances.
        gap = chances[number + 1] - (0.8 * expected + 0.2 / 4)
        assert gap.abs().max() < 0.08
        assert gap.abs().mean() < 0.03


def test_chances_are_frequencies_and_where_moves_are_known_half_of_relative_ones(
    market,
):
    model, X, y = market
    draws = model.predict_scenarios(X, 500, random_state=1).to_numpy()
    ranks = draws.argsort(axis=1).argsort(axis=1)
    # Twelve tickers fill four bins without sharing any.
    counts = np.stack([(ranks // 3 == number).mean(axis=0) for number in range(4)], 1)
    expected = 0.8 * counts + 0.2 / 4
    if model.calibration_.moves is not None:
        recent = y.shift(1)[-252:]
        relative = recent.sub(recent.median(axis=1), axis=0).abs()
        size = np.sqrt(relative[-63:].mean() * relative.mean())
        location = model.predict(X[-1:]).iloc[0]
        expected += rank_bin_chances(
            location.to_numpy(), size.to_numpy() / stats.t(5).expect(np.abs), 4
        )
        expected /= 2
    chances = model.predict_rank_proba(X, 4, n_samples=500, random_state=1)
    np.testing.assert_allclose(chances, expected, atol=1e-5)


def test_chances_of_labels_that_are_no_simple_returns_are_frequencies_alone():
    X, y = make_market(moves=True)
    percent = 100 * y
    found = [
        ConformalForecaster(HistoricalMeanForecaster())
        .fit(X.loc[:, use], percent)
        .predict_rank_proba(X.loc[:, use], n_samples=4_000)
        for use in (slice(None), X.columns.str.endswith("_63"))
    ]
    np.testing.assert_allclose(*found, atol=0.05)


def test_a_new_ticker_s_relative_returns_are_as_its_volatility():
    X, y = make_market(400, 6, moves=True)
    model = ConformalForecaster(LINEAR).fit(X, y)
    old = model.predict_rank_proba(X, n_samples=4_000)
    new = model.predict_rank_proba(renamed(X, {"T5": "NEW"}), n_samples=4_000)
    np.testing.assert_allclose(new.loc["NEW"], old.loc["T5"], atol=0.06)


def test_a_better_forecast_is_ranked_higher(make_frames):
    X, y = make_frames(600, n_tickers=10, signal=0.7)
    model = ConformalForecaster(LINEAR).fit(X[:500], y[:500])
    scores = []
    for row in range(500, 540):
        chances = model.predict_rank_proba(X.iloc[[row]], n_samples=300)
        scores.append(ranked_probability_score(y.iloc[row], chances))
        best = model.predict(X.iloc[[row]]).iloc[0].idxmax()
        assert chances.loc[best, 5] > chances[5].mean()
    assert np.mean(scores) < 0.15


# Other tickers ------------------------------------------------------------------------


def renamed(X, names):
    return X.rename(
        columns=lambda name: (
            f"{names.get(name.rpartition('__')[0], name.rpartition('__')[0])}__"
            f"{name.rpartition('__')[2]}"
        )
    )


@pytest.mark.parametrize("market_columns", [False, True])
@pytest.mark.parametrize("n_horizons", [1, 2])
def test_new_tickers_are_forecast_by_their_features(
    make_frames, stack_horizons, market_columns, n_horizons
):
    X, y = make_frames(300, n_tickers=4, market=market_columns)
    if n_horizons == 2:
        y = stack_horizons({1: y, 3: y})
    inner = BatchXGBoostForecaster(n_estimators=6, n_jobs=1)
    model = ConformalForecaster(inner).fit(X, y)
    other = renamed(X, {"T0": "N0", "T1": "N1", "T2": "N2"})[-3:]
    expected = model.predict(X[-3:])
    found = model.predict(other)
    assert list(found.columns.get_level_values(-1).unique()) == ["N0", "N1", "N2", "T3"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for one, two in zip(
        model.predict_interval(other), model.predict_interval(X[-3:]), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-4)
    assert model.predict_scenarios(other, 5).notna().all(axis=None)
    chances = model.predict_rank_proba(other, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def test_more_new_tickers_than_were_fitted_and_fewer(make_frames):
    X, y = make_frames(300, n_tickers=3)
    model = ConformalForecaster(LINEAR).fit(X, y)
    many = pd.concat(
        [
            X[-2:],
            *(renamed(X[-2:], {f"T{n}": f"{k}{n}" for n in range(3)}) for k in "ABC"),
        ],
        axis=1,
    )
    found = model.predict(many)
    assert found.shape == (2, 12)
    assert found.notna().all(axis=None)
    # Beside the same neighbors, the same forecast.
    few = X[[name for name in X if not name.startswith("T1__")]][-2:]
    assert list(model.predict(few).columns) == ["T0", "T2"]
    assert list(model.predict_scenarios(few, 3).columns) == ["T0", "T2"]


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
@pytest.mark.parametrize(
    "inner",
    [
        HistoricalMeanForecaster(),
        BatchLinearForecaster("per_ticker"),
        BatchLinearForecaster("vector"),
    ],
)
def test_forecasters_that_go_by_name_know_no_new_tickers(make_frames, inner):
    X, y = make_frames(300)
    model = ConformalForecaster(inner).fit(X, y)
    other = renamed(X, {"T0": "NEW"})[-2:]
    found = model.predict(other)
    assert found["NEW"].isna().all()
    assert model.predict_interval(other).lower["NEW"].isna().all()
    assert model.predict_scenarios(other, 4)["NEW"].isna().all()
    assert found["T3"].notna().all() or inner.get_params().get("strategy") == "vector"


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
def test_new_tickers_beside_one_that_is_served_by_its_mean(make_frames):
    X, y = make_frames(300)
    y.iloc[30:, 1] = NAN
    inner = FallbackForecaster(LINEAR, HistoricalMeanForecaster())
    model = ConformalForecaster(inner).fit(X, y)
    other = renamed(X, {"T0": "NEW"})[-2:]
    expected, found = model.predict(X[-2:]), model.predict(other)
    np.testing.assert_allclose(found["NEW"], expected["T0"])
    np.testing.assert_allclose(found["T1"], expected["T1"])


def test_new_tickers_are_forecast_when_the_fitted_ones_have_gone(make_frames):
    X, y = make_frames(300)
    gone = X.copy()
    gone.iloc[-10:] = NAN
    model = ConformalForecaster(LINEAR).fit(gone, y)
    other = renamed(X, {f"T{n}": f"N{n}" for n in range(4)})[-2:]
    np.testing.assert_allclose(model.predict(other), model.predict(X[-2:]))


class Doubled(BatchLinearForecaster):
    """A user's forecaster, of which nobody knows how it treats new tickers."""

    def predict(self, X):
        return 2 * super().predict(X)


def test_a_users_own_predict_serves_its_tickers_and_no_others(make_frames):
    X, y = make_frames(300)
    model = ConformalForecaster(Doubled()).fit(X, y)
    found = model.predict(renamed(X, {"T0": "NEW"})[-2:])
    assert found["NEW"].isna().all()
    expected = 2 * BatchLinearForecaster().fit(X, y).predict(X[-2:])
    np.testing.assert_allclose(found["T3"], expected["T3"])
    nobody = renamed(X, {f"T{n}": f"N{n}" for n in range(4)})[-2:]
    assert model.predict(nobody).isna().all(axis=None)


@pytest.mark.filterwarnings("ignore::skbatch.exceptions.FallbackWarning")
@pytest.mark.parametrize(
    "inner",
    [
        FallbackForecaster(HistoricalMeanForecaster(), BatchLinearForecaster()),
        FallbackForecaster(Doubled(), BatchLinearForecaster()),
        GridSearchCV(BatchLinearForecaster(), {"alpha": ["auto"]}, cv=2),
        ConformalForecaster(BatchLinearForecaster()),
    ],
    ids=["no model of its own", "another package's", "search", "conformal"],
)
def test_forecasters_around_a_pooled_one_forecast_new_tickers(make_frames, inner):
    X, y = make_frames(300)
    model = ConformalForecaster(inner).fit(X, y)
    found = model.predict(renamed(X, {"T0": "NEW"})[-2:])
    expected = BatchLinearForecaster().fit(X, y).predict(X[-2:])
    np.testing.assert_allclose(found["NEW"], expected["T0"])
    np.testing.assert_allclose(found["T3"], model.predict(X[-2:])["T3"])


def test_columns_in_another_order_and_missing_ones(make_frames):
    X, y = make_frames(300, market=True)
    model = ConformalForecaster(BatchXGBoostForecaster(n_estimators=6, n_jobs=1))
    model.fit(X, y)
    other = renamed(X, {"T0": "N0", "T1": "N1"})[-3:]
    other = other.drop(columns="N1__f1").sample(frac=1, axis=1, random_state=0)
    other["N0__unheard_of"] = 7.0
    gaps = X[-3:].copy()
    gaps["T1__f1"] = NAN
    expected = model.predict(gaps).rename(columns={"T0": "N0", "T1": "N1"})
    pd.testing.assert_frame_equal(model.predict(other)[expected.columns], expected)


def test_new_tickers_without_a_volatility_have_the_median_one(make_frames):
    X, y = make_frames(300, n_tickers=5, volatility=False)
    y *= [1, 2, 3, 4, 5]
    model = ConformalForecaster(BatchLinearForecaster()).fit(X, y)
    transform = model.estimator_.model_.transform
    common, unit = transform.weight * transform.expectation, transform.scale.constant
    found = model.predict(renamed(X, {f"T{n}": f"N{n}" for n in range(5)})[-3:])
    expected = common + (model.predict(X[-3:]) - common) * np.median(unit) / unit
    np.testing.assert_allclose(found, expected)
    assert (unit.max() / unit.min()) > 3


def test_new_tickers_have_the_common_expectation_of_most_fitted_ones(make_frames):
    X, y = make_frames(700, n_tickers=5, signal=0.1)
    days = pd.date_range("2020-01-01", periods=700)
    X, y = X.set_axis(days), y.set_axis(days)
    y[["T3", "T4"]] += 0.01
    y.loc[days.day_of_week > 4, ["T0", "T1", "T2"]] = NAN
    for column in ("volatility_63", *(f"f{n}" for n in range(2))):
        X.loc[days.day_of_week > 4, [f"T{n}__{column}" for n in range(3)]] = NAN
    X[[f"T{n}__volatility_63" for n in range(5)]] = 0.02
    model = ConformalForecaster(BatchLinearForecaster()).fit(X, y)
    transform = model.estimator_.model_.transform
    common = transform.weight * transform.expectation
    assert common[3] == common[4] > common[0] == common[1] == common[2]
    found = model.predict(renamed(X, {f"T{n}": f"N{n}" for n in range(5)})[-3:])
    expected = model.predict(X[-3:]) - common + common[0]
    np.testing.assert_allclose(found, expected)


def test_frames_of_other_tickers_must_be_alike(make_frames):
    X, y = make_frames(300, market=True)
    model = ConformalForecaster(LINEAR).fit(X, y)
    other = renamed(X, {"T0": "NEW"})
    with pytest.raises(PanelError, match=r"shared columns .* called market__return"):
        model.predict(other.drop(columns="market__return"))
    strange = pd.DataFrame({"NEW__size": np.ones(300)}, X.index)
    with pytest.raises(PanelError, match=r"for every ticker, features .* only for NEW"):
        model.predict(pd.concat([X, strange], axis=1))
    other.iloc[0, 0] = np.inf
    with pytest.raises(PanelError, match="Got infinite features"):
        model.predict(other)


def test_new_prices_of_another_universe():
    prices = make_panel(400, 9, market_volatility=0.02, random_state=0)
    old, new = prices.iloc[:, :5], prices.iloc[:, 4:]
    features = SharedFeatureExtractor(windows=(5, 21))
    X, y = features.fit_transform(old[:350]), forward_returns(old[:350], 2)
    model = ConformalForecaster(LINEAR).fit(X, y)
    table = SharedFeatureExtractor(windows=(5, 21)).fit_transform(new)[-40:]
    lower, upper = model.predict_interval(table)
    actual = forward_returns(new, 2)[-40:]
    held = (actual >= lower) & (actual <= upper)
    assert held[:-2].mean(axis=None) > 0.8
    scenarios = model.predict_scenarios(table, 2000)
    # T004 was seen; a ticker that was not moves with it as the average one does.
    common = scenarios.corr().loc["T004"].drop("T004")
    assert common.min() > 0.2
