import copy
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skbatch.batch._errors import BatchErrorHandler
from skbatch.batch._memory import _budget
from skbatch.batch._system import BatchForecastingSystem
from skbatch.config import (
    BatchConfig,
    BatchForecastingConfig,
    ConfigError,
    FallbackConfig,
    FeatureConfig,
    ModelConfig,
    PerformanceConfig,
)
from skbatch.config._base import allowed, settings_of
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.feature_extraction._plan import check_families, check_windows
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)

KINDS = {
    "xgboost": BatchXGBoostForecaster,
    "linear": BatchLinearForecaster,
    "mean": HistoricalMeanForecaster,
}
# What files cannot hold, or what the system sets.
NO_SETTINGS = {"horizon", "functions", "market_data", "market_return", "pooled_model"}
FALLBACK_ONLY = {"enabled", "model", "min_labels", "mean_min_labels"}


def defaults(owner):
    parameters = inspect.signature(owner).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in NO_SETTINGS}


def in_force(config):
    """Settings of a section by name."""
    return dict(config)


@pytest.mark.parametrize("kind", KINDS)
def test_models_have_the_parameters_and_defaults_of_their_estimators(kind):
    config = BatchForecastingConfig(model={"kind": kind})
    expected = defaults(KINDS[kind])
    if kind == "xgboost":
        performance = config.performance
        assert performance.threads == expected.pop("n_jobs")
        assert performance.device == expected.pop("device")
    settings = in_force(config.model)
    assert {name: settings[name] for name in expected} == expected


def test_models_have_no_other_parameters():
    known = {name for owner in KINDS.values() for name in defaults(owner)}
    moved = {"n_jobs", "device"}
    assert set(ModelConfig.model_fields) == known - moved | {"kind"}


def test_the_fallback_has_the_defaults_of_the_estimators():
    settings = in_force(FallbackConfig())
    assert settings["enabled"] is True
    assert settings["min_labels"] == defaults(FallbackForecaster)["min_labels"]
    mean = defaults(HistoricalMeanForecaster)
    assert settings["mean_min_labels"] == mean["min_labels"]
    linear, handler = defaults(BatchLinearForecaster), defaults(BatchErrorHandler)
    assert {n: settings[n] for n in {**linear, **handler}} == {**linear, **handler}
    assert set(settings) == FALLBACK_ONLY | set(linear) | set(handler)


def test_other_sections_have_the_defaults_of_system_and_extractor():
    config = BatchForecastingConfig()
    assert in_force(config.features) == defaults(SharedFeatureExtractor)
    parameters = inspect.signature(BatchForecastingSystem).parameters
    settings = {
        **{k: v for k, v in in_force(config.batch).items() if k != "enabled"},
        "n_jobs": config.performance.n_jobs,
        "engine": config.performance.engine,
        "horizon": config.horizon,
        "preset": config.preset,
    }
    assert settings == {name: parameters[name].default for name in settings}
    parts = {"features", "forecaster", "error_handler"}
    assert set(settings) | parts == set(parameters)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param(path, field, id=".".join(path))
        for path, field in settings_of(BatchForecastingConfig).items()
    ],
)
def test_settings_say_what_they_are_and_what_is_allowed(path, field):
    assert field.description.endswith(".")
    assert field.description[0].isupper()
    assert allowed(field)


NUMBERS = [-1, 0, 1, 2, 3, 2**32 - 1, 2**32, -0.5, 0.0, 1e-9, 0.3, 1.0, 1.5, 8.5]
VALUES = [*NUMBERS, "auto", "pooled", "vector", "no such word", [1], None]


def accepts(config, **values):
    """Tell whether a section accepts values, and keeps them."""
    try:
        section = config(**values)
    except ConfigError:
        return False
    return all(
        getattr(section, name) == value
        for name, value in values.items()
        if value is not None
    )


def valid(estimator, **values):
    """Tell whether an estimator accepts parameters."""
    try:
        clone(estimator).set_params(**values)._validate_params()
    except InvalidParameterError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_models_allow_what_the_estimators_allow(kind):
    names = set(defaults(KINDS[kind])) - {"scale", "n_jobs", "device"}
    for name in names:
        for value in VALUES:
            if value is None and name not in {"random_state", "early_stopping_rounds"}:
                continue  # not given
            expected = valid(KINDS[kind](), **{name: value})
            got = accepts(ModelConfig, kind=kind, **{name: value})
            assert got == expected, (name, value)


def test_the_fallback_allows_what_the_estimators_allow():
    owners = {
        **dict.fromkeys(defaults(BatchErrorHandler), BatchErrorHandler()),
        **dict.fromkeys(defaults(BatchLinearForecaster), BatchLinearForecaster()),
        "min_labels": FallbackForecaster(BatchLinearForecaster()),
    }
    del owners["scale"]
    for name, owner in owners.items():
        for value in VALUES[:-1]:
            expected = valid(owner, **{name: value})
            got = accepts(FallbackConfig, **{name: value})
            assert got == expected, (name, value)


def test_batches_allow_what_the_system_allows():
    for name in ("max_batch_size", "memory_budget", "random_state"):
        for value in [*NUMBERS, [1], None]:
            expected = valid(BatchForecastingSystem(), **{name: value})
            assert accepts(BatchConfig, **{name: value}) == expected, (name, value)


@pytest.mark.parametrize(
    "text",
    ["4GiB", "4 gib", " 1.5MB ", "500", "12k", ".5T", "0GiB", "GiB", "4PiB", "1.2.3G"],
)
def test_sizes_are_those_that_the_system_reads(text):
    try:
        expected = _budget(text, 0) > 0
    except ValueError:
        expected = False
    assert accepts(BatchConfig, memory_budget=text) == expected


@pytest.mark.parametrize(
    "windows", [(5,), (5, 21), (21, 5), (5, 5), (1, 5), (5.0,), (True, 3), ("5",), ()]
)
def test_windows_are_those_that_the_extractor_takes(windows):
    try:
        check_windows(windows)
        expected = True
    except ValueError:
        expected = False
    assert accepts(FeatureConfig, windows=windows) == expected


@pytest.mark.parametrize("names", [("returns",), ("rank", "group"), ("retrns",)])
def test_families_are_those_of_the_catalogue(names):
    everything = frozenset(["close", "open", "high", "low", "volume", "groups"])
    try:
        check_families(names, everything)
        expected = True
    except ValueError:
        expected = False
    assert accepts(FeatureConfig, families=names) == expected


def test_one_family_needs_no_list():
    assert FeatureConfig(families="returns").families == ("returns",)


@pytest.mark.parametrize("name", ["n_jobs", "threads"])
def test_workers_and_threads_are_counted_up_or_down_from_the_cores(name):
    for value in (1, -1, 8, None):
        assert accepts(PerformanceConfig, **{name: value})
    for value in (0, 1.0, True, "auto "):
        assert not accepts(PerformanceConfig, **{name: value})


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "gpu:0"])
def test_devices_are_those_of_xgboost(device):
    assert accepts(PerformanceConfig, device=device)


@pytest.mark.parametrize("device", ["", "tpu", "cuda:", "cuda:x", "cpu:0", "cpu\n"])
def test_other_devices_are_refused(device):
    assert not accepts(PerformanceConfig, device=device)


@pytest.mark.parametrize("horizon", [1, 5, (5,), (21, 5)])
def test_horizons_are_one_or_several(horizon):
    assert accepts(BatchForecastingConfig, horizon=horizon)


@pytest.mark.parametrize("horizon", [0, -1, True, 5.0, "5", (), (5, 5), (0, 5), (5.0,)])
def test_other_horizons_are_refused(horizon):
    assert not accepts(BatchForecastingConfig, horizon=horizon)


TABLES = [{"A": "tech"}, {"A": "tech", "BRK.B": "oil"}, {"A": 1, "B": 2.5}]


@pytest.mark.parametrize("config", [BatchConfig, FeatureConfig])
@pytest.mark.parametrize("groups", TABLES)
def test_groups_are_tables_of_labels_or_numbers(config, groups):
    assert accepts(config, groups=groups)


@pytest.mark.parametrize("config", [BatchConfig, FeatureConfig])
@pytest.mark.parametrize(
    "groups",
    [{}, {"A": True}, {"A": ["x"]}, {"A": float("inf")}, {1: "x"}, "correlate", ["A"]],
)
def test_other_groups_are_refused(config, groups):
    assert not accepts(config, groups=groups)


def test_tickers_without_a_group_are_not_listed():
    assert FeatureConfig(groups={"A": "x", "B": None}).groups == {"A": "x"}


@pytest.mark.parametrize("group", [True, float("inf"), -float("inf"), ["x"]])
def test_the_entry_that_is_wrong_is_named(group):
    with pytest.raises(
        ConfigError, match=r"`features.groups.B` must be a group: text or a finite num"
    ):
        FeatureConfig(groups={"A": "x", "B": group})


def test_only_batches_are_made_of_correlations_or_one_kind_of_table():
    assert accepts(BatchConfig, groups="correlation")
    assert not accepts(FeatureConfig, groups="correlation")
    assert not accepts(BatchConfig, groups={"A": "tech", "B": 3})
    assert accepts(FeatureConfig, groups={"A": "tech", "B": 3})


def test_values_of_numpy_and_pandas_become_plain():
    config = BatchForecastingConfig(
        horizon=np.array([1, 5]),
        batch={
            "groups": pd.Series({"A": 1.5, "B": np.nan, "C": 2.0}),
            "max_batch_size": np.int64(3),
            "memory_budget": np.float64(0.5),
        },
        features={"windows": range(5, 8), "groups": pd.Series(["x"], index=["A"])},
        model={"relative": np.bool_(False)},
    )
    assert config.horizon == (1, 5)
    assert all(type(step) is int for step in config.horizon)
    assert config.batch.groups == {"A": 1.5, "C": 2.0}
    assert type(config.batch.max_batch_size) is int
    assert type(config.batch.memory_budget) is float
    assert config.features.windows == (5, 6, 7)
    assert config.features.groups == {"A": "x"}
    assert config.model.relative is False


def test_a_series_with_a_ticker_twice_is_refused():
    assert not accepts(BatchConfig, groups=pd.Series(["x", "y"], index=["A", "A"]))


def test_folders_become_text(tmp_path):
    assert BatchConfig(checkpoint_dir=tmp_path).checkpoint_dir == str(tmp_path)


def test_bytes_and_shares_of_memory_stay_apart():
    assert type(BatchConfig(memory_budget=1).memory_budget) is int
    assert type(BatchConfig(memory_budget=1.0).memory_budget) is float


def test_none_is_not_given_where_it_has_no_meaning_of_its_own():
    assert ModelConfig(max_depth=None) == ModelConfig()
    assert not ModelConfig(max_depth=None).model_fields_set
    assert ModelConfig(scale=None).scale is None
    assert ModelConfig(scale="none").scale is None
    assert FeatureConfig(families="all").families is None
    assert PerformanceConfig(threads="auto").threads is None
    with pytest.raises(ConfigError, match=r"`features.windows` must be a list"):
        FeatureConfig(windows="none")


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_other_kinds_are_refused_when_set(kind):
    for other, owner in KINDS.items():
        for name in set(defaults(owner)) - {"n_jobs", "device"}:
            value = getattr(ModelConfig(), name)
            if value is None:
                continue
            own = name in defaults(KINDS[kind])
            assert accepts(ModelConfig, kind=kind, **{name: value}) == own, (
                other,
                name,
            )


def test_threads_and_device_are_refused_without_boosted_trees():
    for kind in ("linear", "mean"):
        with pytest.raises(ConfigError) as caught:
            BatchForecastingConfig(
                model={"kind": kind}, performance={"threads": 2, "device": "cpu"}
            )
        message = str(caught.value)
        for name, value in (("threads", "2"), ("device", '"cpu"')):
            assert (
                f'`performance.{name}` must not be set with model.kind = "{kind}". '
                f"Got {value}. Remove it, or change model.kind."
            ) in message
    allowed = {"model": {"kind": "mean"}, "performance": {"threads": None, "n_jobs": 2}}
    assert BatchForecastingConfig(**allowed).performance.n_jobs == 2


def test_settings_of_a_fallback_that_is_not_used_are_refused():
    with pytest.raises(ConfigError, match=r"`fallback.alpha` .* fallback.enabled = fa"):
        FallbackConfig(enabled=False, alpha=1.0)
    with pytest.raises(
        ConfigError, match=r'`fallback.thin` .* fallback.model = "mean"'
    ):
        FallbackConfig(model="mean", thin=2)
    with pytest.raises(ConfigError, match=r"`fallback.mean_min_labels` .*\"linear\""):
        FallbackConfig(mean_min_labels=2)
    # Screening goes on.
    assert FallbackConfig(enabled=False, max_jump=3.0).max_jump == 3.0
    assert FallbackConfig(model="mean", mean_min_labels=2).mean_min_labels == 2


def test_a_disabled_batch_has_no_settings_and_makes_no_system():
    config = BatchForecastingConfig(batch={"enabled": False})
    for make in (config.to_params, config.to_system):
        with pytest.raises(
            ConfigError, match=r"`batch\.enabled` must be true.*robust_"
        ):
            make()
    enabled = config.replace(batch={"enabled": True})
    assert enabled.to_params() == BatchForecastingConfig().to_params()
    for name, value in {
        "max_batch_size": 5,
        "memory_budget": "1GiB",
        "groups": "correlation",
        "checkpoint_dir": "runs",
        "random_state": 1,
    }.items():
        assert BatchForecastingConfig(batch={"enabled": True, name: value})
        message = rf"`batch\.{name}` must not be set with batch\.enabled = false"
        with pytest.raises(ConfigError, match=message):
            BatchForecastingConfig(batch={name: value, "enabled": False})


def test_a_system_is_not_made_of_a_file_that_disables_the_batch(tmp_path, monkeypatch):
    path = tmp_path / "skbatch.toml"
    path.write_text("[batch]\nenabled = false\n")
    with pytest.raises(ConfigError, match="one ticker at a time"):
        BatchForecastingSystem.from_config(path)
    monkeypatch.setenv("SKBATCH_BATCH__ENABLED", "true")
    assert BatchForecastingSystem.from_config(path)


def test_configurations_do_not_change():
    config = BatchForecastingConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.horizon = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.model.max_depth = 3


def test_a_changed_copy_keeps_the_other_settings():
    config = BatchForecastingConfig(
        preset="speed",
        batch={"groups": {"A": "x"}},
        model=ModelConfig(max_depth=3, max_bin=16),
    )
    other = config.replace(model={"max_bin": 8}, batch={"groups": {"B": "y"}})
    assert (other.model.max_depth, other.model.max_bin) == (3, 8)
    assert other.model.n_estimators == config.presets["speed"]["model"]["n_estimators"]
    assert other.batch.groups == {"B": "y"}
    assert config.model.max_bin == 16
    assert config.replace(preset=None).model.n_estimators == ModelConfig().n_estimators
    with pytest.raises(ConfigError, match=r"`model.max_bin`"):
        config.replace(model={"max_bin": 0})


def test_configurations_can_be_copied_and_pickled():
    config = BatchForecastingConfig(preset="accuracy", model={"scale": None})
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert other.to_toml() == config.to_toml()


def test_sections_are_not_changed_by_the_preset():
    section = ModelConfig(max_depth=3)
    BatchForecastingConfig(preset="speed", model=section)
    assert section == ModelConfig(max_depth=3)
    assert section.model_fields_set == {"max_depth"}
