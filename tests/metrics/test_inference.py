import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student_t

from skbatch.exceptions import PanelError
from skbatch.metrics import mean_inference


@pytest.fixture
def series():
    random = np.random.default_rng(0)
    return pd.Series(0.1 + random.normal(size=120))


def test_mean_and_ratio_are_those_of_numpy(series):
    result = mean_inference(series)
    assert result.mean == pytest.approx(series.mean())
    assert result.std == pytest.approx(series.std(ddof=1))
    assert result.ratio == pytest.approx(series.mean() / series.std(ddof=1))
    assert result.positive_share == pytest.approx((series > 0).mean())


def test_t_statistic_without_lags_is_that_of_the_mean(series):
    expected = series.mean() / (series.std(ddof=0) / len(series) ** 0.5)
    assert mean_inference(series, lags=0).t_statistic == pytest.approx(expected)


@pytest.mark.parametrize("lags", [1, 7, 15])
def test_t_statistic_with_lags_is_that_of_all_pairs(series, lags):
    error = (series - series.mean()).to_numpy()
    apart = np.abs(np.subtract.outer(np.arange(120), np.arange(120)))
    # Bartlett: the further apart two dates are, the less their product counts.
    weight = np.maximum(0, 1 - apart / (lags + 1))
    variance = error @ weight @ error / len(series) ** 2
    result = mean_inference(series, lags=lags)
    assert result.t_statistic == pytest.approx(series.mean() / variance**0.5)


def test_missing_dates_keep_their_place(series):
    holes = series.copy()
    holes.iloc[::3] = np.nan
    closed = holes.dropna()
    assert mean_inference(holes).n_dates == len(closed)
    assert mean_inference(holes).t_statistic != mean_inference(closed).t_statistic
    padded = pd.concat([pd.Series([np.nan] * 30), holes, pd.Series([np.nan] * 9)])
    assert mean_inference(padded) == mean_inference(holes)


def test_lags_grow_with_the_horizon(series):
    assert mean_inference(series, horizon=1).lags == 15
    assert mean_inference(series, horizon=11).lags == 20


@pytest.mark.parametrize(
    ("values", "horizon"),
    [
        (np.arange(19.0), 1),  # too few dates
        (np.arange(49.0), 5),  # fewer than ten horizons
        (np.full(100, 0.3), 1),  # no variation
    ],
)
def test_what_cannot_be_tested_has_no_t_statistic(values, horizon):
    result = mean_inference(values, horizon=horizon)
    assert math.isnan(result.t_statistic)
    assert math.isnan(result.critical_value)
    assert not result.is_significant
    assert result.mean == pytest.approx(values.mean())


def test_nothing_has_no_mean():
    result = mean_inference([np.nan, np.nan])
    assert math.isnan(result.mean)
    assert result.n_dates == 0


def test_a_mean_far_from_zero_is_significant(series):
    assert mean_inference(series + 3).is_significant
    assert mean_inference(-series - 3).is_significant


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (["a"], {}, PanelError, "`values` must be numbers"),
        ([[1.0], [2.0]], {}, PanelError, r"`values` must have one value per date"),
        ([1.0], {"horizon": 0}, ValueError, "`horizon` must be an int of at least 1"),
        ([1.0], {"horizon": True}, ValueError, "Got True. Pass a number of rows"),
        ([1.0], {"lags": -1}, ValueError, "`lags` must be an int of at least 0"),
    ],
)
def test_errors_say_what_to_do(values, options, error, message):
    with pytest.raises(error, match=message):
        mean_inference(values, **options)


def test_interval_and_p_value_agree_with_the_critical_value(series):
    for shift in np.linspace(-0.3, 0.3, 13):
        result = mean_inference(series + shift, horizon=5)
        low, high = result.confidence_interval
        assert high - low == pytest.approx(2 * result.margin)
        assert (low > 0 or high < 0) == result.is_significant
        assert (result.p_value < 0.05) == result.is_significant
        freedom = brentq(
            lambda f, wanted=result.critical_value: student_t.ppf(0.975, f) - wanted,
            2,
            1e6,
        )
        expected = 2 * student_t.sf(abs(result.t_statistic), freedom)
        assert result.p_value == pytest.approx(expected, rel=1e-6)


def test_p_values_of_many_independent_dates_are_those_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.01, 1.0, 20_000)
    result = mean_inference(values, lags=0)
    z = values.mean() / (values.std() / len(values) ** 0.5)
    assert result.t_statistic == pytest.approx(z)
    assert result.p_value == pytest.approx(2 * norm.sf(abs(z)), rel=0.01)
    assert result.standard_error == pytest.approx(values.std() / len(values) ** 0.5)


def test_what_cannot_be_tested_has_no_p_value():
    result = mean_inference(np.arange(19.0))
    assert math.isnan(result.p_value)
    assert np.isnan(result.confidence_interval).all()
