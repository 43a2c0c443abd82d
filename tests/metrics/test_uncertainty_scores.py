"""Scores of intervals, quantiles, samples and chances of ranks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss

from skbatch.exceptions import PanelError
from skbatch.metrics import (
    crps_by_sample,
    interval_coverage,
    interval_width,
    pinball_loss,
    rank_bins,
    ranked_probability_score,
)

NAN = np.nan


@pytest.fixture
def tables():
    """Labels and two bounds, all with gaps."""
    rng = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=30, freq="B")
    names = [f"T{number}" for number in range(8)]
    y_true, low, high = (
        pd.DataFrame(rng.normal(shift, 0.02, (30, 8)), dates, names)
        for shift in (0, -0.03, 0.03)
    )
    holes = rng.random((3, 30, 8)) < 0.1
    return tuple(
        table.mask(hole) for table, hole in zip((y_true, low, high), holes, strict=True)
    )


def shuffle(table):
    return table.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)


class TestIntervals:
    def test_coverage_counts_cells(self, tables):
        y_true, low, high = (table.to_numpy() for table in tables)
        cells = [
            low[place] <= y_true[place] <= high[place]
            for place in np.ndindex(y_true.shape)
            if np.isfinite([y_true[place], low[place], high[place]]).all()
        ]
        assert interval_coverage(*tables) == pytest.approx(np.mean(cells))

    def test_bounds_belong_to_the_interval(self):
        assert interval_coverage([1.0, 2.0, 2.1], [1.0] * 3, [2.0] * 3) == 2 / 3

    def test_width_is_the_mean_difference(self, tables):
        _, low, high = tables
        expected = np.nanmean((high - low).to_numpy())
        assert interval_width(low, high) == pytest.approx(expected)

    def test_tables_go_by_label(self, tables):
        y_true, low, high = tables
        expected = interval_coverage(*tables)
        assert interval_coverage(y_true, shuffle(low), shuffle(high)) == expected
        width = interval_width(low, shuffle(high))
        assert width == pytest.approx(interval_width(low, high))

    def test_other_tickers_raise(self, tables):
        y_true, low, high = tables
        with pytest.raises(PanelError, match=r"Got 1 of 8 columns only in"):
            interval_coverage(y_true, low, high.drop(columns="T3"))

    def test_nothing_to_score_is_nan(self, tables):
        y_true, low, high = tables
        assert np.isnan(interval_coverage(y_true * NAN, low, high))
        assert np.isnan(interval_width(low * NAN, high))

    def test_horizons_are_averaged(self, tables):
        both = [pd.concat({1: table, 5: table * 2}, axis=1) for table in tables]
        _, low, high = tables
        expected = 1.5 * interval_width(low, high)
        assert interval_width(*both[1:]) == pytest.approx(expected)


class TestPinball:
    @pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
    def test_agrees_with_scikit_learn(self, tables, level):
        y_true, forecast, _ = tables
        pairs = pd.concat([y_true.stack(), forecast.stack()], axis=1).dropna()
        expected = mean_pinball_loss(pairs[0], pairs[1], alpha=level)
        assert pinball_loss(y_true, forecast, level) == pytest.approx(expected)

    def test_the_true_quantile_is_best(self):
        y_true = np.random.default_rng(0).standard_normal(200_000)
        losses = [
            pinball_loss(y_true, np.full(200_000, q), 0.9) for q in (1, 1.2816, 1.6)
        ]
        assert losses[1] == min(losses)

    @pytest.mark.parametrize("level", [0, 1, -0.1, "high", None, NAN])
    def test_wrong_levels_raise(self, level):
        with pytest.raises(ValueError, match=r"`quantile` must be between 0"):
            pinball_loss([0.1], [0.1], level)


class TestRanks:
    @given(n_tickers=st.integers(1, 120).map(lambda n: 5 * n))
    def test_equal_chances_for_quintiles_score_as_published(self, n_tickers):
        returns = np.random.default_rng(n_tickers).standard_normal(n_tickers)
        score = ranked_probability_score(returns, np.full((n_tickers, 5), 0.2))
        assert score == pytest.approx(0.16)

    @pytest.mark.parametrize("n_bins", [2, 4, 10])
    def test_equal_chances_in_closed_form(self, n_bins):
        # Σ over realized bins and cumulative bins of (k/K − 1{k ≥ j})² is (K² − 1)/6K².
        returns = np.random.default_rng(0).standard_normal(20 * n_bins)
        chances = np.full((20 * n_bins, n_bins), 1 / n_bins)
        score = ranked_probability_score(returns, chances)
        assert score == pytest.approx((n_bins**2 - 1) / (6 * n_bins**2))

    def test_the_worst_and_the_best(self):
        returns = np.arange(10.0)
        best = rank_bins(returns).to_numpy()
        assert ranked_probability_score(returns, best) == 0
        worst = np.repeat([[1.0, 0, 0, 0, 0]], 10, axis=0)
        expected = np.mean([0, 1, 2, 3, 4]) / 5
        assert ranked_probability_score(returns, worst) == pytest.approx(expected)

    def test_a_slow_reference(self):
        rng = np.random.default_rng(0)
        returns, chances = rng.standard_normal(15), rng.dirichlet(np.ones(5), 15)
        total = 0.0
        for ticker, value in enumerate(returns):
            bin_ = int((returns < value).sum()) // 3
            for k in range(5):
                gap = chances[ticker, : k + 1].sum() - (bin_ <= k)
                total += gap**2 / 5 / 15
        assert ranked_probability_score(returns, chances) == pytest.approx(total)

    def test_missing_tickers_are_not_ranked(self):
        returns = pd.Series([0.1, NAN, 0.3, 0.2, 9.0], list("ABCDE"))
        chances = pd.DataFrame(np.full((5, 3), 1 / 3), list("ABCDE"))
        chances.iloc[0] = [0.2, 0.5, 0.3]
        chances.loc["E"] = NAN
        expected = ranked_probability_score(
            returns[["A", "C", "D"]], chances.loc[["A", "C", "D"]]
        )
        assert ranked_probability_score(returns, chances) == pytest.approx(expected)
        shuffled = chances.sample(frac=1, random_state=0)
        assert ranked_probability_score(returns, shuffled) == pytest.approx(expected)

    def test_one_row_of_a_table_will_do(self):
        returns = pd.DataFrame([[0.1, 0.2]], columns=["A", "B"])
        chances = pd.DataFrame([[0.5, 0.5]] * 2, ["B", "A"])
        assert ranked_probability_score(returns, chances) == pytest.approx(0.125)

    def test_bins_keep_tickers_and_gaps(self):
        bins = rank_bins(pd.Series([0.1, NAN, -0.1], ["A", "B", "C"]), n_bins=2)
        expected = pd.DataFrame(
            [[0.0, 1.0], [NAN, NAN], [1.0, 0.0]],
            ["A", "B", "C"],
            pd.RangeIndex(1, 3, name="bin"),
        )
        pd.testing.assert_frame_equal(bins, expected)

    def test_nothing_to_score_is_nan(self):
        assert np.isnan(ranked_probability_score([NAN, NAN], [[0.5, 0.5]] * 2))

    @pytest.mark.parametrize("n_bins", [0, -1, 2.5, "5", True])
    def test_wrong_bins_raise(self, n_bins):
        with pytest.raises(ValueError, match=r"`n_bins` must be an int .* Pass 5"):
            rank_bins([0.1, 0.2], n_bins)

    @pytest.mark.parametrize(
        ("returns", "chances", "message"),
        [
            (np.zeros((2, 3)), np.ones((2, 1)), r"one date. Got shape \(2, 3\)"),
            (pd.DataFrame(np.zeros((2, 3))), np.ones((2, 1)), "one date. Got 2 rows"),
            ([0.1, 0.2], np.ones((3, 1)), "one row per return. Got 3 rows and 2"),
            ([0.1], [[0.5, 0.6]], "sum to 1 in every row. .* Divide each row"),
            ([0.1], [[1.5, -0.5]], "least value of -0.5"),
            (
                pd.Series([0.1], ["A"]),
                pd.DataFrame([[1.0]], ["B"]),
                "tickers of `y_true` as rows. Got B, A in one",
            ),
            (
                pd.Series([0.1, 0.2], ["A", "A"]),
                pd.DataFrame([[1.0]], ["A"]),
                "every ticker once. Got duplicates of A",
            ),
        ],
    )
    def test_wrong_tables_raise(self, returns, chances, message):
        with pytest.raises(PanelError, match=message):
            ranked_probability_score(returns, chances)


class TestSamples:
    def test_a_single_draw_is_its_error(self):
        score = crps_by_sample([0.3, -0.1], [[0.1, 0.1]], fair=False)
        assert score == pytest.approx(0.2)

    def test_tickers_go_by_name_and_gaps_are_left_out(self):
        rng = np.random.default_rng(0)
        samples = pd.DataFrame(rng.standard_normal((50, 3)), columns=list("ABC"))
        y_true = pd.Series([0.5, NAN, 1.0], list("CBA"))
        expected = np.mean(
            [
                crps_by_sample([0.5], samples[["C"]]),
                crps_by_sample([1.0], samples[["A"]]),
            ]
        )
        assert crps_by_sample(y_true, samples) == pytest.approx(expected)
        samples["B"] = NAN
        assert crps_by_sample(y_true.fillna(0), samples) == pytest.approx(expected)

    def test_the_true_distribution_is_best(self):
        rng = np.random.default_rng(0)
        actual = rng.standard_normal(2000)
        scores = [
            crps_by_sample(actual, scale * rng.standard_normal((100, 2000)))
            for scale in (0.6, 1.0, 1.6)
        ]
        assert scores[1] == min(scores)

    def test_wrong_tables_raise(self):
        with pytest.raises(ValueError, match=r"at least 2 draws. Got 1. Draw more"):
            crps_by_sample([0.1], [[0.1]])
        with pytest.raises(PanelError, match=r"one column per return. Got 2 columns"):
            crps_by_sample([0.1], [[0.1, 0.2], [0.1, 0.2]])
        with pytest.raises(PanelError, match=r"as columns. Got B, A in one"):
            crps_by_sample(pd.Series([0.1], ["A"]), pd.DataFrame({"B": [0.1, 0.2]}))
