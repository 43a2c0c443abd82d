"""Rows that skip dates: a warning, and never features of misaligned windows."""

import warnings

import numpy as np
import pandas as pd
import pytest
from skfolio.datasets import load_sp500_dataset

from skbatch import SharedFeatureExtractor
from skbatch.exceptions import HistoryWarning
from skbatch.feature_extraction import cache_info

N_DATES = 700


def closes(index):
    noise = np.random.default_rng(0).standard_normal((len(index), 3))
    values = 50 * np.exp(np.cumsum(0.01 * noise, axis=0))
    return pd.DataFrame(values, index=index, columns=list("ABC"))


@pytest.fixture(params=["dates", "time-zone", "range", "numbers", "periods"])
def panel(request):
    index = pd.bdate_range("2020-01-01", periods=N_DATES)
    kinds = {
        "dates": index,
        "time-zone": index.tz_localize("America/New_York"),
        "range": pd.RangeIndex(N_DATES),
        "numbers": pd.Index(np.arange(N_DATES) / 2),
        "periods": pd.period_range("1960-01", periods=N_DATES, freq="M"),
    }
    return closes(kinds[request.param])


@pytest.fixture
def extractor():
    families = ["returns", "volatility", "trend", "market"]
    return SharedFeatureExtractor(families, windows=(5, 10, 21))


def one_warning(record, match):
    assert [w.category for w in record] == [HistoryWarning]
    assert match in str(record[0].message)


def assert_right_or_missing(actual, whole):
    """Log returns and volatility are those of all rows wherever they are finite."""
    for name in ("A__log_return_1", "B__log_return_5", "C__log_return_21"):
        expected = whole.loc[actual.index, name]
        known = actual[name].notna()
        np.testing.assert_array_equal(actual.loc[known, name], expected[known])


@pytest.mark.parametrize("step", [2, 5, 21])
def test_skipped_fitted_rows_count_as_missing(panel, extractor, step):
    whole = extractor.fit_transform(panel)
    with pytest.warns(HistoryWarning) as record:
        actual = extractor.transform(panel.iloc[::step])
    one_warning(record, "predict(prices).iloc[::21]")
    assert_right_or_missing(actual, whole)
    assert actual["A__log_return_1"].iloc[1:-60].isna().all()
    holed = panel.copy()
    kept = extractor.history_.tail.index
    unseen = ~panel.index.isin(panel.index[::step]) & ~panel.index.isin(kept)
    holed.loc[unseen] = np.nan
    expected = extractor.fit_transform(holed).iloc[::step]
    pd.testing.assert_frame_equal(actual, expected, check_freq=False)


def test_skipped_rows_that_were_kept_have_their_prices(panel, extractor):
    whole = extractor.fit_transform(panel)
    with pytest.warns(HistoryWarning) as record:
        actual = extractor.transform(panel.iloc[-60::21])
    one_warning(record, "skip 40 fitted rows")
    pd.testing.assert_frame_equal(actual, whole.iloc[-60::21], check_freq=False)


def test_fitted_rows_that_lead_into_later_ones(panel, extractor):
    whole = extractor.fit_transform(panel)
    extractor.fit(panel.iloc[:600])
    rows = [*range(560, 580), *range(600, 640)]
    with pytest.warns(HistoryWarning) as record:
        actual = extractor.transform(panel.iloc[rows])
    one_warning(record, "skip 20 fitted rows")
    pd.testing.assert_frame_equal(actual, whole.iloc[rows], check_freq=False)


@pytest.mark.parametrize("rows", [slice(600, None, 5), [600, 605], [600, 601, 640]])
def test_later_rows_that_skip_rows(panel, extractor, rows):
    whole = extractor.fit_transform(panel)
    extractor.fit(panel.iloc[:600])
    later = panel.iloc[rows]
    with pytest.warns(HistoryWarning) as record:
        actual = extractor.transform(later)
    one_warning(record, "must hold every row that follows")
    assert_right_or_missing(actual, whole)
    first = whole.iloc[[600]]
    pd.testing.assert_frame_equal(actual.iloc[[0]], first, check_freq=False)
    assert np.isnan(actual["A__log_return_1"].iloc[-1])


def test_a_hole_in_the_fitted_panel(panel, extractor):
    whole = extractor.fit_transform(panel)
    holed = panel.drop(panel.index[300:500])
    with pytest.warns(HistoryWarning) as record:
        actual = extractor.fit_transform(holed)
    before, after = (str(x).removesuffix(" 00:00:00") for x in panel.index[[299, 500]])
    one_warning(record, f"Got 1 gap, the first between {before} and {after};")
    assert_right_or_missing(actual, whole)
    assert np.isnan(actual["A__log_return_1"].iloc[300])
    assert np.isfinite(actual["A__log_return_1"].iloc[301])
    assert np.isnan(actual["A__log_return_21"].iloc[300:321]).all()
    again = extractor.transform(holed)
    pd.testing.assert_frame_equal(again, actual)


@pytest.mark.parametrize("cut", [200, 300, 301, 310, 400])
def test_history_is_the_same_around_a_hole(cut, extractor):
    panel = closes(pd.bdate_range("2020-01-01", periods=N_DATES))
    holed = panel.drop(panel.index[300:500])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HistoryWarning)
        whole = extractor.fit_transform(holed)
        extractor.fit(holed.iloc[:cut])
        later = extractor.transform(holed.iloc[cut:])
    pd.testing.assert_frame_equal(later, whole.iloc[cut:], check_freq=False)


def test_rows_inside_a_fitted_hole_do_not_adjoin_earlier_ones(extractor):
    panel = closes(pd.bdate_range("2020-01-01", periods=N_DATES))
    whole = extractor.fit_transform(panel)
    with pytest.warns(HistoryWarning):
        extractor.fit(panel.drop(panel.index[500:690]))
    actual = extractor.transform(panel.iloc[600:])
    assert np.isnan(actual["A__log_return_1"].iloc[0])
    assert_right_or_missing(actual, whole)


def test_a_step_that_skips_rows_is_part_of_the_cache_key(panel, extractor):
    extractor.fit(panel)
    with pytest.warns(HistoryWarning):
        extractor.transform(panel.iloc[-60::20])
    with pytest.warns(HistoryWarning):
        extractor.transform(panel.iloc[[-60, -40, -15, -1]])
    assert cache_info()[:2] == (0, 2)


days = pd.bdate_range("2000-01-03", "2002-06-28")
september = days[(days < "2001-09-11") | (days > "2001-09-14")]
crypto = pd.date_range("2000-01-01", periods=500, freq="D")


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(september, id="closure"),
        pytest.param(days.delete([4, 30, 95, 96, 200, 255, 256, 257]), id="holidays"),
        pytest.param(crypto.delete([100, 101, 102]), id="seven-days"),
        pytest.param(pd.date_range("2000-01-01", periods=90, freq="MS"), id="months"),
        pytest.param(days[::12], id="every-12th"),
        pytest.param(pd.date_range("2000-01-07", periods=90, freq="W-FRI"), id="weeks"),
        pytest.param(days.to_period("D"), id="periods"),
    ],
)
def test_usual_steps_are_no_holes(index, extractor):
    whole = extractor.fit_transform(closes(index))
    half = len(index) // 2
    extractor.fit(closes(index).iloc[:half])
    later = extractor.transform(closes(index).iloc[half:])
    assert extractor.transform(closes(index)).equals(whole)
    pd.testing.assert_frame_equal(later, whole.iloc[half:], check_freq=False)


def test_real_dates_have_no_holes(extractor):
    prices = load_sp500_dataset().iloc[:, :3]
    whole = extractor.fit_transform(prices)
    for cut in (300, 2000, 5000):
        later = extractor.fit(prices.iloc[:cut]).transform(prices.iloc[cut:])
        pd.testing.assert_frame_equal(later, whole.iloc[cut:], check_freq=False)
