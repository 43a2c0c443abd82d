"""Features of a universe: members' own, and comparisons with members only."""

import joblib
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from skbatch import SharedFeatureExtractor
from skbatch._kernels.cross_section import centred_rank
from skbatch.datasets import make_panel
from skbatch.exceptions import PanelWarning
from skbatch.panel import join_signals, liquid

WINDOWS = (5, 21)
OUTSIDERS = 3  # never members


@pytest.fixture(scope="module")
def prices():
    return make_panel(160, 12, random_state=0)


@pytest.fixture(scope="module")
def members(prices):
    """Changes every 20 rows; the first tickers never belong, the last always do."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.random((8, 12)) < 0.6, prices.index[::20], prices.columns)
    table.iloc[:, :OUTSIDERS], table.iloc[:, -2:] = False, True
    return table


def inside(members, prices):
    return members.reindex(prices.index, method="ffill")


def extractor(universe, **options):
    groups = {ticker: number % 2 for number, ticker in enumerate(TICKERS)}
    options = {"windows": WINDOWS, "groups": groups, **options}
    return SharedFeatureExtractor(universe=universe, **options)


TICKERS = list(make_panel(60, 12, random_state=0).columns)


def table_of(frame, feature):
    """Take one feature of all tickers."""
    own = frame.filter(regex=f"__{feature}$")
    own = own[[c for c in own if not c.startswith("market__")]]
    return own.rename(columns=lambda name: name.rpartition("__")[0])


def test_outsiders_change_no_bit_of_the_members(prices, members):
    options = {"functions": {"double": lambda panel: 2 * panel}}
    whole = extractor(members, **options).fit_transform(prices)
    part = extractor(members, **options).fit_transform(prices.iloc[:, OUTSIDERS:])
    assert_frame_equal(whole[part.columns], part)
    others = whole.drop(columns=part.columns)
    assert others.shape[1] == OUTSIDERS * (part.filter(regex=TICKERS[-1]).shape[1])
    assert others.isna().all(axis=None)


def test_members_look_back_on_all_their_prices(prices, members):
    whole = SharedFeatureExtractor(windows=WINDOWS).fit_transform(prices)
    frame = extractor(members).fit_transform(prices)
    use = inside(members, prices)
    for feature in ("log_return_21", "volatility_21", "sma_gap_21"):
        own = table_of(whole, feature)
        assert_frame_equal(table_of(frame, feature), own.where(use[own.columns]))
    marks = table_of(frame, "in_universe")
    assert_frame_equal(marks, use.astype("float32").where(use), check_names=False)


def test_comparisons_are_with_members(prices, members):
    frame = extractor(members).fit_transform(prices)
    own = table_of(frame, "log_return_5")
    ranks = centred_rank(own.to_numpy(dtype=float))
    np.testing.assert_array_equal(
        table_of(frame, "rank_log_return_5"), ranks.astype("float32")
    )
    returns = (prices / prices.shift() - 1).where(inside(members, prices))
    market = np.log1p(returns.clip(-0.5, 0.5).mean(axis=1))
    np.testing.assert_allclose(
        frame["market__log_return_1"].iloc[1:], market.iloc[1:], rtol=1e-5
    )
    np.testing.assert_allclose(
        frame["market__dispersion_1"].iloc[1:], returns.std(axis=1).iloc[1:], rtol=1e-5
    )
    groups = np.arange(12) % 2
    log_returns = table_of(frame, "log_return_5").to_numpy(dtype=float)
    for group in (0, 1):
        values = log_returns[:, groups == group]
        gaps = values - pd.DataFrame(values).mean(axis=1).to_numpy()[:, None]
        found = table_of(frame, "group_log_return_5").to_numpy()[:, groups == group]
        np.testing.assert_allclose(found, gaps, atol=1e-6)


def with_fields(prices, members):
    """Make a panel with the universe as a field, and volumes."""
    volume = prices * 0 + np.random.default_rng(2).integers(1, 999, prices.shape)
    panel = pd.concat({"Close": prices, "Volume": volume}, axis=1)
    return join_signals(panel, {"member": inside(members, prices)})


@pytest.mark.parametrize("kind", ["table", "field", "liquid"])
def test_rows_are_the_same_however_they_are_passed(prices, members, kind, tmp_path):
    panel = with_fields(prices, members)
    rule = liquid(top=6, by="dollar_volume_30")
    universe = {"table": members, "field": "member", "liquid": rule}[kind]
    whole = extractor(universe).fit_transform(panel)
    fitted = extractor(universe).fit(panel.iloc[:120])
    joblib.dump(fitted, tmp_path / "extractor.joblib")
    fitted = joblib.load(tmp_path / "extractor.joblib")
    assert_frame_equal(fitted.transform(panel.iloc[120:]), whole.iloc[120:])
    assert_frame_equal(fitted.transform(panel.iloc[[120]]), whole.iloc[[120]])
    blocks = list(fitted.transform_blocks(panel, block_rows=37))
    assert len(blocks) > 3
    assert_frame_equal(pd.concat(blocks), whole, check_freq=False)
    (part,) = fitted.transform_blocks(panel, features=["in_universe"])
    assert_frame_equal(part, whole[part.columns], check_freq=False)


def test_the_cache_knows_the_universe(prices, members):
    frames = [extractor(table).fit_transform(prices) for table in (members, ~members)]
    assert not frames[0].equals(frames[1])


def test_a_table_that_ends_early_is_reported(prices, members):
    with pytest.warns(PanelWarning, match="`universe` must reach the last row"):
        extractor(members.iloc[:2]).fit_transform(prices)


def test_a_rule_extends_the_look_back(prices):
    plain = SharedFeatureExtractor(families=["returns"], windows=[5]).fit(prices)
    rule = liquid(top=3, by="dollar_volume_63")
    panel = pd.concat({"Close": prices, "Volume": prices}, axis=1)
    fitted = SharedFeatureExtractor(["returns"], [5], universe=rule).fit(panel)
    assert fitted.lookback_ == plain.lookback_ + 62
    with pytest.raises(ValueError, match="must be at least"):
        fitted.set_params(lookback=plain.lookback_).fit(panel)
