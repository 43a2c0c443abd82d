"""The rows that `fit` keeps, and what happens when rows are missing."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skbatch import SharedFeatureExtractor
from skbatch.exceptions import HistoryWarning, PanelError, PanelWarning

N_DATES = 300


def closes(index, n_tickers=3):
    noise = np.random.default_rng(0).standard_normal((len(index), n_tickers))
    values = 50 * np.exp(np.cumsum(0.01 * noise, axis=0))
    return pd.DataFrame(values, index=index, columns=list("ABC")[:n_tickers])


@pytest.fixture
def panel():
    return closes(pd.bdate_range("2020-01-01", periods=N_DATES))


@pytest.fixture
def extractor():
    families = ["returns", "volatility", "trend", "market"]
    return SharedFeatureExtractor(families, windows=(5, 10, 21))


def test_one_new_row_is_enough(panel, extractor):
    whole = extractor.fit_transform(panel)
    row = extractor.fit(panel.iloc[:-1]).transform(panel.iloc[[-1]])
    pd.testing.assert_frame_equal(row, whole.iloc[[-1]], check_freq=False)
    assert extractor.lookback_ == 21


@pytest.mark.parametrize("first", [0, N_DATES - 63, N_DATES - 30, N_DATES - 1])
def test_fitted_rows_can_be_transformed_again(panel, extractor, first):
    whole = extractor.fit_transform(panel)
    rows = extractor.transform(panel.iloc[first:])
    pd.testing.assert_frame_equal(rows, whole.iloc[first:], check_freq=False)


def test_rows_whose_look_back_was_not_kept_say_what_to_pass(panel, extractor):
    whole = extractor.fit_transform(panel)
    with pytest.warns(HistoryWarning) as record:
        extractor.transform(panel.iloc[100:])
    assert len(record) == 1
    needed = panel.index[100 - extractor.lookback_]
    assert f"Pass the rows from {needed:%Y-%m-%d} on" in str(record[0].message)
    with pytest.warns(HistoryWarning):  # of the rows that are passed as look-back
        rows = extractor.transform(panel.loc[needed:]).loc[panel.index[100] :]
    pd.testing.assert_frame_equal(rows, whole.iloc[100:], check_freq=False)


def test_a_hole_counts_as_missing_rows(panel, extractor):
    before, after = panel.iloc[:250], panel.iloc[256:]
    holed = panel.copy()
    holed.iloc[250:256] = np.nan
    expected = extractor.fit_transform(holed).iloc[256:]
    extractor.fit(before)
    with pytest.warns(HistoryWarning) as record:
        actual = extractor.transform(after)
    assert len(record) == 1
    assert f"Pass the rows after {before.index[-1]:%Y-%m-%d}, too" in str(
        record[0].message
    )
    pd.testing.assert_frame_equal(actual, expected, check_freq=False)
    assert np.isnan(actual["A__log_return_1"].iloc[0])
    assert np.isfinite(actual["A__volatility_21"].iloc[0])


def split(dates, n_skipped, n_fitted=55):
    return dates[:n_fitted], dates[n_fitted + n_skipped :]


days = pd.bdate_range("2021-01-04", periods=60)
holiday = days.delete(30)
local = days.tz_localize("America/New_York")
hours = pd.date_range("2021-01-01", periods=60, freq="h")
squares = pd.Index(np.arange(60) ** 2)
halves = pd.Index(np.arange(60) / 2)


@pytest.mark.parametrize(
    ("fitted", "later", "is_hole"),
    [
        pytest.param(*split(days, 0), False, id="business-days"),
        pytest.param(*split(days, 1), True, id="business-days-hole"),
        pytest.param(*split(holiday, 1), False, id="holiday"),
        pytest.param(*split(holiday, 2), True, id="holiday-hole"),
        pytest.param(*split(local, 0), False, id="time-zone"),
        pytest.param(*split(local, 1), True, id="time-zone-hole"),
        pytest.param(days, days[-1:] + pd.Timedelta(days=4), True, id="over-weekend"),
        *(
            pytest.param(
                *split(pd.date_range("2021-01-01", periods=60, freq=freq), skipped),
                skipped > 0,
                id=f"{freq}{'-hole' * skipped}",
            )
            for freq in ("D", "W-FRI", "MS")
            for skipped in (0, 1)
        ),
        pytest.param(hours, hours[-1:] + pd.Timedelta(hours=1), False, id="hours"),
        pytest.param(hours, hours[-1:] + pd.Timedelta(days=8), True, id="hours-hole"),
        *(
            pytest.param(
                *split(pd.period_range("2021-01", periods=60, freq="M"), skipped),
                skipped > 0,
                id=f"periods{'-hole' * skipped}",
            )
            for skipped in (0, 1)
        ),
        pytest.param(*split(pd.RangeIndex(0, 60), 0), False, id="range"),
        pytest.param(*split(pd.RangeIndex(0, 60), 1), True, id="range-hole"),
        pytest.param(*split(pd.RangeIndex(7, 187, 3), 0), False, id="steps"),
        pytest.param(*split(pd.RangeIndex(7, 187, 3), 2), True, id="steps-hole"),
        pytest.param(squares, squares[-1:] + 117, False, id="integers"),
        pytest.param(squares, squares[-1:] + 118, True, id="integers-hole"),
        pytest.param(*split(halves, 0), False, id="floats"),
        pytest.param(*split(halves, 1), True, id="floats-hole"),
        pytest.param(days[:1], days[1:], False, id="one-row"),
    ],
)
@pytest.mark.filterwarnings("ignore:`X` must have")
def test_holes_are_seen_in_every_kind_of_index(fitted, later, is_hole, extractor):
    extractor.fit(closes(fitted))
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        extractor.transform(closes(later))
    assert [w.category for w in record] == [HistoryWarning] * is_hole


def test_a_hole_longer_than_the_look_back_leaves_no_history(panel, extractor):
    extractor.fit(panel.iloc[:100])
    with pytest.warns(HistoryWarning, match="Pass the rows after"):
        actual = extractor.transform(panel.iloc[200:])
    expected = extractor.fit_transform(panel.iloc[200:])
    pd.testing.assert_frame_equal(actual, expected, check_freq=False)


def test_a_hole_in_numbers_of_unknown_steps_leaves_no_history(extractor):
    index = pd.Index(np.arange(200) / 2)
    panel = closes(index)
    extractor.fit(panel.iloc[:100])
    with pytest.warns(HistoryWarning):
        actual = extractor.transform(panel.iloc[101:])
    pd.testing.assert_frame_equal(actual, extractor.fit_transform(panel.iloc[101:]))


def test_without_look_back_no_rows_are_missed(panel):
    extractor = SharedFeatureExtractor(
        [], functions={"level": lambda prices: prices.mean(axis=1)}
    )
    extractor.fit(panel.iloc[:100])
    assert len(extractor.history_.tail) == 0
    assert len(extractor.transform(panel.iloc[200:])) == 100


def test_rows_in_another_time_zone_are_the_same_rows(extractor):
    dates = pd.bdate_range("2020-01-01", periods=100, tz="America/New_York")
    panel = closes(dates + pd.Timedelta(hours=16))
    whole = extractor.fit_transform(panel)
    extractor.fit(panel.iloc[:60])
    abroad = panel.iloc[60:].tz_convert("Asia/Tokyo")
    actual = extractor.transform(abroad)
    assert actual.index.equals(abroad.index)
    np.testing.assert_array_equal(actual, whole.iloc[60:])


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_dates_of_another_resolution_are_the_same_dates(panel, extractor, unit):
    whole = extractor.fit_transform(panel)
    extractor.fit(panel.iloc[:200])
    later = panel.iloc[200:]
    later = later.set_axis(later.index.as_unit(unit), axis=0)
    np.testing.assert_array_equal(extractor.transform(later), whole.iloc[200:])


def test_arrays_follow_the_fitted_array_unless_they_are_it(extractor):
    values = closes(pd.RangeIndex(N_DATES)).to_numpy()
    whole = extractor.fit_transform(values)
    assert isinstance(whole, np.ndarray)
    assert whole.dtype == np.float32
    extractor.fit(values[:200])
    np.testing.assert_array_equal(extractor.transform(values[:200]), whole[:200])
    np.testing.assert_array_equal(extractor.transform(values[200:]), whole[200:])


@pytest.mark.parametrize("n_rows", [1, 10, 63])
def test_an_array_of_the_last_fitted_rows_is_recognised(extractor, n_rows):
    values = closes(pd.RangeIndex(N_DATES)).to_numpy(copy=True)
    values[-5, 1] = np.nan
    whole = extractor.fit_transform(values)
    np.testing.assert_array_equal(
        extractor.transform(values[-n_rows:]), whole[-n_rows:]
    )
    changed = values[-n_rows:].copy()
    changed[-1, 0] *= 1.01
    both = extractor.fit_transform(np.vstack([values, changed]))
    actual = extractor.fit(values).transform(changed)
    np.testing.assert_array_equal(actual, both[N_DATES:])


def test_an_array_of_more_last_rows_than_were_kept_lacks_its_look_back(extractor):
    values = closes(pd.RangeIndex(N_DATES)).to_numpy()
    whole = extractor.fit_transform(values)
    with pytest.warns(HistoryWarning, match="Pass the rows from 79 on"):
        actual = extractor.transform(values[100:])
    np.testing.assert_array_equal(actual[30:], whole[130:])


@pytest.mark.parametrize(
    "later",
    [
        np.ones((3, 3)),
        pd.DataFrame(1.0, index=range(3), columns=list("ABC")),
        closes(pd.period_range("2024-01-01", periods=3, freq="D")),
        closes(pd.bdate_range("2024-01-01", periods=3, tz="UTC")),
    ],
    ids=["array", "numbers", "periods", "time-zone"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_an_index_of_another_kind_is_an_error(panel, extractor, later):
    extractor.fit(panel)
    with pytest.raises(PanelError, match="as in `fit`"):
        extractor.transform(later)


def test_the_kept_rows_do_not_change_with_the_caller_s_panel(panel, extractor):
    whole = extractor.fit_transform(panel)
    mine = panel.iloc[:200].copy()
    extractor.fit(mine)
    mine.iloc[:] = 1.0
    np.testing.assert_array_equal(extractor.transform(panel.iloc[200:]), whole[200:])


def test_a_panel_shorter_than_the_longest_window_warns_once(panel):
    extractor = SharedFeatureExtractor(["returns"], windows=(5, 63))
    with pytest.warns(PanelWarning, match=r"64 rows for the full set.* Got 62") as w:
        extractor.fit(panel.iloc[:62])
    assert len(w) == 1
    extractor.fit(panel.iloc[:63])


def test_users_can_raise_the_look_back(panel):
    def slow(prices):
        return prices.rolling(120).mean()

    parameters = {"families": ["returns"], "windows": (5,), "functions": {"slow": slow}}
    whole = SharedFeatureExtractor(**parameters).fit_transform(panel)
    extractor = SharedFeatureExtractor(**parameters, lookback=119)
    later = extractor.fit(panel.iloc[:200]).transform(panel.iloc[200:])
    np.testing.assert_array_equal(later, whole.iloc[200:])
    short = SharedFeatureExtractor(**parameters).fit(panel.iloc[:200])
    assert short.transform(panel.iloc[200:])["A__slow"].isna().any()


@pytest.mark.parametrize("lookback", [20, 2.5, "all", -1, True])
def test_the_look_back_must_be_enough_for_the_features(panel, extractor, lookback):
    extractor.set_params(lookback=lookback)
    with pytest.raises(ValueError, match=r"lookback\W.* must be"):
        extractor.fit(panel)


def test_the_market_s_drawdown_has_its_first_return():
    index = pd.bdate_range("2020-01-01", periods=120)
    prices = pd.DataFrame({"A": np.linspace(9.0, 1.0, 120)}, index=index)
    plan = SharedFeatureExtractor(["market"], windows=(63,)).fit(prices).plan_
    looks = {feature.name: feature.lookback for feature in plan.features}
    assert looks["drawdown_63"] == 63  # as many returns, of one more price
