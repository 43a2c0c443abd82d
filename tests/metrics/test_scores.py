import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import r2_score

from skbatch.exceptions import PanelError
from skbatch.metrics import (
    coverage,
    directional_accuracy,
    information_coefficient,
    information_coefficient_series,
    out_of_sample_r2,
    rank_information_coefficient,
    rank_information_coefficient_series,
)
from skbatch.panel import forward_returns

SCORES = [
    information_coefficient,
    rank_information_coefficient,
    out_of_sample_r2,
    directional_accuracy,
    coverage,
]
SERIES = [information_coefficient_series, rank_information_coefficient_series]


def make_prices(n_dates=40, n_tickers=6, seed=0):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0, 0.02, size=(n_dates, n_tickers))
    dates = pd.date_range("2024-01-01", periods=n_dates, freq="B")
    tickers = [f"T{number}" for number in range(n_tickers)]
    return pd.DataFrame(100 * np.exp(returns.cumsum(axis=0)), dates, tickers)


@pytest.fixture
def tables():
    """Labels of a panel and noisy forecasts, both with gaps."""
    rng = np.random.default_rng(1)
    y_true = forward_returns(make_prices(n_tickers=9), 2)
    y_pred = 0.3 * y_true + rng.normal(0, 0.02, size=y_true.shape)
    y_pred.iloc[-2:] = 0.01
    y_true = y_true.mask(rng.random(y_true.shape) < 0.1)
    return y_true, y_pred.mask(rng.random(y_true.shape) < 0.1)


@pytest.fixture
def two_horizons():
    rng = np.random.default_rng(2)
    y_true = forward_returns(make_prices(), (1, 5))
    return y_true, 0.2 * y_true + rng.normal(0, 0.02, size=y_true.shape)


def finite_pairs(y_true, y_pred):
    actual, forecast = np.asarray(y_true), np.asarray(y_pred)
    use = np.isfinite(actual) & np.isfinite(forecast)
    return actual[use], forecast[use]


@pytest.mark.parametrize(
    ("score", "series", "reference"),
    [
        (
            information_coefficient,
            information_coefficient_series,
            stats.pearsonr,
        ),
        (
            rank_information_coefficient,
            rank_information_coefficient_series,
            stats.spearmanr,
        ),
    ],
)
def test_information_coefficients_agree_with_scipy(score, series, reference, tables):
    y_true, y_pred = tables
    expected = pd.Series(np.nan, y_true.index)
    for date in y_true.index:
        actual, forecast = finite_pairs(y_true.loc[date], y_pred.loc[date])
        if len(actual) >= 3:
            expected[date] = reference(actual, forecast)[0]
    assert expected.isna().sum() == 2  # the last two, whose labels are not known
    pd.testing.assert_series_equal(
        series(y_true, y_pred), expected, check_names=False, rtol=1e-12
    )
    assert score(y_true, y_pred) == pytest.approx(expected.mean(), rel=1e-12)


def test_pandas_agrees(tables):
    y_true, y_pred = tables
    known_true, known_pred = y_true.iloc[:-2], y_pred.iloc[:-2]
    expected = known_true.corrwith(known_pred, axis=1)
    result = information_coefficient_series(known_true, known_pred)
    pd.testing.assert_series_equal(result, expected, check_names=False)


@pytest.mark.parametrize("score", SCORES)
class TestEveryScore:
    # Nothing but the numbers differs from draw to draw.
    @settings(max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_order_of_labels_does_not_matter(self, score, seed):
        rng = np.random.default_rng(seed)
        y_true = forward_returns(make_prices(12, 5, seed), 1)
        y_pred = y_true + rng.normal(0, 0.02, size=y_true.shape)
        shuffled = y_pred.sample(frac=1, random_state=seed).sample(
            frac=1, axis=1, random_state=seed
        )
        assert score(y_true, shuffled) == score(y_true, y_pred)
        assert score(shuffled, y_true) == pytest.approx(score(y_pred, y_true))

    def test_missing_labels_are_ignored(self, score, tables):
        y_true, y_pred = tables
        rng = np.random.default_rng(3)
        garbled = y_pred.where(y_true.notna(), rng.normal(size=y_true.shape))
        assert score(y_true, garbled) == score(y_true, y_pred)

    def test_perfect_forecasts_score_one(self, score, tables):
        assert score(tables[0], tables[0]) == pytest.approx(1)

    def test_arrays_and_mixtures_go_by_place(self, score, tables):
        y_true, y_pred = tables
        expected = score(y_true, y_pred)
        assert score(y_true.to_numpy(), y_pred.to_numpy()) == expected
        assert score(y_true, y_pred.to_numpy()) == expected
        assert score(y_true.to_numpy(), y_pred) == expected
        assert score(y_true.to_numpy().tolist(), y_pred) == expected

    def test_is_a_plain_float(self, score, tables):
        assert type(score(*tables)) is float

    def test_nothing_to_score_is_nan(self, score, tables):
        y_true, y_pred = tables
        assert np.isnan(score(y_true * np.nan, y_pred))
        if score is coverage:
            assert score(y_true, y_pred * np.nan) == 0
        else:
            assert np.isnan(score(y_true, y_pred * np.nan))
        assert np.isnan(score(y_true.iloc[:0], y_pred.iloc[:0]))

    def test_horizons_are_averaged(self, score, two_horizons):
        y_true, y_pred = two_horizons
        apart = [score(y_true[h], y_pred[h]) for h in (1, 5)]
        assert score(y_true, y_pred) == pytest.approx(np.mean(apart))
        interleaved = y_pred.swaplevel(axis=1).sort_index(axis=1).swaplevel(axis=1)
        assert list(interleaved.columns) != list(y_pred.columns)
        assert score(y_true, interleaved) == pytest.approx(np.mean(apart))

    def test_horizons_without_a_score_are_skipped(self, score, two_horizons):
        y_true, y_pred = two_horizons
        y_true = y_true.copy()
        y_true[5] = np.nan
        assert score(y_true, y_pred) == pytest.approx(score(y_true[1], y_pred[1]))

    def test_input_is_not_modified(self, score, tables):
        before = [table.copy() for table in tables]
        score(*tables)
        for table, copy in zip(tables, before, strict=True):
            pd.testing.assert_frame_equal(table, copy)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda y: y.iloc[:-1],
                r"`y_pred` must have the dates of `y_true`. Got 1 of 40 dates only in "
                r"`y_true` \(2024-02-23 00:00:00\).*`common = y_true.index",
            ),
            (
                lambda y: y.set_axis(y.index + pd.Timedelta(days=900)),
                "Got 40 of 40 dates only in `y_true` .* and 40 of 40 dates only in",
            ),
            (
                lambda y: y.rename(columns={"T1": "T9"}),
                r"1 of 9 columns only in `y_true` \(T1\) and 1 .* in `y_pred` \(T9\)",
            ),
            (lambda y: y.drop(columns="T3"), r"\(T3\). Select what both have"),
            (lambda y: y.assign(NEW=0.0), r"1 of 10 columns only in `y_pred` \(NEW\)"),
            (
                lambda y: pd.concat({5: y}, axis=1),
                "must have the columns of `y_true`. Got 9 of 9 columns only in",
            ),
            (
                lambda y: y.set_axis(list("AABCDEFGH"), axis=1),
                "`y_pred` must have different columns. Got duplicates of A.",
            ),
            (lambda y: y["T1"], "Got a series for one of them and a table"),
            (lambda y: y.to_numpy()[:-1], r"Got \(39, 9\) and \(40, 9\)"),
            (lambda y: y.to_numpy().T, r"Got \(9, 40\) and \(40, 9\)"),
            (lambda y: y.to_numpy()[None], "Got 3 dimensions"),
            (
                lambda y: y.astype(object).mask(y > 0, "up"),
                "a table of numbers",
            ),
        ],
    )
    def test_mismatched_tables_raise(self, score, change, message, tables):
        y_true, y_pred = tables
        with pytest.raises(PanelError, match=message):
            score(y_true, change(y_pred))


@pytest.mark.parametrize("what", ["dates", "columns"])
def test_repeated_labels_raise_even_where_both_agree(what, tables):
    y_true = pd.concat(
        [tables[0]] * 2, axis="columns" if what == "columns" else "index"
    )
    with pytest.raises(PanelError, match=rf"must have different {what}\. Got dupl"):
        rank_information_coefficient(y_true, y_true)


def test_too_many_levels(two_horizons):
    y_true = pd.concat({"x": two_horizons[0]}, axis=1)
    with pytest.raises(PanelError, match="Got 3 levels"):
        rank_information_coefficient(y_true, y_true)


@pytest.mark.parametrize("score", [out_of_sample_r2, directional_accuracy, coverage])
def test_series_and_vectors(score, tables):
    y_true, y_pred = tables[0]["T0"], tables[1]["T0"]
    expected = score(y_true.to_frame(), y_pred.to_frame())
    assert score(y_true, y_pred) == expected
    assert score(y_true, y_pred.rename("other")[::-1]) == expected
    assert score(y_true.to_frame(), y_pred) == expected
    assert score(y_true.to_numpy(), y_pred.to_numpy()) == expected


def test_one_ticker_has_no_cross_section(tables):
    assert np.isnan(rank_information_coefficient(tables[0]["T0"], tables[1]["T0"]))


def test_nullable_numbers(tables):
    y_true, y_pred = tables
    expected = rank_information_coefficient(y_true, y_pred)
    assert rank_information_coefficient(y_true.astype("Float64"), y_pred) == expected


@pytest.mark.parametrize("series", SERIES)
class TestSeries:
    def test_one_column_per_horizon(self, series, two_horizons):
        result = series(*two_horizons)
        assert list(result.columns) == [1, 5]
        assert result.columns.name == "horizon"
        for h in (1, 5):
            expected = series(two_horizons[0][h], two_horizons[1][h])
            pd.testing.assert_series_equal(result[h], expected, check_names=False)

    def test_arrays(self, series, tables):
        expected = series(*tables).to_numpy()
        arrays = [table.to_numpy() for table in tables]
        np.testing.assert_array_equal(series(*arrays), expected)

    def test_name_says_what_it_is(self, series, tables):
        assert f"{series(*tables).name}_series" == series.__name__


def test_constant_forecasts_are_skipped_not_zero(tables):
    y_true, y_pred = (table.iloc[:-2].copy() for table in tables)
    expected = rank_information_coefficient(y_true.iloc[5:], y_pred.iloc[5:])
    y_pred.iloc[:5] = 0.01
    assert rank_information_coefficient(y_true, y_pred) == pytest.approx(expected)
    assert np.isnan(rank_information_coefficient(y_true, y_pred * 0))


def test_coverage_counts_labels_with_forecasts():
    y_true = np.array([[0.1, 0.2, np.nan], [0.1, np.nan, 0.3]])
    y_pred = np.array([[0.1, np.nan, 0.1], [np.inf, 0.1, 0.1]])
    assert coverage(y_true, y_pred) == 2 / 4


class TestOutOfSampleR2:
    def test_mean_is_sklearns_r2(self, tables):
        expected = r2_score(*finite_pairs(*tables))
        assert out_of_sample_r2(*tables, benchmark="mean") == pytest.approx(expected)

    def test_no_constant_beats_the_mean(self, tables):
        y_true = tables[0]
        for constant in (-0.01, 0.0, 0.003, np.nanmean(y_true)):
            forecast = y_true * 0 + constant
            assert out_of_sample_r2(y_true, forecast, "mean") <= 1e-12

    def test_against_zero(self, tables):
        actual, forecast = finite_pairs(*tables)
        expected = 1 - sum((actual - forecast) ** 2) / sum(actual**2)
        assert out_of_sample_r2(*tables) == pytest.approx(expected)
        assert out_of_sample_r2(*tables, benchmark=0) == pytest.approx(expected)
        assert out_of_sample_r2(tables[0], tables[0] * 0) == 0

    def test_table_covers_more_than_the_labels(self, tables):
        y_true, y_pred = tables
        history = y_true.expanding().mean().shift(3)
        use = y_true.notna() & y_pred.notna() & history.notna()
        errors = ((y_true - y_pred)[use] ** 2).sum().sum()
        expected = 1 - errors / ((y_true - history)[use] ** 2).sum().sum()
        result = out_of_sample_r2(y_true, y_pred, history)
        assert result == pytest.approx(expected)
        late = y_true.iloc[10:], y_pred.iloc[10:]
        whole = out_of_sample_r2(*late, history.iloc[::-1, ::-1])
        assert whole == out_of_sample_r2(*late, history.iloc[10:])
        assert whole == out_of_sample_r2(*late, history.iloc[10:].to_numpy())

    def test_series_by_date_or_by_ticker(self, tables):
        y_true, y_pred = tables
        by_date, by_ticker = y_true.mean(axis=1).shift(2), y_true.iloc[:9].mean()
        ones = y_true * 0 + 1
        ones = ones.fillna(1.0)
        assert out_of_sample_r2(y_true, y_pred, by_date[::-1]) == out_of_sample_r2(
            y_true, y_pred, ones.mul(by_date, axis=0)
        )
        assert out_of_sample_r2(y_true, y_pred, by_ticker[::-1]) == out_of_sample_r2(
            y_true, y_pred, ones.mul(by_ticker, axis=1)
        )

    def test_series_for_series(self, tables):
        y_true, y_pred = tables[0]["T0"], tables[1]["T0"]
        assert out_of_sample_r2(y_true, y_pred, y_true * 0) == out_of_sample_r2(
            y_true, y_pred
        )

    def test_series_by_horizon_and_ticker(self, two_horizons):
        zeros = pd.Series(0.0, two_horizons[0].columns)
        expected = out_of_sample_r2(*two_horizons)
        assert out_of_sample_r2(*two_horizons, zeros) == expected

    @pytest.mark.parametrize(
        ("benchmark", "message"),
        [
            (lambda y: y.iloc[5:], "`benchmark` must have the dates of `y_true`"),
            (lambda y: y[["T0"]], "`benchmark` must have the columns of `y_true`"),
            (lambda y: y["T0"].iloc[5:], "labels that cover neither"),
            (lambda y: y.to_numpy()[0], r"Got \(9,\) and \(40, 9\)"),
        ],
    )
    def test_benchmark_must_cover_the_labels(self, benchmark, message, tables):
        with pytest.raises(PanelError, match=message):
            out_of_sample_r2(*tables, benchmark(tables[0]))

    def test_ambiguous_series(self):
        table = pd.DataFrame(np.eye(3))
        with pytest.raises(PanelError, match="labels of both"):
            out_of_sample_r2(table, table, pd.Series(np.zeros(3)))

    def test_unknown_name(self, tables):
        with pytest.raises(ValueError, match=r"Got 'median'\. For the historical mean"):
            out_of_sample_r2(*tables, benchmark="median")
