"""Panels become AssetPanels of skfolio, and come back as they were."""

import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from skbatch.exceptions import PanelError
from skbatch.panel import check_panel
from skbatch.portfolio import from_asset_panel, to_asset_panel

containers = pytest.importorskip("skfolio.containers")
DATES = pd.bdate_range("2024-01-01", periods=4)
CLOSES = pd.DataFrame({"A": [1.0, 2.0, np.nan, 4.0], "B": [5.0, 6.0, 7.0, 8.0]}, DATES)
SECTORS = pd.DataFrame({"A": ["oil", None, "oil", "tech"], "B": "tech"}, DATES)
FIELDS = {
    "Close": CLOSES,
    "Volume": CLOSES * 100,
    "earnings_yield": -CLOSES / 10,
    "member": CLOSES > 2,
    "sector": SECTORS,
}


def test_panels_come_back_as_they_were():
    panel = check_panel(pd.concat(FIELDS, axis=1))
    asset_panel = to_asset_panel(panel)
    names = ["close", "volume", "earnings_yield", "member", "sector"]
    assert list(asset_panel.fields) == names
    np.testing.assert_array_equal(asset_panel["close"], CLOSES)
    decoded = asset_panel.decode_categorical_field("sector")
    assert decoded[0].tolist() == ["oil", "tech"]
    assert_frame_equal(from_asset_panel(asset_panel), panel, check_freq=False)


def test_wide_panels_become_closes():
    found = from_asset_panel(to_asset_panel(CLOSES))
    assert_frame_equal(found["Close"], CLOSES, check_names=False, check_freq=False)


def test_inactive_assets_have_no_values():
    active = np.ones(CLOSES.shape, dtype=bool)
    active[:2, 1] = False
    asset_panel = containers.AssetPanel(
        fields={
            "close": CLOSES.where(active).to_numpy(),
            "rating": containers.FieldCategorical(
                np.where(active, 0, -1), levels=np.array(["AA"])
            ),
        },
        observations=DATES.to_numpy(),
        asset_names=np.array(["A", "B"]),
        active_mask=active,
    )
    panel = from_asset_panel(asset_panel)
    np.testing.assert_array_equal(panel["rating"].notna(), active)
    assert_frame_equal(
        panel["Close"], CLOSES.where(active), check_names=False, check_freq=False
    )


def test_what_is_no_panel_of_prices_is_refused():
    asset_panel = to_asset_panel(CLOSES)
    asset_panel.add_3d_field(
        name="exposure",
        values=np.ones((4, 2, 2)),
        third_axis_name="factor",
        third_axis_labels=["size", "value"],
    )
    with pytest.raises(PanelError, match="Got 3 in 'exposure'"):
        from_asset_panel(asset_panel)
    asset_panel = to_asset_panel(CLOSES).rename({"close": "returns"})
    with pytest.raises(PanelError, match="must hold the field Close"):
        from_asset_panel(asset_panel)


def test_without_skfolio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio", None)
    with pytest.raises(ImportError, match=r"skbatch\[portfolio\]"):
        to_asset_panel(CLOSES)
