import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch.config._toml import line_numbers, render_toml, render_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS = (
    TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=5,
)


def typed(value):
    """Spell out types: 1, 1.0 and True are equal, but not the same."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [typed(inner) for inner in value]
    return type(value), value


@settings(max_examples=50)
@given(VALUES)
def test_values_are_read_as_they_were_written(value):
    read = tomllib.loads(f"x = {render_value(value)}")["x"]
    assert typed(read) == typed(value)


@settings(max_examples=50)
@given(st.dictionaries(TEXT, VALUES, max_size=3))
def test_tables_are_read_as_they_were_written(tables):
    assert typed(tomllib.loads(render_toml(tables))) == typed(tables)


def test_tables_come_after_values():
    tables = {"a": {"x": 1, "b": {"y": 2}}, "z": (3, 4), "e": {}}
    assert render_toml(tables) == ("z = [3, 4]\n\n[a]\nx = 1\n\n[a.b]\ny = 2\n\n[e]\n")


def test_what_toml_has_no_word_for_is_refused():
    with pytest.raises(TypeError, match=r"must be TOML's\. Got None"):
        render_value([None])


def test_lines_of_keys_and_tables_are_found():
    text = """\
# horizon = 1
horizon = 5 # = 6
model.kind = "linear"
features = {windows = [
  5,
], lookback = 3}

 [ model ]
max_depth=3
"min_labels" = 4 # thin = 2
[batch.groups]
"BRK.B" = "a = b"
'C"D' = 1
"""
    assert line_numbers(text) == {
        ("horizon",): 2,
        ("model",): 3,
        ("model", "kind"): 3,
        ("features",): 4,
        ("model", "max_depth"): 9,
        ("model", "min_labels"): 10,
        ("batch", "groups"): 11,
        ("batch", "groups", "BRK.B"): 12,
        ("batch", "groups", 'C"D'): 13,
    }


@settings(max_examples=50)
@given(st.dictionaries(TEXT, st.dictionaries(TEXT, SCALARS, max_size=3), max_size=3))
def test_every_key_that_is_written_is_found_again(tables):
    text = render_toml(tables)
    lines = line_numbers(text)
    for table, values in tables.items():
        for key, value in values.items():
            line = text.split("\n")[lines[table, key] - 1]
            assert line.endswith(f" = {render_value(value)}")
