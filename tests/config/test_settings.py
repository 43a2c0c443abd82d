import copy
import inspect
import pickle
from numbers import Integral
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, InvalidParameterError

from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.config import BatchForecastingConfig, ConfigError
from skbatch.config._settings import make_setting
from skbatch.config.engine import SETTINGS
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

KINDS = {
    "xgboost": BatchXGBoostForecaster,
    "linear": BatchLinearForecaster,
    "mean": HistoricalMeanForecaster,
}
BATCH, FEATURES, PERFORMANCE = ("batch",), ("features",), ("performance",)
# Section, its choices, an estimator whose parameters it has, and those that it has not
# because a file cannot hold them, the system sets them, or they are elsewhere.
ABOVE = {"delay", "coverage", "delisting_return", "n_jobs", "engine"}
OWNERS = [
    (("model",), {"kind": "xgboost"}, BatchXGBoostForecaster(), {"n_jobs", "device"}),
    (("model",), {"kind": "linear"}, BatchLinearForecaster(), set()),
    (("model",), {"kind": "mean"}, HistoricalMeanForecaster(), set()),
    (("model", "target"), {}, ReturnTarget(), {"benchmark"}),
    (("fallback",), {}, BatchLinearForecaster(), set()),
    (("fallback", "target"), {}, ReturnTarget(), {"benchmark"}),
    (("fallback",), {}, BatchErrorHandler(), set()),
    (("fallback",), {}, FallbackForecaster(BatchLinearForecaster()), {"estimator"}),
    (("batch",), {}, BatchForecastingSystem(), ABOVE),
    (("features",), {}, SharedFeatureExtractor(), {"functions", "market_data"}),
]
PARTS = {"horizon", "target", "fallback", "features", "forecaster", "error_handler"}


@pytest.mark.parametrize(("section", "choice", "owner", "others"), OWNERS)
def test_every_parameter_is_a_setting_with_its_default(section, choice, owner, others):
    found = BatchForecastingConfig(**nested(section, choice)).to_dict()
    for key in section:
        found = found[key]
    for name in set(inspect.signature(type(owner)).parameters) - others - PARTS:
        assert found[name] == getattr(owner, name)


def test_the_other_settings_have_the_defaults_of_their_parameters():
    config, system = BatchForecastingConfig(), BatchForecastingSystem()
    for name in ("horizon", "delay", "coverage", "delisting_return"):
        assert getattr(config, name) == getattr(system, name)
    assert config.performance.n_jobs == system.n_jobs
    assert config.performance.engine == system.engine
    assert config.performance.threads == BatchXGBoostForecaster().n_jobs
    assert config.performance.device == BatchXGBoostForecaster().device
    assert config.fallback.mean_min_labels == HistoricalMeanForecaster().min_labels


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_settings_describe_what_they_do_and_what_is_allowed(setting):
    assert setting.description.endswith(".")
    assert setting.allowed
    assert setting.accepts(setting.default)


@pytest.mark.parametrize(("section", "choice", "owner", "others"), OWNERS)
def test_settings_allow_what_the_estimators_allow(section, choice, owner, others):
    for name in set(owner.get_params(deep=False)) - others - PARTS - {"scale"}:
        for value in VALUES:
            expected = valid(owner, **{name: value})
            if value is None and not SETTINGS[".".join((*section, name))].null:
                continue  # not given
            got = accepts(section, **choice, **{name: value})
            assert got == expected, (name, value)


def test_labels_may_be_relative_to_a_list_of_features():
    for target in (("model", "target"), ("fallback", "target")):
        assert accepts(target, relative=("sector", "beta_252"))
        for wrong in ((), (1,), ("sector", "sector"), "market"):
            assert not accepts(target, relative=wrong)


SIZES = ["4GiB", "4 gib", " 1.5MB ", "500", "12k", ".5T"]


@pytest.mark.parametrize("text", [*SIZES, "0GiB", "GiB", "4PiB", "1.2.3G"])
def test_sizes_are_those_that_the_system_reads(text):
    expected = valid(BatchForecastingSystem(), memory_budget=text)
    assert accepts(BATCH, memory_budget=text) == expected
    assert expected == (text in SIZES)


def test_a_new_parameter_becomes_a_setting():
    class Newer(HistoricalMeanForecaster):
        """Has a parameter more.

        Parameters
        ----------
        half_life : int, default=9
            Rows after which a label counts half.
        """

        _parameter_constraints: ClassVar = {
            "half_life": [Interval(Integral, 1, None, closed="left")]
        }

        def __init__(self, half_life=9):
            self.half_life = half_life

    setting = make_setting(Newer, "half_life", "model.half_life")
    assert setting.path == "model.half_life"
    assert setting.default == 9
    assert setting.allowed == "a whole number of at least 1"
    assert setting.description == "Rows after which a label counts half."


NUMBERS = [-1, 0, 1, 2, 3, 2**32 - 1, 2**32, -0.5, 0.0, 1e-9, 0.3, 1.0, 1.5, 8.5]
VALUES = [*NUMBERS, "auto", "pooled", "vector", "no such word", [1], None]


def accepts(section, **values):
    """Return whether a section accepts values, and keeps them."""
    try:
        config = BatchForecastingConfig(**nested(section, values))
    except ConfigError:
        return False
    found = config.to_dict()
    for key in section:
        found = found[key]
    return all(found[name] == v for name, v in values.items() if v is not None)


def nested(section, values):
    """Put values into a section."""
    for key in reversed(section):
        values = {key: values}
    return values


def valid(estimator, **values):
    """Return whether an estimator accepts parameters."""
    try:
        clone(estimator).set_params(**values)._validate_params()
    except InvalidParameterError:
        return False
    return True


@pytest.mark.parametrize("windows", [(5,), (5, 21), (21, 5), ()])
def test_windows_are_those_that_the_extractor_takes(windows):
    assert valid(SharedFeatureExtractor(), windows=windows)
    assert accepts(FEATURES, windows=windows)


@pytest.mark.parametrize("windows", [(5, 5), (1, 5), (5.0,), (True, 3), ("5",)])
def test_windows_are_refused_as_the_extractor_refuses_them(windows):
    assert not valid(SharedFeatureExtractor(), windows=windows)
    assert not accepts(FEATURES, windows=windows)


@pytest.mark.parametrize(
    "names",
    [("returns",), ("rank", "group"), ("retrns",), ("default", "anomalies")],
)
def test_families_are_those_of_the_catalogue(names):
    expected = valid(SharedFeatureExtractor(), families=names)
    assert accepts(FEATURES, families=names) == expected
    assert expected == (names != ("retrns",))


def test_one_family_needs_no_list():
    config = BatchForecastingConfig(features={"families": "returns"})
    assert config.features.families == "returns"
    assert config.to_system().features.families == "returns"


@pytest.mark.parametrize("name", ["n_jobs", "threads"])
def test_workers_and_threads_are_counted_up_or_down_from_the_cores(name):
    for value in (1, -1, 8, None):
        assert accepts(PERFORMANCE, **{name: value})
    for value in (0, 1.0, True, "auto "):
        assert not accepts(PERFORMANCE, **{name: value})


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "gpu:0"])
def test_devices_are_those_of_xgboost(device):
    assert accepts(PERFORMANCE, device=device)


@pytest.mark.parametrize(
    "device", ["", "tpu", "cuda:", "cuda:x", "cpu:0", "cpu\n", "CPU"]
)
def test_other_devices_are_refused(device):
    assert not accepts(PERFORMANCE, device=device)


@pytest.mark.parametrize("horizon", [1, 5, (5,), (21, 5)])
def test_horizons_are_one_or_several(horizon):
    assert accepts((), horizon=horizon)


@pytest.mark.parametrize("horizon", [0, -1, True, 5.0, "5", (), (5, 5), (0, 5), (5.0,)])
def test_other_horizons_are_refused(horizon):
    assert not accepts((), horizon=horizon)


TABLES = [{"A": "tech"}, {"A": "tech", "BRK.B": "oil"}, {"A": 1, "B": 2.5}]


@pytest.mark.parametrize("section", [BATCH, FEATURES])
@pytest.mark.parametrize("groups", TABLES)
def test_groups_are_tables_of_labels_or_numbers(section, groups):
    assert accepts(section, groups=groups)


@pytest.mark.parametrize("section", [BATCH, FEATURES])
@pytest.mark.parametrize(
    "groups",
    [{"A": float("inf")}, {"A": ""}, {"A": {"B": object()}}, {1: "x"}, 3, True],
)
def test_other_groups_are_refused(section, groups):
    assert not accepts(section, groups=groups)


def test_tickers_without_a_group_are_not_listed():
    assert BatchForecastingConfig(
        features={"groups": {"A": "x", "B": None}}
    ).features.groups == {"A": "x"}


@pytest.mark.parametrize("group", [float("inf"), -float("inf"), "", object()])
def test_the_entry_that_is_wrong_is_named(group):
    with pytest.raises(
        ConfigError, match=r'`features.groups` must be a table.* Got {"B": '
    ):
        BatchForecastingConfig(features={"groups": {"A": "x", "B": group}})


def test_only_the_groups_of_features_are_named_after_signals():
    assert accepts(BATCH, groups="correlation")
    assert not accepts(BATCH, groups="sector")
    assert not accepts(BATCH, groups=("sector", "country"))
    assert accepts(FEATURES, groups="sector")
    assert accepts(FEATURES, groups=("sector", "country"))
    assert accepts(FEATURES, groups={"sector": {"A": "tech"}})


def test_values_of_numpy_and_pandas_become_plain():
    config = BatchForecastingConfig(
        horizon=np.array([1, 5]),
        batch={
            "groups": pd.Series({"A": 1.5, "B": np.nan, "C": 2.0}),
            "max_batch_size": np.int64(3),
            "memory_budget": np.float64(0.5),
        },
        features={"windows": range(5, 8), "groups": pd.Series(["x"], index=["A"])},
        model={"market_features": np.bool_(False)},
    )
    assert config.horizon == (1, 5)
    assert all(type(step) is int for step in config.horizon)
    assert config.batch.groups == {"A": 1.5, "C": 2.0}
    assert type(config.batch.max_batch_size) is int
    assert type(config.batch.memory_budget) is float
    assert config.features.windows == (5, 6, 7)
    assert config.features.groups == {"A": "x"}
    assert config.model.market_features is False


def test_a_series_with_a_ticker_twice_is_refused():
    assert not accepts(BATCH, groups=pd.Series(["x", "y"], index=["A", "A"]))


def test_folders_become_text(tmp_path):
    assert BatchForecastingConfig(
        batch={"checkpoint_dir": tmp_path}
    ).batch.checkpoint_dir == str(tmp_path)


def test_bytes_and_shares_of_memory_stay_apart():
    assert (
        type(BatchForecastingConfig(batch={"memory_budget": 1}).batch.memory_budget)
        is int
    )
    assert (
        type(BatchForecastingConfig(batch={"memory_budget": 1.0}).batch.memory_budget)
        is float
    )


def test_none_is_not_given_where_it_has_no_meaning_of_its_own():
    assert (
        BatchForecastingConfig(model={"max_depth": None}).model
        == BatchForecastingConfig(model={}).model
    )
    assert BatchForecastingConfig(model={"max_depth": None}).to_toml() == ""
    assert (
        BatchForecastingConfig(model={"target": {"scale": None}}).model.target.scale
        is None
    )
    assert (
        BatchForecastingConfig(model={"target": {"scale": "none"}}).model.target.scale
        is None
    )
    assert (
        BatchForecastingConfig(features={"families": "all"}).features.families is None
    )
    assert (
        BatchForecastingConfig(performance={"threads": "auto"}).performance.threads
        is None
    )
    with pytest.raises(ConfigError, match=r"`features.windows` must be a list"):
        BatchForecastingConfig(features={"windows": "none"})


def test_threads_and_device_are_refused_without_boosted_trees():
    for kind in ("linear", "mean"):
        with pytest.raises(ConfigError) as caught:
            BatchForecastingConfig(
                model={"kind": kind}, performance={"threads": 2, "device": "cpu"}
            )
        message = str(caught.value)
        for name, value in (("threads", "2"), ("device", '"cpu"')):
            assert (
                f'`performance.{name}` must be left out with model.kind = "{kind}". '
                f"Got {value}. Remove it, or change model.kind."
            ) in message
    allowed = {"model": {"kind": "mean"}, "performance": {"threads": None, "n_jobs": 2}}
    assert BatchForecastingConfig(**allowed).performance.n_jobs == 2


def test_configurations_do_not_change():
    config = BatchForecastingConfig()
    for section in (config, config.model, config.model.target):
        name = next(iter(vars(section)))
        with pytest.raises(AttributeError, match=r"must not be changed in place"):
            setattr(section, name, 3)


def test_settings_of_a_fallback_that_is_not_used_are_refused():
    with pytest.raises(ConfigError, match=r"`fallback.alpha` .* fallback.enabled = fa"):
        BatchForecastingConfig(fallback={"enabled": False, "alpha": 1.0})
    with pytest.raises(
        ConfigError, match=r'`fallback.target.thin` .* fallback.model = "mean"'
    ):
        BatchForecastingConfig(fallback={"model": "mean", "target": {"thin": 2}})
    with pytest.raises(ConfigError, match=r"`fallback.mean_min_labels` .*\"linear\""):
        BatchForecastingConfig(fallback={"mean_min_labels": 2})
    # Screening goes on.
    assert (
        BatchForecastingConfig(
            fallback={"enabled": False, "max_jump": 3.0}
        ).fallback.max_jump
        == 3.0
    )
    assert (
        BatchForecastingConfig(
            fallback={"model": "mean", "mean_min_labels": 2}
        ).fallback.mean_min_labels
        == 2
    )


def test_a_disabled_batch_has_no_settings_and_makes_no_system():
    config = BatchForecastingConfig(batch={"enabled": False})
    with pytest.raises(ConfigError, match=r"`batch\.enabled` must be true.*robust_"):
        config.to_system()
    enabled = config.replace(batch={"enabled": True})
    assert BatchForecastingConfig.from_system(enabled.to_system()) == enabled
    for name, value in {
        "max_batch_size": 5,
        "memory_budget": "1GiB",
        "groups": "correlation",
        "checkpoint_dir": "runs",
        "random_state": 1,
    }.items():
        assert BatchForecastingConfig(batch={"enabled": True, name: value})
        message = rf"`batch\.{name}` must be left out with batch\.enabled = false"
        with pytest.raises(ConfigError, match=message):
            BatchForecastingConfig(batch={name: value, "enabled": False})


def test_a_system_is_not_made_of_a_file_that_disables_the_batch(tmp_path, monkeypatch):
    path = tmp_path / "skbatch.toml"
    path.write_text("[batch]\nenabled = false\n")
    with pytest.raises(ConfigError, match="one ticker at a time"):
        BatchForecastingConfig.from_file(path).to_system()
    monkeypatch.setenv("SKBATCH_BATCH__ENABLED", "true")
    assert BatchForecastingConfig.from_file(path).to_system()


def test_a_changed_copy_keeps_the_other_settings():
    config = BatchForecastingConfig(
        horizon=3,
        batch={"groups": {"A": "x"}},
        model={"max_depth": 3, "max_bin": 16},
    )
    other = config.replace(model={"max_bin": 8}, batch={"groups": {"B": "y"}})
    assert (other.model.max_depth, other.model.max_bin) == (3, 8)
    assert other.horizon == 3
    assert other.batch.groups == {"B": "y"}
    assert config.model.max_bin == 16
    with pytest.raises(ConfigError, match=r"`model.max_bin`"):
        config.replace(model={"max_bin": 0})


def test_configurations_can_be_copied_and_pickled():
    config = BatchForecastingConfig(horizon=3, model={"target": {"scale": None}})
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert other.to_toml() == config.to_toml()
