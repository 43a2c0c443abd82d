import re
from collections import Counter
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skbatch.batch import _manager
from skbatch.batch._manager import (
    Batch,
    SimpleBatchManager,
    _cluster,
    _pairwise_correlation,
)
from skbatch.exceptions import BatchWarning
from skbatch.panel import check_panel

NAMES = [f"T{number:02d}" for number in range(40)]


def panel(tickers, n_dates=2):
    """Make a panel of tickers whose prices do not matter."""
    return pd.DataFrame(np.ones((n_dates, len(tickers))), columns=list(tickers))


def split(tickers, *args, **kwargs):
    """Split, and show the names and the tickers joined."""
    batches = SimpleBatchManager(*args, **kwargs).split(panel(tickers))
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
    return {batch.name: "".join(batch.tickers) for batch in batches}


def walks(blocks, n_dates=300, seed=0):
    """Simulate prices that are correlated within each block of tickers."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.standard_normal((n_dates, 1)) + 0.5 * rng.standard_normal((n_dates, n))
        for n in blocks
    ]
    prices = np.exp(0.01 * np.cumsum(np.hstack(parts), axis=0))
    return pd.DataFrame(prices, columns=NAMES[: prices.shape[1]])


# ---------------------------------------------------------------- the law

numbers = st.one_of(st.none(), st.floats(), st.integers(-5, 5))
labels = st.one_of(st.none(), st.text("xyz", max_size=1))


@st.composite
def portfolios(draw):
    """Draw prices, a bound, and any way to group."""
    n_tickers = draw(st.integers(1, 12))
    n_dates = draw(st.sampled_from([1, 40, 70, 90]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    prices = np.exp(0.1 * rng.standard_normal((n_dates, n_tickers)))
    prices[rng.random(prices.shape) < draw(st.sampled_from([0, 0.2, 0.9]))] = np.nan
    prices[:, rng.random(n_tickers) < draw(st.sampled_from([0, 0.5]))] = 3.0
    tickers = NAMES[:n_tickers]
    values = draw(st.sampled_from([numbers, labels]))
    table = draw(st.dictionaries(st.sampled_from(tickers), values))
    table = {ticker: value for ticker, value in table.items() if value == value}
    known = any(value is not None for value in table.values())
    choices = [None, "correlation", *([table, pd.Series(table)] if known else [])]
    groups = draw(st.sampled_from(choices))
    return pd.DataFrame(prices, columns=tickers), draw(st.integers(1, 14)), groups


@given(portfolios())
@pytest.mark.filterwarnings("ignore::skbatch.exceptions.BatchWarning")
def test_every_ticker_is_in_exactly_one_batch_within_the_bound(portfolio):
    prices, size, groups = portfolio
    manager = SimpleBatchManager(size, groups=groups)
    batches = manager.split(prices)
    assert Counter(t for b in batches for t in b.tickers) == Counter(prices.columns)
    assert all(1 <= len(batch.tickers) <= size for batch in batches)
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
    assert len({batch.name for batch in batches}) == len(batches)
    for batch in batches:
        assert list(batch.tickers) == sorted(batch.tickers)
    assert clone(manager).split(prices) == batches
    if not isinstance(groups, (dict, pd.Series)) or "x" not in dict(groups).values():
        return
    together = [b for b in batches if {"x"} & {groups.get(t) for t in b.tickers}]
    n_members = sum(value == "x" for value in dict(groups).values())
    assert len(together) == -(-n_members // size)


# ---------------------------------------------------------------- one batch, or chunks


@pytest.mark.parametrize("size", [None, 3, 100])
@pytest.mark.parametrize("groups", [None, {"A": "x"}, {"A": 1}, "correlation"])
def test_one_batch_holds_all_as_long_as_the_bound_allows(size, groups):
    batches = SimpleBatchManager(size, groups).split(panel("CAB"))
    assert batches == [Batch(1, "all", ("C", "A", "B"))]


def test_chunks_are_the_fewest_and_equal_and_in_the_order_of_the_panel():
    assert split("ABCDEFG", 3) == {"A to B": "AB", "C to D": "CD", "E to G": "EFG"}
    assert split("AB", 1) == {"A": "A", "B": "B"}


@given(st.integers(1, 40), st.integers(1, 40))
def test_chunks_have_the_sizes_of_array_split(n_tickers, size):
    batches = SimpleBatchManager(size).split(panel(NAMES[:n_tickers]))
    parts = np.array_split(np.arange(n_tickers), -(-n_tickers // size))
    expected = sorted(len(part) for part in parts)
    assert sorted(len(batch.tickers) for batch in batches) == expected
    assert [t for b in batches for t in b.tickers] == NAMES[:n_tickers]


def test_panels_with_fields_are_split_by_ticker():
    tables = {"Close": panel("BA"), "Volume": panel("AB")}
    batches = SimpleBatchManager(1).split(check_panel(pd.concat(tables, axis=1)))
    assert [batch.tickers for batch in batches] == [("B",), ("A",)]


# ---------------------------------------------------------------- labels


def test_whole_groups_are_packed():
    sectors = dict(zip("ABCDEFG", "xyzxyzz", strict=True))
    assert split("ABCDEFG", 4, sectors) == {"z": "CFG", "x, y": "ABDE"}
    assert split("ABCDEFG", 5, sectors) == {"z, x": "ACDFG", "y": "BE"}
    assert split("ABCDEFG", 5, pd.Series(sectors, dtype="category")) == {
        "z, x": "ACDFG",
        "y": "BE",
    }


def test_large_groups_are_cut_into_equal_parts():
    sectors = dict.fromkeys("ABCDE", "x") | {"F": "y"}
    assert split("ABCDEF", 3, sectors) == {
        "x (2 of 2)": "CDE",
        "x (1 of 2), y": "ABF",
    }
    assert split("ABCDEF", 4, sectors) == {
        "x (2 of 2), y": "CDEF",
        "x (1 of 2)": "AB",
    }


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_tickers_without_a_label_are_a_group(missing):
    sectors = {"A": "x", "B": missing, "C": "x", "Z": "x"}
    assert split("ABCD", 2, sectors) == {"x": "AC", "no group": "BD"}


def test_many_groups_are_named_by_five():
    sectors = {ticker: ticker.lower() for ticker in "ABCDEFGH"}
    names = list(split("ABCDEFGH", 7, sectors))
    assert names == ["a, b, c, d, e and 2 more", "h"]


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "make", [float, Decimal, np.float32, int, np.int64], ids=lambda make: make.__name__
)
def test_numbers_go_from_large_to_small_and_without_a_number_last(make):
    caps = {t: make(v) for t, v in zip("ABCDE", [2, 50, 8, 7000, 1], strict=True)}
    assert split("ABCDEF", 2, caps) == {
        "D to B, 7e+03 to 50": "BD",
        "C to A, 8 to 2": "AC",
        "E to F, 1 to no number": "EF",
    }


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_numbers_are_no_numbers(missing):
    batches = split("ABC", 1, {"A": missing, "B": 1.0, "C": np.inf})
    assert list(batches.values()) == ["C", "B", "A"]
    caps = pd.Series([2, pd.NA, 3], list("ABC"), dtype="Int64")
    assert list(split("ABC", 1, caps).values()) == ["C", "A", "B"]


# ---------------------------------------------------------------- correlation


def test_correlated_tickers_share_a_batch():
    blocks = np.repeat([0, 1, 2], 4)
    order = np.random.default_rng(1).permutation(12)
    prices = walks([4, 4, 4]).iloc[:, order]
    batches = SimpleBatchManager(4, "correlation").split(prices)
    found = {frozenset(batch.tickers) for batch in batches}
    assert found == {frozenset(np.array(NAMES)[:12][blocks == b]) for b in range(3)}
    assert all(batch.name.startswith("cluster of T") for batch in batches)
    assert all(batch.name.endswith("and 2 more") for batch in batches)


def test_only_the_last_504_returns_count():
    old, new = walks([4, 4], 300, seed=1), walks([4, 4], 505, seed=2)
    mixed = ["T00", "T04", "T01", "T05", "T02", "T06", "T03", "T07"]
    old.columns = mixed
    chained = pd.concat([old[new.columns] * 1e6, new], ignore_index=True)
    batches = SimpleBatchManager(4, "correlation").split(chained)
    assert batches == SimpleBatchManager(4, "correlation").split(new)
    # The jump between the two parts would be the largest return of all.
    assert {batch.tickers for batch in batches} == {
        ("T00", "T01", "T02", "T03"),
        ("T04", "T05", "T06", "T07"),
    }


def test_tickers_that_cannot_be_clustered_are_spread_at_random():
    prices = walks([6, 6, 4])
    late, flat, growing, empty = prices.columns[-4:]
    prices.loc[:270, late] = np.nan
    prices[flat] = 7.0
    prices[growing] = 1.001 ** np.arange(len(prices))
    prices[empty] = np.nan
    kept, _ = _cluster(np.diff(np.log(prices), axis=0))
    np.testing.assert_array_equal(kept, np.arange(12))
    found = set()
    for seed in range(20):
        batches = SimpleBatchManager(8, "correlation", seed).split(prices)
        assert [len(batch.tickers) for batch in batches] == [8, 8]
        for number in (0, 6):
            block = set(prices.columns[number : number + 6])
            # At most two of the block's six, pushed over the edge by the others.
            assert max(len(block & set(batch.tickers)) for batch in batches) >= 4
        found.add(frozenset(set(batches[0].tickers) & set(prices.columns[-4:])))
    assert len(found) > 5


@pytest.mark.parametrize("n_dates", [1, 2, 63])
def test_all_are_assigned_at_random_if_none_can_be_clustered(n_dates):
    prices = walks([20, 20], n_dates)
    with pytest.warns(BatchWarning, match=r"40 tickers are assigned .* at random"):
        batches = SimpleBatchManager(20, "correlation", 0).split(prices)
    with pytest.warns(BatchWarning) as told:
        others = SimpleBatchManager(20, "correlation", 1).split(prices)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert [len(batch.tickers) for batch in batches] == [20, 20]
    assert batches[0].tickers != tuple(NAMES[:20])
    assert batches[0].tickers != others[0].tickers
    assert batches[0].name.startswith("random T")


def test_64_rows_are_enough_to_cluster():
    batches = SimpleBatchManager(4, "correlation").split(walks([4, 4], 64))
    assert batches[0].name.startswith("cluster")


def test_memory_errors_of_the_clustering_are_told(monkeypatch):
    def fail(returns):
        raise MemoryError("no 8 TiB")

    monkeypatch.setattr(_manager, "_cluster", fail)
    with pytest.warns(BatchWarning, match="MemoryError: no 8 TiB"):
        batches = SimpleBatchManager(4, "correlation").split(walks([4, 4]))
    assert [len(batch.tickers) for batch in batches] == [4, 4]


def test_other_errors_of_the_clustering_are_raised(monkeypatch):
    def fail(returns):
        raise ValueError("a programming error")

    monkeypatch.setattr(_manager, "_cluster", fail)
    with pytest.raises(ValueError, match="a programming error"):
        SimpleBatchManager(4, "correlation").split(walks([4, 4]))


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5, 0.8]))
@settings(max_examples=30)
def test_correlations_are_those_of_the_common_rows(seed, missing):
    rng = np.random.default_rng(seed)
    returns = 1e-3 * rng.standard_normal((150, 5)) + rng.standard_normal(5)
    returns[:, 1] += 1e-3 * returns[:, 0]
    returns[rng.random(returns.shape) < missing] = np.nan
    expected = pd.DataFrame(returns).corr(min_periods=63)
    np.testing.assert_allclose(_pairwise_correlation(returns), expected, atol=1e-9)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"Z": "x"}, "Got Z, the panel has A, B, C, D. Use the panel's tickers as"),
        ({}, "Got none, the panel has A, B"),
        ({"A": None}, "Got A, the panel has"),
        (pd.Series(["x", "y"], index=["A", "A"]), "Got duplicates of A. Drop them"),
        ({"A": "x", "B": 3}, "Got both, such as 'x' and 3. Write codes"),
        ({"A": True, "B": 3}, "Got both, such as True and 3"),
        ("sector", "The 'groups' parameter of SimpleBatchManager must be"),
        (["x", "y"], "The 'groups' parameter"),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [None, 2])
def test_malformed_groups_are_refused(groups, message, size):
    with pytest.raises(ValueError, match=re.escape(message)):
        SimpleBatchManager(size, groups).split(panel("ABCD"))


@pytest.mark.parametrize("size", [0, -1, 2.0, "all"])
def test_malformed_sizes_are_refused(size):
    with pytest.raises(ValueError, match="'max_batch_size' parameter"):
        SimpleBatchManager(size).split(panel("ABCD"))


def test_parameters_are_stored_untouched():
    sectors = {"A": "x"}
    manager = SimpleBatchManager(3, sectors, 7)
    assert manager.groups is sectors
    assert manager.get_params() == {
        "max_batch_size": 3,
        "groups": sectors,
        "random_state": 7,
    }
