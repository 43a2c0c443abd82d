import numpy as np
import pandas as pd
import pytest

from skbatch._messages import count, date_text


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 rows"),
        (1, "1 row"),
        (np.int64(1), "1 row"),
        (1.0, "1 row"),
        (0.5, "0.5 rows"),
        (252.0, "252 rows"),
        (1_234_567, "1234567 rows"),
    ],
)
def test_things_are_counted(number, expected):
    assert count(number, "row") == expected


def test_dates_have_a_time_only_where_it_says_something():
    assert date_text(pd.Timestamp("2024-01-31")) == "2024-01-31"
    assert date_text(pd.Timestamp("2024-01-31 16:00")) == "2024-01-31 16:00:00"
    assert date_text(7) == "7"
