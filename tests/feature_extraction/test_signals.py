"""Features made of signals: what they are, and that they follow the panel's rows."""

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skbatch import SharedFeatureExtractor
from skbatch.exceptions import PanelWarning
from skbatch.feature_extraction import cache_info
from skbatch.panel import check_panel
from skbatch.panel.engine import PanelColumns

SMALL = {"families": ["returns"], "windows": (2, 5, 8)}
pytestmark = pytest.mark.filterwarnings("ignore:Tickers must have prices")


def with_signals(panel, seed=0):
    """Join a signal with gaps, a bool, and a category that changes, to a panel."""
    rng = np.random.default_rng(seed)
    close = panel["Close"]
    earnings = pd.DataFrame(
        rng.standard_normal(close.shape), close.index, close.columns
    )
    earnings = earnings.round(1).where(rng.random(close.shape) > 0.3)
    names = rng.choice(["tech", "energy", "banks"], size=(4, close.shape[1]))
    sector = pd.DataFrame(
        np.repeat(names, -(-len(close) // 4), axis=0)[: len(close)],
        close.index,
        close.columns,
    ).where(rng.random(close.shape) > 0.1)
    flag = earnings.fillna(0) > 0
    signals = {"earnings": earnings, "flag": flag, "sector": sector}
    return pd.concat([panel, pd.concat(signals, axis=1)], axis=1)


@pytest.fixture(scope="module")
def panel(make_ohlcv):
    return with_signals(make_ohlcv(4, n_dates=160))


def part(frame, name):
    """Take one feature of all tickers, with the tickers as columns."""
    tickers = PanelColumns.parse(frame.columns).tickers
    return frame[[f"{t}__{name}" for t in tickers]].set_axis(tickers, axis=1)


def rank(values):
    number = values.count(axis=1)
    ranks = values.rank(axis=1) - 1
    return ranks.div(number.where(number > 1) - 1, axis=0) - 0.5


def within(values, sectors, statistic):
    """Compute a statistic of each sector's tickers, date by date."""
    out = values * np.nan
    for date, row in values.loc[sectors.index].iterrows():
        for name in sectors.loc[date].dropna().unique():
            own = row[sectors.loc[date] == name]
            out.loc[date, own.index] = statistic(own.to_frame().T).iloc[0]
    return out


def cells(frame):
    return frame.to_numpy().view(np.uint32)


def test_features_are_those_of_pandas(panel):
    kinds = ["value", "rank", "change_5", "zscore", "gap", "sector_rank", "sector_gap"]
    extractor = SharedFeatureExtractor(
        **SMALL, signals={"earnings": kinds}, groups="sector"
    )
    frame = extractor.fit_transform(panel)
    there = panel["Close"].notna()
    value, sectors = panel["earnings"].where(there), panel["sector"].tail(40)
    gap, deviation = value.sub(value.mean(axis=1), axis=0), value.std(axis=1)
    score = gap.div(deviation, axis=0).where(deviation != 0, 0 * gap)  # all are equal
    expected = {
        "earnings": value,
        "earnings_rank": rank(value),
        "earnings_change_5": value - panel["earnings"].shift(5),
        "earnings_zscore": score.clip(-3, 3),
        "earnings_gap": gap,
        "earnings_sector_rank": within(value, sectors, rank),
        "earnings_sector_gap": within(
            value, sectors, lambda row: row.sub(row.mean(axis=1), axis=0)
        ),
    }
    names = list(PanelColumns.parse(frame.columns).features)
    assert names[-len(expected) :] == list(expected)
    for name, values in expected.items():
        values = values.tail(40)
        assert values.notna().to_numpy().mean() > 0.3
        actual = part(frame, name).tail(40)
        np.testing.assert_allclose(actual, values, rtol=1e-5, atol=1e-6)


def test_the_default_is_value_rank_and_change(panel):
    extractor = SharedFeatureExtractor(**SMALL).fit(panel)
    assert extractor.plan_.ticker_names[-5:] == [
        "earnings",
        "earnings_rank",
        "earnings_change_5",
        "flag",
        "sector_category",
    ]
    for none in ({}, []):
        names = clone(extractor).set_params(signals=none).fit(panel).plan_.signals
        assert names == ()
    named = clone(extractor).set_params(signals=["flag"]).fit(panel)
    assert named.plan_.ticker_names[-1] == "flag"
    assert len(named.plan_.signals) == 1


def test_a_change_raises_the_look_back(panel):
    extractor = SharedFeatureExtractor(**SMALL, signals={"earnings": "change_40"})
    assert extractor.fit(panel).lookback_ == 40
    wanted = extractor.transform(panel)
    later = extractor.fit(panel.iloc[:120]).transform(panel.iloc[120:])
    np.testing.assert_array_equal(cells(later), cells(wanted.iloc[120:]))


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(20, 159))
@settings(max_examples=8)
def test_later_rows_see_the_history_of_signals(seed, cut, make_ohlcv):
    panel = with_signals(make_ohlcv(seed, n_dates=160), seed)
    # Every category is seen before the cut, as one that is not has no code.
    panel.loc[panel.index[:3], ("sector", "T4")] = ["energy", "banks", "tech"]
    model = SharedFeatureExtractor(
        **SMALL, cache_size=0, groups="sector", cross_section="sector_zscore"
    )
    whole = model.fit_transform(panel)
    blocks = pd.concat(model.transform_blocks(panel, block_rows=37))
    np.testing.assert_array_equal(cells(blocks), cells(whole))
    model.fit(panel.iloc[:cut])
    np.testing.assert_array_equal(
        cells(model.transform(panel.iloc[cut:])), cells(whole.iloc[cut:])
    )
    last = model.transform(panel.iloc[cut : cut + 1])
    np.testing.assert_array_equal(cells(last), cells(whole.iloc[cut : cut + 1]))


@given(seed=st.integers(0, 2**32 - 1), last=st.integers(9, 158))
@settings(max_examples=5)
def test_signals_do_not_depend_on_later_rows(seed, last, make_ohlcv):
    panel = with_signals(make_ohlcv(seed, n_dates=160), seed)
    other = with_signals(make_ohlcv(seed, n_dates=160), seed + 1)
    other.iloc[: last + 1] = panel.iloc[: last + 1]
    model = SharedFeatureExtractor(**SMALL, groups=["sector"], cross_section="rank")
    names = model.fit(panel.iloc[: last + 1]).plan_.columns()
    expected = model.transform(panel.iloc[: last + 1])
    actual = clone(model).fit_transform(other)[names].iloc[: last + 1]
    np.testing.assert_array_equal(cells(actual), cells(expected))


def test_own_values_do_not_depend_on_other_tickers(panel):
    other = panel.copy()
    for name in ("Close", "earnings", "sector"):
        other[name, "T4"] = panel[name, "T5"].to_numpy()
    frames = [SharedFeatureExtractor(**SMALL).fit_transform(X) for X in (panel, other)]
    for name in ("earnings", "earnings_change_5", "flag"):
        first, second = (part(f, name).drop(columns="T4") for f in frames)
        np.testing.assert_array_equal(cells(first), cells(second))


def test_a_ticker_without_a_price_has_no_features_of_signals(panel):
    frame = SharedFeatureExtractor(**SMALL).fit_transform(panel)
    gone = panel["Close"].isna()
    assert (gone & panel["earnings"].notna()).any(axis=None)
    for name in ("earnings", "earnings_rank", "earnings_change_5", "sector_category"):
        assert part(frame, name).where(gone).isna().all(axis=None)


def test_categories_keep_the_codes_of_fit(panel):
    model = SharedFeatureExtractor(**SMALL).fit(panel.iloc[:100])
    seen = pd.unique(panel["sector"].iloc[:100].stack().dropna())
    assert set(model.categories_["sector"]) == set(seen)
    frame = model.transform(panel)
    codes = part(frame, "sector_category")
    places = {name: place for place, name in enumerate(model.categories_["sector"])}
    expected = panel["sector"].where(panel["Close"].notna()).map(places.get)
    np.testing.assert_array_equal(codes, expected.astype(float))
    assert PanelColumns.parse(frame.columns).categories == ("sector_category",)


def test_categories_not_seen_in_fit_are_missing_and_raise_one_warning(panel):
    model = SharedFeatureExtractor(**SMALL).fit(panel.iloc[:100])
    later = panel.iloc[100:].copy()
    later["sector", "T4"], later["sector", "T5"] = "mines", "farms"
    message = r"Got sector 'farms', sector 'mines', which are treated as missing"
    with pytest.warns(PanelWarning, match=message) as caught:
        codes = part(model.transform(later), "sector_category")
    assert len(caught) == 1
    assert codes[["T4", "T5"]].isna().all(axis=None)
    assert codes["T6"].notna().any()


def test_a_changed_signal_is_not_looked_up_in_the_cache(panel):
    model = SharedFeatureExtractor(**SMALL)
    first = model.fit_transform(panel)
    model.fit_transform(panel)
    assert cache_info().hits == 1
    changed = panel.copy()
    changed.loc[changed.index[50], ("earnings", "T4")] = 99.0
    second = model.fit_transform(changed)
    assert cache_info().hits == 1
    assert second["T4__earnings"].iloc[50] == 99.0
    assert first["T4__earnings"].iloc[50] != 99.0


def test_names_alike_of_other_signals_are_not_mixed_up_in_the_cache(panel):
    """``a_rank`` may be the rank of a, or a signal of that name."""
    close, earnings = panel[["Close"]], panel["earnings"]
    signals = pd.concat({"a": earnings, "a_rank": 100 * earnings}, axis=1)
    X = pd.concat([close, signals], axis=1)
    ranks = SharedFeatureExtractor(**SMALL, signals={"a": ["rank"]}).fit_transform(X)
    values = SharedFeatureExtractor(**SMALL, signals={"a_rank": ["value"]})
    assert list(ranks) == list(values.fit_transform(X))
    assert values.transform(X)["T4__a_rank"].max() > ranks["T4__a_rank"].max()
    with pytest.raises(ValueError, match="Got a_rank twice"):
        SharedFeatureExtractor(**SMALL).fit(X)


def test_signals_survive_a_file(panel, tmp_path):
    model = SharedFeatureExtractor(**SMALL, groups=["sector"]).fit(panel.iloc[:100])
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    later = panel.iloc[100:]
    np.testing.assert_array_equal(
        cells(again.transform(later)), cells(model.transform(later))
    )


@pytest.mark.parametrize(
    ("signals", "match"),
    [
        ({"earning": ["value"]}, "Got 'earning', the panel has earnings, flag, sector"),
        ({"Close": ["value"]}, "Got 'Close'"),
        ({"earnings": ["ranks"]}, r"among value, change_N .* Got 'ranks'"),
        ({"earnings": ["change_0"]}, "Got 'change_0'"),
        ({"earnings": ["country_rank"]}, "Got 'country_rank'"),
        ({"earnings": ["category"]}, "Got 'category'"),
        ({"sector": ["rank"]}, "must be category or one_hot"),
        ({"earnings": ["one_hot"]}, "neither for numbers"),
        ("earnings", "must be a dict"),
        (7, "must be a dict"),
    ],
)
def test_bad_signals(panel, signals, match):
    with pytest.raises(ValueError, match=match):
        SharedFeatureExtractor(**SMALL, signals=signals).fit(panel)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("log_return_5", "Got log_return_5 twice"),
        ("_odd", "without a leading '_'"),
        ("size_category", "Got 'size_category'"),
    ],
)
def test_bad_names_of_signals(panel, name, match):
    renamed = panel.rename(columns={"earnings": name}, level=0)
    with pytest.raises(ValueError, match=match):
        SharedFeatureExtractor(**SMALL).fit(renamed)


def test_a_checked_panel_has_the_same_features(panel):
    checked = check_panel(panel)
    model = SharedFeatureExtractor(**SMALL, groups="sector")
    np.testing.assert_array_equal(
        cells(model.fit_transform(checked)), cells(model.fit_transform(panel))
    )


def test_categories_of_a_slice_are_those_that_it_holds(panel):
    """A panel of pandas categories keeps those of rows that were cut off."""
    sector = panel["sector"].astype(
        pd.CategoricalDtype(["zzz", "energy", "banks", "tech"])
    )
    X = pd.concat({"Close": panel["Close"], "sector": sector}, axis=1)
    model = SharedFeatureExtractor(**SMALL).fit(X)
    assert "zzz" not in model.categories_["sector"]
    text = SharedFeatureExtractor(**SMALL).fit(
        panel.drop(columns=["earnings", "flag"], level=0)
    )
    assert set(text.categories_["sector"]) == set(model.categories_["sector"])


def test_missing_signals_are_named_with_when_they_were_known(panel):
    panel = panel.copy()
    signals = panel.iloc[-60:].copy()
    panel.loc[panel.index[-8:], ("earnings", "T4")] = np.nan
    panel.loc[panel.index[-9], ("earnings", "T4")] = 0.5
    panel.loc[panel.index[-80:], ("earnings", "T5")] = np.nan
    panel.loc[panel.index[-1], ("Close", ["T4", "T5", "T6"])] = 9.0
    panel.loc[panel.index[-1], ("earnings", "T6")] = 1.0
    panel.loc[panel.index[-1], ("sector", slice(None))] = "tech"
    panel.loc[panel.index[-1], ("Close", "T7")] = np.nan
    panel.loc[panel.index[-1], ("earnings", "T7")] = np.nan
    model = SharedFeatureExtractor(**SMALL).fit(panel.iloc[:-5])
    kept = len(model.history_.tail) + 5
    missing = model.missing_signals(panel.iloc[-5:])
    assert missing["T4"] == "no earnings (last known 8 rows ago)"
    assert missing["T5"] == f"no earnings in the last {kept} rows"
    assert not {"T6", "T7"} & set(missing)
    assert (
        SharedFeatureExtractor(**SMALL, signals=[]).fit(panel).missing_signals(signals)
        == {}
    )


def test_one_hot_columns_mark_the_bearers_of_a_category(panel):
    model = SharedFeatureExtractor(**SMALL, signals={"sector": ["one_hot", "category"]})
    frame = model.fit_transform(panel)
    known = panel["sector"].notna() & panel["Close"].notna()
    for name in model.categories_["sector"]:
        expected = (panel["sector"] == name).astype(float).where(known)
        np.testing.assert_array_equal(part(frame, f"sector_{name}"), expected)
    assert "T4__sector_category" in frame
