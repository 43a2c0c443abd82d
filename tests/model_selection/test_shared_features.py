"""When features of the whole panel are those of every refit, and when not."""

import numpy as np
import pandas as pd
import pytest

from skbatch import SharedFeatureExtractor
from skbatch.model_selection._refit_schedule import Fold
from skbatch.model_selection._shared_features import find_extractor, share_features

from .conftest import PricesOnly, make_extractor, make_model

FOLDS = [Fold(0, 150, 150, 200), Fold(60, 200, 200, 260)]


def momentum(panel):
    return panel.pct_change(5, fill_method=None)


class Louder(SharedFeatureExtractor):
    def transform(self, X):
        return super().transform(X) * 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"groups": {f"T00{n}": "AB"[n % 2] for n in range(8)}},
        {
            "market_data": pd.Series(
                range(99), pd.bdate_range("2010-01-04", periods=99), name="vix"
            )
        },
    ],
)
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.PanelWarning")
def test_what_is_shared_is_what_each_refit_would_compute(prices, options):
    extractor = make_extractor(**options)
    shared = share_features(extractor, prices, FOLDS)[0]
    for fold in FOLDS:
        own = make_extractor(**options)
        past = own.fit_transform(prices.iloc[: fold.train_stop])
        following = own.transform(prices.iloc[fold.train_stop : fold.test_stop])
        expected = pd.concat([past, following])
        pd.testing.assert_frame_equal(
            shared.iloc[: fold.test_stop], expected, check_exact=True, check_freq=False
        )


@pytest.mark.parametrize(
    "extractor",
    [
        make_extractor(functions={"momentum": momentum}),
        Louder(["returns", "volatility"], [3, 10]),
        make_extractor().set_output(transform="polars"),
    ],
    ids=["function", "subclass", "polars"],
)
def test_what_cannot_be_known_is_not_shared(prices, extractor):
    assert share_features(extractor, prices, FOLDS) == (None, None)


@pytest.mark.parametrize("start", [40, 145, 180])
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.HistoryWarning")
def test_panels_with_holes_are_not_shared(prices, start):
    holes = prices.drop(prices.index[start : start + 40])
    folds = [Fold(0, 120, 120, 160), Fold(0, 160, 160, 220)]
    assert share_features(make_extractor(), holes, folds) == (None, None)


def test_a_step_at_the_seam_that_is_longer_than_any_before_is_a_hole(prices):
    """A refit cannot tell a holiday it has never seen from rows that are missing."""
    longer = prices.drop(prices.index[150:154])
    assert share_features(make_extractor(), longer, [Fold(0, 150, 150, 200)]) == (
        None,
        None,
    )
    # With the same step inside the window, it is known.
    assert (
        share_features(make_extractor(), longer, [Fold(0, 180, 180, 200)])[0]
        is not None
    )


@pytest.mark.filterwarnings("ignore")
def test_models_that_share_nothing_walk_all_the_same(quiet_walk, prices):
    plain = quiet_walk(make_model(functions={"momentum": momentum}))
    assert not plain.attrs["shared_features"]
    assert np.isfinite(plain.forecasts).any(axis=None)
    holes = prices.drop(prices.index[100:140])
    assert not quiet_walk(panel=holes).attrs["shared_features"]


def test_benchmarks_take_the_extractor_inside_the_estimator():
    extractor = make_extractor()
    model = make_model()
    assert find_extractor(model) is model[0]
    assert find_extractor(PricesOnly(seen=extractor)) is extractor
    assert find_extractor(PricesOnly()).get_params() == (
        SharedFeatureExtractor().get_params()
    )
