"""Several groupings, tables of dates, signals as groups, and comparisons of all."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, zscore

from skbatch import SharedFeatureExtractor
from skbatch._kernels.cross_section import by_group, centred_rank, row_mean

FIXED = {"families": ["returns", "group"], "windows": (5, 21, 63)}


@pytest.fixture(scope="module")
def closes(make_ohlcv):
    return make_ohlcv(8, n_dates=150)["Close"]


@pytest.fixture(scope="module")
def table(closes):
    """Groups that change halfway; one ticker has none at first."""
    dates = closes.index[[0, 70]]
    return pd.DataFrame(
        [[*list("xxyyxy"), None, "y"], list("xyxyxyxy")], dates, closes.columns
    )


def features(closes, names=None, **parameters):
    extractor = SharedFeatureExtractor(**{**FIXED, **parameters}, cache_size=0)
    frame = extractor.fit_transform(closes)
    return frame if names is None else frame[[f"{t}__{names}" for t in closes]]


def test_named_groupings_are_those_given_alone(closes, groups):
    other = dict(zip(closes, "ababababab", strict=False))
    both = features(closes, groups={"sector": groups, "country": other})
    for name, alone in (("sector", groups), ("country", other)):
        for feature in ("log_return_5", "volatility_63", "rank_log_return_21"):
            expected = features(closes, f"group_{feature}", groups=alone)
            actual = both[[f"{t}__{name}_{feature}" for t in closes]]
            np.testing.assert_array_equal(actual, expected)
    assert not any("__group_" in name for name in both)


def test_a_table_gives_the_groups_of_each_date(closes, table):
    actual = features(closes, "group_rank_log_return_5", groups=table)
    for rows, number in ((slice(0, 70), 0), (slice(70, None), 1)):
        expected = features(
            closes, "group_rank_log_return_5", groups=table.iloc[number].to_dict()
        )
        np.testing.assert_array_equal(actual.iloc[rows], expected.iloc[rows])
    assert actual["T6__group_rank_log_return_5"].iloc[:70].isna().all()


def test_a_signal_gives_the_groups_of_each_date(closes, table):
    joined = table.reindex(closes.index, method="ffill")
    panel = pd.concat({"Close": closes, "sector": joined}, axis=1)
    expected = features(closes, groups={"sector": table})
    for chosen in ("sector", ["sector"], {"sector": "sector", "other": table}):
        actual = features(panel, groups=chosen, signals=[])
        np.testing.assert_array_equal(actual[list(expected)], expected)


def test_values_before_a_table_have_no_group(closes, table):
    late = features(closes, "group_log_return_5", groups=table.iloc[1:])
    assert late.iloc[:70].isna().all(axis=None)
    assert late.iloc[70:].notna().any(axis=None)


def test_later_rows_have_the_groups_of_their_dates(closes, table):
    extractor = SharedFeatureExtractor(**FIXED, groups={"sector": table})
    whole = extractor.fit_transform(closes)
    later = extractor.fit(closes.iloc[:75]).transform(closes.iloc[75:])
    np.testing.assert_array_equal(later, whole.iloc[75:])
    blocks = extractor.transform_blocks(closes, block_rows=33)
    np.testing.assert_array_equal(pd.concat(blocks), whole)


def test_other_groups_are_not_looked_up_in_the_cache(closes, table):
    frames = [
        SharedFeatureExtractor(**FIXED, groups=t).fit_transform(closes)
        for t in (table, table.iloc[::-1].set_axis(table.index))
    ]
    assert not frames[0].equals(frames[1])


@given(
    st.integers(1, 6), st.integers(1, 9), st.integers(0, 4), st.integers(0, 2**32 - 1)
)
@settings(max_examples=40)
def test_groups_of_cells_are_compared_row_by_row(n_rows, n_tickers, n_groups, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (n_rows, n_tickers)).astype(float)
    values[rng.random(values.shape) < 0.2] = np.nan
    codes = rng.integers(-1, n_groups + 1, values.shape)
    for statistic in (centred_rank, row_mean):
        actual = by_group(statistic, values, codes)
        for row in range(n_rows):
            expected = by_group(statistic, values[row : row + 1], codes[row])
            np.testing.assert_array_equal(actual[row : row + 1], expected)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ("sector", "Got 'sector', the panel has no signals"),
        ({"sector": {"AAPL": "x"}, "b": {"T0": "x"}}, "Got groups of AAPL"),
        ({"a__b": {"T0": "x"}}, "without '__'"),
        ({"rank": {"T0": "x"}}, "Got rank_log_return_21, rank_log_return_5, .* twice"),
        (pd.DataFrame({"AAPL": ["x"]}, pd.to_datetime(["2014-01-01"])), "of AAPL"),
        (pd.DataFrame({"T0": ["x"]}), "kind of index as the panel"),
    ],
)
def test_bad_groupings(closes, bad, match):
    with pytest.raises(ValueError, match=match):
        features(closes, families=["returns", "group", "rank"], groups=bad)


# ------------------------------------------------------------- cross_section


def by_row(values, statistic):
    """Compute a statistic of the finite values of each row, one by one."""
    out = np.full(values.shape, np.nan)
    for place, row in enumerate(values.astype(float)):
        known = np.isfinite(row)
        out[place, known] = statistic(row[known])
    return out


@pytest.mark.parametrize(
    ("chosen", "statistic"),
    [
        ("rank", lambda v: (rankdata(v) - 1) / max(len(v) - 1, 1) - 0.5),
        ("zscore", lambda v: np.clip(zscore(v, ddof=1), -3, 3)),
    ],
)
def test_features_are_compared_as_scipy_does(closes, chosen, statistic):
    families = ["returns", "volatility", "relative"]
    plain = features(closes, families=families)
    compared = features(closes, families=families, cross_section=chosen)
    assert list(compared) == list(plain)
    for name in ("log_return_5", "momentum_63", "relative_strength_21"):
        columns = [f"{t}__{name}" for t in closes]
        values = plain[columns].to_numpy()
        rows = np.isfinite(values).sum(axis=1) > 1
        expected = by_row(values[rows], statistic)
        np.testing.assert_allclose(
            compared[columns].to_numpy()[rows], expected, rtol=1e-4, atol=1e-5
        )


def test_what_scales_labels_and_what_is_shared_stays_as_it_is(make_ohlcv, groups):
    panel = make_ohlcv(8, n_dates=150)
    chosen = {"families": None, "groups": groups}
    plain = features(panel, **chosen)
    compared = features(panel, **chosen, cross_section="group_zscore")
    scales = ("volatility_", "beta_", "idiosyncratic_", "parkinson_")
    for column, values in plain.items():
        ticker, _, name = column.partition("__")
        stays = ticker == "market" or name.startswith((*scales, "rank_", "group_"))
        if stays:
            assert values.equals(compared[column]), column
        elif ticker == "T7":  # without a group
            assert compared[column].isna().all()
        elif values.notna().any() and ticker != "T6":  # alone in its group
            assert not values.equals(compared[column]), column


def test_functions_are_compared_too(closes):
    functions = {"level": lambda panel: panel}
    families = {"families": ["returns"], "functions": functions}
    frame = features(closes, "level", **families, cross_section="rank")
    np.testing.assert_allclose(frame, centred_rank(closes.to_numpy()), atol=1e-7)


@pytest.mark.parametrize("bad", ["ranks", "gap", "sector_rank", 7])
def test_bad_comparisons(closes, bad):
    with pytest.raises(ValueError, match="`cross_section` must be None or among rank"):
        features(closes, cross_section=bad)


def test_members_are_compared_with_members_only(closes, groups):
    members = pd.DataFrame(True, closes.index[:1], closes.columns)
    members["T7"] = False
    options = {"groups": groups, "universe": members, "cross_section": "group_rank"}
    options["functions"] = {"level": lambda panel: panel}
    actual = features(closes, **options)
    assert actual.filter(like="T7__").isna().all(axis=None)
    inside = closes.drop(columns="T7")
    expected = features(inside, **{**options, "universe": None})
    np.testing.assert_array_equal(actual[list(expected)], expected)
