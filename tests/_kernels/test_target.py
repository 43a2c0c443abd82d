import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skbatch._kernels.target import (
    common_return,
    market_share,
    shrinkage_slope,
    shrunken_mean,
    standard_deviation,
    winsorized,
)

NAN = np.nan
returns = st.floats(-1, 1, allow_subnormal=False)
labels = arrays(
    float,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=returns | st.just(NAN),
)


@given(labels, st.integers(1, 3))
def test_common_return_is_the_mean_of_enough_tickers(labels, min_tickers):
    got = common_return(labels, min_tickers)
    assert got.shape == (len(labels),)
    for row, value in zip(labels, got, strict=True):
        known = [label for label in row if label == label]
        expected = sum(known) / len(known) if len(known) >= min_tickers else NAN
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)


def test_one_ticker_alone_has_no_common_return():
    np.testing.assert_allclose(
        common_return(np.array([[0.1, NAN], [0.1, 0.3]])), [NAN, 0.2]
    )


def test_common_return_ignores_infinite_labels():
    got = common_return(np.array([[0.1, 0.3, np.inf], [0.1, -np.inf, np.inf]]))
    np.testing.assert_allclose(got, [0.2, NAN])


@given(labels)
def test_standard_deviation_is_numpys_of_the_finite_labels(labels):
    got = standard_deviation(labels)
    for column, value in zip(labels.T, got, strict=True):
        known = column[np.isfinite(column)]
        assert value == pytest.approx(known.std() if len(known) else 0.0, abs=1e-12)


@pytest.mark.parametrize("horizon", [1, 5])
def test_shrunken_mean_by_hand(horizon):
    # Mean 2, variance 4, so the squared standard error is 4 * horizon / 3.
    mean, weight = shrunken_mean(np.array([0.0, 2.0, NAN, 4.0]), horizon)
    t_squared = 2.0**2 / (4.0 * horizon / 3)
    assert mean == 2.0
    assert weight == pytest.approx(t_squared / (1 + t_squared))


@pytest.mark.parametrize(
    ("values", "mean", "weight"),
    [
        ([], NAN, 0.0),
        ([NAN, NAN], NAN, 0.0),
        ([0.5], 0.5, 0.0),
        ([0.0, 0.0], 0.0, 0.0),
        ([0.5, 0.5, 0.5], 0.5, 1.0),
        ([-1.0, 1.0], 0.0, 0.0),
    ],
)
def test_shrunken_mean_at_the_edges(values, mean, weight):
    np.testing.assert_equal(shrunken_mean(np.array(values), 1), (mean, weight))


@given(
    arrays(
        float, st.integers(2, 20), elements=st.floats(-1, 1).map(lambda x: round(x, 3))
    ),
    st.integers(1, 10),
    st.floats(0.01, 100),
)
def test_the_weight_has_no_unit_and_falls_with_the_overlap(values, horizon, factor):
    mean, weight = shrunken_mean(values, horizon)
    scaled_mean, scaled_weight = shrunken_mean(factor * values, horizon)
    assert 0 <= weight <= 1
    assert scaled_mean == pytest.approx(factor * mean, abs=1e-12)
    assert scaled_weight == pytest.approx(weight, abs=1e-6)
    assert shrunken_mean(values, horizon + 1)[1] <= weight


@given(
    st.integers(0, 2**32 - 1), st.floats(-0.5, 1.5), st.floats(1, 5), st.floats(0, 1)
)
def test_slope_is_least_squares_averaged_with_what_was_expected(
    seed, slope, overlap, prior
):
    random = np.random.default_rng(seed)
    dates = np.repeat(np.arange(10), 3)
    forecast = random.standard_normal((30, 2)).astype(np.float32)
    realized = slope * forecast + random.standard_normal((30, 2))
    realized[random.uniform(size=realized.shape) < 0.2] = NAN
    forecast[random.uniform(size=realized.shape) < 0.2] = NAN
    both = ~np.isnan(realized) & ~np.isnan(forecast)
    fitted = np.linalg.lstsq(
        forecast[both][:, None].astype(float), realized[both], rcond=None
    )[0][0]
    score = {
        date: sum(
            f * (z - fitted * f)
            for f, z in zip(
                forecast[dates == date].ravel().astype(float),
                realized[dates == date].ravel(),
                strict=True,
            )
            if not np.isnan(f * z)
        )
        for date in range(10)
    }
    squares = np.sum(forecast[both].astype(float) ** 2)
    factor = overlap * 10 / (10 - overlap)
    error = np.sqrt(factor * sum(s**2 for s in score.values())) / squares
    # Two measurements of one slope, each with its standard error, in least squares.
    own = 0.2
    if (fitted - prior) ** 2 > own**2 + 9 * error**2:
        own = np.sqrt((fitted - prior) ** 2 - 9 * error**2)
    design = np.array([[1 / error], [1 / own]])
    measured = np.array([fitted / error, prior / own])
    expected = np.linalg.lstsq(design, measured, rcond=None)[0][0]
    found = shrinkage_slope(realized, forecast, dates, overlap, prior, 0.2)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_perfect_forecast_is_trusted_and_a_single_date_is_not():
    forecast = np.array([1.0, -2.0, 3.0])
    given = 1.0, 0.3, 0.1  # overlap, prior and its standard deviation
    assert shrinkage_slope(forecast, forecast, np.array([0, 1, 2]), *given) == 1.0
    assert shrinkage_slope(forecast, forecast, np.array([4, 4, 4]), *given) == 0.3
    # Nor are three dates that share a label.
    three = np.array([0, 1, 2])
    assert shrinkage_slope(forecast, forecast, three, 3.0, 0.3, 0.1) == 0.3


def test_forecasts_without_any_pair_or_size_leave_what_was_expected():
    given = np.array([0, 1]), 1.0, 0.3, 0.1
    assert shrinkage_slope(np.array([NAN, 1.0]), np.array([1.0, NAN]), *given) == 0.3
    assert shrinkage_slope(np.array([1.0, 2.0]), np.array([0.0, 0.0]), *given) == 0.3


def test_only_tickers_of_less_than_half_the_median_volatility_take_less():
    volatility = np.array([[0.01, 0.02, 0.04], [0.001, 0.02, 0.03], [NAN, 0.01, 0.04]])
    expected = [[1.0, 1.0, 1.0], [0.1, 1.0, 1.0], [NAN, 0.8, 1.0]]
    np.testing.assert_allclose(market_share(volatility), expected)


@given(labels, st.sampled_from([1.0, 2.5]))
def test_winsorised_labels_are_bounded_by_their_typical_size(labels, sizes):
    got = winsorized(labels, sizes)
    for column, bounded in zip(labels.T, got.T, strict=True):
        moves = [abs(label) for label in column if label == label and label != 0]
        bound = sizes * 1.4826 * np.median(moves) if moves else np.inf
        expected = [max(-bound, min(bound, label)) for label in column]
        expected = np.where(np.isnan(column), NAN, expected)
        np.testing.assert_allclose(bounded, expected, rtol=1e-12)


def test_winsorising_leaves_its_input_and_ordinary_returns_alone():
    usual = np.random.default_rng(0).normal(0, 0.01, (500, 3))
    wrong = usual.copy()
    wrong[7, 1] = 99.0
    np.testing.assert_array_equal(winsorized(usual), usual)
    assert 0.08 < winsorized(wrong)[7, 1] < 0.2
    assert wrong[7, 1] == 99.0
