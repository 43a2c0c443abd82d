"""Rules that rank by past prices, and tests against all benchmarks, by slow loops."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from statsmodels.stats.multitest import multipletests

from skbatch.metrics import mean_inference
from skbatch.model_selection._ranking_rules import RANKING_RULES

from .conftest import HORIZON, make_model

SCORES = ["rank_ic", "squared_error", "spread"]


@pytest.fixture(scope="module")
def long_result(quiet_walk, linear_model):
    """Long enough for momentum, with several horizons."""
    from skbatch.datasets import make_panel

    panel = make_panel(420, 8, signal="linear", strength=0.3, random_state=1)
    panel.iloc[:290, 3] = np.nan
    panel.iloc[300, 5] = np.nan
    result = quiet_walk(linear_model, panel, horizon=(1, 3), min_train=200)
    return result, panel


@pytest.mark.parametrize("horizon", [1, 3])
def test_rules_rank_by_past_prices(long_result, horizon):
    result, panel = long_result
    for name in ("reversal", "momentum"):
        table = result.of_horizon(result.benchmarks[name], horizon)
        for date, row in table.iloc[::17].iterrows():
            t = panel.index.get_loc(date)
            for ticker, score in row.items():
                price = panel[ticker].to_numpy()
                expected = (
                    -(price[t] / price[t - 1] - 1)
                    if name == "reversal"
                    else price[t - 21] / price[t - 252] - 1
                    if t >= 252
                    else math.nan
                )
                assert score == pytest.approx(expected, nan_ok=True, abs=1e-12)
    momentum = result.of_horizon(result.benchmarks["momentum"], horizon)
    assert momentum.iloc[:52].isna().all(axis=None)
    assert momentum.drop(columns="T003").iloc[52].notna().all()


@pytest.mark.parametrize(
    ("freq", "year", "month"), [("W-FRI", 52, 4), ("ME", 12, 1), ("D", 365, 30)]
)
def test_momentum_spans_twelve_months_of_any_calendar(freq, year, month):
    index = pd.date_range("2015-01-01", periods=500, freq=freq)
    random = np.random.default_rng(0)
    closes = pd.DataFrame(np.exp(random.normal(size=(500, 2)).cumsum(0)), index)
    values = closes.to_numpy()
    expected = values[year - month : -month] / values[:-year] - 1
    scores = RANKING_RULES["momentum"](closes)
    assert scores.iloc[:year].isna().all(axis=None)
    np.testing.assert_allclose(scores.iloc[year:], expected)


def test_rules_have_an_order_but_no_size(long_result):
    card = long_result[0].cards(3).loc[["reversal", "momentum"]]
    sizes = ["hit_rate", "r2_zero", "r2_zero_t", "r2_mean", "mae"]
    assert card[sizes].isna().all(axis=None)
    assert card.drop(columns=sizes).notna().all(axis=None)


def test_rules_are_chosen_by_name(quiet_walk, prices, linear_model):
    result = quiet_walk(linear_model, benchmarks={"loser": "reversal"})
    expected = 1 - prices / prices.shift(1)
    pd.testing.assert_frame_equal(
        result.benchmarks["loser"], expected.loc[result.forecasts.index]
    )
    with pytest.raises(ValueError, match=r"be one of 'reversal', 'momentum'"):
        quiet_walk(linear_model, benchmarks={"x": "value"})


def slow_differences(result, benchmark, horizon):
    """Score both on each date with scipy and loops."""
    returns = result.of_horizon(result.returns, horizon).to_numpy()
    own = result.of_horizon(result.forecasts, horizon).to_numpy()
    rival = own * 0
    if benchmark == "equal weight":
        mean = result.of_horizon(result.benchmarks["historical mean"], horizon)
        rival = mean.to_numpy() * 0 + np.nanmean(mean, axis=1)[:, None]
    elif benchmark != "zero":
        rival = result.of_horizon(result.benchmarks[benchmark], horizon).to_numpy()
    rows = []
    for r, f, g in zip(returns, own, rival, strict=True):
        ok = np.isfinite(r) & np.isfinite(f) & np.isfinite(g)
        row = dict.fromkeys(SCORES, math.nan)
        rows.append(row)
        if ok.sum() == 0:
            continue
        r, f, g = r[ok], f[ok], g[ok]
        row["squared_error"] = np.mean((r - g) ** 2 - (r - f) ** 2)
        if len(r) < 5:
            continue

        def spread(by, r=r):
            low, high = np.quantile(by, [0.2, 0.8])
            return r[by >= high - 1e-15].mean() - r[by <= low + 1e-15].mean()

        order = benchmark not in ("zero", "equal weight")
        row["rank_ic"] = spearmanr(r, f).statistic
        row["rank_ic"] -= spearmanr(r, g).statistic if order else 0.0
        row["spread"] = spread(f) - (spread(g) if order else 0.0)
    return pd.DataFrame(rows)


def slow_test(series, horizon):
    """Newey–West by a double sum over all pairs of dates."""
    series = series.loc[series.first_valid_index() : series.last_valid_index()]
    x = series.to_numpy()
    n, known = len(x), np.isfinite(x)
    error = np.where(known, x - np.nanmean(x), 0.0)
    lags = max(math.ceil(1.3 * n**0.5), 2 * (horizon - 1))
    total = sum(
        max(0.0, 1 - abs(s - t) / (lags + 1)) * error[s] * error[t]
        for s in range(n)
        for t in range(n)
    )
    return np.nanmean(x), total**0.5 / known.sum()


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize(
    "benchmark", ["zero", "historical mean", "equal weight", "momentum"]
)
def test_differences_are_those_of_a_slow_loop(long_result, benchmark, horizon):
    result, _ = long_result
    tests = result.paired_tests(horizon)
    assert list(tests.loc[benchmark].index) == SCORES
    differences = slow_differences(result, benchmark, horizon)
    if benchmark == "momentum":
        assert tests.loc[(benchmark, "squared_error")].drop("n_dates").isna().all()
        differences = differences.drop(columns="squared_error")
    for score, series in differences.items():
        row = tests.loc[(benchmark, score)]
        mean, error = slow_test(series, horizon)
        assert row["difference"] == pytest.approx(mean)
        assert row["t_statistic"] == pytest.approx(mean / error)
        assert row["n_dates"] == series.notna().sum()
        margin = row["critical_t"] * error
        assert row["lower"] == pytest.approx(mean - margin)
        assert row["upper"] == pytest.approx(mean + margin)
        assert (row["p_value"] < 0.05) == (row["lower"] > 0 or row["upper"] < 0)


def test_against_zero_is_the_test_of_the_rank_ic_itself(result):
    test = result.paired_tests().loc[("zero", "rank_ic")]
    expected = mean_inference(result.rank_ic()["FallbackForecaster"], horizon=HORIZON)
    assert test["t_statistic"] == expected.t_statistic
    card = result.scorecard.loc["FallbackForecaster"]
    assert test["difference"] == card["rank_ic"]
    saved = result.paired_tests().loc[("zero", "squared_error"), "t_statistic"]
    assert saved == pytest.approx(card["r2_zero_t"])


def test_a_forecaster_against_itself_has_no_difference(quiet_walk, linear_model):
    model = linear_model[-1]
    result = quiet_walk(linear_model, benchmarks={"itself": model})
    tests = result.paired_tests().loc["itself"]
    assert (tests["difference"] == 0).all()
    assert tests["t_statistic"].isna().all()


def test_a_planted_signal_beats_the_rules(quiet_walk):
    from skbatch.datasets import make_panel

    panel = make_panel(500, 20, signal="linear", strength=0.4, random_state=0)
    result = quiet_walk(make_model(), panel, horizon=1, min_train=300)
    tests = result.paired_tests().xs("rank_ic", level="score")
    assert tests.loc["zero", "p_value"] < 0.01
    assert tests.loc["zero", "lower"] > 0


def assert_adjusted(tests, known, n_trials=1):
    """Holm's method for the known p-values, as statsmodels has it."""
    padded = np.append(known, np.ones(len(known) * (n_trials - 1)))
    expected = multipletests(padded, method="holm")[1][: len(known)]
    np.testing.assert_allclose(tests.loc[known.index, "p_holm"], expected)
    assert tests["p_holm"].isna().equals(tests["p_value"].isna())


def test_p_values_are_adjusted_for_all_tests_and_trials(result):
    # One ticker has no historical mean at first, which makes other comparisons.
    tests = result.paired_tests()
    known = tests["p_value"].dropna()
    zero, alike = (tests["t_statistic"].loc[name] for name in ("zero", "equal weight"))
    assert not np.isclose(zero, alike).any()
    assert_adjusted(tests, known)
    assert_adjusted(replace(result, n_trials=7).paired_tests(), known, 7)


def test_a_comparison_that_two_benchmarks_share_counts_once(result):
    """Zero and equal weight have no order, and here they forecast the same cells."""
    mean = result.benchmarks["historical mean"]
    filled = mean.where(mean.notna(), result.forecasts * 0)
    tests = replace(result, benchmarks={"historical mean": filled}).paired_tests()
    shared = [("equal weight", "rank_ic"), ("equal weight", "spread")]
    zero = tests.loc[[("zero", score) for _, score in shared]]
    np.testing.assert_array_equal(zero, tests.loc[shared])
    known = tests["p_value"].drop(shared)
    assert len(known) == 7
    assert_adjusted(tests, known)


def test_the_number_of_trials_is_kept(walk, linear_model):
    assert walk(linear_model, n_trials=12, benchmarks={}).n_trials == 12
    with pytest.raises(ValueError, match="`n_trials` must be an int of at least 1"):
        walk(linear_model, n_trials=0)


def test_differences_can_be_resampled(result):
    ours, other = result.paired_tests(n_resamples=199), result.paired_tests()
    pd.testing.assert_series_equal(ours["difference"], other["difference"])
    differences = result.rank_ic()["FallbackForecaster"]
    expected = mean_inference(differences, horizon=HORIZON, n_resamples=199)
    test = ours.loc[("zero", "rank_ic")]
    assert test["p_value"] == expected.p_value
    assert test["lower"] == expected.confidence_interval[0]
    assert test["t_statistic"] != other.loc[("zero", "rank_ic"), "t_statistic"]
