"""Scores of a walk: against the metrics, against slow loops, and by hand."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone

from skbatch import BatchLinearForecaster, forward_returns
from skbatch.metrics import (
    coverage,
    directional_accuracy,
    mean_inference,
    out_of_sample_r2,
)
from skbatch.model_selection import WalkForwardResult
from skbatch.model_selection._scorecard import SCORES

from .conftest import HORIZON

DATES = pd.bdate_range("2019-12-30", periods=6, name="date")


@pytest.fixture
def tiny():
    """Four dates, three tickers, horizon 2, scores that a pencil can check."""
    closes = pd.DataFrame(
        {
            "A": [1.0, 1.0, 2.0, 1.0, 2.0, 1.0],
            "B": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            "C": [2.0, 2.0, 1.0, 2.0, 1.0, np.nan],
        },
        DATES,
    )
    forecasts = pd.DataFrame(
        [[0.1, 0.0, -0.1], [0.1, 0.0, -0.1], [0.3, 0.2, 0.1], [-0.1, 0.0, 0.1]],
        DATES[:4],
        closes.columns,
    )
    provenance = pd.DataFrame("Model", forecasts.index, forecasts.columns)
    return WalkForwardResult(
        name="Model",
        horizon=2,
        forecasts=forecasts,
        benchmarks={"historical mean": forecasts * 0 + 0.5},
        closes=closes,
        provenance=provenance,
        refits=pd.DataFrame(index=DATES[:1]),
        reasons=pd.DataFrame(),
        n_quantiles=3,
    )


def test_realized_returns_by_hand(tiny):
    # A: 1→2, 1→1, 2→2, 1→1. C: 2→1, 2→2, 1→1, 2→unknown.
    expected = [[1, 0, -0.5], [0, 0, 0], [0, 0, 0], [0, 0, np.nan]]
    np.testing.assert_array_equal(tiny.returns, expected)
    assert tiny.returns.attrs["horizon"] == 2


def test_scorecard_by_hand(tiny):
    card = tiny.scorecard.loc["Model"]
    # Only the first date has returns that differ; they are ranked perfectly.
    assert card["rank_ic"] == 1.0
    assert card["n_dates"] == 1
    assert card["rank_ic_positive"] == 1.0
    assert math.isnan(card["rank_ic_t"])
    # The only two returns that are not zero have the sign of their forecasts.
    assert card["hit_rate"] == 1.0
    # Bins of three tickers: A less C at the first date, 0 at two; at the last date,
    # two tickers with a return are too few.
    assert card["spread"] == pytest.approx((1.5 + 0 + 0) / 3)
    # Rank weights 1, 0, −1: the same portfolios.
    assert card["rank_return"] == pytest.approx(1.5 / 3)
    # From row 0 to 2 nothing is traded, from 1 to 3 all is reversed.
    assert card["turnover"] == pytest.approx((0 + 4) / 2)
    assert card["break_even_bps"] == pytest.approx(1e4 * 0.5 / 2)
    errors = [0.9, 0, 0.4, 0.1, 0, 0.1, 0.3, 0.2, 0.1, 0.1, 0]
    assert card["mae"] == pytest.approx(np.mean(errors))
    squares = sum(e**2 for e in errors)
    assert card["r2_zero"] == pytest.approx(1 - squares / 1.25)
    mean = 0.5**2 + 0.5**2 + 1.0**2 + 8 * 0.5**2
    assert card["r2_mean"] == pytest.approx(1 - squares / mean)
    assert card["coverage"] == 1.0


def test_zero_has_no_order_and_no_error_saved(tiny):
    card = tiny.scorecard.loc["zero"]
    undefined = ["rank_ic", "ic", "hit_rate", "spread", "turnover", "break_even_bps"]
    assert card[undefined].isna().all()
    assert card["r2_zero"] == 0
    assert card["mae"] == pytest.approx(1.5 / 11)


def test_scorecard_agrees_with_the_metrics(result):
    returns, forecasts = result.returns, result.forecasts
    mean = result.benchmarks["historical mean"]
    card = result.scorecard.loc["FallbackForecaster"]
    assert list(result.scorecard) == list(SCORES)
    assert card["hit_rate"] == directional_accuracy(returns, forecasts)
    assert card["r2_zero"] == out_of_sample_r2(returns, forecasts)
    assert card["r2_mean"] == out_of_sample_r2(returns, forecasts, mean)
    assert card["coverage"] == coverage(returns, forecasts)


def test_rank_ic_is_scipy_s(result):
    series = [
        spearmanr(r[ok], f[ok]).statistic if ok.sum() > 2 else np.nan
        for r, f in zip(
            result.returns.to_numpy(), result.forecasts.to_numpy(), strict=True
        )
        for ok in [np.isfinite(r) & np.isfinite(f)]
    ]
    expected = mean_inference(series, horizon=HORIZON)
    card = result.scorecard.loc["FallbackForecaster"]
    assert card["rank_ic"] == pytest.approx(expected.mean)
    assert card["rank_ic_t"] == pytest.approx(expected.t_statistic)
    assert card["critical_t"] == pytest.approx(expected.critical_value)


def test_saved_error_is_tested_date_by_date(result):
    saved = (result.returns**2 - (result.returns - result.forecasts) ** 2).mean(axis=1)
    expected = mean_inference(saved, horizon=HORIZON).t_statistic
    card = result.scorecard.loc["FallbackForecaster"]
    assert card["r2_zero_t"] == pytest.approx(expected)


def test_returns_are_the_labels(result, prices):
    labels = forward_returns(prices, HORIZON).iloc[150:]
    pd.testing.assert_frame_equal(result.returns, labels, check_freq=False)


def test_returns_that_begin_or_end_without_a_price_are_unknown(
    quiet_walk, mean_model, prices
):
    holes = prices.copy()
    holes.iloc[200, 1] = np.nan
    result = quiet_walk(mean_model, holes)
    labels = forward_returns(holes, HORIZON).iloc[150:]
    pd.testing.assert_frame_equal(result.returns, labels, check_freq=False)
    assert result.returns.iloc[[50 - HORIZON, 50], 1].isna().all()


def test_rank_ic_of_each_date_has_the_mean_of_the_scorecard(result):
    series = result.rank_ic()
    assert list(series) == list(result.scorecard.index.drop(["equal weight", "zero"]))
    expected = result.scorecard["rank_ic"].drop(["equal weight", "zero"])
    pd.testing.assert_series_equal(series.mean(), expected, check_names=False)


def test_quantile_returns_have_the_spread_of_the_scorecard(result):
    bins = result.quantile_returns()
    spread = (bins[5] - bins[1]).mean()
    assert spread == pytest.approx(result.scorecard["spread"].iloc[0])


def test_a_planted_signal_is_found_and_its_decay(quiet_walk, linear_model):
    """Momentum over 5 rows is worth less in each later window."""
    result = quiet_walk(linear_model, horizon=1)
    card = result.scorecard.loc["BatchLinearForecaster"]
    assert card["rank_ic"] > 0.1
    assert card["rank_ic_t"] > card["critical_t"]
    decay = result.decay(n_windows=3)
    assert decay["rank_ic"][1] == pytest.approx(card["rank_ic"])
    assert decay["first_row"].tolist() == [1, 2, 3]
    # Cut by hand: the window of row k is the label k - 1 rows later.
    for row in (1, 2, 3):
        later = result.returns.shift(1 - row)
        ics = [
            spearmanr(later.loc[d], forecasts, nan_policy="omit").statistic
            for d, forecasts in result.forecasts.iterrows()
            if later.loc[d].notna().any()
        ]
        assert decay["rank_ic"][row] == pytest.approx(np.mean(ics))
    assert decay["rank_ic"][2] < decay["rank_ic"][1]


def test_years_are_scored_apart(result):
    years = result.skill_by("year")
    assert years.index.tolist() == sorted(set(result.forecasts.index.year))
    year = years.index[-1]
    mask = result.forecasts.index.year == year
    expected = out_of_sample_r2(result.returns[mask], result.forecasts[mask])
    assert years.loc[year, "r2_zero"] == pytest.approx(expected)


def test_numbered_rows_have_no_years(quiet_walk, prices, mean_model):
    assert (
        len(quiet_walk(mean_model, prices.reset_index(drop=True)).skill_by("year")) == 0
    )


def test_to_frame_is_long(result):
    table = result.to_frame()
    assert table.index.names == ["date", "horizon", "ticker"]
    date, ticker = result.forecasts.index[7], "T002"
    row = table.loc[(date, HORIZON, ticker)]
    assert row["forecast"] == result.forecasts.loc[date, ticker]
    assert row["realized_return"] == result.returns.loc[date, ticker]
    assert row["model"] == result.provenance.loc[date, ticker]
    assert row["linear model"] == result.benchmarks["linear model"].loc[date, ticker]
    assert len(table) == result.forecasts.size


def test_to_frame_of_several_horizons(quiet_walk, mean_model):
    result = quiet_walk(mean_model, horizon=[1, 3])
    table = result.to_frame()
    date = result.forecasts.index[5]
    assert (
        table.loc[(date, 3, "T001"), "forecast"]
        == (result.forecasts.loc[date, (3, "T001")])
    )
    assert len(table) == result.forecasts.size


def test_refits_are_told(result, prices):
    assert result.refits.index.tolist() == prices.index[[150, 190, 230]].tolist()
    assert result.refits["train_end"].tolist() == prices.index[[149, 189, 229]].tolist()
    assert result.refits["n_test_rows"].tolist() == [40, 40, 30]
    served = result.provenance.iloc[40:80].to_numpy().ravel()
    others = ~np.isin(served, ["BatchXGBoostForecaster", "none"])
    expected = others.sum() / (served != "none").sum()
    assert result.refits["fallback_rate"].iloc[1] == pytest.approx(expected)
    assert expected > 0
    reasons = result.reasons.loc[prices.index[190]]
    assert reasons.index.tolist() == ["T003"]


def test_summary_says_what_the_scorecard_says(result):
    text = result.summary()
    card = result.scorecard.loc["FallbackForecaster"]
    assert "8 tickers on 110 dates from" in text
    assert f"the mean rank IC is {card['rank_ic']:+.4f}" in text
    assert f"R² against zero is {100 * card['r2_zero']:+.2f}" in text
    way = "" if abs(card["spread_t"]) > card["critical_t"] else "not "
    spread_t = f"(t = {card['spread_t']:+.2f})"
    assert (
        f"lowest, a difference that is {way}statistically significant {spread_t}"
        in text
    )
    tests = result.paired_tests().xs("rank_ic", level="score")
    best = result.scorecard["rank_ic"].drop("FallbackForecaster").idxmax()
    test = tests.loc[best]
    assert (
        f"Against the best by rank IC, {best}, the difference in rank IC is "
        f"{test['difference']:+.4f} (95% interval {test['lower']:+.4f} to "
        f"{test['upper']:+.4f}, p = {test['p_value']:.2f})."
    ) in text


def test_rivals_that_are_ahead_are_listed_as_in_a_sentence(quiet_walk, mean_model):
    names = ["one", "two", "three"]
    better = {name: BatchLinearForecaster() for name in names}
    text = quiet_walk(mean_model, benchmarks=better, refit_every=110).summary()
    assert "Of the benchmarks, one, two and three had a better rank IC" in text


def test_summary_of_perfect_forecasts_suspects_a_leak(tiny):
    text = tiny.summary()
    assert "on too few dates to be tested" in text
    assert "check for a leak first" in text
    assert "basis points" in text


def test_missing_forecasts_are_counted(tiny):
    tiny.forecasts.iloc[0, 0] = np.nan
    assert "1 of 11 returns had no forecast" in tiny.summary()


def test_unknown_horizons_are_refused(result):
    with pytest.raises(ValueError, match=r"`horizon` must be one of \(3,\). Got 5"):
        result.of_horizon(result.returns, 5)


# Delays -------------------------------------------------------------------------------


def slow_delay(result, name, delay, horizon):
    """Rank IC of forecasts that are traded `delay` rows later, by loop."""
    forecasts = dict(result.named_forecasts())[name]
    closes, ics = result.closes, {}
    for row, date in enumerate(forecasts.index):
        ics[date] = np.nan
        if row + delay + horizon >= len(closes):
            continue
        bought, sold = closes.iloc[row + delay], closes.iloc[row + delay + horizon]
        both = pd.DataFrame({"f": forecasts.iloc[row], "r": sold / bought - 1}).dropna()
        if both["f"].nunique() > 1:
            ics[date] = spearmanr(both["f"], both["r"]).statistic
    return pd.Series(ics)


@pytest.mark.parametrize("delay", [0, 2])
def test_delays_are_those_of_a_loop_by_hand(quiet_walk, linear_model, delay):
    result = quiet_walk(linear_model, delay=delay)
    table = result.by_delay(delays=(0, 1, 2, 5))
    assert table.index.names == ["forecaster", "delay"]
    names = [
        name
        for name, _ in result.named_forecasts()
        if name in ("BatchLinearForecaster", *result.benchmarks)
    ]
    assert list(table.index) == [(name, d) for name in names for d in (0, 1, 2, 5)]
    for name, d in [(result.name, 0), (result.name, 5), ("reversal", 1)]:
        ics = slow_delay(result, name, d, HORIZON)
        test = mean_inference(ics, horizon=HORIZON)
        row = table.loc[(name, d)]
        expected = (test.mean, test.standard_error, test.t_statistic)
        np.testing.assert_allclose(
            row[["rank_ic", "rank_ic_error", "rank_ic_t"]], expected, equal_nan=True
        )
        assert row["n_dates"] == test.n_dates
    # At its own delay, the table is the scorecard.
    own = table.xs(delay, level="delay")
    scores = ["rank_ic", "rank_ic_t", "spread", "spread_t", "critical_t", "n_dates"]
    pd.testing.assert_frame_equal(
        own[scores], result.scorecard.loc[names, scores], check_names=False
    )
    assert result.decay().loc[1, "rank_ic"] == own["rank_ic"].iloc[0]
    assert result.decay()["first_row"].iloc[0] == delay + 1


def test_forecasts_learn_labels_of_the_delay(quiet_walk, linear_model, prices):
    now, late = (quiet_walk(linear_model, delay=delay) for delay in (0, 2))
    returns = forward_returns(prices, HORIZON, 2).loc[late.returns.index]
    pd.testing.assert_frame_equal(late.returns, returns, check_names=False)
    assert late.returns.attrs == {"horizon": HORIZON, "delay": 2}
    assert not late.forecasts.equals(now.forecasts)
    assert "delay=2" in repr(late)
    assert "delay" not in repr(now)
    assert "Over 3 rows, starting 2 rows after the forecast: " in late.summary()
    past = prices.iloc[:150]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # T003 has no prices yet
        fitted = clone(linear_model).fit(past, forward_returns(past, HORIZON, 2))
        expected = fitted.predict(prices.iloc[150:190])
    pd.testing.assert_frame_equal(
        late.forecasts.iloc[:40], expected, check_freq=False, check_names=False
    )


def test_delays_of_several_horizons(quiet_walk, linear_model):
    result = quiet_walk(linear_model, horizon=(1, 4))
    alone = quiet_walk(linear_model, horizon=4)
    pd.testing.assert_frame_equal(result.by_delay(4), alone.by_delay())


@pytest.mark.parametrize("delays", [(-1,), (0, 1.5), (None,)])
def test_delays_are_numbers_of_rows(result, delays):
    with pytest.raises(ValueError, match="`delays` must be an int of at least 0"):
        result.by_delay(delays=delays)
