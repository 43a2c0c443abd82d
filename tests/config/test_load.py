import tomllib

import pytest

from skbatch.config import BatchForecastingConfig, ConfigError
from skbatch.config.engine import effective_settings
from skbatch.exceptions import SkbatchWarning


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    import os

    for name in os.environ:
        if name.startswith("SKBATCH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    """Write a file of settings."""

    def write(text, name="skbatch.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_keywords_win_over_environment_over_file_over_default(write, monkeypatch):
    path = write("[model]\nmax_depth = 2\nsubsample = 0.5\n[model.target]\nthin = 4\n")
    monkeypatch.setenv("SKBATCH_MODEL__SUBSAMPLE", "0.6")
    monkeypatch.setenv("SKBATCH_MODEL__TARGET__THIN", "5")
    config = BatchForecastingConfig.from_file(path, model={"target": {"thin": 6}})
    model = config.model
    assert model.target.thin == 6
    assert model.subsample == 0.6
    assert model.max_depth == 2
    assert model.learning_rate == BatchForecastingConfig().model.learning_rate
    assert BatchForecastingConfig.from_file(path, env=False).model.target.thin == 4
    assert BatchForecastingConfig.from_file(path).model.target.thin == 5


@pytest.mark.parametrize("source", ["keyword", "file"])
def test_the_preset_of_an_earlier_file_is_refused(source, write):
    path = write("[model]\nmax_bin = 7\n")
    explicit = {}
    if source == "keyword":
        explicit["preset"] = "speed"
    else:
        path = write('preset = "speed"\n[model]\nmax_bin = 7\n')
    place = {"file": f"{path}: "}
    with pytest.raises(ConfigError) as caught:
        BatchForecastingConfig.from_file(path, **explicit)
    message = str(caught.value).removeprefix(place.get(source, "argument: "))
    assert message.startswith("`preset` must be a key that skbatch knows.")
    assert "Remove it" in message


def test_keywords_that_are_none_leave_the_file_in_force(write):
    path = write("horizon = 3\n[model]\nmax_depth = 2\n")
    config = BatchForecastingConfig.from_file(
        path, horizon=None, model={"max_depth": None}
    )
    assert (config.horizon, config.model.max_depth) == (3, 2)


def test_no_file_is_needed(monkeypatch):
    monkeypatch.setenv("SKBATCH_HORIZON", "[1, 5]")
    assert BatchForecastingConfig.from_file().horizon == (1, 5)
    assert BatchForecastingConfig.from_file(env=False) == BatchForecastingConfig()


XGB_PARAMS = {"gamma": 0.5, "a": {"f": 1}}


@pytest.mark.parametrize(
    ("name", "text", "section", "value"),
    [
        ("BATCH__MEMORY_BUDGET", "4GiB", "batch", "4GiB"),
        ("BATCH__MEMORY_BUDGET", '"4GiB"', "batch", "4GiB"),
        ("BATCH__MEMORY_BUDGET", "0.5", "batch", 0.5),
        ("BATCH__MEMORY_BUDGET", "none", "batch", None),
        ("BATCH__GROUPS", "correlation", "batch", "correlation"),
        ("BATCH__GROUPS", '{A = "x", "B.C" = "y"}', "batch", {"A": "x", "B.C": "y"}),
        ("BATCH__CHECKPOINT_DIR", "2024", "batch", "2024"),
        ("BATCH__CHECKPOINT_DIR", "2024-01-31", "batch", "2024-01-31"),
        ("BATCH__CHECKPOINT_DIR", "'a b'", "batch", "a b"),
        ("FEATURES__WINDOWS", "[5, 21]", "features", (5, 21)),
        ("FEATURES__FAMILIES", "returns", "features", "returns"),
        ("FALLBACK__ALPHA", "auto", "fallback", "auto"),
        ("FALLBACK__ALPHA", "2", "fallback", 2),
        ("MODEL__XGB_PARAMS", "{gamma = 0.5, a = {f = 1}}", "model", XGB_PARAMS),
        ("MODEL__MARKET_FEATURES", "false", "model", False),
        ("PERFORMANCE__DEVICE", "cuda:1", "performance", "cuda:1"),
    ],
)
def test_variables_are_read_as_values_or_else_as_text(
    name, text, section, value, monkeypatch
):
    monkeypatch.setenv(f"SKBATCH_{name}", text)
    config = BatchForecastingConfig.from_file()
    read = getattr(getattr(config, section), name.partition("__")[2].lower())
    assert (type(read), read) == (type(value), value)


def test_a_variable_holds_one_value_only(monkeypatch):
    monkeypatch.setenv("SKBATCH_HORIZON", "5\nengine = 'dask'")
    with pytest.raises(ConfigError, match=r"^SKBATCH_HORIZON: `horizon` must be"):
        BatchForecastingConfig.from_file()


def test_a_table_of_groups_replaces_that_of_the_file(write, monkeypatch):
    path = write('[batch.groups]\nA = "x"\nB = "y"\n')
    assert BatchForecastingConfig.from_file(path).batch.groups == {"A": "x", "B": "y"}
    monkeypatch.setenv("SKBATCH_BATCH__GROUPS", '{C = "z"}')
    assert BatchForecastingConfig.from_file(path).batch.groups == {"C": "z"}
    config = BatchForecastingConfig.from_file(path, batch={"groups": {"D": "w"}})
    assert config.batch.groups == {"D": "w"}


def test_problems_of_what_was_replaced_are_told_where_it_was_replaced(
    write, monkeypatch
):
    path = write('[batch.groups]\nA = "x"\nB = "y"\n')
    monkeypatch.setenv("SKBATCH_BATCH__GROUPS", '{A = "x", B = ""}')
    with pytest.raises(ConfigError, match=r"^SKBATCH_BATCH__GROUPS: `batch.groups` "):
        BatchForecastingConfig.from_file(path)


def test_other_variables_are_left_alone(monkeypatch):
    monkeypatch.setenv("SKBATCHES_HORIZON", "0")
    monkeypatch.setenv("HORIZON", "0")
    assert BatchForecastingConfig.from_file() == BatchForecastingConfig()


@pytest.mark.parametrize(
    "name",
    [
        "SKBATCH_PORT",
        "SKBATCH_PORT_8080_TCP_ADDR",
        "SKBATCH_SERVICE_HOST",
        "SKBATCH_SERVICE_PORT_HTTP",
        "SKBATCH_HOME",
        "SKBATCH_MODEL",
        "SKBATCH_BATCH",
        "SKBATCH_",
    ],
)
def test_variables_of_platforms_are_left_alone(name, monkeypatch):
    monkeypatch.setenv(name, "tcp://10.0.0.1:8080")
    assert BatchForecastingConfig.from_file() == BatchForecastingConfig()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SKBATCH_MODEL__MAX_DEPT", "SKBATCH_MODEL__MAX_DEPTH"),
        ("SKBATCH_MODEL_MAX_DEPTH", "SKBATCH_MODEL__MAX_DEPTH"),
        ("SKBATCH_MAX_DEPTH", "SKBATCH_MODEL__MAX_DEPTH"),
        ("SKBATCH_HORIZONS", "SKBATCH_HORIZON"),
        ("SKBATCH_MODEL__THIN", "SKBATCH_MODEL__TARGET__THIN"),
        ("SKBATCH_FALLBACK__SCALE", "SKBATCH_FALLBACK__TARGET__SCALE"),
    ],
)
def test_variables_that_are_nearly_settings_are_ignored_with_a_warning(
    name, meant, monkeypatch
):
    monkeypatch.setenv(name, "3")
    with pytest.warns(SkbatchWarning, match=f"Got {name}, .*Did you mean {meant}\\?"):
        config = BatchForecastingConfig.from_file()
    assert config == BatchForecastingConfig()


@pytest.mark.parametrize("section", ["model", "fallback"])
@pytest.mark.parametrize(
    "line",
    [
        "relative = false",
        'scale = "volatility_21"',
        "market_weight = 0.5",
        "thin = 2",
        "validation_size = 0",
    ],
)
def test_settings_that_have_moved_name_their_new_place(section, line, write):
    key, value = line.split(" = ")
    path = write(f"[{section}]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        BatchForecastingConfig.from_file(path)
    assert str(caught.value) == (
        f"{path}: `{section}.{key}` must be a key that skbatch knows. Got {value}. "
        f"Did you mean `{section}.target.{key}`?"
    )
    path = write(f"[{section}.target]\n{line}\n")
    system = BatchForecastingConfig.from_file(path).to_system()
    part = {"model": "estimator", "fallback": "fallback"}[section]
    read = system.get_params()[f"forecaster__{part}__target__{key}"]
    assert read == tomllib.loads(line)[key]


def test_all_problems_are_listed_with_their_places(write, monkeypatch):
    path = write(
        """\
horizon = 0
[model]
kind = "linear"
max_dept = 3
alpha = -1
[batch.groups]
A = "x"
B = inf
[modell]
max_bin = 1
"""
    )
    monkeypatch.setenv("SKBATCH_FALLBACK__MAX_JUMP", "high")
    with pytest.raises(ConfigError) as caught:
        BatchForecastingConfig.from_file(path, features={"windows": [5, 1]})
    assert str(caught.value).splitlines() == [
        "The configuration has 7 problems:",
        f"- {path}: `horizon` must be a whole number of at least 1 or a list of "
        "different items, each a whole number of at least 1. Got 0. The default is 5.",
        f"- {path}: `model.max_dept` must be a key that skbatch knows. Got 3. "
        "Did you mean `model.max_depth`?",
        f"- {path}: `model.alpha` must be a number above 0 or "
        '"auto". Got -1. The default is "auto".',
        f'- {path}: `batch.groups` must be a table, "correlation" or "none". Got '
        '{"B": Infinity}. The default is "none".',
        f"- {path}: `modell` must be a key that skbatch knows. Got "
        '{"max_bin": 1}. Did you mean `model`?',
        "- SKBATCH_FALLBACK__MAX_JUMP: `fallback.max_jump` must be a number "
        'above 1. Got "high". The default is 8.0.',
        "- argument: `features.windows` must be a list of different items, each a "
        "whole number of at least 2. Got [5, 1]. The default is [5, 10, 21, 63, 126, "
        "252].",
    ]


def test_a_variable_that_corrects_the_file_is_enough(write, monkeypatch):
    path = write("[model]\nmax_depth = 0\n")
    monkeypatch.setenv("SKBATCH_MODEL__MAX_DEPTH", "3")
    assert BatchForecastingConfig.from_file(path).model.max_depth == 3


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("horizon = ", "end of document"),
        ("horizon = 5\nhorizon = 6\n", "line 2"),
        ("engine = dask\n", "line 1"),
    ],
)
def test_files_must_be_toml(text, part, write):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        BatchForecastingConfig.from_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path} must be a valid TOML file. Got: ")
    assert part in message


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="must be a valid TOML file"):
        BatchForecastingConfig.from_file(path)


def test_files_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfhorizon = 3\r\n[model]\r\nmax_depth = 0\r\n")
    with pytest.raises(ConfigError, match=r"x\.toml: `model\.max_depth`"):
        BatchForecastingConfig.from_file(path)


def test_missing_files_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        BatchForecastingConfig.from_file(tmp_path / "none.toml")


def test_origins_are_named(write, monkeypatch):
    path = write('model.kind = "mean"\nfeatures = {windows = [5]}\n')
    monkeypatch.setenv("SKBATCH_HORIZON", "3")
    found = {name: origin for name, _, origin in effective_settings(path)}
    assert found["model.kind"] == str(path)
    assert found["features.windows"] == str(path)
    assert found["horizon"] == "SKBATCH_HORIZON"
    assert found["model.min_labels"] == "default"


def test_a_list_of_horizons_is_a_setting(write, monkeypatch):
    path = write("horizon = [5, 21]\n")
    assert BatchForecastingConfig.from_file(path).to_system().horizon == (5, 21)


def test_an_error_names_where_the_least_weight_of_leaves_has_moved():
    with pytest.raises(ConfigError, match=r"It is now `model.xgb_params.min_child"):
        BatchForecastingConfig(model={"min_child_weight": 2})
    config = BatchForecastingConfig(model={"xgb_params": {"min_child_weight": 2}})
    assert config.to_system().forecaster.estimator.xgb_params["min_child_weight"] == 2
