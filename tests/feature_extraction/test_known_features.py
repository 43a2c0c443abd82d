"""Features of a part of a panel that are taken from those of the whole."""

import numpy as np
import pandas as pd
import pytest

from skbatch import SharedFeatureExtractor
from skbatch.datasets import make_panel
from skbatch.feature_extraction import clear_cache
from skbatch.feature_extraction._context import Universe
from skbatch.feature_extraction.engine import KnownFeatures, sharing

FAMILIES = ["returns", "volatility", "trend", "relative", "rank", "market"]


def make_extractor(**options):
    return SharedFeatureExtractor(FAMILIES, [5, 21], cache_size=0, **options)


@pytest.fixture
def prices():
    clear_cache()
    prices = make_panel(120, 5, random_state=0)
    prices.iloc[:70, 3] = np.nan
    return prices


@pytest.fixture
def known(prices):
    extractor = make_extractor()
    frame = extractor.fit_transform(prices)
    return KnownFeatures.of(extractor.plan_, prices, frame)


@pytest.fixture
def computed(monkeypatch):
    """The names of the features that are computed for each ticker."""
    names, compute = [], Universe.compute

    def spy(self, wanted):
        names.extend(feature.name for feature in wanted)
        return compute(self, wanted)

    monkeypatch.setattr(Universe, "compute", spy)
    return names


def features_of(part, known=None, **options):
    with sharing(known):
        return make_extractor(**options).fit_transform(part)


@pytest.mark.parametrize(
    "part",
    [
        lambda prices: prices.iloc[:80],
        lambda prices: prices.iloc[:90, [4, 0, 2]],
        lambda prices: prices,
    ],
    ids=["rows", "tickers", "all"],
)
def test_what_is_known_is_not_computed_again(prices, known, computed, part):
    part = part(prices)
    expected = features_of(part)
    computed.clear()
    found = features_of(part, known)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    # Those that compare a ticker with the others depend on which others there are.
    assert set(computed) == {"relative_strength_5", "relative_strength_21"}


@pytest.mark.parametrize(
    "change",
    [
        lambda prices: prices.iloc[30:],
        lambda prices: prices.mask(prices == prices.iloc[50, 1], prices * 1.01),
        lambda prices: prices.rename(columns={prices.columns[2]: "X"}),
        lambda prices: prices.shift(freq="D"),
        lambda prices: prices.drop(index=prices.index[60]),
    ],
    ids=["later start", "price", "ticker", "dates", "hole"],
)
def test_what_is_no_part_of_the_panel_is_computed(prices, known, computed, change):
    part = change(prices)
    expected = features_of(part)
    computed.clear()
    pd.testing.assert_frame_equal(features_of(part, known), expected, check_exact=True)
    assert "log_return_5" in computed


def test_rows_after_the_look_back_of_a_later_start_are_taken(prices, known, computed):
    extractor = make_extractor().fit(prices.iloc[30:100])
    expected = extractor.transform(prices.iloc[100:])
    computed.clear()
    with sharing(known):
        found = extractor.transform(prices.iloc[100:])
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert "log_return_5" not in computed


@pytest.mark.parametrize(
    "options", [{"cross_section": "rank"}, {"universe": lambda p: p.notna()}]
)
def test_features_that_depend_on_other_tickers_are_not_taken(prices, options):
    extractor = make_extractor(**options)
    frame = extractor.fit_transform(prices)
    assert KnownFeatures.of(extractor.plan_, prices, frame) is None
