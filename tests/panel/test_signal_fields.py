"""Fields beside prices are signals, and stay what they are."""

import re

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from skbatch.exceptions import PanelError, PanelWarning
from skbatch.panel import check_panel, read_panel
from skbatch.panel.engine import (
    CheckedPanel,
    inspect_panel,
    panel_fields,
    panel_signals,
    panel_tickers,
)

INDEX = pd.bdate_range("2024-01-01", periods=4)
CLOSES = pd.DataFrame(
    [[9.0, 4.0], [8.0, 5.0], [9.5, 4.5], [7.0, 6.0]], INDEX, ["B", "A"]
)
YIELDS = pd.DataFrame(
    [[-0.5, 0.0], [np.nan, 2.0], [3.0, -1e6], [0.0, 0.0]], INDEX, ["B", "A"]
)


def with_signals(**signals):
    """Put signals after the closes."""
    return pd.concat({"Close": CLOSES, **signals}, axis=1, names=["field", "ticker"])


def like_closes(rows):
    return pd.DataFrame(rows, INDEX, CLOSES.columns)


SECTORS = like_closes(
    [["tech", "oil"], ["tech", None], ["oil", "oil"], ["tech", "oil"]]
)
MEMBERS = like_closes([[True, False], [True, True], [False, True], [True, True]])


def test_signals_keep_their_names_order_and_values():
    panel = with_signals(zeta=YIELDS, alpha=YIELDS * 2)
    checked = check_panel(panel)
    assert checked is panel
    assert list(panel_signals(checked)) == ["zeta", "alpha"]
    assert_frame_equal(panel_signals(checked)["alpha"], YIELDS * 2, check_names=False)
    assert list(panel_fields(checked)) == ["close"]


def test_signals_are_arranged_as_prices_are():
    panel = with_signals(zeta=YIELDS).swaplevel(axis=1).sort_index(axis=1)
    volumes = pd.DataFrame({("B", "volume"): 3.0, ("A", "volume"): 2.0}, INDEX)
    checked = check_panel(pd.concat([panel, volumes], axis=1))
    assert list(checked.columns.unique("field")) == ["Close", "Volume", "zeta"]
    assert panel_tickers(checked) == ["A", "B"]
    table = panel_signals(checked)["zeta"]
    assert_frame_equal(table, YIELDS[["A", "B"]], check_names=False)
    np.testing.assert_array_equal(panel_fields(checked)["volume"][0], [2.0, 3.0])


def test_masks_stay_bool_and_text_becomes_categories_of_the_field():
    panel = with_signals(
        member=MEMBERS, sector=SECTORS, earnings=YIELDS.astype("Float64")
    )
    checked = check_panel(panel)
    signals = panel_signals(checked)
    assert set(signals["member"].dtypes) == {np.dtype(bool)}
    assert_frame_equal(signals["member"], MEMBERS, check_names=False)
    for ticker in ("A", "B"):
        assert list(signals["sector"][ticker].cat.categories) == ["oil", "tech"]
    assert_frame_equal(
        signals["sector"].astype(object).fillna("none"),
        SECTORS.astype(object).fillna("none"),
        check_names=False,
        check_dtype=False,
    )
    assert (signals["earnings"].dtypes == np.float64).all()
    assert check_panel(checked) is checked
    assert panel_fields(checked)["close"].dtype == np.float64
    np.testing.assert_array_equal(panel_fields(checked)["close"], CLOSES)


def test_rows_of_a_panel_join_whatever_their_categories():
    panel = with_signals(sector=SECTORS, member=MEMBERS)
    parts = [check_panel(panel.iloc[:3]), check_panel(panel.iloc[3:])]
    holes = [INDEX[0] - pd.Timedelta("1D"), *INDEX]
    for joined in (pd.concat(parts), pd.concat(parts).reindex(holes)):
        signals = panel_signals(joined)
        assert list(signals["sector"]["A"].cat.categories) == ["oil", "tech"]
        assert signals["member"].dtypes.isin([np.dtype(bool), np.dtype(float)]).all()
        np.testing.assert_array_equal(signals["member"].loc[INDEX], MEMBERS)
        assert panel_fields(joined)["close"].dtype == np.float64


def test_a_ticker_may_lack_a_signal():
    panel = with_signals(zeta=YIELDS, member=MEMBERS)
    panel = panel.drop(columns=[("zeta", "B"), ("member", "A")])
    signals = panel_signals(check_panel(panel))
    assert signals["zeta"]["B"].isna().all()
    np.testing.assert_array_equal(signals["zeta"]["A"], YIELDS["A"])
    np.testing.assert_array_equal(signals["member"]["B"], MEMBERS["B"])
    assert signals["member"]["A"].isna().all()


def test_infinite_signals_are_missing_and_wrong_prices_leave_signals_alone():
    panel = with_signals(zeta=YIELDS.replace(2.0, -np.inf))
    panel.loc[INDEX[2], ("Close", "A")] = -1.0
    with pytest.warns(PanelWarning, match="Got infinite values in zeta") as warned:
        checked = check_panel(panel)
    assert len(warned) == 1
    assert_frame_equal(checked["zeta"], YIELDS.replace(2.0, np.nan), check_names=False)
    assert np.isnan(checked.loc[INDEX[2], ("Close", "A")])
    inspected = inspect_panel(panel)
    assert inspected.marked().loc[INDEX[2], ("Close", "A")] == 0
    assert_frame_equal(inspected.marked()["zeta"], checked["zeta"])
    assert inspect_panel(CheckedPanel(checked)).panel is checked


def test_adjusting_prices_leaves_signals_alone():
    panel = pd.concat(
        {"Close": CLOSES, "Adj Close": CLOSES / 2, "zeta": YIELDS}, axis=1
    )
    checked = check_panel(panel)
    assert_frame_equal(checked["Close"], CLOSES / 2, check_names=False)
    assert_frame_equal(checked["zeta"], YIELDS, check_names=False)


def test_one_field_is_read_by_its_name():
    panel = with_signals(zeta=YIELDS)
    assert_frame_equal(read_panel(panel, field="zeta"), YIELDS, check_names=False)


DATES = like_closes([[pd.Timestamp("2024-01-01")] * 2] * 4)
BAD_SIGNALS = {
    "a close in another spelling": ({"px_last": YIELDS}, "Drop all but one of"),
    "what may be a price": ({"Price": YIELDS}, "Got 'Price' beside closes."),
    "what may be adjusted": ({"adj_close_2": YIELDS}, "must have a name that is known"),
    "a name that features cannot have": ({"a__b": YIELDS}, "Got 'a__b'. Rename"),
    "a number as name": ({7: YIELDS}, "Got 7. Rename"),
    "dates": ({"zeta": DATES}, "Got datetime64 values in 'zeta'"),
    "text of numbers": (
        {"zeta": YIELDS.astype(str).where(YIELDS.notna())},
        "Convert it with `pd.to_numeric`",
    ),
    "numbers and text": (
        {"zeta": SECTORS.assign(A=1.0)},
        "Got floating and string values in 'zeta'",
    ),
    "a ticker without closes": (
        {"zeta": YIELDS.rename(columns={"A": "X"})},
        "Got none for X",
    ),
}


@pytest.mark.parametrize(("signals", "advice"), BAD_SIGNALS.values(), ids=BAD_SIGNALS)
def test_what_is_no_signal_is_refused(signals, advice):
    panel = pd.concat({"Close": CLOSES, **signals}, axis=1)
    with pytest.raises(PanelError, match=re.escape(advice)):
        check_panel(panel)
