import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pandas as pd
import pytest

import skbatch
from skbatch._messages import (
    collect_warnings,
    count,
    date_text,
    format_tickers,
    printable,
    silence_warnings,
    warn_user,
)
from skbatch.exceptions import FallbackWarning, PanelWarning


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A\x1b[31m\x9b2J", r"A\x1b[31m\x9b2J"),
        ("\ta\r\x00", r"\ta\r\x00"),
        ("\u202eTSLA", r"\u202eTSLA"),
        ("Société σ 株 line\nline", "Société σ 株 line\nline"),
    ],
)
def test_what_commands_a_terminal_is_escaped(text, expected):
    assert printable(text) == expected


def test_no_warning_and_no_list_of_tickers_commands_the_terminal():
    with pytest.warns(PanelWarning) as caught:
        warn_user("\x1b[31mA", PanelWarning)
    assert str(caught[0].message) == r"\x1b[31mA"
    assert format_tickers(["\x1b[31mA", "B\nC"]) == r"\x1b[31mA, B\nC"


def test_collected_warnings_are_those_of_their_own_thread():
    filters = list(warnings.filters)
    both_collect = Barrier(4)

    def collect(number):
        with collect_warnings() as collected:
            both_collect.wait()
            warn_user(f"from {number}", PanelWarning)
            with collect_warnings() as inner:
                warn_user("inner", PanelWarning)
            both_collect.wait()
        return [*collected, *inner]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(collect, range(4)))
    expected = [
        [(PanelWarning, f"from {n}"), (PanelWarning, "inner")] for n in range(4)
    ]
    assert results == expected
    assert warnings.filters == filters
    with pytest.warns(PanelWarning, match="afterwards"):
        warn_user("afterwards", PanelWarning)


def test_no_thread_changes_the_filters_of_warnings():
    root = Path(skbatch.__file__).parent
    users = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"^ *(with warnings\.catch|warnings\.\w)", path.read_text(), re.M)
    }
    # Commands have the process to themselves, checks are run by tests, and Dask's
    # graph is built by the thread that called.
    allowed = {
        "_messages.py",
        "batch/_dask_cluster.py",
        "cli/_forecast.py",
        "cli/_shell.py",
        "panel/_dates.py",
        "testing/_batch_forecaster.py",
        "testing/_lookahead.py",
    }
    assert users <= allowed


def test_percentages_follow_their_number_without_a_space():
    root = Path(skbatch.__file__).parent
    # What the examples are built into stays behind when they change.
    pages = (root.parent / "docs").rglob("*.rst")
    pages = (path for path in pages if "auto_examples" not in path.parts)
    files = [*root.rglob("*.py"), *(root.parent / "examples").glob("*.py"), *pages]
    spaced = re.compile(r"[\d}.](?:[ \xa0]|\\N\{NO-BREAK SPACE\})%")
    found = {
        str(path.relative_to(root.parent)): spaced.findall(text)
        for path in files
        if spaced.search(text := path.read_text(encoding="utf-8"))
    }
    assert not found


def test_silenced_warnings_let_others_through():
    with collect_warnings() as collected, silence_warnings(FallbackWarning):
        warn_user("fallback", FallbackWarning)
        warn_user("prices", PanelWarning)
    assert collected == [(PanelWarning, "prices")]
