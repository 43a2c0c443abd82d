import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbatch.config import BatchForecastingConfig, ConfigError
from skbatch.config.engine import SETTINGS

KEYS = st.sampled_from(
    [part for path in SETTINGS for part in path.split(".")]
) | st.text(max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS | st.binary(max_size=2) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)


def message(make, **values):
    with pytest.raises(ConfigError) as caught:
        make(**values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"model": {"max_dept": 3}}, "`model.max_depth`"),
        ({"model": {"MAX_DEPTH": 3}}, "`model.max_depth`"),
        ({"model": {"learning-rate": 3}}, "`model.learning_rate`"),
        ({"model": {"max_batch_size": 3}}, "`batch.max_batch_size`"),
        ({"max_depth": 3}, "`model.max_depth`"),
        ({"fallback": {"max_jumps": 3}}, "`fallback.max_jump`"),
        ({"performance": {"njobs": 3}}, "`performance.n_jobs`"),
        ({"Model": {}}, "`model`"),
        ({"horizons": 3}, "`horizon`"),
    ],
)
def test_the_nearest_key_is_named(values, meant):
    text = message(BatchForecastingConfig, **values)
    assert text.endswith(f"Did you mean {meant}?")


def test_the_keys_of_a_section_are_named_when_none_is_near():
    text = message(BatchForecastingConfig, performance={"qqqq": 3})
    assert text.endswith("Choose one of n_jobs, engine, device, threads.")


@pytest.mark.parametrize(
    ("key", "shown"), [("q.z", '"q.z"'), ("q\nz", r'"q\nz"'), (1, "1")]
)
def test_strange_keys_are_shown_as_files_write_them(key, shown):
    text = message(BatchForecastingConfig, performance={key: 3})
    assert text.startswith(f"`performance.{shown}` must be a key that skbatch knows.")
    assert text.endswith("Choose one of n_jobs, engine, device, threads.")


def test_paths_may_be_written_as_one_key():
    config = BatchForecastingConfig(**{"model.max_depth": 2})
    assert config == BatchForecastingConfig(model={"max_depth": 2})


def test_sections_name_the_whole_path():
    assert message(BatchForecastingConfig, model={"max_depth": 0}) == (
        "`model.max_depth` must be a whole number of at least 1. Got 0. "
        "The default is 4."
    )


def test_values_are_shown_on_one_short_line():
    for value in ("a\nb", list(range(1000)), np.ones((3, 3)), object()):
        text = message(BatchForecastingConfig, model={"max_depth": value})
        assert "\n" not in text
        assert len(text) < 160


def test_errors_survive_pickling():
    error = ConfigError(message(BatchForecastingConfig, model={"max_depth": 0}))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@settings(max_examples=100)
@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_anything_is_a_configuration_or_a_config_error(values):
    try:
        config = BatchForecastingConfig(**values)
    except ConfigError as error:
        lines = str(error).split("\n")
        assert len(lines) != 2
        for line in lines[1:] or lines:
            assert line.startswith(("`", "- `"))
            assert " must " in line
            assert ". Got " in line
    else:
        assert BatchForecastingConfig.from_system(config.to_system()) == config
