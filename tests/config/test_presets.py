import subprocess
import sys

import pytest

from skbatch.batch._system import BatchForecastingSystem
from skbatch.config import BatchForecastingConfig
from skbatch.config._presets import (
    PRESETS,
    default_features,
    default_forecaster,
    preset_settings,
)
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)

NAMES = [None, *PRESETS]


def deep(estimator):
    """Parameters, and the classes of the estimators inside."""
    return {
        name: type(value) if hasattr(value, "fit") else value
        for name, value in estimator.get_params(deep=True).items()
    }


def test_the_presets_are_those_that_the_system_knows():
    (options, _) = BatchForecastingSystem._parameter_constraints["preset"]
    assert set(PRESETS) == options.options


def test_without_a_preset_the_parts_are_the_defaults():
    expected = FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
    assert deep(default_forecaster()) == deep(expected)
    assert deep(default_features()) == deep(SharedFeatureExtractor())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_settings(name):
    given = {"preset": name, **PRESETS[name]}
    config = BatchForecastingConfig(**given)
    assert config == BatchForecastingConfig(preset=name)
    assert config != BatchForecastingConfig(preset=None)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_set_only_what_a_system_reads_from_them(name):
    # Anything else would be in effect through a configuration only.
    config = BatchForecastingConfig(**PRESETS[name])
    params = config.to_params()
    plain = BatchForecastingConfig().to_params()
    parts = {"features", "forecaster"}
    assert {n: v for n, v in params.items() if n not in parts} == {
        n: v for n, v in plain.items() if n not in parts
    }


@pytest.mark.parametrize("name", PRESETS)
def test_the_default_parts_are_those_that_the_settings_make(name):
    params = BatchForecastingConfig(**PRESETS[name]).to_params()
    assert deep(default_forecaster(name)) == deep(
        params["forecaster"] or default_forecaster()
    )
    assert deep(default_features(name)) == deep(
        params["features"] or default_features()
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_alone_leaves_the_parts_to_the_system(name):
    params = BatchForecastingConfig(preset=name).to_params()
    assert params["preset"] == name
    assert params["features"] is params["forecaster"] is params["error_handler"] is None


@pytest.mark.parametrize("name", PRESETS)
def test_the_users_settings_win_over_the_presets(name):
    values = PRESETS[name]["model"]
    key = next(iter(values))
    config = BatchForecastingConfig(preset=name, model={key: 7})
    assert getattr(config.model, key) == 7
    for other in set(values) - {key}:
        assert getattr(config.model, other) == values[other]
    assert config.model.model_fields_set == {key}
    # The default is a choice, too, when the user makes it.
    default = getattr(BatchForecastingConfig().model, key)
    config = BatchForecastingConfig(preset=name, model={key: default})
    assert getattr(config.model, key) == default
    assert getattr(config.to_params()["forecaster"].estimator, key) == default


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_values_are_not_the_users(name):
    config = BatchForecastingConfig(preset=name)
    assert config.model_fields_set == {"preset"}
    assert config.to_toml() == f'preset = "{name}"\n'


def test_a_fallback_that_the_preset_has_not_is_a_setting(monkeypatch):
    monkeypatch.setitem(PRESETS, "speed", {"fallback": {"enabled": False}})
    forecaster = FallbackForecaster(BatchXGBoostForecaster(), BatchLinearForecaster())
    system = BatchForecastingSystem(preset="speed", forecaster=forecaster)
    config = BatchForecastingConfig.from_system(system)
    assert config.to_toml() == 'preset = "speed"\n\n[fallback]\nenabled = true\n'
    assert deep(config.to_params()["forecaster"]) == deep(forecaster)


def test_a_setting_that_is_not_given_has_the_presets_value():
    config = BatchForecastingConfig(preset="speed", model={"n_estimators": None})
    assert config.model.n_estimators == PRESETS["speed"]["model"]["n_estimators"]


def test_presets_have_no_effect_on_other_kinds_of_models():
    config = BatchForecastingConfig(preset="speed", model={"kind": "linear"})
    assert config.model == BatchForecastingConfig(model={"kind": "linear"}).model


def test_a_preset_may_choose_the_models(monkeypatch):
    chosen = {
        "model": {"kind": "linear", "alpha": 2.0},
        "fallback": {"model": "mean", "mean_min_labels": 5},
    }
    monkeypatch.setitem(PRESETS, "speed", chosen)
    config = BatchForecastingConfig(preset="speed")
    assert (config.model.kind, config.model.alpha) == ("linear", 2.0)
    assert config.fallback.mean_min_labels == 5
    assert config.to_params()["forecaster"] is None
    assert deep(default_forecaster("speed"))["estimator__alpha"] == 2.0
    # What does not fit to the user's choice is left out.
    config = BatchForecastingConfig(
        preset="speed", model={"kind": "xgboost"}, fallback={"enabled": False}
    )
    assert set(preset_settings("speed", {"model": {"kind": "xgboost"}})) == {
        ("model", "kind"),
        ("fallback", "model"),
        ("fallback", "mean_min_labels"),
    }
    forecaster = config.to_params()["forecaster"]
    assert deep(forecaster) == deep(BatchXGBoostForecaster())
    system = config.to_system()
    assert BatchForecastingConfig.from_system(system) == config


@pytest.mark.parametrize("make", [default_features, default_forecaster])
def test_unknown_presets_are_refused(make):
    with pytest.raises(ValueError, match=r"`preset` must be one of 'speed'"):
        make("fast")


def test_a_system_with_a_preset_needs_no_pydantic():
    code = (
        "import sys; from skbatch.batch._system import BatchForecastingSystem;"
        "BatchForecastingSystem(preset='speed').get_params(deep=True);"
        "print('pydantic' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
