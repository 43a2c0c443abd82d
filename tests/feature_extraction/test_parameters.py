"""Families, windows, functions, market series and groups that users pass."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skbatch import SharedFeatureExtractor
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelError, PanelWarning
from skbatch.feature_extraction._additions import check_name
from skbatch.feature_extraction.engine import panel_columns
from skbatch.panel import split_column
from skbatch.panel.engine import PanelColumns, join_column


@pytest.fixture
def closes(ohlcv):
    return ohlcv["Close"].iloc[150:270]


def extract(panel, **parameters):
    parameters = {"families": ["returns"], "windows": (5,), **parameters}
    return SharedFeatureExtractor(**parameters).fit_transform(panel)


def names(frame):
    return list(dict.fromkeys(split_column(column)[1] for column in frame))


class TestFamiliesAndWindows:
    def test_columns_come_feature_by_feature_then_what_all_share(self, closes):
        frame = extract(closes[["T5", "T4"]], families=["returns", "calendar"])
        assert list(frame)[:4] == [
            "T5__log_return_1",
            "T4__log_return_1",
            "T5__log_return_5",
            "T4__log_return_5",
        ]
        assert list(frame)[4:] == [
            "market__day_of_week",
            "market__day_of_month",
            "market__days_to_month_end",
            "market__month",
            "market__days_since_last_row",
        ]

    @pytest.mark.parametrize("windows", [(3, 8), [8, 3], np.array([3, 8]), {3, 8}])
    def test_windows_come_in_increasing_order(self, closes, windows):
        expected = ["log_return_1", "log_return_3", "log_return_8"]
        assert names(extract(closes, windows=windows)) == expected

    def test_a_panel_of_closes_and_volumes_has_no_range_features(self, ohlcv):
        frame = SharedFeatureExtractor().fit_transform(ohlcv[["Close", "Volume"]])
        assert "dollar_volume_63" in names(frame)
        assert "rank_dollar_volume_63" in names(frame)
        assert "overnight_return" not in names(frame)

    def test_dates_decide_on_the_calendar(self, closes):
        plain = closes.reset_index(drop=True)
        frame = SharedFeatureExtractor(windows=(5,)).fit_transform(plain)
        assert "month" not in names(frame)

    @pytest.mark.parametrize(
        "windows", [(1,), (5, 5), (2.0,), 5, "21", (True, 5), None]
    )
    def test_bad_windows(self, closes, windows):
        with pytest.raises(ValueError, match="`windows` must be a sequence of unique"):
            extract(closes, windows=windows)

    def test_unknown_families_are_told_the_known_ones(self, closes):
        with pytest.raises(
            ValueError, match=r"'families' parameter .* Got \['trends'\]"
        ) as error:
            extract(closes, families=["trends"])
        assert "calendar" in str(error.value)

    @pytest.mark.parametrize(
        ("family", "lacking"),
        [("range", "open"), ("volume", "volume"), ("group", "groups")],
    )
    def test_a_family_that_the_panel_does_not_allow(self, closes, family, lacking):
        with pytest.raises(ValueError, match=f"Got '{family}' without {lacking}"):
            extract(closes, families=["returns", family])

    def test_no_feature_at_all(self, closes):
        with pytest.raises(ValueError, match="leave at least one feature"):
            extract(closes, families=[])

    @pytest.mark.parametrize("size", [-1, 0.5, "1 GB", None])
    def test_bad_cache_size(self, closes, size):
        with pytest.raises(ValueError, match=r"'cache_size' parameter .* an int in"):
            extract(closes, cache_size=size)


class TestFunctions:
    def test_a_frame_is_a_feature_of_each_ticker_a_series_of_all(self, closes):
        functions = {"squared": lambda p: p**2, "mean": lambda p: p.mean(axis=1)}
        frame = extract(closes, functions=functions)
        assert names(frame) == ["log_return_1", "log_return_5", "squared", "mean"]
        np.testing.assert_allclose(frame["T5__squared"], closes["T5"] ** 2, rtol=1e-6)
        expected = closes.mean(axis=1)
        np.testing.assert_allclose(frame["market__mean"], expected, rtol=1e-6)

    def test_a_function_sees_the_canonical_panel(self, ohlcv):
        lower = ohlcv.rename(columns=str.lower, level=0).swaplevel(axis=1)
        frame = extract(lower, functions={"spread": lambda p: p["High"] - p["Low"]})
        expected = ohlcv["High"]["T5"] - ohlcv["Low"]["T5"]
        np.testing.assert_allclose(frame["T5__spread"], expected, rtol=1e-5)

    def test_tickers_may_come_in_another_order(self, closes):
        frame = extract(closes, functions={"same": lambda p: p[p.columns[::-1]]})
        np.testing.assert_allclose(frame["T5__same"], closes["T5"], rtol=1e-6)

    def test_infinite_values_become_missing(self, closes):
        frame = extract(closes, functions={"big": lambda p: p * np.inf})
        assert frame["T5__big"].isna().all()
        frame = extract(closes, functions={"big": lambda p: p * 1e300})
        assert frame["T5__big"].isna().all()

    def test_a_function_cannot_change_the_panel(self, closes):
        def rude(panel):
            panel.iloc[:, :] = 1.0
            return panel

        before = closes.copy()
        frame = extract(closes, functions={"rude": rude, "level": lambda p: p})
        pd.testing.assert_frame_equal(closes, before)
        np.testing.assert_allclose(frame["T5__level"], closes["T5"], rtol=1e-6)

    @pytest.mark.parametrize(
        ("function", "match"),
        [
            (lambda p: p.to_numpy(), "must return a DataFrame .* Got ndarray"),
            (lambda p: p.iloc[1:], "one row for each row"),
            (lambda p: p.reset_index(drop=True), "or other dates"),
            (lambda p: p.iloc[:, 1:], "one column for each of the 8 tickers"),
            (lambda p: p.add_prefix("x"), "one column for each"),
            (lambda p: p.astype(str) + "?", "must return numbers"),
        ],
    )
    def test_what_a_function_must_not_return(self, closes, function, match):
        with pytest.raises(PanelError, match=rf"functions\['bad'\].*{match}"):
            extract(closes, functions={"bad": function})

    def test_the_kind_of_result_must_stay(self, closes):
        def fickle(panel):
            return panel if len(panel) > 50 else panel.iloc[:, 0]

        model = SharedFeatureExtractor(["returns"], (5,), {"fickle": fickle})
        model.fit(closes.iloc[:60])
        with pytest.raises(PanelError, match="always return the same kind"):
            model.transform(closes.iloc[60:70])

    @pytest.mark.parametrize("name", ["a__b", "", " ", 3, None, "_f"])
    def test_names_of_functions(self, closes, name):
        with pytest.raises(ValueError, match="Names in `functions` must be"):
            extract(closes, functions={name: lambda p: p})

    @pytest.mark.parametrize("functions", [[len], "mean", len])
    def test_functions_must_be_a_dict(self, closes, functions):
        with pytest.raises(ValueError, match="`functions` must be a dict"):
            extract(closes, functions=functions)

    def test_functions_must_be_callable(self, closes):
        with pytest.raises(ValueError, match="must be callable"):
            extract(closes, functions={"level": 3})

    def test_a_built_in_name_is_taken(self, closes):
        with pytest.raises(ValueError, match="Got log_return_5 twice"):
            extract(closes, functions={"log_return_5": lambda p: p})


class TestMarketData:
    def test_the_latest_value_at_or_before_each_date(self, closes):
        dates = closes.index
        index = [dates[2] - pd.Timedelta(hours=5), dates[10], dates[20], dates[-1]]
        vix = pd.Series([1.0, 2.0, np.nan, 9.0], index=index, name="vix")
        frame = extract(closes, market_data=vix)
        expected = pd.Series(np.nan, dates)
        expected[2:10], expected[10:-1], expected.iloc[-1] = 1.0, 2.0, 9.0
        np.testing.assert_array_equal(frame["market__vix"], expected)

    def test_several_series_and_infinite_values(self, closes):
        data = pd.DataFrame({"a": np.inf, "b": 4}, index=closes.index[:1])
        frame = extract(closes, market_data=data)
        assert frame["market__a"].isna().all()
        assert (frame["market__b"] == 4).all()

    def test_newer_values_can_be_set_without_a_new_fit(self, closes):
        vix = pd.Series(np.arange(120.0), index=closes.index, name="vix")
        model = SharedFeatureExtractor(["returns"], (5,), market_data=vix.iloc[:60])
        model.fit(closes.iloc[:60])
        with pytest.warns(PanelWarning, match="Set newer ones with `set_params`"):
            stale = model.transform(closes.iloc[60:])["market__vix"]
        assert (stale == 59).all()
        fresh = model.set_params(market_data=vix).transform(closes.iloc[60:])
        np.testing.assert_array_equal(fresh["market__vix"], vix.iloc[60:])
        with pytest.raises(ValueError, match="must have the columns seen in `fit`"):
            model.set_params(market_data=vix.rename("vvix")).transform(closes)

    @pytest.mark.parametrize(
        ("every", "n_late", "is_stale"),
        [(1, 3, False), (1, 12, True), (21, 60, False), (5, 60, True)],
    )
    @pytest.mark.parametrize("kind", ["dates", "periods", "numbers"])
    def test_series_that_end_long_before_the_panel(
        self, closes, kind, every, n_late, is_stale
    ):
        if kind == "periods":
            closes = closes.to_period("D")
        elif kind == "numbers":
            closes = closes.reset_index(drop=True)
        ends = len(closes) - n_late
        vix = pd.Series(1.0, index=closes.index[:ends:every])
        data = pd.DataFrame({"vix": vix, "old": vix, "constant": vix.iloc[:1]})
        data = data.reindex(closes.index)  # missing values are not known ones
        model = SharedFeatureExtractor(["returns"], (5,), market_data=data)
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            frame = model.fit_transform(closes)
        assert (frame["market__vix"] == 1.0).all()
        assert [w.category for w in record] == [PanelWarning] * is_stale
        if is_stale:
            message = str(record[0].message)
            last = str(vix.index[-1]).removesuffix(" 00:00:00")
            assert f"values up to {last} for vix, old" in message

    def test_an_array_is_joined_by_row_number(self, closes):
        values = closes[["T4", "T5"]].to_numpy()
        step = pd.Series([1.0, 2.0], index=[0, 70], name="step")
        model = SharedFeatureExtractor(["returns"], (5,), market_data=step)
        assert model.fit(values[:60]).transform(values[60:])[:, -1].tolist() == (
            [1.0] * 10 + [2.0] * 50
        )

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda s: s.iloc[::-1], "increasing, unique dates"),
            (lambda s: pd.concat([s, s]).sort_index(), "increasing, unique dates"),
            (lambda s: s.reset_index(drop=True), "the same kind of index as the panel"),
            (lambda s: s.tz_localize("UTC"), "dates with time zone"),
            (lambda s: s.to_period("D"), "periods"),
            (lambda s: s.rename(None), "Names in `market_data`"),
            (lambda s: s.rename("a__b"), "Names in `market_data`"),
            (lambda s: s.rename("_vix"), "without a leading '_'"),
            (lambda s: s.rename("log_return_5"), "Got log_return_5 twice"),
            (lambda s: s.astype(str) + "?", "must hold numbers"),
            (lambda s: s.to_numpy(), "must be a DataFrame or Series"),
        ],
    )
    def test_bad_series(self, closes, change, match):
        vix = change(pd.Series(1.0, index=closes.index, name="vix"))
        with pytest.raises(ValueError, match=match):
            extract(closes, market_data=vix, families=["market"])


@given(ticker=st.text("A_. é1"), name=st.text("ab_ 1", min_size=1))
@example(ticker="A", name="_f")
@example(ticker="A__", name="f_")
def test_accepted_names_can_be_split_off(ticker, name):
    try:
        check_name(name, "functions")
    except ValueError:
        return
    assert split_column(join_column(ticker, name)) == (ticker, name)


class TestGroups:
    def test_the_others_of_a_group_decide(self, closes, groups):
        parameters = {"families": ["group"], "cache_size": 0}
        frame = extract(closes, groups=groups, **parameters)
        pd.testing.assert_frame_equal(
            extract(closes, groups=pd.Series(groups), **parameters), frame
        )
        assert frame["T7__group_log_return_5"].isna().all()  # it has no group
        assert frame["T6__group_rank_log_return_5"].isna().all()  # it is alone
        assert (frame["T6__group_log_return_5"].dropna() == 0).all()
        other = closes.copy()
        other["T6"] *= np.linspace(1, 2, len(other))
        again = extract(other, groups=groups, **parameters)
        same = [name for name in frame if not name.startswith("T6__")]
        pd.testing.assert_frame_equal(again[same], frame[same])

    def test_tickers_outside_the_panel_are_ignored(self, closes, groups):
        frame = extract(closes, groups=groups, families=None)
        more = extract(closes, groups={**groups, "OTHER": "x"}, families=None)
        pd.testing.assert_frame_equal(more, frame)

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
    def test_a_missing_group_is_no_group(self, closes, groups, missing):
        parameters = {"families": ["group"]}
        frame = extract(closes, groups={**groups, "T5": missing}, **parameters)
        assert frame["T5__group_log_return_5"].isna().all()

    @pytest.mark.parametrize(
        ("bad", "match"),
        [
            (7, "must be a dict or Series"),
            ({"AAPL": "tech"}, "some of the panel's tickers. Got groups of AAPL"),
            ({}, "some of the panel's tickers"),
            (pd.Series(["x", "y"], index=["T0", "T0"]), "every ticker once"),
        ],
    )
    def test_bad_groups(self, closes, bad, match):
        with pytest.raises(ValueError, match=match):
            extract(closes, groups=bad)


class TestBadPanels:
    def test_a_single_ticker_has_no_rank(self, closes):
        frame = SharedFeatureExtractor(windows=(5, 21, 63)).fit_transform(
            closes[["T5"]]
        )
        assert frame["T5__rank_log_return_5"].isna().all()
        assert frame["T5__volatility_21"].notna().any()
        assert frame["market__average_correlation_63"].isna().all()

    @pytest.mark.filterwarnings("ignore:`X` must have 252 rows")
    def test_a_single_row(self, closes):
        frame = SharedFeatureExtractor(["returns"]).fit_transform(
            closes[["T5"]].iloc[[0]]
        )
        assert frame.shape[0] == 1
        assert frame.isna().to_numpy().all()

    def test_columns_must_be_those_of_fit(self, ohlcv, closes):
        model = SharedFeatureExtractor(["returns"], (5,)).fit(closes)
        with pytest.raises(ValueError, match="must be in the same order"):
            model.transform(closes.iloc[:, ::-1])
        with pytest.raises(
            ValueError, match="Feature names unseen at fit time:\n- NEW"
        ):
            model.transform(closes.rename(columns={"T3": "NEW"}))
        with pytest.raises(ValueError, match="Feature names"):
            model.transform(ohlcv)
        with pytest.raises(ValueError, match="is expecting 8 features"):
            model.fit(closes.to_numpy()).transform(closes.to_numpy()[:, :7])

    def test_fields_must_be_those_of_fit(self, ohlcv):
        model = SharedFeatureExtractor(["returns"], (5,)).fit(ohlcv)
        assert model.feature_names_in_[0] == "T0__Open"
        with pytest.raises(ValueError, match="seen at fit time, yet now missing"):
            model.transform(ohlcv[["Close", "Volume"]])
        shuffled = ohlcv.swaplevel(axis=1).iloc[:, ::-1]
        with pytest.raises(ValueError, match="must be in the same order"):
            model.transform(shuffled)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"families": ["market"]},
        {"families": ["returns"], "universe": lambda prices: prices.notna()},
        {"functions": {"level": lambda panel: panel, "mean": lambda p: p.mean(axis=1)}},
    ],
    ids=["default", "market", "universe", "functions"],
)
def test_the_structure_of_the_columns_is_that_of_their_names(options):
    prices = make_panel(300, 3, random_state=0).add_suffix("__B")
    extractor = SharedFeatureExtractor(**options).fit(prices)
    expected = PanelColumns.parse(extractor.get_feature_names_out())
    found = panel_columns(extractor)
    assert vars(found).keys() == vars(expected).keys()
    for name, value in vars(expected).items():
        own = getattr(found, name)
        assert type(own) is type(value)
        if name == "marks":
            assert own.keys() == value.keys()
            own, value = [*own.values()], [*value.values()]
        np.testing.assert_array_equal(own, value, strict=name != "marks")
