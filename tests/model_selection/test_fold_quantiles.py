"""Quantiles of a walk: those of a system, and their part of the report."""

import numpy as np
import pandas as pd
import pytest

from skbatch import BatchForecastingSystem, BatchLinearForecaster
from skbatch.metrics import interval_coverage
from skbatch.model_selection import _report_uncertainty

from .conftest import HORIZON, PricesOnly, make_extractor, make_model

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
WALK = {"min_train": 150, "refit_every": 50, "benchmarks": {}}


@pytest.fixture(scope="module")
def whole(prices):
    """Without the ticker that begins late, which a system treats differently."""
    return prices.drop(columns=prices.columns[3])


@pytest.fixture(scope="module")
def walked(walk, whole, linear_model):
    return walk(linear_model, whole, **WALK)


# With the last schedules, a refit follows before the horizon of the previous one ends.
@pytest.mark.parametrize(
    ("delay", "first", "every"), [(0, 150, 50), (1, 150, 50), (0, 240, 4), (1, 240, 6)]
)
def test_they_are_those_of_a_system_refitted_as_often(
    walk, whole, linear_model, delay, first, every
):
    schedule = {**WALK, "min_train": first, "refit_every": every}
    walked = walk(linear_model, whole, delay=delay, **schedule)
    assert list(walked.quantiles) == LEVELS
    system = BatchForecastingSystem(
        HORIZON,
        delay=delay,
        features=make_extractor(),
        forecaster=BatchLinearForecaster(),
    )
    expected = []
    for stop in range(first, len(whole), every):
        system.fit(whole[:stop])
        expected.append(system.predict_quantiles(whole[stop : stop + every], LEVELS))
    expected = pd.concat(expected)
    for level, table in walked.quantiles.items():
        pd.testing.assert_frame_equal(
            table, expected[level], check_names=False, rtol=1e-5
        )


def test_a_system_s_walk_has_the_same(walk, whole, walked):
    system = BatchForecastingSystem(
        HORIZON, features=make_extractor(), forecaster=BatchLinearForecaster()
    )
    again = walk(system, whole, **WALK)
    for level in LEVELS:
        pd.testing.assert_frame_equal(
            again.quantiles[level], walked.quantiles[level], check_names=False
        )


def test_no_later_price_reaches_them(walk, whole, linear_model, walked):
    garbage = whole.copy()
    garbage.iloc[225:] = 100.0 * np.random.default_rng(0).uniform(1, 2, (35, 7))
    other = walk(linear_model, garbage, **WALK)
    for level in LEVELS:
        ours, theirs = walked.quantiles[level], other.quantiles[level]
        pd.testing.assert_frame_equal(ours[:75], theirs[:75], check_exact=True)
        assert not ours[75:].equals(theirs[75:])


def test_a_forecaster_without_any_has_no_part_in_the_report(walk, whole):
    walked = walk(PricesOnly(), whole, **WALK)
    assert walked.quantiles == {}
    assert _report_uncertainty.uncertainty_section(walked, HORIZON, "") == ""


def test_several_horizons(walk, whole, linear_model):
    walked = walk(linear_model, whole, **{**WALK, "horizon": (1, 3)})
    for table in walked.quantiles.values():
        assert table.columns.equals(walked.forecasts.columns)
        assert table.notna().all(axis=None)
    assert (walked.quantiles[0.05] < walked.quantiles[0.95]).all(axis=None)


def test_tickers_without_a_forecast_have_none(result):
    for table in result.quantiles.values():
        assert not table.notna().where(result.forecasts.isna(), False).any(axis=None)


def test_the_report_counts_returns_inside(walked):
    part = _report_uncertainty.uncertainty_section(walked, HORIZON, "")
    held = interval_coverage(
        walked.returns, walked.quantiles[0.05], walked.quantiles[0.95]
    )
    assert f"<td>{100 * held:.1f}%</td>" in part


def test_the_fan_starts_where_the_forecast_is_traded(walk, whole, linear_model):
    walked = walk(linear_model, whole, delay=2, **WALK)
    part = _report_uncertainty.uncertainty_section(walked, HORIZON, "")
    start = whole.index[-1 - HORIZON]
    assert f"from {start:%Y-%m-%d}, and what came of it" in part
    assert "made 2 rows before" in part


def test_it_takes_models_that_are_all_alike(quiet_walk, whole):
    """A fallback joins what its models have measured."""
    walked = quiet_walk(make_model(), whole, **WALK)
    assert walked.quantiles[0.5].notna().all(axis=None)
