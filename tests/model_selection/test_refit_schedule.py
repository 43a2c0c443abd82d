"""Which rows are trained on and forecast."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, TimeSeriesSplit

from skbatch.model_selection._refit_schedule import Fold, make_folds

PRICES = pd.DataFrame(np.ones((20, 2)))


def folds(horizon=1, prices=PRICES, **options):
    options = {
        "cv": None,
        "min_train": None,
        "refit_every": None,
        "window": "expanding",
        **options,
    }
    return make_folds(prices, horizon, **options)


def test_expanding_windows_by_hand():
    assert folds(min_train=10, refit_every=4) == [
        Fold(0, 10, 10, 14),
        Fold(0, 14, 14, 18),
        Fold(0, 18, 18, 20),
    ]


def test_rolling_windows_by_hand():
    assert folds(min_train=10, refit_every=6, window=8) == [
        Fold(2, 10, 10, 16),
        Fold(8, 16, 16, 20),
    ]


def test_defaults_are_two_years_and_a_quarter():
    long = pd.DataFrame(np.ones((600, 1)))
    assert folds(prices=long) == [Fold(0, 504, 504, 567), Fold(0, 567, 567, 600)]


def test_splitters_keep_their_gap_and_their_windows():
    cv = TimeSeriesSplit(2, test_size=4, gap=2, max_train_size=6)
    assert folds(cv=cv) == [Fold(4, 10, 12, 16), Fold(8, 14, 16, 20)]
    # Inside a test fold, the window grows and the gap stays.
    assert folds(cv=cv, refit_every=2) == [
        Fold(4, 10, 12, 14),
        Fold(4, 12, 14, 16),
        Fold(8, 14, 16, 18),
        Fold(8, 16, 18, 20),
    ]


def test_an_int_is_a_time_series_split():
    assert folds(cv=3) == folds(cv=TimeSeriesSplit(3))


def test_folds_may_come_in_any_order():
    pairs = [(range(10), range(15, 20)), (range(5), range(5, 15))]
    assert folds(cv=pairs) == [Fold(0, 5, 5, 15), Fold(0, 10, 15, 20)]


@given(
    st.integers(3, 15),
    st.integers(1, 9),
    st.one_of(st.just("expanding"), st.integers(3, 20)),
)
def test_every_row_is_forecast_once_by_a_model_of_earlier_rows(first, every, window):
    made = folds(min_train=first, refit_every=every, window=window)
    rows = [row for fold in made for row in range(fold.test_start, fold.test_stop)]
    assert rows == list(range(first, 20))
    for fold in made:
        assert fold.train_stop == fold.test_start
        length = fold.train_stop - fold.train_start
        whole = fold.train_stop
        assert length == (whole if window == "expanding" else min(window, whole))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_train": 20}, "more rows than `min_train`. Got 20 rows and min_train=20"),
        ({}, "Got 20 rows and min_train=504"),
        ({"min_train": 2}, "`min_train` must be an int of at least 3"),
        ({"min_train": 5.0}, "Got 5.0. Pass a number of rows"),
        ({"min_train": 9, "refit_every": 0}, "`refit_every` must be an int of at leas"),
        ({"min_train": 9, "window": 2}, "`window` must be an int of at least 3"),
        ({"min_train": 9, "window": "rolling"}, 'Or pass "expanding"'),
        ({"cv": 3, "min_train": 9}, "`min_train` must be None with `cv`"),
        ({"cv": 1}, "`cv` must be an int of at least 2"),
        ({"cv": True}, "`cv` must be an int of at least 2"),
        ({"cv": 3.5}, "Got float. Pass TimeSeriesSplit"),
        ({"cv": "walk"}, "Got str. Pass TimeSeriesSplit"),
        ({"cv": []}, "`cv` must give folds. Got none"),
        ({"cv": [3]}, "must hold pairs"),
        ({"cv": [([0, 1, 3], [4, 5])]}, "training rows of a fold must be consecutive"),
        ({"cv": [([0, 1, 2], [4.5])]}, "test rows of a fold must be consecutive"),
        (
            {"cv": [(range(9), range(18, 25))]},
            "test rows of a fold must be consecutive",
        ),
        ({"cv": [(range(9), [])]}, "test rows of a fold must be consecutive"),
        ({"cv": KFold(4)}, "Pass TimeSeriesSplit, not KFold|must be consecutive"),
        ({"cv": [(range(9), range(8, 12))]}, "trains up to row 8 and tests from row 8"),
        (
            {"cv": [(range(9), range(9, 14)), (range(9), range(13, 16))]},
            "must not overlap: a date has one forecast. Got row 13",
        ),
        ({"cv": [(range(2), range(2, 9))]}, "at least 2 rows longer than horizon"),
    ],
)
def test_errors_say_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        folds(**options)
